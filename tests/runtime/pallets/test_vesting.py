"""Vesting: what miners earn becomes theirs round by round; a slash burns the bond and what has not vested."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.incentive.messages import EmissionPaid, EmissionVested
from runtime.pallets.incentive.vesting import Vesting, cut, grant, joined, opened, outstanding, settle
from runtime.pallets.neurons.messages import Error, NeuronDeregistered, NeuronSlashed
from runtime.pallets.subnets.numbers import PPM
from tests.runtime.pallets.market import (
    ALICE,
    ASY,
    CAROL,
    DAVE,
    HOT_CAROL,
    HOT_DAVE,
    HOT_EVE,
    INFERENCE,
    NUMBERS,
    TRAINING,
    genesis,
    market,
)

ROUNDS = 4
EPOCH, TEMPO = 19, 20
MINER, SEATED = 2, 1
"""Carol's uid, and the block it was taken in."""
BOND = 500 * ASY
RICH = 10**30
amounts = st.integers(0, 10**20)
grants = st.lists(st.tuples(st.integers(0, 5), amounts, st.integers(1, 9)), max_size=8)


@settings(max_examples=40)
@given(grants=grants, parts=st.integers(0, PPM))
def test_every_grant_is_paid_in_full_and_never_faster_than_a_line(
    grants: list[tuple[int, int, int]], parts: int
) -> None:
    vesting, now, paid = opened(0), 0, 0
    lines = []
    for pause, amount, rounds in grants:
        now += pause
        vesting, vested = settle(vesting, now)
        vesting, held = grant(vesting, amount, rounds)
        assert amount - rounds < held <= amount
        paid += vested
        lines.append((now, held, rounds))
        line = sum(Fraction(total * min(now - since, over), over) for since, total, over in lines)
        assert paid == line
        assert outstanding(vesting) == sum(total for _, total, _ in lines) - paid
        left = cut(vesting, parts, PPM)
        assert outstanding(left) <= outstanding(vesting) * (PPM - parts) // PPM
        assert outstanding(left) == outstanding(vesting) or parts
    settled, rest = settle(vesting, now + 9)
    assert (settled.rates, rest) == ([], outstanding(vesting))


@settings(max_examples=40)
@given(one=grants, other=grants)
def test_two_schedules_are_paid_as_one(one: list[tuple[int, int, int]], other: list[tuple[int, int, int]]):
    def filled(listed: list[tuple[int, int, int]]) -> Vesting:
        vesting = opened(7)
        for _, amount, rounds in listed:
            vesting, _ = grant(vesting, amount, rounds)
        return vesting

    both = joined(filled(one), filled(other))
    for round in (7, 9, 12, 16):
        assert settle(both, round)[1] == settle(filled(one), round)[1] + settle(filled(other), round)[1]


def vesting_market(uid_bond: int = BOND, **constants: Any) -> Externalities:
    """Return a market in which Carol mines as uid 2, judged in every block; Dave has a seat, too."""
    config = genesis()
    for section in config["subnets"].values():
        section["hyperparameters"] = NUMBERS | {"vesting_rounds": ROUNDS, "uid_bond": uid_bond}
    ext = market(**config, constants=constants)
    for netuid in (TRAINING, INFERENCE):
        for coldkey, hotkey in ((CAROL, HOT_CAROL), (DAVE, HOT_DAVE)):
            assert_ok(ext, coldkey, "Neurons", "burned_register", netuid, hotkey, RICH)
    return ext


def run(ext: Externalities, block: int, rounds: int = 0) -> list[Any]:
    """Go on to a block, the judges judging, with so many rounds over; return the block's events."""
    for _ in range(rounds):
        ext.runtime.incentive.end_round(TRAINING)
    while ext.number < block:
        for netuid in (TRAINING, INFERENCE):
            for judge in (0, 1):
                ext.runtime.weights.put_row(netuid, judge, [(MINER, 1)], ext.number)
        ext.run_to_block(ext.number + 1)
        ext.runtime.try_state()
    return ext.new_events()


def paid(events: list[Any], uid: int) -> EmissionPaid:
    """Return what a uid of the training subnet was paid."""
    return next(e for e in events if isinstance(e, EmissionPaid) and (e.netuid, e.uid) == (TRAINING, uid))


