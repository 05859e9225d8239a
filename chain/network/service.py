"""The network of one node: who is there, who may stay, and who handles which message.

    connected -> both send Status -> same genesis: the parts hear of the peer -> messages by channel

Whoever lacks the other's Status says its own again, which the other answers with its own.

The parts (block sync, votes, transactions) take what is theirs by channel and raise PeerFault or DecodeError
for what is wrong with it. What a peer can make this node keep or do is bounded: its messages in size and
rate, the peers in number, the memory of banned ones.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from chain.common.errors import RuntimeMissing, StorageError
from chain.common.faults import Fault, PeerFault
from chain.env import Clock, Transport
from chain.network.messages import LIMITS, PROTOCOL_VERSION, STATUS, Channel, Status
from chain.network.peers import Peer, Reputations
from runtime.primitives.scale import DecodeError

log = logging.getLogger("network")

MAX_PEERS = 256
"""connected at once; a transport keeps fewer"""
STATUS_PATIENCE = 20.0
"""seconds a peer may take to say where it stands"""
GREET_EVERY = 3.0
"""seconds between two greetings of a peer that has not said where it stands"""
REMEMBERED = 4096
"""peers whose faults are remembered"""
MAX_UNREAD = 4 << 20
"""bytes that wait for a peer, beyond which no answer is made for it: whoever asks has to read"""
TICK = 1.0
"""seconds between two looks for what is overdue"""

Handle = Callable[[str, bytes], None]
"""What a part does with a message.

