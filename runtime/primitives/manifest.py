"""What lies under `:code`: the name of the native runtime that executes a chain's next block.

    {"metadata":"0x<64 hex>","preset":"local","spec_name":"assay","spec_version":101,"transaction_version":1}

There is one spelling: keys in this order, no spaces, at most MAX_BYTES. Substrate keeps Wasm in this place.
"""

import re
from dataclasses import dataclass
from typing import Self

from runtime.primitives.types import Hash

CODE_KEY = b":code"
MAX_BYTES = 512
_SPELLING = re.compile(
    rb'\{"metadata":"0x([0-9a-f]{64})","preset":"([a-z0-9_-]{1,64})","spec_name":"([a-z0-9-]{1,32})",'
    rb'"spec_version":(0|[1-9][0-9]{0,9}),"transaction_version":(0|[1-9][0-9]{0,9})\}'
)
_U32 = (1 << 32) - 1


class ManifestError(ValueError):
    """These bytes are no manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which runtime: its names and versions, and what tells one build of a version from another."""

    metadata: Hash  # blake2-256 of the metadata, version 14, with the constants as the code has them
    preset: str  # the chain's id
    spec_name: str
    spec_version: int
    transaction_version: int

    def encode(self) -> bytes:
        """Return the bytes that lie under `:code`."""
        return (
            f'{{"metadata":"0x{self.metadata.hex()}","preset":"{self.preset}","spec_name":"{self.spec_name}",'
            f'"spec_version":{self.spec_version},"transaction_version":{self.transaction_version}}}'
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises: ManifestError.
        """
        found = None if len(data) > MAX_BYTES else _SPELLING.fullmatch(data)
        if found is None:
            raise ManifestError(f"{len(data)} bytes are no runtime manifest, or not spelled as one")
        described, preset, spec_name, *versions = (part.decode() for part in found.groups())
        spec_version, transaction_version = (int(each) for each in versions)
        if max(spec_version, transaction_version) > _U32:
            raise ManifestError(f"version {max(spec_version, transaction_version)} has more than 32 bits")
        return cls(Hash(bytes.fromhex(described)), preset, spec_name, spec_version, transaction_version)
