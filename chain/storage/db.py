"""The database file: RocksDB with one column family per kind of record.

Every write is one synced batch over all columns: after a kill or a power loss the database opens at the last
whole batch. A write that fails, like a read that fails, is a StorageError; the node stops then.
"""

import fcntl
import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from chain.common.errors import StorageError
from chain.env import Batch

log = logging.getLogger("db")

FLAT, TRIE, UNDO, HISTORY = "flat", "trie", "undo", "history"
FORKS = "forks"
HEADERS, BODIES, JUSTIFICATIONS, CANON, META = "headers", "bodies", "justif", "canon", "meta"
COLUMNS = (FLAT, TRIE, UNDO, HISTORY, FORKS, HEADERS, BODIES, JUSTIFICATIONS, CANON, META)
STATE_COLUMNS = (FLAT, TRIE, UNDO, HISTORY)
SORTED_COLUMNS = (FLAT, HISTORY)
"""read in order, too"""

SCHEMA = 2
"""Version of the records' layout; raised when an older node could misread them."""
_SCHEMA_KEY = b"schema"

MAX_LOG_BYTES = 256 * 1024 * 1024
"""A quiet column family would otherwise pin every old log."""
MEMTABLE_BYTES = 16 * 1024 * 1024
"""per column family"""
MEMTABLES_BYTES = 24 * 1024 * 1024
"""of all of them together; the fullest is written out first"""
BLOCK_CACHE_BYTES = 64 * 1024 * 1024
LOCK = "LOCK"
"""the file that RocksDB locks"""
BLOOM_BITS = 10
"""per key; one miss in a hundred reads the disk"""


BEYOND_KEYS = b"\xff" * 64
"""No key is as high: those of the state begin with a hash, or with a colon."""


class RocksBatch:
    """Writes that happen together or not at all, in the order they were added."""

    def __init__(self, handles: dict[str, Any]) -> None:
        self._handles = handles
        self._writes = WriteBatch(raw_mode=True)

    def put(self, column: str, key: bytes, value: bytes) -> None:
        """Add a write."""
        self._writes.put(key, value, self._handles[column])

    def delete(self, column: str, key: bytes) -> None:
        """Add a deletion; the key need not exist."""
        self._writes.delete(key, self._handles[column])

    def clear(self, column: str) -> None:
        """Add the deletion of every key."""
        self._writes.delete_range(b"", BEYOND_KEYS, self._handles[column])


class RocksSnapshot:
    """The state's columns as they were at one moment; satisfies chain.env.Snapshot.

    Point reads go through a RocksDB snapshot. Ordered reads go through iterators made at that moment, which
    RocksDB keeps to it: the iterators of rocksdict's own snapshots show later writes.
    """

    def __init__(self, columns: dict[str, Any]) -> None:
        self._columns = {name: columns[name].snapshot() for name in STATE_COLUMNS}
        self._iterators = {name: columns[name].iter() for name in SORTED_COLUMNS}
        self._lock = threading.Lock()

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""
        try:
            found: bytes = _opened(self._columns, column)[key]
        except StorageError:
            raise
        except Exception as problem:
            if str(problem) == "key not found":
                return None
            raise StorageError(f"the database cannot be read: {problem}") from problem
        return found

    def entry(self, column: str, start: bytes) -> tuple[bytes, bytes] | None:
        """Return the first key that is not below `start`, and its value."""
        with self._lock:
            iterator = _sought(_opened(self._iterators, column), start)
            return (iterator.key(), iterator.value()) if iterator.valid() else None

    def keys(self, column: str, start: bytes, count: int) -> list[bytes]:
        """Return up to `count` keys from the first that is not below `start`."""
        found: list[bytes] = []
        with self._lock:
            iterator = _sought(_opened(self._iterators, column), start)
            while len(found) < count and iterator.valid():
                found.append(iterator.key())
                iterator.next()
            _check(iterator)
        return found

    def release(self) -> None:
        """Let the database forget this moment; a later read is a StorageError."""
        self._columns.clear()
        self._iterators.clear()


def _opened(readers: dict[str, Any], column: str) -> Any:
    found = readers.get(column)
    if found is None:
        raise StorageError("the database is closed")
    return found


def _sought(iterator: Any, start: bytes) -> Any:
    iterator.seek(start)
    _check(iterator)
    return iterator


def _check(iterator: Any) -> None:
    if iterator.valid():
        return
    try:
        iterator.status()
    except Exception as problem:
        raise StorageError(f"the database cannot be read: {problem}") from problem


