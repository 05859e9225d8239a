"""The state of one block: unfinalised changes over the state on disk, or an old state out of the history.

A view never changes: its overlays are not modified once made and its disk is a snapshot of the database. So a
reader may keep it, or use it in another thread, while blocks are imported and finalised.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import merge

from chain.storage.db import FLAT, HISTORY, TRIE, Snapshot, StorageError
from chain.storage.trie import (
    Branch,
    Branches,
    closest_merkle_value,
    decode_record,
    prove,
    record_key,
    update,
)
from runtime.frame.state import Changes
from runtime.primitives.types import BlockNumber, Hash

MAX_PAGE = 256
"""keys read from the database at a time"""
REMEMBERED_ROOTS = 8
"""A node computes roots for one or two parents at a time."""


class Overlay:
    """What one or more blocks changed; never modified once made."""

    def __init__(self, changes: Mapping[bytes, bytes | None], branches: Mapping[str, Branch | None]) -> None:
        self.changes = changes
        self._branches = branches

    @property
    def branches(self) -> Mapping[str, Branch | None]:
        """Return the branches that differ from the older state."""
        return self._branches

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


class BranchCache:
    """Branches of the state on disk, least recently used first out.

    Each is marked with the generation of the disk that first held it, so a reader of an older generation
    neither sees a newer branch nor leaves an older one behind.
    """

    def __init__(self, limit: int) -> None:
        self.generation = 0
        self._limit = limit
        self._entries: OrderedDict[str, tuple[Branch, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str, generation: int) -> Branch | None:
        """Return the branch a generation has at a path, or None when it is not at hand."""
        with self._lock:
            entry = self._entries.get(path)
            if entry is None or entry[1] > generation:
                return None
            self._entries.move_to_end(path)
            return entry[0]

    def put(self, path: str, branch: Branch, generation: int) -> None:
        """Keep a branch that a generation read from its disk."""
        with self._lock:
            if generation == self.generation:
                self._keep(path, branch)

    def advance(self, branches: Mapping[str, Branch | None]) -> None:
        """Begin the generation that wrote these branches."""
        with self._lock:
            self.generation += 1
            for path, branch in branches.items():
                if branch is None:
                    self._entries.pop(path, None)
                else:
                    self._keep(path, branch)

    def _keep(self, path: str, branch: Branch) -> None:
        self._entries[path] = (branch, self.generation)
        self._entries.move_to_end(path)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)


class Disk:
    """The state on disk as one generation of the database holds it."""

    def __init__(self, snapshot: Snapshot, cache: BranchCache) -> None:
        self.snapshot = snapshot
        self._cache = cache
        self._generation = cache.generation

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self.snapshot.get(FLAT, key)

    def branch(self, path: str) -> Branch | None:
        """Return the branch at a path."""
        found = self._cache.get(path, self._generation)
        if found is not None:
            return found
        record = self.snapshot.get(TRIE, record_key(path))
        if record is None:
            return None
        found = decode_record(record)
        self._cache.put(path, found, self._generation)
        return found

    def keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        count = 1
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

    def branch(self, path: str) -> Branch | None:
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
        super().__init__(changes, {})
        self._disk = disk

    @cached_property
    def _computed(self) -> Branches:
        return update(View((), self._disk), self.changes)[1]

    @property
    def branches(self) -> Mapping[str, Branch | None]:
        """Return the branches that differ from those on disk."""
        return self._computed


class HistoryView:
    """The state at an old height: what the first later change to a key found there, else what is on disk."""

    def __init__(self, disk: Disk, number: BlockNumber) -> None:
        self._disk = disk
        self._number = number

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        stem = history_stem(key)
        found = self._disk.snapshot.entry(HISTORY, stem + (self._number + 1).to_bytes(4, "big"))
        if found is not None and found[0][:-4] == stem:
            return unpack_old(found[1])
        return self._disk.get(key)

    def scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        changed = self._changed_later(prefix, start)
        stored = self._disk.keys(prefix, start)
        previous = None
        for key, _, existed in merge(changed, ((key, True, True) for key in stored)):
            if key != previous and existed:
                yield key
            previous = key

    def settled(self) -> View:
        """Return the same state with its trie built from scratch: seconds for a large state."""
        flat: Changes = {key: self.get(key) for key in self.scan(b"", b"")}
        return View((Overlay(flat, update(View((), None), flat)[1]),), None)

    def _changed_later(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bool, bool]]:
        """Yield (key, False: sorts first, whether it had a value then) for each key that changed later."""
        position, within = _escaped(start), _escaped(prefix)
        while (found := self._disk.snapshot.entry(HISTORY, position)) and found[0].startswith(within):
            stem, number = found[0][:-4], int.from_bytes(found[0][-4:], "big")
            if number <= self._number:
                position = stem + (self._number + 1).to_bytes(4, "big")
            else:
                yield _unescaped(stem[:-1]), False, unpack_old(found[1]) is not None
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
