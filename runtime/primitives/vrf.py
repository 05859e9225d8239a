"""ECVRF-EDWARDS25519-SHA512-TAI: a public random value that only the key's holder can compute.

    proof = Gamma (32) | c (16) | s (32)        beta = 64 bytes, the random value

Source: RFC 9381, section 5. Our rule is stricter than the RFC: Gamma and the public key lie in the
prime-order subgroup, and c and s are not zero; no honest prover is affected.
"""

from hashlib import sha512

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as SodiumRefused

PROOF_SIZE = 80
"""bytes"""
SEED_SIZE = 32
"""bytes"""

_SUITE = b"\x03"
_ENCODE, _CHALLENGE, _PROOF_TO_HASH, _END = b"\x01", b"\x02", b"\x03", b"\x00"
_CHALLENGE_SIZE = 16
_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = b"\x01" + bytes(31)
_SIGN_BIT = 1 << 255


def prove(seed: bytes, alpha: bytes) -> bytes:
    """Return the 80-byte proof of an ed25519 seed for the input alpha.

    Raises: ValueError when the seed is not 32 bytes.
    """
    if len(seed) != SEED_SIZE:
        raise ValueError(f"a VRF seed has {SEED_SIZE} bytes, not {len(seed)}")
    expanded = sha512(seed).digest()
    secret = bytes([expanded[0] & 0xF8]) + expanded[1:31] + bytes([expanded[31] & 0x3F | 0x40])
    public = crypto_scalarmult_ed25519_base_noclamp(secret)
    point = _encode_to_curve(public, alpha)
    gamma = crypto_scalarmult_ed25519_noclamp(secret, point)
    nonce = crypto_core_ed25519_scalar_reduce(sha512(expanded[32:] + point).digest())
    challenge = _challenge(
        public,
        point,
        gamma,
        crypto_scalarmult_ed25519_base_noclamp(nonce),
        crypto_scalarmult_ed25519_noclamp(nonce, point),
    )
    product = crypto_core_ed25519_scalar_mul(_scalar(challenge), secret)
    return gamma + challenge + crypto_core_ed25519_scalar_add(nonce, product)


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """Return the 64-byte random value if the proof is valid for this key and input, else None."""
    if len(proof) != PROOF_SIZE or not _is_key(public) or not _is_key(proof[:32]):
        return None
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    if not 0 < int.from_bytes(response, "little") < _ORDER or not any(challenge):
        return None
    point = _encode_to_curve(public, alpha)
    scalar = _scalar(challenge)
    left = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_base_noclamp(response), crypto_scalarmult_ed25519_noclamp(scalar, public)
    )
    right = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_noclamp(response, point), crypto_scalarmult_ed25519_noclamp(scalar, gamma)
    )
    if _challenge(public, point, gamma, left, right) != challenge:
        return None
    return proof_to_hash(proof)


def proof_to_hash(proof: bytes) -> bytes:
    """Return the random value of a proof that has been verified, or that this node made.

    Raises: ValueError when the proof does not begin with a point.
    """
    if len(proof) != PROOF_SIZE or not _is_key(proof[:32]):
        raise ValueError("the bytes are no VRF proof")
    return sha512(_SUITE + _PROOF_TO_HASH + _times_eight(proof[:32]) + _END).digest()


def _encode_to_curve(salt: bytes, alpha: bytes) -> bytes:
    """Try and increment: each attempt succeeds with probability 1/2, so 256 of them suffice."""
    for counter in range(256):
        attempt = sha512(_SUITE + _ENCODE + salt + alpha + bytes([counter]) + _END).digest()[:32]
        if not _is_canonical(attempt):
            continue
        try:
            point = _times_eight(attempt)
        except SodiumRefused:  # not on the curve
            continue
        if point != _IDENTITY:
            return point
    raise AssertionError("256 hashes in a row were no points")


def _times_eight(point: bytes) -> bytes:
    """Clear the cofactor; only additions take points outside the prime-order subgroup."""
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _challenge(*points: bytes) -> bytes:
    return sha512(_SUITE + _CHALLENGE + b"".join(points) + _END).digest()[:_CHALLENGE_SIZE]


def _scalar(challenge: bytes) -> bytes:
    return challenge + bytes(32 - _CHALLENGE_SIZE)


def _is_key(point: bytes) -> bool:
    return len(point) == 32 and _is_canonical(point) and crypto_core_ed25519_is_valid_point(point)


def _is_canonical(point: bytes) -> bool:
    """Whether y is reduced, and x = 0 comes without a sign; libsodium leaves both unchecked."""
    number = int.from_bytes(point, "little")
    height = number & ~_SIGN_BIT
    return height < _FIELD and not (height in (1, _FIELD - 1) and number >= _SIGN_BIT)
