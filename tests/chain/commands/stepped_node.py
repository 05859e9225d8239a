"""A node in a thread of this process whose time goes on when a client looks at the finalised head.

So a command that waits for blocks gets them as fast as they are built, and a slow machine changes nothing.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

from substrateinterface import SubstrateInterface

from chain.node import NodeConfig, Service
from chain.rpc.server import RpcConfig
from chain.spec import ChainSpec
from tests.chain.clocks import StillClock

SLOT_MS = 2_000
START_MS = 1_800_000_000_001
BUILD_SECONDS = 60.0
"""for the block of a slot"""
WAIT = 120
"""seconds before a test that hangs fails"""

T = TypeVar("T")


class SteppedClock(StillClock):
    """Stands still between two steps."""

    async def step(self, ms: int) -> None:
        """Let time pass."""
        until = self.ms + ms
        while True:
            await self.settle()
            if not self._sleepers or self._sleepers[0][0] > until:
                break
            self.wake_next()
        self.ms = until


class SteppedNode:
    """A node that a test's thread moves on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, service: Service, clock: SteppedClock) -> None:
        self._loop, self._clock = loop, clock
        self._imports = service.node.feed.imports()
        self.url = f"ws://127.0.0.1:{service.rpc.port}"
        self.over = asyncio.Event()

    def step(self, slots: int = 1) -> None:
        """Let slots pass, and their blocks be built."""
        for _ in range(slots):
            self.run(self._slot())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the node's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT)

    async def _slot(self) -> None:
        await self._clock.step(SLOT_MS)
        async with asyncio.timeout(BUILD_SECONDS):
            await anext(self._imports)


@contextmanager
def stepped_node(home: Path, change: Callable[[dict[str, Any]], None]) -> Iterator[SteppedNode]:
    """Run Alice's node of the dev chain, its genesis changed."""
    source = json.loads(files("genesis").joinpath("dev.json").read_text())
    change(source["genesis"]["runtimeGenesis"]["config"])
    config = NodeConfig(
        ChainSpec.parse(json.dumps(source), "test"), base_path=home, authority="//Alice", validator=True,
        rpc=RpcConfig(port=0), prometheus_port=None,
    )  # fmt: skip
    opened: Queue[SteppedNode] = Queue()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(config, opened)), name="node")
    thread.start()
    node = opened.get(timeout=WAIT)
    try:
        yield node
    finally:
        node.run(_set(node.over))
        thread.join(WAIT)


async def _serve(config: NodeConfig, opened: Queue[SteppedNode]) -> None:
    clock = SteppedClock(START_MS)
    async with Service.open(config, clock) as service:
        node = SteppedNode(asyncio.get_running_loop(), service, clock)
        running, over = asyncio.create_task(service.run()), asyncio.create_task(node.over.wait())
        opened.put(node)
        await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _set(event: asyncio.Event) -> None:
    event.set()


@contextmanager
def moving(node: SteppedNode) -> Iterator[Callable[..., SubstrateInterface]]:
    """Connect like the library, but once, as it takes a second to read metadata; a look moves the node on."""
    made: list[SubstrateInterface] = []

    def connect(url: str, **options: Any) -> SubstrateInterface:
        if url != node.url:
            return SubstrateInterface(url, **options)
        if not made:
            made.append(Moving(url, **options))
        return made[0]

    class Moving(SubstrateInterface):  # type: ignore[misc]
        def get_chain_finalised_head(self) -> Any:
            node.step()
            return super().get_chain_finalised_head()

        def close(self) -> None:
            """Stay open for the next command."""

    yield connect
    for each in made:
        SubstrateInterface.close(each)
