"""Exact arithmetic on many integers at once: the runtime's only door to numpy.

Every array here is int64. numpy wraps silently and turns some mixtures into floats, so each function asserts
the bounds under which no product and no sum can leave int64. Wider numbers are a list of limbs of 30 bits,
the lowest first, each limb an array.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.primitives.pairs import PAIR, Pairs

Int64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Row = Pairs | Sequence[tuple[int, int]]
Packed = list[bytes]
"""Rows of pairs, each in one piece."""
Wide = list[Int64]
"""Limbs, the lowest first; all below 2^30 but where a function says otherwise."""

LIMB: Final = 30
"""bits"""
LOW: Final = (1 << LIMB) - 1
MOST: Final = 1 << 62
"""No number and no sum reaches more."""
BAND: Final = 1 << 13
"""entries of a matrix to work on at once: they fit the processor's cache, and their memory is used again"""
CELLS: Final = 1 << 17
"""of a matrix, laid out at once"""
POSITION: Final = 14
"""bits of a row, of a column and of a place in a band"""
MOST_ROWS: Final = 1 << POSITION
EMPTY: Final = Pairs()


@dataclass(frozen=True, slots=True)
class Sparse:
    """The entries of a matrix, by row and then by column."""

    row: Int64
    column: Int64
    value: Int64

    def where(self, kept: Mask) -> "Sparse":
        """Return these entries alone."""
        return self if kept.all() else Sparse(self.row[kept], self.column[kept], self.value[kept])

    def valued(self, value: Int64) -> "Sparse":
        """Return the same places with other values."""
        return replace(self, value=value)


# In and out.


def integers(values: Iterable[int]) -> Int64:
    """Return an array. Raises: OverflowError beyond int64."""
    return np.array(list(values), np.int64)


def zeros(size: int) -> Int64:
    """Return an array of zeros."""
    return np.zeros(size, np.int64)


def flags(values: Iterable[bool]) -> Mask:
    """Return a mask."""
    return np.array(list(values), np.bool_)


def packed(rows: Iterable[Row]) -> Packed:
    """Return rows of (column, value), all u16, each in one piece. Raises: ValueError for what is no u16."""
    return [row.packed if isinstance(row, Pairs) else Pairs(row).packed for row in rows]


def bands(left: Packed, right: Packed) -> list[list[int]]:
    """Return which rows of two square matrices to take at once; those without entries are left out."""
    assert len(left) <= MOST_ROWS
    found: list[list[int]] = []
    room = 0
    for index, (one, other) in enumerate(zip(left, right, strict=True)):
        if one or other:
            filled = max(len(one), len(other))
            if filled > room or len(found[-1]) * len(left) >= CELLS:
                found.append([])
                room = BAND * PAIR.size
            found[-1].append(index)
            room -= filled
    return found


