"""The JSON-RPC server: HTTP POST, WebSocket and health checks on one port.

server = RpcServer(backend, RpcConfig(port=9944), observer)
await server.start()        listens; raises OSError when the port is taken
await server.run()          serves subscriptions until cancelled, then closes everything
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import WSCloseCode, WSMsgType, web

from chain.rpc import errors
from chain.rpc.backend import Backend, Observer
from chain.rpc.budget import Budget
from chain.rpc.dispatch import Dispatcher, Handler, Methods, encode
from chain.rpc.door import DEFAULT_ORIGINS, Connection, Door, Origins
from chain.rpc.errors import Json, over_limit
from chain.rpc.hub import Hub
from chain.rpc.methods import (
    archive,
    author,
    babe,
    chain,
    chain_spec,
    childstate,
    grandpa,
    payment,
    state,
    subnet,
    system,
    trail,
)
from chain.rpc.outbox import MAX_BYTES, MAX_MESSAGES, REPLY_TIMEOUT, Outbox
from chain.rpc.params import MAX_RESPONSE, Params
from chain.rpc.policy import UNSAFE, RpcMethods, denier, serves_unsafe
from chain.rpc.subscriptions import BOUND, SUBSCRIBE, UNSUBSCRIBE, Session

log = logging.getLogger("rpc")

NAMESPACES = (
    chain, state, childstate, author, babe, grandpa, system, payment, archive, chain_spec, subnet, trail,
)  # fmt: skip
BODY_TIMEOUT = 30.0
"""seconds for the body of a POST to arrive"""
TURN = 0.0005
"""seconds one WebSocket may be answered before the others have their turn"""
CLOSE_TIMEOUT = 2.0
"""seconds a WebSocket client has to answer our goodbye"""
SPARE_CONNECTIONS = 32
"""TCP connections above the limit that are accepted to be told so, and for health checks"""
LARGE_ANSWER = 256 * 1024
"""bytes; what is shorter goes to the kernel at once, or nearly so"""
PREFLIGHT_AGE = 3600
"""seconds a browser may remember what we allow"""


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """Where to listen and how much to serve."""

    host: str = "127.0.0.1"
    port: int = 9944  # 0 takes a free one
    methods: RpcMethods = "auto"
    origins: tuple[str, ...] = DEFAULT_ORIGINS  # web pages allowed; ("all",) allows every page
    max_connections: int = 100  # WebSockets and HTTP requests in progress
    max_request: int = 15 * 1024 * 1024  # bytes of one message
    max_response: int = MAX_RESPONSE  # bytes of one answer, or of all answers to a batch
    max_batch: int = 100  # requests; 0 refuses batches
    max_subscriptions: int = 1024  # per connection
    max_queued_messages: int = MAX_MESSAGES  # per connection, before a slow client is cut off
    max_queued_bytes: int = MAX_BYTES


class RpcServer:
    """Answers clients out of a Backend."""

    def __init__(self, node: Backend, config: RpcConfig, observer: Observer) -> None:
        self._node = node
        self._config = config
        self._observer = observer
        self._hub = Hub(node)
        methods = all_methods(serves_unsafe(config.methods, config.host))
        self._dispatcher = Dispatcher(node, methods, config.max_batch, config.max_response, observer)
        self._origins = Origins(config.origins)
        self._budget = Budget()
        self._busy = 0
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        assert self._runner is not None, "the server has not started"
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen.

        Raises: OSError when the address cannot be used.
        """
        self._hub.open()
        door = Door(self._serve, self._config.max_connections + SPARE_CONNECTIONS, self._budget)
        self._runner = web.ServerRunner(door, shutdown_timeout=CLOSE_TIMEOUT)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        except OSError:
            await self.close()
            raise
        log.info("Running JSON-RPC server: addr=%s:%d", self._config.host, self.port)

    async def run(self) -> None:
        """Forward the node's notifications until cancelled or the feed ends; then close."""
        try:
            await self._hub.run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Say goodbye to every client and stop listening; closing twice is fine."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._hub.close()
        for site in list(runner.sites):
            await site.stop()
        goodbyes = [each.close(code=WSCloseCode.GOING_AWAY, message=b"node stops") for each in self._sockets]
        await asyncio.gather(*goodbyes)
        await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request, which may become a WebSocket."""
        if request.path in ("/health", "/health/readiness"):
            return self._health(request)
        origin = request.headers.get("Origin")
        if not self._origins.allow(origin):
            return _plain(403, f"Origin {origin} is not allowed; start the node with --rpc-cors to allow it")
        if self._busy >= self._config.max_connections:
            return _plain(429, "Too many connections. Please try again later.")
        self._busy += 1
        try:
            response = await self._serve_allowed(request)
            if origin is not None and not response.prepared:
                response.headers.update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
            if isinstance(response, web.Response) and (response.content_length or 0) > LARGE_ANSWER:
                await self._deliver(request, response, response.content_length or 0)
        except ConnectionError:
            return _plain(400, "The connection was lost")  # nobody reads this
        finally:
            self._busy -= 1
            _answered(request)
        return response

    async def _deliver(self, request: web.BaseRequest, response: web.Response, size: int) -> None:
        """Send a large answer, which counts until the client has read it; who does not is cut off."""
        transport = request.transport
        if transport is None:
            return
        self._budget.add(transport, size)
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                await response.prepare(request)
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            transport.abort()
        finally:
            self._budget.drop(transport, size)

    async def _serve_allowed(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            return await self._post(request)
        if request.method == "OPTIONS":
            return _preflight()
        if request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        return _plain(405, "Use POST, or open a WebSocket", {"Allow": "POST, OPTIONS"})

    def _health(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            return _plain(405, "Use GET", {"Allow": "GET"})
        now = self._node.health()
        if request.path == "/health":
            return web.json_response(system.health_json(self._node))
        is_ready = (not now.is_syncing and now.peers > 0) or not now.should_have_peers
        return web.Response(status=200 if is_ready else 500)

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.content_type not in ("application/json", "application/json-rpc"):
            return _plain(415, "The content type is not allowed. Content-Type: application/json is required")
        try:
            body = await _read_body(request, self._config.max_request)
        except TimeoutError:
            return _plain(408, f"The request did not arrive within {BODY_TIMEOUT:.0f} s")
        if body is None:
            problem = over_limit(errors.REQUEST_TOO_BIG, "Request is too big", self._config.max_request)
            text = encode({"jsonrpc": "2.0", "id": None, "error": problem.to_json()})
            return web.Response(status=413, text=text, content_type="application/json")
        answer = await self._dispatcher.answer(body, None)
        if answer.text is None:
            return web.Response(status=204)
        return web.Response(text=answer.text, content_type="application/json")

    async def _websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT,
            compress=False,
            max_msg_size=self._config.max_request,
            decode_text=False,
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket

        def grown(size: int) -> None:
            if size > 0:
                self._budget.add(transport, size)
            else:
                self._budget.drop(transport, -size)

        messages, size = self._config.max_queued_messages, self._config.max_queued_bytes
        outbox = Outbox(transport.abort, messages, size, grown)
        self._sockets.add(socket)
        self._observer.session_opened()
        try:
            await self._converse(socket, outbox, partial(_answered, request))
        finally:
            self._observer.session_closed()
            self._sockets.discard(socket)
        return socket

    async def _converse(
        self, socket: web.WebSocketResponse, outbox: Outbox, answered: Callable[[], None]
    ) -> None:
        """Answer a WebSocket client until it leaves or is cut off."""
        async with asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(outbox.drain(socket.send_str))
            session = Session(self._hub, self._node, outbox, tasks, self._config.max_subscriptions)
            turn = time.perf_counter()
            try:
                while (message := await _receive(socket)) is not None:
                    await outbox.room()  # before there is one more answer to keep
                    answer = await self._dispatcher.answer(message, session)
                    answered()
                    if answer.text is not None:
                        await outbox.reply(answer.text)
                    for start in answer.starts:
                        start()
                    turn = await _pause(turn)
            finally:
                session.close()
                sender.cancel()


def _answered(request: web.BaseRequest) -> None:
    """Note that a client's bytes are needed no more."""
    if isinstance(request.protocol, Connection):
        request.protocol.answered()


