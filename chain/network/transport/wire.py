"""A socket that carries blocks, each preceded by its length: u16, big endian | at most 65,535 bytes.

Bytes are received into one buffer, and reading stops while it is full: whoever sends faster than this node
takes is slowed down by TCP. Little waits in the other direction, so what goes next is decided late.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from chain.network.discovery.addresses import plain_ip

LENGTH_SIZE = 2
HANDSHAKE_BUFFER = 2 * 512
"""bytes received at most from somebody of whom nothing is known"""
BUFFER = 256 << 10
"""bytes received at once; a few blocks"""
MAX_UNSENT = 128 << 10
"""bytes in the transport's buffer, and as many unsent in the kernel's, beyond which nothing is added"""
_MIN_SPACE = 16 << 10
"""bytes at the end of the buffer, below which the rest moves to its beginning"""


class WireClosed(Exception):
    """The connection has ended: says why."""


class Wire(asyncio.BufferedProtocol):
    """One end of a connection."""

    def __init__(self, met: Callable[["Wire"], None] | None = None) -> None:
        """`met` is told of the connection when it is made."""
        self.is_writable = True
        self.can_write: Callable[[], None] | None = None  # told when it is again
        self._met = met
        self._take: Callable[[memoryview], None] | None = None
        self._transport: asyncio.Transport
        self._view = memoryview(bytearray(HANDSHAKE_BUFFER))
        self._start = self._end = 0  # of what was received and not taken
        self._is_held = self._is_full = False
        self._waiter: asyncio.Future[None] | None = None
        self._ended: str | None = None  # why
        self._problem: Exception | None = None  # that of whoever takes the blocks

    @property
    def ip(self) -> str:
        """Return the other end's address; empty when the connection was over at once."""
        remote = self._transport.get_extra_info("peername")
        return plain_ip(remote[0]) if remote else ""

    @property
    def local_ip(self) -> str:
        """Return this end's address; empty when the connection was over at once."""
        local = self._transport.get_extra_info("sockname")
        return plain_ip(local[0]) if local else ""

    @property
    def is_closing(self) -> bool:
        """Say whether nothing more is sent."""
        return self._ended is not None or self._transport.is_closing()

    async def block(self) -> bytes:
        """Return the next block.

        Raises: WireClosed, also for a block longer than the buffer.
        """
        while True:
            block = self._next()
            if block is not None:
                return bytes(block)
            if self._end - self._start >= LENGTH_SIZE:
                size = self._view[self._start] << 8 | self._view[self._start + 1]
                if LENGTH_SIZE + size > len(self._view):
                    raise WireClosed(f"a block of {size} bytes, before it was clear who sends it")
            if self._ended is not None:
                raise WireClosed(self._ended)
            self._go_on()
            await self._news()

    async def flow(self, take: Callable[[memoryview], None]) -> None:
        """Hand on every block as it comes, valid during the call, until the connection ends.

        Raises: WireClosed; whatever `take` raises.
        """
        self._change_buffer(BUFFER)
        self._take = take
        if self._is_full:
            self._resume()
        try:
            while self._ended is None:
                self._hand_on()
                self._go_on()
                if self._ended is None:
                    await self._news()
        finally:  # now, not whenever cyclic garbage is collected next: crowds come and go faster
            self._start = self._end
            self._change_buffer(HANDSHAKE_BUFFER)
            self._take = None
        if self._problem is not None:
            raise self._problem
        raise WireClosed(self._ended)

    def hold(self) -> None:
        """Hand nothing on for now, and let the other end feel it."""
        self._is_held = True

    def release(self) -> None:
        """Hand on again."""
        self._is_held = False
        self._wake()

    def write(self, block: bytes) -> None:
        """Send a block; to nobody once the loop has closed the socket, which it tells a turn later."""
        if not self._transport.is_closing():
            self._transport.write(len(block).to_bytes(LENGTH_SIZE, "big") + block)

    def abort(self, reason: str = "") -> None:
        """Hang up; what waits to be sent is lost."""
        self._end_for(reason or "this side hung up")
        self._start = self._end
        self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket over."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)
        endpoint = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):
                endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
        if self._met is not None:
            self._met(self)

    def get_buffer(self, _: int) -> memoryview:
        """Return where to put what comes."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._view) - self._end < _MIN_SPACE:
            self._compact()
        return self._view[self._end :]

    def buffer_updated(self, size: int) -> None:
        """Hand on what has come."""
        self._end += size
        if self._ended is not None:
            self._start = self._end
        if self._take is None:
            self._wake()
        else:
            self._hand_on()
        if self._start == 0 and self._end == len(self._view) and not self._transport.is_closing():
            self._is_full = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Hang up, too: nobody here sends half a connection."""
        self._end_for("the other side hung up")
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        """Note the end; a problem that is not the network's is that of whoever takes the blocks."""
        if problem is not None and not isinstance(problem, OSError):
            self._problem = problem
        self._end_for(f"the connection broke: {problem}" if problem else "the other side hung up")

    def pause_writing(self) -> None:
        """Note that the other end does not keep up."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """Note that there is room again."""
        self.is_writable = True
        if self.can_write is not None:
            self.can_write()

    def _next(self) -> memoryview | None:
        """Take the next block out of the buffer, if it is whole."""
        start = self._start
        if self._end - start < LENGTH_SIZE:
            return None
        stop = start + LENGTH_SIZE + (self._view[start] << 8 | self._view[start + 1])
        if stop > self._end:
            return None
        self._start = stop
        return self._view[start + LENGTH_SIZE : stop]

    def _hand_on(self) -> None:
        assert self._take is not None, "somebody takes the blocks"
        while not self._is_held and (block := self._next()) is not None:
            self._take(block)

    def _go_on(self) -> None:
        """Read again after the buffer was full."""
        if self._is_full and self._start > 0:
            self._resume()

    def _resume(self) -> None:
        self._is_full = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _change_buffer(self, size: int) -> None:
        """Take what waits along into another buffer."""
        view, waiting = memoryview(bytearray(size)), self._end - self._start
        view[:waiting] = self._view[self._start : self._end]
        self._view, self._start, self._end = view, 0, waiting

    def _compact(self) -> None:
        """Move what waits to the beginning of the buffer."""
        waiting = self._end - self._start
        self._view[:waiting] = self._view[self._start : self._end]
        self._start, self._end = 0, waiting

    async def _news(self) -> None:
        """Wait until more has come, or the end."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _end_for(self, reason: str) -> None:
        if self._ended is None:
            self._ended = reason
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