def test_a_miner_gets_what_it_earned_over_the_rounds_that_follow():
    ext = vesting_market()
    run(ext, EPOCH - 1)
    free = ext.runtime.balances.free(CAROL)
    events = run(ext, EPOCH)
    earned = paid(events, MINER)
    assert (earned.vesting, earned.nominators) == (earned.incentive // ROUNDS * ROUNDS, 0)
    assert paid(events, 0).vesting == 0  # judges are paid at once
    rate = earned.incentive // ROUNDS
    assert ext.runtime.incentive.emission_of(TRAINING, MINER) == earned.incentive
    assert ext.runtime.incentive.vesting_of(TRAINING, MINER) == earned.vesting
    assert ext.runtime.balances.free(CAROL) == free + earned.incentive % ROUNDS
    second = paid(run(ext, EPOCH + TEMPO, rounds=3), MINER).incentive
    assert EmissionVested(TRAINING, CAROL, 3 * rate) in ext.new_events()
    assert ext.runtime.incentive.vesting_of(TRAINING, MINER) == rate + second // ROUNDS * ROUNDS
    run(ext, EPOCH + 2 * TEMPO, rounds=9)
    assert EmissionVested(TRAINING, CAROL, rate + second // ROUNDS * ROUNDS) in ext.new_events()


def test_what_vests_for_an_account_that_is_gone_goes_back_to_the_subnet():
    ext = vesting_market(uid_bond=0, Incentive={"BlockReward": 1000})
    held = paid(run(ext, EPOCH), MINER).vesting
    assert_ok(ext, CAROL, "Balances", "transfer_all", ALICE, False)
    assert held == ext.runtime.incentive.vesting_of(TRAINING, MINER) > 0 == ext.runtime.balances.free(CAROL)
    for _ in range(ROUNDS):
        ext.runtime.incentive.end_round(TRAINING)
    assert_ok(ext, CAROL, "Neurons", "deregister", TRAINING, HOT_CAROL)
    assert ext.runtime.incentive.carried_over[TRAINING] == held
    assert ext.runtime.balances.free(CAROL) == 0
    ext.runtime.try_state()


def test_nothing_vests_where_there_are_no_rounds():
    ext = vesting_market()
    run(ext, EPOCH)
    assert list(ext.runtime.incentive.vesting.under(INFERENCE)) == []
    assert ext.runtime.incentive.paid.get() > 0


def test_without_rounds_nothing_vests_further():
    ext = vesting_market()
    first = paid(run(ext, EPOCH), MINER).vesting
    second = paid(run(ext, EPOCH + TEMPO), MINER).vesting
    assert ext.runtime.incentive.vesting_of(TRAINING, MINER) == first + second
    assert not any(isinstance(event, EmissionVested) for event in ext.new_events())


def test_who_leaves_goes_on_being_paid_and_the_next_holder_is_not():
    ext = vesting_market()
    earned = paid(run(ext, EPOCH), MINER)
    rate = earned.incentive // ROUNDS
    ext.runtime.incentive.end_round(TRAINING)
    before = ext.runtime.balances.free(CAROL)
    assert_ok(ext, CAROL, "Neurons", "deregister", TRAINING, HOT_CAROL)
    assert EmissionVested(TRAINING, CAROL, rate) in ext.new_events()
    assert ext.runtime.balances.free(CAROL) == before + BOND + rate
    assert_ok(ext, ALICE, "Neurons", "burned_register", TRAINING, HOT_EVE, RICH)
    assert ext.runtime.neurons.uid_of(TRAINING, HOT_EVE) == MINER
    assert ext.runtime.incentive.vesting_of(TRAINING, MINER) == 0
    run(ext, EPOCH + TEMPO, rounds=ROUNDS)
    assert EmissionVested(TRAINING, CAROL, 3 * rate) in ext.new_events()
    assert list(ext.runtime.incentive.vesting_of_former.items()) == []


def test_who_gives_up_two_uids_goes_on_being_paid_for_both():
    ext = vesting_market()
    assert_ok(ext, DAVE, "Neurons", "deregister", TRAINING, HOT_DAVE)
    assert_ok(ext, CAROL, "Neurons", "burned_register", TRAINING, HOT_EVE, RICH)
    ext.run_to_block(EPOCH - 1)
    for judge in (0, 1):
        ext.runtime.weights.put_row(TRAINING, judge, [(MINER, 3), (3, 1)], EPOCH - 1)
    ext.run_to_block(EPOCH)
    earned = [paid(ext.new_events(), uid).vesting for uid in (MINER, 3)]
    assert min(earned) > 0
    for hotkey in (HOT_CAROL, HOT_EVE):
        assert_ok(ext, CAROL, "Neurons", "deregister", TRAINING, hotkey)
    for _ in range(ROUNDS):
        ext.runtime.incentive.end_round(TRAINING)
    ext.run_to_block(EPOCH + TEMPO)
    assert EmissionVested(TRAINING, CAROL, sum(earned)) in ext.new_events()
    assert list(ext.runtime.incentive.vesting_of_former.items()) == []


@pytest.mark.parametrize("part", [1, 333_333, PPM - 1])
def test_a_slash_burns_a_part_of_the_bond_and_of_what_has_not_vested(part: int):
    ext = vesting_market()
    run(ext, EPOCH)
    incentive, balances = ext.runtime.incentive, ext.runtime.balances
    incentive.end_round(TRAINING)
    held = incentive.vesting_of(TRAINING, MINER)
    issued, free = balances.total_issuance.get(), balances.free(CAROL)
    burnt = ext.runtime.neurons.slash(TRAINING, MINER, SEATED, part)
    bond, unvested = -(-BOND * part // PPM), held * 3 // 4
    assert 0 <= burnt - bond - unvested * part // PPM <= ROUNDS
    assert balances.total_issuance.get() == issued - burnt
    assert balances.free(CAROL) == free + held // 4  # what had vested was hers
    assert incentive.vesting_of(TRAINING, MINER) == unvested - (burnt - bond)
    assert ext.runtime.neurons.neuron(TRAINING, MINER).bond == BOND - bond
    assert ext.new_events()[-1] == NeuronSlashed(TRAINING, MINER, HOT_CAROL, CAROL, bond, burnt - bond)
    ext.runtime.try_state()
    run(ext, EPOCH + TEMPO, rounds=ROUNDS)


def test_who_has_lost_its_whole_bond_has_lost_its_seat():
    ext = vesting_market()
    run(ext, EPOCH)
    ext.runtime.neurons.hold(TRAINING, MINER, SEATED)
    held = ext.runtime.incentive.vesting_of(TRAINING, MINER)
    assert ext.runtime.neurons.slash(TRAINING, MINER, SEATED, PPM) == BOND + held > BOND
    assert ext.runtime.neurons.neuron(TRAINING, MINER) is None
    assert NeuronDeregistered(TRAINING, MINER, HOT_CAROL, CAROL, 0) in ext.new_events()
    assert ext.runtime.balances.reserved(CAROL) == BOND  # that of the other subnet
    ext.runtime.try_state()


def test_nobody_leaves_while_its_work_is_judged():
    ext = vesting_market()
    neurons = ext.runtime.neurons
    neurons.hold(TRAINING, MINER, SEATED)
    neurons.hold(TRAINING, MINER, SEATED)
    leave = ("Neurons", "deregister", TRAINING, HOT_CAROL)
    assert_noop(ext, CAROL, *leave, error=Error.UnderAudit)
    assert_ok(ext, CAROL, "Neurons", "swap_hotkey", TRAINING, HOT_CAROL, ALICE)
    ext.run_to_block(40)  # past the immunity period of 30 blocks
    neurons = ext.runtime.neurons
    assert neurons.prune_order(TRAINING) == [0, 1, 3]
    neurons.release(TRAINING, MINER, SEATED)
    assert MINER not in neurons.prune_order(TRAINING)
    neurons.release(TRAINING, MINER, SEATED)
    assert neurons.prune_order(TRAINING) == [0, 1, MINER, 3]
    neurons.release(TRAINING, MINER, SEATED)
    assert_ok(ext, CAROL, "Neurons", "deregister", TRAINING, ALICE)


def test_what_was_noted_of_a_neuron_does_not_befall_who_holds_its_uid_next():
    ext = vesting_market()
    neurons = ext.runtime.neurons
    neurons.hold(TRAINING, MINER, SEATED)
    neurons.hold(TRAINING, MINER, SEATED)
    ext.run_to_block(5)
    ext.runtime.neurons.slash(TRAINING, MINER, SEATED, PPM)
    assert_ok(ext, ALICE, "Neurons", "burned_register", TRAINING, HOT_EVE, RICH)
    neurons = ext.runtime.neurons
    assert neurons.uid_of(TRAINING, HOT_EVE) == MINER
    neurons.hold(TRAINING, MINER, 5)
    neurons.release(TRAINING, MINER, SEATED)
    assert neurons.slash(TRAINING, MINER, SEATED, PPM) == 0
    assert_noop(ext, ALICE, "Neurons", "deregister", TRAINING, HOT_EVE, error=Error.UnderAudit)
    neurons.hold(TRAINING, MINER, SEATED)
    neurons.release(TRAINING, MINER, 5)
    assert_ok(ext, ALICE, "Neurons", "deregister", TRAINING, HOT_EVE)
    assert ext.runtime.neurons.slash(TRAINING, MINER, 5, PPM) == 0
    ext.runtime.try_state()
