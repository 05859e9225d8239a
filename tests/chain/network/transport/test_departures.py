import asyncio
import gc

from chain.env_real import RealRng
from chain.network.messages import Channel
from chain.network.transport.frames import HEAD
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.link import Link, greet
from chain.network.transport.wire import Wire, WireClosed
from tests.chain.network.transport.test_tcp import GENESIS, KEYS, address, running


def alive() -> list[Link | Wire]:
    """Return the connections in memory; isinstance would wake whatever stands in for another class."""
    return [each for each in gc.get_objects() if type(each) in (Link, Wire)]


async def test_peers_that_are_gone_leave_nothing_for_the_garbage_collector() -> None:
    """It runs seldom, and a crowd that comes and goes would fill this node's memory meanwhile."""
    loop = asyncio.get_running_loop()
    async with running(KEYS[0]) as (transport, _):
        there = address(transport)
        gc.collect()
        gc.disable()
        try:
            for frame in (HEAD.pack(Channel.VOTES, 1 << 30, 8) + bytes(8), b"no frame", None):
                _, wire = await loop.create_connection(Wire, there.host, there.port)
                greeting = Greeting(Identity.of(KEYS[1], RealRng()), GENESIS, RealRng(), initiator=True)
                _, channel = await greet(wire, greeting)
                if frame is not None:
                    wire.write(channel.sends.encrypt(frame))
                    await _ended(wire)
                wire.abort()
                del wire, greeting, channel
            async with asyncio.timeout(60):
                while transport.count() or alive():  # noqa: ASYNC110 - it has hung up, which takes its time
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


async def _ended(wire: Wire) -> None:
    """Wait until the other end hangs up."""
    try:
        while True:
            await wire.block()
    except WireClosed:
        return
