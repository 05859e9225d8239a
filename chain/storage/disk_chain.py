"""Moving the state on disk from block to block: forwards by a block's changes, backwards by its undo record.

The disk normally stands at the last finalised block. It runs ahead along the best chain when too many blocks
wait for finality, and comes back when another fork turns out to be the one.
"""

from collections.abc import Mapping

from chain.common.errors import StorageError, TrieTooFar
from chain.env import Batch
from chain.storage.db import FLAT, HISTORY, TRIE, UNDO
from chain.storage.state import Disk, Overlay, Rewound, View, history_stem, pack_old
from chain.storage.trie import Branches, Record, record_key, update
from runtime.frame.state import Changes
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash

_ABSENT = 0xFFFFFFFF


class Move:
    """A path of the disk, collected into one batch; nothing is written here."""

    def __init__(self, disk: Disk, batch: Batch, *, history: bool) -> None:
        self._disk = disk
        self._batch = batch
        self._history = history
        self._flat: Changes = {}
        self._trie: Branches = {}

    def forward(self, number: BlockNumber, overlay: Overlay) -> None:
        """Apply a block."""
        old: Changes = {}
        view = self._view()
        for key, value in overlay.changes.items():
            found = view.get(key)
            if found != value:
                old[key] = found
        for key, value in old.items():
            if self._history:
                self._batch.put(HISTORY, history_stem(key) + number.to_bytes(4, "big"), pack_old(value))
            self._flat[key] = overlay.changes[key]
        self._trie.update(overlay.branches)
        self._batch.put(UNDO, number.to_bytes(4, "big"), pack_changes(old))

    def backward(self, header: Header, parent_root: Hash) -> Overlay:
        """Take a block back; return it as the overlay it was before.

        Raises: StorageError when the undo record does not lead to the parent's state.
        """
        old = read_undo(self._disk, header.number)
        view = self._view()
        root, branches = update(view, old)
        if root != parent_root:
            raise StorageError(f"the undo record of block {header.number} is damaged: purge and sync again")
        overlay = Overlay(
            {key: view.get(key) for key in old},
            {path: view.branch(path) for path in branches},
        )
        self._flat.update(old)
        self._trie.update(branches)
        for key in old:
            self._batch.delete(HISTORY, history_stem(key) + header.number.to_bytes(4, "big"))
        self._batch.delete(UNDO, header.number.to_bytes(4, "big"))
        return overlay

    def finish(self) -> tuple[Changes, Branches]:
        """Add the net change of the state to the batch and return it."""
        write_state(self._batch, self._flat, self._trie)
        return self._flat, self._trie

    def _view(self) -> View:
        return View((Overlay(self._flat, self._trie),), self._disk)


def write_state(batch: Batch, flat: Mapping[bytes, bytes | None], trie: Mapping[str, Record | None]) -> None:
    """Add changes of the state and its branches to a batch."""
    for key, value in flat.items():
        if value is None:
            batch.delete(FLAT, key)
        else:
            batch.put(FLAT, key, value)
    for path, branch in trie.items():
        if branch is None:
            batch.delete(TRIE, record_key(path))
        else:
            batch.put(TRIE, record_key(path), branch)


def read_undo(disk: Disk, number: BlockNumber) -> Changes:
    """Return what takes the state on disk back over one block.

    Raises: StorageError when the record is missing.
    """
    record = disk.snapshot.get(UNDO, number.to_bytes(4, "big"))
    if record is None:
        raise StorageError(f"the undo record of block {number} is missing: purge and sync again")
    return unpack_changes(record)


def rewound(disk: Disk, number: BlockNumber, head: BlockNumber, *, limit: int | None = None) -> Rewound:
    """Return what takes the state on disk, of block `head`, back to an older block.

    Raises: StorageError; TrieTooFar when more keys differ than the limit.
    """
    changes: Changes = {}
    for each in range(head, number, -1):
        changes.update(read_undo(disk, each))
        if limit is not None and len(changes) > limit:
            raise TrieTooFar
    return Rewound(changes, disk)


def pack_changes(changes: Changes) -> bytes:
    """Return changes as an undo record holds them: lengths as u32, little-endian."""
    parts: list[bytes] = []
    for key, value in changes.items():
        parts += (len(key).to_bytes(4, "little"), key)
        parts += (
            (_ABSENT.to_bytes(4, "little"),) if value is None else (len(value).to_bytes(4, "little"), value)
        )
    return b"".join(parts)


def unpack_changes(record: bytes) -> Changes:
    """Return the changes of an undo record."""
    changes: Changes = {}
    at = 0
    while at < len(record):
        end = at + 4 + int.from_bytes(record[at : at + 4], "little")
        key = record[at + 4 : end]
        size = int.from_bytes(record[end : end + 4], "little")
        at = end + 4
        changes[key] = None if size == _ABSENT else record[at : at + size]
        at += 0 if size == _ABSENT else size
    return changes
