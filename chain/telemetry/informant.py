"""The line that shows now and then how the node is doing, in Substrate's words."""

import logging

from chain.common.hashes import short
from chain.env import Clock
from chain.network.service import Network
from chain.storage.store import ChainStore
from chain.sync.service import Sync

log = logging.getLogger("node")

EVERY = 5.0
"""seconds between two lines"""
_UNITS = ("B", "kiB", "MiB", "GiB")


class Informant:
    """Watches the chain and the peers of one node."""

    def __init__(self, store: ChainStore, sync: Sync, network: Network, clock: Clock) -> None:
        self._store = store
        self._sync = sync
        self._network = network
        self._clock = clock
        self._last = (0.0, 0, 0, 0)  # seconds, best number, bytes in and out

    async def run(self) -> None:
        """Write lines until cancelled."""
        self._last = self._now()
        while True:
            await self._clock.sleep(EVERY)
            before, self._last = self._last, self._now()
            seconds = max(self._last[0] - before[0], 0.001)
            blocks, down, up = (
                (late - early) / seconds for early, late in zip(before[1:], self._last[1:], strict=True)
            )
            log.info(
                "%s (%d peers), best: #%d (%s), finalized #%d (%s), ⬇ %s ⬆ %s",
                self._doing(blocks), len(self._network.peers()),
                self._store.best_number, short(self._store.best),
                self._store.finalized_number, short(self._store.finalized),
                rate(down), rate(up),
            )  # fmt: skip

    def _now(self) -> tuple[float, int, int, int]:
        network = self._network
        return (
            self._clock.monotonic(), self._store.best_number, network.received_bytes, network.sent_bytes
        )  # fmt: skip

    def _doing(self, blocks: float) -> str:
        if self._sync.is_major:
            return f"⚙️ Syncing {blocks:.1f} bps, target=#{self._sync.target}"
        return "💤 Idle"


def rate(per_second: float) -> str:
    """Return bytes per second as Substrate writes them; nothing is 0."""
    if per_second < 1:
        return "0"
    unit = 0
    while per_second >= 1024 and unit < len(_UNITS) - 1:
        per_second /= 1024
        unit += 1
    return f"{per_second:.1f}{_UNITS[unit]}/s"
