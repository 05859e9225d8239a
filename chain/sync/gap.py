"""The blocks below the one a chain was restored at, fetched downwards while the node is at work above.

Each is the parent of the one before and its body has the root in its header: the blocks below a final one are
final, whoever sends them. What is stored stays; a restart goes on below it. Blocks that pruning would throw
away at once are not fetched.
"""

import asyncio
import logging
from functools import partial
from typing import Protocol

from chain.common.block_data import BLOCKS, MAX_BLOCKS, BlockData, Fields
from chain.common.faults import Fault
from chain.common.tasks import aside
from chain.env import Clock
from chain.storage.gap import Gap
from chain.sync.peers import Asking
from runtime.primitives.header import Header
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

RATE = 1 << 20
"""bytes per second that one peer is asked for"""
SHARE = 4
"""of this node's time, one part in so many goes into the gap"""
WAIT = 2.0
"""seconds until another try, where nobody can be asked or the node is far behind"""
LACKING = 60.0
"""seconds a peer is not asked that has not got the blocks"""
REPORT = 10.0
"""seconds between two lines of progress"""

Blocks = list[tuple[Header, list[bytes]]]


class Store(Protocol):
    """The chain with the gap."""

    @property
    def gap(self) -> Gap: ...


class Sync(Asking, Protocol):
    """Block sync, which knows the peers."""

    @property
    def is_major(self) -> bool: ...

    def doubtful(self, number: int) -> list[str]:
        """Return the peers that had not got a block when they came, but others above it."""


class GapFill:
    """Fills the gap from the top; one task runs it."""

    def __init__(self, store: Store, sync: Sync, clock: Clock) -> None:
        self._store = store
        self._sync = sync
        self._clock = clock
        self._lacking: dict[str, float] = {}  # until when these peers are not asked
        self._last_asked = ""
        self._reported = 0.0

    async def run(self) -> None:
        """Fill the gap.

        Raises: StorageError.
        """
        if self._store.gap.wanted is not None:
            log.info(
                "⏪ Fetching the blocks #%d to #%d below this chain's beginning", *self._store.gap.wanted
            )
        while (wanted := self._store.gap.wanted) is not None:
            self._report(*wanted)
            await self._clock.sleep(await self._step(*wanted))
            if self._store.gap.wanted is None:
                log.info("⏪ All blocks from #%d on are here", wanted[0])

    async def _step(self, first: int, last: int) -> float:
        """Fetch and store some blocks; return how long to wait now, in seconds."""
        now, top = self._clock.monotonic(), self._store.gap.top
        able = self._sync.candidates(last) or self._sync.doubtful(last)  # whose gap may be filled by now
        peers = [peer for peer in able if self._lacking.get(peer, 0.0) <= now]
        if not peers or top is None or self._sync.is_major:
            return WAIT
        peer = next((each for each in peers if each != self._last_asked), peers[0])
        self._last_asked = peer
        count = min(MAX_BLOCKS, last - first + 1)
        found = await self._asked(peer, top, count)
        began = self._clock.monotonic()
        if not found:
            self._lacking = {each: until for each, until in self._lacking.items() if until > now}
            self._lacking[peer] = now + LACKING
            return 0.0
        blocks = await aside(partial(_linked, top, found[:count]))
        if len(blocks) < min(count, len(found)):
            self._sync.blame(peer, Fault.WRONG_BLOCKS, f"#{last - len(blocks)}")
        self._store.gap.follow(await aside(partial(self._store.gap.write, blocks)))
        size = sum(len(each) for _, body in blocks for each in body)
        return max(size / (RATE * len(peers)), (SHARE - 1) * (self._clock.monotonic() - began))

    async def _asked(self, peer: str, top: Hash, count: int) -> list[BlockData]:
        """Return what a peer answers; nothing where it does not."""
        answer: asyncio.Future[list[BlockData]] = asyncio.get_running_loop().create_future()

        def answered(blocks: list[BlockData]) -> None:
            if not answer.done():
                answer.set_result(blocks)

        is_asked = self._sync.ask(
            peer, top, count, BLOCKS & ~Fields.JUSTIFICATION, answered, lambda: answered([]), descending=True
        )
        return await answer if is_asked else []

    def _report(self, first: int, last: int) -> None:
        now = self._clock.monotonic()
        if now - self._reported >= REPORT:
            if self._reported:
                log.info("⏪ The blocks #%d to #%d are missing still", first, last)
            self._reported = now


def _linked(top: Hash, found: list[BlockData]) -> Blocks:
    """Return the blocks in a row, downwards from the top, that are whole."""
    blocks: Blocks = []
    for each in found:
        if each.body is None or each.header.hash() != top or not each.header.number:
            break
        if ordered_root(each.body) != each.header.extrinsics_root:
            break
        blocks.append((each.header, each.body))
        top = each.header.parent_hash
    return blocks
