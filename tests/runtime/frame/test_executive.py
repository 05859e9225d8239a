"""Blocks: what is built executes to the same header, and what is tampered with is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.errors import Token, TokenError
from runtime.frame.executive import BlockFault, BlockRejected
from runtime.pallets.checks import MetadataHashMode
from runtime.pallets.sudo import Error as SudoError
from runtime.primitives.babe import Primary, SecondaryPlain, SecondaryVRF, VrfSignature, pre_digest_item
from runtime.primitives.era import MortalEra
from runtime.primitives.header import BABE_ENGINE, Consensus, Digest, Header, Other, PreRuntime, Seal
from runtime.primitives.scale import write_compact
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import Hash, Weight
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, ASY, BOB, CAROL, NOBODY, SLOT_MS, Chain, call, transfer

SHARED = Chain()
SHARED.build()
"""Block 1 is built; tests that share it only read."""

DRAFT, BODY, ERRORS = SHARED.draft(
    SHARED.sign(ALICE, transfer(BOB, 5 * ASY)),
    SHARED.sign(BOB, transfer(CAROL, 10**30)),
    SHARED.sign(CAROL, call("Sudo", "sudo", call("System", "remark", b"x"))),
)


def prefixed(body: bytes) -> bytes:
    out = bytearray()
    write_compact(len(body), out)
    return bytes(out) + body


def test_a_built_block_executes_to_the_same_header_and_changes() -> None:
    executed = SHARED.execute(DRAFT.header.sealed(Seal(BABE_ENGINE, bytes(64))), BODY)
    assert executed.header == DRAFT.header
    assert executed.changes == DRAFT.changes
    assert [None if error is None else error.reason for error in ERRORS] == [
        None,
        None,
        Token(TokenError.FundsUnavailable),
        SudoError.RequireSudo,
    ]


def test_executing_changes_nothing_but_the_returned_changes() -> None:
    before = dict(SHARED.state.entries)
    SHARED.execute(DRAFT.header, BODY)
    assert SHARED.state.entries == before


def logs(header: Header, *items: Any) -> Header:
    return replace(header, digest=Digest(list(items)))


def claimed(digest: Any) -> Callable[[Header], Header]:
    return lambda header: logs(header, digest, *header.digest.logs[1:])


POINTLESS = VrfSignature(b"\xff" * 32, bytes(64))
PADDED = VrfSignature(b"\x01" + bytes(31), bytes(63) + b"\x01")

TAMPERED: list[tuple[str, Callable[[Header], Header], BlockFault]] = [
    ("state root", lambda h: replace(h, state_root=Hash(bytes(32))), BlockFault.STATE_ROOT),
    ("extrinsics root", lambda h: replace(h, extrinsics_root=Hash(bytes(32))), BlockFault.EXTRINSICS_ROOT),
    ("number too high", lambda h: replace(h, number=h.number + 1), BlockFault.NUMBER),
    ("number of the parent", lambda h: replace(h, number=h.number - 1), BlockFault.NUMBER),
    ("number zero", lambda h: replace(h, number=0), BlockFault.NUMBER),
    ("largest number", lambda h: replace(h, number=2**32 - 1), BlockFault.NUMBER),
    ("another parent", lambda h: replace(h, parent_hash=Hash(b"\x01" * 32)), BlockFault.STATE_ROOT),
    ("extra item", lambda h: logs(h, *h.digest.logs, Other(b"x")), BlockFault.DIGEST),
    ("forged message", lambda h: logs(h, *h.digest.logs, Consensus(BABE_ENGINE, b"")), BlockFault.DIGEST),
    ("message before the pre-digest", lambda h: logs(h, Other(b""), *h.digest.logs), BlockFault.DIGEST),
    ("a seal inside", lambda h: logs(h, Seal(BABE_ENGINE, b""), *h.digest.logs), BlockFault.DIGEST),
    ("malformed pre-digest", claimed(PreRuntime(BABE_ENGINE, b"\x07")), BlockFault.DIGEST),
    ("empty pre-digest", claimed(PreRuntime(BABE_ENGINE, b"")), BlockFault.DIGEST),
    ("no point", claimed(pre_digest_item(SecondaryVRF(0, 1001, POINTLESS))), BlockFault.DIGEST),
    ("a padded proof", claimed(pre_digest_item(Primary(0, 1001, PADDED))), BlockFault.DIGEST),
    ("another slot", claimed(pre_digest_item(SecondaryPlain(0, 1002))), BlockFault.INHERENT),
    ("the last slot there is", claimed(pre_digest_item(SecondaryPlain(0, 2**64 - 1))), BlockFault.INHERENT),
    ("slot zero", claimed(pre_digest_item(SecondaryPlain(0, 0))), BlockFault.INHERENT),
    ("no such author", claimed(pre_digest_item(SecondaryPlain(2**32 - 1, 1001))), BlockFault.STATE_ROOT),
    ("no pre-digest", lambda h: logs(h), BlockFault.STATE_ROOT),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tamper", "fault"), [each[1:] for each in TAMPERED], ids=[each[0] for each in TAMPERED]
)
def test_a_tampered_header_is_refused(tamper: Callable[[Header], Header], fault: BlockFault) -> None:
    with pytest.raises(BlockRejected) as refused:
        SHARED.execute(tamper(DRAFT.header), BODY)
    assert refused.value.fault is fault


STAMP, PAID = BODY[0], BODY[1]
LATE = EXECUTIVE.format.bare(call("Timestamp", "set", 1001 * SLOT_MS - 1))
REMARK = EXECUTIVE.format.bare(call("System", "remark", b"free of charge"))
FREE_COMMIT = EXECUTIVE.format.bare(call("ModelUpdates", "commit", 1, 1, Hash(bytes(32))))

BODIES: list[tuple[str, list[bytes], BlockFault]] = [
    ("no timestamp", BODY[1:], BlockFault.INHERENT),
    ("nothing", [], BlockFault.INHERENT),
    ("two timestamps", [STAMP, *BODY], BlockFault.INHERENT),
    ("timestamp last", [*BODY[1:], STAMP], BlockFault.INHERENT),
    ("timestamp second", [PAID, STAMP, *BODY[2:]], BlockFault.INHERENT),
    ("a time before the slot", [LATE, *BODY[1:]], BlockFault.INHERENT),
    ("an unsigned call", [*BODY, REMARK], BlockFault.REFUSED),
    ("an unsigned call in front", [STAMP, REMARK], BlockFault.REFUSED),
    ("an unsigned call instead", [REMARK, *BODY[1:]], BlockFault.INHERENT),
    ("an unsigned free call", [STAMP, FREE_COMMIT], BlockFault.REFUSED),
    ("no bytes", [*BODY, b""], BlockFault.UNDECODABLE),
    ("noise", [*BODY, b"\xff" * 40], BlockFault.UNDECODABLE),
    ("a wrong length", [*BODY, PAID + b"\0"], BlockFault.UNDECODABLE),
    ("a cut extrinsic", [STAMP, PAID[:-1]], BlockFault.UNDECODABLE),
    ("version 5", [STAMP, prefixed(b"\x05\x00\x00\x00")], BlockFault.UNDECODABLE),
    ("an unknown pallet", [STAMP, prefixed(b"\x04\xff\x00")], BlockFault.UNDECODABLE),
    ("a replay", [*BODY, PAID], BlockFault.REFUSED),
    ("a signature of another", [STAMP, PAID.replace(ALICE.account, BOB.account)], BlockFault.REFUSED),
    ("an extrinsic missing", BODY[:-1], BlockFault.EXTRINSICS_ROOT),
    ("two swapped", [STAMP, BODY[2], BODY[1], BODY[3]], BlockFault.EXTRINSICS_ROOT),
]


@pytest.mark.parametrize(("body", "fault"), [each[1:] for each in BODIES], ids=[each[0] for each in BODIES])
def test_a_tampered_body_is_refused(body: list[bytes], fault: BlockFault) -> None:
    with pytest.raises(BlockRejected) as refused:
        SHARED.execute(DRAFT.header, body)
    assert refused.value.fault is fault


def test_a_block_from_the_future_is_refused() -> None:
    with pytest.raises(BlockRejected, match="ahead of this clock"):
        SHARED.execute(DRAFT.header, BODY, now_ms=1001 * SLOT_MS - 30_001)
    SHARED.execute(DRAFT.header, BODY, now_ms=1001 * SLOT_MS - 30_000)


@settings(max_examples=60)
@given(st.binary(max_size=120), st.integers(0, 3))
def test_noise_in_a_body_never_breaks_the_node(noise: bytes, place: int) -> None:
    body = [*BODY]
    body[place] = body[place][: len(noise)] + noise
    with pytest.raises(BlockRejected):
        SHARED.execute(DRAFT.header, body)


@settings(max_examples=150)
@given(st.data())
def test_a_transaction_with_a_flipped_bit_is_refused(data: st.DataObject) -> None:
    flipped = bytearray(PAID)
    at = data.draw(st.integers(0, len(flipped) - 1))
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TransactionRejected):
        EXECUTIVE.validate(SHARED.state, SHARED.head, bytes(flipped))


@settings(max_examples=150)
@given(st.binary(max_size=150), st.booleans())
def test_noise_as_a_transaction_is_refused(noise: bytes, announced: bool) -> None:
    encoded = prefixed(bytes([0x84]) + noise) if announced else noise
    with pytest.raises(TransactionRejected):
        EXECUTIVE.validate(SHARED.state, SHARED.head, encoded)


# Single transactions: each refusal has its reason, in the pool and in a block alike.


def both_refuse(encoded: bytes) -> tuple[str, str]:
    execution = SHARED.open()
    for inherent in execution.inherents({"timestamp": (SHARED.slot + 1) * SLOT_MS}):
        execution.apply(inherent)
    root, events = execution._overlay.root(), list(execution._overlay.events)
    with pytest.raises(TransactionRejected) as in_block:
        execution.apply(encoded)
    assert execution._overlay.root() == root
    assert execution._overlay.events == events
    with pytest.raises(TransactionRejected) as in_pool:
        EXECUTIVE.validate(SHARED.state, SHARED.head, encoded)
    return in_block.value.reason, in_pool.value.reason


PAY = transfer(BOB, ASY)
REFUSED: list[tuple[str, Callable[[], bytes], str]] = [
    ("a nonce far ahead", lambda: SHARED.sign(ALICE, PAY, nonce=1025), "Future"),
    ("the largest nonce", lambda: SHARED.sign(ALICE, PAY, nonce=2**32 - 1), "Future"),
    ("another spec version", lambda: SHARED.sign(ALICE, PAY, spec_version=99), "BadProof"),
    ("another transaction version", lambda: SHARED.sign(ALICE, PAY, transaction_version=2), "BadProof"),
    ("another chain", lambda: SHARED.sign(ALICE, PAY, genesis=Hash(b"\x01" * 32)), "BadProof"),
    ("another fork", lambda: SHARED.sign(ALICE, PAY, era=MortalEra(4, 1), born=Hash(bytes(32))), "BadProof"),
    ("born in the future", lambda: SHARED.sign(ALICE, PAY, era=MortalEra(64, 40), born=Hash(bytes(32))),
     "AncientBirthBlock"),
    ("nobody's money", lambda: SHARED.sign(NOBODY, PAY), "Payment"),
    ("a tip beyond the purse", lambda: SHARED.sign(ALICE, PAY, tip=2**128 - 1), "Payment"),
    ("a metadata hash", lambda: SHARED.sign(ALICE, PAY, mode=MetadataHashMode.Enabled), "CannotLookup"),
    ("an inherent's call", lambda: SHARED.sign(ALICE, call("Timestamp", "set", 5)), "BadMandatory"),
    ("the same from nobody", lambda: SHARED.sign(NOBODY, call("Timestamp", "set", 5)), "BadMandatory"),
    ("a weight no block has", lambda: SHARED.sign(ALICE, HEAVY), "ExhaustsResources"),
    ("a length no block has", lambda: SHARED.sign(ALICE, call("System", "remark", bytes(4 << 20))),
     "ExhaustsResources"),
    ("a free call out of turn", lambda: SHARED.sign(ALICE, COMMIT),
     "Custom"),
]  # fmt: skip
COMMIT = call("ModelUpdates", "commit", 1, 1, Hash(bytes(32)))
CLAIMED = call("System", "remark", b"")
HEAVIEST = Weight(2**64 - 1, 2**64 - 1)
HEAVY = call("Utility", "batch", [call("Sudo", "sudo_unchecked_weight", CLAIMED, HEAVIEST)] * 3)


@pytest.mark.parametrize(
    ("make", "reason"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_a_transaction_is_refused_by_its_reason(make: Callable[[], bytes], reason: str) -> None:
    in_block, in_pool = both_refuse(make())
    assert in_block == reason
    assert in_pool == ("MandatoryValidation" if reason == "BadMandatory" else reason)


def test_an_old_nonce_is_stale() -> None:
    chain = Chain()
    first = chain.sign(ALICE, PAY)
    chain.build(first)
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, first)
    assert refused.value.reason == "Stale"
    with pytest.raises(TransactionRejected) as refused:
        chain.open().apply(first)
    assert refused.value.reason == "Stale"
