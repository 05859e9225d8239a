"""A node under attack, and what every attacker needs: requests, odd bytes, signatures."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from chain.keys.pair import Keypair
from runtime.frame.base import Call
from runtime.frame.storage import item_prefix
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.scale import write_compact
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime

JSON = {"Content-Type": "application/json"}
PATIENCE = 60
"""seconds a client waits for an answer before the attack counts as won"""
SYSTEM_ACCOUNT = "0x" + item_prefix("System", "Account").hex()
CUT = (ConnectionError, aiohttp.ClientError, EOFError)
"""How a node that hangs up looks to its client"""
PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602
TOO_MANY_SUBSCRIPTIONS, TOO_BIG, BATCH_TOO_BIG, BATCH_RESPONSE_TOO_BIG = -32006, -32007, -32010, -32011
FOLLOW_LIMIT, NOT_PINNED = -32800, -32801
UNREADABLE, INVALID, BANNED, IMPORTED, LOW_PRIORITY, DROPPED = 1002, 1010, 1012, 1013, 1014, 1016
CLIENT_ERROR = 4003


@dataclass
class Field:
    """A node under attack, how long for, and the way to it."""

    port: int
    http: aiohttp.ClientSession
    genesis: Hash
    until: float  # time.monotonic()
    crowd: int = 100  # how many clients a crowd has, at most
    _tried: bool = False

    @property
    def url(self) -> str:
        """Where the node answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def goes_on(self) -> bool:
        """Say whether there is time left, or nobody has tried yet."""
        tried, self._tried = self._tried, True
        return not tried or time.monotonic() < self.until

    async def over(self, writer: asyncio.StreamWriter | None = None) -> None:
        """Wait until the time is over, or the node hangs up."""
        waiting = None if writer is None else writer.wait_closed()
        with contextlib.suppress(TimeoutError, *CUT):
            async with asyncio.timeout(max(0.0, self.until - time.monotonic())):
                await (asyncio.Event().wait() if waiting is None else waiting)

    async def post(self, body: bytes) -> Any:
        """Return the JSON of the answer to any bytes."""
        async with self.http.post(self.url, data=body, headers=JSON) as response:
            return json.loads(await response.read())

    async def code(self, method: str, *params: object) -> int | None:
        """Return the error code of a call, None where it has a result."""
        answer = await self.post(request(method, *params))
        found: int | None = answer.get("error", {}).get("code")
        return found

    async def call(self, method: str, *params: object) -> Any:
        """Return the result of a call."""
        answer = await self.post(request(method, *params))
        assert "result" in answer, answer
        return answer["result"]

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TCP connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    def websocket(self) -> Any:
        """Open a WebSocket; use with `async with`."""
        return self.http.ws_connect(self.url, max_msg_size=0, autoping=False)


Attack = Callable[[Field], Awaitable[dict[str, int]]]


@contextlib.asynccontextmanager
async def entered(port: int, genesis: Hash, seconds: float, crowd: int = 100) -> Any:
    """Open a Field; the time runs from here."""
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(PATIENCE)) as http:
        yield Field(port, http, genesis, time.monotonic() + seconds, crowd)


def request(method: str, *params: object, id: object = 1) -> bytes:
    """Return the bytes of one request."""
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


def batch(requests: Iterable[bytes]) -> bytes:
    """Return the bytes of a batch."""
    return b"[" + b",".join(requests) + b"]"


def expect(found: object, *wanted: object) -> None:
    """Say what was answered where something else should have been."""
    assert found in wanted, f"{found} instead of {wanted}"


async def together(count: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Do the same from several clients."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(_awaited(one(number)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def deaf(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket whose answers nobody reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return reader, writer


def text_frame(payload: bytes) -> bytes:
    """Return a whole message as a masked frame."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + struct.pack(">H", size)
    else:
        length = b"\xff" + struct.pack(">Q", size)
    return b"\x81" + length + b"\0\0\0\0" + payload


ALICE, BOB, CHARLIE = (Keypair.from_suri(f"//{name}", "sr25519") for name in ("Alice", "Bob", "Charlie"))


def sign(field: Field, by: Keypair, nonce: int, call: Call, tip: int = 0) -> bytes:
    """Return a signed extrinsic that is valid at any block."""
    extra = ((), (), (), (), IMMORTAL, nonce, (), tip, MetadataHashMode.Disabled, ())
    first = field.genesis
    implied = ((), VERSION.spec_version, VERSION.transaction_version, first, first, (), (), (), None, ())
    signature = Sr25519(by.sign(EXECUTIVE.format.payload(call, extra, implied)))
    return EXECUTIVE.format.signed(call, AccountId(by.public), signature, extra)


def nested_bytes(depth: int) -> bytes:
    """Return a bare extrinsic of batches inside batches, as no encoder of ours would write it."""
    pallet, index = _place("Utility", "batch")
    return framed(b"\x04" + bytes([pallet, index, 4]) * depth + bytes([*_place("System", "remark"), 0]))


def wide_bytes(count: int) -> bytes:
    """Return a bare extrinsic with batches of 500 calls side by side, up to just below 4 MB."""
    pallet, index = _place("Utility", "batch")
    inner = bytearray([pallet, index])
    write_compact(500, inner)
    inner += bytes([*_place("System", "remark"), 0]) * 500
    often = min(count // 500, 512)
    outer = bytearray([4, pallet, index])
    write_compact(often, outer)
    return framed(bytes(outer) + bytes(inner) * often)


def _place(pallet: str, name: str) -> tuple[int, int]:
    return next(
        place
        for place, target in AssayRuntime.targets.items()
        if target.spec.name == name and AssayRuntime.declared[target.attribute].name == pallet
    )


def framed(body: bytes) -> bytes:
    """Return bytes with their length before them, as every extrinsic has it."""
    out = bytearray()
    write_compact(len(body), out)
    return bytes(out) + body
