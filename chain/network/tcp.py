"""Peers over TCP: listens, and keeps one connection to each; dialler.py says whom it dials.

Satisfies chain.env.Transport. When two nodes dial each other at once, both keep the connection that the one
with the lower peer id has made.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from chain.env import Clock, Disk, PeerHandler, Rng
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.addresses import Address
from chain.network.bans import Bans
from chain.network.dialler import AlreadyConnected, Dialler
from chain.network.half_open import HalfOpen
from chain.network.handshake import Greeting, Identity
from chain.network.link import Link, LinkAbused, LinkClosed, LinkConfig, LinkFigures, greet
from chain.network.memory import Memory
from chain.network.wire import Wire

log = logging.getLogger("sub-libp2p")

MAX_INBOUND = 64
"""peers that nobody here has named; those that are known always find a place"""
DIAL_SECONDS = 5.0
"""until somebody must have taken the call"""
BACKLOG = 128
"""connections that wait to be accepted"""


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Where to listen, and whom to dial."""

    host: str = "127.0.0.1"
    port: int | None = 30_333  # None: do not listen; 0: any free port
    known: tuple[Address, ...] = ()  # dialled until they answer, and again when they are gone
    link: LinkConfig = field(default_factory=LinkConfig)


class TcpTransport:
    """The connections of one node."""

    def __init__(
        self, config: TcpConfig, node_key: Keypair, genesis: bytes, rng: Rng, clock: Clock, disk: Disk
    ) -> None:
        self.config = config
        self.peer_id = peer_id(node_key.public)
        self.port: int | None = None  # where it listens, once it does
        self.listening = asyncio.Event()
        self.bans = Bans(disk, clock)
        self._identity = Identity.of(node_key, rng)
        self._genesis = genesis
        self._now = clock.monotonic
        self._rng = rng
        self._links: dict[str, Link] = {}
        self._memory = Memory()
        self._half_open = HalfOpen()
        self._dialler = Dialler(self, config.known, rng)
        self._tasks: asyncio.TaskGroup | None = None
        self._peers: PeerHandler | None = None

    async def run(self, peers: PeerHandler) -> None:
        """Connect, listen and deliver until cancelled.

        Raises: OSError when the port is taken.
        """
        self._peers = peers
        server = None
        if self.config.port is not None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(
                lambda: Wire(self._accept), self.config.host, self.config.port, backlog=BACKLOG
            )
            self.port = server.sockets[0].getsockname()[1]
            log.info("🏷  Listening on /ip4/%s/tcp/%d/p2p/%s", self.config.host, self.port, self.peer_id)
        self.listening.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._dialler.run(), name="dialler")
                await asyncio.Future()
        finally:
            if server is not None:
                server.close()
            for link in list(self._links.values()):
                link.close("this node stops")
            self.bans.save(at_once=True)

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        """Queue a message; False when the peer is gone or its queue is full."""
        link = self._links.get(peer)
        return link is not None and link.send(channel, message)

    def drop(self, peer: str, reason: str) -> None:
        """Disconnect a peer."""
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    def ban(self, peer: str, reason: str) -> bool:
        """Disconnect a peer and keep it and its IP address away for a while."""
        link = self._links.get(peer)
        ip = "" if link is None else link.ip
        seconds = self.bans.add(peer, ip)
        log.info("⛔ Banned %s at %s for %d min: %s", peer, ip or "?", seconds // 60, reason)
        self.drop(peer, reason)
        return True

    def links(self) -> list[LinkFigures]:
        """Return how the connections do."""
        return [link.figures() for link in self._links.values()]

    def is_connected(self, peer: str) -> bool:
        """Say whether there is a connection with a peer."""
        return peer in self._links

    async def connect(self, address: Address) -> None:
        """Dial an address and stay until the connection ends.

        Raises: LinkClosed when there was none, AlreadyConnected when there is one.
        """
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                loop = asyncio.get_running_loop()
                _, wire = await loop.create_connection(Wire, address.host, address.port)
        except (OSError, TimeoutError) as problem:
            why = "nobody answers there" if isinstance(problem, TimeoutError) else str(problem)
            raise LinkClosed(why) from problem
        await self._talk(wire, expected=address.peer, outbound=True)

    def addresses(self) -> list[str]:
        """Return where others can reach this node."""
        if self.port is None:
            return []
        return [str(Address("ip4", self.config.host, self.port, self.peer_id))]

    # Connections.

    def _accept(self, wire: Wire) -> None:
        ip = wire.ip
        if self._tasks is None or not ip or self.bans.has_ip(ip):
            wire.abort()
            return
        self._half_open.add(wire)
        self._tasks.create_task(self._serve(wire), name="inbound connection")

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._talk(wire, expected=None, outbound=False)
        except LinkClosed as ended:
            log.debug("a connection from %s ended: %s", wire.ip, ended)

    async def _talk(self, wire: Wire, *, expected: str | None, outbound: bool) -> None:
        """Greet, then deliver until the connection ends.

        Raises: LinkClosed when the handshake failed.
        """
        try:
            link = await self._greeted(wire, expected=expected, outbound=outbound)
            await self._deliver(link)
        finally:
            wire.abort()

    async def _greeted(self, wire: Wire, *, expected: str | None, outbound: bool) -> Link:
        try:
            greeting = Greeting(self._identity, self._genesis, self._rng, initiator=outbound)
            peer, channel = await greet(wire, greeting)
        finally:
            self._half_open.remove(wire)
        if self.bans.has_peer(peer):
            raise LinkClosed(f"{peer} is banned")
        if not outbound and not self._has_room(peer):
            raise LinkClosed("too many have dialled this node")
        if peer == self.peer_id:
            raise LinkClosed("this node has dialled itself")
        if expected is not None and peer != expected:
            raise LinkClosed(f"{peer} is there instead of {expected}")
        return Link(peer, channel, wire, self._memory, self._now, outbound=outbound, config=self.config.link)

    def _has_room(self, peer: str) -> bool:
        """Say whether one more peer that has dialled this node may stay."""
        if any(address.peer == peer for address in self.config.known):
            return True
        return sum(not link.outbound for link in self._links.values()) < MAX_INBOUND

    async def _deliver(self, link: Link) -> None:
        peers, known = self._peers, self._links.get(link.peer)
        assert peers is not None, "connections come while the transport runs"
        if known is not None:
            if not self._is_kept(link):
                link.close("there is a connection already")
                raise AlreadyConnected(link.reason)
            self._leave(known, peers)
            known.close("another connection took its place")
        self._links[link.peer] = link
        peers.connected(link.peer)
        try:
            await link.run(lambda channel, message: peers.received(link.peer, channel, message))
        except LinkAbused as abuse:
            self.ban(link.peer, str(abuse))
        except LinkClosed as ended:
            log.debug("peer %s is gone: %s", link.peer, ended)
        finally:
            self._leave(link, peers)

    def _is_kept(self, link: Link) -> bool:
        """Say whether a second connection takes the first one's place: both ends decide alike."""
        initiator = self.peer_id if link.outbound else link.peer
        return initiator == min(self.peer_id, link.peer)

    def _leave(self, link: Link, peers: PeerHandler) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            peers.disconnected(link.peer)
