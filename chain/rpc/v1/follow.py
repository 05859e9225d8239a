"""The chainHead_v1 group on one connection: following the head, pinned blocks, operations on them.

Source: paritytech/json-rpc-interface-spec, chainHead; limits of Substrate.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Start, encode
from chain.rpc.errors import (
    BLOCK_NOT_PINNED,
    DUPLICATE_HASHES,
    FOLLOW_LIMIT,
    NO_RUNTIME,
    NOT_WAITING,
    Json,
    RpcError,
)
from chain.rpc.hub import Sink
from chain.rpc.params import Params
from chain.rpc.shapes import to_hex
from chain.rpc.turns import Turns
from chain.rpc.v1.head import Head, Pin
from chain.rpc.v1.operations import Event, Operation, call_runtime, read_body, read_storage
from chain.rpc.v1.storage_query import read_items
from runtime.primitives.types import Hash

MAX_FOLLOWS = 4
"""per connection"""
MAX_OPERATIONS = 16
"""at a time, per follow; each storage item counts for one"""
ID_BYTES = 12

LIMIT_REACHED: Json = {"result": "limitReached"}

Reply = tuple[Json, Start | None]


@dataclass(frozen=True, slots=True)
class _Held:
    pin: Pin
    since: float  # seconds of the head's clock


class Follow:
    """One follow subscription; satisfies Follower."""

    def __init__(self, sink: Sink, head: Head, *, with_runtime: bool, stopped: Callable[[], None]) -> None:
        self.with_runtime = with_runtime
        self._sink = sink
        self._head = head
        self._stopped = stopped
        self._held: dict[Hash, _Held] = {}  # oldest first
        self._operations: dict[str, tuple[Operation, asyncio.Task[None]]] = {}

    @property
    def oldest_pin(self) -> float:
        """When the oldest pin was taken, seconds of the head's clock."""
        held = next(iter(self._held.values()), None)
        return self._head.clock() if held is None else held.since

    def initialized(self, pins: list[Pin], runtime: Json) -> None:
        """Tell of the last final blocks."""
        for pin in pins:
            self._hold(pin)
        event: Event = {"event": "initialized", "finalizedBlockHashes": [to_hex(pin.block) for pin in pins]}
        self._send(event | ({"finalizedBlockRuntime": runtime} if self.with_runtime else {}))

    def announced(self, pin: Pin, runtime: Json) -> None:
        """Tell of a block that is not final yet."""
        self._hold(pin)
        block, parent = to_hex(pin.block), to_hex(pin.header.parent_hash)
        event: Event = {"event": "newBlock", "blockHash": block, "parentBlockHash": parent}
        self._send(event | ({"newRuntime": runtime} if self.with_runtime else {}))

    def best_changed(self, block: Hash) -> None:
        """Tell of the best block."""
        self._send({"event": "bestBlockChanged", "bestBlockHash": to_hex(block)})

    def settled(self, final: list[Hash], lost: list[Hash]) -> None:
        """Tell which blocks are final, and which never will be."""
        final_hashes, lost_hashes = [to_hex(block) for block in final], [to_hex(block) for block in lost]
        event: Event = {"finalizedBlockHashes": final_hashes, "prunedBlockHashes": lost_hashes}
        self._send({"event": "finalized"} | event)

    def stop(self) -> None:
        """End what the node cannot keep up; the client begins anew."""
        self.close()
        self._send({"event": "stop"})
        self._stopped()

    def close(self) -> None:
        """Let go of everything."""
        self._head.remove(self)
        self._held.clear()
        for _, task in self._operations.values():
            task.cancel()
        self._operations.clear()

    def pin(self, block: Hash) -> Pin:
        """Return a pinned block.

        Raises: RpcError.
        """
        held = self._held.get(block)
        if held is None:
            raise RpcError(BLOCK_NOT_PINNED, "Invalid block hash", f"{to_hex(block)} is not pinned")
        return held.pin

    def unpin(self, blocks: list[Hash]) -> None:
        """Let go of blocks, of all or none.

        Raises: RpcError.
        """
        if len(set(blocks)) < len(blocks):
            raise RpcError(DUPLICATE_HASHES, "Received duplicate hashes for the `chainHead_unpin` method")
        for block in blocks:
            self.pin(block)
        for block in blocks:
            del self._held[block]

    def room(self) -> int:
        """Return how many more operations may run."""
        return MAX_OPERATIONS - sum(operation.weight for operation, _ in self._operations.values())

    def operate(self, events: AsyncIterator[Event], weight: int, tasks: asyncio.TaskGroup) -> Reply:
        """Prepare an operation and return what the client is told before it begins."""
        operation = Operation(secrets.token_urlsafe(ID_BYTES), weight)
        told = asyncio.Event()
        task = tasks.create_task(self._operate(operation, events, told))
        self._operations[operation.id] = operation, task
        return {"result": "started", "operationId": operation.id}, told.set

    def resume(self, operation: str) -> None:
        """Let an operation go on that has sent operationWaitingForContinue.

        Raises: RpcError.
        """
        found = self._operations.get(operation)
        if found is not None and not found[0].resume():
            raise RpcError(NOT_WAITING, "Wait-for-continue event not generated")

    def cancel(self, operation: str) -> None:
        """End an operation; one that has ended is fine."""
        found = self._operations.pop(operation, None)
        if found is not None:
            found[1].cancel()

    async def _operate(self, operation: Operation, events: AsyncIterator[Event], told: asyncio.Event) -> None:
        await told.wait()
        await operation.run(self._sink, events)
        self._operations.pop(operation.id, None)

    def _hold(self, pin: Pin) -> None:
        self._held[pin.block] = _Held(pin, self._head.clock())

    def _send(self, event: Event) -> None:
        self._sink.send(encode(event))


