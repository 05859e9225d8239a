"""Exact splitting of whole numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pallets.incentive.shares import apportion, water_level

AMOUNTS = st.lists(st.integers(0, 10**24), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (10, [0, 0], [0, 0]),
        (10, [], []),
        (7, [1, 2, 4], [1, 2, 4]),
        (1, [1, 2], [0, 1]),
        (100, [1, 1, 4], [17, 17, 66]),
        (0, [3, 4], [0, 0]),
    ],
)
def test_the_largest_remainders_are_rounded_up(total: int, weights: list[int], parts: list[int]) -> None:
    assert apportion(total, weights) == parts


@given(st.integers(0, 10**24), AMOUNTS)
def test_nothing_is_lost_and_nobody_is_off_by_a_whole_unit(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    whole = sum(weights)
    assert sum(parts) == (total if whole else 0)
    assert all(
        abs(part * whole - total * weight) < max(whole, 1)
        for part, weight in zip(parts, weights, strict=True)
    )


@pytest.mark.parametrize(
    ("amounts", "fraction", "capped"),
    [
        ([70, 10, 10, 10], (1, 2), [30, 10, 10, 10]),
        ([910, *[10] * 9], (1, 5), [22, *[10] * 9]),  # 22.5 rounded down
        ([500, 400, *[10] * 9], (1, 5), [30, 30, *[10] * 9]),
        ([5, 5], (1, 1), [5, 5]),
        ([7], (2, 1), [7]),
        ([0, 0], (1, 1), [0, 0]),
        ([100, 1, 1], (2, 3), [4, 1, 1]),
    ],
)
def test_the_level_caps_the_large(amounts: list[int], fraction: tuple[int, int], capped: list[int]) -> None:
    level = water_level(amounts, *fraction)
    assert [min(amount, level) for amount in amounts] == capped


@given(AMOUNTS.filter(any), st.integers(1, 10**6))
def test_the_level_is_the_highest_that_keeps_the_fraction(amounts: list[int], ppm: int) -> None:
    numerator, denominator = (ppm, 10**6) if ppm * len(amounts) >= 2 * 10**6 else (2, len(amounts))
    level = water_level(amounts, numerator, denominator)

    def fits(cap: int) -> bool:
        together = sum(min(amount, cap) for amount in amounts)
        return min(max(amounts), cap) * denominator <= numerator * together

    assert fits(level)
    assert level >= max(amounts) or not fits(level + 1)
