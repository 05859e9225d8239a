"""The database in memory: what chain/storage/db.py promises, without RocksDB.

A batch is written whole or not at all, and what was written survives a crash. A snapshot keeps what was there
when it was taken; ordered reads are in key order. `Tables` is what lies on the machine's disk, a
`MemoryDatabase` is one life's view of it.
"""

import weakref
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from chain.common.errors import StorageError
from chain.env import Batch
from chain.storage.db import COLUMNS, SORTED_COLUMNS, STATE_COLUMNS
from tests.sim.env import Life

_CLEAR = b""
Write = tuple[str, bytes, bytes | None]
"""column, key, and the value or None for a deletion"""


class Tables:
    """The records of one database, by column."""

    def __init__(self, columns: Mapping[str, Mapping[bytes, bytes]] | None = None) -> None:
        given = columns or {}
        self.columns: dict[str, dict[bytes, bytes]] = {name: dict(given.get(name, {})) for name in COLUMNS}
        self.order: dict[str, list[bytes]] = {name: sorted(self.columns[name]) for name in SORTED_COLUMNS}
        self.broken: str | None = None  # why nothing can be written

    def copy(self) -> "Tables":
        """Return the same records in another place: a backup, or a restored one."""
        return Tables(self.columns)

    def put(self, column: str, changes: Mapping[bytes, bytes | None]) -> None:
        """Change a column; an order that somebody may be reading is replaced and not changed."""
        table = self.columns[column]
        gone, new = [], []
        for key, value in changes.items():
            if value is not None:
                if key not in table:
                    new.append(key)
                table[key] = value
            elif table.pop(key, None) is not None:
                gone.append(key)
        if column in self.order and (gone or new):
            kept = set(gone)
            self.order[column] = sorted([*(key for key in self.order[column] if key not in kept), *new])


class MemoryBatch:
    """Writes that happen together or not at all, in the order they were added."""

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def put(self, column: str, key: bytes, value: bytes) -> None:
        """Add a write."""
        self.writes.append((column, bytes(key), value))

    def delete(self, column: str, key: bytes) -> None:
        """Add a deletion; the key need not exist."""
        self.writes.append((column, bytes(key), None))

    def clear(self, column: str) -> None:
        """Add the deletion of every key."""
        self.writes.append((column, _CLEAR, None))


class MemorySnapshot:
    """The state's columns as they were at one moment."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._order = {name: tables.order[name] for name in SORTED_COLUMNS}
        self.old: dict[str, dict[bytes, bytes | None]] = {name: {} for name in STATE_COLUMNS}
        self._open = True

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""
        if not self._open:
            raise StorageError("the database is closed")
        old = self.old[column]
        return old[key] if key in old else self._tables.columns[column].get(key)

    def entry(self, column: str, start: bytes) -> tuple[bytes, bytes] | None:
        """Return the first key that is not below `start`, and its value."""
        found = self.keys(column, start, 1)
        if not found:
            return None
        value = self.get(column, found[0])
        assert value is not None, "an ordered key has a value"
        return found[0], value

    def keys(self, column: str, start: bytes, count: int) -> list[bytes]:
        """Return up to `count` keys from the first that is not below `start`."""
        if not self._open:
            raise StorageError("the database is closed")
        order = self._order[column]
        at = bisect_left(order, start)
        return order[at : at + count]

    def release(self) -> None:
        """Let the database forget this moment."""
        self._open = False


class MemoryDatabase:
    """One life's view of the records: chain.env.Database."""

    place = "in memory"

    def __init__(self, tables: Tables, life: Life) -> None:
        self._tables = tables
        self._life = life
        self._snapshots: weakref.WeakValueDictionary[int, MemorySnapshot] = weakref.WeakValueDictionary()
        self._count = 0
        self._open = True

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""
        self._check()
        return self._tables.columns[column].get(key)

    def keys(self, column: str, prefix: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, in order, as they are when the first is asked for."""
        self._check()
        yield from sorted(key for key in self._tables.columns[column] if key.startswith(prefix))

    def snapshot(self) -> MemorySnapshot:
        """Return the state's columns as they are now."""
        self._check()
        taken = MemorySnapshot(self._tables)
        self._count += 1
        self._snapshots[self._count] = taken
        return taken

    def batch(self) -> MemoryBatch:
        """Return an empty batch."""
        return MemoryBatch()

    def write(self, batch: Batch) -> None:
        """Write a batch.

        Raises: StorageError when the disk takes nothing; Killed.
        """
        assert isinstance(batch, MemoryBatch), "a batch is of the database that writes it"
        self._check()
        if self._tables.broken is not None:
            raise StorageError(f"the database cannot be written: the disk is {self._tables.broken}")
        if not self._life.write():
            return
        for column, changes in self._net(batch).items():
            self._remember(column, changes)
            self._tables.put(column, changes)
        self._life.written()

    def close(self) -> None:
        """Close the database; everything read from it is unusable afterwards."""
        self._open = False
        for taken in list(self._snapshots.values()):
            taken.release()

    def _net(self, batch: MemoryBatch) -> dict[str, dict[bytes, bytes | None]]:
        """Return what a batch comes to, by column."""
        net: dict[str, dict[bytes, bytes | None]] = {}
        for column, key, value in batch.writes:
            changes = net.setdefault(column, {})
            if key == _CLEAR and value is None:
                changes.update(dict.fromkeys((*self._tables.columns[column], *changes)))
            else:
                changes[key] = value
        return net

    def _remember(self, column: str, changes: Mapping[bytes, bytes | None]) -> None:
        """Keep for every snapshot what is about to be overwritten."""
        if column not in STATE_COLUMNS:
            return
        table = self._tables.columns[column]
        for taken in self._snapshots.values():
            old = taken.old[column]
            for key in changes:
                if key not in old:
                    old[key] = table.get(key)

    def _check(self) -> None:
        if not self._open:
            raise StorageError("the database is closed")
