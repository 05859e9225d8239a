"""A wire whose socket the loop has closed already: what is still sent there does no harm."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from chain.network.transport.wire import Wire, WireClosed


async def used_after_its_end() -> None:
    """Close a socket below its wire, and write once the loop has told."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Wire, "127.0.0.1", 0)
    transport, wire = await loop.create_connection(Wire, "127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        transport.abort()
        async with asyncio.timeout(60):
            with pytest.raises(WireClosed, match="the other side hung up"):
                await wire.block()
        wire.write(b"to nobody")
    finally:
        server.close()


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_socket_that_closes_under_a_wire_breaks_nothing(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(used_after_its_end())
