"""Attacks below the methods: connections, WebSocket frames, messages that are too much or too odd.

Each goes on until its time is over, checks that it is told the right thing, and returns what it counted.
"""

import asyncio
import base64
import contextlib
import json
import os
import struct
from collections import Counter

from runtime.runtime import AssayRuntime
from tests.e2e.field import (
    ALICE,
    BANNED,
    BATCH_RESPONSE_TOO_BIG,
    BATCH_TOO_BIG,
    CLIENT_ERROR,
    CUT,
    INVALID,
    INVALID_REQUEST,
    JSON,
    PARSE_ERROR,
    TOO_BIG,
    UNREADABLE,
    Field,
    batch,
    deaf,
    expect,
    framed,
    nested_bytes,
    request,
    sign,
    together,
    wide_bytes,
)


async def slow_loris(field: Field) -> dict[str, int]:
    """A hundred clients that send the head, then the body, a byte at a time."""
    cut = 0

    async def drip(number: int) -> None:
        nonlocal cut
        _, writer = await field.raw()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n"
        try:
            writer.write(head[:10] if number % 2 else head + b"\r\n{")
            while field.goes_on:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.2)
        except CUT:
            cut += 1
        finally:
            writer.close()

    await together(99, drip)
    return {"connections": 99, "cut": cut}


async def half_open(field: Field) -> dict[str, int]:
    """Clients that begin a request or a WebSocket and vanish, as often as they can."""
    begun = 0
    openings = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\xfe\xff",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nffff\r\n[",
        b"GET",
    )

    async def vanish(number: int) -> None:
        nonlocal begun
        while field.goes_on:
            with contextlib.suppress(*CUT):
                _, writer = await field.raw()
                writer.write(openings[begun % len(openings)])
                begun += 1
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.transport.abort()

    await together(20, vanish)
    return {"begun": begun}


async def connection_flood(field: Field) -> dict[str, int]:
    """More connections than are allowed, opened again as soon as they are cut; health stays visible after."""
    opened = cut = 0

    async def knock(number: int) -> None:
        nonlocal opened, cut
        while field.goes_on:
            try:
                reader, writer = await field.raw()
            except CUT:
                continue
            opened += 1
            with contextlib.suppress(TimeoutError, *CUT):
                async with asyncio.timeout(0.5):
                    cut += await reader.read(1) == b""
            writer.transport.abort()

    await together(300, knock)
    assert cut > 0, "no connection was refused"
    return {"opened": opened, "cut": cut}


async def websocket_crowd(field: Field) -> dict[str, int]:
    """All allowed WebSockets at once: one more is told so, and health checks go on."""
    refused = 0
    async with contextlib.AsyncExitStack() as held:
        for _ in range(100):
            await held.enter_async_context(field.websocket())
        while field.goes_on:
            async with field.http.post(field.url, data=request("system_health"), headers=JSON) as response:
                expect(response.status, 429)
                refused += 1
            async with field.http.get(field.url + "/health") as response:
                expect(response.status, 200)
            await asyncio.sleep(0.01)
    return {"held": 100, "refused": refused}


# Messages.


async def giant_batches(field: Field) -> dict[str, int]:
    """Batches over every limit: in requests, in what they answer, in what each one costs."""
    counted: Counter[str] = Counter()
    too_long = batch([request("system_health")] * 10_000)
    too_much = batch([request("state_getMetadata")] * 100)
    costly = batch([request("state_getKeysPaged", "0x", 1000)] * 100)

    async def send(number: int) -> None:
        while field.goes_on:
            expect((await field.post(too_long))["error"]["code"], BATCH_TOO_BIG)
            answers = await field.post(too_much)
            expect(answers[0].get("error"), None)
            expect(answers[-1].get("error", {}).get("code"), None, BATCH_RESPONSE_TOO_BIG)
            expect(len(await field.post(costly)), 100)
            counted["batches"] += 3

    await together(4, send)
    return dict(counted)


