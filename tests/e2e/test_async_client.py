"""The real async-substrate-interface, which reads metadata V15, against a real node and our declarations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset
from substrateinterface import Keypair

from runtime.apis import SERVED
from runtime.frame.base import Call, RuntimeCall
from runtime.frame.metadata import v14, v15
from runtime.frame.pallet import spec_of
from runtime.runtime import EXTENSIONS, AssayRuntime
from tests.e2e.process import NodeProcess, printed
from tests.runtime.bench import Chain
from tests.runtime.values import values

ASI_DIRECTORY = Path(__file__).parent / "asi"
PYTHON = ASI_DIRECTORY / ".venv" / "bin" / "python"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs async-substrate-interface: make clients"),
]

RECEIVER = "//Async//client"
RUNTIME = Chain().runtime


def client(script: str, *arguments: str, given: str = "") -> dict[str, Any]:
    """Run a script where the client is installed and return what it found."""
    return printed(str(PYTHON), script, *arguments, within=ASI_DIRECTORY, given=given)


def test_a_program_works(node: NodeProcess) -> None:
    node.wait_height(2)
    bob = Keypair.create_from_uri("//Bob")
    nonce = node.rpc("system_accountNextIndex", bob.ss58_address)
    receiver = Keypair.create_from_uri(RECEIVER).ss58_address
    url = f"ws://127.0.0.1:{node.port}"
    found = client("client.py", url, bob.public_key.hex(), bob.private_key.hex(), receiver)
    heights = found.pop("follow")
    assert heights == list(range(heights[0], heights[0] + 3))
    assert found["read"].pop("accounts") > 10
    assert found["call"].pop("quoted") > 100 * found["call"]["per_byte"]
    assert found == {
        "read": {
            "metadata": "V15",
            "apis": sorted(api.name for api in SERVED),
            "same": True,
            "numbers": [0, 2],
            "calls": ["Timestamp"],
            "parent": True,
            "slot": 500,
            "hashes": [node.rpc("chain_getBlockHash", number) for number in (0, 2)],
        },
        "call": {
            "spec": "assay",
            "versions": [14, 15],
            "nonce": nonce,
            "epoch": [20, 1, 1],
            "class": "Normal",
            "per_byte": 1_000_000,
            "keys": None,
            "validity": {"Err": {"Invalid": "Call"}},
        },
        "pay": {
            "success": True,
            "estimated": True,
            "explained": True,
            "final": True,
            "received": 10**12,
            "refused": [False, "RequireSudo"],
        },
    }


Where = list[Any]


def places() -> Iterator[tuple[Where, Any]]:
    """Yield every place of the metadata that has a type, with our annotation of it."""
    for pallet in RUNTIME.pallets:
        spec = spec_of(type(pallet))
        for item in spec.storage:
            if item.name != "Events":
                yield ["storage", pallet.name, item.name], item.value
        for constant in spec.constants:
            yield ["constant", pallet.name, constant.name], constant.annotation
    for api in SERVED:
        for function in api.functions:
            for position, (_, annotation) in enumerate(function.inputs):
                yield ["input", api.name, function.name, position], annotation
            yield ["output", api.name, function.name], function.output


def samples() -> list[tuple[Where, bytes]]:
    """Return values of every place and of every call, encoded by us; the same ones every time."""
    found: list[tuple[Where, bytes]] = []
    calls = [(pallet, each) for pallet in RUNTIME.pallets for each in spec_of(type(pallet)).calls]

    @settings(max_examples=3, deadline=None, derandomize=True, database=None)
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        for where, annotation in places():
            value = data.draw(values(annotation))
            found.append((where, AssayRuntime.codecs.of(annotation).encode(value)))
        for pallet, spec in calls:
            arguments = tuple(data.draw(values(annotation)) for annotation in spec.wire_types)
            call = Call(pallet.index, spec.index, arguments)
            found.append((["call"], AssayRuntime.codecs.of(RuntimeCall).encode(call)))

    draw()
    return found


class Older:
    """Metadata V14 as scalecodec reads it."""

    def __init__(self) -> None:
        self._registry = RuntimeConfigurationObject(implements_scale_info=True)
        self._registry.update_type_registry(load_type_registry_preset("core"))
        raw = ScaleBytes(v14.metadata(RUNTIME, EXTENSIONS))
        self._metadata = self._registry.create_scale_object("MetadataVersioned", data=raw)
        self._metadata.decode(check_remaining=True)
        self._registry.add_portable_registry(self._metadata)
        self._pallets = {pallet.value["name"]: pallet for pallet in self._metadata.pallets}

    def value(self, where: Where, encoded: bytes) -> Any:
        """Decode all the bytes by the type of a place."""
        found = self._registry.create_scale_object(
            self._type_string(where), data=ScaleBytes(encoded), metadata=self._metadata
        )
        found.decode(check_remaining=True)
        return found.value

    def _type_string(self, where: Where) -> str:
        if where[0] == "call":
            return "Call"
        kind, pallet, name = where
        listed = self._pallets[pallet].storage if kind == "storage" else self._pallets[pallet].constants
        shown = next(each for each in listed if each.value["name"] == name)
        if kind == "storage":
            return str(shown.get_value_type_string())
        return f"scale_info::{shown.value['type']}"


def content(value: Any) -> Any:
    """Return a decoded value in JSON's types; without call_hash, which scalecodec takes of the outer call."""
    match value:
        case dict():
            return {name: content(each) for name, each in value.items() if name != "call_hash"}
        case list() | tuple():
            return [content(each) for each in value]
    return value


def test_values_mean_the_same_to_readers_of_both_versions() -> None:
    made, older = samples(), Older()
    raw = v15.metadata(RUNTIME, EXTENSIONS, SERVED)
    question = {"metadata": "0x" + raw.hex(), "samples": [(where, "0x" + each.hex()) for where, each in made]}
    found = client("decode.py", given=json.dumps(question))
    assert found["types"] == list(range(len(found["types"])))
    assert len(found["values"]) == len(made)
    for (where, encoded), value in zip(made, found["values"], strict=True):
        if where[0] in ("storage", "constant", "call"):
            assert content(older.value(where, encoded)) == content(value), where
