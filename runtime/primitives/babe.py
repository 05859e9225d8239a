"""BABE: what a block says about its author, and who may author a slot.

    PreRuntime("BABE", variant | authority index u32 | slot u64 | Gamma 32 | c 16 | s 32 | 16 zero bytes)

The wire layout is BABE's; the VRF inside is ECVRF (vrf.py), since no schnorrkel VRF is at hand. Source:
Polkadot specification, chapter 5 (block production) and sp_consensus_babe::digests.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from itertools import accumulate
from typing import Annotated

from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Header, PreRuntime
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, Fixed, Variants, struct, u32, u64, variant
from runtime.primitives.types import Ed25519Public, Slot
from runtime.primitives.vrf import PROOF_SIZE

MAX_AUTHORITIES = 1024
"""A longer list does not decode."""
RANDOMNESS_SIZE = 32
"""bytes"""
SEAL_SIZE = 64
"""bytes of the signature in a seal"""

AuthorityIndex = u32
Randomness = Annotated[bytes, Fixed(RANDOMNESS_SIZE)]
WeightedAuthority = tuple[Ed25519Public, u64]
Authorities = Annotated[list[WeightedAuthority], Bounded(MAX_AUTHORITIES)]

_GAMMA_SIZE = 32
_PADDING = bytes(16)
_PRIMARY = b"\x01"
_TICKET_BITS = 128
_DIGITS = 80


class PreDigestError(ValueError):
    """The header does not say, or not once, who authored it."""


@struct("sp_core::sr25519::vrf::VrfSignature")
class VrfSignature:
    """An ECVRF proof in the room BABE has for a VRF signature."""

    pre_output: Annotated[bytes, Fixed(32)]
    proof: Annotated[bytes, Fixed(64)]

    @classmethod
    def from_proof(cls, proof: bytes) -> "VrfSignature":
        """Return the wire form of an 80-byte proof."""
        assert len(proof) == PROOF_SIZE
        return cls(proof[:_GAMMA_SIZE], proof[_GAMMA_SIZE:] + _PADDING)

    def to_proof(self) -> bytes | None:
        """Return the 80-byte proof, or None when the padding is not zero."""
        if self.proof[-len(_PADDING) :] != _PADDING:
            return None
        return self.pre_output + self.proof[: -len(_PADDING)]


@variant
class Primary:
    """The author won the slot by its VRF output."""

    authority_index: AuthorityIndex
    slot: Slot
    vrf_signature: VrfSignature


@variant
class SecondaryPlain:
    """The author's turn, without a VRF output; this chain refuses it."""

    authority_index: AuthorityIndex
    slot: Slot


@variant
class SecondaryVRF:
    """The author's turn, with a VRF output for the epoch's randomness."""

    authority_index: AuthorityIndex
    slot: Slot
    vrf_signature: VrfSignature


PreDigest = Annotated[
    Primary | SecondaryPlain | SecondaryVRF, Variants("sp_consensus_babe::digests::PreDigest", (1, 2, 3))
]


class AllowedSlots(enum.Enum):
    """Which slots an epoch has."""

    __scale_path__ = "sp_consensus_babe::AllowedSlots"

    PrimarySlots = 0
    PrimaryAndSecondaryPlainSlots = 1
    PrimaryAndSecondaryVRFSlots = 2


@variant
class NextEpochData:
    """Authorities and randomness of the next epoch; in the first block of every epoch."""

    authorities: Authorities
    randomness: Randomness


@variant
class OnDisabled:
    """An authority must not author until the epoch ends."""

    _0: AuthorityIndex


@variant
class V1:
    """c = numerator / denominator: the share of slots with a primary author."""

    c: tuple[u64, u64]
    allowed_slots: AllowedSlots


NextConfigDescriptor = Annotated[V1, Variants("sp_consensus_babe::digests::NextConfigDescriptor", (1,))]


@variant
class NextConfigData:
    """The configuration from the next epoch on."""

    _0: NextConfigDescriptor


ConsensusLog = Annotated[
    NextEpochData | OnDisabled | NextConfigData, Variants("sp_consensus_babe::ConsensusLog", (1, 2, 3))
]

PRE_DIGEST = codec(PreDigest)
CONSENSUS_LOG = codec(ConsensusLog)


