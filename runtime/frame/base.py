"""The Runtime base class: pallets placed at indices, bound together to one block.

A subclass names every pallet and nothing else does (runtime/runtime.py). Dispatch lives here because a call
may carry calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self

from runtime.frame.declare import DispatchClass, Origin, Pays, Root, Signed, SignedOrigin, Unsigned
from runtime.frame.errors import (
    Arithmetic,
    ArithmeticError_,
    BadOrigin,
    CannotLookup,
    DispatchError,
    DispatchErrorKind,
    Module,
    ModuleError,
    PalletError,
    SystemError_,
)
from runtime.frame.pallet import CallSpec, Pallet, Plan, constant_key, is_lookup, spec_of
from runtime.frame.state import Overlay, State
from runtime.frame.traits import SystemHost
from runtime.primitives.era import ERA_CODEC, ERA_MARKER
from runtime.primitives.layout import EncodeError
from runtime.primitives.record import record
from runtime.primitives.scale import (
    Codec,
    Codecs,
    DecodeError,
    Input,
    codec,
    read_compact,
    write_compact,
)
from runtime.primitives.shapes import Special, Variants, struct, u32, variant
from runtime.primitives.transaction import (
    EXTRINSIC_CODEC,
    EXTRINSIC_MARKER,
    TransactionRejected,
    ValidTransaction,
)
from runtime.primitives.types import AccountId, Address32, Hash, Id, Weight
from runtime.primitives.validity import TransactionSource

CALL_MARKER = Special("RuntimeCall")
EVENTS_MARKER = Special("EventRecords")


@record
class Call:
    """A decoded call: which pallet, which call, the arguments as they are on the wire."""

    pallet: int
    index: int
    arguments: tuple[Any, ...]


RuntimeCall = Annotated[Call, CALL_MARKER]


@variant
class ApplyExtrinsic:
    """While the extrinsic of this index ran."""

    _0: u32


@variant
class Finalization:
    """While the block was closed."""


@variant
class Initialization:
    """While the block was opened."""


Phase = Annotated[ApplyExtrinsic | Finalization | Initialization, Variants("frame_system::Phase")]


@record
class EventRecord:
    """An event, and when in the block it happened."""

    phase: Any
    event: Any
    topics: list[bytes]


EventRecords = Annotated[list[EventRecord], EVENTS_MARKER]


@struct("frame_support::dispatch::DispatchInfo")
class DispatchInfo:
    """Weight, class and fee policy of a call. Source: frame_system's DispatchEventInfo."""

    weight: Weight
    class_: DispatchClass
    pays_fee: Pays


@dataclass(frozen=True)
class Target:
    """Where a call goes: the pallet's attribute on the runtime, the declaration, the compiled arguments.

    `method` takes the runtime; `info` is that of every such call, unless the weight depends on the arguments.
    """

    attribute: str
    method: Callable[[Any], Callable[..., Pays | None]]
    info: DispatchInfo | None
    spec: CallSpec
    codec: Codec[tuple[Any, ...]]
    lookups: tuple[int, ...]


PHASE = codec(Phase)
TOPICS = codec(list[Hash])


