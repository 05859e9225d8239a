"""Before all blocks up to a checkpoint are synced: the headers down from it, which say what blocks must be.

Whoever holds the keys of former voters can make another history final for those who do not know better, and
what is final stays. So nothing is imported below a checkpoint that is not on the way to it. Each header is
the parent of the one before, so nobody can lie about any of them; only their hashes are kept, while needed.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from chain.checkpoints import Checkpoint
from chain.common.block_data import HEADERS, MAX_BLOCKS
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.env import Clock
from chain.sync.peers import Asked
from runtime.primitives.types import BlockNumber, Hash

log = logging.getLogger("sync")

WAIT = 1.0
"""seconds until another try, where nobody can be asked"""
TOLD_EVERY = 5.0
"""seconds between two lines about the progress"""


class Reached(Protocol):
    """How far it has come."""

    @property
    def top(self) -> Hash: ...
    @property
    def lowest(self) -> BlockNumber: ...
    @property
    def parent(self) -> Hash: ...


class Record(Protocol):
    """Where the hashes are kept."""

    @property
    def standing(self) -> Reached | None: ...
    def put(self, top: Hash, lowest: BlockNumber, blocks: Sequence[Hash], parent: Hash) -> None: ...
    def clear(self) -> None: ...


class Store(Protocol):
    """The chain so far."""

    @property
    def finalized_number(self) -> BlockNumber: ...
    @property
    def finalized(self) -> Hash: ...


class Backbone:
    """Gets the hashes between the last final block and a checkpoint above it; `run` ends with the last."""

    def __init__(
        self, checkpoint: Checkpoint, store: Store, record: Record, peers: Asked, clock: Clock
    ) -> None:
        self._checkpoint = checkpoint
        self._store = store
        self._record = record
        self._peers = peers
        self._clock = clock
        self._told = float("-inf")

    async def run(self) -> None:
        """Go down from where an earlier run has stopped.

        Raises: SyncRefused where that leads to another chain; StorageError.
        """
        if self._record.standing is not None and self._record.standing.top != self._checkpoint.hash:
            self._record.clear()
        turn = 0
        while (lowest := self._lowest()) > self._store.finalized_number + 1:
            able = sorted(peer for peer, final in self._peers.finals().items() if final >= lowest - 1)
            self._tell(lowest)
            if not able or not await self._go_down(able[turn % len(able)]):
                await self._clock.sleep(WAIT)
            turn += 1
        standing = self._record.standing
        parent = self._checkpoint.hash if standing is None else standing.parent
        if lowest == self._store.finalized_number + 1 and parent != self._store.finalized:
            raise SyncRefused(
                f"the checkpoint #{self._checkpoint.number} belongs to another chain than the one here: it "
                f"stands on 0x{parent.hex()}, not on #{lowest - 1} 0x{self._store.finalized.hex()}. Give "
                "another checkpoint, or purge the chain"
            )

    def _lowest(self) -> int:
        """Return the lowest height whose block is known."""
        standing = self._record.standing
        return self._checkpoint.number + 1 if standing is None else standing.lowest

    async def _go_down(self, peer: str) -> bool:
        """Take what one answer has of the way down; say whether it has anything."""
        lowest, standing = self._lowest(), self._record.standing
        expected = self._checkpoint.hash if standing is None else standing.parent
        count = min(MAX_BLOCKS, lowest - 1 - self._store.finalized_number)
        found = await self._peers.blocks(peer, expected, count, HEADERS, descending=True)
        blocks: list[Hash] = []
        for each in found or []:
            header = each.header
            if header.hash() != expected:
                self._peers.blame(peer, Fault.WRONG_BLOCKS, f"#{header.number}")
                break
            if header.number != lowest - 1 - len(blocks):
                raise SyncRefused(
                    f"the checkpoint 0x{self._checkpoint.hash.hex()} is not #{self._checkpoint.number}: "
                    "take it as `assay checkpoint` prints it"
                )
            blocks.append(expected)
            expected = header.parent_hash
        if found == [] and self._peers.has_from(peer, lowest - 1):
            self._peers.blame(peer, Fault.USELESS, f"nothing below #{lowest}")
        if blocks:
            self._peers.thank(peer)
            self._record.put(self._checkpoint.hash, lowest - len(blocks), blocks[::-1], expected)
        return bool(blocks)

    def _tell(self, lowest: int) -> None:
        now = self._clock.monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            left = lowest - 1 - self._store.finalized_number
            log.info("📌 Checkpoint #%s: %s headers to go", f"{self._checkpoint.number:,}", f"{left:,}")
