"""Whom this node dials, and when.

reserved     always, again within seconds
lost         who was connected and is gone: again within seconds, for ten minutes
bootnodes    while there are free places
the book     one address after the other, while there are free places; one per group of addresses
feelers      now and then one address more, just to see who is there: it makes room for nobody

Everything but the book waits twice as long after each failure. A connection counts once the peer has said
where it stands (`welcomed`): whoever hangs up before that is not there for us.
"""

import asyncio
import enum
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from chain.env import Clock, Rng
from chain.network.discovery.addresses import Address, group_of, is_global
from chain.network.discovery.addrman import JUST_TRIED_MS, AddressBook, Entry
from chain.network.transport.bans import Bans
from chain.network.transport.link import LinkClosed
from chain.network.transport.names import Resolve
from chain.network.transport.reserved import Reserved

log = logging.getLogger("sub-libp2p")

STEP = 0.5
"""seconds between two looks for somebody to dial"""
FIRST_RETRY = 1.0
SOON = 4.0
LAST_RETRY = 60.0
"""seconds until somebody that was not there is dialled again: first, at most where it matters, and at most"""
LOST_SECONDS = 600.0
"""for which somebody that is gone is looked for"""
MAX_DIALLING = 4
"""addresses of the book that are dialled at once"""
LOOK_SECONDS = 2.0
"""after the book had nobody to dial, until it is asked again"""
LEFT_SECONDS = 600.0
"""for which somebody that was of no use is not dialled again, as long as anybody else is connected"""
MAX_LOST = 32
FEELER_SECONDS = 120.0
"""between two feelers, on average"""
FEELER_PATIENCE = 20.0
"""seconds a feeler may last"""
CROWD_SECONDS = 20.0
"""without anybody of another group to dial, after which one more of a group may be dialled"""
_SPREAD = 256


class AlreadyConnected(LinkClosed):
    """The peer at the other end is connected with this node: nothing is missing."""


class SomebodyElse(LinkClosed):
    """At the address is not who was said to be there."""


class Itself(SomebodyElse):
    """At the address is this node."""


Met = Callable[[str, str], None]
"""Told of a connection at once: the peer and its IP address."""


class Connections(Protocol):
    """Where connections are made and kept."""

    @property
    def peer_id(self) -> str:
        """This node's name among peers."""
        ...

    def is_connected(self, peer: str) -> bool:
        """Say whether there is a connection with a peer."""
        ...

    def count(self) -> int:
        """Return how many peers are connected."""
        ...

    def drop(self, peer: str, reason: str) -> None:
        """Disconnect a peer."""
        ...

    async def connect(self, address: Address, met: Met) -> None:
        """Dial an IP address and stay until the connection ends.

        Raises: LinkClosed when there was none; AlreadyConnected, SomebodyElse, Itself.
        """
        ...


class Kind(enum.Enum):
    """Why somebody is dialled."""

    RESERVED = enum.auto()
    BOOTNODE = enum.auto()
    LOST = enum.auto()
    FOUND = enum.auto()
    FEELER = enum.auto()


_NAMED = (Kind.RESERVED, Kind.BOOTNODE)
_APART = (Kind.RESERVED, Kind.FEELER)
"""They take no place of the others."""


