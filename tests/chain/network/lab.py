"""A few real nodes in virtual time, on links that a test lays, beside peers that are no nodes.

async def script(lab: Lab) -> None:
    a, b = lab.start("a", "v0"), lab.start("b")     a node with a validator's keys, and one without any
    await lab.until(lambda: b.store.finalized_number == 3)

play(script, ("a", "b"))
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import lru_cache

from chain.checkpoints import Checkpoint
from chain.common.block_data import BlockData
from chain.env import Environment
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.network.blocks import Stored, answer
from chain.network.messages import (
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    PROTOCOL_VERSION,
    STATUS,
    BlockRequest,
    BlockResponse,
    Channel,
    Status,
)
from chain.node import Node, NodeConfig
from chain.runtimes import Runtimes
from chain.sync.bootstrap import SyncMode
from runtime.primitives.types import Hash
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Files, Life, SimClock, SimDisk, SimRng
from tests.sim.genesis import SESSION_SLOTS, SLOT_MS, keystore_files, spec_of
from tests.sim.loop import VirtualLoop
from tests.sim.machine import DIRECTORIES
from tests.sim.sharing import shared_verdicts
from tests.sim.transport import SimNetwork, SimTransport, Weather
from tests.sim.world import blank_tables

CALM = Weather(latency=(0.02, 0.05), jitter=0.0)
PATIENCE = 120.0
"""seconds of virtual time that anything here may take"""


class Lab:
    """Some nodes and the links between them; `seconds` is how old the chain is already."""

    def __init__(
        self,
        loop: VirtualLoop,
        names: Sequence[str],
        pairs: Iterable[tuple[str, str]] | None,
        validators: int,
        seconds: float,
        chain_type: str = "Local",
    ) -> None:
        self.spec = spec_of((1,) * validators, chain_type=chain_type)
        self.weights = (1,) * validators
        self.network = SimNetwork(loop, random.Random(1), CALM)
        self.network.connect(names, pairs)
        self.nodes: dict[str, Node] = {}
        self.clocks = {name: SimClock(random.Random(name)) for name in names}
        for clock in self.clocks.values():
            clock.skew_ms = round(seconds * 1000)
        self.tables: dict[str, Tables] = {}
        self.files = {name: {directory: Files() for directory in DIRECTORIES} for name in names}
        self._runs: dict[str, tuple[asyncio.Task[None], ExitStack]] = {}

    def start(
        self,
        name: str,
        *validators: str,
        runtimes: Runtimes | None = None,
        sync: SyncMode = "full",
        checkpoint: Checkpoint | None = None,
        life: Life | None = None,
    ) -> Node:
        """Start a node with the keys of these validators, on what its last run has left."""
        life, files, stack = life or Life(), self.files[name], ExitStack()
        tables = self.tables.setdefault(name, blank_tables(self.weights, 0, SESSION_SLOTS).copy())
        for validator in validators:
            files["keystore"].content |= keystore_files(validator)
        environment = Environment(
            self.clocks[name],
            SimRng(random.Random(name)),
            lambda directory: SimDisk(files[directory], life),
            lambda: MemoryDatabase(tables, life),
            lambda node_key, genesis: SimTransport(self.network, name, life, lambda: self._cut(name)),
        )
        config = NodeConfig(
            self.spec,
            name=name,
            validator=bool(validators),
            node_key=Keypair.from_seed(name.encode().ljust(32), "ed25519"),
            sync=sync,
            checkpoint=checkpoint,
        )
        opening = Node.open(config, environment, Executor(runtimes=runtimes))
        node = self.nodes[name] = stack.enter_context(opening)
        self._runs[name] = asyncio.get_running_loop().create_task(node.run(), name=name), stack
        return node

    def _cut(self, name: str) -> None:
        """End a node whose power is gone, wherever it is."""
        self._runs[name][0].cancel()

    async def stop(self, name: str) -> None:
        """Stop a node."""
        self._runs[name][0].cancel()
        await self.ending(name)

    async def ending(self, name: str) -> BaseException | None:
        """Wait for the end of a node and return what ended it."""
        task, stack = self._runs.pop(name)
        del self.nodes[name]
        async with asyncio.timeout(PATIENCE):
            (problem,) = await asyncio.gather(task, return_exceptions=True)
        stack.close()
        return problem

    async def until(self, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something holds; fail when it does not in time, or when a node has ended."""
        async with asyncio.timeout(seconds):
            while not holds():
                for task, _ in self._runs.values():
                    if task.done():
                        task.result()
                await asyncio.sleep(0.1)

    def has_ended(self, name: str) -> bool:
        """Say whether a node that was started runs no more."""
        return self._runs[name][0].done()

    def cost(self, name: str, peer: str) -> int:
        """Return what a peer's faults amount to, as a node sees it."""
        return self.nodes[name].network.cost_of(peer)


