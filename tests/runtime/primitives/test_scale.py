"""SCALE: any composed type against scalecodec, published vectors, and input that lies."""

import contextlib
import enum
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.header import HEADER, DigestItem
from runtime.primitives.layout import EncodeError
from runtime.primitives.scale import (
    MAX_DEPTH,
    MAX_NESTED,
    MAX_UNIT_ELEMENTS,
    Codec,
    Codecs,
    DecodeError,
    Input,
    codec,
    read_compact,
    write_compact,
)
from runtime.primitives.shapes import (
    Bounded,
    Compact,
    Fixed,
    Special,
    Variants,
    i32,
    struct,
    u8,
    u16,
    u32,
    u64,
    u128,
    variant,
)
from runtime.primitives.types import AccountInfo, MultiAddress

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "primitives.json").read_text())
ORACLE = RuntimeConfigurationObject()
ORACLE.update_type_registry(load_type_registry_preset("legacy"))
NAMES = count()


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def same(value: Any) -> Any:
    return value


class Colour(enum.Enum):
    """Three cases, one of them out of line."""

    Red = 0
    Green = 1
    Blue = 7


@variant
class Circle:
    """A case with a field."""

    radius: u16


@variant
class Point:
    """A case without."""


Figure = Annotated[Circle | Point, Variants("test::Figure", (3, 5))]


@dataclass(frozen=True)
class Kind:
    """A type here, its values, its name for scalecodec, and a value's form there."""

    annotation: Any
    values: st.SearchStrategy[Any]
    oracle: str
    view: Callable[[Any], Any] = same


def integer(annotation: Any, bits: int) -> list[Kind]:
    values = st.integers(0, 2**bits - 1) | st.sampled_from([0, 2 ** (bits - 1), 2**bits - 1])
    return [
        Kind(annotation, values, f"u{bits}"),
        Kind(
            Compact[annotation], values | st.integers(0, 300).map(lambda v: v % 2**bits), f"Compact<u{bits}>"
        ),
    ]


LEAVES = [
    *integer(u8, 8), *integer(u16, 16), *integer(u32, 32), *integer(u64, 64), *integer(u128, 128),
    Kind(i32, st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-1, 0, 1]), "i32"),
    Kind(bool, st.booleans(), "bool"),
    Kind(str, st.text(max_size=80), "String"),
    Kind(bytes, st.binary(max_size=80), "Vec<u8>", hexed),
    Kind(Annotated[bytes, Fixed(5)], st.binary(min_size=5, max_size=5), "[u8; 5]", hexed),
    Kind(Annotated[bytes, Fixed(32)], st.binary(min_size=32, max_size=32), "[u8; 32]", hexed),
]  # fmt: skip


def optional(kind: Kind) -> Kind:
    if type(None) in getattr(kind.annotation, "__args__", ()):
        return kind  # Python folds an option of an option
    view = kind.view
    return Kind(
        kind.annotation | None,
        st.none() | kind.values,
        f"Option<{kind.oracle}>",
        lambda value: None if value is None else view(value),
    )


def listed(kind: Kind) -> Kind:
    view = kind.view
    return Kind(
        list[kind.annotation],  # type: ignore[name-defined]
        st.lists(kind.values, max_size=4),
        f"Vec<{kind.oracle}>",
        lambda value: [view(each) for each in value],
    )


def paired(kinds: list[Kind]) -> Kind:
    """Declare a tuple, which gets a name in the oracle: it misreads tuples written inside of tuples."""
    name = f"Tuple{next(NAMES)}"
    ORACLE.update_type_registry({"types": {name: f"({', '.join(kind.oracle for kind in kinds)})"}})
    return Kind(
        tuple[tuple(kind.annotation for kind in kinds)],  # type: ignore[misc]
        st.tuples(*(kind.values for kind in kinds)),
        name,
        lambda value: tuple(kind.view(each) for kind, each in zip(kinds, value, strict=True)),
    )


def structured(kinds: list[Kind]) -> Kind:
    """Declare a new struct here and in the oracle."""
    name = f"Struct{next(NAMES)}"
    fields = [f"field{number}" for number in range(len(kinds))]
    pairs = list(zip(fields, kinds, strict=True))
    cls = make_dataclass(name, [(field, kind.annotation) for field, kind in pairs], frozen=True)
    mapping = [[field, kind.oracle] for field, kind in pairs]
    ORACLE.update_type_registry({"types": {name: {"type": "struct", "type_mapping": mapping}}})
    return Kind(
        cls,
        st.builds(cls, *(kind.values for kind in kinds)),
        name,
        lambda value: {field: kind.view(getattr(value, field)) for field, kind in pairs},
    )


