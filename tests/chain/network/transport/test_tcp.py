import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from chain.common.faults import Fault
from chain.env_real import RealClock, RealRng
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, AddressError, parse_address
from chain.network.messages import Channel
from chain.network.transport import link as link_module
from chain.network.transport.dialler import Met
from chain.network.transport.frames import HEAD
from chain.network.transport.half_open import MAX_HALF_OPEN
from chain.network.transport.memory import Memory
from chain.network.transport.tcp import TcpConfig, TcpTransport
from chain.network.transport.wire import Wire
from tests.sim.env import Files, Life, SimDisk

GENESIS = bytes(range(32))
KEYS = sorted(
    (Keypair.from_suri(f"//Node{number}", "ed25519") for number in range(3)),
    key=lambda pair: peer_id(pair.public),
)


def made(config: TcpConfig, key: Keypair, genesis: bytes = GENESIS) -> TcpTransport:
    """Return a transport that has never run."""
    return TcpTransport(config, key, genesis, RealRng(), RealClock(), SimDisk(Files(), Life()))


@dataclass
class Log:
    """What a transport told, and a bell that rings with each entry."""

    events: list[tuple[object, ...]] = field(default_factory=list)
    bell: asyncio.Condition = field(default_factory=asyncio.Condition)
    ringing: set[asyncio.Task[None]] = field(default_factory=set)

    def connected(self, peer: str) -> None:
        self._note("connected", peer)

    def disconnected(self, peer: str) -> None:
        self._note("disconnected", peer)

    def received(self, peer: str, channel: int, message: bytes) -> None:
        self._note("received", peer, channel, message)

    async def until(self, *event: object) -> None:
        """Wait for an event, also one that has been."""
        async with asyncio.timeout(60), self.bell:
            await self.bell.wait_for(lambda: event in self.events)

    def _note(self, *event: object) -> None:
        self.events.append(event)
        task = asyncio.ensure_future(self._ring())
        self.ringing.add(task)
        task.add_done_callback(self.ringing.discard)

    async def _ring(self) -> None:
        async with self.bell:
            self.bell.notify_all()


@contextlib.asynccontextmanager
async def running(
    key: Keypair, *known: Address, genesis: bytes = GENESIS, port: int = 0, in_peers: int = 64
) -> AsyncIterator[tuple[TcpTransport, Log]]:
    """Run a transport on a free port of this machine."""
    transport, log = made(TcpConfig(port=port, known=known, in_peers=in_peers), key, genesis), Log()
    task = asyncio.ensure_future(transport.run(log))
    await transport.listening.wait()
    try:
        yield transport, log
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def address(transport: TcpTransport) -> Address:
    return parse_address(transport.addresses()[0])


async def test_messages_arrive_in_order_both_ways() -> None:
    async with running(KEYS[0]) as (a, heard_a), running(KEYS[1], address(a)) as (b, heard_b):
        await heard_a.until("connected", b.peer_id)
        await heard_b.until("connected", a.peer_id)
        for number in range(100):
            assert a.send(b.peer_id, Channel.ANSWERS, bytes([number]) * number * 1_000)
        assert b.send(a.peer_id, 3, b"")
        await heard_b.until("received", a.peer_id, Channel.ANSWERS, bytes([99]) * 99_000)
        await heard_a.until("received", b.peer_id, 3, b"")
        received = [event[3] for event in heard_b.events if event[0] == "received"]
        assert received == [bytes([number]) * number * 1_000 for number in range(100)]


async def test_another_chain_never_gets_through() -> None:
    async with running(KEYS[0]) as (a, heard_a), running(KEYS[1], genesis=bytes(32)) as (b, _):
        wire = await dialled(address(a))
        greeting = link_module.Greeting(b._identity, bytes(32), RealRng(), initiator=True)
        with pytest.raises(link_module.LinkClosed, match="handshake failed"):
            await link_module.greet(wire, greeting)
        wire.abort()
        assert heard_a.events == []
        assert not a.send(b.peer_id, 0, b"nobody there")


