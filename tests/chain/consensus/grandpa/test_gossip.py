"""Who is told of which vote: to whom it is of use, once; what was met before costs no signature check."""

from dataclasses import dataclass, field

import pytest

from chain.common.faults import Fault, PeerFault
from chain.consensus.grandpa.commits import Pointless
from chain.consensus.grandpa.gossip import FINE, KEPT, KNOWN, MET, GrandpaGossip
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Forged,
    Neighbor,
    NeighborPacket,
    Unasked,
    Vote,
)
from chain.keys.pair import Keypair
from runtime.primitives.grandpa import (
    Block,
    Commit,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

ALICE = Keypair.from_suri("//Alice", "ed25519")
SET = 3
ROUND = 9
SHARE = 50
"""signatures that may be checked for a peer here"""


@dataclass
class Voter:
    """Takes what it is handed, and finds it worth passing on or not."""

    packet: NeighborPacket | None = field(default_factory=lambda: NeighborPacket(ROUND, SET, 20))
    is_news: bool = True
    refusal: Exception | None = None
    handed: list[tuple[str, bytes]] = field(default_factory=list)

    def standing(self) -> NeighborPacket | None:
        return self.packet

    def receive(self, peer: str, data: bytes) -> bool:
        self.handed.append((peer, data))
        if self.refusal is not None:
            raise self.refusal
        return self.is_news


class Table:
    """The gossip of one node with its peers, and what it sends them."""

    def __init__(self, **views: tuple[int, int, int] | None) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.spent: dict[str, int] = {}
        self.thanked: list[str] = []
        self.finals: list[tuple[str, int]] = []
        self.fetched: list[Block] = []
        self.voter = Voter()
        self.gossip = GrandpaGossip(
            self, self.fetched.append, lambda peer, final: self.finals.append((peer, final))
        )
        self.gossip.serve(self.voter)
        for peer, view in views.items():
            self.gossip.joined(peer)
            if view is not None:
                self.gossip.received(peer, neighbor(*view))
        self.sent.clear()
        self.voter.handed.clear()

    def send(self, peer: str, message: bytes) -> bool:
        self.sent.append((peer, message))
        return True

    def may_check(self, peer: str) -> bool:
        """Say whether a peer has signatures left."""
        return self.spent.get(peer, 0) < SHARE

    def spend(self, peer: str, signatures: int) -> None:
        """Note what is checked."""
        self.spent[peer] = self.spent.get(peer, 0) + signatures

    def thank(self, peer: str) -> None:
        self.thanked.append(peer)

    def told(self, message: bytes) -> list[str]:
        """Return who was sent a message since the last look."""
        found = [peer for peer, sent in self.sent if sent == message]
        self.sent.clear()
        return found


def vote(round_: int = ROUND, set_id: int = SET, number: int = 21) -> bytes:
    signed = SignedMessage(Prevote(Hash(bytes(32)), number), bytes(64), ALICE.public)
    return GOSSIP_MESSAGE.encode(Vote(round_, set_id, signed))


def commit(number: int, set_id: int = SET) -> bytes:
    target = Hash(bytes(32)), number
    signed = SignedPrecommit(Precommit(*target), bytes(64), ALICE.public)
    return GOSSIP_MESSAGE.encode(CommitMessage.of(ROUND, set_id, Commit(*target, [signed])))


def neighbor(round_: int, set_id: int, final: int) -> bytes:
    return GOSSIP_MESSAGE.encode(Neighbor(NeighborPacket(round_, set_id, final)))


def fault_of(table: Table, message: bytes) -> Fault | None:
    """Return what a message of peer `a` is blamed for."""
    try:
        table.gossip.received("a", message)
    except PeerFault as fault:
        return fault.reason
    return None


def test_a_vote_goes_to_peers_in_its_set_whose_round_is_at_most_one_away() -> None:
    table = Table(
        a=(ROUND, SET, 0), behind=(ROUND - 1, SET, 0), ahead=(ROUND + 1, SET, 0), far=(ROUND + 2, SET, 0),
        past=(ROUND - 2, SET, 0), other=(ROUND, SET + 1, 0), unknown=None,
    )  # fmt: skip
    table.gossip.send(vote(), None)
    assert table.told(vote()) == ["a", "behind", "ahead"]


def test_a_commit_goes_to_peers_in_its_set_that_have_less_final() -> None:
    table = Table(a=(1, SET, 20), has=(ROUND, SET, 21), more=(ROUND, SET, 30), other=(ROUND, SET - 1, 0))
    table.gossip.send(commit(21), None)
    assert table.told(commit(21)) == ["a"]


def test_what_one_peer_sends_is_handed_in_once_and_passed_on_to_those_who_lack_it() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0), c=(ROUND, SET, 0))
    for peer in ("a", "b", "a"):
        table.gossip.received(peer, vote())
    assert table.voter.handed == [("a", vote())]
    assert table.told(vote()) == ["b", "c"]
    table.gossip.received("c", commit(30))
    assert table.told(commit(30)) == ["a", "b"]


