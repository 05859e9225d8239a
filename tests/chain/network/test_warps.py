"""Who asks for a proof of who votes is given as much as there is, fits, and is its share."""

import asyncio
from dataclasses import dataclass, field

import pytest

from chain.common.faults import Fault
from chain.env import PeerHandler
from chain.network.messages import (
    LIMITS,
    PROTOCOL_VERSION,
    STATUS,
    WARP_REQUEST,
    WARP_RESPONSE,
    Channel,
    Status,
    WarpRequest,
    WarpResponse,
)
from chain.network.service import Network
from chain.network.warps import ALL_GIVEN, GIVEN, PATIENCE, WarpExchange, prove
from chain.sync.warp import verify_steps
from runtime.primitives.types import BlockNumber, Hash
from tests.chain.sync.histories import GENESIS, History, authorities, child
from tests.sim.loop import VirtualLoop

SETS = ((0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6), (7,), (0, 1, 2, 3, 4, 5, 6))
HISTORY = History(SETS)
WHOLE = 1 << 20


def test_the_whole_proof_begins_at_any_final_block() -> None:
    for begin in range(16):
        request = WarpRequest(1, HISTORY.headers[begin].hash())
        expected = [step for step in HISTORY.steps if step.header.number > begin]
        assert prove(HISTORY, request, WHOLE) == WarpResponse(1, expected, True)


def test_who_begins_at_a_block_that_is_not_final_here_gets_nothing() -> None:
    for begin in (Hash(b"\x01" * 32), History(SETS, salt=1).headers[3].hash()):
        assert prove(HISTORY, WarpRequest(1, begin), WHOLE) == WarpResponse(1, [], False)


def test_who_has_proofs_from_a_height_on_says_so_to_whom_that_leads_nowhere() -> None:
    below, at = (HISTORY.headers[number].hash() for number in (2, 3))
    assert prove(HISTORY, WarpRequest(1, below), WHOLE, 3) == WarpResponse(1, [], False, BlockNumber(3))
    unknown = WarpRequest(1, Hash(b"\x01" * 32))  # as a block in its gap is
    assert prove(HISTORY, unknown, WHOLE, 3) == WarpResponse(1, [], False, BlockNumber(3))
    assert prove(HISTORY, WarpRequest(1, at), WHOLE, 3) == prove(HISTORY, WarpRequest(1, at), WHOLE)


@pytest.mark.parametrize(("floor", "expected"), [(0, ([], False)), (9, None)])
def test_who_cannot_lead_from_below_is_told_from_who_does_not(floor: int, expected: object) -> None:
    wire = Wire()
    network, exchange = network_of(wire, ["a"])

    async def script() -> None:
        asking = asyncio.create_task(exchange.fetch("a", GENESIS.hash()))
        await asyncio.sleep(0)
        answer = WarpResponse(1, [], False, BlockNumber(floor))
        network.received("a", Channel.WARP_ANSWERS, WARP_RESPONSE.encode(answer))
        assert await asking == expected
        assert network.cost_of("a") == 0

    VirtualLoop().run(script())


def test_parts_make_the_whole() -> None:
    point, parts = HISTORY.genesis, 0
    while True:
        answer = prove(HISTORY, WarpRequest(1, point.block), 1_500)
        assert answer.steps
        assert len(WARP_RESPONSE.encode(answer)) < 3_000
        point, parts = verify_steps(point, answer.steps).point, parts + 1
        if answer.is_finished:
            break
    assert parts > 1
    assert point == verify_steps(HISTORY.genesis, HISTORY.steps).point


def test_a_proof_ends_with_a_forced_change() -> None:
    history = History(SETS[:2])
    history.headers.append(child(history.headers[-1], forced=authorities((9,))))
    history.prove(7, 1)
    history.ends.append(7)
    history.headers.append(child(history.headers[-1]))
    history.prove(8, 1)
    answer = prove(history, WarpRequest(1, GENESIS.hash()), WHOLE)
    assert [step.header.number for step in answer.steps] == [3, 7]
    assert answer.is_finished


