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

Rows = list[list[tuple[int, int]]]


def matrix(rows: Rows) -> int64.Sparse:
    return int64.sparse(int64.packed(rows), range(len(rows)))


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


@pytest.mark.parametrize(
    ("left", "right"), [([1], [0]), ([1], [(1 << 46) + 1]), ([-1], [1]), ([1 << 40], [1]), ([3, 5], [3, 4])]
)
def test_a_quotient_beyond_its_bounds_is_our_mistake(left: list[int], right: list[int]) -> None:
    with pytest.raises(AssertionError):
        int64.divided(integers(left), integers(right))


def test_a_sum_that_could_wrap_is_our_mistake() -> None:
    third = (integers([1 << 61]), integers([0]))
    assert int64.sums([third, third], 1).tolist() == [1 << 62]
    with pytest.raises(AssertionError):
        int64.sums([third, third, third], 1)


@FEW
@given(ROWS)
def test_rows_survive_the_way_in_and_out(rows: Rows) -> None:
    assert dict(int64.rows_of(matrix(rows))) == {index: row for index, row in enumerate(rows) if row}


@FEW
@given(ROWS, st.integers(1, 9), st.integers(1, 30))
def test_bands_have_every_row_once_and_stay_within_their_bounds(rows: Rows, band: int, cells: int) -> None:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(int64, "BAND", band)
        changed.setattr(int64, "CELLS", cells)
        found = int64.bands(int64.packed(rows), int64.packed([*rows[1:], []]))
    assert [index for each in found for index in each] == [
        index for index, (row, after) in enumerate(zip(rows, [*rows[1:], []], strict=True)) if row or after
    ]
    for each in found:
        filled = [max(len(rows[index]), len([*rows, []][index + 1])) for index in each]
        assert len(each) == 1 or (sum(filled) <= band and (len(each) - 1) * len(rows) < cells)


@FEW
@given(ROWS, st.integers(1, 1 << 31))
def test_each_row_is_split_like_any_other_total(rows: Rows, total: int) -> None:
    parts = int64.apportion_rows(total, matrix(rows)).tolist()
    assert parts == [part for row in rows for part in apportion(total, [value for _, value in row])]


@FEW
@given(ROWS, st.data())
def test_the_highest_supported_value_of_a_column(rows: Rows, data: st.DataObject) -> None:
    size = len(rows)
    weight = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    needed = data.draw(st.integers(1, 20))

    def highest(column: int) -> int:
        given_ = [(value, i) for i, row in enumerate(rows) for j, value in row if j == column]
        reached = [value for value, _ in given_ if sum(weight[i] for v, i in given_ if v >= value) >= needed]
        return max(reached, default=0)

    packed, cut = int64.packed(rows), data.draw(st.integers(0, size))
    bands = [int64.sparse(packed, band) for band in (range(cut), range(cut, size))]
    answer = int64.supported(bands, integers(weight), needed, size)
    assert answer.tolist() == [highest(column) for column in range(size)]


@FEW
@given(ROWS, st.data())
def test_a_union_has_the_places_of_both(left: Rows, data: st.DataObject) -> None:
    size = len(left)
    right = [
        [(j, data.draw(st.integers(1, 9))) for j in range(size) if data.draw(st.booleans())]
        for _ in range(size)
    ]
    one, other = int64.union(matrix(left), matrix(right), range(size), size)
    columns = (one.row.tolist(), one.column.tolist(), one.value.tolist(), other.tolist())
    assert list(zip(*columns, strict=True)) == [
        (i, j, dict(left[i]).get(j, 0), dict(right[i]).get(j, 0))
        for i in range(size)
        for j in range(size)
        if j in dict(left[i]) or j in dict(right[i])
    ]


@FEW
@given(st.data())
def test_two_columns_are_mixed_exactly(data: st.DataObject) -> None:
    most = 1 << data.draw(st.integers(1, 100))
    by = data.draw(st.lists(st.integers(0, min(most // 2, (1 << 60) - 1)), min_size=2, max_size=2))
    highest = [min((1 << 51) - 1, most // 2 // (factor or 1)) for factor in by]
    pairs = data.draw(st.lists(st.tuples(*(st.integers(0, each) for each in highest)), min_size=1))
    left, right = (integers(column) for column in zip(*pairs, strict=True))
    mixed = int64.mixed(left, by[0], right, by[1], most)
    assert whole(mixed) == [a * by[0] + b * by[1] for a, b in pairs]
    bits = data.draw(st.integers(max(0, most.bit_length() - 60), LIMB * len(mixed) - 1))
    assert int64.shifted(mixed, bits).tolist() == [a * by[0] + b * by[1] >> bits for a, b in pairs]


@FEW
@given(
    st.lists(st.tuples(st.integers(0, (1 << 90) - 1), st.integers(0, (1 << 180) - 1)), min_size=1),
    st.integers(0, (1 << 60) - 1),
)
def test_wide_numbers_multiply(pairs: list[tuple[int, int]], scalar: int) -> None:
    left, right = (int64.limbs(column) for column in zip(*pairs, strict=True))
    assert whole(int64.product(left, right, 1 << 270)) == [a * b for a, b in pairs]
    assert whole(int64.product(right, int64.wide(scalar), 1 << 240)) == [scalar * b for _, b in pairs]


@FEW
@given(st.lists(st.tuples(st.integers(0, (1 << 90) - 1), st.integers(0, (1 << 90) - 1)), min_size=1))
def test_the_lowest_limbs_of_a_product_can_be_left_out(pairs: list[tuple[int, int]]) -> None:
    left, right = (int64.limbs(column) for column in zip(*pairs, strict=True))
    assert whole(int64.product(left, right, 1 << 180, 2)) == [a * b >> 2 * LIMB for a, b in pairs]


def test_a_number_beyond_its_bound_is_our_mistake() -> None:
    one = integers([1])
    for most in (1 << 59, 1 << 89):
        assert whole(int64.mixed(one, most - 1, one, 1, most)) == [most]
        with pytest.raises(AssertionError):
            int64.mixed(one, most, one, most, most)
        with pytest.raises(AssertionError):
            int64.mixed(one, most + 1, one, 0, most)
        with pytest.raises(AssertionError):
            int64.mixed(-one, 1, one, 1, most)
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