def test_what_the_voter_has_no_use_for_is_not_passed_on() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    table.voter.is_news = False
    table.gossip.received("a", vote())
    assert (table.voter.handed, table.sent) == ([("a", vote())], [])


def test_what_nobody_has_use_for_pushes_out_nothing_that_counted() -> None:
    table = Table(a=(ROUND, SET, 0))
    table.gossip.received("a", vote())
    table.voter.is_news = False
    for number in range(MET):
        table.spent.clear()
        table.gossip.received("a", vote(number=100 + number))
    table.voter.handed.clear()
    table.gossip.received("a", vote())
    assert table.voter.handed == []
    assert table.thanked == ["a"]


def test_other_sets_and_far_rounds_cost_a_little_and_no_signature_is_looked_at() -> None:
    table = Table(a=(ROUND, SET, 0))
    costs = {
        vote(ROUND - 2): Fault.OUT_OF_DATE,
        vote(ROUND + 2): Fault.OUT_OF_TURN,
        vote(ROUND, SET - 1): Fault.OUT_OF_DATE,
        vote(ROUND, SET + 1): Fault.OUT_OF_TURN,
        commit(30, SET + 1): Fault.OUT_OF_TURN,
        vote(ROUND - 1): None,
        vote(ROUND + 1): None,
        commit(30): None,
    }
    assert {message: fault_of(table, message) for message in costs} == costs
    assert [message for _, message in table.voter.handed] == [vote(ROUND - 1), vote(ROUND + 1), commit(30)]


def test_votes_that_are_not_looked_at_are_not_remembered_and_nothing_is_sent_again_for_them() -> None:
    """Else a peer that says much nonsense has all votes of three rounds sent to it again and again."""
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    real = [vote(number=number) for number in range(SHARE)]
    for each in real:
        table.gossip.received("b", each)
    assert len(table.sent) == SHARE
    for number in range(KNOWN):
        assert fault_of(table, vote(ROUND + 2, number=number)) is Fault.OUT_OF_TURN
    table.sent.clear()
    table.gossip.received("a", neighbor(ROUND, SET, 1))
    assert table.sent == []


def test_a_forged_vote_is_the_sender_s_fault_and_goes_no_further() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    table.voter.refusal = Forged("nobody said that")
    assert fault_of(table, vote()) is Fault.FORGED
    assert fault_of(table, vote()) is None  # met before: it is not looked at again
    assert (len(table.voter.handed), table.sent) == (1, [])


@pytest.mark.parametrize(
    ("refusal", "message", "fault"),
    [
        (Pointless("#30"), commit(30), Fault.BAD_COMMIT),
        (Unasked(), GOSSIP_MESSAGE.encode(CatchUp(SET, ROUND, [], [], Hash(bytes(32)), 0)), Fault.NOT_ASKED),
    ],
)
def test_what_no_voter_has_use_for_costs(refusal: Exception, message: bytes, fault: Fault) -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    table.voter.refusal = refusal
    assert fault_of(table, message) is fault
    assert table.sent == []


