"""The same election with as few backers as possible: nothing moves that counts, and no circles are left."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.election.phragmen import Tally, Voter, parts
from runtime.pallets.election.reduce import (
    NOBODY,
    SEVERAL,
    Backing,
    Shared,
    Support,
    back,
    backed_by,
    behind,
    supports,
)
from runtime.primitives.scale import codec
from runtime.primitives.types import AccountId
from tests.runtime.pallets.election.model import Vote
from tests.runtime.pallets.election.test_phragmen import Roll, account, pages, rolls, run

BACKING = codec(Backing)
NONE = Backing([], [])
ALL = 10**18


def everybody(votes: list[Vote]) -> list[Voter]:
    return [voter for page in pages(votes) for voter in page.voters]


def split(tally: Tally, voters: list[Voter]) -> list[int]:
    sums = [0] * len(tally.scores)
    for voter in voters:
        for candidate, value in parts(voter, tally.scores):
            sums[candidate] += value
    return sums


def is_forest(edges: list[tuple[int, int]]) -> bool:
    """Say whether no two ends of an edge are linked without it. Edges join voters to candidates."""
    group = {("voter", voter): ("voter", voter) for voter, _ in edges}
    group |= {("candidate", candidate): ("candidate", candidate) for _, candidate in edges}
    for voter, candidate in edges:
        one, other = group["voter", voter], group["candidate", candidate]
        if one == other:
            return False
        group = {node: one if found == other else found for node, found in group.items()}
    return True


wide = rolls(most=14, stake=10**6)
narrow = rolls(most=14, stake=6)


@settings(max_examples=300)
@given(wide | narrow)
def test_every_sum_stays_and_no_circle_does(roll: Roll) -> None:
    candidates, votes, seats = roll
    tally, voters = run(candidates, votes, seats), everybody(votes)
    backing, _ = back(NONE, voters, tally.scores, ALL)
    assert behind(backing, voters, candidates) == split(tally, voters)
    edges, given_ = [], dict.fromkeys((voter.who for voter in voters), 0)
    for voter, candidate, value in backed_by(backing, voters):
        assert value > 0
        assert candidate in voter.targets
        assert tally.scores[candidate] > 0
        edges.append((voters.index(voter), candidate))
        given_[voter.who] += value
    assert is_forest(edges)
    elected = set(tally.elected())
    assert given_ == {
        voter.who: voter.stake if elected.intersection(voter.targets) else 0 for voter in voters
    }


def test_the_check_of_circles_finds_one() -> None:
    assert is_forest([(0, 0), (0, 1), (1, 1)])
    assert not is_forest([(0, 0), (0, 1), (1, 1), (1, 0)])
    assert not is_forest([(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (0, 2)])


@settings(max_examples=200)
@given(wide | narrow, st.integers(-1, 40))
def test_it_goes_on_from_what_is_stored(roll: Roll, budget: int) -> None:
    candidates, votes, seats = roll
    tally, voters = run(candidates, votes, seats), everybody(votes)
    backing, turns = NONE, 0
    while len(backing.single) < len(voters):
        backing, steps = back(BACKING.decode(BACKING.encode(backing)), voters, tally.scores, budget)
        turns += 1
        assert steps >= min(budget, 1)
    assert backing == back(NONE, voters, tally.scores, ALL)[0]
    assert turns <= len(voters)


@settings(max_examples=200)
@given(wide | narrow)
def test_supports_hold_all_stake_that_elected_somebody(roll: Roll) -> None:
    candidates, votes, seats = roll
    names = [account(1000 + at) for at in range(candidates)]  # the first voters are the candidates
    tally, voters = run(candidates, votes, seats), everybody(votes)
    found = supports(back(NONE, voters, tally.scores, ALL)[0], voters, names, tally.elected())
    assert [support.stash for support in found] == [names[at] for at in tally.elected()]
    assert [support.total for support in found] == [split(tally, voters)[at] for at in tally.elected()]
    for support in found:
        assert support.total == support.own + sum(value for _, value in support.others)
        assert support.stash not in [who for who, _ in support.others]
        assert all(value > 0 for _, value in support.others)


def test_the_example_of_substrate() -> None:
    """The proof of concept among sp-npos-elections' tests: 35 stand behind candidate 2, 25 behind 1."""
    votes: list[Vote] = [(10, [0, 1]), (20, [0, 2]), (30, [1, 2])]
    tally, voters = run(3, votes, 2), everybody(votes)
    backing, _ = back(NONE, voters, tally.scores, ALL)
    assert backing == Backing([1, 2, SEVERAL], [Shared(2, [(2, 15), (1, 15)])])
    assert supports(backing, voters, [account(at) for at in range(3)], tally.elected()) == [
        Support(account(2), 35, 0, [(account(1001), 20), (account(1002), 15)]),
        Support(account(1), 25, 0, [(account(1000), 10), (account(1002), 15)]),
    ]


def test_two_voters_for_the_same_two_share_one_at_most() -> None:
    votes: list[Vote] = [(10, [0, 1]), (10, [0, 1]), (10, [0, 1]), (5, [2])]
    tally, voters = run(3, votes, 2), everybody(votes)
    backing, _ = back(NONE, voters, tally.scores, ALL)
    assert backing == Backing([1, 0, SEVERAL, NOBODY], [Shared(2, [(0, 5), (1, 5)])])


def test_a_validators_own_stake_is_its_own() -> None:
    votes: list[Vote] = [(7, [0]), (5, [0])]
    voters = everybody(votes)
    backing, _ = back(NONE, voters, run(1, votes, 1).scores, ALL)
    who = AccountId(voters[0].who)
    assert supports(backing, voters, [who], [0]) == [Support(who, 12, 7, [(voters[1].who, 5)])]
