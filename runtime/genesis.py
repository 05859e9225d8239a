"""From a chain specification's config to the raw state of block 0."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from runtime.frame.metadata.v14 import metadata
from runtime.frame.state import Overlay
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from runtime.runtime import EXTENSIONS, VERSION, AssayRuntime

CODE_KEY = b":code"
"""Where Substrate keeps the runtime; ours is native, so a manifest that names it lies here."""


class EmptyState:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        """Return nothing."""
        return None

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield nothing."""
        return iter(())

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Genesis computes its root where the trie is; nobody asks here."""
        raise AssertionError("the state before genesis has no root")


def genesis_state(config: Mapping[str, Any], preset: str) -> dict[bytes, bytes]:
    """Return the raw state of block 0; `config` has a section per pallet, and "constants"."""
    overlay = Overlay(EmptyState())
    AssayRuntime.build_genesis(overlay, config)
    described = metadata(AssayRuntime(overlay), EXTENSIONS)
    overlay.put(CODE_KEY, manifest(preset, described))
    return {key: value for key, value in overlay.changes.items() if value is not None}


def manifest(preset: str, described: bytes) -> bytes:
    """Return what lies under :code: which native runtime, and the hash of its metadata on this chain."""
    content = {
        "metadata": "0x" + blake2_256(described).hex(),
        "preset": preset,
        "spec_name": VERSION.spec_name,
        "spec_version": VERSION.spec_version,
        "transaction_version": VERSION.transaction_version,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
