"""The TCP side of the server: how many connections, how long a silent one stays, which web pages may call."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from chain.rpc.budget import Budget

ALL = "all"
DEFAULT_ORIGINS = (
    "http://localhost:*",
    "http://127.0.0.1:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://polkadot.js.org",
)
"""Substrate's default for --rpc-cors."""

IDLE_TIMEOUT = 75.0
"""seconds a connection has to send the head of a request, the first one or the next"""
LINGER = 2.0
"""seconds we read on after refusing a request, so that the client gets to see the refusal"""
DEAD_PEER = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""seconds, seconds, probes: the kernel finds dead peers, so clients need not answer pings of ours"""


class Origins:
    """Which web pages may talk to the node; programs send no origin and always may."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._patterns = [_pattern(each) for each in allowed]

    def allow(self, origin: str | None) -> bool:
        """Say whether a request with this Origin header is served."""
        return origin is None or any(pattern.fullmatch(origin) for pattern in self._patterns)


def _pattern(allowed: str) -> re.Pattern[str]:
    if allowed == ALL:
        return re.compile(r".*", re.DOTALL)
    if allowed.endswith(":*"):
        return re.compile(re.escape(allowed[:-2]) + r"(:[0-9]{1,5})?")
    return re.compile(re.escape(allowed))


class Connection(web.RequestHandler):
    """One TCP connection, whose bytes count from their arrival until they are answered."""

    __slots__ = ("budget", "received")
    budget: Budget
    received: int  # bytes not answered yet

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        self.received += len(data)
        if self.transport is not None:
            self.budget.add(self.transport, len(data))
        super().data_received(data)

    def answered(self) -> None:
        """Note that what was received is needed no more."""
        if self.transport is not None:
            self.budget.drop(self.transport, self.received)
        self.received = 0


class Door(web.Server):
    """An HTTP server that refuses TCP connections above a limit and drops those that say nothing."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        max_connections: int,
        budget: Budget,
    ) -> None:
        super().__init__(
            handler,
            keepalive_timeout=IDLE_TIMEOUT,
            lingering_time=LINGER,
            access_log=None,
            auto_decompress=False,
        )
        self._limit = max_connections
        self._budget = budget

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        made = Connection(self, loop=self._loop, **self._kwargs)
        made.budget, made.received = self._budget, 0
        return made

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, or cut it when there are too many."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._limit:
            asyncio.get_running_loop().call_soon(transport.abort)  # not before the handler has begun
            return
        peer: socket.socket = transport.get_extra_info("socket")
        for option, value in DEAD_PEER.items():
            if hasattr(socket, option):
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        if handler.transport is not None:
            self._budget.forget(handler.transport)
        super().connection_lost(handler, exc)