class Runtime:
    """A state machine made of pallets; an instance is bound to one overlay."""

    declared: ClassVar[dict[str, Pallet[Any, Any]]]
    codecs: ClassVar[Codecs]
    plans: ClassVar[dict[int, Plan]]
    targets: ClassVar[dict[tuple[int, int], Target]]
    event_writers: ClassVar[dict[type, tuple[bytes, Callable[[Any], bytes]]]]
    event_readers: ClassVar[dict[tuple[int, int], Codec[Any]]]
    error_index: ClassVar[dict[type[PalletError], int]]

    def __init_subclass__(cls) -> None:
        """Collect the pallets, those of the runtime it builds on included; compile calls, events, errors."""
        inherited = getattr(cls, "declared", {})
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Pallet)}
        placed = {**inherited, **own}
        cls.declared = dict(sorted(placed.items(), key=lambda entry: entry[1].index))
        indices = [pallet.index for pallet in cls.declared.values()]
        assert len(frozenset(indices)) == len(indices), f"{cls.__name__}: two pallets share an index"
        cls.codecs = Codecs()
        cls.codecs.define(CALL_MARKER, Codec(cls._write_call, cls._read_call, 2))
        cls.codecs.define(ERA_MARKER, ERA_CODEC)
        cls.codecs.define(EXTRINSIC_MARKER, EXTRINSIC_CODEC)
        cls.codecs.define(EVENTS_MARKER, Codec(_write_records, cls._read_records, 1))
        cls.plans = {pallet.index: pallet.plan(cls.codecs) for pallet in cls.declared.values()}
        cls.targets, cls.event_writers, cls.event_readers, cls.error_index = {}, {}, {}, {}
        for attribute, pallet in cls.declared.items():
            spec = spec_of(type(pallet))
            for call in spec.calls:
                cls.targets[pallet.index, call.index] = _target(cls.codecs, attribute, call)
            for position, event in enumerate(spec.events):
                cls.event_writers[event] = bytes([pallet.index, position]), cls.codecs.of(event).encoder
                cls.event_readers[pallet.index, position] = cls.codecs.of(event)
            if spec.error:
                cls.error_index[spec.error] = pallet.index

    system: SystemHost

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.extrinsic_index: int | None = None
        self.finalizing = False
        self._bound = {pallet.index: pallet.bind(self) for pallet in self.declared.values()}
        for attribute, pallet in self.declared.items():
            setattr(self, attribute, self._bound[pallet.index])
        for pallet in self.pallets:
            for need, target in pallet.couplings.items():
                setattr(pallet, need, self.bound(target))

    @property
    def pallets(self) -> list[Pallet[Any, Any]]:
        """Return the bound pallets in the order of their indices."""
        return list(self._bound.values())

    def bound(self, coupling: Any) -> Any:
        """Return what a coupling of the declaration means in this block.

        Tuples couple to several pallets; a name is that of a pallet placed further down.
        """
        if isinstance(coupling, tuple):
            return tuple(self.bound(each) for each in coupling)
        if isinstance(coupling, str):
            return self._bound[self.declared[coupling].index]
        return self._bound[coupling.index] if isinstance(coupling, Pallet) else coupling

    # Events.

    def deposit_event(self, event: Any) -> None:
        """Append an event record {phase, event, no topics} to the block's log."""
        head, encode = self.event_writers[type(event)]
        if self.extrinsic_index is not None:
            phase = b"\x00" + self.extrinsic_index.to_bytes(4, "little")
        else:
            phase = b"\x01" if self.finalizing else b"\x02"
        self.overlay.events.append(b"".join((phase, head, encode(event), b"\x00")))

    @classmethod
    def _read_records(cls, source: Input) -> list[EventRecord]:
        return [cls.read_record(source) for _ in range(read_compact(source))]

    @classmethod
    def read_record(cls, source: Input) -> EventRecord:
        """Read one event record."""
        phase = PHASE.read(source)
        pallet, position = source.take(2)
        reader = cls.event_readers.get((pallet, position))
        if reader is None:
            raise DecodeError(f"there is no event {position} in pallet {pallet}")
        return EventRecord(phase, reader.read(source), TOPICS.read(source))

    # Calls.

    @classmethod
    def _write_call(cls, call: Call, out: bytearray) -> None:
        out += bytes([call.pallet, call.index])
        cls.targets[call.pallet, call.index].codec.write(call.arguments, out)

    @classmethod
    def _read_call(cls, source: Input) -> Call:
        pallet, index = source.take(2)
        target = cls.targets.get((pallet, index))
        if target is None:
            raise DecodeError(f"there is no call {index} in pallet {pallet}")
        return Call(pallet, index, target.codec.read(source))

    @classmethod
    def call(cls, pallet: str, name: str, *arguments: Any) -> Call:
        """Build a call by its names, as in call("Balances", "transfer_keep_alive", dest, value)."""
        for (pallet_index, index), target in cls.targets.items():
            if target.spec.name == name and cls.declared[target.attribute].name == pallet:
                return Call(pallet_index, index, _to_wire(target, arguments))
        raise KeyError(f"{pallet}.{name}")

    def is_call(self, call: Call, pallet: Pallet[Any, Any], name: str) -> bool:
        """Say whether this is the call of that name."""
        return call.pallet == pallet.index and self.targets[call.pallet, call.index].spec.name == name

    def info(self, call: Call) -> DispatchInfo:
        """Return weight, class and fee policy of a call."""
        target = self.targets[call.pallet, call.index]
        if target.info is not None:
            return target.info
        mark = target.spec.mark
        assert not isinstance(mark.weight, Weight), "a fixed weight has its info ready"
        return DispatchInfo(mark.weight(self, *call.arguments), mark.dispatch_class, mark.pays)

    def validate_unsigned(self, call: Call, source: TransactionSource) -> ValidTransaction:
        """Say where a call without a signature belongs; the call's declaration names who knows.

        Raises: TransactionRejected.
        """
        target = self.targets[call.pallet, call.index]
        validate = target.spec.mark.unsigned
        if validate is None:
            raise TransactionRejected("unknown", "NoUnsignedValidator")
        return validate(getattr(self, target.attribute), source, *call.arguments)

    def dispatch(self, call: Call, origin: Origin) -> Pays:
        """Execute a call and return whether its fee stays paid; a refused one leaves the state as it was.

        A value that does not fit its storage is refused like any other overflow: no call stops the chain.

        Raises: DispatchError.
        """
        filters = origin.filters if isinstance(origin, SignedOrigin) else ()
        if filters and not all(each.permits(self, call) for each in filters):
            raise DispatchError(SystemError_.CallFiltered)
        target = self.targets[call.pallet, call.index]
        self.overlay.begin()
        try:
            pays = target.method(self)(_admit(target.spec.origin, origin), *_resolve(target, call.arguments))
        except EncodeError as problem:
            self.overlay.rollback()
            raise DispatchError(Arithmetic(ArithmeticError_.Overflow)) from problem
        except BaseException:
            self.overlay.rollback()
            raise
        self.overlay.commit()
        return pays or Pays.Yes

    def error_kind(self, error: DispatchError) -> DispatchErrorKind:
        """Return the wire form of an error."""
        reason = error.reason
        if not isinstance(reason, PalletError):
            return reason  # type: ignore[no-any-return]
        position = list(type(reason)).index(reason)
        return Module(ModuleError(self.error_index[type(reason)], bytes([position, 0, 0, 0])))

    @classmethod
    def reading(cls, state: State) -> Self:
        """Return this runtime bound to a state that will not be changed, as its next block will find it."""
        runtime = cls(Overlay(state))
        runtime.upgrade()
        return runtime

    def upgrade(self) -> Weight:
        """Migrate a state that another version wrote; return the weight used. Source: FRAME's Executive."""
        since = self.system.begin_upgrade()
        weight = Weight()
        if since is not None:
            for pallet in self.pallets:
                weight += pallet.on_runtime_upgrade(since)
        return weight

    # Genesis.

    @classmethod
    def build_genesis(cls, overlay: Overlay, config: Mapping[str, Any]) -> None:
        """Write genesis: constants, every pallet's section in pallet order, then what follows from them.

        `config` maps pallet attributes to their sections, and "constants" to {pallet: {constant: value}}.

        Raises: ValueError where it names no pallet of this runtime.
        """
        constants = config.get("constants", {})
        specs = {each.name: spec_of(type(each)) for each in cls.declared.values()}
        unknown = sorted(config.keys() - {*cls.declared, "constants"}) + sorted(constants.keys() - specs)
        if unknown:
            raise ValueError(f"no pallet is called {', '.join(unknown)}")
        for pallet, values in constants.items():
            known = {constant.name: constant for constant in specs[pallet].constants}
            for name, value in values.items():
                overlay.put(constant_key(pallet, name), cls.codecs.of(known[name].annotation).encode(value))
        runtime = cls(overlay)
        for attribute in cls.declared:
            getattr(runtime, attribute).genesis(config.get(attribute, {}))
        for pallet in runtime.pallets:
            pallet.on_genesis()
        overlay.events.clear()

    def try_state(self) -> None:
        """Assert every pallet's invariants."""
        for pallet in self.pallets:
            pallet.try_state()


