"""Metadata V15 read with scalecodec, which has no V15 of its own: the layout below is frame-metadata's."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.apis import SERVED
from runtime.frame.api import ApiSpec, FunctionSpec
from runtime.frame.metadata import v14, v15
from runtime.frame.pallet import spec_of
from runtime.runtime import EXTENSIONS, AssayRuntime
from tests.runtime.bench import Chain
from tests.runtime.values import values

LAYOUT = {
    "PalletMetadataV15": [
        ("name", "Text"), ("storage", "Option<StorageMetadataV14>"),
        ("calls", "Option<PalletCallMetadataV14>"), ("event", "Option<PalletEventMetadataV14>"),
        ("constants", "Vec<PalletConstantMetadataV14>"), ("error", "Option<PalletErrorMetadataV14>"),
        ("index", "u8"), ("docs", "Vec<Text>"),
    ],
    "ExtrinsicMetadataV15": [
        ("version", "u8"), ("address_ty", "SiLookupTypeId"), ("call_ty", "SiLookupTypeId"),
        ("signature_ty", "SiLookupTypeId"), ("extra_ty", "SiLookupTypeId"),
        ("signed_extensions", "Vec<SignedExtensionMetadataV14>"),
    ],
    "InputV15": [("name", "Text"), ("ty", "SiLookupTypeId")],
    "MethodV15": [
        ("name", "Text"), ("inputs", "Vec<InputV15>"), ("output", "SiLookupTypeId"), ("docs", "Vec<Text>"),
    ],
    "RuntimeApiV15": [("name", "Text"), ("methods", "Vec<MethodV15>"), ("docs", "Vec<Text>")],
    "OuterEnumsV15": [
        ("call", "SiLookupTypeId"), ("event", "SiLookupTypeId"), ("error", "SiLookupTypeId"),
    ],
    "CustomV15": [("type", "SiLookupTypeId"), ("value", "Bytes")],
    "RuntimeMetadataV15": [
        ("magic", "[u8; 4]"), ("number", "u8"), ("types", "PortableRegistry"),
        ("pallets", "Vec<PalletMetadataV15>"), ("extrinsic", "ExtrinsicMetadataV15"),
        ("runtime_type", "SiLookupTypeId"), ("apis", "Vec<RuntimeApiV15>"), ("outer_enums", "OuterEnumsV15"),
        ("custom", "BTreeMap<Text, CustomV15>"),
    ],
}  # fmt: skip

RUNTIME = Chain().runtime
RAW = v15.metadata(RUNTIME, EXTENSIONS, SERVED)


class Described:
    """V15 metadata as scalecodec reads it."""

    def __init__(self, raw: bytes) -> None:
        self.registry = RuntimeConfigurationObject(implements_scale_info=True)
        self.registry.update_type_registry(load_type_registry_preset("core"))
        structs = {name: {"type": "struct", "type_mapping": fields} for name, fields in LAYOUT.items()}
        self.registry.update_type_registry({"types": structs})
        found = self.registry.create_scale_object("RuntimeMetadataV15", data=ScaleBytes(raw))
        found.decode(check_remaining=True)
        self.value: dict[str, Any] = found.value
        self.types = self.value["types"]["types"]
        listed = found.value_object["types"].value_object["types"].value_object
        self.registry.update_from_scale_info_types(listed, prefix="scale_info")

    def path(self, type_id: int) -> str:
        """Return the path of a type."""
        return "::".join(self.types[type_id]["type"]["path"])

    def reads(self, type_id: int, encoded: bytes) -> Any:
        """Decode all the bytes as a type; scalecodec finds the names of calls in V14 only."""
        found = self.registry.create_scale_object(
            f"scale_info::{type_id}", data=ScaleBytes(encoded), metadata=OLDER
        )
        found.decode(check_remaining=True)
        return found.value


DESCRIBED = Described(RAW)
OLDER = DESCRIBED.registry.create_scale_object(
    "MetadataVersioned", data=ScaleBytes(v14.metadata(RUNTIME, EXTENSIONS))
)
OLDER.decode(check_remaining=True)
FUNCTIONS = [(api, function) for api in SERVED for function in api.functions]
NAMES = [f"{api.name}_{function.name}" for api, function in FUNCTIONS]


def shown(api: ApiSpec, function: FunctionSpec) -> dict[str, Any]:
    """Return what the metadata says of a function."""
    listed = next(each for each in DESCRIBED.value["apis"] if each["name"] == api.name)
    found: dict[str, Any] = next(each for each in listed["methods"] if each["name"] == function.name)
    return found


def test_it_is_the_fifteenth_and_nothing_follows() -> None:
    assert RAW[:5] == b"meta\x0f"
    assert DESCRIBED.value["custom"] == []
    assert v15.metadata(Chain().runtime, EXTENSIONS, SERVED) == RAW


def test_type_ids_count_from_zero_and_every_type_is_known() -> None:
    assert [each["id"] for each in DESCRIBED.types] == list(range(len(DESCRIBED.types)))
    for number in range(len(DESCRIBED.types)):
        assert DESCRIBED.registry.create_scale_object(f"scale_info::{number}") is not None


def test_a_path_with_its_parameters_means_one_type() -> None:
    named = [
        (DESCRIBED.path(each["id"]), str(each["type"]["params"]))
        for each in DESCRIBED.types
        if DESCRIBED.path(each["id"])
    ]
    assert len(named) == len(set(named))


def test_pallets_are_those_of_version_14_with_their_documentation() -> None:
    newer = [dict(each) for each in DESCRIBED.value["pallets"]]
    docs = [each.pop("docs") for each in newer]
    assert newer == [each.value for each in OLDER.pallets]
    assert docs == [spec_of(type(pallet)).docs.splitlines() for pallet in RUNTIME.pallets]
    assert all(docs)
    extensions = DESCRIBED.value["extrinsic"]["signed_extensions"]
    assert [each["identifier"] for each in extensions] == [each.name for each in EXTENSIONS]


def test_the_extrinsic_says_its_parts() -> None:
    extrinsic = DESCRIBED.value["extrinsic"]
    assert extrinsic["version"] == 4
    assert DESCRIBED.path(extrinsic["address_ty"]) == "sp_runtime::multiaddress::MultiAddress"
    assert DESCRIBED.path(extrinsic["call_ty"]) == "assay_runtime::RuntimeCall"
    assert DESCRIBED.path(extrinsic["signature_ty"]) == "sp_runtime::MultiSignature"
    extra = DESCRIBED.types[extrinsic["extra_ty"]]["type"]["def"]["tuple"]
    assert extra == [each["ty"] for each in extrinsic["signed_extensions"]]
    whole = next(
        each["type"] for each in DESCRIBED.types if each["type"]["path"][-1:] == ["UncheckedExtrinsic"]
    )
    parts = ("address_ty", "call_ty", "signature_ty", "extra_ty")
    assert [each["type"] for each in whole["params"]] == [extrinsic[part] for part in parts]
    assert [each["name"] for each in whole["params"]] == ["Address", "Call", "Signature", "Extra"]


def test_outer_enums_are_named() -> None:
    paths = {kind: DESCRIBED.path(type_id) for kind, type_id in DESCRIBED.value["outer_enums"].items()}
    assert paths == {
        "call": "assay_runtime::RuntimeCall",
        "event": "assay_runtime::RuntimeEvent",
        "error": "assay_runtime::RuntimeError",
    }
    assert DESCRIBED.path(DESCRIBED.value["runtime_type"]) == "assay_runtime::Runtime"


def test_every_function_is_listed_with_its_arguments_and_documentation() -> None:
    for api, listed in zip(SERVED, DESCRIBED.value["apis"], strict=True):
        assert (listed["name"], listed["docs"]) == (api.name, api.docs.splitlines())
        assert [each["name"] for each in listed["methods"]] == [each.name for each in api.functions]
    for api, function in FUNCTIONS:
        found = shown(api, function)
        assert [each["name"] for each in found["inputs"]] == [name for name, _ in function.inputs]
        assert found["docs"] == function.docs.splitlines() != []


def test_types_of_functions_have_the_paths_clients_know() -> None:
    functions = dict(zip(NAMES, FUNCTIONS, strict=True))

    def paths(name: str) -> list[str]:
        found = shown(*functions[name])
        return [DESCRIBED.path(each) for each in (*(each["ty"] for each in found["inputs"]), found["output"])]

    extrinsic = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"
    source = "sp_runtime::transaction_validity::TransactionSource"
    assert paths("Core_version") == ["sp_version::RuntimeVersion"]
    assert paths("Metadata_metadata") == ["sp_core::OpaqueMetadata"]
    validation = [source, extrinsic, "primitive_types::H256", "Result"]
    assert paths("TaggedTransactionQueue_validate_transaction") == validation
    assert paths("AccountNonceApi_account_nonce") == ["sp_core::crypto::AccountId32", ""]
    payment = "pallet_transaction_payment::types"
    assert paths("TransactionPaymentApi_query_info") == [extrinsic, "", f"{payment}::RuntimeDispatchInfo"]
    assert paths("TransactionPaymentCallApi_query_call_fee_details") == [
        "assay_runtime::RuntimeCall", "", f"{payment}::FeeDetails",
    ]  # fmt: skip
    assert paths("BabeApi_configuration") == ["sp_consensus_babe::BabeConfiguration"]
    assert "sp_core::crypto::KeyTypeId" in {DESCRIBED.path(each["id"]) for each in DESCRIBED.types}


@pytest.mark.parametrize(("api", "function"), FUNCTIONS, ids=NAMES)
@given(data=st.data())
@settings(max_examples=5)
def test_arguments_and_results_are_read_as_they_were_written(
    api: ApiSpec, function: FunctionSpec, data: st.DataObject
) -> None:
    found = shown(api, function)
    ids = [*(each["ty"] for each in found["inputs"]), found["output"]]
    annotations = [*(annotation for _, annotation in function.inputs), function.output]
    for type_id, annotation in zip(ids, annotations, strict=True):
        value = data.draw(values(annotation))
        DESCRIBED.reads(type_id, AssayRuntime.codecs.of(annotation).encode(value))
