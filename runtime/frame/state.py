"""What the runtime sees of storage, and the overlay that collects a block's changes."""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from typing import Any, Final, NamedTuple, Protocol, cast

from runtime.primitives.types import Hash

Changes = dict[bytes, bytes | None]
"""New values by key; None deletes."""


class State(Protocol):
    """Committed storage as of some block; the node passes one in."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key."""
        ...

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield the keys with a prefix in ascending order, those greater than `after` only."""
        ...

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Return the state root these changes would lead to; nothing is applied."""
        ...


class EmptyState:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        """Return nothing."""
        return None

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield nothing."""
        return iter(())

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Genesis computes its root where the trie is; nobody asks here."""
        raise AssertionError("the state before genesis has no root")


_ABSENT: Final[Any] = object()
"""Marks a key the overlay has not changed, or not read, before."""
KEPT_READS = 1 << 15
"""Values of the state below that an overlay remembers; a block reads the same few keys again and again."""


class Held(NamedTuple):
    """A value that becomes bytes when somebody looks at them."""

    value: Any
    encode: Callable[[Any], bytes]


class Overlay:
    """A block's changes above a State, with nested transactions.

    Invariant: after `rollback` the overlay is exactly what it was at the matching `begin`.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._changes: dict[bytes, bytes | Held | None] = {}
        self._held: dict[bytes, None] = {}
        self.events: list[bytes] = []
        self._read: Changes = {}
        self._undo: list[tuple[bytes, bytes | Held | None]] = []
        self._marks: list[tuple[int, int]] = []

    @property
    def changes(self) -> Changes:
        """Return what this block has changed so far."""
        for key in self._held:
            self.get(key)
        return cast(Changes, self._changes)

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, changes of this block included."""
        value = self._changes.get(key, _ABSENT)
        if value is _ABSENT:
            value = self._read.get(key, _ABSENT)
            return self._look_up(key) if value is _ABSENT else value
        if value.__class__ is Held:
            value = self._changes[key] = value.encode(value.value)
        return value  # type: ignore[no-any-return]

    def _look_up(self, key: bytes) -> bytes | None:
        if len(self._read) >= KEPT_READS:
            self._read.clear()
        value = self._read[key] = self._state.get(key)
        return value

    def put(self, key: bytes, value: bytes | Held | None) -> None:
        """Set a key, or delete it with None."""
        if self._marks:
            self._undo.append((key, self._changes.get(key, _ABSENT)))
        self._changes[key] = value

    def hold(self, key: bytes, value: Held) -> None:
        """Set a key to a value that is encoded once, however often it is set before somebody needs bytes."""
        self._held[key] = None
        self.put(key, value)

    def held(self, key: bytes) -> Held | None:
        """Return the value that a key is set to, where it is no bytes yet."""
        value = self._changes.get(key)
        return value if isinstance(value, Held) else None

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield the present keys with a prefix in ascending order, changes of this block included."""
        changed = sorted(key for key in self._changes if key.startswith(prefix) and key > after)
        last = None
        for key in merge(self._state.keys(prefix, after), changed):
            if key != last and self._changes.get(key, b"") is not None:
                yield key
            last = key

    def begin(self) -> None:
        """Open a transaction."""
        self._marks.append((len(self._undo), len(self.events)))

    def commit(self) -> None:
        """Keep what happened since the last `begin`, as part of the transaction around it."""
        self._marks.pop()
        if not self._marks:
            self._undo.clear()

    def rollback(self) -> None:
        """Undo everything since the last `begin`."""
        mark, events = self._marks.pop()
        while len(self._undo) > mark:
            key, old = self._undo.pop()
            if old is _ABSENT:
                del self._changes[key]
            else:
                self._changes[key] = old
        del self.events[events:]

    def root(self) -> Hash:
        """Return the state root with this block's changes."""
        return self._state.root(self.changes)
