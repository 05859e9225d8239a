"""Merkle mountain ranges against a model that builds everything anew from the leaves."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives import mmr
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash


@dataclass(frozen=True)
class Node:
    """A node of the slow model."""

    hash: Hash
    leaves: tuple[int, ...]
    children: tuple["Node", ...] = ()


def leaf_of(index: int) -> Hash:
    return Hash(blake2_256(b"\x00" + index.to_bytes(8, "little")))


def rebuilt(count: int) -> tuple[list[Node], list[Node]]:
    """Return all nodes in the order of the literature, and the peaks: equal mountains meet at once."""
    nodes: list[Node] = []
    peaks: list[Node] = []
    for index in range(count):
        nodes.append(Node(leaf_of(index), (index,)))
        peaks.append(nodes[-1])
        while len(peaks) > 1 and len(peaks[-1].leaves) == len(peaks[-2].leaves):
            right, left = peaks.pop(), peaks.pop()
            above = Hash(blake2_256(b"\x01" + left.hash + right.hash))
            nodes.append(Node(above, left.leaves + right.leaves, (left, right)))
            peaks.append(nodes[-1])
    return nodes, peaks


def grown(count: int) -> tuple[list[Hash], list[Hash]]:
    peaks: list[Hash] = []
    nodes: list[Hash] = []
    for index in range(count):
        assert mmr.size(index) == len(nodes)
        peaks, made = mmr.append(peaks, index, leaf_of(index))
        nodes += made
    return nodes, peaks


def path(nodes: list[Hash], leaf: int, count: int) -> list[Hash]:
    return [nodes[place] for place in mmr.path_places(leaf, count)]


@pytest.mark.parametrize("count", [*range(34), 63, 64, 65, 255, 256])
def test_a_list_grows_to_what_would_be_built_at_once(count: int) -> None:
    nodes, peaks = rebuilt(count)
    assert grown(count) == ([node.hash for node in nodes], [peak.hash for peak in peaks])
    assert [nodes[place] for place in mmr.peak_places(count)] == peaks
    assert mmr.size(count) == len(nodes)


def test_places_of_the_picture() -> None:
    assert mmr.peak_places(7) == [6, 9, 10]
    assert mmr.path_places(2, 7) == [4, 2]
    assert mmr.path_places(5, 7) == [7]
    assert mmr.path_places(6, 7) == []


@pytest.mark.parametrize("count", [*range(1, 34), 100])
def test_every_leaf_is_proven_and_stands_nowhere_else(count: int) -> None:
    nodes, peaks = grown(count)
    for leaf in range(count):
        shown = path(nodes, leaf, count)
        places = [at for at in range(count + 1) if mmr.is_proven(leaf_of(leaf), at, count, shown, peaks)]
        assert places == [leaf]
        assert not mmr.is_proven(leaf_of(count), leaf, count, shown, peaks)


@given(st.integers(1, 300), st.data())
@settings(max_examples=80)
def test_nothing_that_was_changed_proves_anything(count: int, data: st.DataObject) -> None:
    nodes, peaks = grown(count)
    leaf = data.draw(st.integers(0, count - 1), "leaf")
    shown = path(nodes, leaf, count)
    assert mmr.is_proven(leaf_of(leaf), leaf, count, shown, peaks)
    other = data.draw(st.sampled_from([bytes(32), *nodes]), "other")
    places = [("path", at) for at in range(len(shown))] + [("peak", at) for at in range(len(peaks))]
    which, at = data.draw(st.sampled_from(places), "place")
    changed = {"path": list(shown), "peak": list(peaks)}
    matters = which == "path" or path_ends_at(peaks, leaf, count) == at
    if matters and changed[which][at] != other:
        changed[which][at] = Hash(other)
        assert not mmr.is_proven(leaf_of(leaf), leaf, count, changed["path"], changed["peak"])
    for wrong in ([*shown, Hash(other)], shown[:-1]):
        assert wrong == shown or not mmr.is_proven(leaf_of(leaf), leaf, count, wrong, peaks)
    for many in (0, leaf, 1 << 64, count + (1 << 64)):
        assert not mmr.is_proven(leaf_of(leaf), leaf, many, shown, peaks)
    assert not mmr.is_proven(leaf_of(leaf), leaf, count, shown, [*peaks, Hash(other)])


def path_ends_at(peaks: list[Hash], leaf: int, count: int) -> int:
    """Return which peak is above a leaf."""
    _, tops = rebuilt(count)
    assert [top.hash for top in tops] == peaks
    return next(at for at, top in enumerate(tops) if leaf in top.leaves)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_places_of_lists_that_nobody_could_build(one: int, other: int) -> None:
    """Paths of a longer list begin with those of a shorter one, and no two nodes share a place."""
    leaf, count = sorted((one, other))
    short, long = mmr.path_places(leaf, leaf + 1), mmr.path_places(leaf, count + 1)
    assert long[: len(short)] == short
    places = [*mmr.peak_places(count + 1), *long]
    assert len(places) <= 2 * mmr.MAX_PEAKS
    assert all(0 <= place < mmr.size(count + 1) for place in places)
    assert len(long) == len(frozenset(long))


def test_a_root_says_how_many_leaves_there_are() -> None:
    peaks = [leaf_of(0), leaf_of(1)]
    encoded = b"\x03\0\0\0\0\0\0\0" + b"\x08" + peaks[0] + peaks[1]
    assert mmr.root(3, peaks) == blake2_256(b"\x02" + encoded)
    assert mmr.root(0, []) == blake2_256(b"\x02" + bytes(8) + b"\x00")
