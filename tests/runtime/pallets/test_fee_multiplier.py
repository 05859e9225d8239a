"""The price of weight: Substrate's own cases, an exact model in fractions, and blocks that move it."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.apis import RuntimeDispatchInfo, answer
from runtime.frame.testing import Externalities
from runtime.pallets.fee_multiplier import MAX_MULTIPLIER, MIN_MULTIPLIER, ONE, next_multiplier
from runtime.primitives.scale import codec
from runtime.primitives.types import Weight
from runtime.runtime import AssayRuntime
from tests.runtime.bench import ALICE, BOB, Chain, call, transfer

LIMIT = Weight(375 * 10**9, 3 * (5 << 20) // 4)
V = Fraction(75, 1_000_000)


def formula(previous: int, used: Weight, limit: Weight) -> Fraction:
    """Return the multiplier the published formula means, without any rounding."""
    time, proof = Fraction(used.ref_time, limit.ref_time), Fraction(used.proof_size, limit.proof_size)
    difference = max(time, proof) - Fraction(1, 4)
    return Fraction(previous, ONE) * (1 + V * difference + (V * difference) ** 2 / 2)


def stepwise(previous: int, used: Weight, limit: Weight) -> int:
    """Return the multiplier in FixedU128 steps, each rounded down on its own, from fractions."""

    def down(value: Fraction) -> Fraction:
        return Fraction(floor(value * ONE), ONE)

    time, proof = (
        Fraction(floor(Fraction(part, whole) * 10**9), 10**9)
        for part, whole in ((used.ref_time, limit.ref_time), (used.proof_size, limit.proof_size))
    )
    part, whole = (used.proof_size, limit.proof_size) if time < proof else (used.ref_time, limit.ref_time)
    target = floor(Fraction(whole, 4) + Fraction(1, 2) - Fraction(1, 1000))  # halves go down
    difference = down(Fraction(abs(part - target), whole))
    first = down(V * difference)
    second = down(down(down(V * V) / 2) * down(difference * difference))
    now = Fraction(previous, ONE)
    signed = down((first + second) * now) if part >= target else -down((first - second) * now)
    return max(MIN_MULTIPLIER, min(int((now + signed) * ONE), MAX_MULTIPLIER))


MULTIPLIERS = st.integers(MIN_MULTIPLIER, 10**30)
LIMITS = st.builds(Weight, st.integers(1, 2**63), st.integers(1, 2**63))


@given(MULTIPLIERS, LIMITS, st.fractions(0, 1), st.fractions(0, 1))
def test_each_step_rounds_down(previous: int, limit: Weight, time: Fraction, proof: Fraction) -> None:
    used = Weight(floor(limit.ref_time * time), floor(limit.proof_size * proof))
    assert next_multiplier(previous, used, limit) == stepwise(previous, used, limit)


@given(MULTIPLIERS, st.integers(0, LIMIT.ref_time), st.integers(0, LIMIT.proof_size))
def test_rounding_costs_less_than_a_millionth_of_the_change(previous: int, time: int, proof: int) -> None:
    used = Weight(time, proof)
    exact = max(formula(previous, used, LIMIT), Fraction(1, 10))
    found = Fraction(next_multiplier(previous, used, LIMIT), ONE)
    assert abs(found - exact) <= exact * Fraction(1, 10**9)


@given(MULTIPLIERS, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_fuller_never_means_cheaper(previous: int, one: int, other: int) -> None:
    less, more = sorted([one, other])
    cheap, dear = (next_multiplier(previous, Weight(each, 0), LIMIT) for each in (less, more))
    assert MIN_MULTIPLIER <= cheap <= dear <= MAX_MULTIPLIER


@pytest.mark.parametrize(
    ("previous", "used", "after"),
    [
        (ONE, Weight(), 999_981_250_175_781_250),  # 1 - v/4 + (v/4)^2/2
        (ONE, Weight(LIMIT.ref_time // 4, 0), ONE),
        (ONE, Weight(LIMIT.ref_time, 0), 1_000_056_251_582_031_250),  # 1 + 3v/4 + (3v/4)^2/2
        (ONE, Weight(0, LIMIT.proof_size), 1_000_056_251_582_031_250),
        (ONE, Weight(2**64 - 1, 0), 1_000_056_251_582_031_250),
        (MIN_MULTIPLIER, Weight(), MIN_MULTIPLIER),
        (0, Weight(), MIN_MULTIPLIER),
        (MAX_MULTIPLIER, LIMIT, MAX_MULTIPLIER),
    ],
)
def test_known_steps(previous: int, used: Weight, after: int) -> None:
    assert next_multiplier(previous, used, LIMIT) == after


def test_a_limit_of_nothing_divides_by_nothing() -> None:
    assert next_multiplier(ONE, Weight(5, 5), Weight()) == ONE


def test_empty_blocks_make_weight_cheaper_and_full_ones_dearer() -> None:
    chain = Chain()
    chain.build()
    idle = chain.runtime.transaction_payment.next_fee_multiplier.get()
    assert idle == 999_981_250_175_781_250
    limit = chain.runtime.system.block_weights.per_class.normal.max_total
    heavy = call("Utility", "batch", [call("System", "set_storage", [])] * 512)
    made = [chain.sign(ALICE, heavy, nonce=nonce) for nonce in range(2)]
    chain.build(*made)
    used = chain.runtime.system.block_weight.get().normal
    assert used.ref_time > limit.ref_time // 4
    raised = chain.runtime.transaction_payment.next_fee_multiplier.get()
    assert raised == stepwise(idle, used, limit) > idle


def test_a_wallet_is_told_the_price_of_the_next_block() -> None:
    chain = Chain()
    chain.build()
    made = chain.sign(BOB, transfer(ALICE, 1))
    argument = made + len(made).to_bytes(4, "little")
    quoted = codec(RuntimeDispatchInfo).decode(
        answer(chain.state, chain.head, "TransactionPaymentApi_query_info", argument)
    )
    before = chain.free(BOB)
    chain.build(made)
    assert before - chain.free(BOB) == quoted.partial_fee + 1
    weight = chain.runtime.info(transfer(ALICE, 1)).weight.ref_time
    details = chain.runtime.transaction_payment.details(chain.runtime.info(transfer(ALICE, 1)), 100, 0)
    assert details.inclusion_fee is not None
    assert 0 < details.inclusion_fee.adjusted_weight_fee < weight


def test_a_fee_beyond_the_wire_is_the_most_the_wire_can_say() -> None:
    ext = Externalities(AssayRuntime, genesis=Chain().config)
    ext.runtime.transaction_payment.next_fee_multiplier.put(MAX_MULTIPLIER)
    info = ext.runtime.info(
        AssayRuntime.call("Sudo", "sudo_unchecked_weight", transfer(BOB, 1), Weight(2**63))
    )
    details = ext.runtime.transaction_payment.details(info, 100, 7)
    assert details.total() == 2**128 - 1
    assert details.inclusion_fee is not None
    assert details.inclusion_fee.adjusted_weight_fee == 2**128 - 1
