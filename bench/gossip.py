"""Transactions between pools: ids announced and bodies pulled, against bodies pushed to everybody.

    python -m bench.gossip [--seconds 10] [--rate 1000] [--json FILE]

Each node is the real network above simulated links, with a real pool that finds everything valid; signatures
are left out, since both ways verify once. `bytes` and `copies` are per transaction and node, frames of the
transport included; `cpu_us` is processor time per transaction and node, the simulator's own included, which
both ways pay for every message; `reached_ms` is the time from submission until all nodes have it.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.gossip_push import PushGossip
from bench.record import finish, parser
from chain.network.messages import PROTOCOL_VERSION, TRANSACTIONS, Channel, Status
from chain.network.service import Network
from chain.network.transactions import TransactionGossip
from chain.txpool.pool import Limits, Pool
from runtime.primitives.hashing import blake2_256
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.primitives.validity import TransactionSource
from tests.sim.env import Life, SimClock
from tests.sim.loop import VirtualLoop
from tests.sim.transport import SimNetwork, SimTransport, Weather

SIZE = 150
"""bytes of a signed transfer"""
FRAME = 4 + 16 + 1
"""bytes around a message on the wire: its length, the tag of its encryption, its channel"""
CASES: dict[str, tuple[int, tuple[float, float]]] = {
    "4_nodes_local": (4, (0.001, 0.005)),
    "4_nodes_far": (4, (0.02, 0.25)),
    "20_nodes_far": (20, (0.02, 0.25)),
}
"""nodes, and the latency of links in seconds; up to 9 nodes everybody is linked to everybody"""
MEETING = 20.0
"""seconds in which all nodes find each other"""
WAYS: dict[str, Callable[..., Any]] = {"push": PushGossip, "pull": TransactionGossip}


@dataclass
class Tally:
    """What went over the links."""

    messages: int = 0
    size: int = 0
    bodies: int = 0
    arrivals: dict[Hash, list[float]] = field(default_factory=dict)


class PeerNode:
    """One node's network, gossip and pool."""

    def __init__(self, links: SimNetwork, name: str, way: Callable[..., Any], tally: Tally) -> None:
        clock = SimClock(random.Random(name))
        self.transport = SimTransport(links, name, Life())
        status = Status(PROTOCOL_VERSION, 1, ZERO_HASH, ZERO_HASH, 0, ZERO_HASH, 0)
        self.network = Network(self.transport, clock, lambda: status)
        self.pool = Pool(self._judge, clock.monotonic, Limits(ready_count=1 << 20, ready_size=1 << 30))
        self.gossip = way(self.network, self.pool, clock, lambda: False)
        self._tally = tally

    def _judge(self, extrinsic: bytes, source: TransactionSource) -> ValidTransaction:
        transaction = Hash(blake2_256(extrinsic))
        self._tally.arrivals.setdefault(transaction, []).append(asyncio.get_running_loop().time())
        return ValidTransaction(0, [], [transaction], 64, True)

    def submit(self, extrinsic: bytes) -> None:
        """Take a transaction of a wallet."""
        self.gossip.propagate(self.pool.submit(extrinsic))


@dataclass(frozen=True)
class Load:
    """What wallets do."""

    rate: int  # transactions per second, over all nodes
    seconds: int

    @property
    def total(self) -> int:
        """How many transactions there are."""
        return self.rate * self.seconds


async def play(nodes: list[PeerNode], load: Load) -> float:
    """Submit every transaction at some node until all are everywhere; return the processor time, s."""
    rng = random.Random(5)
    async with asyncio.TaskGroup() as tasks:
        works = [
            tasks.create_task(each) for node in nodes for each in (node.network.run(), node.gossip.run())
        ]
        await asyncio.sleep(MEETING)
        began = time.process_time()
        for _ in range(load.total // 10):
            for _ in range(10):
                rng.choice(nodes).submit(rng.randbytes(SIZE))
            await asyncio.sleep(10 / load.rate)
        while any(node.pool.ready_count < load.total for node in nodes):  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.1)
        spent = time.process_time() - began
        for work in works:
            work.cancel()
    return spent


def run(
    way: str, count: int, latency: tuple[float, float], load: Load, *, looks: bool
) -> tuple[float, Tally]:
    """Play a load on a network; `looks`: count what goes over its links, which takes time of its own."""
    loop, tally = VirtualLoop(), Tally()  # type: ignore[abstract]  # it has what a simulator needs
    links = SimNetwork(loop, random.Random(7), Weather(latency=latency))
    names = [f"n{number}" for number in range(count)]
    links.connect(names)

    def delivered(sender: str, receiver: str, channel: int, message: bytes) -> None:
        if loop.time() >= MEETING:
            tally.messages += 1
            tally.size += len(message) + FRAME
        if channel == Channel.TRANSACTIONS:
            tally.bodies += len(TRANSACTIONS.decode(message).extrinsics)

    if looks:
        links.on_deliver = delivered

    async def begin() -> float:
        return await play([PeerNode(links, name, WAYS[way], tally) for name in names], load)

    return loop.run(begin()), tally


def measure(way: str, count: int, latency: tuple[float, float], load: Load) -> dict[str, float]:
    """Return the figures of one way on one network."""
    _, tally = run(way, count, latency, load, looks=True)
    spent = min(run(way, count, latency, load, looks=False)[0] for _ in range(3))
    shares = load.total * count
    waits = sorted(max(times) - min(times) for times in tally.arrivals.values())
    return {
        "bytes": round(tally.size / shares, 1),
        "copies": round(tally.bodies / shares, 2),
        "messages": round(tally.messages / shares, 3),
        "cpu_us": round(spent / shares * 1e6, 1),
        "reached_ms_p50": round(waits[len(waits) // 2] * 1e3),
        "reached_ms_p99": round(waits[len(waits) * 99 // 100] * 1e3),
    }


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--seconds", type=int, default=10, help="of transactions [10]")
    flags.add_argument("--rate", type=int, default=1000, help="transactions per second, all nodes [1000]")
    given = flags.parse_args()
    load = Load(given.rate, given.seconds)
    figures = {
        case: {way: measure(way, count, latency, load) for way in WAYS}
        for case, (count, latency) in CASES.items()
    }
    finish("gossip", {"rate": given.rate, "size": SIZE, **figures}, given)


if __name__ == "__main__":
    main()
