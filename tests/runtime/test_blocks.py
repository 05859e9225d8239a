"""What a signed extrinsic can do to a chain: fees, events, eras, nonces, nesting, overflow; determinism."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.keys.pair import KeyKind
from runtime.frame.base import Call
from runtime.frame.errors import Arithmetic, ArithmeticError_, Token, TokenError
from runtime.pallets.system import ExtrinsicFailed, ExtrinsicSuccess, NewAccount
from runtime.pallets.transaction_payment import MAX_PRIORITY, TransactionFeePaid
from runtime.pallets.utility import BatchInterrupted, ItemCompleted, derivative_account
from runtime.primitives import shapes
from runtime.primitives.crypto import Ecdsa, Ed25519, Sr25519
from runtime.primitives.era import MortalEra
from runtime.primitives.header import decode_header
from runtime.primitives.scale import DecodeError
from runtime.primitives.shapes import shape_of
from runtime.primitives.transaction import FOREVER, TransactionRejected
from runtime.primitives.types import AccountId, Address20, Address32, Hash, Id, Index, Raw, Weight
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, ASY, BOB, CAROL, DAVE, NOBODY, Chain, PairKey, call, transfer

STORED = Path(__file__).parents[1] / "vectors" / "blocks.json"


def events_of(block: Any, index: int) -> list[Any]:
    return [record.event for record in block.events if getattr(record.phase, "_0", None) == index]


def refusal(chain: Chain, encoded: bytes) -> str:
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, encoded)
    return refused.value.reason


@pytest.mark.parametrize("value", [ASY, 10**30])
def test_the_fee_is_paid_to_the_author_whether_the_call_succeeds_or_fails(value: int) -> None:
    chain = Chain()
    chain.build()
    paid = chain.sign(BOB, transfer(CAROL, value), tip=7)
    fee, before, author = chain.fee(paid), chain.free(BOB), chain.runtime.session.validator_at(0)
    assert author is not None
    earned = chain.runtime.balances.free(author)
    block = chain.build(paid)
    failed = block.errors[1] is not None
    assert failed == (value == 10**30)
    assert chain.free(BOB) == before - fee - (0 if failed else value)
    assert chain.runtime.balances.free(author) == earned + fee
    *_, receipt, last = events_of(block, 1)
    assert receipt == TransactionFeePaid(BOB.account, fee, 7)
    assert isinstance(last, ExtrinsicFailed if failed else ExtrinsicSuccess)
    chain.runtime.try_state()


def test_the_first_extrinsic_of_a_block_stamps_it_and_pays_nothing() -> None:
    chain = Chain()
    block = chain.build()
    (only,) = events_of(block, 0)
    assert isinstance(only, ExtrinsicSuccess)
    assert chain.runtime.timestamp.now.get() == chain.slot * 2_000
    assert not chain.runtime.timestamp.did_update.get()


def test_a_failed_call_leaves_no_trace_but_fee_and_nonce() -> None:
    chain = Chain()
    made = call("Utility", "batch_all", [transfer(NOBODY, ASY), transfer(CAROL, 10**30)])
    block = chain.build(chain.sign(BOB, made))
    assert [type(event).__name__ for event in events_of(block, 1)] == [
        "Withdraw", "Deposit", "TransactionFeePaid", "ExtrinsicFailed",
    ]  # fmt: skip
    assert chain.free(NOBODY) == 0
    assert chain.nonce(BOB) == 1


def test_a_batch_keeps_what_came_before_the_failure() -> None:
    chain = Chain()
    made = call("Utility", "batch", [transfer(NOBODY, ASY), transfer(CAROL, 10**30), transfer(CAROL, 1)])
    block = chain.build(chain.sign(BOB, made))
    happened = events_of(block, 1)
    assert block.errors == [None, None]
    assert NewAccount(NOBODY.account) in happened
    assert happened.count(ItemCompleted()) == 1
    assert BatchInterrupted(1, Token(TokenError.FundsUnavailable)) in happened
    assert chain.free(NOBODY) == ASY
    chain.runtime.try_state()


def test_nonces_are_used_in_order_and_once() -> None:
    chain = Chain()
    first, second = (chain.sign(ALICE, transfer(BOB, 1), nonce=nonce) for nonce in (0, 1))
    with pytest.raises(TransactionRejected) as refused:
        chain.open().apply(second)
    assert refused.value.reason == "Future"
    waiting = EXECUTIVE.validate(chain.state, chain.head, second)
    ready = EXECUTIVE.validate(chain.state, chain.head, first)
    assert (ready.requires, waiting.requires) == ([], ready.provides)
    chain.build(first, second)
    assert chain.nonce(ALICE) == 2
    assert refusal(chain, second) == "Stale"


def test_a_mortal_transaction_lives_as_long_as_it_says() -> None:
    chain = Chain()
    for _ in range(6):
        chain.build()
    era = MortalEra.at(4, chain.head.number)
    mortal = chain.sign(ALICE, transfer(BOB, 1), era=era)
    born = era.birth(chain.head.number)
    while chain.head.number + 1 < born + 4:
        left = EXECUTIVE.validate(chain.state, chain.head, mortal).longevity
        assert left == born + 4 - (chain.head.number + 1)
        chain.build()
    assert refusal(chain, mortal) == "AncientBirthBlock"
    immortal = chain.sign(ALICE, transfer(BOB, 1))
    assert EXECUTIVE.validate(chain.state, chain.head, immortal).longevity == FOREVER


@pytest.mark.parametrize("tip", [0, 1, ASY, 10**15, 9 * 10**15])
def test_a_tip_buys_priority_up_to_a_bound_that_fits_the_wire(tip: int) -> None:
    chain = Chain()
    plain = EXECUTIVE.validate(chain.state, chain.head, chain.sign(ALICE, transfer(BOB, 1)))
    tipped = EXECUTIVE.validate(chain.state, chain.head, chain.sign(ALICE, transfer(BOB, 1), tip=tip))
    assert tipped.priority == min(plain.priority * (tip + 1), MAX_PRIORITY) or tip > 63
    assert plain.priority <= tipped.priority <= MAX_PRIORITY < 1 << 62


@pytest.mark.parametrize("kind", ["ed25519", "sr25519", "ecdsa"])
@pytest.mark.parametrize("size", [1, 400])
def test_every_kind_of_key_signs_extrinsics(kind: KeyKind, size: int) -> None:
    chain, key = Chain(), PairKey("//Signer", kind)
    chain.build(chain.sign(BOB, transfer(key, 10 * ASY)))
    block = chain.build(chain.sign(key, call("System", "remark", bytes(size))))
    assert block.errors == [None, None]
    assert chain.nonce(key) == 1
    forged = chain.sign(key, call("System", "remark", b"other"), genesis=Hash(bytes(32)))
    assert refusal(chain, forged) == "BadProof"


ADDRESSES: list[tuple[Any, str | None]] = [
    (Id(BOB.account), None),
    (Address32(BOB.account), None),
    (Index(()), "CannotLookup"),
    (Raw(b"bob"), "CannotLookup"),
    (Address20(bytes(20)), "CannotLookup"),
]


@pytest.mark.parametrize(("address", "error"), ADDRESSES, ids=[type(each[0]).__name__ for each in ADDRESSES])
def test_a_destination_is_an_account_or_cannot_be_looked_up(address: Any, error: str | None) -> None:
    chain = Chain()
    made = Call(4, 3, (address, ASY))
    block = chain.build(chain.sign(ALICE, made))
    assert block.errors[1] is None if error is None else type(block.errors[1].reason).__name__ == error
    assert chain.nonce(ALICE) == 1


@pytest.mark.parametrize("signature", [Ecdsa(bytes(65)), Sr25519(b"\xff" * 64), Ed25519(bytes(64))])
def test_other_signatures_are_no_proof(signature: Any) -> None:
    chain = Chain()
    good = EXECUTIVE.format.decode(chain.sign(ALICE, transfer(BOB, 1)))
    assert good.signature is not None
    forged = EXECUTIVE.format.signed(good.call, ALICE.account, signature, good.signature.extra)
    assert refusal(chain, forged) == "BadProof"


def test_the_zero_account_signs_nothing() -> None:
    chain = Chain()
    good = EXECUTIVE.format.decode(chain.sign(ALICE, transfer(BOB, 1)))
    assert good.signature is not None
    nobody = AccountId(bytes(32))  # a key of small order: zero is its signature for every message
    forged = EXECUTIVE.format.signed(good.call, nobody, Ed25519(bytes(64)), good.signature.extra)
    assert refusal(chain, forged) in ("BadSigner", "BadProof")


def wrapped(inner: Call, depth: int, how: str) -> Call:
    for _ in range(depth):
        match how:
            case "batch":
                inner = call("Utility", "batch", [inner])
            case "batch_all":
                inner = call("Utility", "batch_all", [inner])
            case "force_batch":
                inner = call("Utility", "force_batch", [inner])
            case "as_derivative":
                inner = call("Utility", "as_derivative", 0, inner)
            case "sudo":
                inner = call("Sudo", "sudo", inner)
            case "sudo_as":
                inner = call("Sudo", "sudo_as", ALICE.account, inner)
    return inner


@pytest.mark.parametrize("how", ["batch", "batch_all", "force_batch", "as_derivative", "sudo", "sudo_as"])
def test_calls_nest_as_deep_as_they_decode(how: str) -> None:
    chain = Chain()
    deepest = wrapped(call("System", "remark", b"x"), 63, how)
    block = chain.build(chain.sign(ALICE, deepest))
    assert chain.nonce(ALICE) == 1
    assert isinstance(events_of(block, 1)[-1], ExtrinsicSuccess)
    assert refusal(chain, chain.sign(ALICE, wrapped(deepest, 1, how))) == "Call"


def test_inner_calls_weigh_at_least_their_dispatch() -> None:
    runtime = Chain().runtime
    remark = call("System", "remark", b"")
    assert runtime.info(remark).weight == Weight()
    one, many = (runtime.info(call("Utility", "batch", [remark] * size)).weight.ref_time for size in (1, 401))
    assert many - one == 400 * 25_000_000
    paid = runtime.info(call("Utility", "batch", [transfer(BOB, 1)])).weight.ref_time
    assert paid - one == runtime.info(transfer(BOB, 1)).weight.ref_time
    nested = runtime.info(call("Utility", "as_derivative", 1, call("Utility", "batch", [transfer(BOB, 1)])))
    assert nested.weight.ref_time > paid


def test_every_list_in_a_call_is_bounded() -> None:
    """Decoding is free for the sender, so what decodes is bounded where it is declared."""

    def check(annotation: Any, where: str) -> None:
        match shape_of(annotation):
            case shapes.Sequence(element, limit):
                assert limit is not None, where
                check(element, where)
            case shapes.Mapping():
                raise AssertionError(f"{where} is a map without bound")
            case shapes.Tuple(elements):
                for element in elements:
                    check(element, where)
            case shapes.Option(some):
                check(some, where)
            case shapes.Composite(_, _, fields):
                for field in fields:
                    check(field.annotation, where)
            case shapes.TaggedUnion(_, cases):
                for each in cases:
                    for field in each.fields:
                        check(field.annotation, where)

    for target in EXECUTIVE.runtime.targets.values():
        for name, annotation in target.spec.parameters:
            check(annotation, f"{target.attribute}.{target.spec.name}.{name}")


def test_calls_beyond_a_number_are_not_even_decoded() -> None:
    chain = Chain()
    inner = call("Utility", "batch", [call("Utility", "batch", [])] * 512)
    bomb = chain.sign(ALICE, call("Utility", "batch", [inner] * 512))
    with pytest.raises(DecodeError, match="nested more than 4096 times"):
        EXECUTIVE.format.read(bomb)
    assert refusal(chain, bomb) == "Call"


def test_claimed_weights_never_overflow() -> None:
    chain = Chain()
    heaviest = call(
        "Sudo", "sudo_unchecked_weight", call("System", "remark", b""), Weight(2**64 - 1, 2**64 - 1)
    )
    info = chain.runtime.info(call("Utility", "batch", [heaviest] * 9))
    assert info.weight == Weight(2**64 - 1, 2**64 - 1)


HUGE = 2**128 - 1


@pytest.mark.parametrize(
    "inner",
    [
        [call("Balances", "force_set_balance", BOB.account, HUGE)],
        [
            call("Balances", "force_set_balance", NOBODY.account, 2**127),
            call("Balances", "force_set_balance", BOB.account, 2**127),
        ],
    ],
)
def test_overflow_is_an_error_of_the_call_not_of_the_node(inner: list[Call]) -> None:
    chain, calm = Chain(), Chain()
    calm.build()
    chain.build(chain.sign(ALICE, call("Sudo", "sudo", call("Utility", "batch_all", inner))))
    sudid = next(event for event in (record.event for record in chain.runtime.system.events.get())
                 if type(event).__name__ == "Sudid")  # fmt: skip
    assert sudid.sudo_result._0 == Arithmetic(ArithmeticError_.Overflow)
    assert chain.runtime.balances.total_issuance.get() == calm.runtime.balances.total_issuance.get()
    chain.runtime.try_state()


def test_a_derivative_account_is_the_published_one_and_spends_its_own_money() -> None:
    alice = AccountId(bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"))
    assert derivative_account(alice, 0) != derivative_account(alice, 1)
    chain = Chain()
    mine = derivative_account(ALICE.account, 3)
    give = call("Balances", "transfer_allow_death", mine, 2 * ASY)
    spend = call("Utility", "as_derivative", 3, transfer(NOBODY, ASY))
    block = chain.build(chain.sign(ALICE, call("Utility", "batch_all", [give, spend])))
    assert block.errors == [None, None]
    assert (chain.runtime.balances.free(mine), chain.free(NOBODY)) == (ASY, ASY)


amounts = st.sampled_from([0, 1, 10**9 - 1, 10**9, ASY, 9_999 * ASY, 10_000 * ASY, HUGE])
keys = st.sampled_from([ALICE, BOB, CAROL, DAVE, NOBODY])
simple = st.one_of(
    st.builds(lambda key, value: call("Balances", "transfer_allow_death", key.account, value), keys, amounts),
    st.builds(transfer, keys, amounts),
    st.builds(lambda key, alive: call("Balances", "transfer_all", key.account, alive), keys, st.booleans()),
    st.builds(lambda value, alive: call("Balances", "burn", value, alive), amounts, st.booleans()),
    st.builds(lambda key, value: call("Balances", "force_set_balance", key.account, value), keys, amounts),
    st.builds(lambda value: call("Staking", "bond_extra", value), amounts),
    st.builds(lambda key: call("Sudo", "set_key", key.account), keys),
    st.just(call("System", "remark_with_event", b"hello")),
)
nested = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda each: call("Utility", "batch", each), st.lists(inner, max_size=3)),
        st.builds(lambda each: call("Utility", "batch_all", each), st.lists(inner, max_size=3)),
        st.builds(lambda each: call("Utility", "force_batch", each), st.lists(inner, max_size=3)),
        st.builds(lambda at, each: call("Utility", "as_derivative", at, each), st.integers(0, 1), inner),
        st.builds(lambda each: call("Sudo", "sudo", each), inner),
        st.builds(lambda key, each: call("Sudo", "sudo_as", key.account, each), keys, inner),
    ),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.lists(st.tuples(keys, nested), min_size=1, max_size=4))
def test_any_block_of_calls_keeps_the_books_and_executes_again(made: list[tuple[Any, Call]]) -> None:
    chain = Chain()
    execution = chain.open()
    body = execution.inherents({"timestamp": 2_000_000})
    for each in body:
        execution.apply(each)
    for key, what in made:
        encoded = chain.sign(key, what, nonce=execution.runtime.system.next_nonce(key.account))
        try:
            execution.apply(encoded)
        except TransactionRejected:
            continue
        body.append(encoded)
    executed = execution.finish()
    assert chain.execute(executed.header, body).header == executed.header
    chain.adopt(executed)
    chain.runtime.try_state()


# Twenty blocks, always the same.


def twenty_blocks() -> list[dict[str, Any]]:
    """Return the headers and bodies of a chain with transfers, batches, failures, tips and skipped epochs."""
    chain, made = Chain(), []
    for number in range(1, 21):
        payer, payee = (ALICE, BOB, CAROL)[number % 3], (BOB, DAVE, NOBODY)[number % 3]
        extrinsics = [
            chain.sign(payer, transfer(payee, number * ASY), tip=number),
            chain.sign(
                DAVE, call("Utility", "force_batch", [transfer(ALICE, 10**30), transfer(BOB, number)])
            ),
        ]
        if number % 4 == 0:
            era = MortalEra.at(8, chain.head.number)
            extrinsics.append(
                chain.sign(payer, transfer(CAROL, 10**30), era=era, nonce=chain.nonce(payer) + 1)
            )
        block = chain.build(*extrinsics, slot=chain.slot + (1, 1, 9, 1, 70)[number % 5])
        made.append(
            {"header": block.header.encode().hex(), "body": [extrinsic.hex() for extrinsic in block.body]}
        )
    return made


SCRIPT = (
    "import json; from tests.runtime.test_blocks import twenty_blocks; "
    "print(json.dumps(twenty_blocks(), indent=1))"
)
REGENERATE = f'python -c "{SCRIPT}" > tests/vectors/blocks.json'


@pytest.mark.parametrize("seed", ["1", "2"])
def test_hash_seeds_change_nothing(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        timeout=60,
    )
    stored = json.loads(STORED.read_text())
    assert json.loads(done.stdout) == stored, f"blocks differ from the stored ones; if meant: {REGENERATE}"


def test_the_stored_blocks_execute_to_their_headers() -> None:
    chain = Chain()
    for block in json.loads(STORED.read_text()):
        header, body = (
            decode_header(bytes.fromhex(block["header"])),
            [bytes.fromhex(each) for each in block["body"]],
        )
        executed = chain.execute(header, body, now_ms=10**7)
        assert executed.header == header
        chain.adopt(executed)
    assert chain.runtime.babe.epoch_index.get() > 5
    chain.runtime.try_state()
