"""Sequential Phragmen in whole numbers against the paper's own words in fractions."""

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.pallets.election.phragmen import UNIT, Page, Tally, Voter, parts, seat
from runtime.primitives.scale import codec
from runtime.primitives.types import AccountId
from tests.runtime.pallets.election.model import Vote, elect, is_justified

TALLY = codec(Tally)
Roll = tuple[int, list[Vote], int]
"""candidates, votes, seats"""


def account(number: int) -> AccountId:
    return AccountId(number.to_bytes(32, "big"))


def pages(votes: list[Vote], size: int = 3) -> list[Page]:
    voters = [Voter(account(1000 + at), stake, sorted(named)) for at, (stake, named) in enumerate(votes)]
    return [Page.of(voters[at : at + size]) for at in range(0, len(voters), size)]


def run(candidates: int, votes: list[Vote], seats: int, size: int = 3) -> Tally:
    listed = pages(votes, size)
    tally = Tally.begin(candidates, listed)
    for _ in range(seats):
        seated = seat(tally, listed)
        if seated is None:
            break
        tally, _ = seated
    return tally


@st.composite
def rolls(draw: st.DrawFn, most: int = 7, stake: int = 60, zero: int = 0) -> Roll:
    candidates = draw(st.integers(1, 6))
    named = st.lists(st.integers(0, candidates - 1), unique=True, max_size=candidates)
    votes = draw(st.lists(st.tuples(st.integers(zero, stake), named), max_size=most))
    return candidates, votes, draw(st.integers(1, candidates))


@settings(max_examples=400)
@given(rolls(most=12, stake=10**18, zero=1))
def test_seats_scores_and_parts_are_those_of_the_paper(roll: Roll) -> None:
    candidates, votes, seats = roll
    right, tally = elect(candidates, votes, seats), run(candidates, votes, seats)
    assume(not right.tied)  # after a tie two honest counts may go on differently
    assert tally.elected() == [candidate for candidate, _ in right.seats]
    for candidate, score in right.seats:
        assert 0 <= score * UNIT - tally.scores[candidate] <= seats  # each seat rounds down once
    for (stake, named), paid in zip(votes, right.paid, strict=True):
        mine = dict(parts(Voter(account(0), stake, sorted(named)), tally.scores))
        assert sum(mine.values()) == (stake if paid else 0)
        for candidate, part in paid.items():
            assert abs(mine.get(candidate, 0) - stake * part / sum(paid.values())) < 1 + Fraction(1, 10**6)


@settings(max_examples=300)
@given(rolls(stake=20))
def test_representation_is_justified_in_proportion(roll: Roll) -> None:
    candidates, votes, seats = roll
    elected = set(run(candidates, votes, seats).elected())
    assert is_justified(candidates, votes, seats, elected)


def test_the_check_of_representation_finds_what_is_unjust() -> None:
    votes: list[Vote] = [(60, [0, 1, 2]), (40, [3])]
    assert run(4, votes, 3).elected() == [0, 3, 1]
    assert is_justified(4, votes, 3, {0, 1, 3})
    assert not is_justified(4, votes, 3, {0, 1, 2})


@settings(max_examples=200)
@given(rolls(most=10, stake=2**128 - 1), st.integers(1, 10))
def test_an_election_goes_on_from_what_is_stored(roll: Roll, size: int) -> None:
    candidates, votes, seats = roll
    votes = [(stake // 10, named) for stake, named in votes]  # all stake together fits a Balance
    listed = pages(votes, size)
    tally = Tally.begin(candidates, listed)
    for _ in range(seats):
        seated = seat(TALLY.decode(TALLY.encode(tally)), pages(votes, size))
        if seated is None:
            break
        tally, looked_at = seated
        assert looked_at == sum(len(named) for _, named in votes if tally.elected()[-1] in named)
    assert tally == run(candidates, votes, seats, size=100)


@settings(max_examples=200)
@given(rolls(most=10, stake=2**120))
def test_scores_never_fall_and_nobody_pays_more_than_the_seats_cost(roll: Roll) -> None:
    candidates, votes, seats = roll
    tally = run(candidates, votes, seats)
    scores = [tally.scores[candidate] for candidate in tally.elected()]
    assert scores == sorted(scores)
    loads = [max((tally.scores[name] for name in named), default=0) for _, named in votes]
    paid = sum(stake * load for (stake, _), load in zip(votes, loads, strict=True))
    everything = sum(stake for stake, _ in votes)
    assert len(scores) * (UNIT - everything) <= paid <= len(scores) * UNIT
    assert all(charge <= len(scores) * UNIT for charge in tally.charges)


@pytest.mark.parametrize("seats", [1, 2, 3])
def test_a_tie_goes_to_the_lower_index(seats: int) -> None:
    votes: list[Vote] = [(5, [2]), (5, [1]), (5, [0])]
    assert run(3, votes, seats).elected() == list(range(seats))


def test_nobody_is_elected_without_a_backer() -> None:
    assert run(3, [(4, [1]), (0, [2])], 3).elected() == [1]
    assert run(3, [], 3) == Tally([0, 0, 0], [0, 0, 0], [0, 0, 0])


def test_odd_planck_go_to_the_largest_remainders() -> None:
    """Three seats bought at 1/3 each of one voter: 10 planck are 4, 3, 3, and the lower index has the 4."""
    tally = run(3, [(10, [0, 1, 2])], 3)
    assert parts(Voter(account(0), 10, [0, 1, 2]), tally.scores) == [(0, 4), (1, 3), (2, 3)]