@dataclass(slots=True, eq=False)
class Target:
    """Somebody to be connected with; times are of the clock that never runs backwards."""

    kind: Kind
    addresses: tuple[Address, ...]
    since: float
    due: float = 0.0
    wait: float = 0.0  # seconds, after the next failure; 0 at first
    failures: int = 0
    told: str = ""  # the last problem in the log
    peer: str | None = None
    ip: str = ""  # of the connection
    is_welcome: bool = False

    def reset(self) -> None:
        """Begin anew: all is well."""
        self.wait, self.failures, self.told = 0.0, 0, ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator wants."""

    bootnodes: tuple[Address, ...] = ()
    out_peers: int = 8
    allow_private: bool = False


@dataclass(slots=True)
class DialCounters:
    """What has been done since the start."""

    dialled: int = 0
    failed: int = 0
    feelers: int = 0


@dataclass(slots=True)
class _Busy:
    """Who is being dialled or is connected that way."""

    targets: dict[Target, None] = field(default_factory=dict)

    def taken(self) -> int:
        """Return how many of the outbound places are taken."""
        return sum(target.kind not in _APART for target in self.targets)

    def peers(self) -> set[str | None]:
        """Return whom a target stands for."""
        return {target.peer for target in self.targets}

    def groups(self) -> Counter[str]:
        """Return how many are dialled of each group of addresses."""
        hosts = (target.ip or target.addresses[0].host for target in self.targets)
        return Counter(group_of(host) for host in hosts)


class Dialler:
    """Dials until there are enough connections."""

    def __init__(
        self,
        connections: Connections,
        wishes: Wishes,
        reserved: Reserved,
        book: AddressBook,
        bans: Bans,
        resolve: Resolve,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self.counters = DialCounters()
        self._connections = connections
        self._wishes = wishes
        self._reserved = reserved
        self._book = book
        self._bans = bans
        self._resolve = resolve
        self._clock = clock
        self._rng = rng
        self._busy = _Busy()
        self._targets: dict[str, Target] = {}  # the reserved ones
        self._bootnodes = _targets(Kind.BOOTNODE, wishes.bootnodes, connections.peer_id)
        self._lost: list[Target] = []
        self._left: dict[str, float] = {}  # until when they are dialled only for want of anybody else
        self._fed = self._felt = clock.monotonic()
        self._looked = self._fed - LOOK_SECONDS
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Dial until cancelled."""
        self._fed = self._felt = self._clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                self._step()
                await self._clock.sleep(STEP)

    def is_hungry(self) -> bool:
        """Say whether there are places and nobody to dial."""
        return self._places() > 0 and not self._reserved.only

    def welcomed(self, peer: str) -> None:
        """Note that a connected peer has said where it stands: the dialled address is good."""
        for target in [each for each in self._busy.targets if each.peer == peer and each.ip]:
            target.is_welcome = True
            target.reset()
            if target.kind is not Kind.RESERVED:
                self._keep(target)
            if target.kind is Kind.FEELER:
                self._connections.drop(peer, "it was only asked whether it is there")

    def replace(self, peer: str) -> bool:
        """Leave a peer that this node has dialled, for another one; False where it stays."""
        is_dialled = any(each.peer == peer and each.is_welcome for each in self._busy.targets)
        if peer in self._reserved or not is_dialled:
            return False
        log.info("🔁 Leaving %s for another peer: it was asked for minutes, and gave nothing good", peer)
        now = self._clock.monotonic()
        self._left = {each: until for each, until in self._left.items() if until > now}
        self._left[peer] = now + LEFT_SECONDS
        self._connections.drop(peer, "another peer may be of more use")
        return True

    # Whom to dial.

    def _step(self) -> None:
        now = self._clock.monotonic()
        for target in self._reserved_targets(now):
            self._start_if_due(target, now)
        if self._reserved.only:
            return
        self._lost = [each for each in self._lost if now - each.since < LOST_SECONDS][-MAX_LOST:]
        for target in (*self._lost, *self._bootnodes):
            if self._places() > 0:
                self._start_if_due(target, now)
        if self._places() > 0:
            self._dial_found(now)
        elif now >= self._felt:
            self._felt = now + FEELER_SECONDS * (0.5 + self._chance())
            self._feel(now)

    def _places(self) -> int:
        return self._wishes.out_peers - self._busy.taken()

    def _reserved_targets(self, now: float) -> list[Target]:
        """Return a target for every reserved peer, with the addresses it has now."""
        targets = {}
        for peer in self._reserved.peers():
            if peer != self._connections.peer_id:
                known = self._targets.get(peer) or Target(Kind.RESERVED, (), now, peer=peer)
                known.addresses = self._reserved.addresses(peer)
                targets[peer] = known
        self._targets = targets
        return list(targets.values())

    def _start_if_due(self, target: Target, now: float) -> None:
        if target in self._busy.targets or now < target.due or not target.addresses:
            return
        if target.kind is not Kind.RESERVED and self._avoids(target.peer or ""):
            return
        if target.peer is not None and self._connections.is_connected(target.peer):
            target.reset()
        elif target.peer is None or target.peer not in self._busy.peers():
            self._start(target)

    def _dial_found(self, now: float) -> None:
        """Dial an address of the book, one of a group that has none yet; later more if there is no other."""
        dialling = [each for each in self._busy.targets if each.kind is Kind.FOUND and not each.ip]
        if len(dialling) >= MAX_DIALLING or now < self._looked + LOOK_SECONDS:
            return
        crowd = min(1 + int((now - self._fed) / CROWD_SECONDS), max(1, self._wishes.out_peers // 2))
        groups = self._busy.groups()

        def wanted(entry: Entry) -> bool:
            host = entry.address.host
            return self._is_wanted(entry) and (_is_near(entry.address) or groups[group_of(host)] < crowd)

        entry = self._book.pick(wanted, self._clock.wall_ms())
        if entry is None:
            self._looked = now
        else:
            self._fed = now
            self._start(Target(Kind.FOUND, (entry.address,), now, peer=entry.address.peer))

    def _feel(self, now: float) -> None:
        """See who is at an address of the book: one whose place another wants, or one never tried."""
        address = self._book.rival()
        if address is None:
            entry = self._book.pick(self._is_wanted, self._clock.wall_ms(), only_new=True)
            address = None if entry is None else entry.address
        if address is None or self._connections.is_connected(address.peer or ""):
            return
        self.counters.feelers += 1
        self._start(Target(Kind.FEELER, (address,), now, peer=address.peer))

    def _is_wanted(self, entry: Entry) -> bool:
        address, peer = entry.address, entry.address.peer
        if peer is None or peer == self._connections.peer_id or peer in self._reserved:
            return False
        if self._connections.is_connected(peer) or peer in self._busy.peers() or self._avoids(peer):
            return False
        if entry.last_try > max(entry.last_success, self._clock.wall_ms() - JUST_TRIED_MS):
            return False
        return address.is_name or self._may_dial(address.host)

    def _avoids(self, peer: str) -> bool:
        """Say whether a peer is not to be dialled now: banned, or left for others while there are any."""
        is_left = self._left.get(peer, 0.0) > self._clock.monotonic() and self._connections.count() > 0
        return is_left or self._bans.has_peer(peer)

    def _may_dial(self, ip: str) -> bool:
        """Say whether an IP address that nobody here has named may be dialled."""
        return self._wishes.allow_private or is_global(ip)

    # Dialling.

    def _start(self, target: Target) -> None:
        assert self._tasks is not None, "targets are dialled while this runs"
        self._busy.targets[target] = None
        self._tasks.create_task(self._dial(target), name=f"dial {target.addresses[0]}")

    async def _dial(self, target: Target) -> None:
        target.is_welcome, target.ip = False, ""
        try:
            problem = await self._reach(target)
        finally:
            del self._busy.targets[target]
        now = self._clock.monotonic()
        if target.is_welcome:
            self._end(target, now)
        elif problem is None:
            target.reset()
            target.due = now + self._pause(target)
        else:
            self._fail(target, problem, now)

    async def _reach(self, target: Target) -> str | None:
        """Try the addresses of a target until a connection has ended; return why there was none."""
        problem: str | None = "its name leads to no address that may be dialled"
        for named in _rotated(target.addresses, target.failures):
            for address in _rotated(tuple(await self._resolve(named)), target.failures):
                if target.kind not in _NAMED and not self._may_dial(address.host):
                    continue
                problem = await self._connect(target, named, address)
                if target.ip or problem is None:
                    return problem
        return problem

    async def _connect(self, target: Target, named: Address, address: Address) -> str | None:
        """Dial one address and stay; return why there was no connection, None where none is missing."""
        self.counters.dialled += 1
        self._book.attempted(named, self._clock.wall_ms())

        def met(peer: str, ip: str) -> None:
            target.peer, target.ip = peer, ip

        lasting = FEELER_PATIENCE if target.kind is Kind.FEELER else None
        try:
            async with asyncio.timeout(lasting):
                await self._connections.connect(address, met)
        except AlreadyConnected:
            return None
        except SomebodyElse as problem:
            self._book.bad(named)
            if isinstance(problem, Itself):
                target.addresses = tuple(each for each in target.addresses if each != named)
            return str(problem)
        except (LinkClosed, TimeoutError) as problem:
            self._book.failed(named)
            return str(problem) or "it says nothing"
        return "it hung up at once: it has no room, or wants no connection with this node"

    def _keep(self, target: Target) -> None:
        """Note the address at which a peer was found."""
        known = [each for each in target.addresses if each.peer == target.peer]
        if known:
            self._book.good(known[0], group_of(target.ip), self._clock.wall_ms())

    def _end(self, target: Target, now: float) -> None:
        """Look for a peer that was connected again, soon."""
        target.due = now + self._pause(target)
        if target.kind in (Kind.FOUND, Kind.LOST):
            target.kind, target.since = Kind.LOST, now
            self._lost = [*(each for each in self._lost if each.peer != target.peer), target]

    def _fail(self, target: Target, problem: str, now: float) -> None:
        """Wait before the next attempt; say once why it is needed."""
        self.counters.failed += 1
        target.failures += 1
        target.due = now + self._pause(target)
        if target.kind in _NAMED and target.failures > 1 and target.told != problem:
            target.told = problem
            where = " or ".join(str(each) for each in target.addresses)
            log.warning("📵 No connection to %s: %s; it is dialled until there is one", where, problem)

    def _pause(self, target: Target) -> float:
        """Return how long to wait before the next attempt, seconds; twice as long the time after."""
        last = LAST_RETRY
        if target.kind in (Kind.RESERVED, Kind.LOST) or not self._connections.count():
            last = SOON
        target.wait = min(max(FIRST_RETRY, target.wait * 2), last)
        return target.wait * (0.75 + self._chance() / 2)

    def _chance(self) -> float:
        """Return a number from 0 to 1."""
        return self._rng.token(1)[0] / _SPREAD


def _targets(kind: Kind, addresses: Iterable[Address], own: str) -> list[Target]:
    return [
        Target(kind, (address,), 0.0, peer=address.peer)
        for address in dict.fromkeys(addresses)
        if address.peer != own
    ]


def _rotated(addresses: tuple[Address, ...], turns: int) -> tuple[Address, ...]:
    """Return addresses, another one first after each failure."""
    at = turns % len(addresses) if addresses else 0
    return addresses[at:] + addresses[:at]


def _is_near(address: Address) -> bool:
    """Say whether an address is on this machine or site, where groups say nothing."""
    return not address.is_name and not is_global(address.host)
