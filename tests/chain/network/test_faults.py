"""What a peer is blamed for, what ends it and what the log says then; and every limit of every channel."""

import asyncio
import logging
from dataclasses import dataclass, field, replace

import pytest

from chain.common.faults import FATAL, Fault
from chain.env import PeerHandler
from chain.network.messages import LIMITS, PROTOCOL_VERSION, STATUS, Channel, Status
from chain.network.peers import BANNED, FRUITLESS
from chain.network.service import Network
from chain.network.transport.frames import Assembler
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import ZERO_HASH, Hash

STATUS_HERE = Status(PROTOCOL_VERSION, 1, ZERO_HASH, ZERO_HASH, 0, ZERO_HASH, 0)


@dataclass
class Line:
    """The way to one peer, and the clock: chain.env.Transport and chain.env.Clock."""

    now: float = 0.0
    ended: list[tuple[str, str]] = field(default_factory=list)

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds

    async def run(self, peers: PeerHandler) -> None:
        raise AssertionError("the test says what comes")

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        return True

    def drop(self, peer: str, reason: str) -> None:
        self.ended.append((peer, reason))

    def ban(self, peer: str, reason: str) -> bool:
        self.ended.append((peer, reason))
        return True

    def thank(self, peer: str) -> None:
        """Do nothing: nobody has to make room."""

    def waiting(self, peer: str) -> int:
        return 0

    def addresses(self) -> list[str]:
        return []


