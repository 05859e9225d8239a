"""The Pallet base class, and what it reads out of a pallet's class body."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Protocol,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from runtime.frame.declare import CallMark, ConstantMark, CoupledMark
from runtime.frame.errors import DispatchError, PalletError
from runtime.frame.state import Overlay
from runtime.frame.storage import DoubleMap, Map, NMap, Place, StorageItem, Tally, Value, item_prefix, place
from runtime.primitives.hashing import twox_128
from runtime.primitives.scale import Codec, Codecs
from runtime.primitives.shapes import Bounded, Lookup, Sequence, shape_of, wire_name
from runtime.primitives.types import MultiAddress, Weight

E = TypeVar("E")
R = TypeVar("R", bound=PalletError)


@dataclass(frozen=True)
class CallSpec:
    """One call: its place on the wire, who may make it, its arguments."""

    name: str
    method: str
    index: int
    mark: CallMark
    origin: Any
    parameters: tuple[tuple[str, Any], ...]
    docs: str

    @property
    def wire_types(self) -> list[Any]:
        """Return the annotation each argument has on the wire."""
        return [_wire_type(annotation) for _, annotation in self.parameters]


@dataclass(frozen=True)
class StorageSpec:
    """One storage item: where it lies and what it holds."""

    attribute: str
    name: str
    kind: type
    keys: tuple[Any, ...]
    value: Any
    item: StorageItem


@dataclass(frozen=True)
class ConstantSpec:
    """One constant: its type and default."""

    attribute: str
    name: str
    annotation: Any
    default: Any


@dataclass(frozen=True)
class PalletSpec:
    """Everything a pallet class declares."""

    name: str
    docs: str
    events: tuple[type, ...]
    error: type[PalletError] | None
    calls: tuple[CallSpec, ...]
    storage: tuple[StorageSpec, ...]
    constants: tuple[ConstantSpec, ...]
    couplings: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is the same in every block: where items and constants lie, and their codecs."""

    storage: tuple[tuple[str, type, Place], ...]
    constants: tuple[tuple[str, bytes, Codec[Any], Any], ...]


class Host(Protocol):
    """What a bound pallet needs of the runtime around it."""

    @property
    def overlay(self) -> Overlay:
        """The block's changes."""
        ...

    @property
    def plans(self) -> Mapping[int, Plan]:
        """How each pallet is bound, by its index."""
        ...

    @property
    def codecs(self) -> Codecs:
        """Codecs that know the runtime's call type."""
        ...

    @property
    def extrinsic_index(self) -> int | None:
        """The position of the extrinsic that runs; None outside of extrinsics."""
        ...

    def deposit_event(self, event: Any) -> None:
        """Append an event to the block's log."""
        ...

    def dispatch(self, call: Any, origin: Any) -> Any:
        """Execute a call and return whether its fee stays paid. Raises: DispatchError."""
        ...

    def info(self, call: Any) -> Any:
        """Return weight, class and fee policy of a call."""
        ...

    def error_kind(self, error: DispatchError) -> Any:
        """Return the wire form of an error."""
        ...


