"""Fixed layouts: types whose values all take the same bytes, packed and unpacked in one step.

    AccountInfo = u32 u32 u32 u32 | u128 u128 u128 u128  ->  struct "<IIII16s16s16s16s"

Leaves are integers and byte arrays; composites of them are flattened, however nested. The bytes are those of
the general codecs in scale.py, which composes layouts; here is only how to get at them faster.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

INTEGERS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Bytes of an integer -> its letter in struct's formats, small with a sign; wider ones are bytes."""


class EncodeError(ValueError):
    """The value does not fit its type."""


MISFITS = (OverflowError, AttributeError, TypeError, struct.error)
"""What Python raises when a value is not of its type or out of its range."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An integer or a byte array, and by which attributes of the whole value one gets to it."""

    path: str
    size: int
    is_integer: bool
    is_signed: bool = False

    @property
    def letter(self) -> str:
        """Return how struct calls it."""
        if not self.is_integer or self.size not in INTEGERS:
            return f"{self.size}s"
        return INTEGERS[self.size].lower() if self.is_signed else INTEGERS[self.size]


def misfit(value: Any, problem: Exception) -> EncodeError:
    """Return what packing raises instead of a problem of Python's."""
    return EncodeError(f"{value!r} does not fit: {problem}")


Build = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """A fixed layout: `pack` raises EncodeError, `unpack` takes bytes it may read `size` of."""

    size: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes, int], Any]
    leaves: tuple[Leaf, ...]
    build: Build


def integer(size: int, signed: bool = False) -> Layout:
    """Return the layout of a little-endian integer; one with a sign has at most 8 bytes."""

    def pack(value: int) -> bytes:
        try:
            return value.to_bytes(size, "little", signed=signed)
        except MISFITS as problem:
            raise misfit(value, problem) from problem

    def unpack(source: bytes, at: int) -> int:
        return int.from_bytes(source[at : at + size], "little", signed=signed)

    return Layout(size, pack, unpack, (Leaf("", size, True, signed),), _only)


def array(size: int) -> Layout:
    """Return the layout of a byte array."""

    def pack(value: bytes) -> bytes:
        try:
            if len(value) == size:
                return bytes(value)
        except MISFITS as problem:
            raise misfit(value, problem) from problem
        raise EncodeError(f"{len(value)} bytes where {size} are needed")

    def unpack(source: bytes, at: int) -> bytes:
        return source[at : at + size]

    return Layout(size, pack, unpack, (Leaf("", size, False),), _only)


def composite(cls: type, parts: list[tuple[str, Layout]]) -> Layout:
    """Return the layout of a dataclass from those of its attributes."""
    leaves = tuple(
        replace(leaf, path=f"{attribute}.{leaf.path}".removesuffix("."))
        for attribute, part in parts
        for leaf in part.leaves
    )
    paths = [leaf.path for leaf in leaves]
    getter = attrgetter(*paths)
    flatten = getter if len(paths) > 1 else lambda value: (getter(value),)
    found = _layout(leaves, flatten, _builder(cls, [part for _, part in parts]))
    if len(parts) == 1 and is_leaf(parts[0][1]):
        only = parts[0][1].unpack
        return replace(found, unpack=lambda source, at: cls(only(source, at)))
    return found


def flat_tuple(parts: list[Layout]) -> Layout:
    """Return the layout of a tuple of leaves; no attributes lead to them, so no composite takes it up."""
    found = _layout(tuple(leaf for part in parts for leaf in part.leaves), tuple, tuple)
    return replace(found, leaves=())


def is_leaf(part: Layout) -> bool:
    """Say whether a layout is that of an integer or a byte array."""
    return part.build is _only


def integer_letter(part: Layout) -> str | None:
    """Return how struct calls an integer of this layout; None where it is none, or too wide."""
    if not is_leaf(part):
        return None
    (leaf,) = part.leaves
    return leaf.letter if leaf.is_integer and leaf.size in INTEGERS else None


def _only(flat: list[Any]) -> Any:
    return flat[0]


def _builder(cls: type, parts: list[Layout]) -> Build:
    if all(is_leaf(part) for part in parts):
        return lambda flat: cls(*flat)
    spans, at = list[tuple[Build | None, int, int]](), 0
    for part in parts:
        spans.append((None if is_leaf(part) else part.build, at, at + len(part.leaves)))
        at += len(part.leaves)
    return lambda flat: cls(
        *[flat[start] if build is None else build(flat[start:end]) for build, start, end in spans]
    )


def _layout(leaves: tuple[Leaf, ...], flatten: Callable[[Any], tuple[Any, ...]], build: Build) -> Layout:
    packer = struct.Struct("<" + "".join(leaf.letter for leaf in leaves))
    join, split = packer.pack, packer.unpack_from
    wide = [
        (at, leaf.size) for at, leaf in enumerate(leaves) if leaf.is_integer and leaf.size not in INTEGERS
    ]
    arrays = [(at, leaf.size) for at, leaf in enumerate(leaves) if not leaf.is_integer]

    def pack(value: Any) -> bytes:
        try:
            flat = [*flatten(value)]
            for at, size in wide:
                flat[at] = flat[at].to_bytes(size, "little")
            for at, size in arrays:  # struct itself would cut or pad
                if len(flat[at]) != size:
                    raise EncodeError(f"{len(flat[at])} bytes where {size} are needed")
            return join(*flat)
        except MISFITS as problem:
            raise misfit(value, problem) from problem

    def unpack(source: bytes, start: int) -> Any:
        flat = [*split(source, start)]
        for at, _ in wide:
            flat[at] = int.from_bytes(flat[at], "little")
        return build(flat)

    return Layout(packer.size, pack, unpack, leaves, build)
