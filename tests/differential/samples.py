"""Values of everything that metadata gives a type, encoded by us, which other readers must read alike.

A place says where in the metadata a type is named, so that each reader finds the type by its own reading:
["storage", "System", "Account"], ["key", "System", "Account"], ["constant", "Babe", "EpochDuration"],
["call"], ["events"], ["input", "Core", "version", 0], ["output", "Core", "version"], ["header"], ["error"].
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from runtime.apis import SERVED
from runtime.frame.base import Call, RuntimeCall
from runtime.frame.metadata import v14, v15
from runtime.frame.pallet import spec_of
from runtime.primitives.era import MortalEra
from runtime.primitives.header import Header
from runtime.primitives.pairs import Pairs
from runtime.primitives.shapes import fields_of
from runtime.runtime import EXTENSIONS, AssayRuntime
from tests.runtime.bench import Chain
from tests.runtime.values import values

CHAIN = Chain()
RUNTIME = CHAIN.runtime
METADATA = {14: v14.metadata(RUNTIME, EXTENSIONS), 15: v15.metadata(RUNTIME, EXTENSIONS, SERVED)}
CALLS = [(pallet, each) for pallet in RUNTIME.pallets for each in spec_of(type(pallet)).calls]
EVENTS = [event for pallet in RUNTIME.pallets for event in spec_of(type(pallet)).events]
RECORDS = next(
    item.value for item in spec_of(type(RUNTIME.pallets[0])).storage if item.name == "Events"
)  # fmt: skip

Place = list[Any]


@dataclass(frozen=True)
class Sample:
    """A value, where its type is, and its bytes."""

    where: Place
    value: Any
    encoded: bytes


def places() -> Iterator[tuple[Place, Any]]:
    """Yield every place that has a type which an annotation says, with the annotation."""
    yield ["header"], Header
    for pallet in RUNTIME.pallets:
        spec = spec_of(type(pallet))
        for item in spec.storage:
            if item.name != "Events":
                yield ["storage", pallet.name, item.name], item.value
            if item.keys:
                keys = item.keys[0] if len(item.keys) == 1 else tuple[tuple(item.keys)]  # type: ignore[misc]
                yield ["key", pallet.name, item.name], keys
        for constant in spec.constants:
            yield ["constant", pallet.name, constant.name], constant.annotation
    for api in SERVED:
        for function in api.functions:
            for position, (_, annotation) in enumerate(function.inputs):
                yield ["input", api.name, function.name, position], annotation
            yield ["output", api.name, function.name], function.output


def drawn(strategy: st.SearchStrategy[Any], rounds: int) -> list[Any]:
    """Return so many values of a strategy; the same ones every time."""
    found: list[Any] = []

    @settings(
        max_examples=rounds,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


def blocks_of_events(rounds: int) -> Iterator[Sample]:
    """Yield the events of so many blocks, each with an event of every kind, as a block deposits them."""
    places = st.sampled_from([(None, False), (None, True)]) | st.tuples(
        st.integers(0, 2**32 - 1), st.just(False)
    )
    kinds = []
    for event in EVENTS:
        fields = [values(field.annotation) for field in fields_of(event)]
        kinds.append(drawn(st.tuples(places, st.builds(event, *fields)), rounds))
    for number in range(rounds):
        runtime = AssayRuntime.reading(CHAIN.state)
        deposited = [kind[number % len(kind)] for kind in kinds]
        for (index, finalizing), event in deposited:
            runtime.extrinsic_index, runtime.finalizing = index, finalizing
            runtime.deposit_event(event)
        encoded = AssayRuntime.codecs.of(RECORDS).encode(runtime.overlay.events)
        yield Sample(["events"], [(index, event) for (index, _), event in deposited], encoded)


def samples(rounds: int) -> list[Sample]:
    """Return so many values, or all there are, of every place, of every call and of every event."""
    found: list[Sample] = []
    for where, annotation in places():
        encode = AssayRuntime.codecs.of(annotation).encode
        found += [Sample(where, value, encode(value)) for value in drawn(values(annotation), rounds)]
    encode = AssayRuntime.codecs.of(RuntimeCall).encode
    for pallet, spec in CALLS:
        arguments = st.tuples(*(values(annotation) for annotation in spec.wire_types))
        calls = [Call(pallet.index, spec.index, each) for each in drawn(arguments, rounds)]
        found += [Sample(["call"], call, encode(call)) for call in calls]
    return [*found, *blocks_of_events(rounds)]


def integers(value: Any) -> list[int]:
    """Return the integers of a value, of ours or of a reader in Python, in the order of the wire."""
    match value:
        case bool() | None | str() | bytes() | enum.Enum() | MortalEra():
            return []
        case int():
            return [int(value)]
        case Call():
            return integers(value.arguments)
        case {"call_args": arguments}:
            return integers([each["value"] for each in arguments])
        case dict():
            is_ours = any(not isinstance(key, str) for key in value)
            return integers(sorted(value.items()) if is_ours else list(value.values()))
        case list() | tuple() | Pairs():
            return [each for part in value for each in integers(part)]
    return integers([getattr(value, name) for name in getattr(value, "__dataclass_fields__", {})])


def mentions(value: Any, kinds: tuple[type, ...]) -> bool:
    """Say whether there is something of these types in a value."""
    if isinstance(value, kinds):
        return True
    match value:
        case dict():
            parts = [*value, *value.values()]
        case list() | tuple():
            parts = list(value)
        case _:
            parts = [getattr(value, name) for name in getattr(value, "__dataclass_fields__", {})]
    return any(mentions(part, kinds) for part in parts)
