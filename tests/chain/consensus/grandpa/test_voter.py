"""The rules of a voter, one by one: what it says when, and whom it believes."""

from dataclasses import replace

import pytest

from chain.consensus.grandpa.effects import (
    Cast,
    Due,
    Effect,
    Fetch,
    Finalize,
    RoundRecord,
    Save,
    Send,
    SetTimer,
    Timer,
    VoterRecord,
)
from chain.consensus.grandpa.messages import CatchUp, CatchUpRequest, CommitMessage, NeighborPacket, Vote
from chain.consensus.grandpa.round import VoterSet
from chain.consensus.grandpa.voter import CATCH_UP_EVERY, GOSSIP_DURATION, Voter
from runtime.primitives.grandpa import (
    Block,
    Commit,
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
)
from runtime.primitives.types import Hash
from tests.chain.consensus.grandpa.network import GENESIS, Blocks, View

KEYS = [bytes([index + 1]) * 32 for index in range(4)]
A, B, C, D = KEYS


def signed(voter: bytes, message: Message) -> SignedMessage:
    return SignedMessage(message, bytes(64), voter)


def record_of(number: int, base: Block, *votes: SignedMessage) -> RoundRecord:
    return RoundRecord(number, base[0], base[1], list(votes))


class Scene:
    """A voter above a small chain: genesis, then x1 - x2, and y2 - y3 on x1."""

    def __init__(self, *local: bytes, change_every: int = 0) -> None:
        self.blocks = Blocks(change_every)
        self.view = View(self.blocks)
        self.x1 = self.blocks.extend(GENESIS)
        self.x2 = self.blocks.extend(self.x1)
        self.y3 = self.blocks.extend(self.x1, 2)
        self.local = local

    def voter(self, record: VoterRecord | None = None) -> Voter:
        """Return a voter that has not started."""
        voters = VoterSet([(key, 1) for key in KEYS])
        start = record or VoterRecord.fresh(0, GENESIS)
        return Voter(self.view, voters, self.local, start, self.view.final)

    def after_round_one(self, *votes: SignedMessage, final: Block = GENESIS) -> VoterRecord:
        """Return what was saved when round 1 was over."""
        self.view.final = final
        return VoterRecord(0, record_of(1, GENESIS, *votes), record_of(2, final))


def casts(effects: list[Effect]) -> list[tuple[bytes, Message]]:
    return [(effect.voter, effect.message) for effect in effects if isinstance(effect, Cast)]


def timers(effects: list[Effect]) -> list[tuple[Due, float]]:
    return [(each.timer.due, each.seconds) for each in effects if isinstance(each, SetTimer)][1:]


def due(voter: Voter, kind: Due) -> list[Effect]:
    return voter.timer(Timer(0, voter.round, kind))


def vote(voter: Voter, key: bytes, message: Message, round_: int | None = None) -> list[Effect]:
    return voter.vote(Vote(round_ or voter.round, 0, signed(key, message)))


def sent(effects: list[Effect], kind: type) -> list[tuple[object, str | None]]:
    found = [each for each in effects if isinstance(each, Send) and isinstance(each.message, kind)]
    return [(each.message, each.peer) for each in found]


def commit_of(target: Block, *keys: bytes, round_: int = 1) -> CommitMessage:
    precommits = [SignedPrecommit(Precommit(*target), bytes(64), key) for key in keys]
    return CommitMessage.of(round_, 0, Commit(*target, precommits))


@pytest.mark.parametrize(("local", "prevote", "precommit"), [([A], 2, 4), ([A, B], 2, 4), ([A, B, C], 1, 1)])
def test_a_round_starts_with_its_timers_once_there_is_a_block(
    local: list[bytes], prevote: int, precommit: int
) -> None:
    scene = Scene(*local)
    voter = scene.voter()
    assert timers(voter.start()) == []
    scene.view.learn(scene.x1)
    expected = [(Due.PREVOTE, prevote * GOSSIP_DURATION), (Due.PRECOMMIT, precommit * GOSSIP_DURATION)]
    assert [
        (each.timer.due, each.seconds) for each in voter.chain_changed() if isinstance(each, SetTimer)
    ] == expected
    assert casts(due(voter, Due.PREVOTE)) == [(key, Prevote(*scene.x1)) for key in local]


