"""A hostile peer: many addresses, as many identities as it likes, our handshake, and no manners after it.

It speaks to a node over real sockets. `Enemy` is all of one attacker, `Intruder` one of its connections that
has passed the handshake; what it sends there is up to the attack (tests/e2e/siege_*.py).
"""

import asyncio
import contextlib
import itertools
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from chain.keys.pair import Keypair
from chain.network.messages import PROTOCOL_VERSION, STATUS, Channel, Status
from chain.network.transport.frames import CONTROL, HEAD, MAX_CONTENT, Assembler
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.noise import Channel as Ciphers
from chain.network.transport.noise import Cipher, NoiseError
from chain.network.transport.wire import LENGTH_SIZE
from runtime.primitives.types import BlockNumber, Hash

CUT = (OSError, EOFError, TimeoutError, NoiseError)
"""How a node that hangs up, or never lets one in, looks to its peer"""
PATIENCE = 6.0
"""seconds until the attacker takes a node for deaf; a handshake may take five"""
MAX_BUFFERED = 1 << 20
"""bytes the attacker keeps for a node that reads slowly, before it waits"""
_QUESTION = struct.Struct(">?Q")
"""Is it an answer | number"""


class Dice:
    """Bytes that are as good as any. Satisfies chain.env.Rng."""

    def token(self, size: int) -> bytes:
        """Return this many bytes."""
        return os.urandom(size)


def new_key() -> Keypair:
    """Return an identity nobody has met."""
    return Keypair.from_seed(os.urandom(32), "ed25519")


Heard = Callable[["Intruder", int, bytes], None]
"""What an attack does with a message of the node."""


class Intruder:
    """A connection whose handshake is over."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ciphers: Ciphers) -> None:
        self.writer = writer
        self.sent = 0  # frames
        self._reader = reader
        self._sends: Cipher = ciphers.sends
        self._receives: Cipher = ciphers.receives

    @property
    def is_cut(self) -> bool:
        """Say whether the node has hung up."""
        return self._reader.at_eof() or self.writer.is_closing()

    def raw(self, block: bytes) -> None:
        """Send bytes as a frame that nobody has sealed."""
        self.writer.write(len(block).to_bytes(LENGTH_SIZE, "big") + block)
        self.sent += 1

    def frame(self, content: bytes) -> None:
        """Send a sealed frame with anything inside."""
        self.raw(self._sends.encrypt(content))

    def send(self, channel: int, message: bytes) -> None:
        """Send a message in as many frames as it takes, as an honest node does."""
        most, rest = MAX_CONTENT - HEAD.size, memoryview(message)
        while True:
            piece, rest = rest[:most], rest[most:]
            self.frame(HEAD.pack(channel, len(rest), len(piece)) + piece)
            if not rest:
                return

    async def pushed(self, until: float) -> bool:
        """Wait until the node has taken most of what was sent; False when it has hung up, or never reads."""
        if self.is_cut:
            return False
        if self.writer.transport.get_write_buffer_size() < MAX_BUFFERED:
            await asyncio.sleep(0)
            return not self.is_cut
        try:
            async with asyncio.timeout(max(0.01, until - time.monotonic())):
                await self.writer.drain()
        except CUT:
            return False
        return not self.is_cut

    async def stay(self, until: float) -> None:
        """Do nothing until the node hangs up."""
        with contextlib.suppress(*CUT):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self.writer.wait_closed()

    async def listen(self, heard: Heard | None) -> None:
        """Read until the node hangs up; answer whether this side lives, as it is told otherwise to leave."""
        assembler = Assembler(lambda size: None)
        with contextlib.suppress(*CUT):
            while True:
                size = int.from_bytes(await self._reader.readexactly(LENGTH_SIZE), "big")
                content = self._receives.decrypt(await self._reader.readexactly(size))
                for channel, message in assembler.messages(content):
                    if channel == CONTROL:
                        is_answer, number = _QUESTION.unpack(message)
                        if not is_answer:
                            self.send(CONTROL, _QUESTION.pack(True, number))
                    elif heard is not None:
                        heard(self, channel, message)
        self.writer.transport.abort()


@dataclass
class Enemy:
    """One attacker: what it attacks, from where, how long, and what it counts."""

    host: str
    port: int
    genesis: Hash
    sources: list[str]
    seconds: float
    most: int  # frames in all, of attacks that count them
    crowd: int  # connections at once
    seed: int
    honest: str = ""  # a host that tells the truth, for those who twist it
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.until = time.monotonic() + self.seconds
        self._turns: Iterator[str] = itertools.cycle(self.sources)

    def beside(self, host: str) -> "Enemy":
        """Return the same attacker as another node knows it."""
        return replace(self, host=host, counts=Counter())

    @property
    def goes_on(self) -> bool:
        """Say whether there is time left, and something to send."""
        return time.monotonic() < self.until and self.counts["frames"] < self.most

    async def rest(self) -> None:
        """Wait until the time is over."""
        await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    async def raw(self, source: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection from the next address, or a given one.

        Raises: OSError, TimeoutError.
        """
        self.counts["connections"] += 1
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                self.host, self.port, local_addr=(source or next(self._turns), 0)
            )
        at_once = struct.pack("ii", 1, 0)  # no address is worn out by connections that linger
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.set_write_buffer_limits(high=MAX_BUFFERED)
        return reader, writer

    @contextlib.asynccontextmanager
    async def enter(
        self,
        heard: Heard | None = None,
        *,
        source: str | None = None,
        key: Keypair | None = None,
        reads: bool = True,
        best: tuple[bytes, int] | None = None,
        status: Status | None = None,
    ) -> AsyncIterator[Intruder]:
        """Pass the handshake and say where one stands; count who is not let in.

        Raises: one of CUT.
        """
        try:
            reader, writer = await self.raw(source)
        except CUT:
            self.counts["refused"] += 1
            raise
        listener = None
        try:
            try:
                async with asyncio.timeout(PATIENCE):
                    intruder = Intruder(reader, writer, await self._greet(reader, writer, key or new_key()))
            except CUT:
                self.counts["refused"] += 1
                raise
            self.counts["entered"] += 1
            intruder.send(Channel.STATUS, STATUS.encode(status or self._status(best)))
            if reads:
                listener = asyncio.create_task(intruder.listen(heard))
            else:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            yield intruder
            self.counts["cut"] += intruder.is_cut
        finally:
            writer.transport.abort()
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: Keypair
    ) -> Ciphers:
        greeting = Greeting(Identity.of(key, Dice()), self.genesis, Dice(), initiator=True)
        while not greeting.is_done:
            if greeting.writes_next:
                message = greeting.write()
                writer.write(len(message).to_bytes(LENGTH_SIZE, "big") + message)
            else:
                size = int.from_bytes(await reader.readexactly(LENGTH_SIZE), "big")
                greeting.read(await reader.readexactly(size))
        return greeting.finish()[1]

    def _status(self, best: tuple[bytes, int] | None) -> Status:
        genesis = self.genesis
        block, number = best or (genesis, 0)
        return Status(PROTOCOL_VERSION, 1, genesis, Hash(block), BlockNumber(number), genesis, BlockNumber(0))

    async def again(self, one: Callable[[int], Awaitable[None]]) -> None:
        """Have a crowd do the same, each over and over, until the time is over; being cut is part of it."""

        async def over_and_over(number: int) -> None:
            while self.goes_on:
                try:
                    await one(number)
                except CUT:
                    await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as tasks:
            for number in range(self.crowd):
                tasks.create_task(over_and_over(number))
