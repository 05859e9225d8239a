"""SCALE codecs, compiled once per type from its annotation.

    codec(list[u32]).encode([1, 2])      codec(list[u32]).decode(blob)

Every malformed input raises DecodeError and nothing else; lengths are checked against the bytes that are
left before anything is allocated, and nesting is bounded. Source: Polkadot specification, appendix A.2.
"""

import enum
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from runtime.primitives import layout, shapes
from runtime.primitives.layout import MISFITS, EncodeError, Layout, misfit
from runtime.primitives.pairs import PAIR, Pairs
from runtime.primitives.shapes import Shape, shape_of

MAX_DEPTH = 64
"""Nested calls and recursive types end here; Python's own stack is never the limit."""
MAX_NESTED = 4096
"""Calls in one extrinsic, at any depth: decoding one costs its sender nothing, and the node far more."""
MAX_UNIT_ELEMENTS = 1024
"""Elements without bytes (a list of units) cannot be bounded by the input's length."""

T = TypeVar("T")


class DecodeError(ValueError):
    """The bytes are not an encoding of the type; says what and where."""


class Input:
    """Bytes being decoded, with the position of the next one, the nesting now and all there was."""

    __slots__ = ("data", "depth", "nested", "offset")

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset
        self.depth = 0
        self.nested = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes and step over them."""
        start = self.offset
        end = start + size
        if end > len(self.data):
            raise DecodeError(f"needs {size} bytes at offset {start}, {len(self.data) - start} are left")
        self.offset = end
        return self.data[start:end]

    def left(self) -> int:
        """Return how many bytes have not been read."""
        return len(self.data) - self.offset


def read_byte(source: Input) -> int:
    """Read one byte."""
    start = source.offset
    if start >= len(source.data):
        raise DecodeError(f"needs 1 bytes at offset {start}, 0 are left")
    source.offset = start + 1
    return source.data[start]


Encoder = Callable[[Any, bytearray], None]
Decoder = Callable[[Input], Any]
Kinds = tuple[tuple[str, type], ...]


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """The two directions of one type.

    `least` is the fewest bytes a value takes; `layout` says where they lie, if that is fixed;
    `constant` values cannot be changed by who holds one: equal bytes may share one. `kinds`
    are then the types of the value and of its attributes by path, where each has one; `encode` takes others.
    """

    write: Encoder
    read: Decoder
    least: int
    layout: Layout | None = None
    constant: bool = False
    kinds: Kinds = ()

    def encode(self, value: T) -> bytes:
        """Return the bytes of a value.

        Raises: EncodeError when the value is out of its type's range.
        """
        if self.layout is not None:
            return self.layout.pack(value)
        out = bytearray()
        try:
            self.write(value, out)
        except (*MISFITS, UnicodeEncodeError) as problem:
            raise misfit(value, problem) from problem
        return bytes(out)

    @property
    def encoder(self) -> Callable[[T], bytes]:
        """Return `encode` without a detour."""
        return self.encode if self.layout is None else self.layout.pack

    def decode(self, data: bytes) -> T:
        """Return the value that these bytes, all of them, encode.

        Raises: DecodeError.
        """
        if self.layout is not None and len(data) == self.layout.size:
            unpacked: T = self.layout.unpack(data, 0)
            return unpacked
        source = Input(data)
        value: T = self.read(source)
        if source.offset != len(data):
            raise DecodeError(f"{source.left()} bytes are left over after the value")
        return value


class Codecs:
    """Compiles codecs and keeps them; a runtime has its own, which knows its call type."""

    def __init__(self) -> None:
        self._known: dict[Any, Codec[Any]] = {}
        self._special: dict[str, Codec[Any]] = {}

    def define(self, special: shapes.Special, codec: Codec[Any]) -> None:
        """Supply the codec of a special type; it may be used by types compiled before."""
        self._special[special.name] = codec

    def of(self, annotation: Any) -> Codec[Any]:
        """Return the codec of an annotation."""
        found = self._known.get(annotation)
        if found is None:
            found = self._known[annotation] = self._compile(shape_of(annotation))
        return found

    def _compile(self, shape: Shape) -> Codec[Any]:
        match shape:
            case shapes.Integer(size):
                return _fixed(layout.integer(size), True, (("", int),))
            case shapes.SignedInteger(size):
                return _fixed(layout.integer(size, signed=True), True, (("", int),))
            case shapes.CompactInteger(size):
                return _compact(size)
            case shapes.Boolean():
                return Codec(_write_bool, _read_bool, 1, constant=True, kinds=(("", bool),))
            case shapes.Text(limit):
                return _text(limit)
            case shapes.Bytes(limit):
                return _bytes(limit)
            case shapes.Array(size, _):
                return _fixed(layout.array(size), True, (("", bytes),))
            case shapes.Sequence(element, limit):
                return _sequence(self.of(element), limit)
            case shapes.U16Pairs(limit):
                return _pairs(limit)
            case shapes.Mapping(key, value):
                return _mapping(self.of(key), self.of(value))
            case shapes.Tuple(elements):
                return _tuple([self.of(element) for element in elements])
            case shapes.Option(some):
                return _option(self.of(some))
            case shapes.Composite(_, cls, fields):
                return _composite(cls, [(field.attribute, self.of(field.annotation)) for field in fields])
            case shapes.TaggedUnion():
                return self._tagged_union(shape)
            case shapes.Lookup():
                raise TypeError("Lookup is MultiAddress outside of a call's parameters")
            case shapes.Special(name):
                return self._deferred(name)

    def _deferred(self, name: str) -> Codec[Any]:
        def write(value: Any, out: bytearray) -> None:
            self._special[name].write(value, out)

        def read(source: Input) -> Any:
            return nested(self._special[name].read, source)

        return Codec(write, read, 1)

    def _tagged_union(self, shape: shapes.TaggedUnion) -> Codec[Any]:
        if shape.cases and not isinstance(shape.cases[0].cls, type):
            return _plain_enum(shape)
        bodies = {
            case.cls: (
                case.tag,
                _composite(case.cls, [(f.attribute, self.of(f.annotation)) for f in case.fields]),
            )
            for case in shape.cases
        }
        writers = {cls: (tag, body.write) for cls, (tag, body) in bodies.items()}
        readers = {tag: body.read for tag, body in bodies.values()}

        def write(value: Any, out: bytearray) -> None:
            try:
                tag, body = writers[type(value)]
            except KeyError as problem:
                raise EncodeError(f"{value!r} is no case of {shape.path}") from problem
            out.append(tag)
            body(value, out)

        def read(source: Input) -> Any:
            start = source.offset
            tag = source.data[start] if start < len(source.data) else read_byte(source)
            reader = readers.get(tag)
            if reader is None:
                raise DecodeError(f"{shape.path} has no variant {tag}")
            source.offset = start + 1
            return reader(source)

        return Codec(write, read, 1, constant=all(body.constant for _, body in bodies.values()))


def nested(read: Decoder, source: Input) -> Any:
    """Read one level deeper; refuse what nests beyond MAX_DEPTH, or more often than MAX_NESTED."""
    if source.depth >= MAX_DEPTH:
        raise DecodeError(f"nested deeper than {MAX_DEPTH}")
    if source.nested >= MAX_NESTED:
        raise DecodeError(f"nested more than {MAX_NESTED} times")
    source.depth += 1
    source.nested += 1
    value = read(source)
    source.depth -= 1
    return value


def _fixed(found: Layout, constant: bool, kinds: Kinds) -> Codec[Any]:
    size, pack, unpack = found.size, found.pack, found.unpack

    def write(value: Any, out: bytearray) -> None:
        out += pack(value)

    def read(source: Input) -> Any:
        start = source.offset
        end = start + size
        if end > len(source.data):
            raise DecodeError(f"needs {size} bytes at offset {start}, {len(source.data) - start} are left")
        source.offset = end
        return unpack(source.data, start)

    return Codec(write, read, size, found, constant, kinds)


def write_compact(value: int, out: bytearray) -> None:
    """Append an integer in compact form."""
    if value < 0:
        raise EncodeError(f"{value} is negative")
    if value < 1 << 6:
        out.append(value << 2)
    elif value < 1 << 14:
        out += (value << 2 | 1).to_bytes(2, "little")
    elif value < 1 << 30:
        out += (value << 2 | 2).to_bytes(4, "little")
    else:
        size = max(4, (value.bit_length() + 7) >> 3)
        if size > 67:
            raise EncodeError(f"{value} is too large for the compact form")
        out.append((size - 4) << 2 | 3)
        out += value.to_bytes(size, "little")


def read_compact(source: Input) -> int:
    """Read an integer in its only valid (shortest) compact form."""
    start = source.offset
    first = source.data[start] if start < len(source.data) else read_byte(source)
    source.offset = start + 1
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        size = (first >> 2) + 4
        value = int.from_bytes(source.take(size), "little")
        if value < 1 << 30 or (size > 4 and value >> (8 * (size - 1)) == 0):
            raise DecodeError(f"compact integer before offset {source.offset} is not in its shortest form")
        return value
    source.offset -= 1
    size = 2 if mode == 1 else 4
    value = int.from_bytes(source.take(size), "little") >> 2
    if value < (1 << 6 if mode == 1 else 1 << 14):
        raise DecodeError(f"compact integer before offset {source.offset} is not in its shortest form")
    return value


def _compact(size: int) -> Codec[int]:
    limit = 1 << 8 * size

    def write(value: int, out: bytearray) -> None:
        if 0 <= value < 64:
            out.append(value << 2)
        elif value >= limit:
            raise EncodeError(f"{value} does not fit {size} bytes")
        else:
            write_compact(value, out)

    def read(source: Input) -> int:
        start = source.offset
        if start < len(source.data) and not source.data[start] & 3:
            source.offset = start + 1
            return source.data[start] >> 2
        value = read_compact(source)
        if value >= limit:
            raise DecodeError(f"compact integer {value} does not fit {size} bytes")
        return value

    return Codec(write, read, 1, constant=True, kinds=(("", int),))


def _write_bool(value: bool, out: bytearray) -> None:
    out.append(1 if value else 0)


def _read_bool(source: Input) -> bool:
    flag = read_byte(source)
    if flag > 1:
        raise DecodeError(f"{flag} is no bool")
    return flag == 1


def _length(source: Input, least: int, limit: int | None) -> int:
    length = read_compact(source)
    if limit is not None and length > limit:
        raise DecodeError(f"{length} elements, at most {limit} are allowed")
    if length * least > source.left() or (least == 0 and length > MAX_UNIT_ELEMENTS):
        raise DecodeError(f"{length} elements cannot fit the {source.left()} bytes that are left")
    return length


def _bytes(limit: int | None) -> Codec[bytes]:
    def write(value: bytes, out: bytearray) -> None:
        if limit is not None and len(value) > limit:
            raise EncodeError(f"{len(value)} bytes, at most {limit} are allowed")
        write_compact(len(value), out)
        out += value

    def read(source: Input) -> bytes:
        return source.take(_length(source, 1, limit))

    return Codec(write, read, 1, constant=True, kinds=(("", bytes),))


def _text(limit: int | None) -> Codec[str]:
    raw = _bytes(limit)

    def write(value: str, out: bytearray) -> None:
        raw.write(value.encode(), out)

    def read(source: Input) -> str:
        try:
            return str(raw.read(source), "utf-8")
        except UnicodeDecodeError as problem:
            raise DecodeError(f"text is not UTF-8: {problem}") from problem

    return Codec(write, read, 1, constant=True, kinds=(("", str),))


def _sequence(element: Codec[Any], limit: int | None) -> Codec[list[Any]]:
    if element.layout is not None and (letter := layout.integer_letter(element.layout)):
        return _integers(letter, element.layout.size, limit)
    write_element, read_element, least = element.write, element.read, element.least

    def write(value: list[Any], out: bytearray) -> None:
        if limit is not None and len(value) > limit:
            raise EncodeError(f"{len(value)} elements, at most {limit} are allowed")
        write_compact(len(value), out)
        for each in value:
            write_element(each, out)

    def read(source: Input) -> list[Any]:
        return [read_element(source) for _ in range(_length(source, least, limit))]

    return Codec(write, read, 1)


def _integers(letter: str, size: int, limit: int | None) -> Codec[list[int]]:
    """Return the codec of a sequence of integers that struct knows: all at once instead of one by one."""

    def write(value: list[int], out: bytearray) -> None:
        if limit is not None and len(value) > limit:
            raise EncodeError(f"{len(value)} elements, at most {limit} are allowed")
        write_compact(len(value), out)
        try:
            out += struct.pack(f"<{len(value)}{letter}", *value)
        except MISFITS as problem:
            raise misfit(value, problem) from problem

    def read(source: Input) -> list[int]:
        length, start = _length(source, size, limit), source.offset
        source.offset = start + length * size
        return list(struct.unpack_from(f"<{length}{letter}", source.data, start))

    return Codec(write, read, 1)


def _pairs(limit: int | None) -> Codec[Pairs]:
    def write(value: Iterable[tuple[int, int]], out: bytearray) -> None:
        try:
            pairs = value if isinstance(value, Pairs) else Pairs(value)
        except ValueError as problem:
            raise EncodeError(str(problem)) from problem
        if limit is not None and len(pairs) > limit:
            raise EncodeError(f"{len(pairs)} elements, at most {limit} are allowed")
        write_compact(len(pairs), out)
        out += pairs.packed

    def read(source: Input) -> Pairs:
        return Pairs.of(source.take(PAIR.size * _length(source, PAIR.size, limit)))

    return Codec(write, read, 1)


def _mapping(key: Codec[Any], value: Codec[Any]) -> Codec[dict[Any, Any]]:
    pairs = _sequence(_tuple([key, value]), None)

    def write(entries: dict[Any, Any], out: bytearray) -> None:
        pairs.write(sorted(entries.items()), out)

    def read(source: Input) -> dict[Any, Any]:
        found = pairs.read(source)
        if any(left[0] >= right[0] for left, right in pairwise(found)):
            raise DecodeError("map keys are not in ascending order")
        return dict(found)

    return Codec(write, read, 1)


def _tuple(parts: list[Codec[Any]]) -> Codec[tuple[Any, ...]]:
    leaves = [part.layout for part in parts if part.layout is not None and layout.is_leaf(part.layout)]
    if parts and len(leaves) == len(parts):
        return _fixed(layout.flat_tuple(leaves), True, ())
    writers = [part.write for part in parts]
    readers = [part.read for part in parts]

    def write(value: tuple[Any, ...] | None, out: bytearray) -> None:
        if not writers:
            return
        assert value is not None
        if len(value) != len(writers):
            raise EncodeError(f"{len(value)} elements where {len(writers)} are needed")
        for part, each in zip(writers, value, strict=True):
            part(each, out)

    def read(source: Input) -> tuple[Any, ...]:
        return tuple([part(source) for part in readers])

    return Codec(write, read, sum(part.least for part in parts), constant=_constant(parts))


def _constant(parts: Iterable[Codec[Any]]) -> bool:
    return all(part.constant for part in parts)


def _option(some: Codec[Any]) -> Codec[Any]:
    def write(value: Any, out: bytearray) -> None:
        if value is None:
            out.append(0)
        else:
            out.append(1)
            some.write(value, out)

    def read(source: Input) -> Any:
        flag = read_byte(source)
        if flag > 1:
            raise DecodeError(f"{flag} is no Option")
        return some.read(source) if flag else None

    return Codec(write, read, 1, constant=some.constant)


def _composite(cls: type, parts: list[tuple[str, Codec[Any]]]) -> Codec[Any]:
    laid = [(name, part.layout) for name, part in parts if part.layout is not None and part.layout.leaves]
    if parts and len(laid) == len(parts):
        return _fixed(layout.composite(cls, laid), _is_constant(cls, parts), _kinds(cls, parts))
    writers = [(attribute, part.write) for attribute, part in parts]
    readers = [part.read for _, part in parts]

    def write(value: Any, out: bytearray) -> None:
        for attribute, part in writers:
            part(getattr(value, attribute), out)

    def read(source: Input) -> Any:
        return cls(*[part(source) for part in readers])

    least = sum(part.least for _, part in parts)
    return Codec(write, read, least, None, _is_constant(cls, parts), _kinds(cls, parts))


def _is_constant(cls: type, parts: list[tuple[str, Codec[Any]]]) -> bool:
    """Say whether values are frozen to the core."""
    frozen: bool = cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return frozen and all(part.constant for _, part in parts)


def _kinds(cls: type, parts: list[tuple[str, Codec[Any]]]) -> Kinds:
    """Return the kinds of a dataclass, none if a part may be of several."""
    if not _is_constant(cls, parts) or not all(part.kinds for _, part in parts):
        return ()
    below = [(f"{name}.{path}".removesuffix("."), kind) for name, part in parts for path, kind in part.kinds]
    return (("", cls), *below)


def _plain_enum(shape: shapes.TaggedUnion) -> Codec[Any]:
    members = {case.tag: case.cls for case in shape.cases}

    def write(value: enum.Enum, out: bytearray) -> None:
        tag: int = value._value_
        if members.get(tag) is not value:
            raise EncodeError(f"{value!r} is no case of {shape.path}")
        out.append(tag)

    def read(source: Input) -> Any:
        tag = read_byte(source)
        if tag not in members:
            raise DecodeError(f"{shape.path} has no variant {tag}")
        return members[tag]

    return Codec(write, read, 1, constant=True)


_shared = Codecs()


def codec(annotation: Any) -> Codec[Any]:
    """Return the codec of a type that needs no runtime."""
    return _shared.of(annotation)
