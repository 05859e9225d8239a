import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from chain.keys.node import peer_id
from chain.network.discovery.addresses import Address, group_of, parse_address
from chain.network.discovery.addrman import PROVEN_MS, AddressBook
from chain.network.transport.bans import FIRST_BAN, Bans
from chain.network.transport.dialler import (
    CROWD_SECONDS,
    FEELER_SECONDS,
    FIRST_RETRY,
    LAST_RETRY,
    LEFT_SECONDS,
    LOST_SECONDS,
    SOON,
    STEP,
    AlreadyConnected,
    Dialler,
    Itself,
    Met,
    SomebodyElse,
    Wishes,
)
from chain.network.transport.link import LinkClosed
from chain.network.transport.names import look_up
from chain.network.transport.reserved import Reserved
from tests.sim.env import EPOCH_MS, Files, Life, SimClock, SimDisk, SimRng
from tests.sim.loop import VirtualLoop

OWN = peer_id(bytes(32))


def place(number: int, group: int | None = None) -> Address:
    """Return where a peer listens, in a group of its own unless it is named."""
    at = number if group is None else group
    return Address(
        "ip4", f"20.{at}.{number // 250}.{number % 250 + 1}", 30_333, peer_id(bytes([1, number]) * 16)
    )


@dataclass
class World:
    """Who listens where, who is connected with the node that dials, and when it has dialled whom."""

    there: dict[tuple[str, int], str] = field(default_factory=dict)
    connected: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    dialled: list[tuple[float, Address]] = field(default_factory=list)
    rude: set[str] = field(default_factory=set)  # they hang up at once
    names: dict[str, list[str]] = field(default_factory=dict)
    peer_id: str = OWN
    dialler: Dialler | None = None
    book: AddressBook = field(default_factory=lambda: AddressBook(SimRng(random.Random(1))))
    bans: Bans | None = None
    reserved: Reserved = field(default_factory=Reserved)

    def settle(self, addresses: Iterable[Address]) -> None:
        """Have peers listen at their addresses."""
        for address in addresses:
            self.there[address.host, address.port] = address.peer or ""

    def tell(self, addresses: Iterable[Address]) -> None:
        """Put addresses into the book."""
        now = EPOCH_MS
        for number, address in enumerate(addresses):
            self.book.add(address, f"{number}.0.0.0/16", now, now)

    def is_connected(self, peer: str) -> bool:
        return peer in self.connected

    def count(self) -> int:
        return len(self.connected)

    def drop(self, peer: str, reason: str) -> None:
        if peer in self.connected:
            self.connected[peer].cancel()

    def cut(self, *peers: str) -> None:
        """End connections; nobody is to blame."""
        for peer in peers:
            self.drop(peer, "cut")

    async def connect(self, address: Address, met: Met) -> None:
        loop = asyncio.get_running_loop()
        self.dialled.append((loop.time(), address))
        await asyncio.sleep(0.05)
        peer = self.there.get((address.host, address.port))
        if peer is None:
            raise LinkClosed("Connect call failed")
        if peer == OWN:
            raise Itself("this node has dialled itself")
        if address.peer not in (None, peer):
            raise SomebodyElse(f"{peer} is there instead of {address.peer}")
        if peer in self.connected:
            raise AlreadyConnected("there is a connection already")
        if peer in self.rude:
            met(peer, address.host)
            return
        self.connected[peer] = loop.create_future()
        met(peer, address.host)
        assert self.dialler is not None
        loop.call_soon(self.dialler.welcomed, peer)
        try:
            await self.connected[peer]
        except asyncio.CancelledError:
            if not self.connected[peer].cancelled():
                raise
        finally:
            del self.connected[peer]

    async def resolve(self, address: Address) -> list[Address]:
        if not address.is_name:
            return [address]
        return [address.at(ip) for ip in self.names.get(address.host, [])]

    def times(self, address: Address) -> list[float]:
        """Return when an address was dialled."""
        return [at for at, each in self.dialled if each == address]


def play(world: World, script: Callable[[], Awaitable[None]], wishes: Wishes | None = None) -> None:
    """Have a node dial in a world, in virtual time, while a script goes on."""
    loop = VirtualLoop()

    async def main() -> None:
        clock = SimClock(random.Random(2))
        world.bans = Bans(SimDisk(Files(), Life()), clock)
        world.dialler = Dialler(
            world,
            wishes or Wishes(),
            world.reserved,
            world.book,
            world.bans,
            world.resolve,
            clock,
            SimRng(random.Random(3)),
        )
        task = asyncio.get_running_loop().create_task(world.dialler.run())
        await script()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loop.run(main())


