"""What every version of metadata says alike of a runtime: its pallets, outer enums and extensions.

Source: frame-metadata, v14 and v15.
"""

from collections.abc import Callable
from typing import Any

from runtime.frame.base import Runtime
from runtime.frame.extension import Extension
from runtime.frame.metadata.annotations import Types, type_name
from runtime.frame.metadata.registry import (
    COMPACT,
    SOME,
    TEXT,
    TEXTS,
    Case,
    Member,
    composite,
    variants,
)
from runtime.frame.pallet import CallSpec, ConstantSpec, Pallet, StorageSpec, spec_of
from runtime.frame.storage import REQUIRED, Hasher, Map, Value
from runtime.primitives import shapes
from runtime.primitives.hashing import blake2_128_concat, identity, twox_64_concat
from runtime.primitives.scale import codec

MAGIC = b"meta"
CRATE = "assay_runtime"
HASHER_INDEX: dict[Hasher, int] = {blake2_128_concat: 2, twox_64_concat: 5, identity: 6}
BYTES = codec(bytes)
NONE = b"\x00"
OUTER = ("Call", "Event", "Error")


class Writer:
    """Walks the declarations once."""

    def __init__(self, runtime: Runtime, extensions: tuple[Extension, ...]) -> None:
        self._runtime = runtime
        self._extensions = extensions
        self.types = Types(extensions)
        self._registry = self.types.registry

    def pallet(self, pallet: Pallet[Any, Any]) -> bytes:
        """Return what a pallet holds, takes, tells and refuses."""
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
        value = self.types.of(item.value)
        if item.kind is Value:
            kind = b"\x00" + COMPACT.encode(value)
        else:
            keys = [self.types.of(key) for key in item.keys]
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
        head = TEXT.encode(constant.name) + COMPACT.encode(self.types.of(constant.annotation))
        return head + BYTES.encode(value) + TEXTS.encode([])

    def _calls(self, pallet: Pallet[Any, Any]) -> int | None:
        spec = spec_of(type(pallet))
        if not spec.calls:
            return None
        cases = [(call.name, call.index, self._arguments(call), call.docs) for call in spec.calls]
        return self._pallet_enum(pallet, "Call", variants(cases))

    def _arguments(self, call: CallSpec) -> list[Member]:
        return [Member(name, self.types.of(each), type_name(each)) for name, each in call.parameters]

    def _events(self, pallet: Pallet[Any, Any]) -> int | None:
        events = spec_of(type(pallet)).events
        if not events:
            return None
        cases = [
            (
                shapes.wire_name(each.__name__),
                position,
                self.types.members(shapes.fields_of(each)),
                shapes.docs_of(each),
            )
            for position, each in enumerate(events)
        ]
        return self._pallet_enum(pallet, "Event", variants(cases))

    def _errors(self, pallet: Pallet[Any, Any]) -> int | None:
        error = spec_of(type(pallet)).error
        if error is None:
            return None
        cases: list[Case] = [(each.name, position, [], each.value) for position, each in enumerate(error)]
        return self._pallet_enum(pallet, "Error", variants(cases))

    def _pallet_enum(self, pallet: Pallet[Any, Any], kind: str, definition: bytes) -> int:
        path = f"{module_name(pallet.name)}::pallet::{kind}"
        return self._registry.define((pallet.name, kind), path, definition)

    def outer_enums(self) -> tuple[int, int, int]:
        """Define the enums of all pallets' calls, events and errors; return their ids."""
        call, event, error = (self._registry.reserve(f"Runtime{kind}")[0] for kind in OUTER)
        self._outer(call, "Call", self._calls)
        self._outer(event, "Event", self._events)
        self._outer(error, "Error", self._errors)
        return call, event, error

    def _outer(self, number: int, kind: str, find: Callable[[Pallet[Any, Any]], int | None]) -> None:
        cases: list[Case] = []
        for pallet in self._runtime.pallets:
            inner = find(pallet)
            if inner is not None:
                name = f"{module_name(pallet.name)}::{kind}<Runtime>"
                cases.append((pallet.name, pallet.index, [Member("", inner, name)], ""))
        self._registry.fill(number, f"{CRATE}::Runtime{kind}", variants(cases))

    def extensions(self) -> bytes:
        """Return the signed extensions in order: name, type in the extrinsic, type that is only signed."""
        listed = [
            TEXT.encode(each.name)
            + COMPACT.encode(self.types.of(each.extra))
            + COMPACT.encode(self.types.of(each.implicit))
            for each in self._extensions
        ]
        return COMPACT.encode(len(listed)) + b"".join(listed)

    def runtime(self) -> int:
        """Return the id of the runtime's own type."""
        return self._registry.define("Runtime", f"{CRATE}::Runtime", composite([]))


def module_name(pallet: str) -> str:
    """Return the crate name clients expect: System -> frame_system, Subnets -> pallet_subnets."""
    if pallet == "System":
        return "frame_system"
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in pallet)
    return f"pallet{snake}"
