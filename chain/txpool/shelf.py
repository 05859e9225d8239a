"""What the pool keeps: entries, the two shelves they lie on, and the ban list."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import Hash

NONCE_TAG_SIZE = 36
"""account || nonce u32 little-endian: the tag of a signed transaction."""
ACCOUNT_SIZE = 32


@dataclass(slots=True, eq=False)
class Entry:
    """One transaction; `requires` are the tags that neither chain nor state provides yet."""

    hash: Hash
    extrinsic: bytes
    validity: ValidTransaction
    arrival: int
    expires: int  # height at which its longevity is over
    ready: bool = False
    requires: list[bytes] = field(default_factory=list)

    @property
    def sender(self) -> bytes | None:
        """The account of its nonce tag; unsigned transactions have none."""
        tag = self.validity.provides[0] if self.validity.provides else b""
        return tag[:ACCOUNT_SIZE] if len(tag) == NONCE_TAG_SIZE else None

    @property
    def order(self) -> tuple[int, int]:
        """Author order: the smallest goes first, so higher priority and earlier arrival do."""
        return (-self.validity.priority, self.arrival)


def nonce_tag(account: bytes, nonce: int) -> bytes:
    """Return the tag that the transaction with this nonce provides."""
    return account + nonce.to_bytes(4, "little")


class Shelf:
    """Entries bounded in number and bytes; knows which one is worth least."""

    def __init__(self, count: int, size: int) -> None:
        self._limits = (count, size)
        self._entries: dict[Hash, Entry] = {}
        self._size = 0
        self._heap: list[tuple[int, int, Hash]] = []  # worst first; entries that left stay until they surface

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return self._size

    def entries(self) -> list[Entry]:
        """Return what lies here."""
        return list(self._entries.values())

    def add(self, entry: Entry) -> None:
        """Take an entry in."""
        self._entries[entry.hash] = entry
        self._size += len(entry.extrinsic)
        heapq.heappush(self._heap, _worth(entry))
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [_worth(kept) for kept in self._entries.values()]
            heapq.heapify(self._heap)

    def remove(self, entry: Entry) -> None:
        """Let an entry go."""
        del self._entries[entry.hash]
        self._size -= len(entry.extrinsic)

    def overflow(self) -> Entry | None:
        """Return the entry that has to go when a limit is exceeded: lowest priority, then newest."""
        count, size = self._limits
        if len(self._entries) <= count and self._size <= size:
            return None
        while True:
            worst = self._heap[0]
            entry = self._entries.get(worst[2])
            if entry is not None and _worth(entry) == worst:
                return entry
            heapq.heappop(self._heap)


def _worth(entry: Entry) -> tuple[int, int, Hash]:
    return (entry.validity.priority, -entry.arrival, entry.hash)


class Bans:
    """Hashes refused for a while; the oldest make room when there are too many."""

    def __init__(self, clock: Callable[[], float], seconds: float, limit: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._limit = limit
        self._until: dict[Hash, float] = {}

    def add(self, transaction: Hash) -> None:
        """Ban a transaction from now on."""
        self._until.pop(transaction, None)
        self._until[transaction] = self._clock() + self._seconds
        if len(self._until) > self._limit:
            del self._until[next(iter(self._until))]

    def __contains__(self, transaction: Hash) -> bool:
        until = self._until.get(transaction)
        if until is None:
            return False
        if until > self._clock():
            return True
        del self._until[transaction]
        return False


class Limbo:
    """Transactions no state takes just now that a coming block may hold: retracted, or outrun by the state.

    The state the pool validates against can be ahead of the news of the blocks that led to it.
    """

    def __init__(self, count: int, size: int) -> None:
        self._limits = (count, size)
        self._waiting: dict[Hash, tuple[bytes, int]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, transaction: Hash) -> bool:
        return transaction in self._waiting

    def add(self, transaction: Hash, extrinsic: bytes, until: int) -> bool:
        """Keep a transaction up to a height; return whether there is room."""
        self.discard(transaction)
        count, size = self._limits
        if len(self._waiting) >= count or self._size + len(extrinsic) > size:
            return False
        self._waiting[transaction] = (extrinsic, until)
        self._size += len(extrinsic)
        return True

    def discard(self, transaction: Hash) -> None:
        """Forget a transaction, if it is here."""
        found = self._waiting.pop(transaction, None)
        if found is not None:
            self._size -= len(found[0])

    def some(self, count: int) -> list[tuple[Hash, bytes]]:
        """Return the first few."""
        return [(each, extrinsic) for each, (extrinsic, _) in islice(self._waiting.items(), count)]

    def overdue(self, height: int) -> list[Hash]:
        """Return those whose time is up."""
        return [each for each, (_, until) in self._waiting.items() if until <= height]
