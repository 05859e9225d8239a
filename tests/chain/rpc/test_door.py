"""Connections that say nothing, too little or the wrong thing, as raw bytes on a socket."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.rpc.budget import Budget
from chain.rpc.door import DEFAULT_ORIGINS, Origins
from chain.rpc.server import SPARE_CONNECTIONS

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def answer(served, sent):
    """Return everything the server says before it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b"cut"
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["silent", "half a head"]
)
async def test_who_does_not_finish_a_request_is_dropped(serve, monkeypatch, sent):
    monkeypatch.setattr("chain.rpc.door.IDLE_TIMEOUT", 0.05)
    assert await answer(await serve(), sent) in (b"", b"cut")  # cut: it came too late to be read


async def test_a_body_that_does_not_arrive_times_out(serve, monkeypatch):
    monkeypatch.setattr("chain.rpc.server.BODY_TIMEOUT", 0.05)
    monkeypatch.setattr("chain.rpc.door.LINGER", 0.05)
    said = await answer(await serve(), HEAD + b"Connection: close\r\nContent-Length: 10\r\n\r\n{")
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_what_is_no_http_is_refused(served):
    assert (await answer(served, b"\x16\x03\x01\x00\xa5\x01\r\n\r\n")).startswith(b"HTTP/1.0 400 ")
    assert await served.call("system_chain") == "Assay Test"


async def test_a_websocket_without_a_key_is_refused(served):
    said = await answer(
        served, b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n"
    )
    assert said.startswith(b"HTTP/1.1 400 ")


async def test_connections_far_above_the_limit_are_cut(serve):
    served = await serve(max_connections=1)
    streams = [
        await asyncio.open_connection("127.0.0.1", served.server.port) for _ in range(SPARE_CONNECTIONS + 1)
    ]
    assert await answer(served, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") in (b"cut", b"")
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
    assert await served.call("system_chain") == "Assay Test"


PING = b"\x89\x80\0\0\0\0"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_who_pings_and_vanishes_leaves_no_trace_in_the_log(served, caplog):
    for _ in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PING * 500)
        await writer.drain()
        writer.transport.abort()
    assert await served.call("system_chain") == "Assay Test"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "head",
    [HEAD + b"Content-Length: 900000\r\n\r\n", UPGRADE + b"\x81\xff" + bytes(5) + b"\x0f\0\0" + bytes(4)],
)
async def test_who_holds_most_of_what_waits_to_be_finished_is_cut_off(serve, monkeypatch, head):
    monkeypatch.setattr("chain.rpc.server.Budget", lambda: Budget(1_000_000))
    served = await serve()
    streams = []
    for size in (700_000, 200_000, 200_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
        writer.write(head + b"x" * size)
        await writer.drain()
        streams.append((reader, writer))
    async with asyncio.timeout(60):
        cut = await asyncio.gather(streams[0][0].read(), return_exceptions=True)
    assert isinstance(cut[0], ConnectionError | bytes)
    assert await served.call("system_chain") == "Assay Test"
    for _, writer in streams:
        writer.transport.abort()


@given(st.text(max_size=30), st.sampled_from(DEFAULT_ORIGINS))
def test_an_origin_is_allowed_by_a_whole_match_only(noise, allowed):
    origins = Origins(DEFAULT_ORIGINS)
    page = allowed.removesuffix(":*")
    assert origins.allow(page)
    assert origins.allow(page + noise) == (noise == "" or (page != allowed and _is_port(noise)))
    assert not noise or not origins.allow(noise + page)


def _is_port(text):
    return text[0] == ":" and 1 <= len(text[1:]) <= 5 and all(digit in "0123456789" for digit in text[1:])
