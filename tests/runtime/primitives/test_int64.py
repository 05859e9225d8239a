"""Arithmetic on arrays equals Python's on integers, up to the edges of its bounds."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.incentive.shares import apportion
from runtime.primitives import int64
from runtime.primitives.int64 import LIMB, Wide, integers

FEW = settings(max_examples=40, deadline=None)
ONE = 1 << 32
HALVES = st.integers(0, ONE) | st.sampled_from([0, 1, ONE - 1, ONE])
ROWS = st.integers(1, 9).flatmap(
    lambda size: st.lists(
        st.dictionaries(st.integers(0, size - 1), st.integers(1, 65535)).map(lambda row: sorted(row.items())),
        min_size=size,
        max_size=size,
    )
)


def whole(number: Wide) -> list[int]:
    return [
        sum(limb << LIMB * place for place, limb in enumerate(each))
        for each in zip(*(limb.tolist() for limb in number), strict=True)
    ]


@FEW
@given(st.lists(st.tuples(HALVES, HALVES, st.booleans()), min_size=1))
def test_products_are_rounded_down_below_zero_too(pairs: list[tuple[int, int, bool]]) -> None:
    left = [-a if negative else a for a, _, negative in pairs]
    right = [b for _, b, _ in pairs]
    answer = int64.multiplied(integers(left), integers(right))
    assert answer.tolist() == [a * b >> 32 for a, b in zip(left, right, strict=True)]
    assert int64.multiplied(integers(left), right[0]).tolist() == [a * right[0] >> 32 for a in left]


@FEW
@given(st.lists(st.tuples(st.integers(0, 1 << 46), st.integers(1, 1 << 46)), min_size=1))
def test_quotients_are_rounded_down(pairs: list[tuple[int, int]]) -> None:
    ordered = [(min(pair), max(pair)) for pair in pairs]
    left, right = (integers(column) for column in zip(*ordered, strict=True))
    assert int64.divided(left, right).tolist() == [(a << 32) // b for a, b in ordered]


@pytest.mark.parametrize(
    ("left", "right"), [([-ONE - 1], [1]), ([ONE + 1], [1]), ([1], [-1]), ([1], [ONE + 1])]
)
def test_a_product_beyond_its_bounds_is_our_mistake(left: list[int], right: list[int]) -> None:
    with pytest.raises(AssertionError):
        int64.multiplied(integers(left), integers(right))


@pytest.mark.parametrize(("left", "right"), [([1], [0]), ([1], [(1 << 46) + 1]), ([-1], [1])])
def test_a_quotient_beyond_its_bounds_is_our_mistake(left: list[int], right: list[int]) -> None:
    with pytest.raises(AssertionError):
        int64.divided(integers(left), integers(right))


def test_a_sum_that_could_wrap_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        int64.sums(integers([1 << 61] * 3), integers([0] * 3), 1)


@FEW
@given(ROWS)
def test_rows_survive_the_way_in_and_out(rows: list[list[tuple[int, int]]]) -> None:
    assert int64.rows_of(int64.sparse(rows), len(rows)) == rows


@FEW
@given(ROWS, st.integers(1, 1 << 31))
def test_each_row_is_split_like_any_other_total(rows: list[list[tuple[int, int]]], total: int) -> None:
    parts = int64.apportion_rows(total, int64.sparse(rows), len(rows)).tolist()
    assert parts == [part for row in rows for part in apportion(total, [value for _, value in row])]


@FEW
@given(ROWS, st.data())
def test_the_highest_supported_value_of_a_column(
    rows: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    size = len(rows)
    weight = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    needed = data.draw(st.integers(1, 20))

    def highest(column: int) -> int:
        given_ = [(value, i) for i, row in enumerate(rows) for j, value in row if j == column]
        reached = [value for value, _ in given_ if sum(weight[i] for v, i in given_ if v >= value) >= needed]
        return max(reached, default=0)

    answer = int64.supported(int64.sparse(rows), integers(weight), needed, size)
    assert answer.tolist() == [highest(column) for column in range(size)]


@FEW
@given(ROWS, st.data())
def test_a_union_has_the_places_of_both(left: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    size = len(left)
    right = [
        [(j, data.draw(st.integers(1, 9))) for j in range(size) if data.draw(st.booleans())]
        for _ in range(size)
    ]
    one, other = int64.union(int64.sparse(left), int64.sparse(right), size)
    places = [sorted({j for j, _ in a} | {j for j, _ in b}) for a, b in zip(left, right, strict=True)]
    for rows, found in ((left, one), (right, other)):
        full = [[(j, dict(row).get(j, 0)) for j in kept] for row, kept in zip(rows, places, strict=True)]
        assert int64.rows_of(found, size) == full


@FEW
@given(st.lists(st.tuples(st.integers(0, 1 << 90), st.integers(0, 1 << 90)), min_size=1), st.integers(0, 90))
def test_wide_numbers_add_and_shift(pairs: list[tuple[int, int]], bits: int) -> None:
    left, right = (int64.limbs(column) for column in zip(*pairs, strict=True))
    added = int64.plus(left, right, 1 << 91)
    assert whole(added) == [a + b for a, b in pairs]
    down = max(bits, 35)
    assert int64.shifted(added, down).tolist() == [a + b >> down for a, b in pairs]


@FEW
@given(
    st.lists(st.tuples(st.integers(0, (1 << 90) - 1), st.integers(0, (1 << 180) - 1)), min_size=1),
    st.integers(0, (1 << 60) - 1),
)
def test_wide_numbers_multiply(pairs: list[tuple[int, int]], scalar: int) -> None:
    left, right = (int64.limbs(column) for column in zip(*pairs, strict=True))
    assert whole(int64.product(left, right, 1 << 270)) == [a * b for a, b in pairs]
    assert whole(int64.product(right, int64.wide(scalar), 1 << 240)) == [scalar * b for _, b in pairs]


def test_a_number_beyond_its_bound_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="a number exceeds its bound"):
        int64.plus(int64.limbs([1 << 59]), int64.limbs([1 << 59]), (1 << 60) - 1)
    with pytest.raises(AssertionError, match="a number exceeds its bound"):
        int64.product(int64.limbs([1 << 40]), int64.limbs([1 << 40]), 1 << 59)


@FEW
@given(st.lists(st.lists(st.integers(0, (1 << 87) - 1), min_size=1, max_size=5), min_size=1, max_size=9))
def test_fractions_are_exact_to_the_last_bit(groups: list[list[int]]) -> None:
    check_fractions(groups)


@pytest.mark.parametrize(
    "groups",
    [
        [[0], [1], [(1 << 87) - 1]],
        [[1, 1], [1, 2], [3] * 5, [(1 << 87) - 1] * 4],
        [[(1 << 87) - 1, 1], [(1 << 86) + 1, 1 << 86]],
    ],
)
def test_fractions_that_are_whole_or_next_to_it(groups: list[list[int]]) -> None:
    check_fractions(groups)


def check_fractions(groups: Sequence[Sequence[int]]) -> None:
    """Compare each number's part in its group's sum, 64 bits behind the point."""
    which = [index for index, group in enumerate(groups) for _ in group]
    numbers = [number for group in groups for number in group]
    sums = [sum(group) for group in groups]
    answer = int64.fractions(int64.limbs(numbers), int64.wholes(sums, 64), integers(which))
    assert whole(answer) == [
        (number << 64) // sums[index] if number else 0 for number, index in zip(numbers, which, strict=True)
    ]
