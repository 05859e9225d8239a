"""The state of one block: unfinalised changes over the state on disk, or an old state out of the history.

A view never changes: its overlays are not modified once made and its disk is a snapshot of the database. So a
reader may keep it, or use it in another thread, while blocks are imported and finalised.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from heapq import merge

from chain.common.errors import StorageError, TrieTooFar
from chain.common.state_data import StateRange
from chain.env import Snapshot
from chain.storage.db import FLAT, HISTORY, TRIE
from chain.storage.range_proof import prove_range
from chain.storage.trie import (
    Branches,
    Record,
    closest_merkle_value,
    prove,
    record_key,
    update,
)
from runtime.frame.state import Changes
from runtime.primitives.types import BlockNumber, Hash

FIRST_PAGE, MAX_PAGE = 4, 256
"""keys read from the database at a time"""
REMEMBERED_GENERATIONS = 8
"""How far behind the disk a reader still shares what is cached."""
ENTRY_BYTES = 250
"""what keeping a record takes beside its bytes and those of its key"""
MAX_REWOUND_KEYS = 100_000
"""What the trie of one old state may differ by: some seconds of work and a hundred MB."""
MAX_SCANNED = 1_000_000
"""Entries of the history that may be passed to find what differs: some ten seconds."""
REMEMBERED_ROOTS = 8
"""A node computes roots for one or two parents at a time."""


class Overlay:
    """What one or more blocks changed; never modified once made."""

    def __init__(self, changes: Mapping[bytes, bytes | None], branches: Mapping[str, Record | None]) -> None:
        self.changes = changes
        self.branches = branches

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(self.changes)

    def keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the changed (or deleted) keys with a prefix, from the first that is not below `start`."""
        for index in range(bisect_left(self._sorted, start), len(self._sorted)):
            key = self._sorted[index]
            if not key.startswith(prefix):
                return
            yield key


def merged(overlays: Iterable[Overlay]) -> Overlay:
    """Return several overlays, oldest first, as one."""
    changes: Changes = {}
    branches: Branches = {}
    for overlay in overlays:
        changes.update(overlay.changes)
        branches.update(overlay.branches)
    return Overlay(changes, branches)


class _Unknown:
    """Marks what is not at hand."""


_UNKNOWN = _Unknown()


class Cache:
    """Values by key and branches by path, as they are on disk (None: absent); what was not used lately goes.

    Each reader belongs to a generation of the disk. It neither sees what a later one wrote nor leaves behind
    what an earlier one read.
    """

    def __init__(self, limit: int) -> None:
        self.generation = 0
        self._half = limit // 2
        self._recent: dict[bytes | str, bytes | None] = {}
        self._recent_bytes = 0
        self._older: dict[bytes | str, bytes | None] = {}
        self._written: deque[Set[bytes | str]] = deque(maxlen=REMEMBERED_GENERATIONS)
        self._lock = threading.Lock()

    def get(self, key: bytes | str, generation: int) -> bytes | _Unknown | None:
        """Return what a generation has under a key, if it is at hand."""
        record = self._recent.get(key, _UNKNOWN)
        if generation == self.generation and not isinstance(record, _Unknown):
            return record  # without the lock: `advance` counts the generation up before it keeps anything
        with self._lock:
            record = self._recent.get(key, _UNKNOWN)
            if isinstance(record, _Unknown):
                record = self._older.get(key, _UNKNOWN)
                if isinstance(record, _Unknown):
                    return _UNKNOWN
                self._keep(key, record)
            if generation != self.generation and self._is_later(key, generation):
                return _UNKNOWN
            return record

    def put(self, key: bytes | str, record: bytes | None, generation: int) -> None:
        """Keep what a generation read from its disk."""
        with self._lock:
            if generation == self.generation:
                self._keep(key, record)

    def advance(self, values: Mapping[bytes, bytes | None], branches: Mapping[str, Record | None]) -> None:
        """Begin the generation that wrote these."""
        with self._lock:
            self._written.append({*values, *branches})
            self.generation += 1
            for key, value in values.items():
                self._keep(key, value)
            for path, branch in branches.items():
                self._keep(path, branch)

    def _is_later(self, key: bytes | str, generation: int) -> bool:
        """Say whether a record may be younger than a generation."""
        behind = self.generation - generation
        if behind > len(self._written):
            return True
        return any(key in self._written[-age] for age in range(1, behind + 1))

    def _keep(self, key: bytes | str, record: bytes | None) -> None:
        before = self._recent.get(key, _UNKNOWN)
        self._recent[key] = record
        self._recent_bytes += len(record or b"")
        self._recent_bytes += len(key) + ENTRY_BYTES if isinstance(before, _Unknown) else -len(before or b"")
        if self._recent_bytes > self._half:
            self._older, self._recent, self._recent_bytes = self._recent, {}, 0


