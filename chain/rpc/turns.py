"""Fairness between short requests and long queries: however many queries run, requests wait for one slice."""

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


class Turns:
    """Lets one slice of all long queries run in each round of the event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one's turn, behind everybody who waits already."""
        async with self._lock:
            await asyncio.sleep(0)
