import random

import pytest

from chain.common.errors import PeerArgumentError
from chain.common.faults import Fault
from chain.env_real import RealClock
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, parse_address
from chain.network.discovery.records import CLOCKS_MS, LIFETIME_MS, Record, make_record
from chain.network.messages import LIMITS, PEER_EXCHANGE, Channel, PeerExchange
from chain.network.messages import STATUS as STATUS_CODEC
from chain.network.transport.tcp import TcpConfig
from tests.chain.network.hands import Hands
from tests.chain.network.neighbours import GENESIS, STATUS, Neighbour, key_of, made, neighbours, until
from tests.sim.env import SimRng


def is_mesh(*nodes: Neighbour) -> bool:
    return all(node.is_with(*(other for other in nodes if other is not node)) for node in nodes)


def known_to(node: Neighbour) -> set[Address]:
    return {entry.address for entry in node.transport.book.entries()}


async def test_who_knows_one_node_finds_the_others_through_it() -> None:
    async with neighbours() as start:
        a = await start("a")
        b = await start("b", known=(a.address,))
        await until(lambda: is_mesh(a, b))
        c = await start("c", known=(a.address,))
        await until(lambda: is_mesh(a, b, c))
        await until(lambda: known_to(c) == {a.address, b.address})


def test_one_after_the_other_is_left_of_whom_nothing_good_comes() -> None:
    hands, left, known = Hands(), list[tuple[float, str]](), set("xy")
    node = made("a", TcpConfig(port=None), clock=hands, fruitless=lambda: sorted(known))

    def replace(peer: str) -> bool:
        left.append((hands.seconds, peer))
        return peer != "x"  # who has dialled this node stays

    node.transport.dialler.replace = replace  # type: ignore[method-assign]
    node.transport.send = lambda *_: True  # type: ignore[method-assign]
    node.network.connected("y")
    node.network.received("y", Channel.STATUS, STATUS_CODEC.encode(STATUS))
    for _ in range(70):
        if hands.seconds == 50:
            known.clear()
        node.discovery.tick()
        hands.seconds += 1
    assert left == [(0, "x"), (0, "y"), (30, "x"), (30, "y")]


async def test_the_book_outlasts_a_restart_without_any_bootnode() -> None:
    async with neighbours() as start:
        a = await start("a")
        b = await start("b", known=(a.address,))
        c = await start("c", known=(a.address,))
        await until(lambda: is_mesh(a, b, c) and known_to(c) == {a.address, b.address})
        await c.stop()
        again = await start("c", c.files)
        assert known_to(again) == {a.address, b.address}
        await until(lambda: is_mesh(a, b, again))


async def test_a_ban_is_felt_in_the_next_handshake_and_after_a_restart() -> None:
    async with neighbours() as start:
        a = await start("a")
        b = await start("b", known=(a.address,))
        await until(lambda: is_mesh(a, b) and not a.transport.book.is_news(b.id, 0))
        a.network.blame(b.id, Fault.BAD_BLOCK)
        await until(lambda: a.transport.counters.refused)  # b has dialled again, in vain
        assert a.network.peers() == []
        await a.stop()
        port = a.address.port
        again = await start("a", a.files, port=port)
        await until(lambda: again.transport.counters.refused)
        assert again.network.peers() == []
        assert not again.transport.book.is_news(b.id, 0)
        again.transport.reserve(str(b.address))
        await until(lambda: is_mesh(again, b))


async def test_a_reserved_peer_is_dropped_and_never_banned(caplog: pytest.LogCaptureFixture) -> None:
    async with neighbours() as start:
        a = await start("a")
        b = await start("b", reserved=(a.address,))
        await until(lambda: is_mesh(a, b))
        b.network.blame(a.id, Fault.BAD_BLOCK)
        assert b.network.peers() == []
        await until(lambda: is_mesh(a, b))
        assert b.transport.bans.current() == 0
        assert b.network.cost_of(a.id) == 0
    lines = [record.getMessage() for record in caplog.records if record.name == "sub-libp2p"]
    said = f"❗ Reserved peer {a.id} at 127.0.0.1: a block that breaks the rules; it is dropped, not banned"
    assert said in lines