def test_a_timer_of_another_round_or_set_says_nothing() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    assert voter.timer(Timer(1, 1, Due.PREVOTE)) == voter.timer(Timer(0, 2, Due.PREVOTE)) == []


def test_a_precommit_waits_for_its_time_or_for_every_prevote() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    message = Prevote(*scene.x1)
    for last, kind in ((None, Due.PRECOMMIT), (D, None)):
        voter = scene.voter()
        voter.start()
        due(voter, Due.PREVOTE)
        voter.signed(Vote(1, 0, signed(A, message)))
        assert casts(vote(voter, B, message)) == casts(vote(voter, C, message)) == []
        effects = vote(voter, last, message) if last else due(voter, kind or Due.PRECOMMIT)
        assert casts(effects) == [(A, Precommit(*scene.x1))]


def test_no_precommit_without_a_ghost() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    due(voter, Due.PREVOTE)
    assert due(voter, Due.PRECOMMIT) == []


def test_the_primary_proposes_what_may_have_become_final() -> None:
    """Round 1: two precommits for x1 and one for genesis; the fourth may have made x1 final."""
    scene = Scene(*KEYS)
    scene.view.learn(scene.x1)
    votes = [signed(key, Prevote(*scene.x1)) for key in (A, B, C)]
    votes += [
        signed(A, Precommit(*scene.x1)),
        signed(B, Precommit(*scene.x1)),
        signed(C, Precommit(*GENESIS)),
    ]
    record = scene.after_round_one(*votes)
    effects = scene.voter(record).start()
    assert casts(effects) == [(C, PrimaryPropose(*scene.x1))]
    done = signed(D, Precommit(*scene.x1))
    finished = scene.voter(scene.after_round_one(*votes, done)).start()
    assert [each.target for each in finished if isinstance(each, Finalize)] == [scene.x1]
    assert casts(finished) == []


def test_a_prevote_follows_a_proposal_between_the_last_estimate_and_ghost() -> None:
    scene = Scene(A)
    scene.view.learn(scene.y3)
    scene.view.learn(scene.x2)
    votes = [signed(key, Prevote(*scene.x2)) for key in (A, B, C)]
    votes += [signed(key, Precommit(*scene.x1)) for key in (B, C, D)]
    votes += [signed(A, Precommit(*scene.x2))]
    record = scene.after_round_one(*votes, final=scene.x1)
    for proposer, proposal, expected in (
        (None, scene.x2, scene.y3),
        (C, scene.x2, scene.x2),
        (D, scene.x2, scene.y3),  # not the primary
        (C, scene.x1, scene.y3),  # not above the estimate
        (C, scene.y3, scene.y3),  # not below the ghost
    ):
        voter = scene.voter(record)
        voter.start()
        if proposer:
            vote(voter, proposer, PrimaryPropose(*proposal))
        assert casts(due(voter, Due.PREVOTE)) == [(A, Prevote(*expected))]


@pytest.mark.parametrize(
    ("blocks", "change_every", "expected"), [(16, 0, 16), (17, 0, 13), (100, 0, 75), (9, 4, 4)]
)
def test_how_far_a_prevote_reaches(blocks: int, change_every: int, expected: int) -> None:
    """All of 16 blocks, three quarters of more, and never past a set change."""
    scene = Scene(A, change_every=change_every)
    head = scene.blocks.extend(GENESIS, blocks)
    scene.view.learn(head)
    voter = scene.voter()
    voter.start()
    assert casts(due(voter, Due.PREVOTE)) == [(A, Prevote(*scene.blocks.ancestor(head, expected)))]


