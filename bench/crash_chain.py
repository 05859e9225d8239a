"""What the processes of bench.crash do: make a chain, import it until killed, examine what is left."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

from bench.transfers import account, signed
from chain.commands.block_files import SignedBlock, read_binary, write_binary
from chain.common.errors import StorageError
from chain.common.notifications import Notifications
from chain.consensus.slots import claim, seal
from chain.env import Batch
from chain.env_real import RealClock
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.spec import ChainSpec
from chain.storage import store as store_module
from chain.storage.blocks import Blocks
from chain.storage.db import FLAT, META, TRIE, RocksDatabase
from chain.storage.pruning import Pruning
from chain.storage.state import View
from chain.storage.store import ChainStore
from chain.storage.trie import record_key, update
from chain.sync.importer import Importer
from runtime.primitives.grandpa import (
    Commit,
    GrandpaJustification,
    Precommit,
    SignedPrecommit,
    changes_voters,
    localized_payload,
)
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import trie_root
from runtime.primitives.types import Hash

FIRST_SLOT = 850_000_000
"""in the past of any real clock"""
TRANSFERS = 3
"""per block, each to a new account"""
FORK_EVERY = 5
"""blocks of the best chain between two that have a sibling, which finality abandons"""
LONGEST_WAIT = 12
"""blocks between two justifications"""
LAYERS = 6
"""blocks in memory before the disk runs ahead of finality; a node's 256 would never be reached here"""
GENESIS = ChainSpec.load("dev").state()
"""made once, before processes are forked off"""
MODES = ("archive", "archive-canonical", "20", "400")
"""state pruning, one for each chain in turn: with and without a history, forks kept and dropped"""


class Moment(StrEnum):
    """When a writer dies."""

    ANY = "any moment"  # its parent kills it
    BEFORE = "before a write"
    DURING = "during a write"
    AFTER = "after a write, before it is acknowledged"


@dataclass(frozen=True, slots=True)
class Death:
    """How a writer ends."""

    moment: Moment = Moment.ANY
    writes: int = 0  # which write it is, from the opening of the database on
    seconds: float = 0.0  # into the write


def make(file: Path, count: int, seed: int) -> None:
    """Write a file of real blocks with transfers, forks and justifications, in the order of their import."""
    rng = random.Random(seed)
    author, sender = Keypair.from_suri("//Alice", "ed25519"), Keypair.from_suri("//Alice", "sr25519")
    store = ChainStore.open(file.parent / "made", GENESIS)
    door, executor = importer(store), Executor()
    slot, nonce, wait = FIRST_SLOT, 0, 3
    blocks: list[SignedBlock] = []

    def add(parent: Hash, extrinsics: list[bytes]) -> SignedBlock:
        nonlocal slot
        slot += rng.randrange(1, 3)
        above = store.header(parent)
        assert above is not None
        state = store.state_at(parent)
        ours = claim(author, slot, executor.epoch(state, above.number, slot))
        assert ours is not None
        execution = executor.open(state, above.number + 1, parent, Digest([ours]))
        ms = executor.slot_duration(state)
        body = [*execution.inherents({"timestamp": slot * ms}), *extrinsics]
        for extrinsic in body:
            assert execution.apply(extrinsic) is None, "a transfer failed"
        executed = execution.finish()
        header = executed.header.sealed(seal(executed.header, author))
        door.import_own(header, body, executed.changes)
        return SignedBlock(header, body, None)

    while store.best_number < count:
        parent = store.best
        transfers = [
            signed(sender, nonce + at, account(nonce + at), store.genesis_hash) for at in range(TRANSFERS)
        ]
        block = add(parent, transfers)
        nonce += TRANSFERS
        if block.header.number % FORK_EVERY == 0:
            blocks.append(add(parent, transfers[:1]))
        wait -= 1
        if not wait or store.best_number == count or changes_voters(block.header):
            wait = rng.randrange(1, LONGEST_WAIT)
            _, set_id = executor.grandpa_set(store.state_at(store.finalized))
            proof = proven(block.header, author, set_id)
            door.finalize(block.header.hash(), proof)
            block = SignedBlock(block.header, block.body, proof)
        blocks.append(block)
    store.close()
    with file.open("wb") as output:
        write_binary(output, len(blocks), iter(blocks))