class Disk:
    """The state on disk as one generation of the database holds it."""

    def __init__(self, snapshot: Snapshot, cache: Cache) -> None:
        self.snapshot = snapshot
        self._cache = cache
        self._generation = cache.generation

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        found = self._cache.get(key, self._generation)
        if isinstance(found, _Unknown):
            found = self.snapshot.get(FLAT, key)
            self._cache.put(key, found, self._generation)
        return found

    def branch(self, path: str) -> Record | None:
        """Return the branch at a path."""
        found = self._cache.get(path, self._generation)
        if isinstance(found, _Unknown):
            found = self.snapshot.get(TRIE, record_key(path))
            self._cache.put(path, found, self._generation)
        return found

    def keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        found = self.snapshot.entry(FLAT, start)
        if found is None or not found[0].startswith(prefix):
            return
        self._cache.put(*found, self._generation)  # who looks for one key reads it next
        yield found[0]
        start, count = found[0] + b"\x00", FIRST_PAGE
        while True:
            page = self.snapshot.keys(FLAT, start, count)
            for key in page:
                if not key.startswith(prefix):
                    return
                yield key
            if len(page) < count:
                return
            start, count = page[-1] + b"\x00", min(4 * count, MAX_PAGE)


class View:
    """Overlays, newest first, over the state on disk (None: over an empty state)."""

    def __init__(self, overlays: tuple[Overlay, ...], disk: Disk | None) -> None:
        self._overlays = overlays
        self._disk = disk

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        for overlay in self._overlays:
            if key in overlay.changes:
                return overlay.changes[key]
        return self._disk.get(key) if self._disk else None

    def branch(self, path: str) -> Record | None:
        """Return the branch at a path."""
        for overlay in self._overlays:
            if path in overlay.branches:
                return overlay.branches[path]
        return self._disk.branch(path) if self._disk else None

    def first(self, prefix: str) -> bytes | None:
        """Return the lowest key whose nibbles start with these."""
        whole = bytes.fromhex(prefix[: len(prefix) & ~1])
        start = bytes.fromhex(prefix + "0") if len(prefix) & 1 else whole
        key = next(self.scan(whole, start), None)
        return key if key is not None and key.hex().startswith(prefix) else None

    def scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        stored = self._disk.keys(prefix, start) if self._disk else iter(())
        if not self._overlays:
            yield from stored
            return
        previous = None
        for key in merge(stored, *(overlay.keys(prefix, start) for overlay in self._overlays)):
            if key != previous and self._is_alive(key):
                yield key
            previous = key

    def _is_alive(self, key: bytes) -> bool:
        """Say whether a key of some overlay or of the disk still has a value."""
        for overlay in self._overlays:
            if key in overlay.changes:
                return overlay.changes[key] is not None
        return True

    def settled(self) -> "View":
        """Return this view, which has branches."""
        return self


class Rewound(Overlay):
    """What takes the state on disk back to an older block; computes its branches when asked for them."""

    def __init__(self, changes: Changes, disk: Disk) -> None:
        self.changes = changes
        self._disk = disk

    @cached_property
    def branches(self) -> Branches:  # type: ignore[override]
        """Return the branches that differ from those on disk."""
        return update(View((), self._disk), self.changes)[1]


