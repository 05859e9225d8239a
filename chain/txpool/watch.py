"""What one client is told of one transaction, from arrival to end. Source: sc_transaction_pool_api."""

import asyncio
from collections import deque
from typing import Final

from runtime.primitives.types import Hash

Status = str | dict[str, str]
"""As author_extrinsicUpdate shows it: "ready", or {"inBlock": "0x1234"}."""

READY: Final = "ready"
FUTURE: Final = "future"
DROPPED: Final = "dropped"
INVALID: Final = "invalid"

LAST: Final = frozenset({DROPPED, INVALID, "finalized", "usurped", "finalityTimeout"})
MAX_UNREAD: Final = 64
"""A client that does not read loses the oldest statuses, never the last one."""


def at(name: str, where: Hash) -> Status:
    """Return a status that names a block, or the transaction that took the place."""
    return {name: f"0x{where.hex()}"}


class Watch:
    """An asynchronous iterator of statuses that ends after a final one."""

    def __init__(self) -> None:
        self._unread: deque[Status] = deque(maxlen=MAX_UNREAD)
        self._changed = asyncio.Event()
        self._ended = False
        self._latest: Status | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be told."""
        return self._ended

    def tell(self, status: Status) -> None:
        """Note a status; repeats and whatever follows a final one are left out."""
        if self._ended or status == self._latest:
            return
        self._latest = status
        self._unread.append(status)
        self._ended = not LAST.isdisjoint(status if isinstance(status, dict) else {status})
        self._changed.set()

    def close(self) -> None:
        """Stop: the client does not listen any more."""
        self._unread.clear()
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Status:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._unread.popleft()
