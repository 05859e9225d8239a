"""A Merkle mountain range: a list that only grows, and paths that show what stands in it.

    node     blake2_256(0x01 || left || right)
    root     blake2_256(0x02 || SCALE(u64 leaf count, list of peaks, the highest mountain first))

         6
      2     5     9        Nodes are numbered in the order they are made: leaf by leaf, each node as soon as
    0   1 3   4 7   8 10   both its children are there. The peaks of these 7 leaves are 6, 9 and 10.

A list of n leaves has 2n - popcount(n) nodes and popcount(n) peaks.

Source: Todd, "Merkle Mountain Ranges"; paritytech/merkle-mountain-range.
"""

from collections.abc import Sequence
from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, u64
from runtime.primitives.types import Hash

MAX_PEAKS = 64
"""One for each bit of a leaf count."""
INNER, BAG = b"\x01", b"\x02"
"""What is hashed begins with its kind (a leaf's with 0x00): no node passes for one of another kind."""

Hashes = Annotated[list[Hash], Bounded(MAX_PEAKS)]
"""The peaks of a list, or a path from a leaf up to its peak."""

_BAGGED = codec(tuple[u64, Hashes])


def size(leaf_count: int) -> int:
    """Return how many nodes a list of so many leaves has; the next one gets this number."""
    return 2 * leaf_count - leaf_count.bit_count()


def append(peaks: Sequence[Hash], leaf_count: int, leaf: Hash) -> tuple[list[Hash], list[Hash]]:
    """Return the peaks after one more leaf, and the nodes it makes: those numbered from size(leaf_count) on.

    Each trailing one bit of the count is a mountain as high as what has just been made: they become one.
    """
    after, made = list(peaks), [leaf]
    while leaf_count & 1:
        made.append(join(after.pop(), made[-1]))
        leaf_count >>= 1
    return [*after, made[-1]], made


def join(left: Hash, right: Hash) -> Hash:
    """Return the node above two."""
    return Hash(blake2_256(INNER + left + right))


def root(leaf_count: int, peaks: Sequence[Hash]) -> Hash:
    """Return what stands for the whole list."""
    return Hash(blake2_256(BAG + _BAGGED.encode((leaf_count, list(peaks)))))


def peak_places(leaf_count: int) -> list[int]:
    """Return the numbers of the peaks, the highest mountain first."""
    return [size(first + (1 << height)) - 1 for first, height in _mountains(leaf_count)]


def path_places(leaf: int, leaf_count: int) -> list[int]:
    """Return the numbers of the nodes beside the way from a leaf up to its peak, the lowest first.

    A node of height h above the leaves [first, first + 2^h) is the last one that its last leaf makes on the
    way there: it has the number size(first + 2^h - 1) + h.
    """
    assert 0 <= leaf < leaf_count, f"leaf {leaf} of {leaf_count}"
    _, height = _mountain_of(leaf, leaf_count)
    places = []
    for level in range(height):
        beside = (leaf >> level ^ 1) << level  # first leaf below the node beside
        places.append(size(beside + (1 << level) - 1) + level)
    return places


def is_proven(leaf: Hash, at: int, leaf_count: int, path: Sequence[Hash], peaks: Sequence[Hash]) -> bool:
    """Say whether a path shows that a leaf stands at this place of a list with these peaks."""
    if not 0 <= at < leaf_count < 1 << MAX_PEAKS or len(peaks) != leaf_count.bit_count():
        return False
    number, height = _mountain_of(at, leaf_count)
    if len(path) != height:
        return False
    node = leaf
    for level, beside in enumerate(path):
        node = join(beside, node) if at >> level & 1 else join(node, beside)
    return node == peaks[number]


def _mountain_of(leaf: int, leaf_count: int) -> tuple[int, int]:
    """Return which mountain a leaf is in, and how high that is."""
    for number, (first, height) in enumerate(_mountains(leaf_count)):
        if leaf < first + (1 << height):
            return number, height
    raise AssertionError(f"leaf {leaf} of {leaf_count}")


def _mountains(leaf_count: int) -> list[tuple[int, int]]:
    """Return (first leaf, height) of each mountain, the highest first."""
    heights = [height for height in range(leaf_count.bit_length() - 1, -1, -1) if leaf_count >> height & 1]
    return [(leaf_count >> height + 1 << height + 1, height) for height in heights]