class Listener:
    """A part that takes every channel but one, and fails where the message says so."""

    LEFT_OUT = Channel.PEERS

    def __init__(self, network: Network) -> None:
        self.heard: list[bytes] = []
        network.add(
            self, {each: self._hear for each in Channel if each not in (Channel.STATUS, self.LEFT_OUT)}
        )

    def joined(self, peer: str, status: Status) -> None:
        """Do nothing."""

    def left(self, peer: str) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Do nothing."""

    def _hear(self, peer: str, message: bytes) -> None:
        self.heard.append(message)
        if message == b"bug":
            raise ZeroDivisionError(message)
        if message == b"noise":
            raise DecodeError("nothing begins so")


def meet() -> tuple[Network, Line, Listener]:
    """Return the network of a node with one peer that has said where it stands."""
    line = Line()
    network = Network(line, line, lambda: STATUS_HERE)
    listener = Listener(network)
    network.connected("peer")
    network.received("peer", Channel.STATUS, STATUS.encode(STATUS_HERE))
    assert network.peers() == ["peer"]
    return network, line, listener


FAULTS = {
    Fault.GENESIS: (Channel.STATUS, STATUS.encode(replace(STATUS_HERE, genesis=Hash(b"\x01" * 32)))),
    Fault.UNDECODABLE: (Channel.VOTES, b"noise"),
    Fault.BUG: (Channel.VOTES, b"bug"),
    Fault.TOO_LARGE: (Channel.VOTES, bytes(LIMITS[Channel.VOTES].size + 1)),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.items())
def test_a_message_costs_what_its_fault_does(fault: Fault, message: tuple[Channel, bytes]) -> None:
    network, line, _ = meet()
    network.received("peer", *message)
    assert network.cost_of("peer") == fault.cost
    assert line.ended == ([("peer", fault)] if fault.cost == FATAL else [])


@pytest.mark.parametrize("channel", [255, 99, len(Channel), Listener.LEFT_OUT.value])
def test_what_this_node_does_not_know_or_serve_costs_little(channel: int) -> None:
    """A newer node may say more than this one knows; whoever says nothing else has to leave in the end."""
    network, line, listener = meet()
    network.received("peer", channel, b"hello")
    assert (network.cost_of("peer"), listener.heard) == (Fault.UNKNOWN_CHANNEL.cost, [])
    network._reputations.lose("peer", BANNED - 2 * Fault.UNKNOWN_CHANNEL.cost)
    assert line.ended == []
    network.received("peer", 255, b"")
    assert line.ended == [("peer", Fault.UNKNOWN_CHANNEL)]


def test_another_version_is_left_as_soon_as_it_says_so() -> None:
    line = Line()
    network = Network(line, line, lambda: STATUS_HERE)
    network.connected("peer")
    newer = STATUS.encode(replace(STATUS_HERE, version=PROTOCOL_VERSION + 1))
    network.received("peer", Channel.STATUS, newer)
    assert (line.ended, network.peers()) == ([("peer", Fault.VERSION)], [])


def test_who_is_seen_off_by_one_part_is_not_kept_by_the_next() -> None:
    class Doorman(Listener):
        def joined(self, peer: str, status: Status) -> None:
            network.blame(peer, Fault.BAD_BLOCK)

    class Host(Listener):
        def __init__(self, network: Network) -> None:
            super().__init__(network)
            self.guests: list[str] = []

        def joined(self, peer: str, status: Status) -> None:
            self.guests.append(peer)

        def left(self, peer: str) -> None:
            if peer in self.guests:
                self.guests.remove(peer)

    line = Line()
    network = Network(line, line, lambda: STATUS_HERE)
    Doorman(network)
    host = Host(network)
    network.connected("peer")
    network.received("peer", Channel.STATUS, STATUS.encode(STATUS_HERE))
    assert (line.ended, network.peers(), host.guests) == ([("peer", Fault.BAD_BLOCK)], [], [])


@pytest.mark.parametrize("fault", Fault)
def test_the_log_says_who_went_why_and_what_to_do(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    network, line, _ = meet()
    network._reputations.lose("peer", BANNED - 1)
    with caplog.at_level(logging.INFO, "network"):
        network.blame("peer", fault, "the detail")
    assert line.ended == [("peer", fault)]
    assert caplog.messages == [f"❌ Dropped peer: {fault}: the detail. What to do: {fault.advice}"]
    assert caplog.records[0].levelno == logging.INFO


def test_who_does_nothing_but_faults_for_minutes_is_fruitless() -> None:
    network, line, _ = meet()
    network.blame("peer", Fault.TIMEOUT)
    line.now += FRUITLESS
    assert network.fruitless() == []  # it was asked once
    network.blame("peer", Fault.TIMEOUT)
    assert network.fruitless() == ["peer"]
    network.thank("peer")
    assert network.fruitless() == []
    network.blame("peer", Fault.USELESS)
    assert network.fruitless() == []
    assert line.ended == []


def test_a_frame_that_breaks_the_format_is_the_peer_s_fault() -> None:
    with pytest.raises(Exception, match="an empty frame") as refused:
        list(Assembler(lambda size: True).messages(b""))
    assert getattr(refused.value, "reason", None) is Fault.MALFORMED
    assert Fault.MALFORMED.cost == FATAL


# Limits.


@pytest.mark.parametrize("channel", [each for each in Channel if each is not Listener.LEFT_OUT])
def test_a_channel_takes_messages_up_to_its_size(channel: Channel) -> None:
    network, line, listener = meet()
    if channel is not Channel.STATUS:  # a status has one size
        network.received("peer", channel, bytes(LIMITS[channel].size))
        assert (len(listener.heard), line.ended) == (1, [])
    network.received("peer", channel, bytes(LIMITS[channel].size + 1))
    assert line.ended == [("peer", Fault.TOO_LARGE)]
    assert len(listener.heard) == (channel is not Channel.STATUS)


@pytest.mark.parametrize("channel", [each for each in Channel if each is not Listener.LEFT_OUT])
def test_a_channel_takes_its_burst_then_its_rate(channel: Channel) -> None:
    network, line, listener = meet()
    limits, greeting = LIMITS[channel], STATUS.encode(STATUS_HERE)
    message = greeting if channel is Channel.STATUS else b"x"
    seconds = 8.0 / limits.rate
    before = 1 if channel is Channel.STATUS else 0  # it has been said once

    def say(count: int) -> int:
        """Say something so many times; return how often it was too much."""
        network._reputations.forget("peer")
        for _ in range(count):
            network.received("peer", channel, message)
        return round(network.cost_of("peer") / Fault.TOO_MANY.cost)

    assert say(limits.burst - before) == 0
    assert say(10) == 10
    line.now += seconds
    assert say(18) in (10, 11)  # eight have come back
    line.now += 10 * limits.burst / limits.rate
    assert say(limits.burst + 5) == 5
    assert line.ended == []
    if channel is not Channel.STATUS:
        assert len(listener.heard) in (2 * limits.burst + 7, 2 * limits.burst + 8)
