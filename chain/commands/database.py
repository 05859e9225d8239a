"""The database of a node that stands still, for the commands that look into it or mend it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain.commands.failure import USAGE, Failure
from chain.commands.places import DEFAULT_BASE
from chain.common.errors import RuntimeMissing, StorageError
from chain.common.notifications import Notifications
from chain.env_real import RealClock
from chain.executor import Executor
from chain.spec import ChainSpec, SpecError
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.frame.executive import BlockRejected
from runtime.primitives.types import BlockNumber, Hash

MADE = "CURRENT"
"""a file that every RocksDB database has"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which database."""
    parser.add_argument(
        "--chain", metavar="ID|FILE", default="local", help="dev, local, or a chain specification [local]"
    )
    parser.add_argument(
        "-d", "--base-path", type=Path, default=DEFAULT_BASE, metavar="PATH", help=f"[{DEFAULT_BASE}]"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def spec_of(parsed: argparse.Namespace) -> ChainSpec:
    """Return the chain.

    Raises: Failure.
    """
    try:
        return ChainSpec.load(parsed.chain)
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem


def path_of(parsed: argparse.Namespace, spec: ChainSpec) -> Path:
    """Return the directory of the chain's database."""
    return spec.home(parsed.base_path) / "db"


@contextmanager
def opened(parsed: argparse.Namespace, spec: ChainSpec, *, make: bool = False) -> Iterator[ChainStore]:
    """Open the database and close it in the end; `make` one where there is none.

    Raises: Failure, also for what goes wrong with the database meanwhile.
    """
    path = path_of(parsed, spec)
    try:
        if not make and not (path / MADE).exists():
            raise Failure(f"there is no chain at {path}: is --base-path right, and --chain?")
        store = ChainStore.open(path, spec.state())
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    except StorageError as problem:
        raise Failure(str(problem)) from problem
    try:
        yield store
    except (StorageError, RuntimeMissing) as problem:
        raise Failure(str(problem)) from problem
    finally:
        store.close()


def importer(store: ChainStore) -> Importer:
    """Return the door for blocks, with the states of unfinalised blocks made again.

    Raises: Failure, RuntimeMissing.
    """
    check_restored(store)
    door = Importer(store, Executor(), Notifications(), RealClock())
    try:
        door.recover()
    except (BlockRejected, AssertionError) as problem:
        raise Failure(
            f"the unfinalised blocks cannot be executed again: {problem}: revert them, or purge the chain"
        ) from problem
    return door


def find_block(store: ChainStore, text: str) -> Hash:
    """Return the block that a hash, or a height of the best chain, names.

    Raises: Failure.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 10:
        found = store.hash_at(int(text))
        if found is None and lacks(store, int(text)):
            raise Failure(f"block {text} is not here; the database lacks {missing(store)}")
        if found is None:
            raise Failure(f"there is no block {text}: the best is {named(store, store.best)}")
        return found
    try:
        block = Hash(bytes.fromhex(text.removeprefix("0x")))
    except ValueError as problem:
        raise Failure(f"{text!r} is neither a height nor a hash", USAGE) from problem
    if store.header(block) is None:
        raise Failure(f"the block 0x{block.hex()} is not known here")
    return block


def number_of(store: ChainStore, block: Hash) -> BlockNumber:
    """Return the height of a stored block."""
    header = store.header(block)
    assert header is not None, f"the header of 0x{block.hex()} is missing"
    return header.number


def named(store: ChainStore, block: Hash) -> str:
    """Return a stored block as people read it."""
    return f"#{number_of(store, block)} (0x{block.hex()})"


def heads(store: ChainStore) -> dict[str, str | int]:
    """Return best and final block for JSON."""
    return {
        "bestNumber": store.best_number,
        "bestHash": f"0x{store.best.hex()}",
        "finalizedNumber": store.finalized_number,
        "finalizedHash": f"0x{store.finalized.hex()}",
    }


def missing(store: ChainStore) -> str | None:
    """Return what the database lacks of its chain, and how it gets there; None when nothing is missing."""
    if store.restoration is not None:
        target = store.restoration.target
        return f"a part of the state of #{target.number} (0x{target.hash().hex()}): start the node to go on"
    if store.gap.missing is None:
        return None
    first, last = store.gap.missing
    if store.gap.wanted is None:
        return f"the blocks #{first} to #{last}, which pruning does not keep"
    return f"the blocks #{first} to #{last}: a running node fetches them from its peers"


def lacks(store: ChainStore, number: int) -> bool:
    """Say whether a height lies in the gap below the block that the chain was restored at."""
    return store.gap.missing is not None and store.gap.missing[0] <= number <= store.gap.missing[1]


def check_restored(store: ChainStore) -> None:
    """See to it that no state is under restoration.

    Raises: Failure.
    """
    if store.restoration is not None:
        raise Failure(f"the database lacks {missing(store)}, or purge the chain")
