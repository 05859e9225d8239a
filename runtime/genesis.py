"""From a chain specification's config to the raw state of block 0."""

from collections.abc import Mapping
from typing import Any

from runtime.apis import NATIVE
from runtime.frame.state import EmptyState, Overlay
from runtime.primitives.manifest import CODE_KEY
from runtime.runtime import AssayRuntime


def genesis_state(config: Mapping[str, Any], preset: str) -> dict[bytes, bytes]:
    """Return the raw state of block 0; `config` has a section per pallet, and "constants"."""
    overlay = Overlay(EmptyState())
    AssayRuntime.build_genesis(overlay, config)
    overlay.put(CODE_KEY, NATIVE.manifest(preset).encode())
    return {key: value for key, value in overlay.changes.items() if value is not None}