class Follows:
    """The follow subscriptions of one connection; their operations run in its task group."""

    def __init__(self, node: Backend, head: Head, turns: Turns, tasks: asyncio.TaskGroup) -> None:
        self._node = node
        self._head = head
        self._turns = turns
        self._tasks = tasks
        self._follows: dict[str, Follow] = {}
        self._calls: dict[str, Callable[[Params], Reply]] = {
            "chainHead_v1_header": self._header,
            "chainHead_v1_body": self._body,
            "chainHead_v1_call": self._call,
            "chainHead_v1_storage": self._storage,
            "chainHead_v1_continue": self._continue,
            "chainHead_v1_stopOperation": self._stop_operation,
            "chainHead_v1_unpin": self._unpin,
        }

    def open(self, sink: Sink, params: Params, stopped: Callable[[], None]) -> Start:
        """Prepare a follow subscription.

        Raises: RpcError.
        """
        if len(self._follows) >= MAX_FOLLOWS:
            raise RpcError(FOLLOW_LIMIT, "Maximum number of chainHead_follow has been reached")

        def forget() -> None:
            del self._follows[sink.id]
            stopped()

        follow = Follow(sink, self._head, with_runtime=params.flag(0, "withRuntime"), stopped=forget)
        self._follows[sink.id] = follow
        return partial(self._head.add, follow)

    def close(self, subscription: str) -> None:
        """End a follow subscription."""
        self._follows.pop(subscription).close()

    def perform(self, method: str, params: Params) -> Reply:
        """Answer a call about a follow subscription.

        Raises: RpcError.
        """
        return self._calls[method](params)

    def _follow(self, params: Params) -> Follow | None:
        return self._follows.get(params.text(0, "followSubscription"))

    def _header(self, params: Params) -> Reply:
        follow, block = self._follow(params), params.hash(1, "hash")
        return (None if follow is None else to_hex(follow.pin(block).header.encode())), None

    def _body(self, params: Params) -> Reply:
        follow, block = self._follow(params), params.hash(1, "hash")
        if follow is None:
            return LIMIT_REACHED, None
        pin = follow.pin(block)
        if follow.room() < 1:
            return LIMIT_REACHED, None
        return follow.operate(read_body(pin), 1, self._tasks)

    def _call(self, params: Params) -> Reply:
        follow, block = self._follow(params), params.hash(1, "hash")
        function, argument = params.text(2, "function"), params.hex(3, "callParameters")
        if follow is None:
            return LIMIT_REACHED, None
        pin = follow.pin(block)
        if not follow.with_runtime:
            reason = "The `chainHead_follow` subscription was started with `withRuntime` set to `false`"
            raise RpcError(NO_RUNTIME, reason)
        if follow.room() < 1:
            return LIMIT_REACHED, None
        return follow.operate(call_runtime(self._node, pin, function, argument), 1, self._tasks)

    def _storage(self, params: Params) -> Reply:
        follow, block, items = self._follow(params), params.hash(1, "hash"), read_items(params, 2, 3)
        if follow is None:
            return LIMIT_REACHED, None
        pin, room = follow.pin(block), follow.room()
        if room < 1:
            return LIMIT_REACHED, None
        taken = items[:room]
        reply, start = follow.operate(read_storage(pin, taken, self._turns), max(len(taken), 1), self._tasks)
        assert isinstance(reply, dict), "an operation has started"
        return {**reply, "discardedItems": len(items) - len(taken)}, start

    def _continue(self, params: Params) -> Reply:
        follow, operation = self._follow(params), params.text(1, "operationId")
        if follow is not None:
            follow.resume(operation)
        return None, None

    def _stop_operation(self, params: Params) -> Reply:
        follow, operation = self._follow(params), params.text(1, "operationId")
        if follow is not None:
            follow.cancel(operation)
        return None, None

    def _unpin(self, params: Params) -> Reply:
        follow, blocks = self._follow(params), params.hashes(1, "hashOrHashes")
        if follow is not None:
            follow.unpin(blocks)
        return None, None


FOLLOW_METHODS = frozenset(
    f"chainHead_v1_{name}"
    for name in ("header", "body", "call", "storage", "continue", "stopOperation", "unpin")
)
