"""The peers of a node as who asks one question after the other wants them: a question, its answer."""

import asyncio
from typing import Protocol

from chain.common.block_data import BlockData, Fields, WarpStep
from chain.common.faults import Fault
from chain.sync.service import Sync
from runtime.primitives.types import Hash


class Proofs(Protocol):
    """The way to proofs of who votes."""

    async def fetch(self, peer: str, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Return what a peer proves beyond a block and whether that is all; None where no answer comes."""


class Company:
    """Asks through block sync, which knows the peers. Satisfies chain.sync.ascent.Peers."""

    def __init__(self, sync: Sync, proofs: Proofs) -> None:
        self._sync = sync
        self._proofs = proofs

    def finals(self) -> dict[str, int]:
        """Return the peers that may be asked now, and how many blocks each says are final."""
        return self._sync.finals()

    def claims(self) -> dict[str, int]:
        """Return how many blocks each peer says are final, whether it may be asked now or not."""
        return self._sync.claims()

    def has_from(self, peer: str, number: int) -> bool:
        """Say whether a peer says that it has every block from a height on."""
        return self._sync.has_from(peer, number)

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer, and leave it alone for a while."""
        self._sync.blame(peer, reason, detail)

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""
        self._sync.thank(peer)

    async def proof(self, peer: str, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Return what a peer proves beyond a block and whether that is all; None where no answer comes."""
        return await self._proofs.fetch(peer, begin)

    async def blocks(
        self, peer: str, start: Hash | int, count: int, fields: Fields, *, descending: bool = False
    ) -> list[BlockData] | None:
        """Return blocks from a peer, upwards on its best chain or down; None where no answer comes."""
        waiting: asyncio.Future[list[BlockData] | None] = asyncio.get_running_loop().create_future()

        def answered(blocks: list[BlockData]) -> None:
            if not waiting.done():
                waiting.set_result(blocks[:count])

        def failed() -> None:
            if not waiting.done():
                waiting.set_result(None)

        if not self._sync.ask(peer, start, count, fields, answered, failed, descending=descending):
            return None
        return await waiting