async def json_bombs(field: Field) -> dict[str, int]:
    """Messages of nearly the largest size that parse into far more, nest, or hold numbers without end."""
    counted: Counter[str] = Counter()
    size = 14 << 20
    bombs = {
        b"[" + b"[]," * (size // 3) + b"[]]": (BATCH_TOO_BIG, TOO_BIG),
        b"[" + b'{"":0},' * (size // 7) + b"0]": (BATCH_TOO_BIG, TOO_BIG),
        b'{"jsonrpc":"2.0","id":1,"method":"system_chain","params":[' + b"{}," * 4_000_000 + b"0]}": (
            TOO_BIG,
        ),
        b"[" * 100_000: (PARSE_ERROR,),
        b'{"a":' * 100_000: (PARSE_ERROR, TOO_BIG),
        b"9" * 5_000_000: (PARSE_ERROR,),
        b'"' + b"\\u0000" * 1_000_000 + b'"': (INVALID_REQUEST,),
        b"\xff" * 1_000_000: (PARSE_ERROR,),
    }

    async def send(number: int) -> None:
        while field.goes_on:
            for bomb, codes in bombs.items():
                expect((await field.post(bomb))["error"]["code"], *codes)
                counted["bombs"] += 1

    await together(4, send)
    return dict(counted)


async def odd_requests(field: Field) -> dict[str, int]:
    """Ids of every type, methods that are none, params of every shape."""
    counted: Counter[str] = Counter()
    for shape in (True, 1.5, [], {}, [1], {"a": 1}):
        raw = json.dumps({"jsonrpc": "2.0", "id": shape, "method": "system_health"}).encode()
        answer = await field.post(raw)
        expect((answer["id"], answer["error"]["code"]), (None, INVALID_REQUEST))
    for identifier in (0, -1, 2**63, "", "é" * 100, None):
        raw = request("system_chain", id=identifier)
        expect((await field.post(raw))["id"], identifier)
    garbage = ("0x", "0xz", "0x1", "zz" * 40, "0x" + "ff" * 5_000, None, 5, [], {}, [[]], "é", "\ud800")
    methods = (await field.call("rpc_methods"))["methods"]
    while field.goes_on:
        for method in methods:
            for each in garbage:
                code = await field.code(method, each, each, each, each)
                assert code != -32603, (method, each)
                counted["requests"] += 1
                if not field.goes_on:
                    return dict(counted)
    return dict(counted)


async def large_extrinsics(field: Field) -> dict[str, int]:
    """Extrinsics of 5 MB, and of just below 4 MB that decode into as many calls as possible."""
    counted: Counter[str] = Counter()
    zeros = "0x" + framed(bytes(5 << 20)).hex()
    remark = AssayRuntime.call("System", "remark", b"x" * (5 << 20))
    real = "0x" + sign(field, ALICE, 0, remark).hex()
    nested = "0x" + nested_bytes(10_000).hex()
    wide = "0x" + wide_bytes(600_000).hex()

    async def send(number: int) -> None:
        while field.goes_on:
            for extrinsic in (zeros, real):
                expect(await field.code("author_submitExtrinsic", extrinsic), INVALID, BANNED)
            for extrinsic in (zeros, nested, wide):
                expect(await field.code("payment_queryInfo", extrinsic), CLIENT_ERROR)
            for extrinsic in (nested, wide):
                expect(await field.code("author_submitExtrinsic", extrinsic), UNREADABLE)
            counted["extrinsics"] += 7

    await together(3, send)
    return dict(counted)


async def odd_frames(field: Field) -> dict[str, int]:
    """WebSocket frames as no library sends them: fragments, pings, compression, lengths, opcodes."""
    counted: Counter[str] = Counter()
    whole = request("system_chain")
    scripts = {
        "fragments": frame(0x01, whole[:1], end=False)
        + b"".join(frame(0x00, bytes([each]), end=False) for each in whole[1:-1])
        + frame(0x80, whole[-1:]),
        "empty fragments": frame(0x01, b"", end=False) + frame(0x00, b"", end=False) * 20_000,
        "pings": frame(0x89, b"x" * 125) * 5_000,
        "compressed": frame(0xC1, b"\xff" * 100),
        "length": b"\x81\xff" + struct.pack(">Q", 1 << 62),
        "too long": b"\x81\xff" + struct.pack(">Q", 64 << 20) + b"\0\0\0\0" + b"x" * (16 << 20),
        "opcode": frame(0x83, b"?"),
        "long ping": frame(0x89, b"x" * 126),
        "not UTF-8": frame(0x81, b"\xff\xfe"),
        "unmasked": b"\x81\x02{}",
    }

    async def send(number: int) -> None:
        while field.goes_on:
            for name, script in scripts.items():
                counted[name] += await _played(field, script)

    await together(4, send)
    return {name.replace(" ", "_"): count for name, count in counted.items()}


async def _played(field: Field, script: bytes) -> int:
    """Send a script on a new WebSocket, read a little, leave."""
    with contextlib.suppress(TimeoutError, *CUT):
        reader, writer = await field.raw()
        key = base64.b64encode(os.urandom(16))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        try:
            async with asyncio.timeout(0.5):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(script)
                await writer.drain()
                await reader.read(4096)
        finally:
            writer.transport.abort()
    return 1


def frame(head: int, payload: bytes, *, end: bool = True) -> bytes:
    """Return a masked frame; `head` has the flags and the opcode."""
    first = head if end or head < 0x80 else head & 0x7F
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size)
    return bytes([first]) + length + b"\0\0\0\0" + payload


async def deaf_posts(field: Field) -> dict[str, int]:
    """Clients that POST for answers of megabytes and never read them."""
    asked = 0
    body = batch([request("state_getMetadata")] * 30)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    async def ignore(number: int) -> None:
        nonlocal asked
        with contextlib.suppress(TimeoutError, *CUT):
            _, writer = await field.raw()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write((head % len(body) + body) * 3)
            asked += 1
            await field.over(writer)
            writer.transport.abort()

    await together(min(90, field.crowd), ignore)
    return {"connections": asked}


async def unfinished_uploads(field: Field) -> dict[str, int]:
    """Clients that send all but the last byte of the largest message, over HTTP and WebSocket, and wait."""
    sent = 0
    size = (15 << 20) - 64
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
    )
    piece = b" " * (1 << 20)

    async def stall(number: int) -> None:
        nonlocal sent
        with contextlib.suppress(TimeoutError, *CUT):
            if number % 2:
                _, writer = await deaf(field.port)
                writer.write(b"\x81\xff" + struct.pack(">Q", size) + b"\0\0\0\0")
            else:
                _, writer = await field.raw()
                writer.write(head)
            for _ in range(14):
                writer.write(piece)
                await writer.drain()
            sent += 1
            await field.over(writer)
            writer.transport.abort()

    await together(min(60, field.crowd), stall)
    return {"connections": min(60, field.crowd), "uploaded": sent}