class Pallet(Generic[E, R]):
    """A module of the runtime: Pallet[Event | ..., Error].

    The union's order is the event index, the order of Error's members the error index. An instance is bound
    to one block's overlay and holds no state of its own.
    """

    index: int
    name: str
    optional_inherent: ClassVar[str | None] = None
    """The call an author may put into its block for this pallet; dispatch alone judges it."""

    @classmethod
    def at(cls, index: int, **couplings: Any) -> Self:
        """Place the pallet in a runtime; couplings name the pallets it needs, or set its constants."""
        declared = cls.__new__(cls)
        declared.index = index
        declared.name = cls.__name__
        declared.couplings = couplings
        missing = [name for name in spec_of(cls).couplings if name not in couplings]
        assert not missing, f"{cls.__name__} needs {missing}"
        return declared

    couplings: Mapping[str, Any]

    def bind(self, host: Host) -> Self:
        """Return this pallet bound to a block; couplings are filled in by the runtime."""
        bound = type(self).__new__(type(self))
        bound.index, bound.name, bound.couplings = self.index, self.name, self.couplings
        bound.host = host
        plan = host.plans[self.index]
        for attribute, kind, at in plan.storage:
            setattr(bound, attribute, kind(host.overlay, at))
        for attribute, key, codec, placed in plan.constants:
            raw = host.overlay.get(key)
            setattr(bound, attribute, placed if raw is None else codec.decode(raw))
        return bound

    def plan(self, codecs: Codecs) -> Plan:
        """Return what binding this pallet to a block takes, in a runtime with these codecs."""
        spec = spec_of(type(self))
        storage = []
        for item in spec.storage:
            parts = tuple(codecs.of(annotation) for annotation in (*item.keys, item.value))
            at = place(item_prefix(self.name, item.name), parts, item.item)
            storage.append((item.attribute, Tally if item.item.tally else item.kind, at))
        constants = []
        for constant in spec.constants:
            placed = self.couplings.get(constant.attribute, constant.default)
            key, codec = constant_key(self.name, constant.name), codecs.of(constant.annotation)
            constants.append((constant.attribute, key, codec, placed))
        return Plan(tuple(storage), tuple(constants))

    host: Host

    def deposit(self, event: E) -> None:
        """Append an event to the block's log."""
        self.host.deposit_event(event)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write the initial state from the chain specification's section of this pallet."""

    def on_genesis(self) -> None:
        """Write what follows from other pallets' initial state, once every section is written."""

    def on_runtime_upgrade(self, since: int) -> Weight:
        """Bring this pallet's state here from spec_version `since`, an older one; return the weight used.

        Runs once, before anything else in the first block of a new version.
        """
        return Weight()

    def on_initialize(self, now: int) -> Weight:
        """Run before the extrinsics of block `now`; return the weight used."""
        return Weight()

    def on_finalize(self, now: int) -> None:
        """Run after the extrinsics of block `now`."""

    def create_inherent(self, supplied: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
        """Return the call (name, arguments) this pallet puts into a block, if it has one to make.

        Where this node would make one, every block must have it; `optional_inherent` only may be there.
        """
        return None

    def check_inherent(self, arguments: tuple[Any, ...], supplied: Mapping[str, Any]) -> str | None:
        """Say why an inherent of a foreign block is wrong, or None."""
        return None

    def try_state(self) -> None:
        """Assert what must always hold of this pallet's state."""


CAPITALS = {"ss58": "SS58"}
"""Words FRAME writes in capitals; clients look for `System.SS58Prefix` by that name."""


def constant_key(pallet: str, name: str) -> bytes:
    """Return where a chain's own value of a constant lies: beside the pallet's storage, in no item."""
    return twox_128(pallet.encode()) + twox_128(b":constant:" + name.encode())


def spec_of(cls: type[Pallet[Any, Any]]) -> PalletSpec:
    """Return what a pallet class declares; it is read once."""
    if cls not in _specs:
        _specs[cls] = _read(cls)
    return _specs[cls]


_specs: dict[type, PalletSpec] = {}


def _read(cls: type[Pallet[Any, Any]]) -> PalletSpec:
    hints = get_type_hints(cls, include_extras=True)
    events, error = _event_and_error(cls)
    items, constants, couplings = [], [], []
    for attribute, declared in list(vars(cls).items()):
        if isinstance(declared, StorageItem):
            items.append(_storage(attribute, hints[attribute], declared))
        elif isinstance(declared, ConstantMark):
            constants.append(ConstantSpec(attribute, pascal(attribute), hints[attribute], declared.default))
        elif isinstance(declared, CoupledMark):
            couplings.append(attribute)
    calls = [_call(name, method) for name, method in vars(cls).items() if hasattr(method, "__call_mark__")]
    calls.sort(key=lambda call: call.index)
    assert len({call.index for call in calls}) == len(calls), f"{cls.__name__}: two calls share an index"
    return PalletSpec(
        cls.__name__,
        inspect.getdoc(cls) or "",
        events,
        error,
        tuple(calls),
        tuple(items),
        tuple(constants),
        tuple(couplings),
    )


def _event_and_error(cls: type) -> tuple[tuple[type, ...], type[PalletError] | None]:
    base = next(base for base in cls.__orig_bases__ if get_origin(base) is Pallet)  # type: ignore[attr-defined]
    events, error = get_args(base)
    if get_origin(events) in (UnionType, Union):
        listed = get_args(events)
    else:
        listed = () if events in (None, NoneType) else (events,)
    return listed, error if len(error) else None


def _storage(attribute: str, hint: Any, item: StorageItem) -> StorageSpec:
    kind, arguments = get_origin(hint), get_args(hint)
    assert kind in (Value, Map, DoubleMap, NMap), f"{attribute}: {hint} is no storage"
    *keys, value = (*get_args(arguments[0]), arguments[1]) if kind is NMap else arguments
    assert len(item.hashers) >= len(keys), f"{attribute}: {len(keys)} keys need as many hashers"
    hashers = item.hashers[: len(keys)]
    return StorageSpec(attribute, pascal(attribute), kind, tuple(keys), value, replace(item, hashers=hashers))


def _call(name: str, method: Callable[..., Any]) -> CallSpec:
    mark: CallMark = method.__call_mark__  # type: ignore[attr-defined]
    hints = get_type_hints(method, include_extras=True)
    _, origin, *parameters = inspect.signature(method).parameters
    named = tuple((wire_name(each), hints[each]) for each in parameters)
    return CallSpec(
        wire_name(name), name, mark.index, mark, hints[origin], named, inspect.getdoc(method) or ""
    )


def is_lookup(annotation: Any) -> bool:
    """Say whether an argument, or each of its elements, is a MultiAddress and handed on as an account."""
    shape = shape_of(annotation)
    return isinstance(shape, Lookup) or (isinstance(shape, Sequence) and is_lookup(shape.element))


def _wire_type(annotation: Any) -> Any:
    if not is_lookup(annotation):
        return annotation
    shape = shape_of(annotation)
    if not isinstance(shape, Sequence):
        return MultiAddress
    listed = list[MultiAddress]
    return listed if shape.limit is None else Annotated[listed, Bounded(shape.limit)]


def pascal(attribute: str) -> str:
    """Return the wire name of a storage item or constant: total_issuance -> TotalIssuance."""
    return "".join(CAPITALS.get(part, part.capitalize()) for part in wire_name(attribute).split("_"))
