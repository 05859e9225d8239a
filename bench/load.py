"""The load generator, a process of its own: it sends prepared requests and watches the chain include them.

    python -m bench.load PLAN       PLAN is the JSON of a Plan; prints the JSON of what it saw

Requests go over keep-alive HTTP connections, each one as soon as the one before on its connection is
answered, while fewer than `window` transactions wait for a block. Only what a block holds counts.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from runtime.primitives.transaction import unframed

POLL = 0.05
"""seconds between two looks at the chain"""
GIVE_UP = 60.0
"""seconds without a transaction included"""
PIPELINED = 256
"""questions under way on a WebSocket"""
SHOWN = 5
"""refusals told in full"""


@dataclass(frozen=True)
class Plan:
    """What to send where; `requests` is a file with a JSON-RPC body a line."""

    peer: str  # "assay" or "anvil"
    port: int
    requests: str
    per_request: int  # transactions
    connections: int = 16
    window: int = 5_000  # transactions; a pool of ours holds 8,192 ready ones and drops the rest
    transport: str = "http"  # or "websocket", for reads
    reads: bool = False  # whether answers are all that is waited for


@dataclass
class Seen:
    """What happened; seconds count from the first request."""

    sent: int = 0
    refused: list[str] = field(default_factory=list)
    included: int = 0
    submit_seconds: float = 0.0
    seconds: float = 0.0
    blocks: list[tuple[float, int]] = field(default_factory=list)
    room: asyncio.Event = field(default_factory=asyncio.Event)  # set when a block has made some


class Connection(asyncio.Protocol):
    """A keep-alive HTTP connection with one request under way."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Resolve the request once the whole answer is there."""
        self._buffer += data
        head, split, body = self._buffer.partition(b"\r\n\r\n")
        if not split:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length and self._answer is not None:
            self._buffer = b""
            self._answer.set_result(body)

    def connection_lost(self, problem: Exception | None) -> None:
        """Fail the request under way."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection is lost"))

    async def ask(self, body: bytes) -> bytes:
        """Send a body and return the answer's."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head(len(body)) + body)
        return await self._answer


def head(length: int) -> bytes:
    """Return the head of a request."""
    return (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % length
    )


async def connect(port: int) -> Connection:
    """Open a connection."""
    _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return made


async def call(connection: Connection, method: str, *params: object) -> Any:
    """Return the result of a call."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.loads(await connection.ask(json.dumps(request).encode()))["result"]


class Chain:
    """The blocks of a peer."""

    def __init__(self, peer: str, connection: Connection) -> None:
        self._peer = peer
        self._connection = connection

    async def height(self) -> int:
        """Return the height of the best block."""
        if self._peer == "anvil":
            return int(await call(self._connection, "eth_blockNumber"), 16)
        return int((await call(self._connection, "chain_getHeader"))["number"], 16)

    async def transactions(self, number: int) -> int:
        """Return how many signed transactions a block holds."""
        if self._peer == "anvil":
            return int(await call(self._connection, "eth_getBlockTransactionCountByNumber", hex(number)), 16)
        block = await call(self._connection, "chain_getBlockHash", number)
        found = await call(self._connection, "chain_getBlock", block)
        return sum(_is_signed(bytes.fromhex(each[2:])) for each in found["block"]["extrinsics"])


def _is_signed(extrinsic: bytes) -> bool:
    """Tell transactions from inherents by their version byte."""
    return bool(unframed(extrinsic).take(1)[0] & 0x80)


async def run(plan: Plan, lines: list[bytes]) -> Seen:
    """Send everything and wait for its inclusion."""
    if plan.reads:
        return await (read if plan.transport == "http" else read_pipelined)(plan, lines)
    seen, total = Seen(), plan.per_request * len(lines)
    chain = Chain(plan.peer, await connect(plan.port))
    height = await chain.height()
    connections = [await connect(plan.port) for _ in range(plan.connections)]
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(chain, height, total, began, seen))
        await asyncio.gather(*(send(plan, each, mine, seen) for each, mine in shares(connections, lines)))
        seen.submit_seconds = time.monotonic() - began
        await watching
    seen.seconds = seen.blocks[-1][0] if seen.blocks else 0.0
    return seen


async def read(plan: Plan, lines: list[bytes]) -> Seen:
    """Send everything over HTTP and wait for the answers."""
    seen = Seen(included=len(lines))
    connections = [await connect(plan.port) for _ in range(plan.connections)]
    began = time.monotonic()
    await asyncio.gather(*(send(plan, each, mine, seen) for each, mine in shares(connections, lines)))
    seen.submit_seconds = time.monotonic() - began
    return seen


async def read_pipelined(plan: Plan, lines: list[bytes]) -> Seen:
    """Send everything over one WebSocket, with a bounded number of questions under way."""
    seen, room = Seen(), asyncio.Semaphore(PIPELINED)
    async with ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{plan.port}") as socket:
        began = time.monotonic()

        async def ask() -> None:
            for line in lines:
                await room.acquire()
                await socket.send_bytes(line)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask())
            while seen.included < len(lines):
                answer = await socket.receive()
                if '"error"' in str(answer.data):
                    seen.refused.append(str(answer.data))
                seen.included += 1
                room.release()
        seen.submit_seconds = time.monotonic() - began
    return seen


def shares(connections: list[Connection], lines: list[bytes]) -> Iterator[tuple[Connection, list[bytes]]]:
    """Yield every connection with its lines: those of one account go through one, so nonces keep order."""
    for at, each in enumerate(connections):
        yield each, lines[at :: len(connections)]


async def send(plan: Plan, connection: Connection, bodies: list[bytes], seen: Seen) -> None:
    """Send request after request on one connection."""
    for body in bodies:
        while not plan.reads and seen.sent - seen.included > plan.window:
            seen.room.clear()
            await seen.room.wait()
        seen.sent += plan.per_request
        answer = await connection.ask(body)
        if b'"error"' in answer:
            failures = [each for each in as_list(json.loads(answer)) if "error" in each]
            seen.refused += [json.dumps(each["error"]) for each in failures]


def as_list(answer: Any) -> list[Any]:
    """Return the answers of a batch or of one request."""
    return answer if isinstance(answer, list) else [answer]


async def watch(chain: Chain, height: int, total: int, began: float, seen: Seen) -> None:
    """Count what every new block holds until all is included."""
    progress = time.monotonic()
    while seen.included + len(seen.refused) < total:
        while height < await chain.height():
            height += 1
            count = await chain.transactions(height)
            if count:
                progress = time.monotonic()
                seen.blocks.append((round(progress - began, 3), count))
                seen.included += count
                seen.room.set()
        if time.monotonic() - progress > GIVE_UP:
            raise SystemExit(f"nothing included for {GIVE_UP:.0f} s: {seen.included} of {total}")
        await asyncio.sleep(POLL)


def main() -> None:
    """Run a plan."""
    plan = Plan(**json.loads(sys.argv[1]))
    seen = asyncio.run(run(plan, Path(plan.requests).read_bytes().splitlines()))
    shown = {name: value for name, value in vars(seen).items() if name != "room"}
    shown |= {"refused": len(seen.refused), "refusals": seen.refused[:SHOWN]}
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
