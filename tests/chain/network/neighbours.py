"""Nodes without a chain, on sockets of this machine: a transport, and what is above it as far as peers go.

async with neighbours() as start:
    a = await start("a")
    b = await start("b", known=(a.address,))
    await until(lambda: b.is_with(a))
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from chain.env import Clock, Rng
from chain.env_real import RealClock, RealRng
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, parse_address
from chain.network.discovery.exchange import Discovery
from chain.network.messages import PROTOCOL_VERSION, Channel, Roles, Status
from chain.network.service import Network
from chain.network.transport.names import Resolve, look_up
from chain.network.transport.tcp import TcpConfig, TcpTransport
from runtime.primitives.types import BlockNumber, Hash
from tests.sim.env import Files, Life, SimDisk

GENESIS = Hash(bytes(range(32)))
PATIENCE = 120.0
"""seconds that anything here may take: who learns of nobody from a peer asks it again after a minute"""
ROOMY = 1 << 64
"""slots of a bucket, among which no two addresses meet by chance"""
STATUS = Status(PROTOCOL_VERSION, Roles.FULL, GENESIS, GENESIS, BlockNumber(0), GENESIS, BlockNumber(0))


def key_of(name: str) -> Keypair:
    """Return the node key of a name."""
    return Keypair.from_suri(f"//{name}", "ed25519")


@dataclass(eq=False)
class Neighbour:
    """One node as far as others can tell."""

    transport: TcpTransport
    network: Network
    discovery: Discovery
    files: Files
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """Its name among peers."""
        return self.transport.peer_id

    @property
    def address(self) -> Address:
        """Where it listens."""
        return parse_address(self.transport.addresses()[0])

    def is_with(self, *others: "Neighbour") -> bool:
        """Say whether all of these are its peers, and nobody else is."""
        return sorted(self.network.peers()) == sorted(other.id for other in others)

    async def stop(self) -> None:
        """End it; its files stay."""
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


Start = Callable[..., Coroutine[Any, Any, Neighbour]]


def made(
    name: str,
    config: TcpConfig,
    files: Files | None = None,
    resolve: Resolve = look_up,
    genesis: Hash = GENESIS,
    clock: Clock | None = None,
    rng: Rng | None = None,
    fruitless: Callable[[], Iterable[str]] = tuple,
) -> Neighbour:
    """Return a node that does not run."""
    files, key = files or Files(), key_of(name)
    clock, rng = clock or RealClock(), rng or RealRng()
    transport = TcpTransport(config, key, genesis, rng, clock, SimDisk(files, Life()), resolve)
    network = Network(transport, clock, lambda: replace(STATUS, genesis=genesis))
    discovery = Discovery(
        network, transport, transport.dialler, key, genesis, clock, rng,
        allow_private=config.allow_private, is_open=not config.reserved_only, fruitless=fruitless,
    )  # fmt: skip
    network.add(discovery, {Channel.PEERS: discovery.received})
    return Neighbour(transport, network, discovery, files)


@contextlib.asynccontextmanager
async def neighbours() -> AsyncIterator[Start]:
    """Return what starts a node on a free port; all end in the end.

    All are of one group of addresses, so in one bucket of the book: here it has a slot for each of them.
    """
    running: list[Neighbour] = []

    async def start(
        name: str, files: Files | None = None, resolve: Resolve = look_up, **wishes: Any
    ) -> Neighbour:
        config = TcpConfig(**{"port": 0, **wishes})
        node = made(name, config, files, resolve)
        node.task = asyncio.get_running_loop().create_task(node.network.run(), name=name)
        running.append(node)
        await node.transport.listening.wait()
        return node

    try:
        with patch("chain.network.discovery.addrman.BUCKET_SIZE", ROOMY):
            yield start
    finally:
        for node in running:
            await node.stop()


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  what it asks about is not told by any event
            await asyncio.sleep(0.02)
