"""Transactions between pools: what a pool accepts goes to every peer that is not known to have it.

They leave in batches a moment apart, so that many cost few messages; a peer that joins is given what waits.
Source: paritytech/polkadot-sdk substrate/client/network/transactions.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from chain.env import Clock
from chain.errors import SubmitError
from chain.faults import Fault, PeerFault
from chain.network.messages import (
    LIMITS,
    MAX_TRANSACTIONS,
    TRANSACTIONS,
    Channel,
    Limits,
    Status,
    Transactions,
)
from chain.network.peers import Bucket
from chain.network.service import Network
from chain.seen import Seen
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

BATCH_SECONDS = 0.05
"""between two batches"""
KNOWN_TRANSACTIONS = 10_240
"""of which this node remembers that a peer has them"""
MAX_BATCH = 1 << 20
"""bytes, beyond the first transaction"""
SHARE = Limits(LIMITS[Channel.TRANSACTIONS].priority, LIMITS[Channel.TRANSACTIONS].size, 2_000, 8_192)
"""new transactions of one peer: more than fit into blocks, and a whole pool at once"""
MAX_WAITING = 8192
"""transactions that wait for the next batch; more are left to those who have them too"""
INVALID = (1002, 1010)
"""the codes by which the pool refuses what cannot be read or is invalid, as clients know them"""


class Waiting(Protocol):
    """The pool."""

    def submit(self, extrinsic: bytes) -> Hash:
        """Take a transaction in.

        Raises: SubmitError.
        """

    def get(self, transaction: Hash) -> bytes | None:
        """Return the bytes of a waiting transaction."""

    def propagated(self) -> list[bytes]:
        """Return the ready transactions that peers should have too, in author order."""


class TransactionGossip:
    """The part of the network that carries transactions."""

    def __init__(self, network: Network, pool: Waiting, clock: Clock, is_syncing: Callable[[], bool]) -> None:
        self._network = network
        self._pool = pool
        self._clock = clock
        self._is_syncing = is_syncing
        self._known: dict[str, Seen[Hash]] = {}
        self._shares: dict[str, Bucket] = {}
        self._waiting: dict[Hash, None] = {}
        self._some = asyncio.Event()
        network.add(self, {Channel.TRANSACTIONS: self._received})

    def joined(self, peer: str, status: Status) -> None:
        """Give a new peer what waits."""
        self._known[peer] = Seen(KNOWN_TRANSACTIONS)
        self._shares[peer] = Bucket(SHARE, self._clock.monotonic())
        waiting = self._pool.propagated()[:MAX_TRANSACTIONS]
        self._send(peer, [(Hash(blake2_256(each)), each) for each in waiting])

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._known.pop(peer, None)
        self._shares.pop(peer, None)

    def tick(self) -> None:
        """Do nothing: batches have a time of their own."""

    def propagate(self, transaction: Hash) -> None:
        """Tell the peers of a transaction that the pool has accepted."""
        if self._known and len(self._waiting) < MAX_WAITING:
            self._waiting[transaction] = None
            self._some.set()

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._some.wait()
            await self._clock.sleep(BATCH_SECONDS)
            self._some.clear()
            waiting, self._waiting = self._waiting, {}
            found = [(each, extrinsic) for each in waiting if (extrinsic := self._pool.get(each)) is not None]
            for peer in list(self._known):
                self._send(peer, found)

    def _send(self, peer: str, transactions: list[tuple[Hash, bytes]]) -> None:
        """Send what a peer lacks, in as many messages as it takes."""
        known, batch, size = self._known[peer], list[bytes](), 0
        for transaction, extrinsic in transactions:
            if transaction in known or len(extrinsic) > LIMITS[Channel.TRANSACTIONS].size - MAX_BATCH:
                continue
            if batch and (size + len(extrinsic) > MAX_BATCH or len(batch) == MAX_TRANSACTIONS):
                if not self._network.send(peer, Channel.TRANSACTIONS, _encoded(batch)):
                    return
                batch, size = [], 0
            known.add(transaction)
            batch.append(extrinsic)
            size += len(extrinsic)
        if batch:
            self._network.send(peer, Channel.TRANSACTIONS, _encoded(batch))

    def _received(self, peer: str, message: bytes) -> None:
        """Offer what a peer sends to the pool; a node that is far behind cannot judge it."""
        found: Transactions = TRANSACTIONS.decode(message)
        if self._is_syncing():
            return
        for extrinsic in found.extrinsics:
            transaction = Hash(blake2_256(extrinsic))
            if not self._known[peer].add(transaction) or self._pool.get(transaction) is not None:
                continue
            if not self._shares[peer].take(self._clock.monotonic()):
                raise PeerFault(Fault.TOO_MANY, "transactions")
            if self._offer(transaction, extrinsic):
                self._network.blame(peer, Fault.BAD_TRANSACTION, f"0x{transaction.hex()}")
                if peer not in self._known:
                    return  # that was the end of it

    def _offer(self, transaction: Hash, extrinsic: bytes) -> bool:
        """Return whether the pool says that it can never be valid."""
        try:
            self._pool.submit(extrinsic)
        except SubmitError as refused:
            return refused.code in INVALID
        self.propagate(transaction)
        return False


def _encoded(extrinsics: list[bytes]) -> bytes:
    return TRANSACTIONS.encode(Transactions(extrinsics))
