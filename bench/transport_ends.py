"""Both ends of a connection to measure: the node's own transport, and a plain socket.

    python -m bench.transport_ends ours|plain     serves, and prints its port (and, for ours, its peer id)

The end that serves counts what it is loaded with, says how much that was when it is asked, and echoes.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

import uvloop

from chain.env_real import RealClock, RealDisk, RealRng
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address
from chain.network.messages import Channel
from chain.network.transport.link import LinkConfig
from chain.network.transport.tcp import TcpConfig, TcpTransport

GENESIS = bytes(32)
LOAD, ECHO, COUNT = Channel.ANSWERS, Channel.VOTES, Channel.TRANSACTIONS
"""The last has the lowest priority: asked last, it is heard last."""
AS_FAST_AS_IT_GOES = LinkConfig(receive_rate=1e12, receive_burst=1 << 50)
PAUSE = 0.001
"""seconds that a sender waits when its queue is full"""


class Session(Protocol):
    """The end that measures."""

    async def push(self, message: bytes, count: int) -> int:
        """Send a message so many times; return how many have arrived."""

    async def ask(self, message: bytes) -> bytes:
        """Send a message and wait for its echo."""


class Handler:
    """Serves a transport's peer, or keeps what it answers."""

    def __init__(self, *, serves: bool) -> None:
        self.transport: TcpTransport
        self.joined = asyncio.Event()
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._serves = serves
        self._count = 0

    def connected(self, peer: str) -> None:
        """Note a peer."""
        self.joined.set()

    def disconnected(self, peer: str) -> None:
        """Note that it is gone."""

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Count, answer, or keep an answer."""
        if not self._serves:
            self.answers.put_nowait(message)
        elif channel == LOAD:
            self._count += 1
        elif channel == ECHO:
            self.transport.send(peer, ECHO, message)
        else:
            self.transport.send(peer, ECHO, str(self._count).encode())
            self._count = 0


@asynccontextmanager
async def transport(name: str, port: int | None, handler: Handler) -> AsyncIterator[TcpTransport]:
    """Run a transport with a throw-away key."""
    config = TcpConfig(port=port, link=AS_FAST_AS_IT_GOES, strangers_share=1e9)
    with tempfile.TemporaryDirectory() as home:
        key, disk = Keypair.from_suri(f"//{name}", "ed25519"), RealDisk(Path(home))
        made = TcpTransport(config, key, GENESIS, RealRng(), RealClock(), disk)
        handler.transport = made
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(made.run(handler))
            await made.listening.wait()
            yield made
            running.cancel()


class Ours:
    """A connection of the node's transport."""

    def __init__(self, made: TcpTransport, peer: str, handler: Handler) -> None:
        self._transport, self._peer, self._handler = made, peer, handler

    async def push(self, message: bytes, count: int) -> int:
        """Send a message so many times; return how many have arrived."""
        for _ in range(count):
            await self._send(LOAD, message)
        await self._send(COUNT, b"how many?")
        return int(await self._handler.answers.get())

    async def ask(self, message: bytes) -> bytes:
        """Send a message and wait for its echo."""
        self._transport.send(self._peer, ECHO, message)
        return await self._handler.answers.get()

    async def _send(self, channel: Channel, message: bytes) -> None:
        while not self._transport.send(self._peer, channel, message):  # noqa: ASYNC110
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def ours(where: list[str]) -> AsyncIterator[Session]:
    """Connect with the node's transport."""
    port, peer = where
    handler = Handler(serves=False)
    async with transport("Measures", None, handler) as made, asyncio.TaskGroup() as tasks:
        there = Address("ip4", "127.0.0.1", int(port), peer)
        task = tasks.create_task(made.connect(there, lambda peer, ip: None))
        await handler.joined.wait()
        yield Ours(made, peer, handler)
        made.drop(peer, "measured")
        await task


class Plain(asyncio.Protocol):
    """A socket without encryption: u32 length, big endian | kind u8 | message."""

    def __init__(self, *, serves: bool) -> None:
        self._serves = serves
        self._buffer = bytearray()
        self._count = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket over."""
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        """Wait with the next message."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Handle every whole message."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 4:
            stop = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if stop > len(buffer):
                break
            self._received(buffer[at + 4], bytes(buffer[at + 5 : stop]))
            at = stop
        del buffer[:at]

    def send(self, kind: int, message: bytes) -> None:
        """Send a message."""
        self._transport.write((len(message) + 1).to_bytes(4, "big") + bytes([kind]) + message)

    async def push(self, message: bytes, count: int) -> int:
        """Send a message so many times; return how many have arrived."""
        for _ in range(count):
            self.send(LOAD, message)
            if not self._writable.is_set():
                await self._writable.wait()
        self.send(COUNT, b"how many?")
        return int(await self._answers.get())

    async def ask(self, message: bytes) -> bytes:
        """Send a message and wait for its echo."""
        self.send(ECHO, message)
        return await self._answers.get()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _received(self, kind: int, message: bytes) -> None:
        if not self._serves:
            self._answers.put_nowait(message)
        elif kind == LOAD:
            self._count += 1
        elif kind == ECHO:
            self.send(ECHO, message)
        else:
            self.send(ECHO, str(self._count).encode())
            self._count = 0


@asynccontextmanager
async def plain(where: list[str]) -> AsyncIterator[Session]:
    """Connect with a plain socket."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Plain(serves=False), "127.0.0.1", int(where[0]))
    yield made
    made.close()


async def serve(kind: str) -> None:
    """Serve until killed."""
    if kind == "plain":
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Plain(serves=True), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
    async with transport("Serves", 0, Handler(serves=True)) as made:
        print(made.port, made.peer_id, flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
