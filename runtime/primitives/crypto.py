"""Signatures of extrinsics and of consensus, verified with one verdict on every machine.

ed25519 follows ZIP-215, as Substrate does. Source: sp_runtime::MultiSignature; ZIP-215.
"""

from typing import Annotated

import ed25519_zebra
import sr25519

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


MultiSignature = Annotated[Ed25519 | Sr25519 | Ecdsa, Variants("sp_runtime::MultiSignature")]


def verify(signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
    """Whether the signer signed exactly this message; ecdsa signatures are not accepted yet."""
    match signature:
        case Ed25519(raw):
            return verify_ed25519(raw, message, signer)
        case Sr25519(raw):
            return verify_sr25519(raw, message, signer)
        case Ecdsa(_):
            return False


def verify_ed25519(signature: bytes, message: bytes, public: bytes) -> bool:
    """Whether an ed25519 signature is valid under ZIP-215."""
    return bool(ed25519_zebra.ed_verify(signature, message, public))


def verify_sr25519(signature: bytes, message: bytes, public: bytes) -> bool:
    """Whether an sr25519 signature is valid; malformed keys and signatures are not."""
    try:
        return bool(sr25519.verify(signature, message, public))
    except ValueError:
        return False