async def test_sentries_shield_a_validator_of_which_nobody_else_hears() -> None:
    async with neighbours() as start:
        one, other = await start("one"), await start("other")
        hidden = await start("hidden", reserved=(one.address, other.address), reserved_only=True)
        for sentry in (one, other):
            sentry.transport.reserve(str(hidden.transport.addresses()[0]))
        far = await start("far", known=(one.address, other.address))
        nosy = await start("nosy", reserved=(hidden.address,), known=(one.address,))
        await until(lambda: one.is_with(hidden, other, far, nosy) and other.is_with(hidden, one, far, nosy))
        await until(lambda: far.is_with(one, other, nosy) and nosy.is_with(one, other, far))
        await until(lambda: hidden.transport.counters.refused)
        assert hidden.is_with(one, other)
        for node in (one, other, far, nosy):
            assert all(entry.address.peer != hidden.id for entry in node.transport.book.entries())
        assert len(hidden.transport.book) == 0
        one.transport.drop(hidden.id, "test")
        await until(lambda: hidden.is_with(one, other))


async def test_who_is_released_is_a_stranger_again() -> None:
    async with neighbours() as start:
        a, b = await start("a"), await start("b", reserved_only=True)
        b.transport.reserve(str(a.address))
        assert b.transport.reserved_peers() == [a.id]
        await until(lambda: is_mesh(a, b))
        b.transport.release(a.id)
        assert b.transport.reserved_peers() == []
        await until(lambda: not a.network.peers())
        assert not b.network.peers()


