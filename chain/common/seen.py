"""What was met before: a set that forgets what it has not met for longest."""

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Seen(Generic[T]):
    """The last few things that were added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[T, None] = {}  # oldest first

    def add(self, thing: T) -> bool:
        """Note a thing; return whether it is new."""
        is_new = thing not in self._known
        self._known.pop(thing, None)
        self._known[thing] = None
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]
        return is_new

    def __contains__(self, thing: T) -> bool:
        return thing in self._known

    def __len__(self) -> int:
        return len(self._known)