@struct("sp_consensus_slots::EquivocationProof")
class EquivocationProof:
    """Two blocks that one authority sealed for one slot."""

    offender: Ed25519Public
    slot: Slot
    first_header: Header
    second_header: Header

    def is_valid(self) -> bool:
        """Say whether both seals are the accused's and the blocks differ; two seals of one block do not."""
        first, second = self.first_header, self.second_header
        if first.unsealed()[0] == second.unsealed()[0]:
            return False
        try:
            digests = pre_digest_of(first), pre_digest_of(second)
        except PreDigestError:
            return False
        return (
            all(digest.slot == self.slot for digest in digests)
            and digests[0].authority_index == digests[1].authority_index
            and all(_is_sealed_by(header, self.offender) for header in (first, second))
        )


EQUIVOCATION_PROOF = codec(EquivocationProof)


def _is_sealed_by(header: Header, public: bytes) -> bool:
    unsealed, seal = header.unsealed()
    if seal is None or seal._0 != BABE_ENGINE or len(seal._1) != SEAL_SIZE:
        return False
    return verify_ed25519(seal._1, unsealed.hash(), public)


def pre_digest_item(digest: PreDigest) -> PreRuntime:
    """Return the digest item that carries a pre-digest."""
    return PreRuntime(BABE_ENGINE, PRE_DIGEST.encode(digest))


def pre_digest_of(header: Header) -> PreDigest:
    """Return who authored a header, for which slot.

    Raises: PreDigestError when there is none, more than one, or it does not decode.
    """
    found = [
        item._1 for item in header.digest.logs if isinstance(item, PreRuntime) and item._0 == BABE_ENGINE
    ]
    if len(found) != 1:
        raise PreDigestError(f"the header has {len(found)} BABE pre-digests instead of one")
    try:
        digest: PreDigest = PRE_DIGEST.decode(found[0])
    except DecodeError as problem:
        raise PreDigestError(f"the BABE pre-digest does not decode: {problem}") from problem
    return digest


def is_primary_header(header: Header) -> bool:
    """Whether a header claims its slot by VRF output; such blocks count most in the choice of forks."""
    return any(
        isinstance(item, PreRuntime) and item._0 == BABE_ENGINE and item._1[:1] == _PRIMARY
        for item in header.digest.logs
    )


def vrf_input(randomness: bytes, slot: int, epoch: int) -> bytes:
    """Return what an author proves its VRF output for."""
    return BABE_ENGINE + randomness + slot.to_bytes(8, "little") + epoch.to_bytes(8, "little")


def secondary_author(authorities: Sequence[WeightedAuthority], randomness: bytes, slot: int) -> int:
    """Return the index of the authority whose turn a slot is, drawn by weight without modulo bias."""
    drawn = int.from_bytes(blake2_256(randomness + slot.to_bytes(8, "little")), "little")
    cumulative = list(accumulate(weight for _, weight in authorities))
    return bisect_right(cumulative, drawn * cumulative[-1] >> 256)


def primary_threshold(c: tuple[int, int], weight: int, total: int) -> int:
    """Return floor(2^128 (1 - (1 - c)^(weight / total))): tickets below it win.

    Invariant: `decimal` rounds ln and exp correctly, so every machine gets the same integer.
    """
    numerator, denominator = c
    if numerator == 0 or weight == 0:
        return 0
    if numerator == denominator:
        return 1 << _TICKET_BITS
    context = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, clamp=0)
    others = context.ln(context.divide(Decimal(denominator - numerator), Decimal(denominator)))
    share = context.divide(Decimal(weight), Decimal(total))
    losing = context.exp(context.multiply(others, share))
    winning = context.multiply(context.subtract(Decimal(1), losing), Decimal(1 << _TICKET_BITS))
    return int(winning.to_integral_value(ROUND_FLOOR, context))


def is_primary(output: bytes, threshold: int) -> bool:
    """Whether a 64-byte VRF output wins a primary slot."""
    return int.from_bytes(output[: _TICKET_BITS >> 3], "little") < threshold


def next_randomness(randomness: bytes, next_epoch: int, outputs: Iterable[bytes]) -> bytes:
    """Return the next epoch's randomness from this one's and the VRF outputs gathered, in chain order."""
    gathered = b"".join(output[:RANDOMNESS_SIZE] for output in outputs)
    return blake2_256(randomness + next_epoch.to_bytes(8, "little") + gathered)
