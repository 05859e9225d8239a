"""Simulated links: order and loss, cuts and crashes, and who hears of them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.sim.env import Life
from tests.sim.loop import VirtualLoop
from tests.sim.transport import DEGREE, SimNetwork, SimTransport, Weather


@dataclass
class Ear:
    """Writes down what a node hears."""

    heard: list[tuple[object, ...]] = field(default_factory=list)

    def connected(self, peer: str) -> None:
        """Note it."""
        self.heard.append(("connected", peer))

    def disconnected(self, peer: str) -> None:
        """Note it."""
        self.heard.append(("disconnected", peer))

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Note it."""
        self.heard.append((peer, channel, message))


@dataclass
class Station:
    """A node that only listens."""

    transport: SimTransport
    ear: Ear
    life: Life
    task: asyncio.Task[None]


Script = Callable[[SimNetwork, dict[str, Station], Callable[[str], Station]], Awaitable[None]]


def play(script: Script, names: str = "ab", weather: Weather | None = None, seed: int = 1) -> None:
    """Run a script on a network of these nodes."""
    loop = VirtualLoop()
    network = SimNetwork(loop, random.Random(seed), weather)
    network.connect(list(names))

    def start(name: str) -> Station:
        life, ear = Life(), Ear()
        transport = SimTransport(network, name, life)
        return Station(transport, ear, life, asyncio.create_task(transport.run(ear)))

    async def main() -> None:
        stations = {name: start(name) for name in names}
        await asyncio.sleep(5)
        await script(network, stations, start)

    loop.run(main())


def test_calm_links_keep_the_order() -> None:
    async def script(network: SimNetwork, stations: dict[str, Station], start: object) -> None:
        for number in range(20):
            assert stations["a"].transport.send("b", 1, bytes([number]))
        await asyncio.sleep(1)
        assert stations["b"].ear.heard == [("connected", "a"), *(("a", 1, bytes([n])) for n in range(20))]
        assert not stations["a"].transport.send("nobody", 1, b"")

    play(script)


def test_weather_loses_doubles_and_reorders() -> None:
    async def script(network: SimNetwork, stations: dict[str, Station], start: object) -> None:
        for number in range(200):
            stations["a"].transport.send("b", 1, bytes([number]))
        await asyncio.sleep(3)
        heard = [each[2] for each in stations["b"].ear.heard[1:]]
        assert len(set(heard)) < 200
        assert len(heard) > len(set(heard))
        assert heard != sorted(heard)

    play(script, weather=Weather(loss=0.2, duplication=0.2, reorder=0.5, delay=1.0))


def test_a_cut_loses_messages_is_noticed_and_heals() -> None:
    async def script(network: SimNetwork, stations: dict[str, Station], start: object) -> None:
        stations["a"].transport.send("b", 1, b"under way")
        network.partition("a", "b")
        assert stations["a"].transport.send("b", 1, b"into the void")
        await asyncio.sleep(20)
        assert stations["b"].ear.heard == [("connected", "a"), ("disconnected", "a")]
        assert not stations["a"].transport.send("b", 1, b"")
        network.partition()
        await asyncio.sleep(4)
        assert stations["a"].transport.send("b", 1, b"again")
        await asyncio.sleep(1)
        assert stations["b"].ear.heard[2:] == [("connected", "a"), ("a", 1, b"again")]

    play(script)


def test_a_restart_is_a_new_connection() -> None:
    async def script(
        network: SimNetwork, stations: dict[str, Station], start: Callable[[str], Station]
    ) -> None:
        stations["a"].life.alive = False
        stations["a"].task.cancel()
        await asyncio.sleep(0)
        again = start("a")
        await asyncio.sleep(4)
        assert again.ear.heard == [("connected", "b")]
        assert stations["b"].ear.heard == [("connected", "a"), ("disconnected", "a"), ("connected", "a")]
        assert not stations["a"].transport.send("b", 1, b"from the dead")

    play(script)


def test_who_is_dropped_may_come_back_later() -> None:
    async def script(network: SimNetwork, stations: dict[str, Station], start: object) -> None:
        stations["a"].transport.drop("b", "lies")
        await asyncio.sleep(1)
        assert stations["b"].ear.heard == [("connected", "a"), ("disconnected", "a")]
        assert network.drops == [("a", "b", "lies")]
        await asyncio.sleep(20)
        assert stations["b"].ear.heard[-1] == ("connected", "a")

    play(script)


def test_a_large_network_is_a_sparse_connected_graph() -> None:
    network = SimNetwork(VirtualLoop(), random.Random(3))
    names = [f"n{number}" for number in range(50)]
    network.connect(names)
    neighbours: dict[str, list[str]] = {name: [] for name in names}
    for link in network.links():
        for name in link.ends:
            neighbours[name].append(link.other(name))
    assert sum(map(len, neighbours.values())) == 50 * DEGREE
    reached, edge = {names[0]}, [names[0]]
    while edge:
        fresh = [other for other in neighbours[edge.pop()] if other not in reached]
        reached.update(fresh)
        edge += fresh
    assert len(reached) == 50
