"""A round proves what the paper's definitions say, whatever comes in, in whatever order."""

import random
from itertools import islice

import pytest

from chain.consensus.grandpa.graph import VoteGraph
from chain.consensus.grandpa.round import (
    PRECOMMIT,
    PREVOTE,
    Counted,
    Round,
    RoundState,
    VoterSet,
    proven,
)
from runtime.primitives.grandpa import (
    Commit,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
)
from runtime.primitives.types import Hash
from tests.chain.consensus.grandpa.differential import (
    Blocks,
    as_verdict,
    campaign,
    hash_of,
    round_of,
    vote,
    voter_id,
)
from tests.chain.consensus.grandpa.model import Model, Tree, Verdict, cases

# 0 - 1 - 2 - 3
#      \- 4 - 5
FORKED = Tree((0, 0, 1, 2, 1, 4))
FOUR = Model(FORKED, (1, 1, 1, 1), 0)


def play(model: Model, *votes: tuple[int, int, int]) -> Round:
    """Return a round with these votes: phase, voter, block."""
    round_, blocks = round_of(model)
    for phase, voter, target in votes:
        round_.add(vote(blocks, phase, voter, target))
    return round_


def prevotes(*targets: int) -> list[tuple[int, int, int]]:
    return [(PREVOTE, voter, target) for voter, target in enumerate(targets)]


