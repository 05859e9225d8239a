"""What the annotations of a runtime's declarations are called in the registry: annotation -> type id.

Paths and parameters are those of the Rust types, because clients look types up by them.
"""

from typing import Any

from runtime.frame.base import Phase
from runtime.frame.extension import Extension
from runtime.frame.metadata.registry import Member, Registry, composite, variants
from runtime.primitives import shapes
from runtime.primitives.crypto import MultiSignature
from runtime.primitives.shapes import Field, Shape, shape_of
from runtime.primitives.types import Hash, MultiAddress


class Types:
    """The types of one runtime; its outer call and event enums are reserved here and filled by pallets.py."""

    def __init__(self, extensions: tuple[Extension, ...]) -> None:
        self.registry = Registry()
        self._extensions = extensions
        self.call, _ = self.registry.reserve("RuntimeCall")
        self._event, _ = self.registry.reserve("RuntimeEvent")

    def of(self, annotation: Any) -> int:
        """Return the id of an annotation's type."""
        shape = shape_of(annotation)
        if isinstance(shape, shapes.Composite | shapes.TaggedUnion):
            return self._named(shape)
        return self._structural(shape)

    def members(self, fields: tuple[Field, ...]) -> list[Member]:
        """Return the fields of a composite as the registry writes them."""
        return [Member(each.name, self.of(each.annotation), type_name(each.annotation)) for each in fields]

    def extra(self) -> int:
        """Return the id of the tuple of all extensions' values in an extrinsic."""
        return self.registry.tuple([self.of(each.extra) for each in self._extensions])

    def unchecked_extrinsic(self) -> int:
        """Return the id of the extrinsic: opaque bytes, whose parts are the parameters of the type."""
        registry = self.registry
        params = [
            ("Address", self.of(MultiAddress)),
            ("Call", self.call),
            ("Signature", self.of(MultiSignature)),
            ("Extra", self.extra()),
        ]
        definition = composite([Member("", registry.sequence(registry.primitive("u8")), "")])
        path = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"
        return registry.define("UncheckedExtrinsic", path, definition, params)

    def _structural(self, shape: Shape) -> int:
        registry = self.registry
        match shape:
            case shapes.Integer(size, path):
                return self._integer(size, path)
            case shapes.SignedInteger(size):
                return registry.primitive(f"i{size * 8}")
            case shapes.CompactInteger(size, path):
                return registry.compact(self._integer(size, path))
            case shapes.Boolean():
                return registry.primitive("bool")
            case shapes.Text():
                return registry.primitive("str")
            case shapes.Bytes():
                return registry.sequence(registry.primitive("u8"))
            case shapes.Array(size, path):
                return self._array(size, path)
            case shapes.Sequence(element, _):
                return registry.sequence(self.of(element))
            case shapes.U16Pairs():
                return registry.sequence(self.of(tuple[shapes.u16, shapes.u16]))
            case shapes.Mapping(key, value):
                return registry.map(self.of(key), self.of(value))
            case shapes.Tuple(elements):
                return registry.tuple([self.of(element) for element in elements])
            case shapes.Option(some):
                return registry.option(self.of(some))
            case shapes.Lookup():
                return self.of(MultiAddress)
            case shapes.Special(name):
                return self._special(name)
        raise TypeError(f"{shape} has no metadata form")

    def _special(self, name: str) -> int:
        match name:
            case "RuntimeCall":
                return self.call
            case "Era":
                return self._era()
            case "EventRecords":
                return self.registry.sequence(self._event_record())
            case "UncheckedExtrinsic":
                return self.unchecked_extrinsic()
        raise TypeError(f"{name} has no metadata form")

    def _integer(self, size: int, path: str) -> int:
        raw = self.registry.primitive(f"u{size * 8}")
        if not path:
            return raw
        definition = composite([Member("", raw, f"u{size * 8}")])
        return self.registry.define(("named", path), path, definition)

    def _array(self, size: int, path: str) -> int:
        raw = self.registry.array(size)
        if not path:
            return raw
        definition = composite([Member("", raw, f"[u8; {size}]")])
        return self.registry.define(("named", path), path, definition)

    def _named(self, shape: shapes.Composite | shapes.TaggedUnion) -> int:
        if isinstance(shape, shapes.TaggedUnion) and shape.path == "Result":
            ok, error = (self.of(case.fields[0].annotation) for case in shape.cases)
            return self.registry.result(ok, error)
        params = shape.params if isinstance(shape, shapes.TaggedUnion) else ()
        number, new = self.registry.reserve(("named", shape.path, *params))
        if not new:
            return number
        if isinstance(shape, shapes.Composite):
            return self.registry.fill(number, shape.path, composite(self.members(shape.fields)))
        cases = [(case.name, case.tag, self.members(case.fields), case.docs) for case in shape.cases]
        generics = [(name, self.of(annotation)) for name, annotation in shape.params]
        return self.registry.fill(number, shape.path, variants(cases), generics)

    def _era(self) -> int:
        byte = self.registry.primitive("u8")
        cases = [(f"Mortal{first}", first, [Member("", byte, "")], "") for first in range(1, 256)]
        cases.insert(0, ("Immortal", 0, [], ""))
        return self.registry.define("Era", "sp_runtime::generic::era::Era", variants(cases))

    def _event_record(self) -> int:
        topics = self.registry.sequence(self.of(Hash))
        phase = self.of(Phase)
        definition = composite(
            [
                Member("phase", phase, "Phase"),
                Member("event", self._event, "E"),
                Member("topics", topics, "Vec<T>"),
            ]
        )
        params = [("E", self._event), ("T", self.of(Hash))]
        return self.registry.define("EventRecord", "frame_system::EventRecord", definition, params)


def type_name(annotation: Any) -> str:
    """Return how Rust source would name a type; wallets show it beside an argument."""
    match shape_of(annotation):
        case shapes.Integer(size, path):
            return _integer_name(size, path)
        case shapes.SignedInteger(size):
            return f"i{size * 8}"
        case shapes.CompactInteger(size, path):
            return f"Compact<{_integer_name(size, path)}>"
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
        case shapes.U16Pairs():
            return "Vec<(u16, u16)>"
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


def _integer_name(size: int, path: str) -> str:
    return path.split("::")[-1] if path else f"u{size * 8}"
