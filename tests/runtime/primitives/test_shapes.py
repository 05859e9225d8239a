"""Annotations: what they mean on the wire, and what has no meaning."""

import enum
from typing import Annotated, Any, NewType

import pytest

from runtime.primitives import shapes
from runtime.primitives.shapes import (
    Bounded,
    Case,
    Compact,
    Field,
    Fixed,
    Special,
    Variants,
    i32,
    rust_path,
    shape_of,
    struct,
    u8,
    u32,
    variant,
)
from runtime.primitives.types import AccountId, Lookup, MultiAddress, Weight

Name = NewType("Name", Annotated[bytes, Fixed(4, "test::Name")])


class Side(enum.Enum):
    """Two sides."""

    Left = 0
    Right = 4


@variant
class Deep_:
    """Goes down."""

    _0: u8


@variant
class Wide:
    from_: u32


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (u8, shapes.Integer(1)),
        (i32, shapes.SignedInteger(4)),
        (Compact[u32], shapes.CompactInteger(4)),
        (bool, shapes.Boolean()),
        (str, shapes.Text(None)),
        (Annotated[str, Bounded(9)], shapes.Text(9)),
        (bytes, shapes.Bytes(None)),
        (Annotated[bytes, Bounded(9)], shapes.Bytes(9)),
        (Name, shapes.Array(4, "test::Name")),
        (AccountId, shapes.Array(32, "sp_core::crypto::AccountId32")),
        (list[u8], shapes.Sequence(u8, None)),
        (Annotated[list[u8], Bounded(3)], shapes.Sequence(u8, 3)),
        (dict[u8, str], shapes.Mapping(u8, str)),
        (tuple[u8, str], shapes.Tuple((u8, str))),
        (tuple[()], shapes.Tuple(())),
        (None, shapes.Tuple(())),
        (u8 | None, shapes.Option(u8)),
        (Lookup, shapes.Lookup()),
        (Annotated[int, Special("X")], Special("X")),
    ],
)
def test_an_annotation_is_its_shape(annotation: Any, shape: Any) -> None:
    assert shape_of(annotation) == shape


def test_a_python_enum_is_a_union_of_its_members() -> None:
    cases = (Case(0, "Left", Side.Left, ()), Case(4, "Right", Side.Right, ()))
    assert shape_of(Side) == shapes.TaggedUnion(rust_path(Side), cases)


def test_a_union_has_tags_names_and_docs_of_its_cases() -> None:
    shape = shape_of(Annotated[Deep_ | Wide, Variants("test::Way", (2, 9))])
    deep = Case(2, "Deep", Deep_, (Field("", "_0", u8),), "Goes down.")
    wide = Case(9, "Wide", Wide, (Field("from", "from_", u32),))
    assert shape == shapes.TaggedUnion("test::Way", (deep, wide))


def test_a_struct_is_known_by_its_path() -> None:
    shape = shape_of(Weight)
    assert isinstance(shape, shapes.Composite)
    assert shape.path == "sp_weights::weight_v2::Weight"
    assert [field.name for field in shape.fields] == ["ref_time", "proof_size"]


def test_a_type_of_ours_without_a_path_is_named_after_its_pallet() -> None:
    @struct("given::Path")
    class Given:
        """Any."""

    cls = type("Row", (), {"__module__": "runtime.pallets.weights"})
    nested = type("Pot", (), {"__module__": "runtime.pallets.incentive.pallet"})
    assert rust_path(cls) == "pallet_weights::pallet::Row"
    assert rust_path(nested) == "pallet_incentive::pallet::Pot"
    assert Given.__scale_path__ == "given::Path"  # type: ignore[attr-defined]


def test_the_address_type_says_what_clients_look_for() -> None:
    shape = shape_of(MultiAddress)
    assert isinstance(shape, shapes.TaggedUnion)
    assert [(case.tag, case.name) for case in shape.cases] == [
        (0, "Id"), (1, "Index"), (2, "Raw"), (3, "Address32"), (4, "Address20"),
    ]  # fmt: skip
    assert [name for name, _ in shape.params] == ["AccountId", "AccountIndex"]


@pytest.mark.parametrize("annotation", [int, float, object, set, frozenset[u8], u8 | u32 | None])
def test_what_has_no_shape_is_a_type_error(annotation: Any) -> None:
    with pytest.raises(TypeError):
        shape_of(annotation)
