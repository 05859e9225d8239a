"""Transactions waiting for a block: ready in author order, or future until what they require is there.

    submit -> validate -> replace by tag -> link -> settle -> enforce limits -> best_first -> on_imported

A transaction requires and provides tags (account || nonce, when it is signed). It is ready when every tag
that the state does not provide is provided by another ready transaction. One task owns the pool: every method
is called on the event loop. Source: polkadot-sdk:substrate/client/transaction-pool.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice

from chain.common.errors import SubmitError
from chain.txpool import refusals
from chain.txpool.shelf import Bans, Entry, Limbo, Shelf, nonce_tag
from chain.txpool.watch import DROPPED, FUTURE, INVALID, READY, Status, Watch, at
from runtime.primitives.hashing import blake2_256
from runtime.primitives.transaction import TransactionRejected, Undecodable, ValidTransaction
from runtime.primitives.types import Hash
from runtime.primitives.validity import TransactionSource

log = logging.getLogger("txpool")

REVALIDATED_AT_ONCE = 32
"""transactions between which others get their turn; some milliseconds"""

Validate = Callable[[bytes, TransactionSource], ValidTransaction]
"""Ask the runtime at the best block. What the pool holds came in by its source: it is asked again as InBlock.

Raises: TransactionRejected.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the pool may hold and how much work one block may cause; limits of Substrate where it has them."""

    ready_count: int = 8192
    ready_size: int = 20 << 20  # bytes
    future_count: int = 512
    future_size: int = 2 << 20  # bytes
    future_per_sender: int = 64
    extrinsic_size: int = 4 << 20  # bytes; more never fits a block
    ban_seconds: float = 30 * 60
    bans: int = 4096
    rechecks: int = 128  # transactions validated again per block
    unfinalised_blocks: int = 512  # blocks whose watchers wait for finality
    limbo_blocks: int = 8  # how long a block that holds an outrun transaction may take to be announced


@dataclass(slots=True)
class Counters:
    """What the metrics show, since the start."""

    submitted: int = 0
    validations: int = 0
    invalid: int = 0


class Pool:
    """The one owner of waiting transactions."""

    def __init__(
        self, validate: Validate, clock: Callable[[], float] = time.monotonic, limits: Limits | None = None
    ) -> None:
        self._validate = validate
        self._limits = limits = limits or Limits()
        self._entries: dict[Hash, Entry] = {}  # least recently validated first
        self._providers: dict[bytes, Entry] = {}
        self._dependants: dict[bytes, dict[Hash, Entry]] = {}
        self._senders: dict[bytes, dict[Hash, Entry]] = {}
        self._ready = Shelf(limits.ready_count, limits.ready_size)
        self._future = Shelf(limits.future_count, limits.future_size)
        self._limbo = Limbo(limits.ready_count, limits.ready_size)
        self._bans = Bans(clock, limits.ban_seconds, limits.bans)
        self._watches: dict[Hash, list[Watch]] = {}
        self._included: dict[Hash, list[Hash]] = {}  # best blocks not yet finalised -> watched transactions
        self._height = 0  # blocks seen; longevity needs differences only
        self._arrivals = 0
        self.counters = Counters()

    # Invariant: an entry lies on the shelf its `ready` names, and `_settle` keeps `ready` true to the tags.

    @property
    def ready_count(self) -> int:
        """How many transactions could enter the next block."""
        return len(self._ready)

    @property
    def future_count(self) -> int:
        """How many transactions wait for another one."""
        return len(self._future)

    def get(self, transaction: Hash) -> bytes | None:
        """Return the bytes of a waiting transaction."""
        entry = self._entries.get(transaction)
        return entry.extrinsic if entry else None

    def submit(self, extrinsic: bytes, source: TransactionSource = TransactionSource.External) -> Hash:
        """Take a transaction in and return its hash.

        Raises: SubmitError.
        """
        return self._admit(extrinsic, source, None)

    def watch(self, extrinsic: bytes) -> tuple[Hash, Watch]:
        """Take a transaction in and tell what becomes of it.

        Raises: SubmitError.
        """
        watch = Watch()
        return self._admit(extrinsic, TransactionSource.External, watch), watch

    def ready(self) -> list[bytes]:
        """Return the ready transactions in author order."""
        return [extrinsic for _, extrinsic in self.best_first()]

    def propagated(self) -> list[Hash]:
        """Return the ready transactions that peers should have too, in author order."""
        return [each for each, _ in self.best_first() if self._entries[each].validity.propagate]

    def best_first(self) -> Iterator[tuple[Hash, bytes]]:
        """Yield ready transactions, each after what it requires; otherwise by priority, then arrival.

        What leaves the pool meanwhile, and what depends on it, is not yielded any more.
        """
        missing = {entry.hash: len(entry.requires) for entry in self._ready.entries()}
        open_ = [(*entry.order, entry.hash) for entry in self._ready.entries() if not entry.requires]
        heapify(open_)
        while open_:
            entry = self._entries.get(heappop(open_)[2])
            if entry is None or not entry.ready:
                continue
            yield entry.hash, entry.extrinsic
            for dependant in self._dependants_of(entry):
                if dependant.hash not in missing:
                    continue
                missing[dependant.hash] -= 1
                if missing[dependant.hash] == 0:
                    heappush(open_, (*dependant.order, dependant.hash))

    def next_index(self, account: bytes, state_nonce: int) -> int:
        """Return the nonce a new transaction should use: past the consecutive ready ones."""
        nonce = state_nonce
        while self._provided(nonce_tag(account, nonce)):
            nonce += 1
        return nonce

    def report_invalid(self, transaction: Hash) -> None:
        """Drop what failed to apply on the state itself; what follows another may just have come first."""
        entry = self._entries.get(transaction)
        if entry is None:
            return
        validity = self._revalidate(entry)
        if validity is not None and not validity.requires:  # what it requires may not have been in the block
            self._bans.add(transaction)
            self._discard(entry, INVALID)
        self._enforce()

    def remove(self, transactions: list[Hash]) -> list[Hash]:
        """Drop and ban transactions on request; return those that were there. What follows them waits."""
        found = [each for each in transactions if each in self._entries]
        for transaction in found:
            self._bans.add(transaction)
            if (entry := self._entries.get(transaction)) is not None:
                self._discard(entry, INVALID)
        self._enforce()
        return found

    def on_imported(
        self, block: Hash, extrinsics: list[bytes], retracted: list[tuple[Hash, list[bytes]]]
    ) -> None:
        """Follow the best chain by one block; the first one of a re-organisation names what it retracts."""
        for old, bodies in retracted:
            self._retract(old, bodies)
        self._height += 1
        self._include(block, extrinsics)
        self._expire()
        self._leave_limbo()
        self._recheck(self._entries.values())
        self._enforce()

    def revalidate(self) -> Iterator[None]:
        """Ask again about everything that waits now, some at each step: another runtime judges anew."""
        waiting, size = list(self._entries.values()), min(REVALIDATED_AT_ONCE, self._limits.rechecks)
        for start in range(0, len(waiting), size):
            self._recheck(waiting[start : start + size])
            self._enforce()
            yield

    def on_finalized(self, block: Hash, extrinsics: list[bytes]) -> None:
        """End the watches of a finalised block's transactions."""
        hashes = [Hash(blake2_256(extrinsic)) for extrinsic in extrinsics]
        if any(each in self._entries or each in self._limbo for each in hashes):
            self._include(block, extrinsics)  # finalised without having been best here
            self._enforce()
        self._included.pop(block, None)
        for each in hashes:
            self._tell(each, at("finalized", block))

    # Admission.

    def _admit(self, extrinsic: bytes, source: TransactionSource, watch: Watch | None) -> Hash:
        transaction = Hash(blake2_256(extrinsic))
        if transaction in self._entries:
            raise refusals.already_imported(transaction)
        if transaction in self._bans:
            raise refusals.banned()
        if len(extrinsic) > self._limits.extrinsic_size:
            raise refusals.rejected(TransactionRejected("invalid", "ExhaustsResources"))
        validity = self._first_check(transaction, extrinsic, source)
        entry = self._new_entry(transaction, extrinsic, validity)
        self._place(entry, watch)
        self._enforce()
        if transaction not in self._entries:
            raise refusals.immediately_dropped("limit")
        self.counters.submitted += 1
        return transaction

    def _first_check(
        self, transaction: Hash, extrinsic: bytes, source: TransactionSource
    ) -> ValidTransaction:
        self.counters.validations += 1
        try:
            return self._validate(extrinsic, source)
        except Undecodable as problem:
            self.counters.invalid += 1
            raise refusals.undecodable(problem) from problem
        except TransactionRejected as problem:
            self._condemn(transaction, problem)
            raise refusals.rejected(problem) from problem

    def _new_entry(self, transaction: Hash, extrinsic: bytes, validity: ValidTransaction) -> Entry:
        self._arrivals += 1
        expires = self._height + validity.longevity
        requires = list(dict.fromkeys(validity.requires))
        return Entry(transaction, extrinsic, validity, self._arrivals, expires, requires=requires)

    def _place(self, entry: Entry, watch: Watch | None) -> None:
        """Link an entry in the place of those that provide the same tags for less.

        Raises: SubmitError.
        """
        usurped = self._usurped(entry)
        if not all(map(self._provided, entry.requires)):
            self._check_sender(entry, len(usurped))
        touched = [dependant for old in usurped for dependant in self._dependants_of(old)]
        for old in usurped:
            self._unlink(old)
            self._tell(old.hash, at("usurped", entry.hash))
        if watch is not None:
            self._watches.setdefault(entry.hash, []).append(watch)
        self._limbo.discard(entry.hash)
        self._link(entry)
        self._settle(touched)

    def _usurped(self, entry: Entry) -> list[Entry]:
        provides = entry.validity.provides
        if not provides:
            raise refusals.no_tags()
        if entry.requires and not set(entry.requires).isdisjoint(provides):
            raise refusals.cycle()
        held = [holder for tag in provides if (holder := self._providers.get(tag))]
        if not held:
            return held
        holders = {holder.hash: holder for holder in held}
        old = sum(holder.validity.priority for holder in holders.values())
        if entry.validity.priority <= old:
            raise refusals.too_low_priority(old, entry.validity.priority)
        return list(holders.values())

    def _check_sender(self, entry: Entry, leaving: int) -> None:
        sender = entry.sender
        if sender is None:
            return
        waiting = sum(not other.ready for other in self._senders.get(sender, {}).values())
        if waiting - leaving >= self._limits.future_per_sender:
            raise refusals.immediately_dropped(f"limit of {self._limits.future_per_sender} future per sender")

    # The graph of tags.

    def _provided(self, tag: bytes) -> bool:
        provider = self._providers.get(tag)
        return provider is not None and provider.ready

    def _dependants_of(self, entry: Entry) -> list[Entry]:
        return [each for tag in entry.validity.provides for each in self._dependants.get(tag, {}).values()]

    def _shelf(self, entry: Entry) -> Shelf:
        return self._ready if entry.ready else self._future

    def _link(self, entry: Entry) -> None:
        self._entries[entry.hash] = entry
        for tag in entry.validity.provides:
            self._providers[tag] = entry
        if (sender := entry.sender) is not None:
            self._senders.setdefault(sender, {})[entry.hash] = entry
        self._want(entry)
        entry.ready = all(map(self._provided, entry.requires))
        self._shelf(entry).add(entry)
        self._tell(entry.hash, READY if entry.ready else FUTURE)
        self._settle(self._dependants_of(entry))

    def _unlink(self, entry: Entry) -> None:
        self._shelf(entry).remove(entry)
        del self._entries[entry.hash]
        for tag in entry.validity.provides:
            self._providers.pop(tag, None)
        if (sender := entry.sender) is not None:
            _forget(self._senders, sender, entry)
        self._unwant(entry)

    def _want(self, entry: Entry) -> None:
        for tag in entry.requires:
            self._dependants.setdefault(tag, {})[entry.hash] = entry

    def _unwant(self, entry: Entry) -> None:
        for tag in entry.requires:
            _forget(self._dependants, tag, entry)

    def _settle(self, touched: Iterable[Entry]) -> None:
        """Promote and demote until every entry lies where its tags say."""
        pending = deque(touched)
        while pending:
            entry = pending.popleft()
            ready = all(map(self._provided, entry.requires))
            if ready == entry.ready or self._entries.get(entry.hash) is not entry:
                continue
            self._shelf(entry).remove(entry)
            entry.ready = ready
            self._shelf(entry).add(entry)
            self._tell(entry.hash, READY if ready else FUTURE)
            pending.extend(self._dependants_of(entry))

    def _release(self, entry: Entry) -> None:
        """Take an entry out because the state provides its tags now."""
        dependants = self._dependants_of(entry)
        self._unlink(entry)
        for dependant in dependants:
            self._unwant(dependant)
            dependant.requires = [tag for tag in dependant.requires if tag not in entry.validity.provides]
            self._want(dependant)
        self._settle(dependants)

    def _discard(self, entry: Entry, status: Status) -> None:
        """Take an entry out; what depends on it has to wait."""
        dependants = self._dependants_of(entry)
        self._unlink(entry)
        self._settle(dependants)
        self._tell(entry.hash, status)

    def _enforce(self) -> None:
        """Drop what is worth least until the limits hold; demotion fills the future shelf, so it is last."""
        for shelf in (self._ready, self._future):
            while (worst := shelf.overflow()) is not None:
                self._discard(worst, DROPPED)

    # Blocks.

    def _retract(self, block: Hash, extrinsics: list[bytes]) -> None:
        self._height -= 1
        self._included.pop(block, None)
        until = self._height + self._limits.limbo_blocks
        for extrinsic in extrinsics:
            transaction = Hash(blake2_256(extrinsic))
            self._tell(transaction, at("retracted", block))
            if transaction not in self._entries and not self._limbo.add(transaction, extrinsic, until):
                self._tell(transaction, DROPPED)

    def _include(self, block: Hash, extrinsics: list[bytes]) -> None:
        watched = []
        for extrinsic in extrinsics:
            transaction = Hash(blake2_256(extrinsic))
            self._limbo.discard(transaction)
            if (entry := self._entries.get(transaction)) is not None:
                self._release(entry)
            self._tell(transaction, at("inBlock", block))
            if transaction in self._watches:
                watched.append(transaction)
        self._included[block] = watched
        if len(self._included) > self._limits.unfinalised_blocks:
            late = next(iter(self._included))
            for transaction in self._included.pop(late):
                self._tell(transaction, at("finalityTimeout", late))

    def _expire(self) -> None:
        for entry in list(self._entries.values()):
            if entry.expires <= self._height and entry.hash in self._entries:
                self._bans.add(entry.hash)
                self._discard(entry, INVALID)
        for transaction in self._limbo.overdue(self._height):
            self._limbo.discard(transaction)
            self._tell(transaction, INVALID)

    def _leave_limbo(self) -> None:
        """Offer the state what retracted blocks held; their senders' others depend on it."""
        senders: dict[bytes, None] = {}
        for transaction, extrinsic in self._limbo.some(self._limits.rechecks):
            self.counters.validations += 1
            try:
                validity = self._validate(extrinsic, TransactionSource.InBlock)
            except TransactionRejected as problem:
                if problem.reason != "Stale":
                    self._limbo.discard(transaction)
                    self._condemn(transaction, problem)
                    self._tell(transaction, INVALID)
                continue
            entry = self._new_entry(transaction, extrinsic, validity)
            self._return(entry)
            if entry.sender is not None:
                senders[entry.sender] = None
        self._recheck(other for sender in senders for other in list(self._senders.get(sender, {}).values()))

    def _return(self, entry: Entry) -> None:
        self._limbo.discard(entry.hash)
        try:
            self._place(entry, None)
        except SubmitError as refusal:
            log.debug("retracted 0x%s does not return: %s", entry.hash.hex(), refusal)
            self._tell(entry.hash, DROPPED)

    def _recheck(self, entries: Iterable[Entry]) -> None:
        for entry in list(islice(entries, self._limits.rechecks)):
            if self._entries.get(entry.hash) is entry:
                self._revalidate(entry)

    def _revalidate(self, entry: Entry) -> ValidTransaction | None:
        """Ask the runtime again; return None when the entry had to leave."""
        self.counters.validations += 1
        try:
            validity = self._validate(entry.extrinsic, TransactionSource.InBlock)
        except TransactionRejected as problem:
            self._outdated(entry, problem)
            return None
        if validity.provides != entry.validity.provides:
            self._discard(entry, DROPPED)  # a new runtime: its sender knows no better than to send it again
            return None
        self._refresh(entry, validity)
        return validity

    def _outdated(self, entry: Entry, problem: TransactionRejected) -> None:
        if problem.reason != "Stale":
            self._condemn(entry.hash, problem)
            self._discard(entry, INVALID)
            return
        self._release(entry)  # its place in the state is taken, most likely by itself
        if not self._limbo.add(entry.hash, entry.extrinsic, self._height + self._limits.limbo_blocks):
            self._tell(entry.hash, DROPPED)

    def _refresh(self, entry: Entry, validity: ValidTransaction) -> None:
        self._unwant(entry)
        self._shelf(entry).remove(entry)
        entry.validity = validity
        entry.requires = list(dict.fromkeys(validity.requires))
        entry.expires = self._height + validity.longevity
        self._shelf(entry).add(entry)
        self._want(entry)
        self._entries[entry.hash] = self._entries.pop(entry.hash)
        self._settle([entry])

    def _condemn(self, transaction: Hash, problem: TransactionRejected) -> None:
        """Ban what is invalid; what cannot be judged, or comes too early, may come again at once."""
        self.counters.invalid += 1
        if problem.kind == "invalid" and not problem.early:
            self._bans.add(transaction)
        log.debug("transaction 0x%s refused: %s", transaction.hex(), problem)

    def _tell(self, transaction: Hash, status: Status) -> None:
        watches = self._watches.get(transaction)
        if watches is None:
            return
        for watch in watches:
            watch.tell(status)
        self._watches[transaction] = [watch for watch in watches if not watch.ended]
        if not self._watches[transaction]:
            del self._watches[transaction]


def _forget(index: dict[bytes, dict[Hash, Entry]], key: bytes, entry: Entry) -> None:
    """Remove an entry from an index, and the key with its last entry."""
    entries = index[key]
    entries.pop(entry.hash, None)
    if not entries:
        del index[key]
