"""A wire whose socket the loop has closed already: what is still done with it does no harm."""

import asyncio

import pytest
import uvloop

from chain.network.wire import HANDSHAKE_BUFFER, LENGTH_SIZE, Wire, WireClosed


async def both(met: asyncio.Queue[Wire]) -> tuple[asyncio.Server, asyncio.Transport, Wire]:
    """Return a server whose wires come to a queue, and a client's end."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(met.put_nowait), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, wire = await loop.create_connection(Wire, "127.0.0.1", port)
    return server, transport, wire


async def used_after_its_end() -> tuple[int, str]:
    """Close a socket below its wire, then write, take what had come, and wait for more."""
    met: asyncio.Queue[Wire] = asyncio.Queue()
    server, transport, wire = await both(met)
    other = await met.get()
    for _ in range(HANDSHAKE_BUFFER // (LENGTH_SIZE + 62)):
        other.write(bytes(62))
    async with asyncio.timeout(20):
        while transport.is_reading():  # until the buffer is full
            await asyncio.sleep(0)
    taken: list[bytes] = []
    transport.abort()
    for _ in range(5):
        await asyncio.sleep(0)  # until the loop has told
    wire.write(b"to nobody")
    try:
        await wire.flow(lambda block: taken.append(bytes(block)))
    except WireClosed as ended:
        return len(taken), str(ended)
    finally:
        server.close()
        other.abort()
    raise AssertionError("a closed wire goes on")


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_socket_that_closes_under_a_wire_breaks_nothing(factory: object) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]
        assert runner.run(used_after_its_end()) == (0, "the other side hung up")
