"""Decode samples with cyscale, the codecs of async-substrate-interface, by metadata V15; prints values.

stdin: {"metadata": hex, "samples": [[place, hex], ...]}, places as in tests/differential/samples.py.
"""

import json
import sys
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset


def find(listed: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the one of that name."""
    return next(each for each in listed if each["name"] == name)


def type_of(metadata: dict[str, Any], where: list[Any]) -> int:
    """Return the type id of a place."""
    match where:
        case ["storage" | "key" as kind, pallet, item]:
            entry = find(find(metadata["pallets"], pallet)["storage"]["entries"], item)["type"]
            found = entry["Plain"] if "Plain" in entry else entry["Map"]["key" if kind == "key" else "value"]
        case ["events"]:
            return type_of(metadata, ["storage", "System", "Events"])
        case ["constant", pallet, name]:
            found = find(find(metadata["pallets"], pallet)["constants"], name)["type"]
        case ["input", api, function, position]:
            found = find(find(metadata["apis"], api)["methods"], function)["inputs"][position]["ty"]
        case ["output", api, function]:
            found = find(find(metadata["apis"], api)["methods"], function)["output"]
        case ["call"]:
            found = metadata["extrinsic"]["call_ty"]
    return int(found)


def main(metadata: str, samples: list[tuple[list[Any], str]]) -> dict[str, Any]:
    """Decode every sample, all of its bytes."""
    registry = RuntimeConfigurationObject(implements_scale_info=True)
    registry.update_type_registry(load_type_registry_preset("core"))
    described = registry.create_scale_object("MetadataVersioned", data=ScaleBytes(metadata))
    described.decode(check_remaining=True)
    registry.add_portable_registry(described)
    content = described.get_metadata().value_object[1].value
    types = content["types"]["types"]
    for each in types:
        registry.create_scale_object(f"scale_info::{each['id']}")
    values = []
    for where, encoded in samples:
        found = registry.create_scale_object(
            f"scale_info::{type_of(content, where)}", data=ScaleBytes(encoded), metadata=described
        )
        found.decode(check_remaining=True)
        values.append(found.value)
    return {"types": [each["id"] for each in types], "values": values}


if __name__ == "__main__":
    print(json.dumps(main(**json.load(sys.stdin))))