class RocksDatabase:
    """The open database; one process holds it at a time. Satisfies chain.env.Database."""

    def __init__(self, database: Any, path: Path) -> None:
        self.place = str(path)
        self._database = database
        self._columns = {name: database.get_column_family(name) for name in COLUMNS}
        self._handles = {name: database.get_column_family_handle(name) for name in COLUMNS}
        self._snapshots: weakref.WeakSet[RocksSnapshot] = weakref.WeakSet()
        self._synced = WriteOptions()
        self._synced.sync = True

    @classmethod
    def open(cls, path: Path) -> "RocksDatabase":
        """Open the database in this directory, making it when there is none.

        Raises: StorageError.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            found = Rdict(str(path), _options(), {name: _column_options(name) for name in COLUMNS})
        except Exception as problem:
            raise StorageError(_open_failure(path, str(problem))) from problem
        database = cls(found, path)
        try:
            database._check_schema()
        except StorageError:
            database.close()
            raise
        return database

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""
        try:
            found: bytes | None = self._columns[column].get(key)
        except Exception as problem:
            raise StorageError(f"the database cannot be read: {problem}") from problem
        return found

    def keys(self, column: str, prefix: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, in order, as they are when the first is asked for."""
        iterator = _sought(self._columns[column].iter(), prefix)
        while iterator.valid() and (key := iterator.key()).startswith(prefix):
            yield key
            iterator.next()
        _check(iterator)

    def snapshot(self) -> RocksSnapshot:
        """Return the state's columns as they are now."""
        taken = RocksSnapshot(self._columns)
        self._snapshots.add(taken)
        return taken

    def batch(self) -> RocksBatch:
        """Return an empty batch."""
        return RocksBatch(self._handles)

    def write(self, batch: Batch) -> None:
        """Write a batch and wait until the disk has it.

        Raises: StorageError; the batch is then not in the database.
        """
        assert isinstance(batch, RocksBatch), "a batch is of the database that writes it"
        try:
            self._database.write(batch._writes, self._synced)
        except Exception as problem:
            raise StorageError(f"the database cannot be written: {problem}") from problem

    def close(self) -> None:
        """Close the database and free its lock; everything read from it is unusable afterwards.

        What cannot be flushed, as on a full disk, is in the synced log; the next opening reads it there.
        """
        for taken in list(self._snapshots):
            taken.release()
        self._handles.clear()
        failures = []
        for each in (*self._columns.values(), self._database):
            try:
                _close(each)
            except StorageError as problem:
                failures.append(problem)
        self._columns.clear()
        if failures:
            log.warning("%s; the next start reads its log instead", failures[0])

    def _check_schema(self) -> None:
        found = self.get(META, _SCHEMA_KEY)
        if found is None:
            batch = self.batch()
            batch.put(META, _SCHEMA_KEY, SCHEMA.to_bytes(4, "little"))
            self.write(batch)
        elif found != SCHEMA.to_bytes(4, "little"):
            version = int.from_bytes(found, "little")
            raise StorageError(
                f"the database at {self.place} has layout {version}, this program reads layout {SCHEMA}: "
                "use the program that made it, or purge the chain and sync again"
            )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a database that is not opened, as whoever deletes it must.

    Raises: StorageError when it is in use; OSError.
    """
    with (path / LOCK).open("ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise StorageError(_in_use(path)) from problem
        yield


def _close(part: Any) -> None:
    """Close a column or the database."""
    try:
        part.close()
    except Exception as problem:
        raise StorageError(f"the database cannot be flushed: {problem}") from problem


def _options() -> Any:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_max_total_wal_size(MAX_LOG_BYTES)
    options.set_db_write_buffer_size(MEMTABLES_BYTES)
    options.set_keep_log_file_num(4)
    return options


def _column_options(name: str) -> Any:
    options = Options(raw_mode=True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    table = BlockBasedOptions()
    table.set_block_cache(_block_cache)
    if name not in (HISTORY, UNDO):
        table.set_bloom_filter(BLOOM_BITS, False)
    options.set_block_based_table_factory(table)
    return options


_block_cache = Cache(BLOCK_CACHE_BYTES)


def cache_bytes() -> int:
    """Return how much of the block cache, which all columns share, is in use."""
    return int(_block_cache.get_usage())


def _open_failure(path: Path, problem: str) -> str:
    if "lock" in problem.lower():
        return _in_use(path)
    return f"the database at {path} cannot be opened: {problem}"


def _in_use(path: Path) -> str:
    return f"the database at {path} is in use by another node: stop that one, or choose another base path"
