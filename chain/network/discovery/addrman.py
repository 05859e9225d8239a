"""The addresses this node knows, in two tables that no single stranger can fill.

new     256 buckets of 16: heard of. Who tells of addresses reaches 16 of the buckets, chosen by a secret key,
        the group of the teller and that of the address.
tried   64 buckets of 16: was there once. The addresses of a group reach 4 of the buckets.

A group is whatever one operator may well own (addresses.py). An address has one slot in its bucket, and takes
it from another only where that one is terrible; in the tried table only where the other has not answered when
it was tested. A choice takes a bucket first, so that a crowd in few buckets is not chosen more often.
Source: bitcoin/bitcoin src/addrman.h, src/addrman_impl.h; Heilman et al., Eclipse Attacks on Bitcoin's
Peer-to-Peer Network, USENIX Security 2015.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from chain.env import Rng
from chain.network.discovery.addresses import Address, group_of
from chain.network.discovery.records import CLOCKS_MS, Record

NEW_BUCKETS = 256
NEW_BUCKETS_OF_SOURCE = 16
TRIED_BUCKETS = 64
TRIED_BUCKETS_OF_GROUP = 4
BUCKET_SIZE = 16
KEY_SIZE = 32

HORIZON_MS = 30 * 24 * 3600 * 1000
"""after which an address nobody speaks of is worth nothing"""
LOST_MS = 7 * 24 * 3600 * 1000
"""since the last success, after which failures count against an address that was good"""
NEW_ATTEMPTS = 3
TRIED_ATTEMPTS = 10
"""failures in a row that make an address terrible, where it was never good, or was"""
JUST_TRIED_MS = 60 * 1000
"""after an attempt, in which nothing is decided about an address"""
RECENT_MS = 10 * 60 * 1000
"""after an attempt, in which another one is unlikely"""
PROVEN_MS = 4 * 3600 * 1000
"""after a success, in which an address of the tried table need not show itself again"""
MAX_CONTESTED = 16
"""addresses at once that wait for their rival in the tried table to be tested"""
PICKS = 64
"""tries for an address that is likely enough"""
_CHANCE = 1 << 32
_AGAIN = 0.66
"""how much less likely each failure makes another attempt"""
_PATIENCE = 1.2
"""how much more likely each try that chose nothing makes the next"""


@dataclass(slots=True)
class Entry:
    """An address and what came of it; times are ms since the Unix epoch, 0 for never."""

    address: Address
    source: str  # the group of whoever told first
    seen: int  # when it was last told of
    last_try: int = 0
    last_success: int = 0
    attempts: int = 0  # without success since the last one
    is_tried: bool = False

    def is_terrible(self, now_ms: int) -> bool:
        """Say whether anything else deserves the place."""
        if self.last_try > now_ms - JUST_TRIED_MS:
            return False
        if self.seen > now_ms + CLOCKS_MS or self.seen < now_ms - HORIZON_MS:
            return True
        if self.last_success == 0:
            return self.attempts >= NEW_ATTEMPTS
        return self.last_success < now_ms - LOST_MS and self.attempts >= TRIED_ATTEMPTS

    def chance(self, now_ms: int) -> float:
        """Return how likely it is taken when it comes up."""
        recent = 0.01 if self.last_try > now_ms - RECENT_MS else 1.0
        return float(recent * _AGAIN ** min(self.attempts, 8))


class Table:
    """Buckets of slots, each with an entry or none."""

    def __init__(self, buckets: int) -> None:
        self.buckets: list[dict[int, Entry]] = [{} for _ in range(buckets)]
        self.count = 0

    def at(self, place: tuple[int, int]) -> Entry | None:
        """Return what is in a slot."""
        return self.buckets[place[0]].get(place[1])

    def filled(self) -> list[dict[int, Entry]]:
        """Return the buckets that are not empty."""
        return [bucket for bucket in self.buckets if bucket]

    def put(self, place: tuple[int, int], entry: Entry) -> None:
        """Fill an empty slot."""
        assert place[1] not in self.buckets[place[0]], "what was there has been taken out"
        self.buckets[place[0]][place[1]] = entry
        self.count += 1

    def clear(self, place: tuple[int, int]) -> None:
        """Empty a slot."""
        del self.buckets[place[0]][place[1]]
        self.count -= 1


class AddressBook:
    """Every address this node knows, and the records of the peers there."""

    def __init__(self, rng: Rng, key: bytes = b"") -> None:
        self.key = key or rng.token(KEY_SIZE)
        self.new = Table(NEW_BUCKETS)
        self.tried = Table(TRIED_BUCKETS)
        self.contested: dict[Address, Address] = {}  # who would be tried -> who has the slot
        self.changes = 0  # how often anything was changed, for whoever writes it down
        self._rng = rng
        self._entries: dict[Address, Entry] = {}
        self._of_peer: dict[str, dict[Address, None]] = {}
        self._records: dict[str, Record] = {}
        self._counted_from = 0  # a failure counts only after a later success of somebody: we were connected

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        """Yield what is known, tried or not."""
        yield from self._entries.values()

    def entry(self, address: Address) -> Entry | None:
        """Return what is known of an address."""
        return self._entries.get(address)

    def record(self, peer: str) -> Record | None:
        """Return the newest record of a peer with an address here."""
        return self._records.get(peer)

    def records(self) -> list[Record]:
        """Return the newest record of every peer that has one."""
        return list(self._records.values())

    def is_news(self, peer: str, seq: int) -> bool:
        """Say whether a record is later than the one that is known."""
        known = self._records.get(peer)
        return known is None or seq > known.seq

    # What is told.

    def learn(self, record: Record, addresses: Iterable[Address], source: str, now_ms: int) -> int:
        """Take in the believable addresses of a record, told by the group `source`; return how many are new.

        What the peer no longer says of itself goes, unless it has been found there.
        """
        if not self.is_news(record.peer, record.seq):
            return 0
        for gone in [each for each in self._of_peer.get(record.peer, ()) if each not in record.addresses]:
            if not self._entries[gone].is_tried:
                self._remove(self._entries[gone])
        learnt = sum(self.add(address, source, record.seq, now_ms) for address in addresses)
        if record.peer in self._of_peer:
            self._records[record.peer] = record
            self.changes += 1
        return learnt

    def add(self, address: Address, source: str, seen: int, now_ms: int) -> bool:
        """Put an unknown address with its peer among the new ones; return whether it has found a place."""
        assert address.peer is not None, "an address is worth something with the key that must be there"
        known = self._entries.get(address)
        if known is not None:
            known.seen = max(known.seen, min(seen, now_ms))
            return False
        entry = Entry(address, source, min(seen, now_ms))
        return not entry.is_terrible(now_ms) and self._place(entry, now_ms)

    # What comes of it.

    def attempted(self, address: Address, now_ms: int) -> None:
        """Note that an address is being dialled; while this node reaches nobody, that is not its fault."""
        entry = self._entries.get(address)
        if entry is None:
            return
        if entry.last_try <= self._counted_from:
            entry.attempts += 1
        entry.last_try = now_ms
        self.changes += 1

    def good(self, address: Address, source: str, now_ms: int) -> None:
        """Note that the peer has been found at an address, which may be news."""
        self.add(address, source, now_ms, now_ms)
        self._counted_from = now_ms
        entry = self._entries.get(address)
        if entry is None:
            return
        entry.seen = entry.last_success = entry.last_try = now_ms
        entry.attempts = 0
        self.changes += 1
        self._settle(address, answered=True)
        if not entry.is_tried:
            self._try(entry, now_ms)

    def bad(self, address: Address) -> None:
        """Forget an address where somebody else was found, or this node itself."""
        entry = self._entries.get(address)
        if entry is not None:
            self._settle(address, answered=False)
            if address in self._entries:
                self._remove(entry)

    def failed(self, address: Address) -> None:
        """Note that nobody was there; a rival for the place in the tried table takes it."""
        self._settle(address, answered=False)

    # What is asked.

    def pick(self, wanted: Callable[[Entry], bool], now_ms: int, *, only_new: bool = False) -> Entry | None:
        """Return an address to dial; None where chance finds none that is wanted."""
        tables = [table.filled() for table in ((self.new,) if only_new else (self.new, self.tried))]
        filled = [buckets for buckets in tables if buckets]
        patience = 1.0
        for _ in range(PICKS if filled else 0):
            buckets = filled[self._below(len(filled))]
            bucket = buckets[self._below(len(buckets))]
            slots = sorted(bucket)
            entry = bucket[slots[self._below(len(slots))]]
            likely = entry.chance(now_ms) * patience
            if self._below(_CHANCE) < likely * _CHANCE and wanted(entry):
                return entry
            patience *= _PATIENCE
        return None

    def rival(self) -> Address | None:
        """Return an address of the tried table that must show that it deserves its place."""
        return next(iter(self.contested.values()), None)

    def sample(self, count: int, now_ms: int) -> list[Record]:
        """Return records to pass on, chosen by chance among those that are fresh."""
        fresh = [record for record in self._records.values() if record.is_fresh(now_ms)]
        for at in range(min(count, len(fresh))):
            other = at + self._below(len(fresh) - at)
            fresh[at], fresh[other] = fresh[other], fresh[at]
        return fresh[:count]

    def restore(self, entry: Entry) -> None:
        """Put an entry back where it was when the book was written."""
        if entry.address.peer is None or entry.address in self._entries:
            return
        table, place = self._home(entry)
        if table.at(place) is None:
            self._enter(entry, table, place)

    def restore_record(self, record: Record) -> None:
        """Put the record of a peer back."""
        if record.peer in self._of_peer:
            self._records[record.peer] = record

    # Slots.

    def _place(self, entry: Entry, now_ms: int) -> bool:
        """Put an entry among the new ones, if its slot is free or what is there is terrible."""
        place = self._new_place(entry)
        there = self.new.at(place)
        if there is not None:
            if not there.is_terrible(now_ms):
                return False
            self._remove(there)
        self._enter(entry, self.new, place)
        return True

    def _try(self, entry: Entry, now_ms: int) -> None:
        """Move an entry to the tried table, or have whoever is in its slot tested."""
        place = self._tried_place(entry.address)
        there = self.tried.at(place)
        if there is None:
            self._move(entry, place)
        elif there.is_terrible(now_ms):
            self._replace(there, entry)
        elif there.last_success > now_ms - PROVEN_MS or there.address in self.contested.values():
            return
        elif len(self.contested) < MAX_CONTESTED:
            self.contested[entry.address] = there.address

    def _settle(self, rival: Address, *, answered: bool) -> None:
        """Decide who deserves a slot of the tried table once its holder has answered, or has not."""
        for address, holder in list(self.contested.items()):
            if holder != rival:
                continue
            del self.contested[address]
            challenger, there = self._entries.get(address), self._entries.get(holder)
            if not answered and challenger is not None and there is not None and not challenger.is_tried:
                self._replace(there, challenger)

    def _replace(self, there: Entry, entry: Entry) -> None:
        """Give an entry the slot of another in the tried table; the other is new again, if there is room."""
        place = self._tried_place(entry.address)
        record = self._records.get(there.address.peer or "")
        self._remove(there)
        self._move(entry, place)
        there.is_tried = False
        new_place = self._new_place(there)
        if self.new.at(new_place) is None:
            self._enter(there, self.new, new_place)
            if record is not None:
                self.restore_record(record)

    def _move(self, entry: Entry, place: tuple[int, int]) -> None:
        self.new.clear(self._new_place(entry))
        entry.is_tried = True
        self.tried.put(place, entry)

    def _enter(self, entry: Entry, table: Table, place: tuple[int, int]) -> None:
        table.put(place, entry)
        self._entries[entry.address] = entry
        self._of_peer.setdefault(entry.address.peer or "", {})[entry.address] = None
        self.changes += 1

    def _remove(self, entry: Entry) -> None:
        table, place = self._home(entry)
        table.clear(place)
        address, peer = entry.address, entry.address.peer or ""
        del self._entries[address]
        for challenger, holder in list(self.contested.items()):
            if address in (challenger, holder):
                del self.contested[challenger]
        del self._of_peer[peer][address]
        if not self._of_peer[peer]:
            del self._of_peer[peer]
            self._records.pop(peer, None)
        self.changes += 1

    def _home(self, entry: Entry) -> tuple[Table, tuple[int, int]]:
        if entry.is_tried:
            return self.tried, self._tried_place(entry.address)
        return self.new, self._new_place(entry)

    def _new_place(self, entry: Entry) -> tuple[int, int]:
        group, source = group_of(entry.address.host), entry.source
        share = self._hash("share", group, source) % NEW_BUCKETS_OF_SOURCE
        bucket = self._hash("new", source, str(share)) % NEW_BUCKETS
        return bucket, self._hash("slot", "new", str(bucket), str(entry.address)) % BUCKET_SIZE

    def _tried_place(self, address: Address) -> tuple[int, int]:
        share = self._hash("share", str(address)) % TRIED_BUCKETS_OF_GROUP
        bucket = self._hash("tried", group_of(address.host), str(share)) % TRIED_BUCKETS
        return bucket, self._hash("slot", "tried", str(bucket), str(address)) % BUCKET_SIZE

    def _hash(self, *parts: str) -> int:
        digest = blake2b("\0".join(parts).encode(), key=self.key, digest_size=8).digest()
        return int.from_bytes(digest, "little")

    # Chance.

    def _below(self, limit: int) -> int:
        """Return a number from 0 up to a limit; what 64 bits favour is nothing here."""
        return int.from_bytes(self._rng.token(8), "little") % limit
