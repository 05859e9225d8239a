"""The readers of other people: what each makes of our metadata and of our samples."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from tests.differential.samples import METADATA, Place, Sample

CLIENTS = Path(__file__).parents[1] / "e2e"
CYSCALE = CLIENTS / "asi" / ".venv" / "bin" / "python"
DEADLINE = 600.0
"""seconds a reader may take for a long campaign"""


def asked(command: Sequence[str], within: Path, question: dict[str, Any]) -> dict[str, Any]:
    """Ask a program in another language or environment, JSON in and JSON out."""
    done = subprocess.run(
        command, cwd=within, input=json.dumps(question), capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def question(version: int, samples: Sequence[Sample], **more: Any) -> dict[str, Any]:
    """Return what the programs are asked."""
    return {
        "metadata": "0x" + METADATA[version].hex(),
        "samples": [(each.where, "0x" + each.encoded.hex()) for each in samples],
        **more,
    }


def polkadot_js(version: int, samples: Sequence[Sample], signed: Sequence[Any] = ()) -> dict[str, Any]:
    """Return what @polkadot/types makes of samples; skips where it is not installed."""
    if shutil.which("node") is None or not (CLIENTS / "node" / "node_modules" / "@polkadot").is_dir():
        pytest.skip("needs node and @polkadot/api: make clients")
    return asked(["node", "types.js"], CLIENTS / "node", question(version, samples, signed=signed))


def cyscale(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return what cyscale makes of samples by metadata V15; skips where it is not installed."""
    if not CYSCALE.exists():
        pytest.skip("needs async-substrate-interface: make clients")
    program = Path(__file__).with_name("decode_v15.py")
    return asked([str(CYSCALE), str(program)], program.parent, question(15, samples))


WITH_MAPS = (["storage", "Staking", "ErasRewardPoints"],)
"""places of a BTreeMap; empty ones are an empty dict to scalecodec, an empty list to cyscale"""


class Scalecodec:
    """scalecodec, which py-substrate-interface uses, with metadata V14."""

    def __init__(self) -> None:
        self._registry = RuntimeConfigurationObject(implements_scale_info=True)
        self._registry.update_type_registry(load_type_registry_preset("core"))
        raw = ScaleBytes(METADATA[14])
        self._metadata = self._registry.create_scale_object("MetadataVersioned", data=raw)
        self._metadata.decode(check_remaining=True)
        self._registry.add_portable_registry(self._metadata)
        self._pallets = {pallet.value["name"]: pallet for pallet in self._metadata.pallets}
        self._types = [each.value["type"] for each in self._metadata.portable_registry["types"]]
        self.types = range(len(self._types))

    def read(self, sample: Sample) -> tuple[Any, bytes | None]:
        """Decode all the bytes of a sample; return its value, and what that encodes to.

        It does not encode the calls, events and maps that it decodes: it takes them in another form.
        """
        name = "Call" if sample.where == ["call"] else f"scale_info::{self.type_of(sample.where)}"
        found = self._registry.create_scale_object(
            name, data=ScaleBytes(sample.encoded), metadata=self._metadata
        )
        found.decode(check_remaining=True)
        if sample.where[0] in ("call", "events") or sample.where in WITH_MAPS:
            return found.value, None
        again = self._registry.create_scale_object(name, metadata=self._metadata)
        return found.value, bytes(again.encode(found.value).data)

    def type_of(self, where: Place) -> int:
        """Return the id of a place's type."""
        match where:
            case ["call"]:
                return next(each for each in self.types if self.path(each)[-1:] == ["RuntimeCall"])
            case ["events"]:
                return self.type_of(["storage", "System", "Events"])
            case ["constant", pallet, name]:
                return int(self._named(self._pallets[pallet].constants, name)["type"])
            case ["storage" | "key" as kind, pallet, name]:
                shown = self._named(self._pallets[pallet].storage, name)["type"]
                if "Plain" in shown:
                    return int(shown["Plain"])
                return int(shown["Map"][kind.replace("storage", "value")])
        raise KeyError(where)

    def path(self, number: int) -> list[str]:
        """Return the path of a type."""
        return list(self._types[number]["path"])

    def definition(self, number: int) -> dict[str, Any]:
        """Return what a type is made of."""
        return dict(self._types[number]["def"])

    @staticmethod
    def _named(listed: Sequence[Any], name: str) -> Any:
        return next(each.value for each in listed if each.value["name"] == name)
