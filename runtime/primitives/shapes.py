"""What a type annotation means on the wire: annotation -> Shape.

The codec (scale.py) and the metadata (frame/metadata) both read shapes, so a type is said once, in its
annotation. Source: SCALE, Polkadot specification appendix A.2; scale-info type definitions.
"""

import dataclasses
import enum
import types
from dataclasses import dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    NewType,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from runtime.primitives.pairs import Pairs
from runtime.primitives.record import record

T = TypeVar("T")


# Markers: what Annotated carries beside the Python type.


@dataclass(frozen=True)
class Uint:
    """An unsigned little-endian integer of a fixed number of bytes, named by its path when it has one."""

    size: int
    path: str = ""


@dataclass(frozen=True)
class Sint:
    """A signed little-endian integer of a fixed number of bytes, in two's complement."""

    size: int


@dataclass(frozen=True)
class Fixed:
    """A byte array of fixed length, named by its path when it has one."""

    size: int
    path: str = ""


@dataclass(frozen=True)
class Bounded:
    """A sequence of at most this many elements; a longer one does not decode."""

    limit: int


@dataclass(frozen=True)
class Variants:
    """A tagged union: the tag of a class is its position unless `tags` says otherwise.

    `params` are the generic parameters of the Rust type, which some clients look into.
    """

    path: str
    tags: tuple[int, ...] = ()
    params: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Special:
    """A type whose codec the runtime supplies, such as its own call enum."""

    name: str


class CompactMarker:
    """An integer in SCALE's compact form."""


class LookupMarker:
    """An account addressed through MultiAddress on the wire."""


Compact = Annotated[T, CompactMarker]
u8 = Annotated[int, Uint(1)]
u16 = Annotated[int, Uint(2)]
u32 = Annotated[int, Uint(4)]
u64 = Annotated[int, Uint(8)]
u128 = Annotated[int, Uint(16)]
i32 = Annotated[int, Sint(4)]
Perbill = Annotated[int, Uint(4, "sp_arithmetic::per_things::Perbill")]
"""parts per billion"""
Percent = Annotated[int, Uint(1, "sp_arithmetic::per_things::Percent")]
"""parts per hundred"""


@dataclass_transform(frozen_default=True)
def struct(path: str) -> Any:
    """Declare a frozen dataclass as a SCALE composite known to clients under this Rust path.

    Fields called `_0`, `_1`, ... are unnamed on the wire; one trailing underscore is dropped.
    """

    def decorate(cls: type) -> type:
        declared: type = record(cls)
        setattr(declared, "__scale_path__", path)  # noqa: B010
        return declared

    return decorate


@dataclass_transform(frozen_default=True)
def variant(cls: type[T]) -> type[T]:
    """Declare one case of a tagged union; its name on the wire is the class name."""
    return record(cls)


# Shapes.


@dataclass(frozen=True)
class Field:
    """A named (or, with an empty name, unnamed) part of a composite."""

    name: str
    attribute: str
    annotation: Any
    docs: str = ""


@dataclass(frozen=True)
class Integer:
    """u8 to u128, wrapped in a named composite when it has a path."""

    size: int
    path: str = ""


@dataclass(frozen=True)
class SignedInteger:
    """i8 to i64."""

    size: int


@dataclass(frozen=True)
class CompactInteger:
    """Compact<uN>, or that of a named integer."""

    size: int
    path: str = ""


@dataclass(frozen=True)
class Boolean:
    """bool."""


@dataclass(frozen=True)
class Text:
    """str."""

    limit: int | None


@dataclass(frozen=True)
class Bytes:
    """Vec<u8>, possibly bounded."""

    limit: int | None


@dataclass(frozen=True)
class Array:
    """[u8; n], wrapped in a named composite when it has a path."""

    size: int
    path: str


@dataclass(frozen=True)
class Sequence:
    """Vec<T>, possibly bounded."""

    element: Any
    limit: int | None


@dataclass(frozen=True)
class U16Pairs:
    """Vec<(u16, u16)>, possibly bounded, held in one piece."""

    limit: int | None


@dataclass(frozen=True)
class Mapping:
    """BTreeMap<K, V>."""

    key: Any
    value: Any


@dataclass(frozen=True)
class Tuple:
    """(A, B, ...); the empty tuple is the unit type."""

    elements: tuple[Any, ...]


@dataclass(frozen=True)
class Option:
    """Option<T>."""

    some: Any


