"""Metadata V14, generated from the declarations. Source: frame-metadata v14, scale-info 2.

Type ids are given in the order types are met, so the same declarations always give the same bytes.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.frame.base import Phase, Runtime
from runtime.frame.extension import Extension
from runtime.frame.extrinsic import VERSION
from runtime.frame.pallet import CallSpec, ConstantSpec, Pallet, StorageSpec, spec_of
from runtime.frame.storage import REQUIRED, Hasher, Map, Value
from runtime.primitives import shapes
from runtime.primitives.crypto import MultiSignature
from runtime.primitives.hashing import blake2_128_concat, identity, twox_64_concat
from runtime.primitives.scale import Codec, codec
from runtime.primitives.shapes import Compact, Field, Shape, shape_of, u32
from runtime.primitives.types import Hash, MultiAddress

MAGIC = b"meta"
CRATE = "assay_runtime"
HASHER_INDEX: dict[Hasher, int] = {blake2_128_concat: 2, twox_64_concat: 5, identity: 6}
PRIMITIVE_INDEX = {"bool": 0, "str": 2, "u8": 3, "u16": 4, "u32": 5, "u64": 6, "u128": 7}
TEXT = codec(str)
TEXTS = codec(list[str])
COMPACT: Codec[int] = codec(Compact[u32])
OPTION_TEXT = codec(str | None)
BYTES = codec(bytes)
NONE, SOME = b"\x00", b"\x01"


def metadata(runtime: Runtime, extensions: tuple[Extension, ...]) -> bytes:
    """Return the V14 metadata of a runtime as bound to some state (its constants may differ by chain)."""
    return _Writer(runtime, extensions).write()


@dataclass(frozen=True)
class _Member:
    """A field as the registry writes it."""

    name: str
    type_id: int
    type_name: str


class Registry:
    """The portable registry: every type once, by the order it is met."""

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

    def fill(
        self, number: int, path: str, definition: bytes, params: list[tuple[str, int]] | None = None
    ) -> int:
        """Define a reserved type."""
        segments = TEXTS.encode(path.split("::") if path else [])
        listed = COMPACT.encode(len(params or []))
        for name, type_id in params or []:
            listed += TEXT.encode(name) + SOME + COMPACT.encode(type_id)
        self._types[number] = segments + listed + definition + TEXTS.encode([])
        return number

    def define(
        self, key: Any, path: str, definition: bytes, params: list[tuple[str, int]] | None = None
    ) -> int:
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
        body = _variants([("None", 0, [], ""), ("Some", 1, [_Member("", some, "")], "")])
        return self.define(("option", some), "Option", body, [("T", some)])

    def result(self, ok: int, error: int) -> int:
        """Return the id of Result<ok, error>."""
        body = _variants([("Ok", 0, [_Member("", ok, "")], ""), ("Err", 1, [_Member("", error, "")], "")])
        return self.define(("result", ok, error), "Result", body, [("T", ok), ("E", error)])


class _Writer:
    """Walks the declarations once."""

    def __init__(self, runtime: Runtime, extensions: tuple[Extension, ...]) -> None:
        self._runtime = runtime
        self._extensions = extensions
        self._registry = Registry()
        self._call_id, _ = self._registry.reserve("RuntimeCall")
        self._event_id, _ = self._registry.reserve("RuntimeEvent")

    def write(self) -> bytes:
        """Return magic, version, registry, pallets, extrinsic, runtime type."""
        pallets = [self._pallet(pallet) for pallet in self._runtime.pallets]
        extrinsic = self._extrinsic()
        self._outer_enums()
        runtime_id = self._registry.define("Runtime", f"{CRATE}::Runtime", b"\x00" + COMPACT.encode(0))
        body = COMPACT.encode(len(pallets)) + b"".join(pallets) + extrinsic + COMPACT.encode(runtime_id)
        return MAGIC + b"\x0e" + self._registry.encode() + body

    # Types.

    def type_id(self, annotation: Any) -> int:
        """Return the registry id of an annotation's type."""
        shape = shape_of(annotation)
        if isinstance(shape, shapes.Composite | shapes.TaggedUnion):
            return self._named(shape)
        return self._structural(shape)

    def _structural(self, shape: Shape) -> int:
        registry = self._registry
        match shape:
            case shapes.Integer(size):
                return registry.primitive(f"u{size * 8}")
            case shapes.CompactInteger(size):
                return registry.compact(registry.primitive(f"u{size * 8}"))
            case shapes.Boolean():
                return registry.primitive("bool")
            case shapes.Text():
                return registry.primitive("str")
            case shapes.Bytes():
                return registry.sequence(registry.primitive("u8"))
            case shapes.Array(size, path):
                return self._array(size, path)
            case shapes.Sequence(element, _):
                return registry.sequence(self.type_id(element))
            case shapes.Mapping(key, value):
                return self._map_type(self.type_id(key), self.type_id(value))
            case shapes.Tuple(elements):
                return registry.tuple([self.type_id(element) for element in elements])
            case shapes.Option(some):
                return registry.option(self.type_id(some))
            case shapes.Lookup():
                return self.type_id(MultiAddress)
            case shapes.Special("RuntimeCall"):
                return self._call_id
            case shapes.Special("Era"):
                return self._era()
            case shapes.Special("EventRecords"):
                return registry.sequence(self._event_record())
        raise TypeError(f"{shape} has no metadata form")

    def _array(self, size: int, path: str) -> int:
        raw = self._registry.array(size)
        if not path:
            return raw
        definition = b"\x00" + _fields([_Member("", raw, f"[u8; {size}]")])
        return self._registry.define(("named", path), path, definition)

    def _map_type(self, key: int, value: int) -> int:
        entries = self._registry.sequence(self._registry.tuple([key, value]))
        definition = b"\x00" + _fields([_Member("", entries, "")])
        return self._registry.define(("map", key, value), "BTreeMap", definition, [("K", key), ("V", value)])

    def _named(self, shape: shapes.Composite | shapes.TaggedUnion) -> int:
        if isinstance(shape, shapes.TaggedUnion) and shape.path == "Result":
            ok, error = (self.type_id(case.fields[0].annotation) for case in shape.cases)
            return self._registry.result(ok, error)
        number, new = self._registry.reserve(("named", shape.path))
        if not new:
            return number
        if isinstance(shape, shapes.Composite):
            return self._registry.fill(number, shape.path, b"\x00" + _fields(self._members(shape.fields)))
        cases = [(case.name, case.tag, self._members(case.fields), case.docs) for case in shape.cases]
        params = [(name, self.type_id(annotation)) for name, annotation in shape.params]
        return self._registry.fill(number, shape.path, _variants(cases), params)

    def _members(self, fields: tuple[Field, ...]) -> list[_Member]:
        return [
            _Member(each.name, self.type_id(each.annotation), type_name(each.annotation)) for each in fields
        ]

    def _era(self) -> int:
        byte = self._registry.primitive("u8")
        mortal = [(f"Mortal{first}", first, [_Member("", byte, "")], "") for first in range(1, 256)]
        definition = _variants([("Immortal", 0, _none(), ""), *mortal])
        return self._registry.define("Era", "sp_runtime::generic::era::Era", definition)

    def _event_record(self) -> int:
        topics = self._registry.sequence(self.type_id(Hash))
        phase = self.type_id(Phase)
        members = [
            _Member("phase", phase, "Phase"),
            _Member("event", self._event_id, "E"),
            _Member("topics", topics, "Vec<T>"),
        ]
        params = [("E", self._event_id), ("T", self.type_id(Hash))]
        return self._registry.define(
            "EventRecord", "frame_system::EventRecord", b"\x00" + _fields(members), params
        )

    # Pallets.

    def _pallet(self, pallet: Pallet[Any, Any]) -> bytes:
        spec = spec_of(type(pallet))
        entries = [self._entry(item) for item in spec.storage]
        listed = SOME + TEXT.encode(pallet.name) + COMPACT.encode(len(entries)) + b"".join(entries)
        constants = [self._constant(pallet, constant) for constant in spec.constants]
        return (
            TEXT.encode(pallet.name)
            + (listed if entries else NONE)
            + self._optional(self._calls(pallet))
            + self._optional(self._events(pallet))
            + COMPACT.encode(len(constants))
            + b"".join(constants)
            + self._optional(self._errors(pallet))
            + bytes([pallet.index])
        )

    def _optional(self, type_id: int | None) -> bytes:
        return NONE if type_id is None else SOME + COMPACT.encode(type_id)

    def _entry(self, item: StorageSpec) -> bytes:
        value = self.type_id(item.value)
        if item.kind is Value:
            kind = b"\x00" + COMPACT.encode(value)
        else:
            keys = [self.type_id(key) for key in item.keys]
            key = keys[0] if item.kind is Map else self._registry.tuple(keys)
            hashers = bytes([HASHER_INDEX[hasher] for hasher in item.item.hashers])
            kind = (
                b"\x01" + COMPACT.encode(len(hashers)) + hashers + COMPACT.encode(key) + COMPACT.encode(value)
            )
        optional = item.item.default is REQUIRED
        default = NONE if optional else self._runtime.codecs.of(item.value).encode(item.item.default)
        return (
            TEXT.encode(item.name)
            + (NONE if optional else SOME)
            + kind
            + BYTES.encode(default)
            + TEXTS.encode([])
        )

    def _constant(self, pallet: Pallet[Any, Any], constant: ConstantSpec) -> bytes:
        value = self._runtime.codecs.of(constant.annotation).encode(getattr(pallet, constant.attribute))
        head = TEXT.encode(constant.name) + COMPACT.encode(self.type_id(constant.annotation))
        return head + BYTES.encode(value) + TEXTS.encode([])

    def _calls(self, pallet: Pallet[Any, Any]) -> int | None:
        spec = spec_of(type(pallet))
        if not spec.calls:
            return None
        cases = [(call.name, call.index, self._arguments(call), call.docs) for call in spec.calls]
        return self._pallet_enum(pallet, "Call", _variants(cases))

    def _arguments(self, call: CallSpec) -> list[_Member]:
        return [_Member(name, self.type_id(each), type_name(each)) for name, each in call.parameters]

    def _events(self, pallet: Pallet[Any, Any]) -> int | None:
        events = spec_of(type(pallet)).events
        if not events:
            return None
        cases = [
            (
                shapes.wire_name(each.__name__),
                position,
                self._members(shapes.fields_of(each)),
                shapes.docs_of(each),
            )
            for position, each in enumerate(events)
        ]
        return self._pallet_enum(pallet, "Event", _variants(cases))

    def _errors(self, pallet: Pallet[Any, Any]) -> int | None:
        error = spec_of(type(pallet)).error
        if error is None:
            return None
        cases = [(each.name, position, _none(), each.value) for position, each in enumerate(error)]
        return self._pallet_enum(pallet, "Error", _variants(cases))

    def _pallet_enum(self, pallet: Pallet[Any, Any], kind: str, definition: bytes) -> int:
        path = f"{module_name(pallet.name)}::pallet::{kind}"
        return self._registry.define((pallet.name, kind), path, definition)

    def _outer_enums(self) -> None:
        for outer, kind, find in (
            ("RuntimeCall", "Call", self._calls),
            ("RuntimeEvent", "Event", self._events),
        ):
            number, _ = self._registry.reserve(outer)
            self._registry.fill(number, f"{CRATE}::{outer}", self._outer(kind, find))
        self._registry.define("RuntimeError", f"{CRATE}::RuntimeError", self._outer("Error", self._errors))

    def _outer(self, kind: str, find: Callable[[Pallet[Any, Any]], int | None]) -> bytes:
        cases = []
        for pallet in self._runtime.pallets:
            inner = find(pallet)
            if inner is not None:
                name = f"{module_name(pallet.name)}::{kind}<Runtime>"
                cases.append((pallet.name, pallet.index, [_Member("", inner, name)], ""))
        return _variants(cases)

    # The extrinsic.

    def _extrinsic(self) -> bytes:
        registry = self._registry
        extensions = [
            (each.name, self.type_id(each.extra), self.type_id(each.implicit)) for each in self._extensions
        ]
        params = [
            ("Address", self.type_id(MultiAddress)),
            ("Call", self._call_id),
            ("Signature", self.type_id(MultiSignature)),
            ("Extra", registry.tuple([extra for _, extra, _ in extensions])),
        ]
        definition = b"\x00" + _fields([_Member("", registry.sequence(registry.primitive("u8")), "")])
        path = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"
        type_id = registry.define("UncheckedExtrinsic", path, definition, params)
        listed = b"".join(
            TEXT.encode(name) + COMPACT.encode(extra) + COMPACT.encode(implicit)
            for name, extra, implicit in extensions
        )
        return COMPACT.encode(type_id) + bytes([VERSION]) + COMPACT.encode(len(extensions)) + listed