def test_a_prevote_is_saved_before_it_is_sent_and_not_cast_again() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    due(voter, Due.PREVOTE)
    own = Vote(1, 0, signed(A, Prevote(*scene.x1)))
    save, send = voter.signed(own)
    assert save == Save(VoterRecord(0, None, record_of(1, GENESIS, own.message)))
    assert send == Send(own)
    scene.view.learn(scene.y3)
    again = scene.voter(save.record)
    again.start()
    assert casts(due(again, Due.PREVOTE)) == []
    message = Prevote(*scene.x1)
    for key in (B, C, D):
        effects = vote(again, key, message)
    assert casts(effects) == [(A, Precommit(*scene.x1))]


def test_votes_of_the_next_round_are_kept_and_of_others_not() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    early = [signed(key, Prevote(*scene.x1)) for key in (B, C, D)]
    for each in early:
        assert voter.vote(Vote(2, 0, each)) == voter.vote(Vote(3, 0, each)) == []
        assert voter.vote(Vote(1, 9, each)) == []
        vote(voter, each.id, Prevote(*scene.x1))
    for key in (B, C, D):
        vote(voter, key, Precommit(*scene.x1))
    due(voter, Due.PRECOMMIT)
    assert voter.round == 2
    assert voter.rounds[-1].votes() == early


def test_a_vote_for_a_missing_block_asks_for_it_and_counts_when_it_comes() -> None:
    scene = Scene(A)
    voter = scene.voter()
    voter.start()
    assert vote(voter, B, Prevote(*scene.x1)) == [Fetch(scene.x1)]
    assert vote(voter, B, Prevote(*scene.x1)) == []
    scene.view.learn(scene.x1)
    voter.chain_changed()
    assert [each.id for each in voter.rounds[-1].votes()] == [B]


def test_a_commit_makes_final_at_once_and_later_if_its_block_is_missing() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    effects = voter.commit(commit_of(scene.x1, B, C, D, round_=7))
    assert [each.target for each in effects if isinstance(each, Finalize)] == [scene.x1]
    assert voter.commit(commit_of(scene.y3, B, C, round_=8)) == []
    assert voter.commit(commit_of(scene.y3, B, C, D, round_=8)) == [Fetch(scene.y3)]
    assert voter.commit(commit_of(scene.y3, B, C, D, round_=8)) == []
    scene.view.learn(scene.y3)
    effects = voter.chain_changed()
    assert [(each.target, each.round) for each in effects if isinstance(each, Finalize)] == [(scene.y3, 8)]


def test_a_commit_without_its_weight_is_neither_believed_nor_kept() -> None:
    scene = Scene(A)
    voter = scene.voter()
    voter.start()
    stranger = bytes([9]) * 32
    assert voter.commit(commit_of(scene.x1, B, B, C, stranger)) == []
    scene.view.learn(scene.x1)
    assert [each for each in voter.chain_changed() if isinstance(each, Finalize)] == []
    good = commit_of(scene.x1, B, C, D)
    torn = replace(good, message=replace(good.message, auth_data=[]))
    assert voter.commit(torn) == []
    assert voter.commit(replace(good, set_id=1)) == []
    assert voter.commit(commit_of((scene.x1[0], 5), B, C, D)) == []


def test_votes_for_lower_blocks_do_not_hold_a_commit_for_a_higher_one() -> None:
    """Its target is not signed: copied votes must not keep the place of a real commit."""
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.start()
    real = commit_of(scene.x1, B, C, D)
    nowhere = Hash(bytes([7]) * 32)
    lie = replace(real, message=replace(real.message, target_hash=nowhere, target_number=1 << 31))
    assert voter.commit(lie) == []
    assert voter.commit(commit_of(scene.y3, B, C, D, round_=8)) == [Fetch(scene.y3)]


