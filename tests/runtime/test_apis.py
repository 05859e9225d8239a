"""Runtime APIs: answers in SCALE, and input that lies."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.apis import ApiNotFound, RuntimeDispatchInfo, answer
from runtime.frame.metadata import metadata
from runtime.pallets.babe import BabeConfiguration, Epoch
from runtime.pallets.transaction_payment import FeeDetails
from runtime.primitives.babe import Authorities
from runtime.primitives.hashing import blake2_64
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import u32, u64
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import Weight
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import APIS, EXTENSIONS, VERSION
from tests.runtime.bench import ALICE, BOB, NOBODY, Chain, call, transfer

CHAIN = Chain()
CHAIN.build(CHAIN.sign(ALICE, transfer(BOB, 5)))
NAMES = [
    "Core_version", "Metadata_metadata", "Metadata_metadata_versions", "Metadata_metadata_at_version",
    "AccountNonceApi_account_nonce", "TransactionPaymentApi_query_info",
    "TransactionPaymentApi_query_fee_details",
    "TaggedTransactionQueue_validate_transaction", "BabeApi_configuration", "BabeApi_current_epoch_start",
    "BabeApi_current_epoch", "BabeApi_next_epoch", "GrandpaApi_grandpa_authorities",
    "GrandpaApi_current_set_id",
]  # fmt: skip


def ask(name: str, argument: bytes = b"") -> bytes:
    return answer(CHAIN.state, CHAIN.head, name, argument)


def test_the_version_names_every_api_that_answers() -> None:
    version = codec(RuntimeVersion).decode(ask("Core_version"))
    assert version == VERSION
    assert {name.split("_")[0] for name in NAMES} <= set(APIS)
    assert [pair for pair in version.apis if pair[0] == blake2_64(b"Core")] == [
        (blake2_64(b"Core"), APIS["Core"])
    ]


def test_metadata_is_version_14_and_no_other() -> None:
    described = metadata(CHAIN.runtime, EXTENSIONS)
    assert codec(bytes).decode(ask("Metadata_metadata")) == described
    assert described[:5] == b"meta\x0e"
    assert codec(list[u32]).decode(ask("Metadata_metadata_versions")) == [14]
    at_version = codec(bytes | None)
    assert at_version.decode(ask("Metadata_metadata_at_version", codec(u32).encode(14))) == described
    assert at_version.decode(ask("Metadata_metadata_at_version", codec(u32).encode(15))) is None


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
@settings(max_examples=25, deadline=None)
def test_noise_is_answered_or_does_not_decode(name: str, argument: bytes) -> None:
    try:
        reply: Any = ask(name, argument)
    except DecodeError:
        return
    assert isinstance(reply, bytes)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_taken_whole(name: str) -> None:
    with pytest.raises(DecodeError):
        ask(name, bytes(200))
