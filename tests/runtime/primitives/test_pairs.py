"""Pairs in one piece behave like a list of them, on the wire too."""

from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.layout import EncodeError
from runtime.primitives.pairs import Pairs
from runtime.primitives.scale import Codecs, DecodeError, codec
from runtime.primitives.shapes import Bounded, u16

FEW = settings(max_examples=40, deadline=None)
LISTS = st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=70)


@FEW
@given(LISTS)
def test_they_read_like_a_list(pairs: list[tuple[int, int]]) -> None:
    packed = Pairs(pairs)
    assert (list(packed), len(packed), bool(packed)) == (pairs, len(pairs), bool(pairs))
    assert [packed[i] for i in range(-len(pairs), len(pairs))] == pairs + pairs
    assert packed[1:5] == Pairs(pairs[1:5])
    assert repr(packed) == repr(pairs)


@FEW
@given(LISTS, LISTS)
def test_they_equal_lists_and_each_other_by_what_they_hold(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    assert Pairs(left) == left == Pairs(left)
    assert (Pairs(left) == Pairs(right)) == (Pairs(left) == right) == (left == right)
    assert Pairs(left) != tuple(left)


def test_there_is_none_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        Pairs([(1, 2)])[1]


@FEW
@given(LISTS)
def test_on_the_wire_they_are_a_sequence_of_tuples(pairs: list[tuple[int, int]]) -> None:
    plain = codec(list[tuple[u16, u16]]).encode(pairs)
    assert codec(Pairs).encode(Pairs(pairs)) == codec(Pairs).encode(pairs) == plain
    assert codec(Pairs).decode(plain) == Pairs(pairs)


@pytest.mark.parametrize("wrong", [[(1, 65536)], [(-1, 1)], [(1, 2, 3), (4,)], [(1, "2")]])
def test_what_is_no_pair_of_u16_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a pair is not two u16"):
        Pairs(wrong)
    with pytest.raises(EncodeError, match="a pair is not two u16"):
        codec(Pairs).encode(wrong)


def test_a_bound_holds_both_ways() -> None:
    bounded = Codecs().of(Annotated[Pairs, Bounded(1)])
    two = codec(Pairs).encode([(1, 2), (3, 4)])
    with pytest.raises(EncodeError, match="2 elements, at most 1 are allowed"):
        bounded.encode(Pairs([(1, 2), (3, 4)]))
    with pytest.raises(DecodeError, match="2 elements, at most 1 are allowed"):
        bounded.decode(two)
    with pytest.raises(DecodeError, match="cannot fit the 7 bytes that are left"):
        codec(Pairs).decode(two[:-1])