@pytest.mark.parametrize(
    ("genesis", "peer", "why"),
    [
        (bytes(32), 0, "handshake failed, as with a node of another chain: "),
        (GENESIS, 2, "is there instead of "),
        (GENESIS, None, "Connect call failed"),
    ],
)
async def test_an_operator_is_told_once_why_a_known_node_is_not_connected(
    genesis: bytes, peer: int | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("STEP", "FIRST_RETRY", "SOON"):
        monkeypatch.setattr(f"chain.network.transport.dialler.{wait}", 0.01)
    said: list[str] = []
    dialled, enough = 0, asyncio.Event()

    class Watched(TcpTransport):
        async def connect(self, address: Address, met: Met) -> None:
            nonlocal dialled
            dialled += 1
            if dialled == 5:
                enough.set()
            await super().connect(address, met)

    monkeypatch.setattr(
        "chain.network.transport.dialler.log.warning", lambda text, *values: said.append(text % values)
    )
    async with running(KEYS[0], genesis=genesis) as (there, _):
        id_ = peer_id(KEYS[peer or 0].public)
        target = Address("ip4", "127.0.0.1", address(there).port, id_)
        if peer is None:
            target = Address("ip4", "127.0.0.1", 1, id_)
        disk = SimDisk(Files(), Life())
        config = TcpConfig(port=None, known=(target,))
        transport = Watched(config, KEYS[1], GENESIS, RealRng(), RealClock(), disk)
        task = asyncio.ensure_future(transport.run(Log()))
        async with asyncio.timeout(60):
            await enough.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert len(said) == 1
    assert said[0].startswith(f"📵 No connection to {target}: ")
    assert why in said[0]


async def test_whoever_dials_whom_one_connection_stays() -> None:
    async with contextlib.AsyncExitStack() as opened:
        first, heard_first = await opened.enter_async_context(running(KEYS[0]))
        second, heard_second = await opened.enter_async_context(running(KEYS[1], address(first)))
        await heard_first.until("connected", second.peer_id)
        again = await link_to(first, address(second))
        await heard_second.until("disconnected", first.peer_id)  # the lower peer id's connection is kept
        assert again.peer == second.peer_id
        assert len(second._links) == 1
        again.close()


async def link_to(transport: TcpTransport, target: Address) -> link_module.Link:
    """Dial with a transport's identity, beside what it does by itself."""
    wire = await dialled(target)
    greeting = link_module.Greeting(transport._identity, GENESIS, RealRng(), initiator=True)
    peer, channel = await link_module.greet(wire, greeting)
    return link_module.Link(peer, channel, wire, Memory(), time.monotonic, outbound=True)


async def dialled(target: Address) -> Wire:
    """Connect, and no more."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, target.host, target.port)
    return wire


async def test_a_node_that_is_gone_is_dialled_again() -> None:
    async with running(KEYS[0]) as (a, _):
        target = address(a)
        async with running(KEYS[1], target) as (b, heard):
            await heard.until("connected", a.peer_id)
            b.drop(a.peer_id, "test")
            await heard.until("disconnected", a.peer_id)
            heard.events.clear()
            await heard.until("connected", a.peer_id)


async def test_garbage_ends_a_connection_and_nothing_else() -> None:
    async with running(KEYS[0]) as (a, heard), running(KEYS[1], address(a)) as (b, _):
        await heard.until("connected", b.peer_id)
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 600, (64).to_bytes(2, "big") + bytes(64)):
            reader, writer = await asyncio.open_connection("127.0.0.1", a.port)
            writer.write(garbage)
            assert len(await reader.read()) <= 2 + 512
            writer.close()
        assert a.send(b.peer_id, 0, b"still here")


async def test_whoever_dials_and_says_nothing_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HANDSHAKE_SECONDS", 1_000.0)
    async with contextlib.AsyncExitStack() as opened:
        a, heard = await opened.enter_async_context(running(KEYS[0]))
        for _ in range(MAX_HALF_OPEN + 1):
            _, writer = await asyncio.open_connection("127.0.0.1", a.port)
            opened.callback(writer.close)
        b, _ = await opened.enter_async_context(running(KEYS[1], address(a)))
        await heard.until("connected", b.peer_id)


async def test_strangers_take_no_place_of_a_known_peer() -> None:
    friend = peer_id(KEYS[1].public)
    silent = parse_address(f"/ip4/127.0.0.1/tcp/1/p2p/{friend}")  # it does not listen, it dials
    async with contextlib.AsyncExitStack() as opened:
        a, heard = await opened.enter_async_context(running(KEYS[0], silent, in_peers=1))
        stranger, _ = await opened.enter_async_context(running(KEYS[2], address(a)))
        await heard.until("connected", stranger.peer_id)
        await opened.enter_async_context(running(KEYS[1], address(a)))
        await heard.until("connected", friend)


async def test_strangers_are_those_that_dial_and_are_neither_named_nor_reserved() -> None:
    silent = parse_address(f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id(KEYS[1].public)}")
    async with running(KEYS[0], silent) as (a, heard), running(KEYS[1], address(a)) as (named, _):
        await heard.until("connected", named.peer_id)
        assert a._work.strangers == 0
        async with running(KEYS[2], address(a)) as (stranger, _):
            await heard.until("connected", stranger.peer_id)
            assert (a._work.strangers, stranger._work.strangers) == (1, 0)
            a.reserve(str(address(stranger)))
            assert a._work.strangers == 0
        await heard.until("disconnected", stranger.peer_id)
        assert a._work.strangers == 0


async def test_a_frame_that_was_changed_ends_the_connection() -> None:
    async with running(KEYS[0]) as (a, heard), running(KEYS[1]) as (b, _):
        link = await link_to(b, address(a))
        await heard.until("connected", b.peer_id)
        link._wire.write(bytes(32))
        await heard.until("disconnected", b.peer_id)
        link.close()
        assert not a.bans.has_peer(b.peer_id), "whoever sits on the line can do that, too"


async def test_a_peer_that_breaks_the_format_is_banned(caplog: pytest.LogCaptureFixture) -> None:
    async with running(KEYS[0]) as (a, heard), running(KEYS[1]) as (b, _):
        link = await link_to(b, address(a))
        await heard.until("connected", b.peer_id)
        too_long = HEAD.pack(Channel.VOTES, 1 << 20, 2_000) + bytes(2_000)
        link._wire.write(link._sends.encrypt(too_long))
        await heard.until("disconnected", b.peer_id)
        assert a.bans.has_peer(b.peer_id)
        link.close()
    said = [record.getMessage() for record in caplog.records if "Banned" in record.getMessage()]
    assert len(said) == 1
    assert "a message of 1050576 bytes on channel 1, which takes 1024" in said[0]
    assert f"What to do: {Fault.TOO_LARGE.advice}" in said[0]


async def test_links_say_how_they_do() -> None:
    async with running(KEYS[0]) as (a, heard), running(KEYS[1], address(a)) as (b, _):
        await heard.until("connected", b.peer_id)
        a.thank(b.peer_id)
        assert a._links[b.peer_id].thanked is not None
        (figures,) = a.links()
        assert (figures.peer, figures.ip, figures.outbound) == (b.peer_id, "127.0.0.1", False)
        assert figures.shed == 0


async def test_a_peer_that_does_not_read_fills_its_own_queue_only() -> None:
    async with running(KEYS[0]) as (a, heard), running(KEYS[1]) as (b, _):
        link = await link_to(b, address(a))
        await heard.until("connected", b.peer_id)
        sent = 0
        while a.send(b.peer_id, Channel.ANSWERS, bytes(1 << 20)):
            sent += 1
            assert sent < 64
        assert sent == (link_module.MAX_QUEUE >> 20) - 1
        assert a.send(b.peer_id, Channel.VOTES, b"goes before")
        link.close()


def test_addresses_read_back() -> None:
    peer = peer_id(KEYS[0].public)
    for text in (f"/ip4/127.0.0.1/tcp/30333/p2p/{peer}", "/dns/node.example.org/tcp/1", "/ip6/::1/tcp/65535"):
        assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1:30333", "/ip4/300.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/0",
     "/ip4/127.0.0.1/tcp/99999", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWnonsense", "/dns/a b/tcp/1", "/" * 999,
     "/ip6/2a00::1%eth0/tcp/1", f"/ip6/2a00::1%{'x' * 200}/tcp/1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="no peer address"):
        parse_address(text)
