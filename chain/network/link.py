"""One connection to a peer: a handshake first, then frames, encrypted and in order.

frame = u32 length, big endian | AEAD(channel u8 | message)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from chain.network.addresses import plain_ip
from chain.network.handshake import MAX_MESSAGE, Greeting
from chain.network.noise import TAG_SIZE, Channel, NoiseError

MAX_FRAME = (6 << 20) + 64
"""bytes of an encrypted frame: the largest block with its proof; what a channel allows is decided above"""
MAX_QUEUE = 8 << 20
"""bytes that wait for a slow peer; beyond, sending fails"""
REKEY_EVERY = 1 << 20
"""frames"""
HANDSHAKE_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 15.0
SILENCE_SECONDS = 60.0
"""after which a peer is taken for gone: its keep-alives would have come"""
_KEEP_ALIVE = 255
"""The channel of frames that carry nothing."""
_LENGTH_SIZE = 4


class LinkClosed(Exception):
    """The connection has ended, or must: says why."""


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: Greeting
) -> tuple[str, Channel]:
    """Exchange the handshake's messages; return who is there, and the channel to it.

    Raises: LinkClosed.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while not greeting.is_done:
                if greeting.writes_next:
                    message = greeting.write()
                    writer.write(len(message).to_bytes(_LENGTH_SIZE, "big") + message)
                    await writer.drain()
                else:
                    greeting.read(await _block(reader, MAX_MESSAGE))
        return greeting.finish()
    except TimeoutError as problem:
        raise LinkClosed(f"no handshake within {HANDSHAKE_SECONDS:.0f} s") from problem
    except NoiseError as problem:
        raise LinkClosed(f"handshake failed, as with a node of another chain: {problem}") from problem
    except (OSError, asyncio.IncompleteReadError) as problem:
        raise LinkClosed(
            "the other side hung up in the handshake; one of another chain does so, too"
        ) from problem


class Link:
    """A connection whose other end is known."""

    def __init__(
        self,
        peer: str,
        channel: Channel,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        outbound: bool,
    ) -> None:
        self.peer = peer
        self.outbound = outbound
        self.ip = remote_ip(writer)
        self.reason = ""  # why this side has closed it
        self._channel = channel
        self._reader = reader
        self._writer = writer

    def send(self, channel: int, message: bytes) -> bool:
        """Queue a frame; False when the connection is closing or too much waits already."""
        waits = self._writer.transport.get_write_buffer_size()
        if self._writer.is_closing() or waits + len(message) > MAX_QUEUE:
            return False
        sealed = self._channel.sends.encrypt(bytes([channel]) + message)
        if self._channel.sends.nonce % REKEY_EVERY == 0:
            self._channel.sends.rekey()
        self._writer.write(len(sealed).to_bytes(_LENGTH_SIZE, "big") + sealed)
        return True

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, message) until the connection ends.

        Raises: LinkClosed.
        """
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    sealed = await _block(self._reader, MAX_FRAME)
                opened = self._channel.receives.decrypt(sealed)
            except TimeoutError as problem:
                raise LinkClosed(f"silent for {SILENCE_SECONDS:.0f} s") from problem
            except NoiseError as problem:
                raise LinkClosed(str(problem)) from problem
            except (OSError, asyncio.IncompleteReadError) as problem:
                raise LinkClosed(self.reason or "the other side hung up") from problem
            if self._channel.receives.nonce % REKEY_EVERY == 0:
                self._channel.receives.rekey()
            if not opened:
                raise LinkClosed("a frame without a channel")
            if opened[0] != _KEEP_ALIVE:
                yield opened[0], opened[1:]

    async def keep_alive(self) -> None:
        """Show the other side that this one lives, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            self.send(_KEEP_ALIVE, b"")

    def close(self, reason: str = "") -> None:
        """Hang up; what waits to be sent is lost."""
        self.reason = self.reason or reason
        with contextlib.suppress(OSError):
            self._writer.transport.abort()


def remote_ip(writer: asyncio.StreamWriter) -> str:
    """Return the IP address of the other end, empty where it has none."""
    name = writer.get_extra_info("peername")
    return plain_ip(name[0]) if isinstance(name, tuple) else ""


async def _block(reader: asyncio.StreamReader, most: int) -> bytes:
    """Read one block that is preceded by its length.

    Raises: NoiseError, IncompleteReadError.
    """
    size = int.from_bytes(await reader.readexactly(_LENGTH_SIZE), "big")
    if not TAG_SIZE < size <= most:
        raise NoiseError(f"a block of {size} bytes; more than {TAG_SIZE} and at most {most} are allowed")
    return await reader.readexactly(size)
