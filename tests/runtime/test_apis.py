"""Runtime APIs: answers in SCALE, and input that lies."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.apis import SERVED, KeyTypeId, RuntimeDispatchInfo, answer
from runtime.frame.api import ApiNotFound, ApiTrap
from runtime.frame.base import RuntimeCall
from runtime.frame.metadata import v14, v15
from runtime.pallets.babe import BabeConfiguration, Epoch
from runtime.pallets.transaction_payment import FeeDetails
from runtime.primitives.babe import Authorities
from runtime.primitives.hashing import blake2_64
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import u32, u64, u128
from runtime.primitives.transaction import Ok, TransactionValidity, ValidTransaction
from runtime.primitives.types import Weight
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import EXECUTIVE, EXTENSIONS, VERSION, AssayRuntime
from tests.runtime.bench import ALICE, BOB, NOBODY, Chain, call, transfer

CHAIN = Chain()
CHAIN.build(CHAIN.sign(ALICE, transfer(BOB, 5)))
NAMES = [
    "Core_version", "Metadata_metadata", "Metadata_metadata_versions",
    "Metadata_metadata_at_version", "AccountNonceApi_account_nonce",
    "TransactionPaymentApi_query_info", "TransactionPaymentApi_query_fee_details",
    "TransactionPaymentApi_query_weight_to_fee", "TransactionPaymentApi_query_length_to_fee",
    "TransactionPaymentCallApi_query_call_info", "TransactionPaymentCallApi_query_call_fee_details",
    "TransactionPaymentCallApi_query_weight_to_fee",
    "TransactionPaymentCallApi_query_length_to_fee", "TaggedTransactionQueue_validate_transaction",
    "BabeApi_configuration", "BabeApi_current_epoch_start", "BabeApi_current_epoch",
    "BabeApi_next_epoch", "BabeApi_generate_key_ownership_proof", "GrandpaApi_grandpa_authorities",
    "GrandpaApi_current_set_id", "GrandpaApi_generate_key_ownership_proof",
    "SessionKeys_generate_session_keys", "SessionKeys_decode_session_keys", "SubnetApi_networks",
    "SubnetApi_metagraph", "SubnetApi_neuron", "SubnetApi_weights", "SubnetApi_registration_price",
    "SubnetApi_prune_order", "SubnetApi_pending_commits",
    "SubnetApi_emission_preview", "SubnetApi_check_call",
    "ModelUpdatesApi_proof", "ModelUpdatesApi_root", "TrainingApi_round", "TrainingApi_lineage",
]  # fmt: skip


def ask(name: str, argument: bytes = b"") -> bytes:
    return answer(CHAIN.state, CHAIN.head, name, argument)


def test_the_version_names_every_api_that_answers() -> None:
    version = codec(RuntimeVersion).decode(ask("Core_version"))
    assert version == VERSION
    assert sorted(NAMES) == sorted(f"{api.name}_{each.name}" for api in SERVED for each in api.functions)
    assert [name for name, _ in version.apis] == [blake2_64(api.name.encode()) for api in SERVED]
    numbers = [number for _, number in version.apis]
    assert dict(zip([api.name for api in SERVED], numbers, strict=True)) == {
        "Core": 5, "Metadata": 2, "TaggedTransactionQueue": 3, "AccountNonceApi": 1,
        "TransactionPaymentApi": 4, "TransactionPaymentCallApi": 3, "BabeApi": 2, "GrandpaApi": 3,
        "SessionKeys": 1, "SubnetApi": 1, "ModelUpdatesApi": 1, "TrainingApi": 1,
    }  # fmt: skip


def test_metadata_is_served_in_two_versions_and_no_other() -> None:
    older = v14.metadata(CHAIN.runtime, EXTENSIONS)
    newer = v15.metadata(CHAIN.runtime, EXTENSIONS, SERVED)
    assert codec(bytes).decode(ask("Metadata_metadata")) == older
    assert (older[:5], newer[:5]) == (b"meta\x0e", b"meta\x0f")
    assert codec(list[u32]).decode(ask("Metadata_metadata_versions")) == [14, 15]
    found = {
        version: codec(bytes | None).decode(ask("Metadata_metadata_at_version", codec(u32).encode(version)))
        for version in (0, 13, 14, 15, 16, 2**32 - 1)
    }
    assert found == {0: None, 13: None, 14: older, 15: newer, 16: None, 2**32 - 1: None}


def test_nonces_of_accounts_that_are_and_are_not() -> None:
    nonces = [
        codec(u32).decode(ask("AccountNonceApi_account_nonce", key.account)) for key in (ALICE, BOB, NOBODY)
    ]
    assert nonces == [1, 0, 0]


def test_a_fee_quote_is_what_is_paid() -> None:
    chain = Chain()
    chain.build()
    paid = chain.sign(ALICE, transfer(BOB, 5), tip=11)
    argument = paid + codec(u32).encode(len(paid))
    info = codec(RuntimeDispatchInfo).decode(
        answer(chain.state, chain.head, "TransactionPaymentApi_query_info", argument)
    )
    details = codec(FeeDetails).decode(
        answer(chain.state, chain.head, "TransactionPaymentApi_query_fee_details", argument)
    )
    before = chain.free(ALICE)
    chain.build(paid)
    assert before - chain.free(ALICE) == info.partial_fee + 11 + 5 == details.total() + 5


def test_a_call_costs_what_its_extrinsic_costs() -> None:
    pay = transfer(BOB, 5)
    extrinsic = CHAIN.sign(ALICE, pay)
    length = codec(u32).encode(len(extrinsic))
    alone = AssayRuntime.codecs.of(RuntimeCall).encode(pay)
    info = ask("TransactionPaymentCallApi_query_call_info", alone + length)
    assert info == ask("TransactionPaymentApi_query_info", extrinsic + length)
    details = ask("TransactionPaymentCallApi_query_call_fee_details", alone + length)
    assert details == ask("TransactionPaymentApi_query_fee_details", extrinsic + length)


@pytest.mark.parametrize("api", ["TransactionPaymentApi", "TransactionPaymentCallApi"])
def test_fees_are_those_of_their_parts(api: str) -> None:
    extrinsic = CHAIN.sign(ALICE, transfer(BOB, 5))
    length = codec(u32).encode(len(extrinsic))
    info = codec(RuntimeDispatchInfo).decode(ask("TransactionPaymentApi_query_info", extrinsic + length))
    details = codec(FeeDetails).decode(ask("TransactionPaymentApi_query_fee_details", extrinsic + length))
    by_length = codec(u128).decode(ask(f"{api}_query_length_to_fee", length))
    by_weight = codec(u128).decode(ask(f"{api}_query_weight_to_fee", codec(Weight).encode(info.weight)))
    multiplier = CHAIN.runtime.transaction_payment.next_fee_multiplier.get()
    assert by_length == details.inclusion_fee.len_fee
    assert by_weight * multiplier // 10**18 == details.inclusion_fee.adjusted_weight_fee


@pytest.mark.parametrize("size", [0, 1, 32, 63, 64, 65])
def test_session_keys_are_told_apart(size: int) -> None:
    encoded = bytes(range(size))
    reply = ask("SessionKeys_decode_session_keys", codec(bytes).encode(encoded))
    keys = [(encoded[:32], b"babe"), (encoded[32:], b"gran")]
    assert codec(list[tuple[bytes, KeyTypeId]] | None).decode(reply) == (keys if size == 64 else None)


def test_a_quote_for_any_claimed_weight_is_given() -> None:
    heaviest = call(
        "Sudo", "sudo_unchecked_weight", call("System", "remark", b""), Weight(2**64 - 1, 2**64 - 1)
    )
    extrinsic = CHAIN.sign(ALICE, call("Utility", "batch", [heaviest] * 3), tip=2**128 - 1)
    argument = extrinsic + codec(u32).encode(2**32 - 1)
    info = codec(RuntimeDispatchInfo).decode(ask("TransactionPaymentApi_query_info", argument))
    assert info.weight == Weight(2**64 - 1, 2**64 - 1)
    details = codec(FeeDetails).decode(ask("TransactionPaymentApi_query_fee_details", argument))
    assert details.tip == 2**128 - 1


@pytest.mark.parametrize("tip", [0, 10**15])
def test_validation_answers_with_the_place_in_the_pool(tip: int) -> None:
    encoded = CHAIN.sign(ALICE, transfer(BOB, 5), tip=tip)
    reply = ask("TaggedTransactionQueue_validate_transaction", b"\x02" + encoded + CHAIN.head.hash())
    assert reply[0] == 0
    valid = codec(ValidTransaction).decode(reply[1:])
    assert codec(TransactionValidity).decode(reply) == Ok(valid)
    assert (len(valid.provides), valid.requires, valid.propagate) == (1, [], True)


@pytest.mark.parametrize(
    ("encoded", "reply"),
    [
        (CHAIN.sign(ALICE, transfer(BOB, 5), nonce=0), "010003"),
        (CHAIN.sign(ALICE, transfer(BOB, 5), spec_version=1), "010004"),
        (CHAIN.sign(NOBODY, transfer(BOB, 5)), "010001"),
        (CHAIN.sign(ALICE, transfer(BOB, 5), nonce=5000), "010002"),
        (b"\x04\x04", "010000"),
    ],
)
def test_validation_answers_with_the_reason(encoded: bytes, reply: str) -> None:
    found = ask("TaggedTransactionQueue_validate_transaction", b"\x02" + encoded + bytes(32))
    assert found.hex() == reply


def test_consensus_is_told_what_it_needs() -> None:
    babe = CHAIN.runtime.babe
    assert codec(BabeConfiguration).decode(ask("BabeApi_configuration")) == babe.configuration()
    assert codec(Epoch).decode(ask("BabeApi_current_epoch")) == babe.current_epoch()
    assert codec(Epoch).decode(ask("BabeApi_next_epoch")) == babe.next_epoch()
    assert codec(u64).decode(ask("BabeApi_current_epoch_start")) == babe.genesis_slot.get()
    voters = codec(Authorities).decode(ask("GrandpaApi_grandpa_authorities"))
    assert voters == CHAIN.runtime.grandpa.authorities.get() != []
    assert codec(u64).decode(ask("GrandpaApi_current_set_id")) == 0


@pytest.mark.parametrize("name", ["", "Core", "Core_initialize_block", "Metadata_metadata ", "core_version"])
def test_an_api_there_is_not_is_not_found(name: str) -> None:
    with pytest.raises(ApiNotFound):
        ask(name)


@pytest.mark.parametrize("name", NAMES)
@given(argument=st.binary(min_size=1, max_size=90))
@settings(max_examples=25)
def test_noise_is_answered_or_does_not_decode(name: str, argument: bytes) -> None:
    try:
        reply: Any = ask(name, argument)
    except DecodeError:
        return
    except ApiTrap:
        assert name in ("SessionKeys_generate_session_keys", "SubnetApi_check_call")
        return
    assert isinstance(reply, bytes)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_taken_whole(name: str) -> None:
    with pytest.raises(DecodeError):
        ask(name, bytes(200))


def test_what_nobody_signs_costs_nobody_anything() -> None:
    argument = EXECUTIVE.format.bare(transfer(BOB, 5)) + codec(u32).encode(100)
    info = codec(RuntimeDispatchInfo).decode(ask("TransactionPaymentApi_query_info", argument))
    signed = codec(RuntimeDispatchInfo).decode(
        ask("TransactionPaymentApi_query_info", CHAIN.sign(ALICE, transfer(BOB, 5)) + codec(u32).encode(100))
    )
    assert info == replace(signed, partial_fee=0)
    assert signed.partial_fee > 0
    details = codec(FeeDetails).decode(ask("TransactionPaymentApi_query_fee_details", argument))
    assert details == FeeDetails(None, 0)