async def _receive(socket: web.WebSocketResponse) -> bytes | None:
    """Return the next message, None when the client has left; it may do so before its ping is answered."""
    try:
        message = await socket.receive()
    except ConnectionError:
        return None
    found: bytes | None = message.data if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None
    return found


async def _pause(turn: float) -> float:
    """Let others have their turn when ours is over: buffered messages do not suspend; return its start."""
    if time.perf_counter() - turn < TURN:
        return turn
    await asyncio.sleep(0)
    return time.perf_counter()


def all_methods(unsafe: bool) -> Methods:
    """Return every name this server answers to; unsafe methods are refused, yet listed, unless served."""
    handlers: dict[str, Handler] = {}
    for namespace in NAMESPACES:
        handlers |= namespace.METHODS
    if not unsafe:
        handlers |= {method: denier(method) for method in UNSAFE}

    async def rpc_methods(node: Backend, params: Params) -> Json:
        """Return all names, those of subscriptions included."""
        return {"methods": names}

    handlers["rpc_methods"] = rpc_methods
    names = sorted([*handlers, *SUBSCRIBE, *UNSUBSCRIBE, *BOUND])
    return Methods(handlers, frozenset(SUBSCRIBE), UNSUBSCRIBE, BOUND)


async def _read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """Return the body, None when it is longer than the limit.

    Raises: TimeoutError.
    """
    if request.content_length is not None and request.content_length > limit:
        return None
    if request.content.is_eof():  # it came with the head, as short ones do
        whole = request.content.read_nowait()
        return whole if len(whole) <= limit else None
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                return None
    return bytes(body)


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=headers)


def _preflight() -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "content-type",
        "Access-Control-Max-Age": str(PREFLIGHT_AGE),
    }
    return web.Response(status=204, headers=headers)
