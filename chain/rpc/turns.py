"""Fairness on the one event loop: whatever clients ask for, authoring and short requests get their turn."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_TRIES = ThreadPoolExecutor(1, "trie")
"""The trie of a state deep in the history may take seconds: one at a time, off the loop."""


async def about_a_trie(work: Callable[[], T]) -> T:
    """Return what a question about branches of a state answers."""
    return await asyncio.get_running_loop().run_in_executor(_TRIES, work)


ROUND = 0.01
"""seconds that all answers together may take of one round of the event loop; the last one may exceed it"""


class Turns:
    """Lets one slice of all long queries run in each round of the event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one's turn, behind everybody who waits already."""
        async with self._lock:
            await asyncio.sleep(0)


class Pace:
    """Ends a round of answers after ROUND: what is left waits until everybody else has had a turn."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._next: asyncio.Event | None = None

    async def wait(self) -> None:
        """Wait until this round of the event loop has time for one more answer."""
        while self._spent > ROUND and self._next is not None:
            await self._next.wait()

    def spend(self, seconds: float) -> None:
        """Note what an answer took."""
        self._spent += seconds
        if self._next is None:
            self._next = asyncio.Event()
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Begin a round; those who wait come after whatever the loop found ready meanwhile."""
        over, self._next, self._spent = self._next, None, 0.0
        if over is not None:
            over.set()
