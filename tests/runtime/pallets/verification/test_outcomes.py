"""The arithmetic of audits and juries, and the lots that draw them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pallets.verification.lots import Candidate, drawn_judge, drawn_jury, is_drawn
from runtime.pallets.verification.outcomes import (
    Outcome,
    is_consistent,
    is_decided,
    judgement,
    median,
    misses,
    outcome,
    suspects,
)
from runtime.pallets.verification.types import MOST_REPORTS, Measurement, Report, Seat, Verdict, Vote
from runtime.primitives.commitments import Score
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import account

PASSED, FAILED, UNAVAILABLE = Verdict.Passed, Verdict.Failed, Verdict.Unavailable
TOLERANCE = 20_000
TRUE = Measurement(5_000_000, 4_500_000, 900_000)
"""A drop of half a nat: 10,000 micro-nats of tolerance."""
TRUTH = (5_000_000, 500_000, 900_000)


def reports(*verdicts: Verdict) -> list[Report]:
    return [Report(judge, verdict, 0) for judge, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Outcome.Lapsed),
        ([PASSED], Outcome.Passed),
        ([FAILED], Outcome.Withheld),
        ([UNAVAILABLE], Outcome.Withheld),
        ([FAILED, PASSED], Outcome.Passed),
        ([UNAVAILABLE, PASSED], Outcome.Passed),
        ([FAILED, FAILED], Outcome.Slashed),
        ([FAILED, UNAVAILABLE], Outcome.Burnt),
        ([UNAVAILABLE, FAILED], Outcome.Burnt),
        ([UNAVAILABLE, UNAVAILABLE], Outcome.Burnt),
    ],
)
def test_what_reports_come_to(verdicts: list[Verdict], expected: Outcome) -> None:
    assert outcome(reports(*verdicts)) is expected
    assert is_decided(reports(*verdicts), MOST_REPORTS) is (PASSED in verdicts or len(verdicts) == 2)


@pytest.mark.parametrize(
    ("verdict", "overlap", "consistent"),
    [
        (PASSED, 899_999, False),
        (PASSED, 900_000, True),
        (PASSED, 1_000_000, True),
        (PASSED, 1_000_001, False),
        (FAILED, 0, True),
        (FAILED, 1_000_000, True),  # for another reason than its overlap
        (FAILED, 1_000_001, False),
        (UNAVAILABLE, 0, True),
        (UNAVAILABLE, 1, False),
    ],
)
def test_a_verdict_goes_with_its_overlap(verdict: Verdict, overlap: int, consistent: bool) -> None:
    assert is_consistent(verdict, overlap, 900_000) is consistent


def test_suspects_are_those_that_more_than_half_of_the_stake_did_not_measure() -> None:
    def unmeasured(uid: int) -> Score:
        return Score(uid, 0, 5, 5, 0, 0)

    measured, worthless = Score(7, 1, 5, 4, 0, 0), Score(8, 0, 5, 6, 0, 0)
    assert suspects([]) == []
    assert suspects([(50, [unmeasured(7)]), (50, [measured])]) == []
    assert suspects([(51, [unmeasured(9), unmeasured(7)]), (49, [])]) == [7, 9]
    assert suspects([(100, [measured, worthless])]) == []


# Juries.


@pytest.mark.parametrize(
    ("claimed", "wrong"),
    [
        (TRUE, False),
        (Measurement(5_010_000, 4_510_000, 900_000), False),
        (Measurement(5_010_001, 4_510_001, 900_000), True),
        (Measurement(5_000_000, 4_510_000, 900_000), False),
        (Measurement(5_000_000, 4_510_001, 900_000), True),
        (Measurement(5_000_000, 4_489_999, 900_000), True),
        (Measurement(5_000_000, 4_500_000, 920_000), False),
        (Measurement(5_000_000, 4_500_000, 879_999), True),
    ],
)
def test_a_measurement_is_held_to_the_loss_drop_and_the_alignment(claimed: Measurement, wrong: bool) -> None:
    assert any(misses(claimed, TRUTH, TOLERANCE)) is wrong
    assert judgement(claimed, [Vote(0, TRUE)], 1, TOLERANCE) is wrong


def test_where_nothing_was_learned_the_tolerance_is_a_part_of_the_loss() -> None:
    flat = (5_000_000, 0, 0)
    assert misses(Measurement(5_000_000, 4_998_000, 0), flat, TOLERANCE) == (False, False, False)
    assert misses(Measurement(5_000_000, 4_997_999, 0), flat, TOLERANCE) == (False, True, False)
    assert misses(Measurement(0, 0, -20_000), (0, 0, 0), TOLERANCE) == (False, False, False)
    assert misses(Measurement(0, 0, -20_001), (0, 0, 0), TOLERANCE) == (False, False, True)


def votes(*afters: int) -> list[Vote]:
    return [Vote(juror, Measurement(5_000_000, after, 900_000)) for juror, after in enumerate(afters)]


@pytest.mark.parametrize(
    ("afters", "jurors", "expected"),
    [
        ([], 3, None),
        ([4_500_000], 3, None),
        ([4_500_000], 1, False),
        ([4_900_000], 1, True),
        ([4_900_000], 2, None),
        ([4_500_000, 4_900_000], 2, None),
        ([4_900_000, 4_500_000], 3, None),
        ([4_900_000, 4_800_000], 3, True),
        ([4_500_000, 4_501_000], 3, False),
        ([4_900_000, 4_500_000, 4_500_000], 3, False),
        ([4_900_000, 4_500_000, 4_900_000], 3, True),
    ],
)
def test_most_of_a_jury_must_speak_and_its_middle_agree(
    afters: list[int], jurors: int, expected: bool | None
) -> None:
    assert judgement(TRUE, votes(*afters), jurors, TOLERANCE) is expected


def test_the_median_takes_each_number_by_itself() -> None:
    measured = [Measurement(30, 10, -5), Measurement(50, 45, 7), Measurement(40, 30, 0)]
    cast = [Vote(juror, each) for juror, each in enumerate(measured)]
    assert median(cast) == Measurement(40, 30, 0)  # drops of 20, 5 and 10
    assert median(cast[:2]) == Measurement(30, 25, -5)
    assert median([Vote(0, Measurement(0, 9, 0))]) == Measurement(0, 9, 0)


@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=3), st.integers(0, 1_000_000))
def test_one_liar_among_three_never_convicts_an_honest_judge(lies: list[int], tolerance: int) -> None:
    honest = Measurement(5_000_000, 4_500_000, 900_000)
    cast = [Vote(0, Measurement(lies[0], lies[-1], lies[len(lies) // 2]))]
    assert judgement(honest, cast, 3, tolerance) is None
    cast.append(Vote(1, honest))
    assert judgement(honest, cast, 3, tolerance) is not True
    cast.append(Vote(2, honest))
    assert judgement(honest, cast, 3, tolerance) is False


# Lots.


def seed(number: int) -> Hash:
    return Hash(blake2_256(number.to_bytes(4, "little")))


MINER = AccountId(bytes(32))


def candidates(*stakes: int) -> list[Candidate]:
    return [Candidate(Seat(uid, 0), account(f"cold {uid}"), stake) for uid, stake in enumerate(stakes)]


def test_a_rate_hits_its_share_of_updates() -> None:
    hits = [is_drawn(seed(number), MINER, 50_000) for number in range(4_000)]
    assert 150 < sum(hits) < 250
    assert not any(is_drawn(seed(number), MINER, 0) for number in range(100))
    assert all(is_drawn(seed(number), MINER, 1_000_000) for number in range(100))


def test_judges_are_drawn_by_their_stake() -> None:
    able, drawn = candidates(100, 300, 0, 600), Counter[int]()
    for number in range(2_000):
        judge = drawn_judge(seed(number), 1, 1, MINER, 0, able)
        assert judge is not None
        drawn[judge.seat.uid] += 1
    assert drawn[2] == 0
    assert [150 < drawn[0] < 250, 520 < drawn[1] < 680, 1_110 < drawn[3] < 1_290] == [True] * 3
    assert drawn_judge(seed(0), 1, 1, MINER, 0, []) is None
    assert drawn_judge(seed(0), 1, 1, MINER, 0, candidates(0)) is None


def test_every_draw_of_an_audit_is_another_one() -> None:
    able = candidates(*[1] * 50)
    first = [drawn_judge(seed(1), 1, number, MINER, draw, able) for number in range(8) for draw in range(3)]
    assert len({judge.seat.uid for judge in first if judge}) > 12


def test_a_jury_has_one_juror_of_each_coldkey() -> None:
    able = candidates(10, 20, 30)
    twin = Candidate(Seat(9, 0), able[2].coldkey, 1_000)
    for number in range(50):
        jury = drawn_jury(seed(number), 1, 1, 0, MINER, [*able, twin], 3)
        assert len(jury) == len({juror.coldkey for juror in jury}) == 3
    assert len(drawn_jury(seed(0), 1, 1, 0, MINER, able[:2], 3)) == 2
    assert drawn_jury(seed(0), 1, 1, 0, MINER, [], 3) == []