def finished(scene: Scene) -> Voter:
    """Return a voter in round 2 that has seen round 1 finalise x1."""
    scene.view.learn(scene.x1)
    votes = [signed(key, kind(*scene.x1)) for kind in (Prevote, Precommit) for key in (B, C, D)]
    voter = scene.voter(scene.after_round_one(*votes))
    voter.start()
    return voter


def test_a_peer_two_rounds_ahead_is_asked_once_in_a_while() -> None:
    scene = Scene(A)
    voter = finished(scene)
    assert voter.neighbor("p", NeighborPacket(3, 0, 1), 0.0) == []
    assert voter.neighbor("p", NeighborPacket(9, 1, 1), 0.0) == []
    request = [Send(CatchUpRequest(3, 0), "p")]
    assert voter.neighbor("p", NeighborPacket(4, 0, 1), 0.0) == request
    assert voter.neighbor("p", NeighborPacket(4, 0, 1), CATCH_UP_EVERY - 1) == []
    assert voter.neighbor("q", NeighborPacket(4, 0, 1), 1.0) == [Send(CatchUpRequest(3, 0), "q")]
    assert voter.neighbor("p", NeighborPacket(4, 0, 1), CATCH_UP_EVERY) == request


def test_one_round_ahead_is_asked_only_where_the_round_lasts() -> None:
    """Where files were lost, one voter alone may know how a round ended; else votes will do."""
    scene = Scene(A)
    voter = scene.voter(scene.after_round_one())
    voter.start()
    ahead = NeighborPacket(3, 0, 0)
    assert voter.neighbor("p", ahead, 0.0) == []
    due(voter, Due.REMINDER)
    assert voter.neighbor("p", ahead, 0.0) == []
    due(voter, Due.REMINDER)
    assert voter.neighbor("p", ahead, 0.0) == [Send(CatchUpRequest(2, 0), "p")]


def test_a_peer_that_has_not_heard_of_the_last_commit_is_told() -> None:
    scene = Scene(A)
    voter = finished(scene)
    told = voter.neighbor("p", NeighborPacket(2, 0, 0), 0.0)
    assert sent(told, CommitMessage) == [(commit_of(scene.x1, B, C, D), "p")]


def test_a_catch_up_is_granted_once_in_a_while_and_takes_another_voter_along() -> None:
    scene = Scene(A)
    ahead = finished(scene)
    assert ahead.catch_up_request("p", CatchUpRequest(2, 0), 0.0) == []
    assert ahead.catch_up_request("p", CatchUpRequest(1, 1), 0.0) == []
    [(answer, peer)] = sent(ahead.catch_up_request("p", CatchUpRequest(1, 0), 0.0), CatchUp)
    assert isinstance(answer, CatchUp)
    assert (peer, len(answer.prevotes), len(answer.precommits)) == ("p", 3, 3)
    assert ahead.catch_up_request("p", CatchUpRequest(1, 0), 1.0) == []

    far = replace(answer, round=40)
    behind = Scene(A)
    behind.view.learn(behind.x1)
    voter = behind.voter()
    voter.start()
    assert voter.catch_up("p", far) == []  # nobody asked
    voter.neighbor("p", NeighborPacket(41, 0, 1), 0.0)
    for wrong in (
        replace(far, set_id=1),
        replace(far, round=0),
        replace(far, precommits=far.precommits[:2]),
        replace(far, base_hash=behind.y3[0], base_number=3),
    ):
        assert voter.catch_up("p", wrong) == []
    effects = voter.catch_up("p", far)
    assert [each.target for each in effects if isinstance(each, Finalize)] == [behind.x1]
    assert voter.round == 41


