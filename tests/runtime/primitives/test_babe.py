"""BABE: wire layout, who authors a slot, and exact thresholds."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.babe import (
    CONSENSUS_LOG,
    PRE_DIGEST,
    V1,
    AllowedSlots,
    NextConfigData,
    NextEpochData,
    OnDisabled,
    PreDigestError,
    Primary,
    SecondaryPlain,
    SecondaryVRF,
    VrfSignature,
    is_primary,
    next_randomness,
    pre_digest_item,
    pre_digest_of,
    primary_threshold,
    secondary_author,
    vrf_input,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Digest, DigestItem, Header, PreRuntime, Seal
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import ZERO_HASH

ALICE = bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee")
ABC = [(b"a" * 32, 50), (b"b" * 32, 30), (b"c" * 32, 20)]
SIGNATURE = VrfSignature(b"\xaa" * 32, b"\xbb" * 64)

# Digest items as @polkadot/types encodes them.
DIGEST_ITEMS = [
    (SecondaryPlain(3, 1000), "0642414245340203000000e803000000000000"),
    (Primary(1, 7, SIGNATURE), "0642414245b50101010000000700000000000000" + "aa" * 32 + "bb" * 64),
    (SecondaryVRF(2, 9, SIGNATURE), "0642414245b50103020000000900000000000000" + "aa" * 32 + "bb" * 64),
]
CONSENSUS_LOGS = [
    (
        NextEpochData([(ALICE, 1)], b"\x05" * 32),
        "0104" + ALICE.hex() + "0100000000000000" + "05" * 32,
    ),
    (OnDisabled(7), "0207000000"),
    (
        NextConfigData(V1((1, 4), AllowedSlots.PrimaryAndSecondaryVRFSlots)),
        "0301" + "0100000000000000" + "0400000000000000" + "02",
    ),
]

THREE_QUARTERS_CUBE_ROOT = 309167048154849685330210764435223576460
"""ceil of the cube root of 3 * 2^382, which is 2^128 (3/4)^(1/3)"""

weights = st.lists(st.integers(1, 2**40), min_size=1, max_size=20)


def header(*logs: DigestItem) -> Header:
    return Header(ZERO_HASH, 1, ZERO_HASH, ZERO_HASH, Digest(list(logs)))


@pytest.mark.parametrize(("digest", "encoded"), DIGEST_ITEMS)
def test_pre_digest_wire_form(digest: Primary | SecondaryPlain | SecondaryVRF, encoded: str) -> None:
    item = pre_digest_item(digest)
    assert codec(DigestItem).encode(item).hex() == encoded
    assert pre_digest_of(header(item, Seal(BABE_ENGINE, bytes(64)))) == digest


@pytest.mark.parametrize(("log", "encoded"), CONSENSUS_LOGS)
def test_consensus_log_wire_form(log: NextEpochData | OnDisabled | NextConfigData, encoded: str) -> None:
    assert CONSENSUS_LOG.encode(log).hex() == encoded
    assert CONSENSUS_LOG.decode(bytes.fromhex(encoded)) == log


def test_a_hostile_list_of_authorities_does_not_decode() -> None:
    too_many = bytes([1, 0x05, 0x10]) + bytes(40 * 1025 + 32)
    with pytest.raises(DecodeError, match="1025 elements, at most 1024 are allowed"):
        CONSENSUS_LOG.decode(too_many)


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        ([], "the header has 0 BABE pre-digests instead of one"),
        ([Seal(BABE_ENGINE, bytes(64))], "the header has 0 BABE pre-digests instead of one"),
        ([PreRuntime(b"aura", bytes(8))], "the header has 0 BABE pre-digests instead of one"),
        ([pre_digest_item(SecondaryPlain(0, 1))] * 2, "the header has 2 BABE pre-digests instead of one"),
        (
            [PreRuntime(BABE_ENGINE, b"\x04" + bytes(12))],
            "the BABE pre-digest does not decode: sp_consensus_babe::digests::PreDigest has no variant 4",
        ),
        (
            [PreRuntime(BABE_ENGINE, PRE_DIGEST.encode(SecondaryPlain(0, 1)) + b"\0")],
            "the BABE pre-digest does not decode: 1 bytes are left over after the value",
        ),
    ],
)
def test_headers_without_one_good_pre_digest(logs: list[DigestItem], reason: str) -> None:
    with pytest.raises(PreDigestError) as refused:
        pre_digest_of(header(*logs))
    assert str(refused.value) == reason


@given(st.binary(min_size=80, max_size=80))
def test_a_proof_travels_as_a_vrf_signature(proof: bytes) -> None:
    signature = VrfSignature.from_proof(proof)
    assert signature.proof[-16:] == bytes(16)
    assert signature.to_proof() == proof


def test_padding_that_is_not_zero_is_no_proof() -> None:
    assert VrfSignature(bytes(32), bytes(63) + b"\1").to_proof() is None


def test_vrf_input_layout() -> None:
    assert vrf_input(b"r" * 32, 258, 3) == b"BABE" + b"r" * 32 + b"\x02\x01" + bytes(6) + b"\x03" + bytes(7)


@given(weights, st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_secondary_author_is_the_first_below_its_cumulative_weight(
    shares: list[int], randomness: bytes, slot: int
) -> None:
    drawn = int.from_bytes(blake2_256(randomness + slot.to_bytes(8, "little")), "little")
    point = drawn * sum(shares) >> 256
    expected = 0
    while point >= sum(shares[: expected + 1]):
        expected += 1
    authorities = [(bytes([index]) * 32, share) for index, share in enumerate(shares)]
    assert secondary_author(authorities, randomness, slot) == expected


def test_slots_are_shared_by_weight() -> None:
    authors = [secondary_author(ABC, b"r" * 32, slot) for slot in range(10_000)]
    assert [authors.count(index) for index in range(3)] == [5002, 2991, 2007]


def test_an_authority_without_weight_never_authors() -> None:
    authorities = [(b"a" * 32, 0), (b"b" * 32, 1), (b"c" * 32, 0)]
    assert {secondary_author(authorities, b"r" * 32, slot) for slot in range(200)} == {1}


@pytest.mark.parametrize(
    ("c", "weight", "total", "expected"),
    [
        ((0, 1), 5, 10, 0),
        ((1, 4), 0, 10, 0),
        ((1, 1), 1, 10, 2**128),
        ((1, 4), 10, 10, 2**126),
        ((3, 4), 5, 10, 2**127),
        ((1, 4), 1, 3, 2**128 - THREE_QUARTERS_CUBE_ROOT),
    ],
)
def test_primary_threshold(c: tuple[int, int], weight: int, total: int, expected: int) -> None:
    assert primary_threshold(c, weight, total) == expected


@given(st.integers(1, 20), st.integers(1, 2**63), st.integers(1, 2**63))
def test_primary_threshold_at_twice_the_precision(denominator: int, weight: int, others: int) -> None:
    with localcontext() as context:
        context.prec = 160
        losing = (1 - 1 / Decimal(denominator + 1)) ** (Decimal(weight) / (weight + others))
        assert primary_threshold((1, denominator + 1), weight, weight + others) == int((1 - losing) * 2**128)


def test_primary_threshold_ignores_the_callers_decimal_context() -> None:
    expected = primary_threshold((1, 4), 1, 3)
    with localcontext() as context:
        context.prec = 5
        assert primary_threshold((1, 4), 1, 3) == expected


def test_a_ticket_is_the_low_128_bits() -> None:
    output = (1000).to_bytes(16, "little") + b"\xff" * 48
    assert not is_primary(output, 1000)
    assert is_primary(output, 1001)


def test_next_randomness_takes_32_bytes_of_every_output_in_order() -> None:
    outputs = [b"\1" * 64, b"\2" * 64]
    expected = blake2_256(b"r" * 32 + b"\x09" + bytes(7) + b"\1" * 32 + b"\2" * 32)
    assert next_randomness(b"r" * 32, 9, outputs) == expected
    assert next_randomness(b"r" * 32, 9, outputs[::-1]) != expected