def test_a_peer_has_a_share_of_signatures_and_false_ones_cost_more_of_it() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    votes = [vote(number=number) for number in range(2 * SHARE)]
    assert [fault_of(table, each) for each in votes] == [None] * SHARE + [Fault.TOO_MANY] * SHARE
    table.gossip.received("b", votes[-1])  # it was not met: who sends it next is heard
    assert table.voter.handed[-1] == ("b", votes[-1])
    table.voter.refusal = Forged("nobody said that")
    with pytest.raises(PeerFault):
        table.gossip.received("b", vote(number=1_000))
    assert table.spent["b"] == 2 + FINE
    assert len(table.voter.handed) == SHARE + 2


def test_of_too_many_votes_those_of_the_oldest_round_go_first() -> None:
    table = Table(a=None)
    table.gossip.send(vote(ROUND - 1, number=0), None)
    for number in range(KEPT):
        table.gossip.send(vote(number=number), None)
    table.gossip.received("a", neighbor(ROUND, SET, 0))
    assert table.sent == [("a", vote(number=number)) for number in range(KEPT)]
    table.gossip.received("a", neighbor(ROUND, SET, 1))
    assert len(table.sent) == KEPT, "what a peer has is not sent again"


def test_a_peer_that_arrives_in_a_round_is_told_the_votes_it_has_missed() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND - 3, SET, 0))
    table.gossip.send(vote(), None)
    table.gossip.received("a", vote(ROUND + 1))
    assert [peer for peer, _ in table.sent] == ["a"]
    table.sent.clear()
    table.gossip.received("b", neighbor(ROUND, SET, 5))
    assert table.sent == [("b", vote()), ("b", vote(ROUND + 1))]
    assert table.finals[-1] == ("b", 5)
    table.sent.clear()
    table.gossip.received("b", neighbor(ROUND, SET, 6))
    assert table.sent == []


def test_votes_of_rounds_long_over_are_forgotten() -> None:
    table = Table(a=(ROUND - 1, SET, 0))
    table.gossip.send(vote(ROUND - 1), None)
    table.voter.packet = NeighborPacket(ROUND + 5, SET, 40)
    table.gossip.send(neighbor(ROUND + 5, SET, 40), None)
    table.sent.clear()
    table.gossip.joined("late")
    table.gossip.received("late", neighbor(ROUND - 1, SET, 0))
    assert table.sent == [("late", neighbor(ROUND + 5, SET, 40))]


def test_a_vote_that_is_said_again_is_sent_again() -> None:
    """A voter repeats its own votes when nothing moves: what was sent may not have arrived."""
    table = Table(a=(ROUND, SET, 0))
    for _ in range(2):
        table.gossip.send(vote(), None)
        assert table.told(vote()) == ["a"]


def test_neighbour_packets_go_to_everybody_and_may_not_go_backwards() -> None:
    table = Table(a=(ROUND, SET, 20), b=None)
    table.gossip.send(neighbor(ROUND, SET, 20), None)
    assert table.told(neighbor(ROUND, SET, 20)) == ["a", "b"]
    assert fault_of(table, neighbor(ROUND + 1, SET, 21)) is None
    assert fault_of(table, neighbor(ROUND, SET, 21)) is Fault.BACKWARDS
    assert fault_of(table, neighbor(1, SET + 1, 21)) is None


def test_a_new_peer_is_told_where_we_stand() -> None:
    table = Table()
    table.gossip.joined("a")
    assert table.told(neighbor(ROUND, SET, 20)) == ["a"]
    table.voter.packet = None
    table.gossip.joined("b")
    assert table.sent == []


def test_catch_ups_are_between_two_peers() -> None:
    table = Table(a=(ROUND, SET, 0), b=(ROUND, SET, 0))
    request = GOSSIP_MESSAGE.encode(CatchUpRequest(ROUND - 1, SET))
    table.gossip.received("a", request)
    table.gossip.send(request, "b")
    assert (table.voter.handed, table.sent) == ([("a", request)], [("b", request)])


@pytest.mark.parametrize("message", [b"", b"\x05", b"\x00", b"\x01" * 16, b"\xff" * 99])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(DecodeError):
        Table(a=(ROUND, SET, 0)).gossip.received("a", message)
