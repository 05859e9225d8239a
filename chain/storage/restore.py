"""The state of one block on its way into an empty database, in ranges that are proven before they come here.

    begin    the state's columns are cleared; what was there is kept in memory until the end
    put      one batch: the keys of a range, the branches over all that is there so far, what is still missing
    root     what all of it amounts to; only the root of the target's header makes the target final

After a kill the next start finds the target and what is missing, and goes on there.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Annotated

from chain.common.state_data import Entry
from chain.env import Batch, Database
from chain.storage.db import FLAT, FORKS, META, STATE_COLUMNS, TRIE
from chain.storage.disk_chain import write_state
from chain.storage.state import Cache, Disk, View
from chain.storage.trie import record_key, update
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct
from runtime.primitives.types import Hash

MAX_SPANS = 4096
"""stretches of missing keys; a few for each peer that is asked"""
CACHE_BYTES = 8 << 20
"""branches at the edges of what is there; what lies between is not read again"""

_RESTORING = b"restoring"
"""in META, while the state's columns hold a part of a state"""


@struct("assay_storage::Span")
class Span:
    """The keys from `start` on and below `end`."""

    start: bytes
    end: bytes | None  # None: to the end of the state


WHOLE = Span(b"", None)


@struct("assay_storage::Restoring")
class Restoring:
    """What is restored, and what is missing of it, in order."""

    target: Header
    missing: Annotated[list[Span], Bounded(MAX_SPANS)]


_RECORD = codec(Restoring)


def begin_restoring(database: Database, target: Header) -> None:
    """Clear the state's columns and begin, whatever was restored before.

    Raises: StorageError.
    """
    batch = database.batch()
    for column in (*STATE_COLUMNS, FORKS):
        batch.clear(column)
    batch.put(META, _RESTORING, _RECORD.encode(Restoring(target, [WHOLE])))
    database.write(batch)


def found_restoring(database: Database) -> "Restoration | None":
    """Return what is under restoration, perhaps since an earlier run.

    Raises: StorageError.
    """
    record = database.get(META, _RESTORING)
    return None if record is None else Restoration(database, _RECORD.decode(record))


class Restoration:
    """A state under restoration; one task writes."""

    def __init__(self, database: Database, record: Restoring) -> None:
        self._database = database
        self._record = record
        self._cache = Cache(CACHE_BYTES)

    @property
    def target(self) -> Header:
        """The block whose state it is."""
        return self._record.target

    @property
    def missing(self) -> Sequence[Span]:
        """What is not there yet, in order."""
        return self._record.missing

    def put(self, start: bytes, entries: Sequence[Entry], end: bytes | None) -> None:
        """Write all that the state has from `start` on and below `end`; it survives a kill from then on.

        Raises: StorageError.
        """
        missing = without(self._record.missing, Span(start, end))
        record = Restoring(self._record.target, missing)
        disk, changes = Disk(self._database.snapshot(), self._cache), dict(entries)
        _, branches = update(View((), disk), changes)
        batch = self._database.batch()
        write_state(batch, changes, branches)
        batch.put(META, _RESTORING, _RECORD.encode(record))
        self._database.write(batch)
        self._cache.advance(changes, branches)
        self._record = record

    def root(self) -> Hash:
        """Return the root of what is there."""
        return update(View((), Disk(self._database.snapshot(), self._cache)), {})[0]

    def end(self, batch: Batch) -> None:
        """Add to a batch that the state's columns hold a whole state again."""
        batch.delete(META, _RESTORING)

    def undo(self, batch: Batch, state: Mapping[bytes, bytes]) -> None:
        """Add to a batch that there is another state in place of what was restored."""
        for column in STATE_COLUMNS:
            batch.clear(column)
        write_state(batch, state, update(View((), None), state)[1])
        self.end(batch)


def without(spans: Sequence[Span], gone: Span) -> list[Span]:
    """Return what is left of some spans without another."""
    left: list[Span] = []
    for span in spans:
        if _ends_below(span, gone.start) or _ends_below(gone, span.start):
            left.append(span)
            continue
        if span.start < gone.start:
            left.append(Span(span.start, gone.start))
        if gone.end is not None and (span.end is None or gone.end < span.end):
            left.append(Span(gone.end, span.end))
    return left


def _ends_below(span: Span, key: bytes) -> bool:
    return span.end is not None and span.end <= key


class HeldSnapshot:
    """A small state in memory, as the database would show it; satisfies chain.env.Snapshot."""

    def __init__(self, state: Mapping[bytes, bytes]) -> None:
        branches = update(View((), None), state)[1]
        self._columns: dict[str, dict[bytes, bytes]] = {name: {} for name in STATE_COLUMNS}
        self._columns[FLAT] = dict(state)
        self._columns[TRIE] = {record_key(path): each for path, each in branches.items() if each is not None}
        self._keys = sorted(state)

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""
        return self._columns[column].get(key)

    def entry(self, column: str, start: bytes) -> tuple[bytes, bytes] | None:
        """Return the first key that is not below `start`, and its value."""
        found = self.keys(column, start, 1)
        return (found[0], self._columns[column][found[0]]) if found else None

    def keys(self, column: str, start: bytes, count: int) -> list[bytes]:
        """Return up to `count` keys from the first that is not below `start`."""
        if column != FLAT:
            return []
        at = bisect_left(self._keys, start)
        return self._keys[at : at + count]
