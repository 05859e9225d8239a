"""What transactions between pools are measured against: bodies pushed to every peer that may lack them."""

import asyncio
from collections.abc import Callable

from chain.common.errors import SubmitError
from chain.common.seen import Seen
from chain.env import Clock
from chain.network.messages import MAX_TRANSACTIONS, TRANSACTIONS, Channel, Status, Transactions
from chain.network.service import Network
from chain.network.transactions import BATCH_SECONDS, KNOWN_TRANSACTIONS, Waiting
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash


class PushGossip:
    """The same doors as chain.network.transactions.TransactionGossip."""

    def __init__(self, network: Network, pool: Waiting, clock: Clock, is_syncing: Callable[[], bool]) -> None:
        self._network = network
        self._pool = pool
        self._clock = clock
        self._known: dict[str, Seen[Hash]] = {}
        self._waiting: dict[Hash, None] = {}
        self._some = asyncio.Event()
        network.add(self, {Channel.TRANSACTIONS: self._received})

    def joined(self, peer: str, status: Status) -> None:
        """Note a peer; nothing waits when the measurement begins."""
        self._known[peer] = Seen(KNOWN_TRANSACTIONS)

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._known.pop(peer, None)

    def tick(self) -> None:
        """Do nothing."""

    def propagate(self, transaction: Hash) -> None:
        """Tell the peers of a transaction."""
        self._waiting[transaction] = None
        self._some.set()

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._some.wait()
            await self._clock.sleep(BATCH_SECONDS)
            self._some.clear()
            waiting, self._waiting = self._waiting, {}
            found = [(each, body) for each in waiting if (body := self._pool.get(each)) is not None]
            for peer, known in self._known.items():
                lacking = [body for each, body in found if known.add(each)]
                for start in range(0, len(lacking), MAX_TRANSACTIONS):
                    message = TRANSACTIONS.encode(Transactions(lacking[start : start + MAX_TRANSACTIONS]))
                    self._network.send(peer, Channel.TRANSACTIONS, message)

    def _received(self, peer: str, message: bytes) -> None:
        found: Transactions = TRANSACTIONS.decode(message)
        for extrinsic in found.extrinsics:
            transaction = Hash(blake2_256(extrinsic))
            if self._known[peer].add(transaction) and self._pool.get(transaction) is None:
                try:
                    self._pool.submit(extrinsic)
                except SubmitError:
                    continue
                self.propagate(transaction)
