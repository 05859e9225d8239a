"""Fairness between short requests and long queries: however many queries run, requests wait for one slice."""

import asyncio


class Turns:
    """Lets one slice of all long queries run in each round of the event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one's turn, behind everybody who waits already."""
        async with self._lock:
            await asyncio.sleep(0)