def sparse(rows: Packed, band: Sequence[int]) -> Sparse:
    """Return the entries of some rows of a square matrix.

    Raises: ValueError for a row that is not ascending or leaves the matrix.
    """
    chosen = [rows[index] for index in band]
    flat = np.frombuffer(b"".join(chosen), "<u4").astype(np.int64)
    row = np.repeat(integers(band), [len(each) // PAIR.size for each in chosen])
    column, value = flat & 0xFFFF, flat >> 16
    key = row << 16 | column
    if (key[1:] <= key[:-1]).any():
        raise ValueError("a row is not in ascending order of uid")
    if not _within(column, 0, len(rows) - 1):
        raise ValueError(f"a row names a uid beyond {len(rows) - 1}")
    return Sparse(row, column, value)


def rows_of(entries: Sparse) -> Iterator[tuple[int, Pairs]]:
    """Return each row with its pairs of (column, value), all u16; what is zero is left out."""
    assert _within(entries.value, 0, 65535)
    kept = np.flatnonzero(entries.value)
    row = entries.row.take(kept)
    pairs = (entries.value << 16 | entries.column).take(kept).astype("<u4").tobytes()
    first = _starts(row)
    ends = [PAIR.size * each for each in (*first.tolist(), len(row))]
    for index, (begin, end) in zip(row.take(first).tolist(), pairwise(ends), strict=True):
        yield index, Pairs.of(pairs[begin:end])


# Sums and shares.


def sums(parts: Iterable[tuple[Int64, Int64]], size: int) -> Int64:
    """Return for each of so many groups what its values sum to, from values and their groups."""
    total, reach = zeros(size), 0
    for values, group in parts:
        if len(values):
            reach += len(values) * max(-int(np.minimum.reduce(values)), int(np.maximum.reduce(values)))
        assert reach <= MOST
        np.add.at(total, group, values)
    return total


def lesser(values: Int64, limits: Int64) -> Int64:
    """Return the lesser of each two."""
    return np.minimum(values, limits)


def apportion_rows(total: int, entries: Sparse) -> Int64:
    """Split a total among the entries of each row: largest remainders round up, of equals the earlier."""
    assert _within(entries.value, 1, 65535)
    assert 0 < total <= 1 << 31
    size = len(entries.value)
    assert size <= MOST_ROWS
    first = _starts(entries.row)
    count = np.concatenate((first[1:], integers([size]))) - first if size else first
    scaled = entries.value * total
    whole = np.repeat(np.add.reduceat(entries.value, first), count)
    parts: Int64 = scaled // whole
    rest = scaled - parts * whole  # below 2^30: at most 2^14 values of 16 bits
    place, row = np.arange(size, dtype=np.int64), np.arange(len(first), dtype=np.int64)
    ranked = np.repeat((row << LIMB + 1 | 1 << LIMB) << POSITION, count) - (rest << POSITION) + place
    ranked.sort()
    missing = first + total - np.add.reduceat(parts, first)
    parts[ranked[place < np.repeat(missing, count)] & MOST_ROWS - 1] += 1
    return parts


def _starts(group: Int64) -> Int64:
    """Return where each group begins in a list of groups."""
    changes = np.flatnonzero(group[1:] != group[:-1]) + 1
    return np.concatenate((zeros(min(1, len(group))), changes))


def supported(entries: Sequence[Sparse], weight: Int64, needed: int, size: int) -> Int64:
    """Return for each column the highest value that rows of so much weight give or exceed, or else zero.

    `weight` is by row, `needed` above zero; values are at most 2^32.
    """
    assert needed > 0
    assert all(_within(part.value, 0, 1 << 32) for part in entries)
    key = np.concatenate(
        (zeros(0), *((part.column << 33 | (1 << 32) - part.value) << POSITION | part.row for part in entries))
    )
    key.sort()
    assert _within(weight, 0, MOST // (len(key) or 1))
    first = np.searchsorted(key, np.arange(size + 1, dtype=np.int64) << 33 + POSITION)
    reached = zeros(len(key) + 1)
    np.cumsum(weight.take(key & MOST_ROWS - 1), out=reached[1:])
    place = np.searchsorted(reached, reached[first[:-1]] + needed) - 1  # the first that has enough
    found = place < first[1:]
    answer = zeros(size)
    answer[found] = (1 << 32) - (key[place[found]] >> POSITION & (1 << 33) - 1)
    return answer


def union(left: Sparse, right: Sparse, band: Sequence[int], size: int) -> tuple[Sparse, Int64]:
    """Return the left matrix with zeros wherever only the right one has an entry, and the right's values.

    Both are rows of this band, so many columns wide.
    """
    if np.array_equal(left.row, right.row) and np.array_equal(left.column, right.column):
        return left, right.value
    rows, rank = integers(band), zeros(size)
    rank[rows] = np.arange(len(rows))
    ours, theirs = (rank.take(each.row) * size + each.column for each in (left, right))
    place = zeros(len(rows) * size)
    place[theirs] = 1
    alone = ours[place.take(ours) == 0]
    cells = np.sort(np.concatenate((theirs, alone)), kind="stable") if len(alone) else theirs
    place[cells] = np.arange(len(cells))

    def spread(values: Int64, over: Int64) -> Int64:
        laid = zeros(len(cells))
        laid[place.take(over)] = values
        return laid

    if not len(alone):
        return Sparse(right.row, right.column, spread(left.value, ours)), right.value
    row = cells // size
    wider = Sparse(rows.take(row), cells - row * size, spread(left.value, ours))
    return wider, spread(right.value, theirs)


# Numbers of 32 bits behind the point.


def multiplied(left: Int64, right: Int64 | int) -> Int64:
    """Return left * right / 2^32, rounded down; |left| and right are at most 2^32."""
    assert _within(left, -(1 << 32), 1 << 32)
    assert _within(right, 0, 1 << 32)
    high, low = right >> 16, right & 0xFFFF
    answer: Int64 = (left * high + (left * low >> 16)) >> 16
    return answer


def divided(left: Int64, right: Int64 | int) -> Int64:
    """Return left * 2^32 / right, rounded down; left is at most right, right at most 2^46 and not zero."""
    assert _within(left, 0, 1 << 46)
    assert _within(right, 1, 1 << 46)
    assert _within(right - left, 0, 1 << 46)
    high = (left << 16) // right
    rest = (left << 16) - high * right
    return (high << 16) + (rest << 16) // right


def _within(numbers: Int64 | int, least: int, most: int) -> bool:
    if isinstance(numbers, int):
        return least <= numbers <= most
    if len(numbers) == 0:
        return True
    return least <= int(np.minimum.reduce(numbers)) and int(np.maximum.reduce(numbers)) <= most


# Wide numbers.


def wide(number: int) -> list[int]:
    """Return the limbs of one number."""
    return [number >> LIMB * place & LOW for place in range(_places(number))]


def widened(numbers: Int64, most: int) -> Wide:
    """Return the limbs of numbers between zero and `most`."""
    return [numbers >> LIMB * place & LOW for place in range(_places(most))]


def limbs(numbers: Sequence[int]) -> Wide:
    """Return the limbs of Python's integers."""
    places = _places(max(numbers, default=0))
    joined = b"".join([each.to_bytes(4 * places + 4, "little") for each in numbers])
    words = np.frombuffer(joined, "<u4").astype(np.int64).reshape(len(numbers), places + 1)
    found = []
    for place in range(places):
        at, down = divmod(LIMB * place, 32)
        found.append((words[:, at] >> down | (words[:, at + 1] & LOW) << 32 - down) & LOW)
    return found


def mixed(left: Int64, by_left: int, right: Int64, by_right: int, most: int) -> Wide:
    """Return the limbs of left * by_left + right * by_right, which is at most `most`; none is below zero."""
    assert _within(left, 0, most // (by_left or 1))
    assert _within(right, 0, most // (by_right or 1))
    if most < MOST:
        added = left * by_left + right * by_right
        assert _within(added, 0, most)
        return widened(added, most)
    one = product(widened(left, most // (by_left or 1)), wide(by_left), most)
    other = product(widened(right, most // (by_right or 1)), wide(by_right), most)
    return _carried(map(np.add, one, other), most)


def product(left: Wide, right: Sequence[Int64 | int], most: int, dropped: int = 0) -> Wide:
    """Return the limbs of a product that is at most `most`, without so many of the lowest.

    A factor of one limb may be below 2^32.
    """
    assert min(len(left), len(right)) <= 3

    def columns() -> Iterator[Int64]:
        for place in range(len(left) + len(right) - 1):
            pairs = range(max(0, place - len(right) + 1), min(place + 1, len(left)))
            column: Int64 = left[pairs[0]] * right[place - pairs[0]]
            for i in pairs[1:]:
                column += left[i] * right[place - i]
            yield column

    return _carried(columns(), most, dropped)


def shifted(number: Wide, bits: int) -> Int64:
    """Return number / 2^bits, rounded down, which must be below 2^60."""
    dropped, down = divmod(bits, LIMB)
    assert dropped < len(number)
    answer = number[dropped] >> down
    for place, limb in enumerate(number[dropped + 1 :], 1):
        up = LIMB * place - down
        assert _within(limb, 0, MOST >> min(up, 62))
        answer += limb << min(up, 62)
    return answer


@dataclass(frozen=True, slots=True)
class Wholes:
    """Numbers to divide by."""

    reciprocals: Wide
    dropped: int
    most: int


def wholes(numbers: Sequence[int], bits: int) -> Wholes:
    """Prepare the division of no larger numbers by these, so many bits behind the point.

    With r = 2^(bits + shift) // whole + 1 the product number * r / 2^shift is above the quotient by at most
    number / 2^shift. That is less than 1 / whole, so there is no integer between them.
    """
    dropped = -(-2 * max(numbers, default=1).bit_length() // LIMB)
    whole = 1 << bits + LIMB * dropped
    given = integers(i for i, number in enumerate(numbers) if number)
    reciprocals = []
    for limb in limbs([whole // number + 1 for number in numbers if number]):
        reciprocals.append(zeros(len(numbers)))
        reciprocals[-1][given] = limb
    return Wholes(reciprocals, dropped, 2 * whole)


def fractions(number: Wide, divisors: Wholes, which: Int64) -> Wide:
    """Return number * 2^bits / whole[which], rounded down."""
    reciprocals = [limb.take(which) for limb in divisors.reciprocals]
    return product(number, reciprocals, divisors.most, divisors.dropped)


def totals(parts: Iterable[tuple[Wide, Int64]], size: int) -> list[int]:
    """Return for each of so many groups what its numbers sum to, from numbers and their groups."""
    added: Wide = []
    for number, group in parts:
        added += [zeros(size) for _ in number[len(added) :]]
        for total, limb in zip(added, number, strict=False):
            np.add.at(total, group, limb)  # below 2^58: at most 2^28 entries of 30 bits
    return _whole(added, size)


def row_totals(number: Wide, factor: Int64, row: Int64) -> dict[int, int]:
    """Return for each row what its numbers sum to, each times its factor, which is below 2^32."""
    assert _within(factor, 0, (1 << 32) - 1)
    first = _starts(row)
    halves = (factor & 0xFFFF, factor >> 16)
    added = [[np.add.reduceat(limb * half, first) for limb in number] for half in halves]  # below 2^60
    low, high = (_whole(each, len(first)) for each in added)
    return {index: a + (b << 16) for index, a, b in zip(row.take(first).tolist(), low, high, strict=True)}


def _whole(number: Wide, size: int) -> list[int]:
    """Return Python's integers from limbs that may hold more."""
    whole = [0] * size
    for limb in reversed(number):
        whole = [(high << LIMB) + low for high, low in zip(whole, limb.tolist(), strict=True)]
    return whole


def _places(most: int) -> int:
    return -(-most.bit_length() // LIMB) or 1


def _carried(columns: Iterable[Int64], most: int, dropped: int = 0) -> Wide:
    """Bring columns that may hold more down to limbs below 2^30, without so many of the lowest."""
    number, carry, count = [], zeros(1), 0
    for count, column in enumerate(columns, 1):
        column += carry
        carry = column >> LIMB
        if count > dropped:
            column &= LOW
            number.append(column)
    for place in range(count, _places(most)):
        if place >= dropped:
            number.append(carry & LOW)
        carry = carry >> LIMB
    kept = max(0, _places(most) - dropped)
    assert not any(limb.any() for limb in (carry, *number[kept:])), "a number exceeds its bound"
    return number[:kept]