def _none() -> list[_Member]:
    return []


def _fields(members: list[_Member]) -> bytes:
    written = [
        OPTION_TEXT.encode(member.name or None)
        + COMPACT.encode(member.type_id)
        + OPTION_TEXT.encode(member.type_name or None)
        + TEXTS.encode([])
        for member in members
    ]
    return COMPACT.encode(len(written)) + b"".join(written)


def _variants(cases: list[tuple[str, int, list[_Member], str]]) -> bytes:
    written = [
        TEXT.encode(name) + _fields(members) + bytes([index]) + TEXTS.encode(_lines(docs))
        for name, index, members, docs in cases
    ]
    return b"\x01" + COMPACT.encode(len(written)) + b"".join(written)


def _lines(docs: str) -> list[str]:
    return [line.strip() for line in inspect.cleandoc(docs).splitlines()] if docs else []


def module_name(pallet: str) -> str:
    """Return the crate name clients expect: System -> frame_system, Subnets -> pallet_subnets."""
    if pallet == "System":
        return "frame_system"
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in pallet)
    return f"pallet{snake}"


def type_name(annotation: Any) -> str:
    """Return how Rust source would name a type; wallets show it beside an argument."""
    match shape_of(annotation):
        case shapes.Integer(size):
            return f"u{size * 8}"
        case shapes.CompactInteger(size):
            return f"Compact<u{size * 8}>"
        case shapes.Boolean():
            return "bool"
        case shapes.Text():
            return "String"
        case shapes.Bytes():
            return "Vec<u8>"
        case shapes.Array(size, path):
            return path.split("::")[-1] if path else f"[u8; {size}]"
        case shapes.Sequence(element, _):
            return f"Vec<{type_name(element)}>"
        case shapes.Mapping(key, value):
            return f"BTreeMap<{type_name(key)}, {type_name(value)}>"
        case shapes.Tuple(elements):
            return f"({', '.join(type_name(element) for element in elements)})"
        case shapes.Option(some):
            return f"Option<{type_name(some)}>"
        case shapes.Composite(path, _, _) | shapes.TaggedUnion(path, _, _):
            return path.split("::")[-1]
        case shapes.Lookup():
            return "AccountIdLookupOf<T>"
        case shapes.Special("RuntimeCall"):
            return "Box<<T as Config>::RuntimeCall>"
        case shapes.Special(name):
            return name
