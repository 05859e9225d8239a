"""Signatures of extrinsics and of consensus, verified with one verdict on every machine.

ed25519 follows ZIP-215, as Substrate does. ecdsa recovers the key: a high s will do, recovery ids are 0..3 or
27..30. Source: sp_runtime::MultiSignature; ZIP-215; sp_io::crypto::secp256k1_ecdsa_recover_compressed.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import ed25519_zebra
import sr25519
from coincurve import PublicKey

from runtime.primitives.hashing import blake2_256
from runtime.primitives.shapes import Fixed, Variants, variant
from runtime.primitives.types import AccountId, Signature64


@variant
class Ed25519:
    """An ed25519 signature."""

    _0: Signature64


@variant
class Sr25519:
    """An sr25519 (schnorrkel, context "substrate") signature."""

    _0: Signature64


@variant
class Ecdsa:
    """A recoverable secp256k1 signature: r, s, recovery id."""

    _0: Annotated[bytes, Fixed(65)]


ETHEREUM_RECOVERY = 27
"""What wallets of Ethereum's family add to a recovery id."""

MultiSignature = Annotated[Ed25519 | Sr25519 | Ecdsa, Variants("sp_runtime::MultiSignature")]


class Claim(NamedTuple):
    """That this signature of the message is the signer's; it is true or false on every fork alike."""

    signature: MultiSignature
    message: bytes
    signer: AccountId


Verify = Callable[[MultiSignature, bytes, AccountId], bool]
"""What says whether a claim is true: `verify`, or what remembers its verdicts."""


def verify(signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
    """Whether the signer signed exactly this message."""
    match signature:
        case Ed25519(raw):
            return verify_ed25519(raw, message, signer)
        case Sr25519(raw):
            return verify_sr25519(raw, message, signer)
        case Ecdsa(raw):
            return verify_ecdsa(raw, message, signer)


def verify_ed25519(signature: bytes, message: bytes, public: bytes) -> bool:
    """Whether an ed25519 signature is valid under ZIP-215."""
    return bool(ed25519_zebra.ed_verify(signature, message, public))


def verify_sr25519(signature: bytes, message: bytes, public: bytes) -> bool:
    """Whether an sr25519 signature is valid; malformed keys and signatures are not."""
    try:
        return bool(sr25519.verify(signature, message, public))
    except ValueError:
        return False


def verify_ecdsa(signature: bytes, message: bytes, signer: bytes) -> bool:
    """Whether the key recovered from a signature of blake2-256(message) hashes to this account."""
    recovery = signature[64] - ETHEREUM_RECOVERY if signature[64] >= ETHEREUM_RECOVERY else signature[64]
    try:
        public = PublicKey.from_signature_and_message(
            signature[:64] + bytes([recovery]), blake2_256(message), hasher=None
        )
    except ValueError:
        return False
    return ecdsa_account(public.format()) == signer


def ecdsa_account(public: bytes) -> bytes:
    """Return the account of a compressed secp256k1 key: its blake2-256."""
    return blake2_256(public)
