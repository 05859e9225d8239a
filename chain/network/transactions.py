"""Transactions between pools: their ids to everybody who lacks them, their bodies to whoever asks.

    accepted here  -> its id, with those of the same moment, to the peers not known to have it
    announced here -> a request to one of those who have it (chain/network/wanted.py)
    asked here     -> the bodies that are in the pool, as many as fit
    a body came    -> to the pool, a few at a time, with turns of the loop between

A transaction is verified once: what was met, accepted or not, is known by its id. A peer that joins is told
of all that waits, as fast as it may ask for it. Source: bitcoin/bitcoin src/txrequest.h for the pulling.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from chain.common.errors import SubmitError
from chain.common.faults import Fault, PeerFault
from chain.common.seen import Seen
from chain.env import Clock
from chain.network.messages import (
    ID_SIZE,
    LIMITS,
    MAX_IDS,
    TRANSACTION_IDS,
    TRANSACTION_REQUEST,
    TRANSACTIONS,
    Channel,
    Status,
    TransactionIds,
    TransactionRequest,
    Transactions,
)
from chain.network.requests import Allowance, Servings
from chain.network.service import Handle, Network
from chain.network.wanted import Wanted
from runtime.primitives.hashing import blake2_256
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import Hash

BATCH_SECONDS = 0.05
"""between two announcements"""
KNOWN_TRANSACTIONS = 10_240
"""of which this node remembers that a peer has them"""
MET = 65_536
"""transactions of late by id; a minute of the fastest chain"""
REFUSED = 16_384
"""transactions of the last minute that the pool did not take"""
REFUSED_TICKS = 60
"""seconds after which they may be offered again: a full pool empties, and other blocks are best"""
MAX_BATCH = 1 << 20
"""bytes of one answer, beyond the first transaction"""
CHECKED = Allowance(2_000, 8_192)
"""transactions that are verified, of one peer and of all: more than fit into blocks, and a pool"""
PENALTY = 16
"""of a peer's share, for each that is refused: who sends nothing else has a hundred verified in a second"""
GIVEN = Allowance(2 << 20, 16 << 20)
"""of transactions for one peer"""
ALL_GIVEN = Allowance(8 << 20, 32 << 20)
"""of transactions for all peers together: what a crowd asks again and again"""
PER_ID = 16
"""bytes that looking for a transaction counts for"""
MAX_WAITING = 8192
"""ids that wait for the next announcement; more are left to those who have them too"""
BACKLOG_PER_TICK = 2
"""announcements of what waited before a peer came, per second: about what it may ask for"""
MAX_ARRIVED = 4096
"""bodies that wait for the pool; more are not asked for"""
MAX_ARRIVED_BYTES = 16 << 20
AT_ONCE = 16
"""bodies between which others get their turn; some milliseconds"""

_UNREADABLE, _INVALID = 1002, 1010
"""the codes by which the pool refuses what cannot be read or is invalid, as clients know them"""
_WRONG = frozenset({"BadProof", "BadSigner", "BadMandatory", "MandatoryValidation"})
"""reasons that only a fork or another version of the runtime makes good"""


class Waiting(Protocol):
    """The pool."""

    def submit(self, extrinsic: bytes) -> Hash:
        """Take a transaction in.

        Raises: SubmitError.
        """

    def get(self, transaction: Hash) -> bytes | None:
        """Return the bytes of a waiting transaction."""

    def propagated(self) -> list[Hash]:
        """Return the ready transactions that peers should have too, in author order."""


@dataclass(slots=True)
class _Peer:
    known: Seen[bytes]  # what it has of what was met
    backlog: deque[bytes]  # what it is still to be told of


@dataclass(frozen=True, slots=True)
class _Body:
    """A transaction that was asked for."""

    peer: str  # that has sent it
    id: bytes
    extrinsic: bytes
    holders: list[str]  # who has announced it