@pytest.mark.parametrize(
    "text", ["", "nowhere", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWnonsense", "OWN"]
)
def test_what_names_no_other_node_is_not_reserved(text: str) -> None:
    node = made("a", TcpConfig(port=None))
    own = f"/ip4/127.0.0.1/tcp/1/p2p/{node.id}"
    with pytest.raises(PeerArgumentError):
        node.transport.reserve(text.replace("OWN", own))
    with pytest.raises(PeerArgumentError):
        node.transport.release(text)
    assert node.transport.reserved_peers() == []


async def test_a_stranger_finds_no_place_where_all_are_taken() -> None:
    async with neighbours() as start:
        a = await start("a", in_peers=2, out_peers=0)
        first = [await start(name, known=(a.address,), out_peers=1) for name in ("b", "c")]
        await until(lambda: a.is_with(*first))
        late = await start("d", known=(a.address,), out_peers=1)
        await until(lambda: a.transport.counters.refused)
        assert a.is_with(*first)
        friend = await start("e", reserved=(a.address,), out_peers=0)
        a.transport.reserved.add(friend.address)
        await until(lambda: a.is_with(*first, friend))
        assert late.network.peers() == []


async def test_a_node_that_knows_its_own_address_leaves_itself_alone() -> None:
    async with neighbours() as start:
        a = await start("a")
        port = a.address.port
        await a.stop()
        own = Address("ip4", "127.0.0.1", port)
        again = await start("a", known=(own, a.address), reserved=(a.address,), port=port)
        await until(lambda: again.transport.counters.incoming)
        b = await start("b", known=(again.address,))
        await until(lambda: is_mesh(again, b))
        assert again.transport.counters.incoming == 2
        assert all(entry.address.peer != again.id for entry in again.transport.book.entries())


# What peers say.


class Told:
    """A node that does not run, and a peer that says things to it at an IP address."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, ip: str = "127.0.0.1", *, private: bool = True
    ) -> None:
        rng = SimRng(random.Random(1))  # by which no two addresses here share a slot of the book
        self.node = made("a", TcpConfig(port=None, allow_private=private), rng=rng)
        self.peer = key_of("peer")
        self.id = peer_id(self.peer.public)
        self.said: list[PeerExchange] = []
        monkeypatch.setattr(self.node.transport, "ip_of", lambda peer: ip)
        monkeypatch.setattr(self.node.transport, "send", self._hear)
        self.node.network.connected(self.id)
        self.node.network.received(self.id, Channel.STATUS, STATUS_CODEC.encode(STATUS))

    def _hear(self, peer: str, channel: int, message: bytes) -> bool:
        if channel == Channel.PEERS:
            self.said.append(PEER_EXCHANGE.decode(message))
        return True

    def say(self, *records: Record, wants: bool = False) -> int:
        """Say something; return what it costs."""
        before = self.node.network.cost_of(self.id)
        exchange = PeerExchange(wants, [record.signed for record in records])
        self.node.network.received(self.id, Channel.PEERS, PEER_EXCHANGE.encode(exchange))
        return self.node.network.cost_of(self.id) - before

    def known(self) -> set[Address]:
        return known_to(self.node)


def fault(reason: Fault) -> object:
    """Return what a fault costs, of which a little has come back already."""
    return pytest.approx(reason.cost, rel=0.01)


def record_of(pair: Keypair, *texts: str, genesis: bytes = GENESIS, age: int = 0) -> Record:
    return make_record(pair, genesis, [parse_address(text) for text in texts], RealClock().wall_ms() - age)


def test_records_of_others_are_taken_once_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    assert told.said == [PeerExchange(wants=True, records=[])]  # it does not listen
    records = [record_of(key_of(f"far{number}"), f"/ip4/10.0.0.{number}/tcp/1") for number in range(1, 5)]
    assert told.say(*records) == 0
    assert len(told.known()) >= 1  # some may share a slot, chosen by a secret
    assert told.say(record_of(key_of("more"), "/ip4/10.0.0.9/tcp/1")) == fault(Fault.NOT_ASKED)


def test_who_asks_in_the_same_breath_answers_one_question_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told(monkeypatch)
    assert told.say(record_of(key_of("far"), "/ip4/10.0.0.1/tcp/1"), wants=True) == 0
    told.say(record_of(key_of("other"), "/ip4/10.0.0.2/tcp/1"), wants=True)
    assert {address.host for address in told.known()} == {"10.0.0.1"}


def test_a_record_of_the_near_future_hides_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger can date its record so that two honest clocks differ about it."""
    told = Told(monkeypatch)
    early = record_of(key_of("early"), "/ip4/10.0.0.1/tcp/1", age=-CLOCKS_MS - 5_000)
    assert told.say(early, record_of(key_of("far"), "/ip4/10.0.0.2/tcp/1")) == fault(Fault.STALE_RECORD)
    assert {address.host for address in told.known()} == {"10.0.0.2"}


def test_the_own_record_of_a_peer_needs_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    assert told.say() == 0
    first, second = (f"/ip4/127.0.0.1/tcp/{port}" for port in (1, 2))
    assert told.say(record_of(told.peer, first, age=1)) == 0
    assert told.known() == {parse_address(first).of(told.id)}
    assert told.say(record_of(told.peer, second)) == 0
    assert told.known() == {parse_address(second).of(told.id)}


@pytest.mark.parametrize(
    ("ip", "private", "believed"),
    [
        ("127.0.0.1", True, ["127.0.0.1", "10.0.0.1", "8.8.8.8"]),
        ("10.0.0.7", True, ["10.0.0.1", "8.8.8.8"]),
        ("9.9.9.9", True, ["10.0.0.1", "8.8.8.8"]),
        ("9.9.9.9", False, ["8.8.8.8"]),
        ("127.0.0.1", False, ["8.8.8.8"]),
    ],
)
def test_only_what_can_be_so_is_believed(
    ip: str, private: bool, believed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(monkeypatch, ip, private=private)
    hosts = ("127.0.0.1", "10.0.0.1", "8.8.8.8", "0.0.0.0", "224.0.0.1")
    assert told.say(record_of(told.peer, *(f"/ip4/{host}/tcp/1" for host in hosts))) == 0
    assert sorted(address.host for address in told.known()) == sorted(believed)


def test_a_forged_record_costs_and_the_stale_ones_of_a_message_cost_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told(monkeypatch)
    good = record_of(key_of("far"), "/ip4/10.0.0.1/tcp/1")
    stale = [record_of(key_of(name), "/ip4/10.0.0.2/tcp/1", age=LIFETIME_MS) for name in ("x", "y")]
    assert told.say(*stale, good) == fault(Fault.STALE_RECORD)
    assert told.known() == {parse_address("/ip4/10.0.0.1/tcp/1").of(good.peer)}
    other_chain = record_of(told.peer, "/ip4/10.0.0.3/tcp/1", genesis=bytes(32))
    assert told.say(other_chain) == fault(Fault.FORGED_RECORD)
    assert len(told.known()) == 1


def test_a_question_is_answered_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    far, own = record_of(key_of("far"), "/ip4/10.0.0.1/tcp/1"), record_of(told.peer, "/ip4/127.0.0.1/tcp/7")
    assert told.say(far, own) == 0
    told.said.clear()
    assert told.say(wants=True) == 0
    assert told.said == [PeerExchange(wants=False, records=[far.signed])]  # of itself it knows
    assert told.say(wants=True) == fault(Fault.TOO_MANY)
    assert len(told.said) == 1


def test_records_nobody_asked_for_are_not_read_and_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    assert told.say(record_of(key_of("far"), "/ip4/10.0.0.1/tcp/1")) == 0
    record, limits = record_of(key_of("other"), "/ip4/10.0.0.2/tcp/1"), LIMITS[Channel.PEERS]
    costs = [told.say(record) for _ in range(limits.burst + 5)]
    assert costs == [fault(Fault.NOT_ASKED)] * (limits.burst - 1) + [fault(Fault.TOO_MANY)] * 6
    assert len(told.known()) == 1


def test_what_a_node_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    public = parse_address("/dns/validator.example.org/tcp/30333")
    for allow_private, only, hosts in (
        (True, False, ["validator.example.org", "127.0.0.1"]),
        (False, False, ["validator.example.org"]),
        (True, True, []),
    ):
        config = TcpConfig(public=(public,), allow_private=allow_private, reserved_only=only)
        node = made("a", config)
        node.transport.port = 30_333
        assert [address.host for address in node.transport.announced()] == hosts
        assert node.transport.addresses() == [
            f"/dns/validator.example.org/tcp/30333/p2p/{node.id}", f"/ip4/127.0.0.1/tcp/30333/p2p/{node.id}",
        ]  # fmt: skip


async def test_on_all_interfaces_it_is_where_its_peers_reach_it() -> None:
    async with neighbours() as start:
        a = await start("a", host="0.0.0.0")
        assert a.transport.addresses() == [f"/ip4/0.0.0.0/tcp/{a.transport.port}/p2p/{a.id}"]
        assert a.transport.announced() == []
        there = Address("ip4", "127.0.0.1", a.transport.port or 0, a.id)
        b = await start("b", known=(there,))
        await until(lambda: is_mesh(a, b))
        assert a.transport.announced() == [there]
        await until(lambda: b.transport.book.record(a.id))


async def test_a_peer_that_lies_about_addresses_sends_a_node_nowhere() -> None:
    async with neighbours() as start:
        victim, liar = await start("victim"), await start("liar")
        liar.transport.announced = lambda: [victim.address]  # type: ignore[method-assign]
        node = await start("node", known=(liar.address,))
        lie = victim.address.of(liar.id)
        await until(lambda: node.is_with(liar) and node.transport.book.record(liar.id))
        assert node.transport.book.entry(lie) is not None
        await liar.stop()
        await until(lambda: node.transport.book.entry(lie) is None)
        assert victim.transport.counters.incoming >= 1
        assert node.network.peers() == []