def test_a_catch_up_fetches_the_blocks_it_votes_for() -> None:
    """They may lie on a fork that nobody follows any more."""
    [(answer, _)] = sent(finished(Scene(A)).catch_up_request("p", CatchUpRequest(1, 0), 0.0), CatchUp)
    assert isinstance(answer, CatchUp)
    scene = Scene(A)
    voter = scene.voter()
    voter.start()
    voter.neighbor("p", NeighborPacket(41, 0, 1), 0.0)
    assert voter.catch_up("p", replace(answer, round=40)) == [Fetch(scene.x1)]
    assert Fetch(scene.x1) in voter.timer(Timer(0, 0, Due.REMINDER))
    scene.view.learn(scene.x1)
    effects = voter.chain_changed()
    assert [each.target for each in effects if isinstance(each, Finalize)] == [scene.x1]
    assert voter.round == 41
    unknown = replace(answer, round=60, base_hash=bytes(32), base_number=9)
    voter.neighbor("p", NeighborPacket(61, 0, 1), CATCH_UP_EVERY)
    assert voter.catch_up("p", unknown) == voter.chain_changed() == []


def test_a_reminder_says_again_what_this_voter_said_and_no_other() -> None:
    scene = Scene(B)
    voter = finished(scene)
    effects = voter.timer(Timer(0, 0, Due.REMINDER))
    own = [Vote(1, 0, signed(B, kind(*scene.x1))) for kind in (Prevote, Precommit)]
    assert sent(effects, Vote) == [(each, None) for each in own]
    assert sent(effects, CommitMessage) == []  # but to those whose height says that they lack it
    assert isinstance(effects[0], SetTimer)


def test_finality_from_elsewhere_ends_what_waited_for_it() -> None:
    scene = Scene(A)
    scene.view.learn(scene.x1)
    voter = scene.voter()
    voter.finalized(scene.x1)
    assert voter.final == scene.x1
    voter.finalized(GENESIS)
    assert voter.final == scene.x1


def turn(local: tuple[bytes, ...]) -> tuple[Voter, Scene, list[Effect]]:
    """Return a voter that has just seen round 1 finalise x1, and what it wants done."""
    scene = Scene(*local)
    scene.view.learn(scene.x1)
    votes = [signed(key, kind(*scene.x1)) for kind in (Prevote, Precommit) for key in (B, C, D)]
    voter = scene.voter(scene.after_round_one(*votes))
    return voter, scene, voter.start()


@pytest.mark.parametrize(
    ("local", "place"), [((B,), 0), ((C,), 1), ((D,), 2), ((A,), 3), ((A, C), 1), ((A, B), 0)]
)
def test_the_primary_sends_the_commit_and_the_others_wait_for_their_turn(
    local: tuple[bytes, ...], place: int
) -> None:
    voter, scene, effects = turn(local)
    commit = commit_of(scene.x1, B, C, D)
    waits = [each for each in effects if isinstance(each, SetTimer) and each.timer.due is Due.COMMIT]
    assert sent(effects, CommitMessage) == ([] if place else [(commit, None)])
    assert [each.seconds for each in waits] == ([GOSSIP_DURATION * (1 + place / 4)] if place else [])
    for wait in waits:
        assert voter.timer(wait.timer) == [Send(commit)]
        assert voter.timer(wait.timer) == []


def test_a_voter_is_silent_about_a_commit_that_it_has_heard() -> None:
    voter, scene, _ = turn((A,))
    due = Timer(0, 1, Due.COMMIT)
    assert voter.commit(commit_of(scene.x1, B, C, D)) == []
    assert voter.timer(due) == []


@pytest.mark.parametrize("said", ["too few", "lower"])
def test_what_proves_less_silences_nobody(said: str) -> None:
    voter, scene, _ = turn((A,))
    heard = commit_of(scene.x1, B, C) if said == "too few" else commit_of(GENESIS, B, C, D)
    assert voter.commit(heard) == []
    assert voter.timer(Timer(0, 1, Due.COMMIT)) == [Send(commit_of(scene.x1, B, C, D))]


def test_who_only_follows_sends_no_commit() -> None:
    voter, _, effects = turn(())
    assert sent(effects, CommitMessage) == []
    assert voter.timer(Timer(0, 1, Due.COMMIT)) == []