@dataclass(frozen=True)
class Composite:
    """A struct."""

    path: str
    cls: type
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Case:
    """One case of a tagged union; `cls` is the dataclass, or the member of a Python enum."""

    tag: int
    name: str
    cls: Any
    fields: tuple[Field, ...]
    docs: str = ""


@dataclass(frozen=True)
class TaggedUnion:
    """A Rust enum."""

    path: str
    cases: tuple[Case, ...]
    params: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Lookup:
    """MultiAddress, resolved to an account when a call is dispatched."""


Shape = (
    Integer | SignedInteger | CompactInteger | Boolean | Text | Bytes | Array | Sequence | U16Pairs
    | Mapping | Tuple | Option | Composite | TaggedUnion | Lookup | Special
)  # fmt: skip


@cache
def shape_of(annotation: Any) -> Shape:
    """Return the wire shape of an annotation.

    Raises: TypeError when the annotation has none.
    """
    markers: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            inner, *found = get_args(annotation)
            markers, annotation = markers + tuple(found), inner
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return _plain(annotation, markers)


def _find(markers: tuple[Any, ...], kind: type[T]) -> T | None:
    return next((marker for marker in markers if isinstance(marker, kind)), None)


def _plain(annotation: Any, markers: tuple[Any, ...]) -> Shape:
    if LookupMarker in markers:
        return Lookup()
    if special := _find(markers, Special):
        return special
    if union := _find(markers, Variants):
        return _tagged_union(annotation, union)
    bounded = _find(markers, Bounded)
    limit = bounded.limit if bounded else None
    if integer := _find(markers, Uint):
        kind = CompactInteger if CompactMarker in markers else Integer
        return kind(integer.size, integer.path)
    if signed := _find(markers, Sint):
        return SignedInteger(signed.size)
    if fixed := _find(markers, Fixed):
        return Array(fixed.size, fixed.path)
    if annotation is bool:
        return Boolean()
    if annotation is bytes:
        return Bytes(limit)
    if annotation is str:
        return Text(limit)
    if annotation is Pairs:
        return U16Pairs(limit)
    if annotation is None or annotation is type(None):
        return Tuple(())
    return _generic(annotation, limit)


def _generic(annotation: Any, limit: int | None) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return Sequence(arguments[0], limit)
    if origin is dict:
        return Mapping(*arguments)
    if origin is tuple:
        return Tuple(() if arguments == ((),) else arguments)
    if origin in (types.UnionType, Union) and len(arguments) == 2 and type(None) in arguments:
        return Option(next(argument for argument in arguments if argument is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        path = getattr(annotation, "__scale_path__", rust_path(annotation))
        docs = {name: "" for name in annotation.__members__}
        cases = tuple(
            Case(member.value, name, member, (), docs[name])
            for name, member in annotation.__members__.items()
        )
        return TaggedUnion(path, cases)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        path = getattr(annotation, "__scale_path__", rust_path(annotation))
        return Composite(path, annotation, fields_of(annotation))
    raise TypeError(f"{annotation!r} has no SCALE form")


def _tagged_union(annotation: Any, union: Variants) -> TaggedUnion:
    classes = get_args(annotation) or (annotation,)
    tags = union.tags or tuple(range(len(classes)))
    cases = (
        Case(tag, wire_name(cls.__name__), cls, fields_of(cls), docs_of(cls))
        for tag, cls in zip(tags, classes, strict=True)
    )
    return TaggedUnion(union.path, tuple(cases), union.params)


def fields_of(cls: type) -> tuple[Field, ...]:
    """Return the wire fields of a dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    named = (field.name for field in dataclasses.fields(cls))
    return tuple(Field("" if name[0] == "_" else wire_name(name), name, hints[name]) for name in named)


def wire_name(name: str) -> str:
    """Drop the one trailing underscore that keeps a Python keyword away (`from_` is `from` on the wire)."""
    return name.removesuffix("_")


def docs_of(cls: type) -> str:
    """Return the class docstring, or nothing where dataclass made one up."""
    docs = cls.__doc__ or ""
    return "" if docs.startswith(cls.__name__ + "(") else docs


def rust_path(cls: type) -> str:
    """Return the path clients see for a type of ours: pallets.weights.Row -> pallet_weights::pallet::Row."""
    parts = cls.__module__.split(".")
    owner = parts[2] if len(parts) > 2 and parts[1] == "pallets" else parts[-1]
    return f"pallet_{owner}::pallet::{wire_name(cls.__name__)}"
