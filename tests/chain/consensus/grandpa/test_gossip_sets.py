"""What is said of one set of voters to who has gone on to the next, and the other way round."""

from dataclasses import dataclass, field

import pytest

from chain.common.faults import Fault, PeerFault
from chain.consensus.grandpa.gossip import GrandpaGossip
from chain.consensus.grandpa.messages import GOSSIP_MESSAGE, CommitMessage, Neighbor, NeighborPacket, Vote
from runtime.primitives.grandpa import Commit, Precommit, Prevote, SignedMessage, SignedPrecommit
from runtime.primitives.types import Hash

BLOCK = Hash(bytes([7]) * 32)
STANDING = NeighborPacket(3, 5, 10)
VOTER = bytes([1]) * 32


@dataclass
class Voter:
    """Takes whatever comes, and finds it worth passing on."""

    heard: list[bytes] = field(default_factory=list)

    def receive(self, peer: str, data: bytes) -> bool:
        """Note a message."""
        self.heard.append(data)
        return True

    def standing(self) -> NeighborPacket:
        """Return where it stands."""
        return STANDING


@dataclass
class Lines:
    """What was sent to whom."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    spent: int = 0

    def send(self, peer: str, message: bytes) -> bool:
        """Note a message."""
        self.sent.append((peer, message))
        return True

    def may_check(self, peer: str) -> bool:
        """Say whether a peer has signatures left."""
        return True

    def spend(self, peer: str, signatures: int) -> None:
        """Note what is checked."""
        self.spent += signatures

    def thank(self, peer: str) -> None:
        """Do nothing: what counts was met before."""


def commit(set_id: int) -> bytes:
    signed = SignedPrecommit(Precommit(BLOCK, 11), bytes(64), VOTER)
    return GOSSIP_MESSAGE.encode(CommitMessage.of(3, set_id, Commit(BLOCK, 11, [signed])))


def vote(set_id: int) -> bytes:
    return GOSSIP_MESSAGE.encode(Vote(3, set_id, SignedMessage(Prevote(BLOCK, 11), bytes(64), VOTER)))


def scene() -> tuple[GrandpaGossip, Voter, Lines]:
    """Return the gossip of a node with two peers that stand where it stands."""
    voter, lines = Voter(), Lines()
    gossip = GrandpaGossip(lines, lambda block: None, lambda peer, number: None)
    gossip.serve(voter)
    for peer in ("one", "other"):
        gossip.joined(peer)
        gossip.received(peer, GOSSIP_MESSAGE.encode(Neighbor(STANDING)))
    voter.heard.clear()
    lines.sent.clear()
    return gossip, voter, lines


def test_the_end_of_the_set_before_is_heard_once_and_not_passed_on() -> None:
    gossip, voter, lines = scene()
    gossip.received("one", commit(4))
    gossip.received("other", commit(4))
    assert (voter.heard, lines.sent) == ([commit(4)], [])
    gossip.received("one", commit(5))
    assert (voter.heard, lines.sent) == ([commit(4), commit(5)], [("other", commit(5))])


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (vote(4), Fault.OUT_OF_DATE),
        (commit(3), Fault.OUT_OF_DATE),
        (vote(6), Fault.OUT_OF_TURN),
        (commit(6), Fault.OUT_OF_TURN),
    ],
)
def test_other_sets_are_not_even_heard(message: bytes, fault: Fault) -> None:
    gossip, voter, lines = scene()
    with pytest.raises(PeerFault) as found:
        gossip.received("one", message)
    assert (found.value.reason, voter.heard, lines.sent) == (fault, [], [])
