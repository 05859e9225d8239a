"""Attacks on the connection: before the handshake, in it, and with frames that are none."""

import asyncio
import itertools
import time
from collections.abc import Callable

from chain.network.messages import LIMITS, Channel
from chain.network.transport.frames import HEAD, MAX_CONTENT
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.wire import LENGTH_SIZE
from runtime.primitives.types import Hash
from tests.e2e.enemy import Dice, Enemy, Intruder, new_key

BURST = 64
"""frames between two looks whether the node still listens"""
MOST_OF_A_CONNECTION = 20_000
"""frames"""
_NO_CHANNEL = 77


async def noise(enemy: Enemy) -> None:
    """Random bytes instead of a handshake, from one byte to more than a handshake may have."""

    async def one(number: int) -> None:
        reader, writer = await enemy.raw()
        try:
            while enemy.goes_on:
                writer.write(enemy.rng.randbytes(enemy.rng.choice([1, 2, 34, 96, 513, 4096])))
                enemy.counts["frames"] += 1
                async with asyncio.timeout(1):
                    if not await reader.read(64):
                        enemy.counts["cut"] += 1
                        return
        finally:
            writer.transport.abort()

    await enemy.again(one)


async def hang(enemy: Enemy) -> None:
    """Connections that say nothing, as many as can be opened, each kept as long as the node keeps it."""

    async def one(number: int) -> None:
        reader, writer = await enemy.raw()
        try:
            async with asyncio.timeout(max(0.01, enemy.until - time.monotonic())):
                await reader.read(1)
            enemy.counts["cut"] += 1
        finally:
            writer.transport.abort()

    await enemy.again(one)


async def handshake_flood(enemy: Enemy) -> None:
    """Handshakes as fast as they go: broken off after either message, or with rubbish in the last one."""

    async def one(number: int) -> None:
        reader, writer = await enemy.raw()
        try:
            greeting = Greeting(Identity.of(new_key(), Dice()), enemy.genesis, Dice(), initiator=True)
            _block(writer, greeting.write())
            enemy.counts["handshakes"] += 1
            how = enemy.rng.randrange(4)
            if how == 0:
                return
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(LENGTH_SIZE), 5), "big")
            greeting.read(await reader.readexactly(size))
            if how == 1:
                return
            _block(writer, enemy.rng.randbytes(208) if how == 2 else greeting.write())
            await asyncio.wait_for(reader.read(1), 1)
        finally:
            writer.transport.abort()

    await enemy.again(one)


async def strangers(enemy: Enemy) -> None:
    """Nodes of another chain, who cannot know better."""
    enemy.genesis = Hash(bytes(32))

    async def one(number: int) -> None:
        async with enemy.enter():
            raise AssertionError("a node of another chain was let in")

    await enemy.again(one)


def _block(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(LENGTH_SIZE, "big") + message)


# Frames.


async def frames(enemy: Enemy) -> None:
    """Frames of every wrong kind, by many identities; each address keeps to one kind until it is banned.

    So those go on whose kind is worth no ban: what a node has to bear.
    """
    kinds = list(_KINDS.values())
    places = itertools.cycle(enumerate(enemy.sources))

    async def one(number: int) -> None:
        place, source = next(places)
        async with enemy.enter(source=source) as intruder:
            await _pour(enemy, intruder, kinds[place % len(kinds)])

    await enemy.again(one)


async def _pour(enemy: Enemy, intruder: Intruder, fill: Callable[[Enemy, Intruder], None]) -> None:
    while enemy.goes_on and intruder.sent < MOST_OF_A_CONNECTION:
        before = intruder.sent
        for _ in range(BURST):
            fill(enemy, intruder)
        enemy.counts["frames"] += intruder.sent - before
        if not await intruder.pushed(enemy.until):
            return


def _unsealed(enemy: Enemy, intruder: Intruder) -> None:
    intruder.raw(enemy.rng.randbytes(enemy.rng.randrange(1, 200)))


def _rubbish(enemy: Enemy, intruder: Intruder) -> None:
    intruder.frame(enemy.rng.randbytes(enemy.rng.randrange(200)))


def _too_long(enemy: Enemy, intruder: Intruder) -> None:
    """A message that says how large it will be, beyond the limit of its channel."""
    channel = enemy.rng.choice(list(Channel))
    left = LIMITS[channel].size + enemy.rng.randrange(1, 1 << 30)
    intruder.frame(HEAD.pack(channel, left, 1024) + bytes(1024))


def _many_pieces(enemy: Enemy, intruder: Intruder) -> None:
    """As many tiny messages in one frame as fit, on channels that are unknown."""
    intruder.frame(HEAD.pack(_NO_CHANNEL, 0, 0) * 1024)


def _unfinished(enemy: Enemy, intruder: Intruder) -> None:
    """The beginnings of the largest messages there are, on all channels at once."""
    for channel in Channel:
        left = LIMITS[channel].size - 1024
        if left > 0:
            intruder.frame(HEAD.pack(channel, left, 1024) + bytes(1024))


def _half_a_message(enemy: Enemy, intruder: Intruder) -> None:
    """All but the end of a message that is as large as allowed, piece by piece."""
    size = LIMITS[Channel.ANSWERS].size
    most = MAX_CONTENT - HEAD.size
    at = (intruder.sent * most) % size
    left = max(1, size - at - most)
    intruder.frame(HEAD.pack(Channel.ANSWERS, left, most) + bytes(most))


def _unknown_channel(enemy: Enemy, intruder: Intruder) -> None:
    intruder.send(enemy.rng.randrange(50, 250), enemy.rng.randbytes(20))


def _garbage_on(channel: Channel) -> Callable[[Enemy, Intruder], None]:
    def fill(enemy: Enemy, intruder: Intruder) -> None:
        intruder.send(channel, enemy.rng.randbytes(enemy.rng.randrange(min(400, LIMITS[channel].size))))

    return fill


_KINDS: dict[str, Callable[[Enemy, Intruder], None]] = {
    "unsealed": _unsealed,
    "rubbish": _rubbish,
    "too long": _too_long,
    "many pieces": _many_pieces,
    "unfinished": _unfinished,
    "half a message": _half_a_message,
    "unknown channel": _unknown_channel,
    **{f"garbage on {channel.name}": _garbage_on(channel) for channel in Channel},
}


async def crowd(enemy: Enemy) -> None:
    """Take every place there is for those who dial, and behave well enough to keep it."""

    async def one(number: int) -> None:
        async with enemy.enter() as intruder:
            await intruder.stay(enemy.until)

    await enemy.again(one)