class TransactionGossip:
    """The part of the network that carries transactions."""

    def __init__(self, network: Network, pool: Waiting, clock: Clock, is_syncing: Callable[[], bool]) -> None:
        self._network = network
        self._pool = pool
        self._clock = clock
        self._is_syncing = is_syncing
        self._peers: dict[str, _Peer] = {}
        self._wanted = Wanted()
        self._servings = Servings(clock, GIVEN, ALL_GIVEN)
        self._checks = Servings(clock, CHECKED, CHECKED)
        self._met: dict[bytes, Hash] = {}  # accepted, by id; oldest first
        self._refused: Seen[bytes] = Seen(REFUSED)
        self._ticks = 0
        self._new: dict[bytes, None] = {}  # to be announced
        self._some = asyncio.Event()
        self._arrived: deque[_Body] = deque()
        self._arrived_bytes = 0
        self._work = asyncio.Event()
        handlers: dict[Channel, Handle] = {
            Channel.TRANSACTIONS: self._received,
            Channel.TRANSACTION_IDS: self._announced,
            Channel.TRANSACTION_REQUESTS: self._requested,
        }
        network.add(self, handlers)

    def joined(self, peer: str, status: Status) -> None:
        """Begin to tell a new peer what waits."""
        waiting = [self._meet(each) for each in self._pool.propagated()]
        self._peers[peer] = _Peer(Seen(KNOWN_TRANSACTIONS), deque(waiting))
        for part in (self._wanted, self._servings, self._checks):
            part.joined(peer)
        self._tell_backlog(peer, self._peers[peer])

    def left(self, peer: str) -> None:
        """Forget a peer; others are asked in its place."""
        if self._peers.pop(peer, None) is not None:
            for part in (self._wanted, self._servings, self._checks):
                part.left(peer)
            self._pull_all()

    def tick(self) -> None:
        """Go on with what takes long, and give up on who is silent."""
        self._ticks += 1
        if self._ticks % REFUSED_TICKS == 0:
            self._refused = Seen(REFUSED)
        for peer in self._wanted.overdue(self._clock.monotonic()):
            self._network.blame(peer, Fault.TIMEOUT, "transactions")
        for name, peer_ in list(self._peers.items()):
            for _ in range(BACKLOG_PER_TICK):
                self._tell_backlog(name, peer_)
        self._pull_all()

    def propagate(self, transaction: Hash) -> None:
        """Tell the peers of a transaction that the pool has accepted."""
        id_ = self._meet(transaction)
        if self._peers and len(self._new) < MAX_WAITING:
            self._new[id_] = None
            self._some.set()

    async def run(self) -> None:
        """Announce and submit until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._announce(), name="transaction announcements")
            tasks.create_task(self._submit(), name="transactions of peers")

    # To peers.

    async def _announce(self) -> None:
        while True:
            await self._some.wait()
            await self._clock.sleep(BATCH_SECONDS)
            self._some.clear()
            new, self._new = list(self._new), {}
            for name, peer in list(self._peers.items()):
                self._tell(name, peer, new)

    def _tell(self, name: str, peer: _Peer, ids: list[bytes]) -> None:
        """Announce what a peer lacks; what it cannot take now it is told later."""
        known = peer.known
        lacking = [each for each in ids if each not in known]
        for start in range(0, len(lacking), MAX_IDS):
            part = lacking[start : start + MAX_IDS]
            message = TRANSACTION_IDS.encode(TransactionIds(part))
            if not self._network.send(name, Channel.TRANSACTION_IDS, message):
                room = max(0, MAX_WAITING - len(peer.backlog))
                peer.backlog.extend(lacking[start : start + room])
                return
            for id_ in part:
                known.add(id_)

    def _tell_backlog(self, name: str, peer: _Peer) -> None:
        """Announce some of what waited already, as far as it still does."""
        some: list[bytes] = []
        while peer.backlog and len(some) < MAX_IDS:
            id_ = peer.backlog.popleft()
            if self._body(id_) is not None:
                some.append(id_)
        if some:
            self._tell(name, peer, some)

    def _body(self, id_: bytes) -> bytes | None:
        transaction = self._met.get(id_)
        return None if transaction is None else self._pool.get(transaction)

    def _requested(self, name: str, message: bytes) -> None:
        """Answer in the order of the request; not at all where too much was given lately."""
        request: TransactionRequest = TRANSACTION_REQUEST.decode(message)
        peer = self._peers[name]
        if self._servings.room(name) <= 0:
            return
        bodies, size = list[bytes](), 0
        for id_ in request.ids:
            body = self._body(id_)
            if body is None or len(body) > LIMITS[Channel.TRANSACTIONS].size - MAX_BATCH:
                continue
            if bodies and size + len(body) > MAX_BATCH:
                break
            peer.known.add(id_)
            bodies.append(body)
            size += len(body)
        self._servings.spend(name, size + PER_ID * len(request.ids))
        self._network.send(name, Channel.TRANSACTIONS, TRANSACTIONS.encode(Transactions(bodies)))

    # From peers.

    def _announced(self, name: str, message: bytes) -> None:
        """Note what a peer has, and ask it for what nobody else is asked for."""
        found: TransactionIds = TRANSACTION_IDS.decode(message)
        known, now, too_many = self._peers[name].known, self._clock.monotonic(), 0
        for id_ in found.ids:
            if id_ in self._met:
                known.add(id_)
            elif id_ not in self._refused:
                too_many += not self._wanted.offer(name, id_, now)
        self._pull(name)
        if too_many:
            raise PeerFault(Fault.TOO_MANY, f"{too_many} transactions announced")

    def _pull_all(self) -> None:
        for name in list(self._peers):
            self._pull(name)

    def _pull(self, name: str) -> None:
        """Ask a peer for what it is to give, as far as this node can use it now."""
        if name not in self._peers or not len(self._wanted) or self._is_syncing():
            return
        now = self._clock.monotonic()
        while len(self._arrived) < MAX_ARRIVED and self._arrived_bytes < MAX_ARRIVED_BYTES:
            ids = self._wanted.ask(name, self._checks.turn(name), now)
            if not ids:
                return
            self._checks.spend(name, len(ids))
            message = TRANSACTION_REQUEST.encode(TransactionRequest(ids))
            self._network.send(name, Channel.TRANSACTION_REQUESTS, message)

    def _received(self, name: str, message: bytes) -> None:
        """Keep the bodies that were asked for until the pool's turn, which is soon."""
        if not self._wanted.waits_for(name):
            raise PeerFault(Fault.NOT_ASKED, "transactions")
        found: Transactions = TRANSACTIONS.decode(message)
        ids = [blake2_256(each)[:ID_SIZE] for each in found.extrinsics]
        wanted = self._wanted.came(name, ids)
        for id_, body, holders in zip(ids, found.extrinsics, wanted, strict=True):
            if holders and id_ not in self._met:
                self._arrived.append(_Body(name, id_, body, holders))
                self._arrived_bytes += len(body)
        if self._arrived:
            self._work.set()
        self._pull(name)
        if None in wanted:
            raise PeerFault(Fault.NOT_ASKED, f"transaction 0x{ids[wanted.index(None)].hex()}…")
        if not ids:
            raise PeerFault(Fault.USELESS, "none of the transactions it announced")

    async def _submit(self) -> None:
        """Offer what came to the pool, a few at a time."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._arrived:
                is_syncing = self._is_syncing()
                for _ in range(min(AT_ONCE, len(self._arrived))):
                    arrived = self._arrived.popleft()
                    self._arrived_bytes -= len(arrived.extrinsic)
                    if not is_syncing:
                        self._network.handle(arrived.peer, self._offer, arrived)
                await asyncio.sleep(0)
            self._pull_all()

    def _offer(self, arrived: _Body) -> None:
        """Hand the pool a transaction; tell others of it, or remember that it was refused."""
        name, id_ = arrived.peer, arrived.id
        if id_ in self._met or id_ in self._refused:
            return
        try:
            transaction = self._pool.submit(arrived.extrinsic)
        except SubmitError as refused:
            self._refused.add(id_)
            fault = _fault_of(refused)
            if fault is not None:
                self._checks.fine(name, PENALTY)
                self._network.blame(name, fault, f"0x{id_.hex()}…: {refused}")
            return
        self._know(arrived.holders, id_)
        self.propagate(transaction)

    def _know(self, peers: list[str], id_: bytes) -> None:
        """Note that some have a transaction that is here now."""
        for name in peers:
            if name in self._peers:
                self._peers[name].known.add(id_)

    def _meet(self, transaction: Hash) -> bytes:
        """Remember a transaction that is here; return its id."""
        id_ = transaction[:ID_SIZE]
        self._met[id_] = transaction
        self._know(self._wanted.has(id_), id_)
        if len(self._met) > MET:
            del self._met[next(iter(self._met))]
        return id_


def _fault_of(refused: SubmitError) -> Fault | None:
    """Return what a refusal says of the peer that sent the transaction; nothing where the pool is full."""
    if refused.code == _UNREADABLE:
        return Fault.BAD_TRANSACTION
    if refused.code != _INVALID:
        return None
    problem = refused.__cause__
    is_wrong = isinstance(problem, TransactionRejected) and problem.reason in _WRONG
    return Fault.BAD_TRANSACTION if is_wrong else Fault.STALE_TRANSACTION