def precommits(*targets: int) -> list[tuple[int, int, int]]:
    return [(PRECOMMIT, voter, target) for voter, target in enumerate(targets)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_verdict_is_the_papers_after_every_vote_of_random_rounds(seed: int) -> None:
    """`make rounds` plays 20,000 rounds; bench/results/grandpa_round.json has the last run."""
    assert campaign(seed, 1_000) > 8_000


def test_the_order_of_votes_changes_nothing_but_who_is_first() -> None:
    rng = random.Random(3)
    for case in islice(cases(4), 200):
        votes = [
            step for step in case.steps if sum(each[:2] == step[:2] for each in case.steps) == 1
        ]  # no equivocations
        forward, blocks = round_of(case.model)
        other, _ = round_of(case.model)
        for is_precommit, voter, target in votes:
            forward.add(vote(blocks, is_precommit, voter, target))
        rng.shuffle(votes)
        for is_precommit, voter, target in votes:
            other.add(vote(blocks, is_precommit, voter, target))
        assert forward.state == other.state


def test_a_round_from_the_first_prevote_to_finality() -> None:
    round_, blocks = round_of(FOUR)
    seen = []
    for step in [*prevotes(3, 3, 2, 2), *precommits(2, 2, 2)]:
        assert round_.add(vote(blocks, *step)) is Counted.NEW
        seen.append(as_verdict(round_.state))
    nothing = Verdict(None, None, None, False)
    undecided = Verdict(2, 2, None, False)
    assert seen == [nothing, nothing, undecided, undecided, undecided, undecided, Verdict(2, 2, 2, True)]
    commit = round_.commit()
    assert commit is not None
    assert commit == Commit(
        hash_of(2),
        1_002,
        [
            SignedPrecommit(
                Precommit(hash_of(2), 1_002), bytes([PRECOMMIT, voter, 2]).ljust(64), voter_id(voter)
            )
            for voter in range(3)
        ],
    )
    assert proven(commit, round_.voters, blocks) == commit


def test_the_estimate_falls_to_what_can_still_be_finalised() -> None:
    """Block 3 lacks two precommits: a silent voter and an equivocator could bring them, the latter not."""
    assert as_verdict(play(FOUR, *prevotes(3, 3, 3), *precommits(1, 1, 3)).state) == Verdict(3, 3, 1, True)
    assert as_verdict(play(FOUR, *prevotes(3, 3, 3), *precommits(1, 1, 1, 3)).state) == Verdict(3, 1, 1, True)


def test_a_child_that_may_still_win_keeps_the_round_open() -> None:
    """Precommits above the ghost may come from voters who have seen more prevotes."""
    open_ = play(FOUR, *prevotes(3, 3, 2), *precommits(3, 3, 2))
    assert as_verdict(open_.state) == Verdict(2, 2, 2, False)
    settled = play(FOUR, *prevotes(3, 3, 2), *precommits(3, 2, 2, 2))
    assert as_verdict(settled.state) == Verdict(2, 2, 2, True)


def test_an_equivocator_counts_once_for_every_block_and_leaves_proof() -> None:
    round_, blocks = round_of(FOUR)
    first, second = vote(blocks, PREVOTE, 0, 5), vote(blocks, PREVOTE, 0, 3)
    outcomes = [
        round_.add(each)
        for each in (
            first,
            first,
            second,
            vote(blocks, PREVOTE, 0, 2),
            vote(blocks, PREVOTE, 1, 3),
            vote(blocks, PREVOTE, 2, 3),
        )
    ]
    new, nothing = Counted.NEW, Counted.NOTHING
    assert outcomes == [new, nothing, Counted.EQUIVOCATION, nothing, new, new]
    assert as_verdict(round_.state) == Verdict(3, 3, None, False)
    assert round_.equivocations() == [(first, second)]
    assert [each for each in round_.votes() if each.id == voter_id(0)] == [first, second]


def test_a_commit_shows_an_equivocator_by_one_vote_or_by_both() -> None:
    """Voter 2 votes for 3 and 5; for block 3 its vote there is enough."""
    one = play(FOUR, *precommits(3, 3, 5), (PRECOMMIT, 2, 3)).commit()
    assert one is not None
    assert [signed.precommit.target_hash for signed in one.precommits] == [hash_of(3)] * 3
    both = play(FOUR, *precommits(3, 3, 2), (PRECOMMIT, 2, 1)).commit()
    assert both is not None
    assert both.target_hash == hash_of(3)
    assert [signed.precommit.target_hash for signed in both.precommits] == [
        hash_of(each) for each in (3, 3, 2, 1)
    ]
    assert play(FOUR, *precommits(3, 3, 4), (PRECOMMIT, 2, 5)).commit() is None


def test_strangers_proposals_and_unknown_blocks_do_not_count() -> None:
    round_, blocks = round_of(Model(FORKED, (1, 1, 1, 1), 1))
    stranger = vote(blocks, PREVOTE, 9, 3)
    proposal = SignedMessage(PrimaryPropose(*blocks.block(3)), bytes(64), voter_id(0))
    assert round_.add(stranger) is round_.add(proposal) is Counted.NOTHING
    below = vote(blocks, PREVOTE, 0, 0)
    missing = SignedMessage(Precommit(hash_of(77), 1_003), bytes(64), voter_id(0))
    wrong_height = SignedMessage(Precommit(hash_of(3), 1_004), bytes(64), voter_id(1))
    assert [round_.add(each) for each in (below, missing, wrong_height)] == [Counted.UNKNOWN_BLOCK] * 3
    assert round_.votes() == []
    assert round_.state == RoundState()


@pytest.mark.parametrize("known", [(), (0,), (1,)], ids=["neither", "first", "second"])
def test_an_equivocator_is_one_whatever_blocks_are_known(known: tuple[int, ...]) -> None:
    """Rounds end alike only where all see the same equivocators: here voter 0 makes a majority of 3."""
    round_, blocks = round_of(Model(FORKED, (1, 1, 1, 1), 1))
    both = [
        vote(blocks, PREVOTE, 0, 5)
        if place in known
        else SignedMessage(Prevote(hash_of(70 + place), 1_003), bytes(64), voter_id(0))
        for place in (0, 1)
    ]
    first = Counted.NEW if known == (0,) else Counted.UNKNOWN_BLOCK
    assert [round_.add(each) for each in both] == [first, Counted.EQUIVOCATION]
    assert [round_.add(vote(blocks, PREVOTE, voter, 3)) for voter in (1, 2)] == [Counted.NEW] * 2
    assert round_.add(vote(blocks, PREVOTE, 0, 3)) is Counted.NOTHING
    assert as_verdict(round_.state) == Verdict(3, 3, None, False)
    assert round_.equivocations() == [(both[0], both[1])]
    assert round_.weight(PREVOTE) == 3
    restored, _ = round_of(Model(FORKED, (1, 1, 1, 1), 1))
    for each in round_.votes():
        restored.add(each)
    assert restored.state == round_.state


@pytest.mark.parametrize(
    "authorities", [[], [(voter_id(0), 1), (voter_id(0), 1)], [(voter_id(0), 1), (voter_id(1), 0)]]
)
def test_a_set_lists_each_voter_once_with_a_weight(authorities: list[tuple[bytes, int]]) -> None:
    with pytest.raises(ValueError, match="lists each voter once"):
        VoterSet(authorities)


def test_voters_take_turns_as_primary() -> None:
    voters = VoterSet([(voter_id(voter), 1 + voter) for voter in range(3)])
    assert [voters.primary(round_) for round_ in range(1, 6)] == [voter_id(each) for each in (1, 2, 0, 1, 2)]
    assert (voters.total, voters.threshold) == (6, 5)


@pytest.mark.parametrize(
    ("targets", "final"),
    [((3, 3, 3), 3), ((3, 3), None), ((1, 2, 3), 1), ((2, 3, 3), 2), ((3, 5, 3), None), ((1, 5, 3), 1)],
)
def test_a_commit_proves_the_highest_block_it_can_and_no_other(
    targets: tuple[int, ...], final: int | None
) -> None:
    _, blocks = round_of(FOUR)
    voters = VoterSet([(voter_id(voter), 1) for voter in range(4)])
    signed = [
        SignedPrecommit(Precommit(*blocks.block(target)), bytes(64), voter_id(voter))
        for voter, target in enumerate(targets)
    ]
    stranger = SignedPrecommit(Precommit(*blocks.block(0)), bytes(64), voter_id(9))
    for target in range(6):
        commit = Commit(*blocks.block(target), [*signed, signed[0], stranger])
        expected = Commit(*blocks.block(target), signed) if target == final else None
        assert proven(commit, voters, blocks) == expected


class Counting(Blocks):
    """Counts how often it is asked."""

    def parent(self, block: Hash) -> tuple[Hash, int] | None:
        """Return the parent of a block."""
        asked.append(block)
        number = int.from_bytes(block, "big")
        return (hash_of(number - 1), number - 1) if number else None


asked: list[Hash] = []


def test_a_long_chain_is_walked_once_however_many_vote() -> None:
    """300 voters, 10,000 unfinalised blocks: each block is looked up once, each vote is a few steps."""
    asked.clear()
    chain = Counting(Tree((0,)))
    voters = VoterSet([(voter.to_bytes(32, "big"), 1) for voter in range(1, 301)])
    round_ = Round(1, voters, (hash_of(0), 0), chain)
    rng = random.Random(5)
    heights = {public: rng.randint(9_000, 10_000) for public in voters.ids}
    for public, height in heights.items():
        message = Precommit(hash_of(height), height)
        assert round_.add(SignedMessage(message, bytes(64), public)) is Counted.NEW
    assert len(asked) == len(set(asked)) <= 10_000
    highest = sorted(heights.values(), reverse=True)[voters.threshold - 1]
    assert round_.precommit_ghost() == (hash_of(highest), highest)


def test_a_graph_has_a_node_only_where_votes_end_or_chains_part() -> None:
    blocks = Blocks(FORKED)
    graph = VoteGraph(blocks.block(0), blocks)
    top, side = graph.find(blocks.block(3)), graph.find(blocks.block(5))
    assert top is not None
    assert side is not None
    assert [node.block for node in top.down()] == [blocks.block(each) for each in (3, 1, 0)]
    graph.add(top, PREVOTE, 5)
    middle = graph.find(blocks.block(2))
    assert middle is not None
    assert [(node.block, node.weights) for node in top.down()] == [
        (blocks.block(each), [5, 0]) for each in (3, 2, 1, 0)
    ]
    assert side.weights == [0, 0]
