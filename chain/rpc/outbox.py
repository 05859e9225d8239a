"""What waits to be sent on one WebSocket connection, bounded: who does not read is disconnected."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger("rpc")

MAX_MESSAGES = 4096
MAX_BYTES = 32 * 1024 * 1024
REPLY_TIMEOUT = 30.0
"""seconds a reply waits for a client that does not read"""


class Outbox:
    """A connection's send queue; `abort` cuts the connection, `grown` hears of bytes that come and go."""

    def __init__(
        self,
        abort: Callable[[], None],
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        grown: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._abort = abort
        self._grown = grown
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._queue: deque[str] = deque()
        self._bytes = 0
        self._closed = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def closed(self) -> bool:
        """Whether the connection was cut off for being slow."""
        return self._closed

    def notify(self, text: str) -> None:
        """Queue a notification; a client too far behind to take it is disconnected."""
        if self._closed:
            return
        if len(self._queue) >= self._max_messages or self._bytes + len(text) > self._max_bytes:
            self._cut(f"{len(self._queue)} messages, {self._bytes} bytes unread")
            return
        self._queue.append(text)
        self._bytes += len(text)
        self._grown(len(text))
        self._filled.set()
        if self._crowded():
            self._room.clear()

    async def reply(self, text: str) -> None:
        """Queue a reply, waiting until the client has read half of what is queued."""
        await self.room()
        self.notify(text)

    async def room(self) -> None:
        """Wait until the client has read half of what is queued."""
        if self._room.is_set():
            return
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                await self._room.wait()
        except TimeoutError:
            self._cut(f"nothing read for {REPLY_TIMEOUT:.0f} s")

    async def drain(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Send what is queued, for ever; ends when the connection is gone."""
        while not self._closed:
            if not self._queue:
                self._filled.clear()
                await self._filled.wait()
                continue
            text = self._queue.popleft()
            self._bytes -= len(text)
            if not self._crowded():
                self._room.set()
            try:
                await send(text)
            except ConnectionError:
                self._cut("the client is gone")
            self._grown(-len(text))

    def _crowded(self) -> bool:
        return len(self._queue) * 2 > self._max_messages or self._bytes * 2 > self._max_bytes

    def _cut(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._grown(-self._bytes)
        self._bytes = 0
        self._room.set()
        self._filled.set()
        log.info("Disconnected a client: %s", reason)
        self._abort()