def tagged(kinds: list[Kind]) -> Kind:
    """Declare a new enum whose cases carry one value each."""
    name = f"Enum{next(NAMES)}"
    classes = [
        make_dataclass(f"Case{at}", [("_0", kind.annotation)], frozen=True) for at, kind in enumerate(kinds)
    ]
    union: Any = classes[0]
    for cls in classes[1:]:
        union = union | cls
    mapping = [[cls.__name__, kind.oracle] for cls, kind in zip(classes, kinds, strict=True)]
    ORACLE.update_type_registry({"types": {name: {"type": "enum", "type_mapping": mapping}}})
    views = {cls: kind.view for cls, kind in zip(classes, kinds, strict=True)}
    builds = [st.builds(cls, kind.values) for cls, kind in zip(classes, kinds, strict=True)]
    return Kind(
        Annotated[union, Variants(f"test::{name}")],
        st.one_of(builds),
        name,
        lambda value: {type(value).__name__: views[type(value)](value._0)},
    )  # fmt: skip


def compositions(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    several = st.lists(inner, min_size=1, max_size=3)
    return (
        inner.map(optional)
        | inner.map(listed)
        | st.lists(inner, min_size=2, max_size=3).map(paired)
        | several.map(structured)
        | several.map(tagged)
    )


kinds = st.recursive(st.sampled_from(LEAVES), compositions, max_leaves=6)


@settings(max_examples=150)
@given(st.data())
def test_composed_types_are_what_scalecodec_makes_of_them(data: st.DataObject) -> None:
    kind = data.draw(kinds)
    value = data.draw(kind.values)
    encoded = codec(kind.annotation).encode(value)
    assert codec(kind.annotation).decode(encoded) == value
    theirs = ORACLE.create_scale_object(kind.oracle).encode(kind.view(value))
    assert encoded == bytes(theirs.data), (kind.oracle, value)
    assert len(encoded) >= codec(kind.annotation).least


@settings(max_examples=150)
@given(st.data())
def test_broken_encodings_raise_decode_errors_only(data: st.DataObject) -> None:
    kind = data.draw(kinds)
    encoded = bytearray(codec(kind.annotation).encode(data.draw(kind.values)))
    for _ in range(data.draw(st.integers(1, 3))):
        if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    for broken in (bytes(encoded), bytes(encoded[:cut]), bytes(encoded) + b"\0"):
        try:
            value = codec(kind.annotation).decode(broken)
        except DecodeError:
            continue
        assert codec(kind.annotation).encode(value) == broken, "two encodings of one value"


@pytest.mark.parametrize("annotation", [HEADER, DigestItem, MultiAddress, AccountInfo, Figure, Colour])
@given(noise=st.binary(max_size=200))
@settings(max_examples=60)
def test_noise_raises_decode_errors_only(annotation: Any, noise: bytes) -> None:
    form = annotation if isinstance(annotation, Codec) else codec(annotation)
    with contextlib.suppress(DecodeError):
        assert form.encode(form.decode(noise)) == noise


TYPES = {
    "u8": u8, "u16": u16, "u32": u32, "u64": u64, "u128": u128, "bool": bool, "Option<u32>": u32 | None,
    "Vec<u16>": list[u16], "Vec<u8>": bytes, "String": str, "(u8, bool)": tuple[u8, bool],
    "[u8; 4]": Annotated[bytes, Fixed(4)], "H256": Annotated[bytes, Fixed(32)], "Vec<String>": list[str],
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [case for case in VECTORS["scale_basic"] if case["type"] in TYPES], ids=lambda case: case["type"]
)
def test_published_basics(case: dict[str, Any]) -> None:
    form, value = codec(TYPES[case["type"]]), case["value"]
    if case["type"] in ("Vec<u8>", "[u8; 4]", "H256"):
        value = unhex(value)
    if isinstance(value, list) and case["type"].startswith("("):
        value = tuple(value)
    assert form.encode(value).hex() == case["bytes"][2:]
    assert form.decode(unhex(case["bytes"])) == value


@pytest.mark.parametrize("case", VECTORS["scale_compact"], ids=lambda case: case["value"])
def test_published_compacts(case: dict[str, str]) -> None:
    out = bytearray()
    write_compact(int(case["value"]), out)
    assert bytes(out) == unhex(case["bytes"])
    assert read_compact(Input(unhex(case["bytes"]))) == int(case["value"])


@given(st.integers(0, 2**536 - 1) | st.integers(0, 2**34))
def test_every_compact_has_one_encoding(value: int) -> None:
    out = bytearray()
    write_compact(value, out)
    assert read_compact(Input(bytes(out))) == value
    if value < 2**128:
        assert bytes(out) == bytes(ORACLE.create_scale_object("Compact<u128>").encode(value).data)


@pytest.mark.parametrize(
    "padded",
    ["0100", "fd00", "02000000", "feff0000", "0300000000", "03ffffff3f", "07ffffffff00", "ff" + "00" * 67],
)
def test_a_compact_longer_than_needed_is_refused(padded: str) -> None:
    with pytest.raises(DecodeError, match="shortest form"):
        read_compact(Input(bytes.fromhex(padded)))


def test_a_compact_beyond_its_type_is_refused_both_ways() -> None:
    assert codec(Compact[u32]).decode(bytes.fromhex("03ffffffff")) == 2**32 - 1
    with pytest.raises(DecodeError, match="does not fit 4 bytes"):
        codec(Compact[u32]).decode(bytes.fromhex("070000000001"))
    with pytest.raises(EncodeError):
        codec(Compact[u32]).encode(2**32)
    with pytest.raises(EncodeError):
        write_compact(2**536, bytearray())


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (u8, 256), (u8, -1), (u128, 2**128), (Compact[u8], -1), (u32, "1"), (u32, None), (str, "\ud800"),
        (str, b"x"), (bytes, "x"), (Annotated[bytes, Fixed(4)], b"abc"), (list[u8], 5), (tuple[u8, u8], (1,)),
        (Annotated[bytes, Bounded(2)], b"abc"), (Annotated[list[u8], Bounded(1)], [1, 2]), (Colour, 7),
        (Figure, 3), (AccountInfo, None),
    ],
)  # fmt: skip
def test_values_outside_their_type_raise_encode_errors(annotation: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        codec(annotation).encode(value)


@pytest.mark.parametrize(
    ("annotation", "encoded"),
    [
        (bool, "02"), (u8 | None, "02ff"), (str, "08c328"), (Colour, "02"), (Figure, "04"), (Colour, ""),
        (Annotated[bytes, Bounded(2)], "0cabcdef"), (Annotated[list[u8], Bounded(2)], "0c010203"),
        (list[u32], "080000000001000000ff"), (bytes, "feffffff"), (list[u64], "13" + "ff" * 8 + "00" * 40),
        (dict[u8, u8], "080200 0100"), (dict[u8, u8], "08 0100 0100"), (u8, "0102"),
    ],
)  # fmt: skip
def test_malformed_input_raises_decode_errors(annotation: Any, encoded: str) -> None:
    with pytest.raises(DecodeError):
        codec(annotation).decode(bytes.fromhex(encoded))


def test_a_length_is_checked_before_anything_is_allocated() -> None:
    bomb = b"\xff" + b"\xff" * 67  # 2^536 - 1 elements
    tracemalloc.start()
    for annotation in (
        bytes,
        str,
        list[u8],
        list[list[u8]],
        dict[u8, u8],
        list[tuple[()]],
        list[AccountInfo],
    ):
        with pytest.raises(DecodeError):
            codec(annotation).decode(bomb + bytes(100))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20


def test_elements_without_bytes_are_bounded_by_number() -> None:
    units = codec(list[tuple[()]])
    out = bytearray()
    write_compact(MAX_UNIT_ELEMENTS, out)
    assert units.decode(bytes(out)) == [()] * MAX_UNIT_ELEMENTS
    out.clear()
    write_compact(MAX_UNIT_ELEMENTS + 1, out)
    with pytest.raises(DecodeError, match="1025 elements"):
        units.decode(bytes(out))


def test_nesting_ends_at_a_depth_of_its_own() -> None:
    codecs, marker = Codecs(), Special("Nested")
    codecs.define(marker, codecs.of(list[Annotated[int, marker]]))
    form = codecs.of(Annotated[int, marker])
    deepest: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        deepest = [deepest]
    assert form.decode(form.encode(deepest)) == deepest  # type: ignore[comparison-overlap]
    source = Input(b"\x04" * 10_000 + b"\x00")
    with pytest.raises(DecodeError, match="nested deeper than 64"):
        form.read(source)
    assert source.offset == MAX_DEPTH


def test_what_nests_wide_ends_as_well() -> None:
    codecs, marker = Codecs(), Special("Nested")
    codecs.define(marker, codecs.of(list[Annotated[int, marker]]))
    form = codecs.of(list[Annotated[int, marker]])
    widest: list[Any] = [[]] * MAX_NESTED
    assert form.decode(form.encode(widest)) == widest
    with pytest.raises(DecodeError, match="nested more than 4096 times"):
        form.decode(form.encode([*widest, []]))


def test_maps_travel_in_ascending_order_of_keys() -> None:
    form = codec(dict[u16, str])
    assert form.encode({2: "b", 1: "a"}) == bytes.fromhex("08 0100 0461 0200 0462")
    assert form.decode(form.encode({2: "b", 1: "a"})) == {1: "a", 2: "b"}


def test_account_info_is_what_clients_decode() -> None:
    info = codec(AccountInfo).decode(unhex(VECTORS["account_info"]["bytes"]))
    assert (info.nonce, info.providers, info.data.free, info.data.flags) == (0, 1, 2**60, 2**127)
    assert codec(AccountInfo).encode(info) == unhex(VECTORS["account_info"]["bytes"])


@struct("test::Pair")
class Pair:
    """Fields with a keyword's name and an unnamed one."""

    from_: u8
    to: Annotated[bytes, Bounded(3)] = b""


def test_a_struct_is_its_fields_in_order() -> None:
    assert codec(Pair).encode(Pair(1, b"ab")) == bytes.fromhex("01 08 6162")
    assert codec(Pair).decode(bytes.fromhex("0100")) == Pair(1)
