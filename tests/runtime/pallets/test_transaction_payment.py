"""Fees: what they are made of, who gets them, and what a tip is worth."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.base import DispatchInfo
from runtime.frame.declare import DispatchClass, Pays
from runtime.pallets.staking.types import Staked
from runtime.pallets.transaction_payment import (
    BASE_FEE,
    LENGTH_FEE,
    FeeDetails,
    InclusionFee,
    TransactionFeePaid,
)
from runtime.primitives.header import Digest
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import Weight
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, ASY, BOB, CAROL, Chain, call, transfer


def test_a_fee_is_base_length_weight_and_tip() -> None:
    payment, runtime = Chain().runtime.transaction_payment, Chain().runtime
    info = runtime.info(transfer(BOB, 1))
    details = payment.details(info, 150, 9)
    assert details == FeeDetails(InclusionFee(BASE_FEE, 150 * LENGTH_FEE, info.weight.ref_time), 9)
    assert details.total() == BASE_FEE + 150 * LENGTH_FEE + info.weight.ref_time + 9


def test_the_multiplier_scales_the_weight_only() -> None:
    runtime = Chain().runtime
    info = runtime.info(transfer(BOB, 1))
    runtime.transaction_payment.next_fee_multiplier.put(3 * 10**18)
    tripled = runtime.transaction_payment.details(info, 150, 0)
    assert tripled.inclusion_fee == InclusionFee(BASE_FEE, 150 * LENGTH_FEE, 3 * info.weight.ref_time)


def test_a_free_call_costs_its_tip() -> None:
    runtime = Chain().runtime
    info = replace(runtime.info(transfer(BOB, 1)), pays_fee=Pays.No)
    assert runtime.transaction_payment.details(info, 150, 9) == FeeDetails(None, 9)


def test_the_heaviest_call_has_a_fee_that_fits_the_wire() -> None:
    runtime = Chain().runtime
    info = replace(runtime.info(transfer(BOB, 1)), weight=Weight(2**64 - 1, 2**64 - 1))
    assert runtime.transaction_payment.details(info, 2**32 - 1, 2**100).total() < 2**128


@settings(max_examples=100)
@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1),
    st.integers(0, 2**128 - 1), st.sampled_from(Pays),
)  # fmt: skip
def test_a_fee_is_the_total_of_its_details(
    weight: int, length: int, tip: int, multiplier: int, pays: Pays
) -> None:
    payment = SHARED.runtime.transaction_payment
    payment.next_fee_multiplier.put(multiplier)
    info = DispatchInfo(Weight(weight, 0), DispatchClass.Normal, pays)
    assert payment.fee(info, length, tip) == payment.details(info, length, tip).total()


SHARED = Chain()


def test_who_changes_the_price_pays_what_was_taken() -> None:
    chain = Chain()
    price = chain.runtime.transaction_payment.next_fee_multiplier
    dearer = [(price.key, (3 * 10**18).to_bytes(16, "little"))]
    paid = chain.sign(BOB, transfer(CAROL, ASY))
    risen = chain.sign(ALICE, call("Sudo", "sudo", call("System", "set_storage", dearer)))
    fees = [chain.fee(each) for each in (paid, risen)]
    block = chain.build(paid, risen)
    found = [each.event for each in block.events if isinstance(each.event, TransactionFeePaid)]
    assert found == [
        TransactionFeePaid(key.account, fee, 0) for key, fee in zip((BOB, ALICE), fees, strict=True)
    ]
    chain.runtime.try_state()


def test_without_an_author_the_fee_is_destroyed() -> None:
    chain = Chain()
    chain.build()
    paid = chain.sign(BOB, transfer(CAROL, ASY), tip=5)
    execution = EXECUTIVE.open(chain.state, 2, chain.head.hash(), Digest([]))
    balances = execution.runtime.balances  # type: ignore[attr-defined]
    before = balances.total_issuance.get()
    execution.apply(paid)
    assert balances.total_issuance.get() == before - chain.fee(paid)
    execution.runtime.try_state()


def test_who_can_pay_the_fee_but_not_the_tip_is_refused() -> None:
    chain = Chain()
    plain = chain.sign(BOB, transfer(CAROL, 1))
    spare = chain.runtime.balances.usable(BOB.account) - chain.fee(plain)
    fits = chain.sign(BOB, transfer(CAROL, 1), tip=spare - 10**8)
    EXECUTIVE.validate(chain.state, chain.head, fits)
    over = chain.sign(BOB, transfer(CAROL, 1), tip=spare + 1)
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, over)
    assert refused.value.reason == "Payment"


def test_what_is_staked_pays_no_fee() -> None:
    chain = Chain()
    chain.build(chain.sign(ALICE, call("Staking", "bond", 9_000 * ASY, Staked())))
    chain.build(chain.sign(ALICE, call("Balances", "transfer_all", BOB.account, False)))
    staked = chain.runtime.staking.ledger[ALICE.account].total
    assert (staked, chain.free(ALICE)) == (9_000 * ASY, 9_000 * ASY)
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, chain.sign(ALICE, transfer(BOB, 1)))
    assert refused.value.reason == "Payment"
