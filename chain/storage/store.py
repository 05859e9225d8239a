"""The chain's storage: blocks, their states, and the two batches that move them on.

Importing a block writes {header, body, justification, heads}; its changes stay in memory as an overlay.
Finalising writes {state, trie, undo, history, heads}. After a crash the unfinalised blocks are still there;
`unapplied` says which of them must be executed again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from chain.common.errors import StateDiscarded, StorageError, UnknownBlock
from chain.env import Batch, Database
from chain.storage.blocks import Blocks, Tree
from chain.storage.db import META, RocksDatabase
from chain.storage.disk_chain import Move, rewound
from chain.storage.forks import ForkView, fork_changes, put_fork
from chain.storage.gap import Gap, put_gap
from chain.storage.heads import BEST, DISK, FINALIZED, GENESIS, Proven, agree_on_genesis, begin_at, head
from chain.storage.pruning import Modes, Pruner, Pruning, agree
from chain.storage.restore import HeldSnapshot, Restoration, begin_restoring, found_restoring
from chain.storage.set_ends import SetEnds
from chain.storage.state import (
    MAX_REWOUND_KEYS,
    Cache,
    Disk,
    HistoryView,
    Overlay,
    Rewound,
    Roots,
    StateAt,
    View,
    merged,
)
from chain.storage.trie import Record
from runtime.frame.state import Changes
from runtime.primitives.grandpa import changes_voters
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash

CACHE_BYTES = 64 * 1024 * 1024
"""Holds the branches and values of some 50,000 accounts; filled as they are used."""
MAX_LAYERS = 256
"""Blocks of the best chain that wait for finality in memory; beyond, the oldest move to disk."""
SINGLE_LAYERS = 16
"""A reader looks into about this many overlays; the older ones are merged for it."""
MERGE_EVERY = 8
"""blocks; consecutive readers share what was merged"""
FAST_REWIND = 32
"""Up to this depth the disk is taken back in memory even with a history: roots and proofs stay quick."""
KEPT_VIEWS = 4
"""merged overlays, and rewound ones, that are kept for the next reader"""

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _DiskMove:
    """What a written batch has done to the state on disk."""

    values: Mapping[bytes, bytes | None]
    branches: Mapping[str, Record | None]
    taken_back: dict[Hash, Overlay]
    chain: dict[Hash, BlockNumber]


class ChainStore:
    """Blocks and states of one chain; one task writes, anybody reads."""

    def __init__(
        self, database: Database, modes: Modes, genesis_state: Mapping[bytes, bytes], *, cache_bytes: int
    ) -> None:
        self._database = database
        self._modes = modes
        self._genesis_state = genesis_state  # only at the genesis block
        self._cache_bytes = cache_bytes
        self._load()

    def _load(self) -> None:
        """Read where the chain stands."""
        database = self._database
        self._blocks = Blocks(database)
        self._genesis = head(database, GENESIS)
        self._best = head(database, BEST)
        self._finalized = head(database, FINALIZED)
        self._set_ends = SetEnds(database)
        self._tree = Tree(self._finalized, self._blocks.unfinalized())
        self._best_number = self._number(self._best)
        self._finalized_number = self._number(self._finalized)
        self._on_disk = self._numbered(self._tree.chain(head(database, DISK)))
        self._pruner = Pruner(database, self._blocks, self._modes, self._number(self._disk_head))
        self._gap = Gap(database, self._blocks, self._set_ends, self._first_kept)
        self._restoration = found_restoring(database)
        self._genesis_state = {} if self._best_number else self._genesis_state
        self._cache = Cache(self._cache_bytes)
        held = HeldSnapshot(self._genesis_state) if self._restoration else database.snapshot()
        self._disk = Disk(held, self._cache)
        self._layers: dict[Hash, Overlay] = {}
        self._merged: dict[Hash, Overlay] = {}
        self._rewound: dict[BlockNumber, Rewound] = {}
        self._roots = Roots()

    @classmethod
    def open(
        cls,
        path: Path,
        genesis_state: Mapping[bytes, bytes],
        *,
        states: Pruning | None = None,
        blocks: Pruning | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> "ChainStore":
        """Open the chain in a directory; otherwise as `on`.

        Raises: StorageError.
        """
        database = RocksDatabase.open(path)
        return cls.on(database, genesis_state, states=states, blocks=blocks, cache_bytes=cache_bytes)

    @classmethod
    def on(
        cls,
        database: Database,
        genesis_state: Mapping[bytes, bytes],
        *,
        states: Pruning | None = None,
        blocks: Pruning | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> "ChainStore":
        """Take over an open database; make the genesis block when there is none.

        The pruning modes (None: as recorded, in a new database Substrate's defaults) cannot change in kind.
        Raises: StorageError, also when the database holds another chain; it is closed then.
        """
        with ExitStack() as opened:
            opened.callback(database.close)
            agree_on_genesis(database, genesis_state)
            modes = agree(database, states, blocks)
            store = cls(database, modes, genesis_state, cache_bytes=cache_bytes)
            opened.pop_all()
        return store

    def close(self) -> None:
        """Close the database; states read from it are unusable afterwards."""
        self._database.close()

    @property
    def modes(self) -> Modes:
        """What is kept of the past."""
        return self._pruner.modes

    @property
    def genesis_hash(self) -> Hash:
        """The first block."""
        return self._genesis

    @property
    def best(self) -> Hash:
        """The head of the chain that fork choice prefers."""
        return self._best

    @property
    def best_number(self) -> BlockNumber:
        """The height of the best block."""
        return self._best_number

    @property
    def finalized(self) -> Hash:
        """The last block that never reverts."""
        return self._finalized

    @property
    def finalized_number(self) -> BlockNumber:
        """The height of the last finalised block."""
        return self._finalized_number

    def header(self, block: Hash) -> Header | None:
        """Return a block's header."""
        return self._tree.get(block) or self._blocks.header(block)

    def body(self, block: Hash) -> list[bytes] | None:
        """Return a block's extrinsics."""
        return self._blocks.body(block)

    def justification(self, block: Hash) -> bytes | None:
        """Return the proof that a block is final, where one was stored."""
        return self._blocks.justification(block)

    def hash_at(self, number: int) -> Hash | None:
        """Return the block of the best chain at a height."""
        return self._blocks.hash_at(number)

    def children(self, block: Hash) -> list[Hash]:
        """Return the known children of a block."""
        if block in self._tree or block == self._finalized:
            return self._tree.children(block)
        header = self._blocks.header(block)
        if header is None or self.hash_at(header.number) != block:
            return []
        child = self.hash_at(header.number + 1)
        return [] if child is None else [child]

    def chain_weight(self, block: Hash) -> tuple[int, BlockNumber]:
        """Return what fork choice compares: blocks of primary slots above the final block, and the height.

        Raises: UnknownBlock, StateDiscarded of a block that is not above the final one.
        """
        primaries = self._tree.primaries(block)
        if primaries is None:
            raise self._no_state(block)
        return primaries, self._number(block)

    def best_above(self, block: Hash) -> Hash:
        """Return the head that fork choice prefers of those that descend from a block, or that block."""
        return self._tree.best_above(block)

    def set_end(self, number: BlockNumber) -> BlockNumber | None:
        """Return the last block of the voters who decided on a final block; None where they still vote."""
        return self._set_ends.of(number)

    def set_ends_above(self, number: BlockNumber) -> list[BlockNumber]:
        """Return the final blocks above a height that changed voters, lowest first."""
        return self._set_ends.above(number)

    # A chain that begins with the state of a later block.

    @property
    def restoration(self) -> Restoration | None:
        """What is under restoration; until it ends the chain stands at its genesis block."""
        return self._restoration

    @property
    def gap(self) -> Gap:
        """The blocks below a restored one that are not here yet."""
        return self._gap

    @property
    def first_number(self) -> int:
        """The height from which on every block of the best chain is here, with its body."""
        missing = self._gap.missing
        first = self._first_kept() if missing is None else max(self._first_kept(), missing[1] + 1)
        return first if first > 1 else 0

    def restore(self, target: Header) -> Restoration:
        """Begin to restore the state of a block, or go on with it.

        Raises: StorageError, also when there are blocks above the first.
        """
        if self._best_number:
            raise StorageError("a chain that has blocks already is not restored: purge it, or sync in full")
        if self._restoration is None or self._restoration.target != target:
            begin_restoring(self._database, target)
            self._load()
        assert self._restoration is not None, "it has just begun"
        return self._restoration

    def abandon_restoration(self) -> None:
        """Go back to the genesis block, as if nothing had been restored.

        Raises: StorageError.
        """
        if self._restoration is not None:
            batch = self._database.batch()
            self._restoration.undo(batch, self._genesis_state)
            self._database.write(batch)
            self._load()

    def finish_restoration(self, justification: bytes, changes: Sequence[Proven] = ()) -> None:
        """Make the restored block final and best, at once with what is proven below it.

        `changes` are the final blocks at which voters changed. The other blocks below are a gap then.
        Raises: StorageError when the state is not that of the block.
        """
        assert self._restoration is not None, "a restoration ends that was begun"
        target = self._restoration.target
        if self._restoration.root() != target.state_root:
            self.abandon_restoration()
            raise StorageError(f"what was restored is not the state of #{target.number}: start again")
        batch = self._database.batch()
        proven = [*(each for each in changes if each[0] != target), (target, justification)]
        begin_at(batch, self._blocks, target.hash(), proven)
        self._set_ends.add_to(batch, [each.number for each, _ in proven if changes_voters(each)])
        self._pruner.begin_at(batch, target.number)
        put_gap(batch, 1, target.number)
        self._restoration.end(batch)
        self._database.write(batch)
        self._load()

    def leaves(self) -> list[Hash]:
        """Return the heads of all forks."""
        return self._tree.leaves()

    def state_at(self, block: Hash) -> StateAt:
        """Return the state after a block.

        Raises: UnknownBlock, StateDiscarded.
        """
        return StateAt(block, self._view(block), self._roots)

    def import_block(
        self,
        header: Header,
        body: list[bytes],
        changes: Changes,
        *,
        best: bool,
        justification: bytes | None = None,
    ) -> None:
        """Store a block on a parent that is stored; `best` makes it the head of the best chain.

        Raises: UnknownBlock or StateDiscarded of the parent (also when it lies below the finalised block),
        StorageError; AssertionError on a wrong root.
        """
        assert self._restoration is None, "nothing is imported while a state is restored"
        block = header.hash()
        overlay = None if self._has_state(block) else self._execute(header, changes)
        batch = self._database.batch()
        self._blocks.put(batch, block, header, body)
        if justification is not None:
            self._blocks.put_justification(batch, block, justification)
        if best:
            self._put_best(batch, block, header)
        self._database.write(batch)
        self._tree.add(block, header)
        if overlay is not None:
            self._layers[block] = overlay
        if best:
            self._best, self._best_number = block, header.number
            self._flatten()

    def unapplied(self) -> list[Hash]:
        """Return the unfinalised blocks that must be executed again, parents first."""
        return [block for block in self._tree if not self._has_state(block)]

    def restore_layer(self, block: Hash, changes: Changes) -> None:
        """Give an unapplied block its state back.

        Raises: UnknownBlock, StateDiscarded (of the parent); AssertionError on a wrong root.
        """
        header = self._tree.get(block)
        if header is None:
            raise UnknownBlock(block)
        if not self._has_state(block):
            self._layers[block] = self._execute(header, changes)

    def finalize(self, block: Hash, justification: bytes | None) -> list[Hash]:
        """Make a block final; return the blocks that thereby became final, oldest first.

        Raises: UnknownBlock when it is not on a living fork, StateDiscarded, StorageError.
        """
        batch = self._database.batch()
        if justification is not None:
            self._blocks.put_justification(batch, block, justification)
        if self._is_final(block):
            self._database.write(batch)
            return []
        chain = self._tree.chain(block)
        move = None if block in self._on_disk else self._move_disk(block, batch)
        abandoned = self._tree.abandoned_by(block)
        for each in abandoned:
            self._abandon(batch, each, move)
        for each in chain:
            self._blocks.settle(batch, each, self._known(each))
        keeps_best = self._best == block or self._best in self._tree.above(block)
        best = self._best if keeps_best else self._tree.best_above(block)
        self._put_best(batch, best, self._known(best))
        batch.put(META, FINALIZED, block)
        ends = [self._number(each) for each in chain if changes_voters(self._known(each))]
        self._set_ends.add_to(batch, ends)
        best_number, number = self._known(best).number, self._known(block).number
        self._pruner.add_to(batch, self._disk, self._finalized_number, number)
        self._database.write(batch)
        self._pruner.follow()
        self._set_ends.follow(ends)
        if move is not None:
            self._disk_moved(move)
        self._best, self._best_number = best, best_number
        self._finalized, self._finalized_number = block, number
        self._tree = self._tree.rooted_at(block)
        self._on_disk = {each: height for each, height in self._on_disk.items() if height > number}
        self._layers = {each: overlay for each, overlay in self._layers.items() if each in self._tree}
        return chain

    def revert(self, count: int) -> list[Hash]:
        """Take the best chain back by so many blocks, not below the final one; return what is forgotten.

        Forks that reach higher than the new best block lose what is above it, too.
        Raises: StorageError.
        """
        target = max(self._finalized_number, self._best_number - count)
        gone = [block for block in self._tree if self._number(block) > target]
        kept = [(block, self._known(block)) for block in self._tree if self._number(block) <= target]
        tree = Tree(self._finalized, iter(kept))
        best = self._best_after(target, tree)
        batch = self._database.batch()
        stays = [block for block, number in self._on_disk.items() if number <= target]
        move = None
        if len(stays) < len(self._on_disk):
            move = self._move_disk(stays[-1] if stays else self._finalized, batch)
        for block in gone:
            self._blocks.discard(batch, block, self._known(block))
        self._put_best(batch, best, self._known(best))
        self._database.write(batch)
        if move is not None:
            self._disk_moved(move)
        self._best, self._best_number = best, self._known(best).number
        self._tree = tree
        self._layers = {each: overlay for each, overlay in self._layers.items() if each in self._tree}
        return gone

    def _best_after(self, target: BlockNumber, tree: Tree) -> Hash:
        """Return the best chain's block at a height, or a head left in a tree that fork choice prefers."""
        best = self.hash_at(target)
        assert best is not None, f"block {target} of the best chain is missing"
        other = tree.best_above(self._finalized)
        is_heavier = (tree.primaries(other), self._number(other)) > (tree.primaries(best), target)
        return other if is_heavier else best

    def _known(self, block: Hash) -> Header:
        header = self.header(block)
        assert header is not None, f"the header of 0x{block.hex()} is missing"
        return header

    def _number(self, block: Hash) -> BlockNumber:
        return self._known(block).number

    def _numbered(self, chain: list[Hash]) -> dict[Hash, BlockNumber]:
        return {block: self._number(block) for block in chain}

    def _first_kept(self) -> int:
        return self._pruner.first_body(self._finalized_number)

    @property
    def _disk_head(self) -> Hash:
        return next(reversed(self._on_disk), self._finalized)

    def _has_state(self, block: Hash) -> bool:
        return block in self._layers or block in self._on_disk

    def _no_state(self, block: Hash) -> UnknownBlock | StateDiscarded:
        return UnknownBlock(block) if self.header(block) is None else StateDiscarded(block)

    def _is_final(self, block: Hash) -> bool:
        if block in self._tree:
            return False
        return self._final_number(block) is not None

    def _final_number(self, block: Hash) -> BlockNumber | None:
        """Return the height of a final block, None when it is not one."""
        header = self._blocks.header(block)
        if header is None or header.number > self._finalized_number or self.hash_at(header.number) != block:
            return None
        return header.number

    def _execute(self, header: Header, changes: Changes) -> Overlay:
        """Return the overlay of a block, with the root that its author computed."""
        parent = self._tree.get(header.parent_hash)
        if parent is None and header.parent_hash != self._finalized:
            raise self._no_state(header.parent_hash)
        number = (parent.number if parent else self._finalized_number) + 1
        if header.number != number:
            raise AssertionError(f"block {header.number} follows block {number - 1}")
        computed = self.state_at(header.parent_hash).compute(changes)
        if computed.root != header.state_root:
            found, said = computed.root.hex(), header.state_root.hex()
            raise AssertionError(f"block {number} leads to root 0x{found}, its header says 0x{said}")
        return Overlay(computed.changes, computed.branches)

    def _abandon(self, batch: Batch, block: Hash, move: "_DiskMove | None") -> None:
        """Forget a block of a fork that has lost, or keep what an archive keeps of it."""
        modes, header = self._pruner.modes, self._known(block)
        if not (modes.states.forks or modes.blocks.forks):
            self._blocks.discard(batch, block, header)
            return
        self._blocks.retire(batch, block, header, body=modes.blocks.forks)
        overlay = self._layers.get(block) or (move.taken_back.get(block) if move else None)
        if modes.states.forks and overlay is not None:
            put_fork(batch, block, overlay)

    def _put_best(self, batch: Batch, block: Hash, header: Header) -> None:
        """Make a block the best: rewrite the heights at which its chain is not the best one yet."""
        batch.put(META, BEST, block)
        for number in range(header.number + 1, self._best_number + 1):
            self._blocks.put_canonical(batch, number, None)
        while self.hash_at(header.number) != block:
            self._blocks.put_canonical(batch, header.number, block)
            block = header.parent_hash
            header = self._known(block)

    def _view(self, block: Hash) -> View | HistoryView:
        """Return a block's state: its overlays over the disk, which is taken back where it is ahead."""
        layers, base = self._layers_down(block)
        overlays = self._compact(layers)
        if base == self._disk_head:
            return View(overlays, self._disk)
        number = self._number_on_disk(base)
        if number is None:
            return self._fork_view(block)
        head, finalized = self._number(self._disk_head), self._finalized_number
        has_history = not layers and self._pruner.has_history(number, finalized)
        if has_history and head - number > FAST_REWIND:
            has_undo = self._pruner.has_undo(number, finalized)
            shorter = partial(rewound, self._disk, number, head, limit=MAX_REWOUND_KEYS) if has_undo else None
            return HistoryView(self._disk, number, shorter)
        if not self._pruner.has_undo(number, finalized):
            raise StateDiscarded(block)
        return View((*overlays, self._rewind(number, head)), self._disk)

    def _fork_view(self, block: Hash) -> ForkView:
        """Return the state of a block of an abandoned fork."""
        path, below = [], block
        while (number := self._number_on_disk(below)) is None:
            changes = fork_changes(self._database, below)
            if changes is None:
                raise self._no_state(block)
            path.append(Overlay(changes, {}))
            below = self._known(below).parent_hash
        if not self._pruner.has_history(number, self._finalized_number):
            raise StateDiscarded(block)
        return ForkView(merged(reversed(path)), self._disk, number)

    def _layers_down(self, block: Hash) -> tuple[list[Hash], Hash]:
        """Return the blocks in memory from this one down, and the block below them."""
        layers = []
        while block in self._layers:
            layers.append(block)
            block = self._known(block).parent_hash
        return layers, block

    def _compact(self, layers: list[Hash]) -> tuple[Overlay, ...]:
        """Return the overlays of these blocks, newest first, the older ones merged when they are many."""
        overlays = [self._layers[block] for block in layers]
        if len(layers) <= SINGLE_LAYERS:
            return tuple(overlays)
        cut = MERGE_EVERY + self._number(layers[MERGE_EVERY]) % MERGE_EVERY
        older = self._merged.get(layers[cut])
        if older is None:
            older = merged(reversed(overlays[cut:]))
            _keep(self._merged, layers[cut], older)
        return (*overlays[:cut], older)

    def _number_on_disk(self, block: Hash) -> BlockNumber | None:
        """Return the height of a block that the disk has gone through."""
        if block in self._on_disk:
            return self._on_disk[block]
        return None if block in self._tree else self._final_number(block)

    def _rewind(self, number: BlockNumber, head: BlockNumber) -> Rewound:
        found = self._rewound.get(number)
        if found is None:
            found = rewound(self._disk, number, head)
            _keep(self._rewound, number, found)
        return found

    def _flatten(self) -> None:
        """Move the oldest blocks of an overlong best chain to disk."""
        waiting = [block for block in self._tree.chain(self._best) if block not in self._on_disk]
        if len(waiting) > MAX_LAYERS:
            batch = self._database.batch()
            move = self._move_disk(waiting[-MAX_LAYERS - 1], batch)
            self._database.write(batch)
            self._disk_moved(move)

    def _move_disk(self, target: Hash, batch: Batch) -> _DiskMove:
        """Add to a batch what takes the disk to a block: back to the fork, then forward."""
        chain = self._tree.chain(target)
        move = Move(self._disk, batch, history=self._pruner.keeps_history)
        taken_back, on_the_way = {}, set(chain)
        for block in [each for each in reversed(self._on_disk) if each not in on_the_way]:
            header = self._known(block)
            taken_back[block] = move.backward(header, self._known(header.parent_hash).state_root)
        for block in chain:
            if block not in self._on_disk:
                if block not in self._layers:
                    raise StateDiscarded(block)
                move.forward(self._number(block), self._layers[block])
        batch.put(META, DISK, target)
        return _DiskMove(*move.finish(), taken_back, self._numbered(chain))

    def _disk_moved(self, move: _DiskMove) -> None:
        """Follow a written batch in memory."""
        self._cache.advance(move.values, move.branches)
        self._disk = Disk(self._database.snapshot(), self._cache)
        self._on_disk = move.chain
        kept = {block: overlay for block, overlay in self._layers.items() if block not in move.chain}
        self._layers = kept | move.taken_back
        self._merged.clear()
        self._rewound.clear()


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep the newest few."""
    kept[key] = value
    while len(kept) > KEPT_VIEWS:
        del kept[next(iter(kept))]
