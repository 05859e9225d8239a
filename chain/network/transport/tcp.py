"""Peers over TCP: listens, and keeps one connection to each.

Satisfies chain.env.Transport. dialler.py says whom it dials, admission.py who may come in. When two nodes
dial each other at once, both keep the connection that the one with the lower peer id has made.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from chain.common.errors import PeerArgumentError
from chain.common.faults import PeerFault
from chain.env import Clock, Disk, PeerHandler, Rng
from chain.keys.node import peer_id, public_of
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, AddressError, is_global, parse_address
from chain.network.discovery.book_file import BookKeeper
from chain.network.transport.admission import Admission
from chain.network.transport.bans import Bans
from chain.network.transport.dialler import AlreadyConnected, Dialler, Itself, Met, SomebodyElse, Wishes
from chain.network.transport.half_open import HalfOpen
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.link import Link, LinkClosed, LinkConfig, LinkFigures, greet
from chain.network.transport.memory import Memory
from chain.network.transport.names import Resolve, look_up
from chain.network.transport.reserved import Reserved, TooManyReserved
from chain.network.transport.wire import Wire
from chain.network.transport.work import SHARE, Work

log = logging.getLogger("sub-libp2p")

DIAL_SECONDS = 5.0
"""until somebody must have taken the call"""
BACKLOG = 128
"""connections that wait to be accepted"""
KEEP_SECONDS = 1.0
"""between two looks whether bans and addresses have to be written"""
WILDCARDS = ("0.0.0.0", "::")
"""Hosts that stand for all interfaces of this machine."""


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Where to listen, and whom to dial."""

    host: str = "127.0.0.1"
    port: int | None = 30_333  # None: do not listen; 0: any free port
    known: tuple[Address, ...] = ()  # the bootnodes: dialled while there are free places
    reserved: tuple[Address, ...] = ()  # each with a peer id; dialled until they answer, and never banned
    reserved_only: bool = False
    out_peers: int = 8  # connections this node makes, beside those with reserved peers
    in_peers: int = 64  # connections of others, beside those with reserved peers and bootnodes
    public: tuple[Address, ...] = ()  # where others are told to find this node
    allow_private: bool = True  # whether addresses outside the internet are dialled and passed on
    link: LinkConfig = field(default_factory=LinkConfig)
    strangers_share: float = SHARE  # of this node's time


@dataclass(slots=True)
class Counters:
    """Connections since the start."""

    incoming: int = 0  # somebody has dialled this node
    outgoing: int = 0  # this node has dialled, and somebody took the call
    refused: int = 0  # of those that came in: banned, too many, or no handshake