Raises: PeerFault, DecodeError.
"""


class Part(Protocol):
    """What has to know who is there."""

    def joined(self, peer: str, status: Status) -> None:
        """Note a peer on our chain."""

    def left(self, peer: str) -> None:
        """Note that a peer is gone."""

    def tick(self) -> None:
        """Do what is due; called every second."""


class Network:
    """The peers of a node. Satisfies chain.env.PeerHandler."""

    def __init__(self, transport: Transport, clock: Clock, status: Callable[[], Status]) -> None:
        self._transport = transport
        self._clock = clock
        self._status = status
        self._peers: dict[str, Peer] = {}
        self._reputations = Reputations(clock.monotonic, REMEMBERED)
        self._parts: list[Part] = []
        self._handlers: dict[Channel, Handle] = {Channel.STATUS: self._met}
        self.received_bytes = self.sent_bytes = 0
        self.faults: dict[Fault, int] = {}  # how often each was found, since the start

    def add(self, part: Part, handlers: dict[Channel, Handle]) -> None:
        """Give a part its channels."""
        self._parts.append(part)
        self._handlers |= handlers

    async def run(self) -> None:
        """Be connected until cancelled.

        Raises: what ends the node, such as StorageError, in an ExceptionGroup.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._transport.run(self), name="transport")
            tasks.create_task(self._watch(), name="network watch")

    async def _watch(self) -> None:
        """Look for what is overdue."""
        while True:
            await self._clock.sleep(TICK)
            overdue = self._clock.monotonic() - STATUS_PATIENCE
            for peer in [each for each in self._peers.values() if each.status is None]:
                if peer.since <= overdue:
                    self._transport.drop(peer.name, Fault.TIMEOUT)
                else:
                    self._greet(peer)
            for part in self._parts:
                part.tick()

    # What the parts ask for.

    def peers(self) -> list[str]:
        """Return the peers on our chain, in the order they came."""
        return [peer.name for peer in self._peers.values() if peer.status is not None]

    def statuses(self) -> dict[str, Status]:
        """Return where each peer stood when it came."""
        return {peer.name: peer.status for peer in self._peers.values() if peer.status is not None}

    def send(self, peer: str, channel: Channel, message: bytes) -> bool:
        """Send a message; False when the peer is gone or takes no more now.

        Who cannot even be sent votes is left: it must not seem to be told what it is not.
        """
        assert len(message) <= LIMITS[channel].size, "no honest message is beyond the limit of its channel"
        sent = self._transport.send(peer, channel, message)
        if sent:
            self.sent_bytes += len(message)
        elif peer in self._peers and LIMITS[channel].priority == 0:
            self._transport.drop(peer, "it takes no more messages")
        return sent

    def blame(self, peer: str, reason: Fault, detail: str = "") -> None:
        """Take the cost of a fault from a peer, which may be the end of the connection."""
        log.debug("%s: %s %s", peer, reason, detail)
        self.faults[reason] = self.faults.get(reason, 0) + 1
        if peer in self._peers:
            self._peers[peer].faulted(self._clock.monotonic())
        if self._reputations.lose(peer, reason.cost) and peer in self._peers:
            what = f"{reason}: {detail}" if detail else reason
            log.info("❌ Dropped %s: %s. What to do: %s", peer, what, reason.advice)
            self._leave(peer)
            if not self._transport.ban(peer, reason):
                self._reputations.forget(peer)

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""
        if peer in self._peers:
            self._peers[peer].faulty = None
            self._transport.thank(peer)

    def fruitless(self) -> list[str]:
        """Return the peers that were asked in vain for minutes."""
        return [peer.name for peer in self._peers.values() if peer.is_fruitless]

    def cost_of(self, peer: str) -> int:
        """Return what a peer's faults amount to now."""
        return self._reputations.of(peer)

    # What the transport tells.

    def connected(self, peer: str) -> None:
        """Greet a peer, unless it is banned or there are too many."""
        if self._reputations.is_banned(peer):
            self._transport.drop(peer, "banned")
        elif len(self._peers) >= MAX_PEERS:
            self._transport.drop(peer, "too many peers")
        elif peer not in self._peers:
            self._peers[peer] = Peer(peer, self._clock.monotonic())
            self._greet(self._peers[peer])

    def disconnected(self, peer: str) -> None:
        """Forget a peer, but not its faults."""
        self._leave(peer)

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Hand a message to whoever it is for.

        Raises: StorageError, RuntimeMissing, which end the node.
        """
        self.received_bytes += len(message)
        sender = self._peers.get(peer)
        if sender is None:
            return
        self.handle(peer, self._handle, sender, channel, message)

    def handle(self, peer: str, work: Callable[..., None], *args: Any) -> None:
        """Do something with what a peer has sent, and take from it what is wrong with that.

        Raises: StorageError, RuntimeMissing, which end the node.
        """
        try:
            work(*args)
        except PeerFault as fault:
            self.blame(peer, fault.reason, fault.detail)
        except DecodeError as problem:
            self.blame(peer, Fault.UNDECODABLE, str(problem))
        except (StorageError, RuntimeMissing):
            raise
        except Exception:
            log.exception("a message of %s breaks this node: please report this", peer)
            self.blame(peer, Fault.BUG)

    def _handle(self, sender: Peer, number: int, message: bytes) -> None:
        channel = _CHANNELS.get(number)
        handle = None if channel is None else self._handlers.get(channel)
        if channel is None or handle is None:
            raise PeerFault(Fault.UNKNOWN_CHANNEL, str(number))
        if len(message) > LIMITS[channel].size:
            raise PeerFault(Fault.TOO_LARGE, f"{len(message)} bytes on channel {channel.name}")
        if not sender.may_send(channel, self._clock.monotonic()):
            raise PeerFault(Fault.TOO_MANY, f"on channel {channel.name}")
        if channel in _QUESTIONS and self._transport.waiting(sender.name) > MAX_UNREAD:
            return
        if channel is Channel.STATUS or sender.status is not None:
            handle(sender.name, message)

    def _greet(self, peer: Peer) -> None:
        """Say where this node stands, unless that was said a moment ago."""
        now = self._clock.monotonic()
        if peer.greeted is None or now - peer.greeted >= GREET_EVERY:
            peer.greeted = now
            self.send(peer.name, Channel.STATUS, STATUS.encode(self._status()))

    def _met(self, name: str, message: bytes) -> None:
        """Let the parts know of a peer that has said where it stands; who says it again has not heard us."""
        status: Status = STATUS.decode(message)
        peer = self._peers[name]
        if status.genesis != self._status().genesis:
            raise PeerFault(Fault.GENESIS, f"0x{status.genesis.hex()}")
        if peer.status is not None:
            self._greet(peer)
            return
        if status.version != PROTOCOL_VERSION:
            raise PeerFault(Fault.VERSION, str(status.version))
        peer.status = status
        log.debug("%s is at #%d", name, status.best_number)
        for part in self._parts:
            if name in self._peers:  # the part before may have seen it off: nobody would be told again
                part.joined(name, status)

    def _leave(self, name: str) -> None:
        peer = self._peers.pop(name, None)
        if peer is not None and peer.status is not None:
            for part in self._parts:
                part.left(name)


_CHANNELS = {channel.value: channel for channel in Channel}
_QUESTIONS = frozenset(
    (Channel.REQUESTS, Channel.TRANSACTION_REQUESTS, Channel.STATE_REQUESTS, Channel.WARP_REQUESTS)
)
"""whose answers are long, and some work to make"""
