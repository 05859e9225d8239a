"""Links between nodes: seeded latency, loss, duplication and reordering; cuts and dead machines.

A link of calm weather is what TCP is: messages arrive once, in order, after the latency of that link. Weather
adds what protocols must survive all the same. A cut loses what is under way; who was cut off notices after a
while, and finds the way back after another.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.sim.env import Killed, Life
from tests.sim.loop import VirtualLoop

DEGREE = 8
"""links of a node in a network too large for everybody to know everybody"""
MESH = 9
"""nodes up to which everybody is linked to everybody"""
NOTICED = (0.5, 15.0)
"""seconds until a node notices that a peer does not answer any more"""
RECONNECTED = (0.2, 3.0)
"""seconds until two nodes that can reach each other have found each other"""
FORGIVEN = 20.0
"""seconds after which a node that was dropped tries again"""


class Peers(Protocol):
    """What a node hears of its peers: chain.env.PeerHandler."""

    def connected(self, peer: str) -> None: ...
    def disconnected(self, peer: str) -> None: ...
    def received(self, peer: str, channel: int, message: bytes) -> None: ...


@dataclass
class Weather:
    """What links do beside carrying."""

    latency: tuple[float, float] = (0.02, 0.25)  # seconds, of the slowest and fastest link
    jitter: float = 0.1  # share of the latency
    loss: float = 0.0  # share of messages
    duplication: float = 0.0
    reorder: float = 0.0  # share of messages that others may overtake
    delay: float = 0.0  # seconds more, at most


@dataclass(eq=False)
class Link:
    """One connection between two nodes; each direction has a queue."""

    ends: tuple[str, str]
    latency: float  # seconds
    up: bool = False
    generation: int = 0  # of the connection; what an older one carried is lost
    arrival: dict[str, float] = field(default_factory=dict)  # receiver -> last arrival in order

    def other(self, name: str) -> str:
        """Return the other end."""
        return self.ends[1] if name == self.ends[0] else self.ends[0]


Tap = Callable[[str, str, int, bytes], None]
"""sender, receiver, channel, message"""


class SimNetwork:
    """All links, and who is at their ends."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self._loop = loop
        self._rng = rng
        self._links: dict[str, dict[str, Link]] = {}
        self._nodes: dict[str, SimTransport] = {}
        self._sides: dict[str, int] = {}
        self.on_deliver: Tap = lambda *_: None
        self.drops: list[tuple[str, str, str]] = []  # who, whom, why

    @property
    def names(self) -> list[str]:
        """Everybody who has a place in the network."""
        return list(self._links)

    def connect(self, names: Sequence[str], pairs: Iterable[tuple[str, str]] | None = None) -> None:
        """Lay these links, or (None) a mesh where it is small, else a ring with random chords."""
        self._links = {name: {} for name in names}
        for one, other in _pairs(names, self._rng) if pairs is None else pairs:
            self._lay(one, other)

    def attach(self, name: str, others: Iterable[str]) -> None:
        """Lay links from a new place to others."""
        self._links.setdefault(name, {})
        for other in others:
            self._lay(name, other)

    def _lay(self, one: str, other: str) -> None:
        link = Link((one, other), self._rng.uniform(*self.weather.latency))
        self._links[one][other] = self._links[other][one] = link

    def links(self) -> Iterable[Link]:
        """Yield every link once."""
        for name, links in self._links.items():
            yield from (link for link in links.values() if link.ends[0] == name)

    def join(self, transport: "SimTransport") -> None:
        """Have a node at its place; its peers find it soon."""
        self._nodes[transport.name] = transport
        for link in self._links[transport.name].values():
            self._lose(link, link.generation)  # of an earlier life
            self._seek(link, RECONNECTED)

    def leave(self, transport: "SimTransport") -> None:
        """Have a node gone; its peers notice sooner or later."""
        if self._nodes.get(transport.name) is transport:
            del self._nodes[transport.name]
            for link in self._links[transport.name].values():
                self._notice(link)

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut every link between different sides; whoever is on none is with the first; none: heal."""
        self._sides = {name: number for number, side in enumerate(sides) for name in side}
        for link in self.links():
            if self.reachable(*link.ends):
                self._seek(link, RECONNECTED)
            else:
                self._notice(link)

    def reachable(self, one: str, other: str) -> bool:
        """Say whether two places are on the same side."""
        return self._sides.get(one, 0) == self._sides.get(other, 0)

    def send(self, sender: str, receiver: str, channel: int, message: bytes) -> bool:
        """Put a message on its way; False where there is no connection."""
        link = self._links[sender].get(receiver)
        if link is None or not link.up:
            return False
        weather, rng = self.weather, self._rng
        if self._sides and not self.reachable(sender, receiver):
            return True
        if weather.loss and rng.random() < weather.loss:
            return True
        self._carry(link, sender, receiver, channel, message)
        if weather.duplication and rng.random() < weather.duplication:
            self._carry(link, sender, receiver, channel, message)
        return True

    def drop(self, who: str, peer: str, reason: str) -> None:
        """End a connection that one end no longer wants."""
        self.drops.append((who, peer, reason))
        link = self._links[who].get(peer)
        if link is not None and link.up:
            self._loop.at(self._loop.time(), self._lose, link, link.generation)
            self._seek(link, (FORGIVEN, FORGIVEN))

    def _carry(self, link: Link, sender: str, receiver: str, channel: int, message: bytes) -> None:
        weather, rng, now = self.weather, self._rng, self._loop.time()
        arrival = now + link.latency * (1 + weather.jitter * rng.random())
        if weather.delay:
            arrival += weather.delay * rng.random()
        if not (weather.reorder and rng.random() < weather.reorder):
            arrival = max(arrival, link.arrival.get(receiver, 0.0))
            link.arrival[receiver] = arrival
        self._loop.at(arrival, self._deliver, link, link.generation, sender, receiver, channel, message)

    def _deliver(
        self, link: Link, generation: int, sender: str, receiver: str, channel: int, message: bytes
    ) -> None:
        node = self._nodes.get(receiver)
        if generation != link.generation or not link.up or node is None:
            return
        if self._sides and not self.reachable(sender, receiver):
            return
        self.on_deliver(sender, receiver, channel, message)
        node.deliver(sender, channel, message)

    def _seek(self, link: Link, seconds: tuple[float, float]) -> None:
        self._loop.at(self._loop.time() + self._rng.uniform(*seconds), self._establish, link)

    def _establish(self, link: Link) -> None:
        ends = [self._nodes.get(name) for name in link.ends]
        if link.up or None in ends or not self.reachable(*link.ends):
            return
        link.up = True
        link.generation += 1
        link.arrival.clear()
        for name in link.ends:
            if name in self._nodes:
                self._nodes[name].connected(link.other(name))

    def _notice(self, link: Link) -> None:
        if link.up:
            moment = self._loop.time() + self._rng.uniform(*NOTICED)
            self._loop.at(moment, self._lose_if_cut, link, link.generation)

    def _lose_if_cut(self, link: Link, generation: int) -> None:
        if not self.reachable(*link.ends) or any(name not in self._nodes for name in link.ends):
            self._lose(link, generation)

    def _lose(self, link: Link, generation: int) -> None:
        if not link.up or link.generation != generation:
            return
        link.up = False
        for name in link.ends:
            if name in self._nodes:
                self._nodes[name].disconnected(link.other(name))
        self._seek(link, RECONNECTED)


def _pairs(names: Sequence[str], rng: random.Random) -> Iterable[tuple[str, str]]:
    """Return who is linked to whom."""
    count = len(names)
    if count <= MESH:
        return [(names[one], names[other]) for other in range(count) for one in range(other)]
    shuffled = rng.sample(list(names), count)
    ring = [(shuffled[at], shuffled[(at + 1) % count]) for at in range(count)]
    chords = {tuple(sorted(pair)): pair for pair in ring}
    wanted = count * DEGREE // 2
    while len(chords) < wanted:
        pair = (rng.choice(shuffled), rng.choice(shuffled))
        if pair[0] != pair[1]:
            chords.setdefault(tuple(sorted(pair)), pair)
    return list(chords.values())


class SimTransport:
    """One life's connections: chain.env.Transport."""

    def __init__(
        self, network: SimNetwork, name: str, life: Life, on_killed: Callable[[], None] = lambda: None
    ) -> None:
        self.name = name
        self._network = network
        self._life = life
        self._on_killed = on_killed
        self._peers: Peers | None = None
        self._connected: dict[str, None] = {}
        self._ended: asyncio.Future[None]

    async def run(self, peers: Peers) -> None:
        """Carry messages until cancelled, or until the node cannot take one: it raises that."""
        self._peers = peers
        self._ended = asyncio.get_running_loop().create_future()
        self._network.join(self)
        try:
            await self._ended
        finally:
            self._network.leave(self)

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        """Send a message; False where there is no connection."""
        return self._life.alive and self._network.send(self.name, peer, channel, message)

    def drop(self, peer: str, reason: str) -> None:
        """End a connection."""
        if self._life.alive:
            self._network.drop(self.name, peer, reason)

    def ban(self, peer: str, reason: str) -> bool:
        """End a connection; the node's own memory of faults keeps the peer away."""
        self.drop(peer, reason)
        return True

    def thank(self, peer: str) -> None:
        """Do nothing: nobody has to make room here."""

    def waiting(self, peer: str) -> int:
        """Say that nothing waits: what is sent is on its way at once."""
        return 0

    def addresses(self) -> list[str]:
        """Return the one name there is."""
        return [self.name]

    # What the network says.

    def connected(self, peer: str) -> None:
        """A connection is there."""
        if peer not in self._connected:
            self._connected[peer] = None
            self._tell("connected", peer)

    def disconnected(self, peer: str) -> None:
        """A connection is gone."""
        if peer in self._connected:
            del self._connected[peer]
            self._tell("disconnected", peer)

    def deliver(self, peer: str, channel: int, message: bytes) -> None:
        """Hand a message over."""
        self._tell("received", peer, channel, message)

    def _tell(self, news: str, *words: Any) -> None:
        """Tell the node, which may die of it."""
        if not self._life.alive or self._peers is None:
            return
        try:
            getattr(self._peers, news)(*words)
        except Killed:
            self._on_killed()
        except Exception as problem:  # noqa: BLE001  as a transport on sockets: it ends the node, whatever it is
            if not self._ended.done():
                self._ended.set_exception(problem)
