"""GRANDPA's messages on the wire: votes have a channel of their own, ahead of everything longer."""

from typing import Protocol

from chain.network.messages import Channel, Status
from chain.network.service import Network

_VOTE = 0
"""how a vote begins; what else there is, is longer and rarer"""


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

    def __init__(self, network: Network) -> None:
        self._network = network
        self._gossip: Gossiping | None = None

    def serve(self, gossip: Gossiping) -> None:
        """Begin, and hand what comes to the gossip."""
        self._gossip = gossip
        self._network.add(self, {Channel.VOTES: gossip.received, Channel.GRANDPA: gossip.received})

    def send(self, peer: str, message: bytes) -> bool:
        """Send a message; False when the peer is gone or takes no more now."""
        return self._network.send(peer, Channel.VOTES if message[0] == _VOTE else Channel.GRANDPA, message)

    def joined(self, peer: str, status: Status) -> None:
        """Let the gossip know of a peer on our chain."""
        assert self._gossip is not None, "peers come after `serve`"
        self._gossip.joined(peer)

    def left(self, peer: str) -> None:
        """Let the gossip forget a peer."""
        assert self._gossip is not None, "peers come after `serve`"
        self._gossip.left(peer)

    def tick(self) -> None:
        """Do nothing: the voter reminds in its own time."""