def proven(header: Header, voter: Keypair, set_id: int) -> bytes:
    """Return the justification of a block by the only voter there is."""
    vote, round_ = Precommit(header.hash(), header.number), header.number
    signature = voter.sign(localized_payload(vote, round_, set_id))
    commit = Commit(vote.target_hash, vote.target_number, [SignedPrecommit(vote, signature, voter.public)])
    return GrandpaJustification(round_, commit, []).encode()


def opened(database: Path, mode: str) -> ChainStore:
    """Open the database of a campaign."""
    store_module.MAX_LAYERS = LAYERS
    return ChainStore.open(database, GENESIS, states=Pruning.parse(mode))


def importer(store: ChainStore) -> Importer:
    """Return the door for blocks, with unfinalised ones executed again."""
    door = Importer(store, Executor(), Notifications(), RealClock())
    door.recover()
    return door


def write(database: Path, file: Path, mode: str, death: Death, limit: int | None, told: Connection) -> None:
    """Import blocks and tell of each that it is acknowledged; a failure to write ends it like a node."""
    if death.moment is not Moment.ANY:
        setattr(RocksDatabase, "write", armed(RocksDatabase.write, death))  # noqa: B010  # in this process only
    try:
        store = opened(database, mode)
        door = importer(store)
        told.send(("ready", b""))
        for block in islice(unknown(store, file), limit):
            name = door.import_foreign(block.header, block.body)
            told.send(("imported", name))
            if block.justification is not None and block.header.number > store.finalized_number:
                door.finalize(name, block.justification)
                told.send(("finalized", name))
        store.close()
    except StorageError as problem:
        told.send(("stopped", str(problem).encode()))
        raise SystemExit(1) from problem
    told.send(("done", b""))


def unknown(store: ChainStore, file: Path) -> Iterator[SignedBlock]:
    """Yield what is still to do: unknown blocks, and known ones whose finality was lost with the kill."""
    with file.open("rb") as source:
        for block in read_binary(source):
            known = store.header(block.header.hash()) is not None
            below = block.header.number <= store.finalized_number
            if not below and (not known or block.justification is not None):
                yield block


def armed(
    plain: Callable[[RocksDatabase, Batch], None], death: Death
) -> Callable[[RocksDatabase, Batch], None]:
    """Return a write that kills its process around, or within, the chosen one."""
    left = death.writes

    def dying(database: RocksDatabase, batch: Batch) -> None:
        nonlocal left
        left -= 1
        if left:
            plain(database, batch)
            return
        if death.moment is Moment.BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        if death.moment is Moment.DURING:  # the kernel ends the process: Python holds its lock meanwhile
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, death.seconds)
        plain(database, batch)
        if death.moment is Moment.DURING:
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)

    return dying


class Wrong(Exception):
    """The database says something that is not so: the one thing that must never happen."""


def examine(
    database: Path, file: Path, mode: str, acknowledged: list[tuple[str, bytes]], seed: int, told: Connection
) -> None:
    """Compare all that a database says with the blocks it was given, and tell the verdict."""
    try:
        heights = _examine(database, file, mode, acknowledged, random.Random(seed))
    except Wrong as problem:
        told.send(("wrong", str(problem)))
    except StorageError as problem:
        told.send(("refused", str(problem)))
    except Exception as problem:  # noqa: BLE001  # the supervisor's door: a crash is a finding, too
        told.send(("crashed", repr(problem)))
    else:
        told.send(("sound", heights))


