"""The portable registry of metadata: every type once, under an id. Source: scale-info 2, PortableRegistry.

Ids are given in the order types are met, so the same declarations always give the same bytes.
"""

import inspect
from dataclasses import dataclass
from typing import Any

from runtime.primitives.scale import Codec, codec
from runtime.primitives.shapes import Compact, u32

PRIMITIVE_INDEX = {
    "bool": 0, "str": 2, "u8": 3, "u16": 4, "u32": 5, "u64": 6, "u128": 7, "u256": 8, "i8": 9, "i16": 10,
    "i32": 11, "i64": 12,
}  # fmt: skip
TEXT = codec(str)
TEXTS = codec(list[str])
COMPACT: Codec[int] = codec(Compact[u32])
OPTION_TEXT = codec(str | None)
SOME = b"\x01"


@dataclass(frozen=True)
class Member:
    """A field; an empty name or type name is written as none."""

    name: str
    type_id: int
    type_name: str


Parameters = list[tuple[str, int]]
"""Generic parameters of the Rust type, each with the id of what it stands for."""
Case = tuple[str, int, list[Member], str]
"""One case of an enum: name, tag, fields, docs."""


class Registry:
    """Types by id; a key stands for a type until and after it is defined."""

    def __init__(self) -> None:
        self._ids: dict[Any, int] = {}
        self._types: list[bytes] = []

    def encode(self) -> bytes:
        """Return the encoded list of types."""
        body = b"".join(COMPACT.encode(number) + each for number, each in enumerate(self._types))
        return COMPACT.encode(len(self._types)) + body

    def reserve(self, key: Any) -> tuple[int, bool]:
        """Return the id under a key, and whether it is new and must be filled."""
        if key in self._ids:
            return self._ids[key], False
        self._ids[key] = len(self._types)
        self._types.append(b"")
        return self._ids[key], True

    def fill(self, number: int, path: str, definition: bytes, params: Parameters | None = None) -> int:
        """Define a reserved type."""
        segments = TEXTS.encode(path.split("::") if path else [])
        listed = COMPACT.encode(len(params or []))
        for name, type_id in params or []:
            listed += TEXT.encode(name) + SOME + COMPACT.encode(type_id)
        self._types[number] = segments + listed + definition + TEXTS.encode([])
        return number

    def define(self, key: Any, path: str, definition: bytes, params: Parameters | None = None) -> int:
        """Define a type whose parts are known, once."""
        number, new = self.reserve(key)
        return self.fill(number, path, definition, params) if new else number

    def primitive(self, name: str) -> int:
        """Return the id of a primitive type."""
        return self.define(name, "", b"\x05" + bytes([PRIMITIVE_INDEX[name]]))

    def tuple(self, members: list[int]) -> int:
        """Return the id of a tuple type."""
        body = COMPACT.encode(len(members)) + b"".join(COMPACT.encode(each) for each in members)
        return self.define(("tuple", *members), "", b"\x04" + body)

    def sequence(self, member: int) -> int:
        """Return the id of Vec<member>."""
        return self.define(("sequence", member), "", b"\x02" + COMPACT.encode(member))

    def compact(self, member: int) -> int:
        """Return the id of Compact<member>."""
        return self.define(("compact", member), "", b"\x06" + COMPACT.encode(member))

    def array(self, size: int) -> int:
        """Return the id of [u8; size]."""
        body = b"\x03" + size.to_bytes(4, "little") + COMPACT.encode(self.primitive("u8"))
        return self.define(("array", size), "", body)

    def option(self, some: int) -> int:
        """Return the id of Option<some>."""
        body = variants([("None", 0, [], ""), ("Some", 1, [Member("", some, "")], "")])
        return self.define(("option", some), "Option", body, [("T", some)])

    def result(self, ok: int, error: int) -> int:
        """Return the id of Result<ok, error>."""
        body = variants([("Ok", 0, [Member("", ok, "")], ""), ("Err", 1, [Member("", error, "")], "")])
        return self.define(("result", ok, error), "Result", body, [("T", ok), ("E", error)])

    def map(self, key: int, value: int) -> int:
        """Return the id of BTreeMap<key, value>."""
        entries = self.sequence(self.tuple([key, value]))
        definition = composite([Member("", entries, "")])
        return self.define(("map", key, value), "BTreeMap", definition, [("K", key), ("V", value)])


def composite(members: list[Member]) -> bytes:
    """Return the definition of a struct."""
    return b"\x00" + _fields(members)


def variants(cases: list[Case]) -> bytes:
    """Return the definition of an enum."""
    written = [
        TEXT.encode(name) + _fields(members) + bytes([index]) + TEXTS.encode(lines(docs))
        for name, index, members, docs in cases
    ]
    return b"\x01" + COMPACT.encode(len(written)) + b"".join(written)


def _fields(members: list[Member]) -> bytes:
    written = [
        OPTION_TEXT.encode(member.name or None)
        + COMPACT.encode(member.type_id)
        + OPTION_TEXT.encode(member.type_name or None)
        + TEXTS.encode([])
        for member in members
    ]
    return COMPACT.encode(len(written)) + b"".join(written)


def lines(docs: str) -> list[str]:
    """Return documentation as metadata holds it, a text per line."""
    return [line.strip() for line in inspect.cleandoc(docs).splitlines()] if docs else []
