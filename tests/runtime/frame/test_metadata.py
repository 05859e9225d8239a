"""Metadata as scalecodec reads it: every type, call, event, error, default and constant of the runtime."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.frame.base import Call, RuntimeCall
from runtime.frame.metadata.v14 import metadata
from runtime.frame.pallet import StorageSpec, spec_of
from runtime.primitives import shapes
from runtime.primitives.shapes import shape_of
from runtime.runtime import EXTENSIONS, AssayRuntime
from tests.runtime.bench import ALICE, BOB, Chain, transfer
from tests.runtime.values import values

RUNTIME = Chain().runtime
RAW = metadata(RUNTIME, EXTENSIONS)
REGISTRY = RuntimeConfigurationObject(implements_scale_info=True)
REGISTRY.update_type_registry(load_type_registry_preset("core"))
REGISTRY.update_type_registry({"types": {"Bytes": "HexBytes"}})
DECODED = REGISTRY.create_scale_object("MetadataVersioned", data=ScaleBytes(RAW))
DECODED.decode(check_remaining=True)
REGISTRY.add_portable_registry(DECODED)
TYPES = DECODED.portable_registry["types"]
PALLETS = {pallet.value["name"]: pallet for pallet in DECODED.pallets}


def reads(type_name: str, encoded: bytes) -> Any:
    """Let scalecodec decode all the bytes, and return its value."""
    found = REGISTRY.create_scale_object(type_name, data=ScaleBytes(encoded))
    found.decode(check_remaining=True)
    return found.value


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def storage_items() -> Iterator[tuple[str, StorageSpec]]:
    for pallet in RUNTIME.pallets:
        for item in spec_of(type(pallet)).storage:
            yield pallet.name, item


def test_type_ids_count_from_zero_and_every_type_is_known() -> None:
    assert [each.value["id"] for each in TYPES] == list(range(len(TYPES)))
    for number in range(len(TYPES)):
        assert REGISTRY.create_scale_object(f"scale_info::{number}") is not None


def test_a_path_with_its_parameters_means_one_type() -> None:
    seen: dict[Any, Any] = {}

    def walk(annotation: Any) -> None:
        shape = shape_of(annotation)
        path = getattr(shape, "path", "")
        if isinstance(shape, shapes.CompactInteger):
            shape = shapes.Integer(shape.size, path)
        if path and path != "Result":
            name = (path, getattr(shape, "params", ()))
            known = name in seen
            assert seen.setdefault(name, shape) == shape, f"two types are called {path}"
            if known:
                return
        match shape:
            case shapes.Sequence(element, _) | shapes.Option(element):
                walk(element)
            case shapes.Mapping(key, value):
                walk(key)
                walk(value)
            case shapes.Tuple(elements):
                for element in elements:
                    walk(element)
            case shapes.Composite(_, _, fields):
                for field in fields:
                    walk(field.annotation)
            case shapes.TaggedUnion(_, cases):
                for each in cases:
                    for field in each.fields:
                        walk(field.annotation)

    for pallet in RUNTIME.pallets:
        spec = spec_of(type(pallet))
        for annotation in [
            *(each for item in spec.storage for each in (*item.keys, item.value)),
            *(each for one in spec.calls for _, each in one.parameters),
            *(constant.annotation for constant in spec.constants),
            *(field.annotation for event in spec.events for field in shapes.fields_of(event)),
        ]:
            walk(annotation)
    assert ("sp_core::crypto::AccountId32", ()) in seen


def test_types_clients_know_by_path_are_there() -> None:
    paths = {"::".join(each.value["type"]["path"]) for each in TYPES}
    assert paths >= {
        "sp_core::crypto::AccountId32", "primitive_types::H256", "sp_runtime::multiaddress::MultiAddress",
        "sp_runtime::MultiSignature", "sp_runtime::DispatchError", "sp_runtime::ModuleError",
        "sp_runtime::generic::era::Era", "sp_weights::weight_v2::Weight", "frame_system::EventRecord",
        "frame_system::Phase", "frame_system::AccountInfo", "pallet_balances::types::AccountData",
        "sp_runtime::generic::digest::Digest", "sp_runtime::generic::digest::DigestItem",
        "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic", "assay_runtime::RuntimeCall",
        "assay_runtime::RuntimeEvent", "assay_runtime::RuntimeError", "assay_runtime::Runtime", "Option",
        "Result",
    }  # fmt: skip


def test_fields_of_calls_have_names_and_type_names() -> None:
    for each in TYPES:
        if each.value["type"]["path"][-2:] == ["pallet", "Call"]:
            for variant in each.value["type"]["def"]["variant"]["variants"]:
                assert all(field["name"] and field["typeName"] for field in variant["fields"]), variant[
                    "name"
                ]


def test_fields_are_all_named_or_all_unnamed() -> None:
    for each in TYPES:
        definition = each.value["type"]["def"]
        groups = [definition["composite"]["fields"]] if "composite" in definition else []
        groups += [each["fields"] for each in definition.get("variant", {}).get("variants", [])]
        for fields in groups:
            assert len({field["name"] is None for field in fields}) <= 1, each.value


def test_pallets_are_listed_by_index_with_what_they_declare() -> None:
    assert list(PALLETS) == [pallet.name for pallet in RUNTIME.pallets]
    for pallet in RUNTIME.pallets:
        spec, shown = spec_of(type(pallet)), PALLETS[pallet.name]
        assert shown.value["index"] == pallet.index
        listed = [each.value["name"] for each in shown.storage or []]
        assert [name for name in listed if name[0] != ":"] == [item.name for item in spec.storage]
        assert [each.value["name"] for each in shown.calls or []] == [each.name for each in spec.calls]
        assert [each.value["index"] for each in shown.calls or []] == [each.index for each in spec.calls]
        names = [shapes.wire_name(event.__name__) for event in spec.events]
        assert [each.value["name"] for each in shown.events or []] == names
        assert [each.value["name"] for each in shown.errors or []] == [each.name for each in spec.error or []]


def test_defaults_of_storage_decode_as_their_types() -> None:
    for pallet, item in storage_items():
        shown = next(each for each in PALLETS[pallet].storage if each.value["name"] == item.name)
        if shown.value["modifier"] == "Default":
            reads(shown.get_value_type_string(), unhex(shown.value["default"]))
            codec = AssayRuntime.codecs.of(item.value)
            if item.value is not None and item.name != "Events":
                assert codec.decode(unhex(shown.value["default"])) == item.item.default


def test_constants_decode_as_their_types() -> None:
    for pallet in RUNTIME.pallets:
        for constant, shown in zip(
            spec_of(type(pallet)).constants, PALLETS[pallet.name].constants, strict=True
        ):
            raw = unhex(shown.value["value"])
            reads(f"scale_info::{shown.value['type']}", raw)
            held = AssayRuntime.codecs.of(constant.annotation).decode(raw)
            assert held == getattr(pallet, constant.attribute), constant.name


CALLS = [(pallet, each) for pallet in RUNTIME.pallets for each in spec_of(type(pallet)).calls]


@pytest.mark.parametrize(
    ("pallet", "spec"), CALLS, ids=[f"{pallet.name}.{each.name}" for pallet, each in CALLS]
)
@given(data=st.data())
@settings(max_examples=3)
def test_every_call_is_read_as_it_was_written(pallet: Any, spec: Any, data: st.DataObject) -> None:
    arguments = tuple(data.draw(values(annotation)) for annotation in spec.wire_types)
    encoded = AssayRuntime.codecs.of(RuntimeCall).encode(Call(pallet.index, spec.index, arguments))
    theirs = REGISTRY.create_scale_object("Call", data=ScaleBytes(encoded), metadata=DECODED)
    theirs.decode(check_remaining=True)
    assert (theirs.value["call_module"], theirs.value["call_function"]) == (pallet.name, spec.name)
    assert [each["name"] for each in theirs.value["call_args"]] == [name for name, _ in spec.parameters]


ITEMS = [(name, item) for name, item in storage_items() if item.name != "Events"]


@pytest.mark.parametrize(("pallet", "item"), ITEMS, ids=[f"{name}.{item.name}" for name, item in ITEMS])
@given(data=st.data())
@settings(max_examples=3)
def test_every_stored_value_is_read_as_it_was_written(pallet: str, item: Any, data: st.DataObject) -> None:
    encoded = AssayRuntime.codecs.of(item.value).encode(data.draw(values(item.value)))
    shown = next(each for each in PALLETS[pallet].storage if each.value["name"] == item.name)
    reads(shown.get_value_type_string(), encoded)
    assert len(shown.get_params_type_string()) == len(item.keys)


def test_events_of_a_block_are_read_as_they_were_written() -> None:
    chain = Chain()
    block = chain.build(chain.sign(ALICE, transfer(BOB, 5)))
    raw = chain.state.entries[chain.runtime.system.events.key]
    shown = next(each for each in PALLETS["System"].storage if each.value["name"] == "Events")
    theirs = reads(shown.get_value_type_string(), raw)
    assert [each["event_id"] for each in theirs] == [type(record.event).__name__ for record in block.events]


def test_the_same_declarations_give_the_same_bytes() -> None:
    assert metadata(Chain().runtime, EXTENSIONS) == RAW
