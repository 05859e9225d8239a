"""GRANDPA's messages on the wire: votes have a channel of their own, ahead of everything longer."""

from typing import Protocol

from chain.env import Clock
from chain.network.messages import Channel, Status
from chain.network.peers import Bucket
from chain.network.service import Network

_VOTE = 0
"""how a vote begins; what else there is, is longer and rarer"""
SIGNATURES, SIGNATURES_AT_ONCE = 2_000, 10_000
"""that are checked for one peer, per second and at once: all votes of a thousand voters from one peer"""


class Gossiping(Protocol):
    """What is done with the messages of others."""

    def joined(self, peer: str) -> None:
        """Tell a new peer where we stand."""

    def left(self, peer: str) -> None:
        """Forget a peer."""

    def received(self, peer: str, message: bytes) -> None:
        """Handle a message.

        Raises: PeerFault, DecodeError.
        """


class VoteExchange:
    """The part of the network that carries votes."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self._network = network
        self._clock = clock
        self._shares: dict[str, Bucket] = {}
        self._gossip: Gossiping | None = None

    def serve(self, gossip: Gossiping) -> None:
        """Begin, and hand what comes to the gossip."""
        self._gossip = gossip
        self._network.add(self, {Channel.VOTES: gossip.received, Channel.GRANDPA: gossip.received})

    def send(self, peer: str, message: bytes) -> bool:
        """Send a message; False when the peer is gone or takes no more now."""
        return self._network.send(peer, Channel.VOTES if message[0] == _VOTE else Channel.GRANDPA, message)

    def may_check(self, peer: str) -> bool:
        """Say whether there is something left of a peer's share of signatures."""
        share = self._shares.get(peer)
        return share is not None and share.left(self._clock.monotonic()) > 0

    def spend(self, peer: str, signatures: int) -> None:
        """Take so many from a peer's share, more than is left if need be."""
        share = self._shares.get(peer)
        if share is not None:
            share.spend(signatures)

    def thank(self, peer: str) -> None:
        """Note that a peer was the first to tell what counts."""
        self._network.thank(peer)

    def joined(self, peer: str, status: Status) -> None:
        """Let the gossip know of a peer on our chain."""
        self._shares[peer] = Bucket(SIGNATURES, SIGNATURES_AT_ONCE, self._clock.monotonic())
        assert self._gossip is not None, "peers come after `serve`"
        self._gossip.joined(peer)

    def left(self, peer: str) -> None:
        """Let the gossip forget a peer."""
        self._shares.pop(peer, None)
        assert self._gossip is not None, "peers come after `serve`"
        self._gossip.left(peer)

    def tick(self) -> None:
        """Do nothing: the voter reminds in its own time."""
