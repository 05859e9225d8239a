"""The transaction_v1 and transactionWatch_v1 groups on one connection.

Source: paritytech/json-rpc-interface-spec, transaction and transactionWatch; limits of Substrate.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from chain.common.errors import SubmitError
from chain.rpc.backend import Backend, Statuses
from chain.rpc.dispatch import Start, encode, is_done
from chain.rpc.errors import Json, invalid_params
from chain.rpc.hub import Sink
from chain.rpc.params import Params, shorten
from runtime.primitives.types import Hash

MAX_BROADCASTS = 16
"""per connection, final and stopped ones not counted"""
ID_BYTES = 12

BROADCAST, STOP = "transaction_v1_broadcast", "transaction_v1_stop"

Event = dict[str, Json]

REJECTED = frozenset({1010, 1011, 1012})
"""pool errors that say the transaction itself is wrong"""


class Broadcasts:
    """Transactions that are offered to the pool at every new best block until they are final or stopped."""

    def __init__(
        self, node: Backend, next_best: Callable[[], Awaitable[object]], tasks: asyncio.TaskGroup
    ) -> None:
        self._node = node
        self._next_best = next_best
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}

    def perform(self, method: str, params: Params) -> tuple[Json, Start | None]:
        """Answer transaction_v1_broadcast or transaction_v1_stop.

        Raises: RpcError.
        """
        if method == STOP:
            self._stop(params.get(0))
            return None, None
        extrinsic = params.hex(0, "transaction")
        if len(self._running) >= MAX_BROADCASTS:
            self._running = {each: task for each, task in self._running.items() if not task.done()}
        if len(self._running) >= MAX_BROADCASTS:
            return None, None
        operation = secrets.token_urlsafe(ID_BYTES)
        self._running[operation] = self._tasks.create_task(self._run(extrinsic))
        return operation, None

    def close(self) -> None:
        """Stop everything; what is in the pool stays there."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    def _stop(self, operation: Json) -> None:
        if not isinstance(operation, str) or operation not in self._running:
            raise invalid_params(f"no transaction is broadcast under {shorten(operation)}")
        self._running.pop(operation).cancel()

    async def _run(self, extrinsic: bytes) -> None:
        await is_done("A broadcast", self._offer(extrinsic))

    async def _offer(self, extrinsic: bytes) -> None:
        while not await self._include(extrinsic):
            await self._next_best()

    async def _include(self, extrinsic: bytes) -> bool:
        """Offer the transaction once and wait while the pool cares; True when it became final."""
        try:
            _, statuses = self._node.pool.watch(extrinsic)
        except SubmitError:
            return False  # it may be valid later
        try:
            async for status in statuses:
                if isinstance(status, dict) and "finalized" in status:
                    return True
        finally:
            statuses.close()
        return False


class WatchEvents:
    """One submitted transaction: the pool's statuses as events of transactionWatch_v1."""

    def __init__(self, node: Backend, sink: Sink, extrinsic: bytes) -> None:
        self._node = node
        self._sink = sink
        self._extrinsic = extrinsic
        self._statuses: Statuses | None = None
        self._last: Event | None = None

    async def run(self) -> None:
        """Submit the transaction and tell what becomes of it."""
        if not await is_done("A watched transaction", self._run()):
            self._tell({"event": "error", "error": "Internal error"})

    def close(self) -> None:
        """Stop watching."""
        if self._statuses is not None:
            self._statuses.close()

    async def _run(self) -> None:
        try:
            _, self._statuses = self._node.pool.watch(self._extrinsic)
        except SubmitError as problem:
            event = "invalid" if problem.code in REJECTED else "dropped"
            self._tell({"event": event, "error": str(problem)})
            return
        async for status in self._statuses:
            self._tell(self._event(status))

    def _event(self, status: object) -> Event | None:
        match status:
            case "ready" | "future":
                return {"event": "validated"}
            case {"inBlock": str(block)}:
                return self._located("bestChainBlockIncluded", block)
            case {"retracted": _}:
                return {"event": "bestChainBlockIncluded", "block": None}
            case {"finalized": str(block)}:
                return self._located("finalized", block)
            case {"usurped": _}:
                return {"event": "invalid", "error": "another transaction of the same account took its place"}
            case "invalid":
                return {"event": "invalid", "error": "the transaction became invalid"}
            case "dropped":
                return {"event": "dropped", "error": "the pool is full, and everything in it pays more"}
            case {"finalityTimeout": _}:
                return {"event": "dropped", "error": "its block takes too long to become final"}
        return None

    def _located(self, event: str, block: str) -> Event:
        body = self._node.blocks.body(Hash(bytes.fromhex(block.removeprefix("0x")))) or []
        if self._extrinsic not in body:
            return {"event": "error", "error": f"block {block} is gone"}
        return {"event": event, "block": {"hash": block, "index": body.index(self._extrinsic)}}

    def _tell(self, event: Event | None) -> None:
        if event is not None and event != self._last:
            self._last = event
            self._sink.send(encode(event))