class TcpTransport:
    """The connections of one node."""

    def __init__(
        self,
        config: TcpConfig,
        node_key: Keypair,
        genesis: bytes,
        rng: Rng,
        clock: Clock,
        disk: Disk,
        resolve: Resolve = look_up,
    ) -> None:
        self.config = config
        self.peer_id = peer_id(node_key.public)
        self.port: int | None = None  # where it listens, once it does
        self.listening = asyncio.Event()
        self.counters = Counters()
        self.bans = Bans(disk, clock)
        self.reserved = Reserved(config.reserved, only=config.reserved_only)
        self._keeper = BookKeeper(disk, rng, clock)
        self.book = self._keeper.book
        self._clock = clock
        self._identity = Identity.of(node_key, rng)
        self._genesis = genesis
        self._rng = rng
        self._links: dict[str, Link] = {}
        self._memory = Memory()
        self._work = Work(clock.monotonic, config.strangers_share)
        self._half_open = HalfOpen(clock.monotonic, rng)
        named = frozenset(address.peer for address in config.known)
        self._admission = Admission(
            self.reserved,
            named,
            self.bans,
            self._links.values,
            rng,
            in_peers=config.in_peers,
            allow_private=config.allow_private,
        )
        wishes = Wishes(config.known, config.out_peers, config.allow_private)
        self.dialler = Dialler(self, wishes, self.reserved, self.book, self.bans, resolve, clock, rng)
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
            if self.config.host in WILDCARDS and not self.config.public and not self.config.allow_private:
                log.info(
                    "🌍 Others are told of this node once it is reached at an address on the internet; "
                    "behind a NAT or a proxy it needs --public-addr"
                )
        self.listening.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self.dialler.run(), name="dialler")
                while True:
                    await self._clock.sleep(KEEP_SECONDS)
                    self.bans.save()
                    self._keeper.save()
        finally:
            if server is not None:
                server.close()
            for link in list(self._links.values()):
                link.close("this node stops")
            self.bans.save(at_once=True)
            self._keeper.save(at_once=True)

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        """Queue a message; False when the peer is gone or its queue is full."""
        link = self._links.get(peer)
        return link is not None and link.send(channel, message)

    def thank(self, peer: str) -> None:
        """Note that a peer was of use."""
        link = self._links.get(peer)
        if link is not None:
            link.thanked = self._clock.monotonic()

    def waiting(self, peer: str) -> int:
        """Return how many bytes a peer has yet to take; 0 where it is gone."""
        link = self._links.get(peer)
        return 0 if link is None else link.queued

    def drop(self, peer: str, reason: str) -> None:
        """Disconnect a peer."""
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    def ban(self, peer: str, reason: str) -> bool:
        """Disconnect a peer and keep it away for a while, as its IP address; a reserved one may come back."""
        link = self._links.get(peer)
        ip = "" if link is None else link.ip
        is_reserved = peer in self.reserved
        if is_reserved:
            log.warning("❗ Reserved peer %s at %s: %s; it is dropped, not banned", peer, ip or "?", reason)
        else:
            seconds = self.bans.add(peer, ip)
            log.warning(
                "⛔ Banned %s at %s for %d min: %s; a peer you trust comes back with system_addReservedPeer",
                peer, ip or "?", seconds // 60, reason,
            )  # fmt: skip
        self.drop(peer, reason)
        return not is_reserved

    def links(self) -> list[LinkFigures]:
        """Return how the connections do."""
        return [link.figures() for link in self._links.values()]

    def is_connected(self, peer: str) -> bool:
        """Say whether there is a connection with a peer."""
        return peer in self._links

    def count(self) -> int:
        """Return how many peers are connected."""
        return len(self._links)

    def ip_of(self, peer: str) -> str:
        """Return the IP address of a connected peer, empty where it is gone."""
        link = self._links.get(peer)
        return "" if link is None else link.ip

    async def connect(self, address: Address, met: Met) -> None:
        """Dial an IP address and stay until the connection ends.

        Raises: LinkClosed when there was none; AlreadyConnected, SomebodyElse, Itself.
        """
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                loop = asyncio.get_running_loop()
                _, wire = await loop.create_connection(Wire, address.host, address.port)
        except (OSError, TimeoutError) as problem:
            why = "nobody answers there" if isinstance(problem, TimeoutError) else str(problem)
            raise LinkClosed(why) from problem
        self.counters.outgoing += 1
        await self._talk(wire, expected=address.peer, met=met)

    def addresses(self) -> list[str]:
        """Return where others can reach this node: what the operator has made known, and where it listens."""
        found = [*self._public(), *(self._local() or self._listening())]
        return [str(address) for address in dict.fromkeys(found)]

    def announced(self) -> list[Address]:
        """Return where other nodes are told to find this one; nothing where it has to stay unknown."""
        if self.reserved.only:
            return []
        allow_private = self.config.allow_private
        local = [each for each in self._local() if allow_private or is_global(each.host)]
        return list(dict.fromkeys([*self._public(), *local]))

    def _public(self) -> list[Address]:
        return [address.of(self.peer_id) for address in self.config.public]

    def _listening(self) -> list[Address]:
        if self.port is None:
            return []
        return [Address("ip4", self.config.host, self.port, self.peer_id).at(self.config.host)]

    def _local(self) -> list[Address]:
        """Return where this node listens; for all interfaces, those by which peers are connected."""
        found = self._listening()
        if self.config.host not in WILDCARDS:
            return found
        ips = {link.local_ip: None for link in self._links.values()}
        return [address.at(ip) for address in found for ip in ips if ip]

    # What the operator asks for while the node runs.

    def reserved_peers(self) -> list[str]:
        """Return who is reserved."""
        return self.reserved.peers()

    def reserve(self, text: str) -> None:
        """Be connected with a peer from now on, whatever it has done; its address names it.

        Raises: PeerArgumentError.
        """
        try:
            address = parse_address(text)
            peer = address.peer
            if peer is None or peer == self.peer_id:
                what = "has to end in /p2p/ and a peer id" if peer is None else "is this node itself"
                raise PeerArgumentError(f"{text[:80]!r} {what}: no reserved peer is added")
            self.reserved.add(address)
        except (AddressError, TooManyReserved) as problem:
            raise PeerArgumentError(str(problem)) from problem
        self.bans.pardon(peer)
        if peer in self._links:
            self._links[peer].trust()
        log.info("🔗 %s is reserved from now on, at %s", peer, address)

    def release(self, peer: str) -> None:
        """Reserve a peer no more; with --reserved-only that ends the connection.

        Raises: PeerArgumentError.
        """
        if public_of(peer) is None:
            raise PeerArgumentError(f"{peer[:80]!r} is no peer id: it looks like 12D3KooW…")
        if self.reserved.remove(peer):
            log.info("🔗 %s is reserved no more", peer)
            if self.reserved.only:
                self.drop(peer, "it is reserved no more")

    # Connections.

    def _accept(self, wire: Wire) -> None:
        self.counters.incoming += 1
        may_knock = bool(wire.ip) and self._admission.may_knock(wire.ip)
        if self._tasks is None or not may_knock or not self._half_open.add(wire):
            self.counters.refused += 1
            wire.abort()
            return
        self._tasks.create_task(self._serve(wire), name="inbound connection")

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._talk(wire)
        except LinkClosed as ended:
            self.counters.refused += not isinstance(ended, AlreadyConnected)
            log.debug("a connection from %s ended: %s", wire.ip, ended)

    async def _talk(self, wire: Wire, *, expected: str | None = None, met: Met | None = None) -> None:
        """Greet, then deliver until the connection ends; who dialled is told whom it has met.

        Raises: LinkClosed when the handshake failed.
        """
        try:
            link = await self._greeted(wire, expected=expected, outbound=met is not None)
            await self._deliver(link, met)
        finally:
            wire.abort()

    async def _greeted(self, wire: Wire, *, expected: str | None, outbound: bool) -> Link:
        try:
            greeting = Greeting(self._identity, self._genesis, self._rng, initiator=outbound)
            peer, channel = await greet(wire, greeting)
        finally:
            self._half_open.remove(wire)
        if peer == self.peer_id:
            raise Itself("this node has dialled itself")
        if expected is not None and peer != expected:
            raise SomebodyElse(f"{peer} is there instead of {expected}")
        flaw = self._admission.flaw(peer, wire.ip, outbound=outbound)
        if flaw:
            raise LinkClosed(flaw)
        displaced = None if outbound else self._admission.displaced(peer, wire.ip)
        if displaced is not None:
            displaced.close("a peer from elsewhere takes its place")
            if self._peers is not None:  # now, not in a later turn: nobody else is to take the same place
                self._leave(displaced, self._peers)
        now, config = self._clock.monotonic, self.config.link
        work = self._work if self._admission.is_stranger(peer, outbound=outbound) else None
        return Link(peer, channel, wire, self._memory, now, outbound=outbound, config=config, work=work)

    async def _deliver(self, link: Link, met: Met | None) -> None:
        peers, known = self._peers, self._links.get(link.peer)
        assert peers is not None, "connections come while the transport runs"
        if known is not None:
            if not self._is_kept(link, known):
                link.close("there is a connection already")
                raise AlreadyConnected(link.reason)
            self._leave(known, peers)
            known.close("another connection took its place")
        self._links[link.peer] = link
        if met is not None:
            met(link.peer, link.ip)
        peers.connected(link.peer)
        try:
            await link.run(lambda channel, message: peers.received(link.peer, channel, message))
        except PeerFault as fault:
            self.ban(link.peer, f"{fault}. What to do: {fault.reason.advice}")
        except LinkClosed as ended:
            log.debug("peer %s is gone: %s", link.peer, ended)
        finally:
            self._leave(link, peers)

    def _is_kept(self, link: Link, known: Link) -> bool:
        """Say whether a second connection takes the first one's place: both ends decide alike.

        Who has dialled twice knows that the first one is lost, maybe before this node does.
        """
        if link.outbound == known.outbound:
            return not link.outbound
        initiator = self.peer_id if link.outbound else link.peer
        return initiator == min(self.peer_id, link.peer)

    def _leave(self, link: Link, peers: PeerHandler) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            peers.disconnected(link.peer)
