"""What the clocks of these tests have in common: they stand still until a test moves them."""

import asyncio
import heapq

IDLE_TURNS = 20
"""turns of the event loop in which everything happens that needs no time"""


class StillClock:
    """Sleepers wake in order, at the moment they asked for."""

    def __init__(self, ms: int) -> None:
        self.ms = ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self.ms

    def monotonic(self) -> float:
        """Return seconds."""
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock gets there."""
        waiting = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.ms + round(seconds * 1000), self._count, waiting))
        await waiting

    async def settle(self) -> None:
        """Let happen what needs no time."""
        for _ in range(IDLE_TURNS):
            await asyncio.sleep(0)

    def wake_next(self) -> None:
        """Go to the moment of the next sleeper and wake it."""
        self.ms, _, waiting = heapq.heappop(self._sleepers)
        if not waiting.done():
            waiting.set_result(None)
