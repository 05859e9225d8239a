"""The TCP side of HTTP servers for strangers: how many connections, and how long a silent one stays."""

import asyncio
import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

log = logging.getLogger("http")

HEAD_LINES = 32
LINGER = 0.5
"""seconds we read on after refusing a request, so that the caller gets to see why"""


class Connection(web.RequestHandler):
    """One TCP connection; what is no HTTP is answered with one line, not with itself."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return what a request that failed is answered with."""
        if request.writer.output_size:
            raise ConnectionError("an answer has begun; another cannot follow")
        if status >= 500:
            log.error("a request failed: %s", exc, exc_info=exc)
        text = "this is no request of HTTP/1.1, or its head is too long\n" if status == 400 else "try again\n"
        response = web.Response(status=status, text=text)
        response.force_close()
        return response


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a server connections may take."""

    connections: int  # the oldest of those that nobody answers for makes room for a new one
    connections_per_address: int  # loopback, where all the programs of one machine are, is exempt
    idle_seconds: float  # for the head of a request, the first one or the next on a connection
    connections_per_caller: int = 0  # that a caller who is known may have kept
    head_line: int = 512  # bytes of the request line, and of one header


class Door(web.Server):
    """An HTTP server that bounds connections, in all and per address, and heads of requests."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], bounds: Bounds
    ) -> None:
        super().__init__(
            handler,
            keepalive_timeout=bounds.idle_seconds,
            lingering_time=LINGER,
            access_log=None,
            auto_decompress=False,
            max_line_size=bounds.head_line,
            max_field_size=bounds.head_line,
            max_headers=HEAD_LINES,
            read_bufsize=1 << 16,
        )
        self._bounds = bounds
        self._unknown: OrderedDict[web.RequestHandler, asyncio.Transport] = OrderedDict()  # oldest first
        self._addresses: Counter[str] = Counter()
        self._known: dict[web.RequestHandler, _Caller] = {}  # oldest first

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection; one too many costs the oldest that nobody answers for."""
        super().connection_made(handler, transport)
        address = address_of(transport)
        self._addresses[address] += 1
        self._unknown[handler] = transport
        if self._addresses[address] > self._bounds.connections_per_address and not _is_loopback(address):
            self._cut(handler)
        elif self._addresses.total() > self._bounds.connections:
            self._cut(next(iter(self._unknown)))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        if handler.transport is not None:
            address = address_of(handler.transport)
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]
        self._unknown.pop(handler, None)
        self._known.pop(handler, None)
        super().connection_lost(handler, exc)

    def know(self, request: web.BaseRequest, name: bytes, rank: int) -> None:
        """Note who is at the other end: some of its connections are kept, of all callers half of them.

        When more would be, the oldest of the lowest rank is as any other again.
        """
        handler, transport = request.protocol, request.transport
        held = sum(each.name == name for each in self._known.values())
        if handler not in self._unknown or transport is None or held >= self._bounds.connections_per_caller:
            return
        if 2 * (len(self._known) + 1) > self._bounds.connections:
            last = min(self._known, key=lambda each: self._known[each].rank)
            if self._known[last].rank > rank:
                return
            self._unknown[last] = self._known.pop(last).transport
            self._unknown.move_to_end(last, last=False)
        del self._unknown[handler]
        self._known[handler] = _Caller(name, rank, transport)

    def _cut(self, handler: web.RequestHandler) -> None:
        transport = self._unknown.pop(handler)
        asyncio.get_running_loop().call_soon(transport.abort)  # not before the handler has begun


@dataclass(frozen=True, slots=True)
class _Caller:
    name: bytes
    rank: int
    transport: asyncio.Transport


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """Return whom to count the other end as: its IPv4 address, or the /64 that one host has of IPv6."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    text = str(peer[0]) if isinstance(peer, tuple) else ""
    if ":" not in text or _is_loopback(text):
        return text
    return str(ipaddress.ip_network((text.partition("%")[0], 64), strict=False))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a network
        return False