@dataclass
class Wire:
    """A transport and its clock: keeps what is sent."""

    now: float = 0.0
    sent: list[tuple[str, int, bytes]] = field(default_factory=list)

    def wall_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def run(self, peers: PeerHandler) -> None:
        raise AssertionError("the test says what comes")

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        self.sent.append((peer, channel, message))
        return True

    def drop(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer}: {reason}")

    def thank(self, peer: str) -> None:
        """Do nothing: nobody has to make room."""

    def waiting(self, peer: str) -> int:
        return 0

    def addresses(self) -> list[str]:
        return []

    def answers(self) -> int:
        """Return the bytes of proofs that were given."""
        return sum(len(message) for _, channel, message in self.sent if channel == Channel.WARP_ANSWERS)


def network_of(wire: Wire, peers: list[str]) -> tuple[Network, WarpExchange]:
    """Return a network with these peers and the exchange of a node with the whole history."""
    status = Status(PROTOCOL_VERSION, 1, GENESIS.hash(), GENESIS.hash(), 0, GENESIS.hash(), 0)
    network = Network(wire, wire, lambda: status)
    exchange = WarpExchange(network, HISTORY, lambda: 0, wire)
    for peer in peers:
        network.connected(peer)
        network.received(peer, Channel.STATUS, STATUS.encode(status))
    return network, exchange


def test_who_asks_for_ever_is_given_a_share() -> None:
    wire = Wire()
    peers = [f"p{number}" for number in range(8)]
    network, _ = network_of(wire, peers)
    request = WARP_REQUEST.encode(WarpRequest(1, GENESIS.hash()))
    for _ in range(20_000):
        wire.now += 1 / LIMITS[Channel.WARP_REQUESTS].rate / 100
        network.received(peers[0], Channel.WARP_REQUESTS, request)
    assert 0 < wire.answers() <= GIVEN.burst + GIVEN.rate * wire.now
    wire.sent.clear()
    network.received(peers[1], Channel.WARP_REQUESTS, request)
    assert wire.answers() > 0
    assert ALL_GIVEN.burst >= GIVEN.burst


def test_an_answer_goes_to_who_waits_for_it() -> None:
    wire = Wire()
    network, exchange = network_of(wire, ["a", "b"])

    async def script() -> None:
        asking = asyncio.create_task(exchange.fetch("a", GENESIS.hash()))
        await asyncio.sleep(0)
        assert await exchange.fetch("a", GENESIS.hash()) is None  # one at a time
        sent = wire.sent[-1]
        assert sent[:2] == ("a", Channel.WARP_REQUESTS)
        asked: WarpRequest = WARP_REQUEST.decode(sent[2])
        answer = WARP_RESPONSE.encode(WarpResponse(asked.id, HISTORY.steps, True))
        network.received("b", Channel.WARP_ANSWERS, answer)  # it was not asked
        assert not asking.done()
        network.received("a", Channel.WARP_ANSWERS, answer)
        assert await asking == (HISTORY.steps, True)
        network.received("a", Channel.WARP_ANSWERS, answer)  # twice
        unasked = WARP_RESPONSE.encode(WarpResponse(99, [], True))
        network.received("b", Channel.WARP_ANSWERS, unasked)
        assert network.cost_of("b") == Fault.NOT_ASKED.cost

    VirtualLoop().run(script())


@pytest.mark.parametrize("leaves", [False, True])
def test_who_does_not_answer_is_not_waited_for(leaves: bool) -> None:
    wire = Wire()
    network, exchange = network_of(wire, ["a"])

    async def script() -> None:
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(exchange.fetch("a", GENESIS.hash()))
        await asyncio.sleep(0)
        if leaves:
            network.disconnected("a")
        assert await asking is None
        assert loop.time() == pytest.approx(0 if leaves else PATIENCE)
        assert network.cost_of("a") == (0 if leaves else Fault.TIMEOUT.cost)
        assert await exchange.fetch("nobody", GENESIS.hash()) is None

    VirtualLoop().run(script())
