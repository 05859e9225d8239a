"""Fixed layouts: packed in one step, they are what their fields one by one are."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.layout import EncodeError
from runtime.primitives.scale import DecodeError, Input, codec
from runtime.primitives.shapes import (
    Array,
    Composite,
    Fixed,
    Integer,
    SignedInteger,
    Tuple,
    i32,
    shape_of,
    struct,
    u8,
    u16,
    u32,
    u64,
    u128,
)
from runtime.primitives.types import AccountData, AccountId, AccountInfo


@struct("tests::Inner")
class Inner:
    small: u8
    name: Annotated[bytes, Fixed(3)]


@struct("tests::Outer")
class Outer:
    first: u16
    inner: Inner
    wide: u128
    long: u64
    again: Inner
    data: AccountData


@struct("tests::Balanced")
class Balanced:
    seat: u16
    gain: i32
    inner: Inner
    drift: i32


@dataclass
class Loose:
    only: u32


LAID: list[Any] = [
    u8, u16, u32, u64, u128, i32, AccountId, Annotated[bytes, Fixed(0)], Inner, Outer, AccountInfo, Loose,
    Balanced, tuple[AccountId, u32], tuple[u16, u16], tuple[u128],
]  # fmt: skip


def leaves(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values of a type, edges among them."""
    match shape_of(annotation):
        case Integer(size):
            return st.integers(0, (1 << 8 * size) - 1)
        case SignedInteger(size):
            return st.integers(-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)
        case Array(size, _):
            return st.binary(min_size=size, max_size=size)
        case Composite(_, cls, fields):
            return st.tuples(*(leaves(field.annotation) for field in fields)).map(lambda parts: cls(*parts))
        case Tuple(elements):
            return st.tuples(*(leaves(element) for element in elements))
        case shape:
            raise AssertionError(f"{shape} has no fixed layout")


def one_by_one(annotation: Any, value: Any) -> bytes:
    """Return the encoding by the definition of SCALE."""
    match shape_of(annotation):
        case Integer(size) | SignedInteger(size):
            return bytes(value >> 8 * at & 255 for at in range(size))
        case Array(_, _):
            return bytes(value)
        case Composite(_, _, fields):
            parts = ((field.annotation, getattr(value, field.attribute)) for field in fields)
            return b"".join(one_by_one(*part) for part in parts)
        case Tuple(elements):
            return b"".join(one_by_one(*part) for part in zip(elements, value, strict=True))
        case shape:
            raise AssertionError(f"{shape} has no fixed layout")


typed = st.sampled_from(LAID).flatmap(lambda annotation: st.tuples(st.just(annotation), leaves(annotation)))


@settings(max_examples=300)
@given(typed, st.binary(max_size=3), st.binary(max_size=3))
def test_a_packed_value_is_its_fields_one_by_one(drawn: Any, before: bytes, after: bytes) -> None:
    annotation, value = drawn
    made = codec(annotation)
    encoded = made.encode(value)
    assert made.layout is not None
    assert encoded == one_by_one(annotation, value)
    assert len(encoded) == made.least == made.layout.size
    assert made.decode(encoded) == value
    source = Input(before + encoded + after, len(before))
    assert made.read(source) == value
    assert source.offset == len(before) + len(encoded)
    out = bytearray(before)
    made.write(value, out)
    assert out == before + encoded


@settings(max_examples=100)
@given(typed, st.binary(min_size=1, max_size=3))
def test_every_other_length_is_refused(drawn: Any, more: bytes) -> None:
    annotation, value = drawn
    made = codec(annotation)
    encoded = made.encode(value)
    for end in range(len(encoded)):
        with pytest.raises(DecodeError, match="needs"):
            made.decode(encoded[:end])
        with pytest.raises(DecodeError, match="needs"):
            made.read(Input(b"\xff" + encoded[:end], 1))
    with pytest.raises(DecodeError, match="left over"):
        made.decode(encoded + more)


GOOD = Outer(1, Inner(2, b"abc"), 3, 4, Inner(5, b"def"), AccountData(6, 7, 8, 9))
BAD: list[tuple[Any, Any]] = [
    (u8, 256), (u8, -1), (u128, 1 << 128), (u128, -1), (u32, "1"), (u64, None), (AccountId, bytes(31)),
    (AccountId, bytes(33)), (AccountId, 32), (AccountId, "a" * 32), (tuple[u16, u16], (1,)),
    (tuple[u16, u16], (1, 2, 3)), (tuple[u16, u16], (1, 1 << 16)), (tuple[AccountId, u32], (bytes(31), 1)),
    (tuple[u16, u16], 7), (Loose, Loose(1 << 32)), (Inner, Inner(1, b"ab")), (Inner, Inner(1, b"abcd")),
    (Inner, Inner(256, b"abc")), (Inner, Inner(1, None)),  # type: ignore[arg-type]
    (Outer, GOOD.inner), (Outer, None),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), BAD)
def test_what_does_not_fit_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        codec(annotation).encode(value)
    with pytest.raises(EncodeError):
        codec(list[annotation]).encode([value])


@settings(max_examples=100)
@given(st.integers(0, 12), st.integers(1, 1 << 140), st.booleans())
def test_no_leaf_takes_more_than_its_bytes(leaf: int, excess: int, negative: bool) -> None:
    tops = [(1 << 8 * size) - 1 for size in (2, 1, 16, 8, 1, 16, 16, 16, 16)]
    numbers = [0] * len(tops)
    leaf %= len(tops)
    numbers[leaf] = -excess if negative else tops[leaf] + excess
    first, small, wide, long, again, *balances = numbers
    value = Outer(first, Inner(small, b"abc"), wide, long, Inner(again, b"def"), AccountData(*balances))
    with pytest.raises(EncodeError):
        codec(Outer).encode(value)
    with pytest.raises(EncodeError):
        codec(tuple[bool, Outer]).encode((True, value))


@struct("tests::Range")
class Range:
    name: u8
    ends: tuple[u16, u16]


@given(st.integers(0, 255), st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
def test_a_tuple_inside_of_a_struct_is_written_by_the_general_codec(name: int, ends: tuple[int, int]) -> None:
    value = Range(name, ends)
    assert codec(Range).layout is None
    assert codec(Range).encode(value) == one_by_one(Range, value)
    assert codec(Range).decode(one_by_one(Range, value)) == value


def test_only_what_is_frozen_counts_as_constant() -> None:
    assert codec(Outer).constant
    assert codec(tuple[AccountId, u32]).constant
    assert not codec(Loose).constant
    assert not codec(tuple[Loose, u32]).constant
    assert not codec(list[u8]).constant
    assert not codec(tuple[list[u8], u8]).constant
    assert not codec(dict[u8, u8]).constant