def _write_records(records: list[bytes], out: bytearray) -> None:
    """Append records that are encoded already, as the overlay keeps them."""
    write_compact(len(records), out)
    for each in records:
        out += each


def _target(codecs: Codecs, attribute: str, call: CallSpec) -> Target:
    lookups = tuple(at for at, (_, annotation) in enumerate(call.parameters) if is_lookup(annotation))
    wire: Any = tuple[tuple(call.wire_types)] if call.wire_types else tuple[()]  # type: ignore[misc]
    mark, method, info = call.mark, attrgetter(f"{attribute}.{call.method}"), None
    if isinstance(mark.weight, Weight):
        info = DispatchInfo(mark.weight, mark.dispatch_class, mark.pays)
    return Target(attribute, method, info, call, codecs.of(wire), lookups)


def _to_wire(target: Target, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    assert len(arguments) == len(target.spec.parameters), f"{target.spec.name} takes {target.spec.parameters}"
    return tuple(_address(each) if at in target.lookups else each for at, each in enumerate(arguments))


def _address(named: Any) -> Any:
    if isinstance(named, list):
        return [_address(each) for each in named]
    return Id(AccountId(named)) if isinstance(named, bytes) else named


def _resolve(target: Target, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if not target.lookups:
        return arguments
    resolved = list(arguments)
    for at in target.lookups:
        resolved[at] = _account(resolved[at])
    return tuple(resolved)


def _account(address: Any) -> Any:
    if isinstance(address, list):
        return [_account(each) for each in address]
    if isinstance(address, Id | Address32):
        return AccountId(address._0)
    raise DispatchError(CannotLookup())


def _admit(wanted: Any, origin: Origin) -> Any:
    if wanted is Signed and isinstance(origin, SignedOrigin):
        return Signed(origin.account)
    if wanted is SignedOrigin and isinstance(origin, SignedOrigin):
        return origin
    if wanted is Root and isinstance(origin, Root):
        return origin
    if wanted is Unsigned and isinstance(origin, Unsigned):
        return origin
    if wanted == Origin:
        return origin
    raise DispatchError(BadOrigin())
