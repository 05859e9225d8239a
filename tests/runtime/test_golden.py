"""What no change may move unnoticed: metadata and genesis of the shipped presets."""

import json
from pathlib import Path

import pytest

from runtime.frame.executive import genesis_header
from runtime.frame.metadata.v14 import metadata
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.primitives.hashing import blake2_256
from runtime.runtime import EXTENSIONS, AssayRuntime
from tests.runtime.bench import preset

STORED = Path(__file__).parents[1] / "vectors" / "golden.json"
PRESETS = ("dev", "local")
SCRIPT = (
    "import json; from tests.runtime.test_golden import PRESETS, found; "
    "print(json.dumps({name: found(name) for name in PRESETS}, indent=1))"
)
REGENERATE = f'python -c "{SCRIPT}" > tests/vectors/golden.json'


def found(name: str) -> dict[str, str | int]:
    """Return the hashes of a preset as the code makes them now."""
    state = MemoryState(genesis_state(preset(name), name))
    described = metadata(AssayRuntime.reading(state), EXTENSIONS)
    root = state.root({})
    return {
        "metadata_bytes": len(described),
        "metadata_blake2_256": blake2_256(described).hex(),
        "genesis_state_root": root.hex(),
        "genesis_hash": genesis_header(root).hash().hex(),
    }


@pytest.mark.parametrize("name", PRESETS)
def test_metadata_and_genesis_are_the_stored_ones(name: str) -> None:
    stored = json.loads(STORED.read_text())[name]
    moved = (
        "the interface or the genesis moved. If that is meant, raise spec_version (and transaction_version "
    )
    moved += f"when a call changed), then run: {REGENERATE}"
    assert found(name) == stored, moved


def test_two_presets_are_two_chains() -> None:
    assert found("dev")["genesis_hash"] != found("local")["genesis_hash"]
