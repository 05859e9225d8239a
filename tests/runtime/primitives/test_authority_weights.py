"""Authority weights: the cap against a search through every limit, for sets of every small size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.authority_weights import MAX_TOTAL, UNIT, authority_weights, tolerated

small = st.lists(st.integers(1, 40), min_size=1, max_size=9)
stakes = st.lists(st.integers(0, 2**127), min_size=1, max_size=40)


def searched(weights: list[int]) -> list[int]:
    """Cap by trying every limit, the largest first."""
    if len(weights) < 4:
        return weights
    for limit in range(max(weights), 0, -1):
        capped = [min(weight, limit) for weight in weights]
        if max(capped) <= (sum(capped) - 1) // 3:
            return capped
    raise AssertionError("a limit of 1 always does")


@given(small)
def test_the_cap_is_the_largest_that_leaves_nobody_decisive(weights: list[int]) -> None:
    assert authority_weights([weight * UNIT for weight in weights]) == searched(weights)


@given(stakes)
def test_totals_fit_and_order_stays(given_stakes: list[int]) -> None:
    weights = authority_weights(given_stakes)
    assert len(weights) == len(given_stakes)
    assert min(weights) >= 1
    assert sum(weights) <= MAX_TOTAL
    if len(weights) >= 4:
        assert max(weights) <= tolerated(weights)
    ordered = sorted(zip(given_stakes, weights, strict=True))
    assert [weight for _, weight in ordered] == sorted(weights)


def test_small_networks() -> None:
    bonded = 10_000 * UNIT
    assert authority_weights([]) == []
    assert authority_weights([0]) == [1]
    assert authority_weights([UNIT - 1, UNIT, 3 * UNIT // 2, 2 * UNIT]) == [1, 1, 1, 1]
    assert authority_weights([bonded, 1]) == [10_000, 1]
    assert authority_weights([9 * bonded, bonded, bonded]) == [90_000, 10_000, 10_000]
    assert authority_weights([9 * bonded, bonded, bonded, bonded]) == [14_999, 10_000, 10_000, 10_000]
    assert authority_weights([9 * bonded, 9 * bonded, bonded, bonded]) == [19_999, 19_999, 10_000, 10_000]


def test_a_larger_issuance_than_fits_keeps_proportions() -> None:
    huge = 2**63 * UNIT
    assert authority_weights([3 * huge, huge]) == [3 * 2**60, 2**60]


def test_tolerated_is_a_third_rounded_down_below() -> None:
    assert [tolerated([1] * count) for count in range(8)] == [0, 0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("weight", [1, 2, 3, 1_000, 10_001])
def test_of_equals_it_takes_one_more_than_may_fail(weight: int) -> None:
    """With f of 3 f + 1 equal authorities at fault, f + 1 of them are needed, whatever each weighs."""
    for count in range(1, 31):
        needed = (count - 1) // 3 + 1
        assert (needed - 1) * weight <= tolerated([weight] * count) < needed * weight
