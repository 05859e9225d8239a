"""The TCP side of the server: how many connections, and how long a silent one stays."""

import asyncio
import ipaddress
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from aiohttp import web

from miners.blobs.limits import Limits

log = logging.getLogger("blobs")

HEAD_LINE = 512
"""bytes of the request line, and of one header"""
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


class Door(web.Server):
    """An HTTP server that bounds connections, in all and per address, and heads of requests."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], limits: Limits
    ) -> None:
        super().__init__(
            handler,
            keepalive_timeout=limits.head_seconds,
            lingering_time=LINGER,
            access_log=None,
            auto_decompress=False,
            max_line_size=HEAD_LINE,
            max_field_size=HEAD_LINE,
            max_headers=HEAD_LINES,
            read_bufsize=1 << 16,
        )
        self._limits = limits
        self._unknown: OrderedDict[web.RequestHandler, asyncio.Transport] = OrderedDict()
        self._addresses: Counter[str] = Counter()
        self._signers: dict[web.RequestHandler, bytes] = {}

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection; one too many costs the oldest that has not signed."""
        super().connection_made(handler, transport)
        address = address_of(transport)
        self._addresses[address] += 1
        self._unknown[handler] = transport
        if self._addresses[address] > self._limits.connections_per_address and not _is_loopback(address):
            self._cut(handler)
        elif self._addresses.total() > self._limits.connections:
            self._cut(next(iter(self._unknown)))

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        if handler.transport is not None:
            address = address_of(handler.transport)
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]
        self._unknown.pop(handler, None)
        self._signers.pop(handler, None)
        super().connection_lost(handler, exc)

    def signed(self, request: web.BaseRequest, signer: bytes) -> None:
        """Note a registered caller at the other end: some of its connections make room for nobody."""
        held = sum(each == signer for each in self._signers.values())
        if request.protocol in self._unknown and held < self._limits.connections_per_signer:
            del self._unknown[request.protocol]
            self._signers[request.protocol] = signer

    def _cut(self, handler: web.RequestHandler) -> None:
        transport = self._unknown.pop(handler)
        asyncio.get_running_loop().call_soon(transport.abort)  # not before the handler has begun


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """Return the IP address at the other end."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