def _examine(
    path: Path, file: Path, mode: str, acknowledged: list[tuple[str, bytes]], rng: random.Random
) -> tuple[int, int]:
    with file.open("rb") as source:
        blocks = {block.header.hash(): block for block in read_binary(source)}
    database = RocksDatabase.open(path)
    if database.get(META, b"disk") is not None:
        _examine_disk(database)
    database.close()
    store = opened(path, mode)
    try:
        importer(store)
        _examine_chain(store, blocks)
        _examine_acknowledged(store, blocks, acknowledged)
        _examine_states(store, rng)
        return store.best_number, store.finalized_number
    finally:
        store.close()


def _examine_disk(database: RocksDatabase) -> None:
    """Build the trie of the flat state anew, twice, and compare every branch."""
    head = Hash(database.get(META, b"disk") or b"")
    header = Blocks(database).header(head)
    _ensure(header is not None, f"the disk stands at the unknown block 0x{head.hex()}")
    assert header is not None
    flat = {key: database.get(FLAT, key) or b"" for key in database.keys(FLAT, b"")}
    _ensure(trie_root(flat) == header.state_root, f"the flat state is not that of block {header.number}")
    root, branches = update(View((), None), flat)
    built = {record_key(path): record for path, record in branches.items() if record}
    stored = {key: database.get(TRIE, key) for key in database.keys(TRIE, b"")}
    _ensure(root == header.state_root, "the trie's update and the naive trie differ")
    _ensure(stored == built, f"the branches are not those of block {header.number}")


def _examine_chain(store: ChainStore, blocks: dict[Hash, SignedBlock]) -> None:
    below = store.genesis_hash
    for number in range(1, store.best_number + 1):
        block = store.hash_at(number)
        given = blocks.get(block) if block is not None else None
        _ensure(block is not None and given is not None, f"height {number} has a block nobody gave")
        assert block is not None
        assert given is not None
        header, body, proof = store.header(block), store.body(block), store.justification(block)
        _ensure((header, body) == (given.header, given.body), f"block {number} is not what was given")
        _ensure(given.header.parent_hash == below, f"block {number} does not follow the one below")
        _ensure(proof is None or proof == given.justification, f"block {number} has another proof")
        below = block
    _ensure(below == store.best, "the best chain does not end in the best block")
    _ensure(store.hash_at(store.finalized_number) == store.finalized, "the final block is off the best chain")
    _ensure(store.unapplied() == [], "blocks are left without a state")


def _examine_acknowledged(
    store: ChainStore, blocks: dict[Hash, SignedBlock], acknowledged: list[tuple[str, bytes]]
) -> None:
    for what, name in acknowledged:
        block = Hash(name)
        number = blocks[block].header.number
        on_chain = store.hash_at(number) == block
        abandoned = number <= store.finalized_number and not on_chain
        _ensure(abandoned or store.header(block) is not None, f"0x{name.hex()} was {what} and is lost")
        if what == "finalized":
            _ensure(on_chain, f"final block {number} was replaced")
            _ensure(number <= store.finalized_number, f"block {number} is no longer final")
            _ensure(store.justification(block) is not None, f"block {number} lost its proof")


def _examine_states(store: ChainStore, rng: random.Random) -> None:
    floor = store.modes.states.floor(store.finalized_number)
    final, best = store.finalized_number, store.best_number
    heights = {floor, final, best, rng.randint(floor, best), rng.randint(floor, final)}
    for block in (*(store.hash_at(number) for number in heights), *store.leaves()):
        header = None if block is None else store.header(block)
        assert block is not None
        assert header is not None
        state = store.state_at(block)
        flat = {key: state.get(key) or b"" for key in state.keys(b"")}
        wanted = header.state_root
        _ensure(state.root({}) == wanted, f"the root of block {header.number} is wrong")
        _ensure(trie_root(flat) == wanted, f"the values of block {header.number} have another root")


def _ensure(holds: bool, words: str) -> None:
    if not holds:
        raise Wrong(words)