def play(
    script: Callable[[Lab], Awaitable[None]],
    names: Sequence[str],
    pairs: Iterable[tuple[str, str]] | None = None,
    *,
    validators: int = 1,
    seconds: float = 0.0,
    chain_type: str = "Local",
) -> None:
    """Play a script on a network of these nodes; without `pairs` everybody is linked to everybody."""
    loop = VirtualLoop()

    async def main() -> None:
        lab = Lab(loop, names, pairs, validators, seconds, chain_type)
        await script(lab)
        for name in list(lab.nodes):
            await lab.stop(name)

    with shared_verdicts():
        loop.run(main())


@lru_cache(maxsize=32)
def grown(blocks: int, later: int = 0) -> tuple[Tables, float]:
    """Return the database of a lone validator after so many blocks, and the seconds that took.

    One that begins so many slots later with the same keys makes another history of the same genesis.
    """
    found: list[tuple[Tables, float]] = []

    async def script(lab: Lab) -> None:
        node = lab.start("a", "v0")
        await lab.until(lambda: node.store.finalized_number >= blocks, blocks * 4)
        found.append((lab.tables["a"].copy(), asyncio.get_running_loop().time()))

    play(script, ("a",), seconds=later * SLOT_MS / 1000)
    return found[0]


class Scripted:
    """A peer that says what a test wants: chain.env.PeerHandler."""

    def __init__(self, lab: Lab, name: str, store: Stored, status: Status) -> None:
        self.status = status
        self.requests: list[BlockRequest] = []
        self.heard: list[tuple[int, bytes]] = []
        self.store = store
        self._transport = SimTransport(lab.network, name, Life())
        self._task = asyncio.get_running_loop().create_task(self._transport.run(self), name=name)

    def connected(self, peer: str) -> None:
        """Say where this peer stands."""
        self.say(peer, Channel.STATUS, STATUS.encode(self.status))

    def disconnected(self, peer: str) -> None:
        """Do nothing."""

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Answer requests."""
        self.heard.append((channel, message))
        if channel == Channel.REQUESTS:
            request = BLOCK_REQUEST.decode(message)
            self.requests.append(request)
            blocks = self.answer(request)
            if blocks is not None:
                response = BlockResponse(request.id, blocks)
                self.say(peer, Channel.ANSWERS, BLOCK_RESPONSE.encode(response))

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        """Return the answer to a request; None stays silent."""
        return answer(self.store, request)

    def say(self, peer: str, channel: int, message: bytes) -> None:
        """Send a message."""
        self._transport.send(peer, channel, message)


def status_of(node: Node, *, ahead: int = 0) -> Status:
    """Return what a node would say of itself, or of a best block further ahead that does not exist."""
    store = node.store
    best = store.best if not ahead else Hash(bytes([ahead % 256]) * 32)
    return Status(
        PROTOCOL_VERSION, 1, store.genesis_hash, best, store.best_number + ahead,
        store.finalized, store.finalized_number,
    )  # fmt: skip
