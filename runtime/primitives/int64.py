"""Exact arithmetic on many integers at once: the runtime's only door to numpy.

Every array here is int64. numpy wraps silently and turns some mixtures into floats, so each function asserts
the bounds under which no product and no sum can leave int64. Wider numbers are a list of limbs of 30 bits,
the lowest first, each limb an array.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.primitives.pairs import PAIR, Pairs

Int64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Wide = list[Int64]
"""Limbs, the lowest first; all below 2^30 but where a function says otherwise."""

LIMB: Final = 30
"""bits"""
LOW: Final = (1 << LIMB) - 1
MOST: Final = 1 << 62
"""No number and no sum reaches more."""
BLOCK: Final = 1 << 13
"""numbers"""
CELLS: Final = 1 << 17
"""of a matrix, laid out at once"""
POSITION: Final = 14
"""bits of a row, of a column and of a place in a row"""
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


def sparse(rows: Sequence[Iterable[tuple[int, int]]]) -> Sparse:
    """Return the entries of a square matrix from its rows of (column, value), all u16.

    Raises: ValueError for a value beyond u16 and for a row that is not ascending or leaves the matrix.
    """
    assert len(rows) <= MOST_ROWS
    packed = [row if isinstance(row, Pairs) else Pairs(row) for row in rows]
    flat = np.frombuffer(b"".join(row.packed for row in packed), "<u2")
    column, value = flat[0::2].astype(np.int64), flat[1::2].astype(np.int64)
    row = np.repeat(np.arange(len(rows), dtype=np.int64), list(map(len, packed)))
    if (np.diff(row << POSITION + 2 | column) <= 0).any():
        raise ValueError("a row is not in ascending order of uid")
    if len(column) and int(column.max()) >= len(rows):
        raise ValueError(f"a row names a uid beyond {len(rows) - 1}")
    return Sparse(row, column, value)


def rows_of(entries: Sparse, size: int) -> list[Pairs]:
    """Return the rows of (column, value) of a matrix with so many; all are u16."""
    assert _within(entries.column, 0, 65535)
    assert _within(entries.value, 0, 65535)
    packed = np.stack((entries.column, entries.value), axis=1).astype("<u2").tobytes()
    ends = [PAIR.size * each for each in (*starts(entries.row, size).tolist(), len(entries.row))]
    return [Pairs.of(packed[begin:end]) if begin < end else EMPTY for begin, end in pairwise(ends)]


# Sums and shares.


def sums(values: Int64, group: Int64, size: int) -> Int64:
    """Return for each of so many groups what its values sum to."""
    assert _within(values, -MOST // (len(values) or 1), MOST // (len(values) or 1))
    total = zeros(size)
    np.add.at(total, group, values)
    return total


def lesser(values: Int64, limits: Int64) -> Int64:
    """Return the lesser of each two."""
    return np.minimum(values, limits)


def apportion_rows(total: int, entries: Sparse, size: int) -> Int64:
    """Split a total among the entries of each row: largest remainders round up, of equals the earlier."""
    assert _within(entries.value, 1, 65535)
    assert 0 < total <= 1 << 31
    whole = sums(entries.value, entries.row, size)[entries.row]
    scaled = entries.value * total
    parts = scaled // whole
    rest = scaled - parts * whole  # below 2^30: at most 2^14 values of 16 bits
    missing = total - sums(parts, entries.row, size)
    first = starts(entries.row, size)
    place = np.arange(len(parts), dtype=np.int64) - first[entries.row]
    ranked = np.sort((entries.row << LIMB + 1 | (1 << LIMB) - rest) << POSITION | place)
    rounded_up = ranked[place < missing[entries.row]]
    parts[first[rounded_up >> POSITION + LIMB + 1] + (rounded_up & MOST_ROWS - 1)] += 1
    return parts


def starts(group: Int64, size: int) -> Int64:
    """Return where each of so many groups starts in an ascending list of groups."""
    return np.searchsorted(group, np.arange(size, dtype=np.int64)).astype(np.int64)


def supported(entries: Sparse, weight: Int64, needed: int, size: int) -> Int64:
    """Return for each column the highest value that rows of so much weight give or exceed, or else zero.

    `weight` is by row, `needed` above zero; values are at most 2^32.
    """
    assert needed > 0
    assert _within(entries.value, 0, 1 << 32)
    key = (entries.column << 33 | (1 << 32) - entries.value) << POSITION | entries.row
    key.sort()
    column = key >> 33 + POSITION
    first = starts(column, size)
    assert _within(weight, 0, MOST // (len(key) or 1))
    reached = np.concatenate((zeros(1), np.cumsum(weight[key & MOST_ROWS - 1])))
    place = np.searchsorted(reached, reached[first] + needed) - 1  # the first that has enough
    found = place < np.concatenate((first[1:], integers([len(key)])))
    answer = zeros(size)
    answer[found] = (1 << 32) - (key[place[found]] >> POSITION & (1 << 33) - 1)
    return answer


def union(left: Sparse, right: Sparse, size: int) -> tuple[Sparse, Sparse]:
    """Return two square matrices with zeros written wherever only the other has an entry."""
    if np.array_equal(left.row, right.row) and np.array_equal(left.column, right.column):
        return left, right
    used = np.zeros(size, np.bool_)
    used[left.row] = used[right.row] = True
    rows, rank = np.flatnonzero(used), np.cumsum(used) - 1
    keys = [rank[each.row] * size + each.column for each in (left, right)]
    height = max(1, CELLS // size)
    seen, held = np.zeros((height, size), np.bool_), zeros(height * size)
    blocks = []
    for first in range(0, len(rows), height):
        edges = np.array((first, first + height)) * size
        here, there = (slice(*np.searchsorted(key, edges)) for key in keys)
        place, found = keys[0][here] - edges[0], keys[1][there] - edges[0]
        row, column, values = right.row[there], right.column[there], right.value[there]
        seen.reshape(-1)[found] = True
        alone = place[~seen.reshape(-1)[place]]
        if len(alone):
            held[found] = values
            seen.reshape(-1)[alone] = True
            row, column = seen.nonzero()
            found, before, row = row * size + column, found, rows[row + first]
            values = held[found]
            held[before] = 0
        seen.reshape(-1)[found] = False
        held[place] = left.value[here]
        blocks.append((row, column, held[found], values))
        held[place] = 0
    row, column, one, other = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return Sparse(row, column, one), Sparse(row, column, other)


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
    high = (left << 16) // right
    rest = (left << 16) - high * right
    return (high << 16) + (rest << 16) // right


def _within(numbers: Int64 | int, least: int, most: int) -> bool:
    if isinstance(numbers, int):
        return least <= numbers <= most
    return len(numbers) == 0 or least <= int(numbers.min()) <= int(numbers.max()) <= most


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
    return [integers([each >> LIMB * place & LOW for each in numbers]) for place in range(places)]


def picked(number: Wide, kept: Mask) -> Wide:
    """Return these numbers alone."""
    return number if kept.all() else [limb[kept] for limb in number]


def product(left: Wide, right: Sequence[Int64 | int], most: int) -> Wide:
    """Return the limbs of a product that is at most `most`; a factor of one limb may be below 2^32."""
    assert min(len(left), len(right)) <= 3
    columns: Wide = []
    for place in range(len(left) + len(right) - 1):
        pairs = range(max(0, place - len(right) + 1), min(place + 1, len(left)))
        column: Int64 = left[pairs[0]] * right[place - pairs[0]]
        for i in pairs[1:]:
            column += left[i] * right[place - i]
        columns.append(column)
    return _carried(columns, most)


def plus(left: Wide, right: Wide, most: int) -> Wide:
    """Return the limbs of a sum that is at most `most`."""
    return _carried([low + high for low, high in zip_longest(left, right, fillvalue=zeros(1))], most)


def shifted(number: Wide, bits: int) -> Int64:
    """Return number / 2^bits, rounded down, which must be below 2^60."""
    answer = zeros(1)
    for place, limb in enumerate(number):
        up = LIMB * place - bits
        assert _within(limb, 0, MOST >> max(0, min(up, 62)))
        answer = answer + (limb << min(up, 62) if up >= 0 else limb >> min(-up, LIMB))
    return answer


@dataclass(frozen=True, slots=True)
class Wholes:
    """Numbers to divide by."""

    reciprocals: Wide
    shift: int
    most: int


def wholes(numbers: Sequence[int], bits: int) -> Wholes:
    """Prepare the division of no larger numbers by these, so many bits behind the point.

    With r = 2^(bits + shift) // whole + 1 the product number * r / 2^shift is above the quotient by at most
    number / 2^shift. That is less than 1 / whole, so there is no integer between them.
    """
    shift = LIMB * -(-2 * max(numbers, default=1).bit_length() // LIMB)
    reciprocals = limbs([(1 << bits + shift) // whole + 1 if whole else 0 for whole in numbers])
    return Wholes(reciprocals, shift, 2 << bits + shift)


def fractions(number: Wide, divisors: Wholes, which: Int64) -> Wide:
    """Return number * 2^bits / whole[which], rounded down."""
    scaled = product(number, [limb[which] for limb in divisors.reciprocals], divisors.most)
    return scaled[divisors.shift // LIMB :]


def blockwise(size: int, compute: Callable[[slice], Wide]) -> Wide:
    """Return limbs that are computed in blocks which fit the processor's cache: that takes half the time."""
    blocks = [compute(slice(first, first + BLOCK)) for first in range(0, size or 1, BLOCK)]
    return [np.concatenate(limb) for limb in zip(*blocks, strict=True)]


def totals(number: Wide, group: Int64, size: int) -> list[int]:
    """Return for each of so many groups what its numbers sum to."""
    total = [0] * size
    for place, limb in enumerate(number):
        added = sums(limb, group, size).tolist()
        total = [low + (high << LIMB * place) for low, high in zip(total, added, strict=True)]
    return total


def _places(most: int) -> int:
    return -(-most.bit_length() // LIMB) or 1


def _carried(columns: Wide, most: int) -> Wide:
    """Bring columns that may hold more down to limbs below 2^30, in place."""
    places = _places(most)
    for place, column in enumerate(columns):
        carry = column >> LIMB
        column &= LOW
        if place + 1 < len(columns):
            columns[place + 1] += carry
        elif place + 1 < places:
            columns.append(carry)
        else:
            assert not carry.any(), "a number exceeds its bound"
    assert not any(column.any() for column in columns[places:]), "a number exceeds its bound"
    return columns[:places]
