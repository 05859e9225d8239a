"""Block headers and their digests. Source: Polkadot specification, sections 3.3.1 and 3.3.2."""

from dataclasses import replace
from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Compact, Fixed, Variants, struct, variant
from runtime.primitives.types import BlockNumber, Hash

BABE_ENGINE = b"BABE"
GRANDPA_ENGINE = b"FRNK"

MAX_LOGS = 1024
"""More than a block has to say when every authority that may be disabled is."""

EngineId = Annotated[bytes, Fixed(4)]


@variant
class Other:
    """Opaque bytes of the runtime."""

    _0: bytes


@variant
class Consensus:
    """A message from the runtime to a consensus engine."""

    _0: EngineId
    _1: bytes


@variant
class Seal:
    """The author's signature over the header without this item."""

    _0: EngineId
    _1: bytes


@variant
class PreRuntime:
    """What the consensus engine tells the runtime before the block executes."""

    _0: EngineId
    _1: bytes


@variant
class RuntimeEnvironmentUpdated:
    """The runtime changed in this block."""


DigestItem = Annotated[
    Other | Consensus | Seal | PreRuntime | RuntimeEnvironmentUpdated,
    Variants("sp_runtime::generic::digest::DigestItem", (0, 4, 5, 6, 8)),
]


@struct("sp_runtime::generic::digest::Digest")
class Digest:
    """The log of a block: PreRuntime first, Seal last."""

    logs: Annotated[list[DigestItem], Bounded(MAX_LOGS)]


@struct("sp_runtime::generic::header::Header")
class Header:
    """A block header; its hash is blake2-256 of its encoding."""

    parent_hash: Hash
    number: Compact[BlockNumber]
    state_root: Hash
    extrinsics_root: Hash
    digest: Digest

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        return HEADER.encode(self)

    def hash(self) -> Hash:
        """Return the block hash."""
        return Hash(blake2_256(HEADER.encode(self)))

    def sealed(self, seal: Seal) -> "Header":
        """Return this header with a seal as its last digest item."""
        return replace(self, digest=Digest([*self.digest.logs, seal]))

    def unsealed(self) -> tuple["Header", Seal | None]:
        """Return the header the author signed, and the seal if the last digest item is one."""
        logs = self.digest.logs
        if not logs or not isinstance(logs[-1], Seal):
            return self, None
        return replace(self, digest=Digest(logs[:-1])), logs[-1]


HEADER = codec(Header)


def decode_header(data: bytes) -> Header:
    """Decode a header.

    Raises: DecodeError.
    """
    header: Header = HEADER.decode(data)
    return header
