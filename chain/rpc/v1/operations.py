"""What a follower of the head asks of a pinned block: body, runtime call, storage; the answers are events.

Source: paritytech/json-rpc-interface-spec, chainHead_v1_body, _call, _storage, _continue.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from chain.common.errors import RuntimeMissing, StateDiscarded, UnknownBlock
from chain.rpc.backend import Backend
from chain.rpc.dispatch import encode, is_done
from chain.rpc.errors import Json, RpcError
from chain.rpc.hub import Sink
from chain.rpc.shapes import to_hex
from chain.rpc.turns import Turns
from chain.rpc.v1.head import Pin
from chain.rpc.v1.storage_query import StorageItem, pages

WAITING = "operationWaitingForContinue"

Event = dict[str, Json]


@dataclass(eq=False, slots=True)
class Operation:
    """One request in progress; `weight` is how many of the allowed operations it counts for."""

    id: str
    weight: int
    is_waiting: bool = False
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def resume(self) -> bool:
        """Let a waiting operation go on; False when it does not wait."""
        was_waiting, self.is_waiting = self.is_waiting, False
        self._more.set()
        return was_waiting

    async def run(self, sink: Sink, events: AsyncIterator[Event]) -> None:
        """Send the events of the operation; whatever goes wrong becomes its last one."""
        if not await is_done("An operation on a followed block", self._run(sink, events)):
            await self._fail(sink, "Internal error")

    async def _run(self, sink: Sink, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self.is_waiting = event["event"] == WAITING
                self._more.clear()
                await self._send(sink, event)
                if self.is_waiting:
                    await self._more.wait()
        except (UnknownBlock, StateDiscarded, RuntimeMissing, RpcError) as problem:
            await self._fail(sink, str(problem))

    async def _fail(self, sink: Sink, reason: str) -> None:
        await self._send(sink, {"event": "operationError", "error": reason})

    async def _send(self, sink: Sink, event: Event) -> None:
        await sink.deliver(encode({**event, "operationId": self.id}))


async def read_body(pin: Pin) -> AsyncIterator[Event]:
    """Yield the extrinsics of a block."""
    yield {"event": "operationBodyDone", "value": [to_hex(extrinsic) for extrinsic in pin.body()]}


async def call_runtime(node: Backend, pin: Pin, function: str, argument: bytes) -> AsyncIterator[Event]:
    """Yield what the runtime of a block answers."""
    output = node.call_at(pin.state(), pin.header, function, argument)
    yield {"event": "operationCallDone", "output": to_hex(output)}


async def read_storage(pin: Pin, items: Sequence[StorageItem], turns: Turns) -> AsyncIterator[Event]:
    """Yield storage in pages; the client must ask for each page after the first."""
    async for page in pages(pin.state(), items, turns):
        yield {"event": "operationStorageItems", "items": page.answers}
        if not page.is_last:
            yield {"event": WAITING}
    yield {"event": "operationStorageDone"}