def groups_of(world: World) -> list[str]:
    hosts = {peer: host for (host, _), peer in world.there.items()}
    return sorted(group_of(hosts[peer]) for peer in world.connected)


# The book.


def test_eight_are_found_in_the_book_each_of_another_group() -> None:
    world, known = World(), [place(number, number % 12) for number in range(60)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(15)
        assert len(world.connected) == 8
        assert len(set(groups_of(world))) == 8
        await asyncio.sleep(60)
        assert len(world.connected) == 8

    play(world, script)


def test_where_there_is_one_group_only_half_of_the_places_go_to_it_in_time() -> None:
    world, known = World(), [place(number, 1) for number in range(20)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(CROWD_SECONDS / 2)
        assert len(world.connected) == 1
        await asyncio.sleep(20 * CROWD_SECONDS)
        assert len(world.connected) == 4

    play(world, script)


def test_on_this_machine_and_site_groups_say_nothing() -> None:
    world = World()
    known = [
        Address("ip4", host, 30_000 + number, peer_id(bytes([1, number]) * 16))
        for number, host in enumerate(["127.0.0.1", "10.0.0.1"] * 3)
    ]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(20)
        assert len(world.connected) == 6

    play(world, script, Wishes(allow_private=True))
    world.connected.clear()
    world.dialled.clear()

    async def nobody() -> None:
        await asyncio.sleep(20)
        assert world.dialled == []

    play(world, nobody)


def test_who_is_left_for_another_is_dialled_again_only_for_want_of_anybody() -> None:
    world, known = World(), [place(number) for number in range(4)]
    world.settle(known)
    world.tell(known[:3])
    reserved = known[3]
    world.reserved.add(reserved)

    async def script() -> None:
        assert world.dialler is not None
        await asyncio.sleep(10)
        assert reserved.peer in world.connected
        assert not world.dialler.replace(reserved.peer or "")
        first = next(each for each in known[:3] if each.peer in world.connected)
        assert world.dialler.replace(first.peer or "")
        await asyncio.sleep(LEFT_SECONDS / 2)
        assert not world.dialler.replace(first.peer or "")  # it is gone
        assert len(world.connected) == 2
        assert len(world.times(first)) == 1
        others = [each for each in known if each != first]
        for each in others:
            del world.there[each.host, each.port]
        world.cut(*(each.peer or "" for each in others))
        await asyncio.sleep(LEFT_SECONDS / 4)
        assert list(world.connected) == [first.peer]

    play(world, script, Wishes(out_peers=1))


def test_who_is_banned_own_or_reserved_is_not_taken_from_the_book_but_a_neighbour_of_theirs_is() -> None:
    world, known = World(), [place(number) for number in range(3)]
    own = Address("ip4", "20.9.9.9", 30_333, OWN)
    world.settle([*known, own])
    world.tell([*known, own])
    world.reserved.add(Address("ip4", "20.200.0.1", 1, known[0].peer))

    async def script() -> None:
        assert world.bans is not None
        world.bans.add(known[1].peer or "", "")
        world.bans.add("somebody else", known[2].host)
        await asyncio.sleep(20)
        at_home = world.reserved.addresses(known[0].peer or "")
        assert {address for _, address in world.dialled} == {*at_home, known[2]}

    play(world, script)


def test_who_is_banned_while_it_is_connected_is_not_dialled_again() -> None:
    world, known = World(), [place(1), place(2)]
    world.settle(known)
    world.tell(known[:1])

    async def script() -> None:
        assert world.bans is not None
        await asyncio.sleep(10)
        assert len(world.connected) == 2
        for address in known:
            world.bans.add(address.peer or "", "")
            world.cut(address.peer or "")
        await asyncio.sleep(FIRST_BAN - 20)
        assert [len(world.times(address)) for address in known] == [1, 1]
        await asyncio.sleep(60)
        assert len(world.connected) >= 1

    play(world, script, Wishes(bootnodes=(known[1],)))


def test_an_address_where_somebody_else_is_is_forgotten() -> None:
    world, lie = World(), place(1)
    world.there[lie.host, lie.port] = peer_id(bytes([9]) * 32)
    world.tell([lie])

    async def script() -> None:
        await asyncio.sleep(20)
        assert len(world.times(lie)) == 1
        assert world.book.entry(lie) is None

    play(world, script)


def test_who_hangs_up_at_once_is_not_found() -> None:
    world, rude = World(), place(1)
    world.settle([rude])
    world.rude.add(rude.peer or "")
    world.tell([rude])

    async def script() -> None:
        await asyncio.sleep(120)
        entry = world.book.entry(rude)
        assert entry is not None
        assert not entry.is_tried
        assert len(world.times(rude)) <= 3

    play(world, script)


# Those that were named.


def test_reserved_peers_are_dialled_beside_all_places_and_again_soon() -> None:
    world, known, friends = World(), [place(number) for number in range(20)], [place(100), place(101)]
    world.settle([*known, *friends])
    world.tell(known)
    for friend in friends:
        world.reserved.add(friend)
    peers = {friend.peer or "" for friend in friends}

    async def script() -> None:
        await asyncio.sleep(STEP)
        assert peers <= set(world.connected)
        await asyncio.sleep(20)
        assert len(world.connected) == 10
        world.cut(*peers)
        await asyncio.sleep(FIRST_RETRY * 1.25 + 2 * STEP)
        assert peers <= set(world.connected)

    play(world, script)


def test_a_reserved_peer_that_was_away_for_an_hour_is_back_within_seconds() -> None:
    world, friend = World(), place(100)
    world.reserved.add(friend)

    async def script() -> None:
        await asyncio.sleep(3600)
        world.settle([friend])
        await asyncio.sleep(SOON * 1.25 + 2 * STEP)
        assert list(world.connected) == [friend.peer]

    play(world, script)


def test_reserved_peers_come_and_go_while_the_node_runs() -> None:
    world, friend = World(), place(100)
    world.settle([friend])

    async def script() -> None:
        await asyncio.sleep(5)
        world.reserved.add(friend)
        await asyncio.sleep(2)
        assert list(world.connected) == [friend.peer]
        world.reserved.remove(friend.peer or "")
        world.cut(friend.peer or "")
        await asyncio.sleep(60)
        assert len(world.times(friend)) == 1

    play(world, script)


def test_with_reserved_only_nobody_else_is_dialled() -> None:
    world, friend, bootnode = World(reserved=Reserved(only=True)), place(100), place(101)
    world.settle([friend, bootnode, place(1)])
    world.tell([place(1)])
    world.reserved.add(friend)

    async def script() -> None:
        assert world.dialler is not None
        await asyncio.sleep(300)
        assert world.dialled == [(world.dialled[0][0], friend)]
        assert not world.dialler.is_hungry()

    play(world, script, Wishes(bootnodes=(bootnode,)))


def test_a_bootnode_that_is_away_is_dialled_ever_less_often_but_soon_while_there_is_nobody() -> None:
    world, bootnode, friend = World(), place(100), place(101)

    async def script() -> None:
        await asyncio.sleep(100)
        alone = world.times(bootnode)
        pauses = [later - earlier for earlier, later in pairwise(alone[3:])]
        assert max(pauses) <= SOON * 1.25 + 2 * STEP
        world.settle([friend])
        world.reserved.add(friend)
        await asyncio.sleep(1_000)
        last = world.times(bootnode)[-3:]
        assert LAST_RETRY * 0.75 <= last[1] - last[0] <= LAST_RETRY * 1.25 + 2 * STEP

    play(world, script, Wishes(bootnodes=(bootnode,)))


def test_bootnodes_take_no_place_once_there_are_enough_others() -> None:
    world, known, bootnode = World(), [place(number) for number in range(20)], place(100)
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(30)
        world.dialled.clear()
        world.settle([bootnode])
        await asyncio.sleep(120)
        assert world.times(bootnode) == []
        assert len(world.connected) == 8

    play(world, script, Wishes(bootnodes=(bootnode,)))


def test_an_operator_is_told_once_why_a_named_node_is_away(caplog: pytest.LogCaptureFixture) -> None:
    world, bootnode = World(), place(100)

    async def script() -> None:
        await asyncio.sleep(600)

    play(world, script, Wishes(bootnodes=(bootnode,)))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"📵 No connection to {bootnode}: Connect call failed; it is dialled until there is one"
    ]


def test_an_operator_is_told_every_address_of_a_reserved_peer_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, first = World(), place(100)
    second = Address("ip4", "20.9.9.9", 30_333, first.peer)
    world.reserved.add(first)
    world.reserved.add(second)

    async def script() -> None:
        await asyncio.sleep(600)

    play(world, script)
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert {str(first), str(second)} == set(
        said.split(": ")[0].removeprefix("📵 No connection to ").split(" or ")
    )


# Those that are lost.


def test_who_was_cut_off_is_dialled_again_within_seconds_of_the_healing() -> None:
    world, known = World(), [place(number) for number in range(8)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(20)
        assert len(world.connected) == 8
        there, world.there = world.there, {}
        world.cut(*list(world.connected))
        await asyncio.sleep(LOST_SECONDS / 2)
        assert not world.connected
        world.there = there
        await asyncio.sleep(SOON * 1.25 + 2 * STEP)
        assert len(world.connected) == 8

    play(world, script)


def test_who_stays_away_makes_room() -> None:
    world, known = World(), [place(number) for number in range(9)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(20)
        gone = next(iter(world.connected))
        world.there = {at: peer for at, peer in world.there.items() if peer != gone}
        world.cut(gone)
        await asyncio.sleep(90)
        assert len(world.connected) == 8
        assert gone not in world.connected

    play(world, script)


# Feelers.


def test_feelers_turn_new_addresses_into_tried_ones_and_stay_nowhere() -> None:
    world, known = World(), [place(number) for number in range(40)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        assert world.dialler is not None
        await asyncio.sleep(20 * FEELER_SECONDS)
        assert len(world.connected) == 8
        assert world.dialler.counters.feelers >= 10
        assert world.book.tried.count >= 8 + 8

    play(world, script)


@pytest.mark.parametrize("answers", [True, False])
def test_a_feeler_tests_whose_place_another_wants(answers: bool) -> None:
    world, known = World(), [place(number) for number in range(8)]
    world.settle(known)
    world.tell(known)

    async def script() -> None:
        await asyncio.sleep(20)
        holder, challenger = rivals(world.book)
        world.settle([holder, challenger] if answers else [challenger])
        await asyncio.sleep(2 * FEELER_SECONDS)
        assert world.times(holder)
        assert world.book.rival() is None
        entry = world.book.entry(challenger)
        assert entry is not None
        assert entry.is_tried is not answers

    play(world, script)


def rivals(book: AddressBook) -> tuple[Address, Address]:
    """Return an address of the tried table and one that would have its place, each good a while ago."""
    for number in range(20, 250):
        first, second = place(20, 200), place(number, 200)
        before, later = EPOCH_MS - 2 * PROVEN_MS, EPOCH_MS - PROVEN_MS // 2
        book.good(first, "200", before)
        book.good(second, "200", later)
        if book.rival() is not None:
            return first, second
        book.bad(second)
    raise AssertionError("somebody has the same place")


# Names.


def test_a_name_stands_for_all_its_addresses() -> None:
    world = World(names={"seeds.example.org": ["20.1.0.1", "20.2.0.1", "20.3.0.1"]})
    seed = parse_address("/dns/seeds.example.org/tcp/30333")
    world.there["20.3.0.1", 30_333] = place(1).peer or ""

    async def script() -> None:
        await asyncio.sleep(5)
        assert list(world.connected) == [place(1).peer]
        assert [address.host for _, address in world.dialled] == ["20.1.0.1", "20.2.0.1", "20.3.0.1"]

    play(world, script, Wishes(bootnodes=(seed,)))


def test_a_name_from_the_book_leads_to_no_private_address() -> None:
    world = World(names={"evil.example.org": ["10.0.0.1", "127.0.0.1"]})
    world.tell([Address("dns", "evil.example.org", 22, place(1).peer)])

    async def script() -> None:
        await asyncio.sleep(20)
        assert world.dialled == []

    play(world, script)


def test_a_bootnode_that_is_this_node_itself_is_left_in_peace() -> None:
    world, own = World(), parse_address("/ip4/20.1.0.1/tcp/30333")
    world.there[own.host, own.port] = OWN

    async def script() -> None:
        await asyncio.sleep(120)
        assert world.dialled == [(world.dialled[0][0], own)]

    play(world, script, Wishes(bootnodes=(own, own.of(OWN))))


async def test_names_are_looked_up_by_this_machine() -> None:
    port = parse_address("/dns/localhost/tcp/7")
    assert Address("ip4", "127.0.0.1", 7) in await look_up(port)
    assert await look_up(parse_address("/dns4/localhost/tcp/7")) == [Address("ip4", "127.0.0.1", 7)]
    plain = parse_address("/ip4/192.0.2.1/tcp/7")
    assert await look_up(plain) == [plain]


async def test_a_resolver_that_hangs_or_fails_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: object, **__: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    async def fails(*_: object, **__: object) -> list[object]:
        raise OSError("no such name")

    monkeypatch.setattr("chain.network.transport.names.LOOKUP_SECONDS", 0.01)
    for answer in (hangs, fails):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
        assert await look_up(parse_address("/dns/nowhere.example/tcp/7")) == []
