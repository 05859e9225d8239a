"""Signatures: the verdicts consensus depends on."""

import pytest
from eth_keys.backends import NativeECCBackend
from eth_keys.datatypes import PrivateKey, Signature
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.keys.pair import Keypair
from runtime.primitives.crypto import Ecdsa, Ed25519, MultiSignature, Sr25519, verify
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import AccountId

SMALL_ORDER_POINTS = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    # encodings that are not reduced modulo p
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
SR25519_KEY = Keypair.from_suri("//Alice", "sr25519")
ED25519_KEY = Keypair.from_suri("//Alice", "ed25519")
ECDSA_KEY = Keypair.from_suri("//Alice", "ecdsa")
KINDS = {"sr25519": Sr25519, "ed25519": Ed25519, "ecdsa": Ecdsa}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""of secp256k1's group"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_verifies_for_its_message_and_signer_only(kind: str) -> None:
    alice, bob = (Keypair.from_suri(suri, kind) for suri in ("//Alice", "//Bob"))
    signature = KINDS[kind](alice.sign(b"message"))
    assert verify(signature, b"message", AccountId(alice.account))
    assert not verify(signature, b"massage", AccountId(alice.account))
    assert not verify(signature, b"message", AccountId(bob.account))


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_message_is_another_message(kind: str) -> None:
    alice = Keypair.from_suri("//Alice", kind)
    signature = KINDS[kind](alice.sign(b"<Bytes>message</Bytes>"))
    assert verify(signature, b"<Bytes>message</Bytes>", AccountId(alice.account))
    assert not verify(signature, b"message", AccountId(alice.account))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(bit=st.integers(0, 511))
def test_one_flipped_bit_is_refused(kind: str, bit: int) -> None:
    alice = Keypair.from_suri("0x" + "07" * 32, kind)
    signed = alice.sign(b"message")
    raw = int.from_bytes(signed, "little") ^ 1 << bit
    assert not verify(KINDS[kind](raw.to_bytes(len(signed), "little")), b"message", AccountId(alice.account))


@given(st.binary(min_size=64, max_size=64), st.binary(max_size=40))
def test_arbitrary_signatures_of_an_honest_key_are_refused(raw: bytes, message: bytes) -> None:
    assert not verify(Sr25519(raw), message, AccountId(SR25519_KEY.public))
    assert not verify(Ed25519(raw), message, AccountId(ED25519_KEY.public))
    for recovery in range(256):
        assert not verify(Ecdsa(raw + bytes([recovery])), message, AccountId(ECDSA_KEY.account))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_an_honest_signature_of_arbitrary_keys_is_refused(signer: bytes, message: bytes) -> None:
    assert not verify(Sr25519(SR25519_KEY.sign(message)), message, AccountId(signer))
    assert not verify(Ed25519(ED25519_KEY.sign(message)), message, AccountId(signer))
    assert not verify(Ecdsa(ECDSA_KEY.sign(message)), message, AccountId(signer))


@pytest.mark.parametrize("nonce", SMALL_ORDER_POINTS)
@pytest.mark.parametrize("signer", SMALL_ORDER_POINTS)
def test_ed25519_is_cofactored_and_takes_unreduced_points(signer: str, nonce: str) -> None:
    """Small-order points sign everything under ZIP-215 and under no other rule: all nodes must agree."""
    signature = Ed25519(bytes.fromhex(nonce) + bytes(32))
    assert verify(signature, b"Zcash", AccountId(bytes.fromhex(signer)))


def test_ed25519_refuses_an_unreduced_scalar() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    alice = Keypair.from_suri("//Alice", "ed25519")
    raw = alice.sign(b"message")
    malleable = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert not verify(Ed25519(malleable), b"message", AccountId(alice.public))


@given(secret=st.integers(1, ORDER - 1), message=st.binary(max_size=300))
@settings(max_examples=30)
def test_ecdsa_agrees_with_an_independent_library(secret: int, message: bytes) -> None:
    python = NativeECCBackend()  # the other backend is libsecp256k1, which is what we use
    theirs, ours = PrivateKey(secret.to_bytes(32), python), Keypair.from_seed(secret.to_bytes(32), "ecdsa")
    assert theirs.public_key.to_compressed_bytes() == ours.public
    signed = theirs.sign_msg_hash(blake2_256(message))
    assert verify(Ecdsa(signed.to_bytes()), message, AccountId(ours.account))
    recovered = Signature(ours.sign(message), backend=python).recover_public_key_from_msg_hash(
        blake2_256(message)
    )
    assert recovered == theirs.public_key


def test_ecdsa_takes_both_numberings_of_recovery_ids_and_no_other() -> None:
    raw = ECDSA_KEY.sign(b"message")
    takes = [
        each for each in range(256)
        if verify(Ecdsa(raw[:64] + bytes([each])), b"message", AccountId(ECDSA_KEY.account))
    ]  # fmt: skip
    assert takes == [raw[64], raw[64] + 27]


def test_ecdsa_takes_a_high_s_as_recovery_does_and_refuses_zero_and_overflow() -> None:
    raw, account = ECDSA_KEY.sign(b"message"), AccountId(ECDSA_KEY.account)
    r, s, recovery = raw[:32], int.from_bytes(raw[32:64]), raw[64]
    assert s <= ORDER // 2
    high = r + (ORDER - s).to_bytes(32) + bytes([recovery ^ 1])
    assert verify(Ecdsa(high), b"message", account)
    for broken in (
        r + (s + ORDER).to_bytes(32) if s + ORDER < 1 << 256 else r + ORDER.to_bytes(32),
        r + bytes(32),
        bytes(32) + raw[32:64],
        b"\xff" * 64,
    ):
        assert not verify(Ecdsa(broken + bytes([recovery])), b"message", account)


@pytest.mark.parametrize(
    ("signature", "encoded"),
    [
        (Ed25519(b"\x11" * 64), "00" + "11" * 64),
        (Sr25519(b"\x22" * 64), "01" + "22" * 64),
        (Ecdsa(b"\x33" * 65), "02" + "33" * 65),
    ],
)
def test_wire_form(signature: Ed25519 | Sr25519 | Ecdsa, encoded: str) -> None:
    signatures = codec(MultiSignature)
    assert signatures.encode(signature).hex() == encoded
    assert signatures.decode(bytes.fromhex(encoded)) == signature


def test_an_unknown_signature_kind_does_not_decode() -> None:
    with pytest.raises(DecodeError, match="no variant 3"):
        codec(MultiSignature).decode(bytes([3]) + bytes(64))