class HistoryView:
    """The state at an old height: what the first later change to a key found there, else what is on disk.

    `rewind` is a shorter way to what leads there from the disk, where there are undo records.
    """

    def __init__(self, disk: Disk, number: BlockNumber, rewind: Callable[[], Rewound] | None = None) -> None:
        self._disk = disk
        self._number = number
        self._rewind = rewind

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        stem = history_stem(key)
        found = self._disk.snapshot.entry(HISTORY, stem + (self._number + 1).to_bytes(4, "big"))
        if found is not None and found[0][:-4] == stem:
            return unpack_old(found[1])
        return self._disk.get(key)

    def scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        changed = ((key, False, old is not None) for key, old in self._changed_later(prefix, start))
        stored = ((key, True, True) for key in self._disk.keys(prefix, start))
        previous = None
        for key, _, existed in merge(changed, stored):  # what changed later sorts first
            if key != previous and existed:
                yield key
            previous = key

    def settled(self) -> View:
        """Return the same state over the branches on disk; the first root or proof works on all that differs.

        Raises: TrieTooFar.
        """
        rewound = self._rewind() if self._rewind else Rewound(self.differences(), self._disk)
        return View((rewound,), self._disk)

    def differences(self) -> Changes:
        """Return what leads from the state on disk to this one.

        Raises: TrieTooFar.
        """
        changes: Changes = {}
        for key, old in self._changed_later(b"", b"", MAX_SCANNED):
            changes[key] = old
            if len(changes) > MAX_REWOUND_KEYS:
                raise TrieTooFar
        return changes

    def _changed_later(
        self, prefix: bytes, start: bytes, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield each key that changed later, in order, and its value before.

        Raises: TrieTooFar where more entries of the history are passed than the limit.
        """
        position, within, passed = _escaped(start), _escaped(prefix), 0
        while (found := self._disk.snapshot.entry(HISTORY, position)) and found[0].startswith(within):
            passed += 1
            if limit is not None and passed > limit:
                raise TrieTooFar
            stem, number = found[0][:-4], int.from_bytes(found[0][-4:], "big")
            if number <= self._number:
                position = stem + (self._number + 1).to_bytes(4, "big")
            else:
                yield _unescaped(stem[:-1]), unpack_old(found[1])
                position = stem + b"\xff"


@dataclass(frozen=True, slots=True)
class Computed:
    """The outcome of one root computation."""

    changes: Mapping[bytes, bytes | None]
    root: Hash
    branches: Branches


class Roots:
    """The last root computed on each of a few parents: importing a block does not compute it again."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hash, Computed] = OrderedDict()

    def compute(self, parent: Hash, view: View, changes: Mapping[bytes, bytes | None]) -> Computed:
        """Return the root after these changes to the state of a block."""
        known = self._known.get(parent)
        if known is None or known.changes != changes:
            known = Computed(dict(changes), *update(view, changes))
            self._known[parent] = known
        self._known.move_to_end(parent)
        if len(self._known) > REMEMBERED_ROOTS:
            self._known.popitem(last=False)
        return known


class StateAt:
    """The state of one block, as the runtime and RPC see it."""

    def __init__(self, block: Hash, view: View | HistoryView, roots: Roots) -> None:
        self.block = block
        self._view = view
        self._roots = roots

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self._view.get(key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield the keys with a prefix in ascending order, those strictly above `after` if it is given."""
        return self._view.scan(prefix, max(prefix, after + b"\x00") if after else prefix)

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Return the state root after these changes (None deletes) without applying them."""
        return self.compute(changes).root

    def compute(self, changes: Mapping[bytes, bytes | None]) -> Computed:
        """Return the root and the branches after these changes."""
        return self._roots.compute(self.block, self._settled, changes)

    def prove(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return the read proof of some keys, as state_getReadProof answers it."""
        return prove(self._settled, keys)

    def closest_merkle_value(self, key: bytes) -> bytes | None:
        """Return the Merkle value of the highest trie node at or below a key."""
        return closest_merkle_value(self._settled, key)

    def prove_range(self, start: bytes, limit: int, end: bytes | None) -> StateRange:
        """Return keys and values from `start` on, about `limit` bytes and hardly any past `end`, proven."""
        return prove_range(self._settled, start, limit, end)

    @cached_property
    def _settled(self) -> View:
        return self._view.settled()


def history_stem(key: bytes) -> bytes:
    """Return what precedes the block number (u32, big-endian) in the history of a key.

    Zero bytes are escaped, so that entries sort as keys do even when one key begins with another; a number
    never begins with 0xff.
    """
    return _escaped(key) + b"\x00"


def _escaped(key: bytes) -> bytes:
    return key.replace(b"\x00", b"\x00\xff")


def _unescaped(escaped: bytes) -> bytes:
    return escaped.replace(b"\x00\xff", b"\x00")


def pack_old(value: bytes | None) -> bytes:
    """Return an old value, or its absence, as the history holds it."""
    return b"\x00" if value is None else b"\x01" + value


def unpack_old(record: bytes) -> bytes | None:
    """Return the old value of a history record.

    Raises: StorageError when there is no record in it.
    """
    if not record:
        raise StorageError("a record of the history is damaged: purge the chain and sync again")
    return record[1:] if record[0] else None
