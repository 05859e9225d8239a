"""Scores from measurements, now and before: integers that anybody computes again."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.commitments import PPM, Score
from validators.scorebook import LOSS_NOISE_PPM, Row, counted, is_aligned, own_average, passes, scored

BEFORE = 5_000_000
EMA = 800_000


def entry(uid: int, alignment: int = PPM, drop: int = 10_000, own_drop: int = 1_000) -> Score:
    return Score(uid, 0, BEFORE, BEFORE - drop, alignment, own_drop)


def key(uid: int) -> bytes:
    return bytes([uid]) * 32


def hotkeys(row: Sequence[Score]) -> dict[int, bytes]:
    return {one.uid: key(one.uid) for one in row}


def published(row: Sequence[Score]) -> Row:
    return {key(one.uid): one for one in row}


def given_to(row: Sequence[Score], earlier: Sequence[Row] = (), ema: int = EMA) -> dict[int, int]:
    return {one.uid: one.score for one in scored(row, hotkeys(row), earlier, ema)}


REJECTED = {"drop": 0, "alignment": 0, "own_drop": 0}


entries = st.builds(
    entry,
    uid=st.just(0),
    alignment=st.one_of(st.just(0), st.integers(-3 * PPM, 3 * PPM)),
    drop=st.one_of(st.just(0), st.integers(-20_000, 50_000), st.integers(0, 500_000)),
    own_drop=st.integers(-2, 2),
)
rows = st.dictionaries(st.integers(0, 9), entries, max_size=9).map(
    lambda found: [replace(one, uid=uid) for uid, one in sorted(found.items())]
)


def slow_gate(row: Sequence[Score]) -> list[Score]:
    """Leave out whose loss rises or is not measured, and who removes no tenth of a median of 1 % or more."""
    found = [
        one for one in row
        if one.loss_after != one.loss_before
        and one.loss_after - one.loss_before <= one.loss_before * LOSS_NOISE_PPM // PPM
    ]  # fmt: skip
    drops = sorted(one.loss_before - one.loss_after for one in found)
    usual = drops[(len(drops) - 1) // 2] if drops else 0
    if Fraction(usual, BEFORE) < Fraction(1, 100):
        return found
    return [one for one in found if one.loss_before - one.loss_after >= Fraction(usual, 10)]


def slow_model(row: Sequence[Score], earlier: Sequence[Row], ema: int) -> dict[int, Fraction]:
    """Go through time from the first row to this one, with exact fractions, and share out."""
    keeps, own_keeps = Fraction(ema, PPM), Fraction(95, 100)
    average, own = dict[bytes, Fraction](), dict[bytes, Fraction]()
    for past in [*reversed(earlier), published(row)]:
        passing = slow_gate(list(past.values()))
        for hotkey, one in past.items():
            if len(passing) >= 4:
                worth = Fraction(min(max(one.alignment, 0), 2 * PPM), PPM) if one in passing else Fraction(0)
                average[hotkey] = keeps * average.get(hotkey, Fraction(0)) + (1 - keeps) * worth
            if one.own_drop:
                sign = 1 if one.own_drop > 0 else -1
                own[hotkey] = own_keeps * own.get(hotkey, Fraction(3, 10)) + (1 - own_keeps) * sign
    if not is_aligned(row):
        parts = {one.uid: Fraction(max(0, one.loss_before - one.loss_after)) for one in row}
    else:
        seem = {one.uid: own.get(key(one.uid), Fraction(3, 10)) for one in row}
        entering = slow_gate(row)
        typical = sorted(seem[one.uid] for one in entering)[(len(entering) - 1) // 2]
        parts = {
            one.uid: average[key(one.uid)]
            if one in entering
            and one.alignment > 0
            and (seem[one.uid] > Fraction(1, 10) or typical < Fraction(1, 2))
            else Fraction(0)
            for one in row
        }
    total = sum(parts.values())
    return {uid: PPM * part / total if total else Fraction(0) for uid, part in parts.items()}


@settings(max_examples=60)
@given(rows, st.lists(rows, max_size=6), st.sampled_from([0, 500_000, EMA, PPM - 1]))
def test_scores_are_those_of_a_slow_model(row: list[Score], past: list[list[Score]], ema: int) -> None:
    earlier = [published(one) for one in past]
    found, model = given_to(row, earlier, ema), slow_model(row, earlier, ema)
    assert sum(found.values()) <= PPM
    assert all(abs(found[uid] - model[uid]) <= 1 for uid in model)


@settings(max_examples=30)
@given(rows, st.lists(rows, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_a_row_changes_nothing(
    row: list[Score], past: list[list[Score]], chance: Random
) -> None:
    earlier = [published(one) for one in past]
    mixed = list(row)
    chance.shuffle(mixed)
    assert given_to(mixed, earlier) == given_to(row, earlier)


@given(
    st.lists(st.integers(1, 2 * PPM), min_size=4, max_size=8),
    st.lists(st.integers(0, PPM), min_size=1, max_size=7),
    st.integers(0, 20),
)
def test_who_splits_its_work_is_not_paid_more(others: list[int], cuts: list[int], rounds: int) -> None:
    """One miner with alignment 2 against the same work as several hotkeys, new or as old as itself."""
    bounds = [0, *sorted(2 * min(cut, PPM) for cut in cuts), 2 * PPM]
    parts = [after - before for before, after in pairwise(bounds)]
    rest = [entry(100 + at, alignment) for at, alignment in enumerate(others)]
    whole, split = [entry(0, 2 * PPM), *rest], [*(entry(at, part) for at, part in enumerate(parts)), *rest]
    alone = given_to(whole, [published(whole)] * rounds)[0]
    for past in (published(split), published(whole)):
        together = given_to(split, [past] * rounds)
        assert sum(together[at] for at in range(len(parts))) <= alone + 1


def test_work_is_paid_in_proportion_and_by_and_by() -> None:
    row = [entry(1, 2 * PPM), entry(2, PPM), entry(3, PPM), entry(4, PPM)]
    assert given_to(row) == {1: 400_000, 2: 200_000, 3: 200_000, 4: 200_000}
    steady = [published(row)] * 30
    newcomer = given_to([*row, entry(5)], steady)
    assert newcomer[5] * 10 < newcomer[2] * 3  # a fifth at first
    assert newcomer[1] in (2 * newcomer[2], 2 * newcomer[2] + 1)


def test_with_three_payloads_the_loss_removed_is_shared_out() -> None:
    row = [entry(1, drop=30_000), entry(2, drop=10_000), entry(3, drop=-1_000), entry(4, **REJECTED)]
    assert not is_aligned(row)
    assert given_to(row) == {1: 750_000, 2: 250_000, 3: 0, 4: 0}
    assert given_to([entry(1, drop=-5)]) == {1: 0}
    assert given_to([]) == {}


def test_the_gate_leaves_room_for_noise_and_none_for_what_was_not_measured() -> None:
    room = BEFORE * LOSS_NOISE_PPM // PPM
    row = [entry(1), entry(2, drop=-room), entry(3, drop=-room - 1), entry(4, **REJECTED)]
    assert counted(row) == [1, 2]
    assert not passes(Score(0, 0, 0, 0, 0, 0))


def test_who_learns_nothing_where_others_learn_much_does_not_pass() -> None:
    learning = [entry(uid, drop=50_000) for uid in range(1, 6)]
    idle, slow = entry(6, drop=4_999), entry(7, drop=5_000)
    assert counted([*learning, idle, slow]) == [1, 2, 3, 4, 5, 7]
    assert given_to([*learning, idle, slow])[6] == 0
    noise = [entry(uid, drop=3) for uid in range(6, 9)]
    assert counted([*learning, *noise]) == [1, 2, 3, 4, 5]
    settled = [entry(uid, drop=49_999) for uid in range(1, 6)]  # too little to tell
    assert counted([*settled, *noise]) == list(range(1, 9))


def test_a_rejected_payload_scores_nothing_and_costs_its_miner_of_what_it_had() -> None:
    good = [entry(uid) for uid in range(1, 6)]
    steady = [published(good)] * 30
    rejected = [*good[:4], entry(5, **REJECTED)]
    assert given_to(rejected, steady)[5] == 0
    after = given_to(good, [published(rejected), *steady])
    assert 0.83 < after[5] / after[1] < 0.85


def test_what_points_elsewhere_does_not_enter_on_old_merit() -> None:
    good = [entry(uid) for uid in range(1, 6)]
    row = [*good[:4], entry(5, alignment=-1)]
    assert given_to(row, [published(good)] * 30) == {1: 250_000, 2: 250_000, 3: 250_000, 4: 250_000, 5: 0}


def test_who_never_helps_its_own_text_more_has_three_rounds_among_old_hands() -> None:
    old = [entry(uid) for uid in range(1, 5)]
    row, before = [*old, entry(5, own_drop=-1)], [published(old)] * 30
    paid = [given_to(row, [*[published(row)] * rounds, *before])[5] for rounds in range(6)]
    assert [bool(each) for each in paid] == [True, True, True, False, False, False]
    assert own_average([entry(5, own_drop=0)] * 50) == 300_000  # not measured: nothing is held against it


def test_in_a_young_subnet_own_text_counts_once_most_have_shown_that_it_can_be_told() -> None:
    row = [*(entry(uid) for uid in range(1, 5)), entry(5, own_drop=-1)]
    paid = [given_to(row, [published(row)] * rounds)[5] for rounds in range(10)]
    assert [bool(each) for each in paid] == [True] * 6 + [False] * 4  # four positive averages pass a half
    few = [*row[:2], *(entry(uid, own_drop=-1) for uid in range(3, 6))]
    assert all(given_to(few, [published(few)] * 30).values())  # two of five tell nothing of the others


def signs(chance: Random, positive: dict[int, float]) -> list[Score]:
    """Return a row whose own drops are positive with some probability, by uid."""
    return [entry(uid, own_drop=1 if chance.random() < part else -1) for uid, part in positive.items()]


def told(seed: int, positive: dict[int, float], rounds: int) -> list[dict[int, int]]:
    """Return the scores of every round of a subnet that is young at first."""
    chance, earlier, found = Random(seed), list[Row](), list[dict[int, int]]()
    for _ in range(rounds):
        row = signs(chance, positive)
        found.append(given_to(row, earlier))
        earlier = [published(row), *earlier][:64]
    return found


@settings(max_examples=10, derandomize=True)  # so it is of most seeds, not of every one
@given(st.integers(0, 2**32))
def test_nobody_is_cut_where_signs_are_coin_tosses(seed: int) -> None:
    assert all(all(row.values()) for row in told(seed, dict.fromkeys(range(8), 0.5), 60))


@settings(max_examples=10, derandomize=True)  # so it is of most seeds, not of every one
@given(st.integers(0, 2**32))
def test_who_trains_on_other_text_is_cut_by_and_by(seed: int) -> None:
    """The others' signs are right in nine rounds of ten, its own in one: round 10, of 100 such miners 99 by
    round 20."""
    found = told(seed, {**dict.fromkeys(range(8), 0.9), 8: 0.1}, 60)
    cut = [not row[8] for row in found]
    assert all(cut[40:])
    assert sum(not row[uid] for row in found for uid in range(8)) <= 2  # of 480: honest ones


def test_a_round_away_costs_nothing_and_a_new_hotkey_begins_anew() -> None:
    row = [entry(uid) for uid in range(1, 6)]
    steady, without = published(row), published(row[:4])
    away, there = (given_to(row, [*first, *[steady] * 60])[5] for first in ([without], []))
    assert abs(away - there) <= 1
    renamed = {**hotkeys(row), 5: key(99)}
    fresh = {one.uid: one.score for one in scored(row, renamed, [steady] * 60, EMA)}
    assert fresh[5] * 4 < fresh[1]
