"""Incentive: the mint, the pots, the payout of an epoch, and that no planck is lost."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import DispatchError
from runtime.frame.testing import assert_ok
from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.messages import EmissionCarried, EmissionPaid, EpochRun
from runtime.pallets.incentive.terms import EpochInput
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.subnets.types import Kind
from runtime.primitives.accounts import pallet_account
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from tests.runtime.pallets.market import (
    ALICE,
    ASY,
    BOB,
    CAROL,
    DAVE,
    EVE,
    HOT_ALICE,
    HOT_BOB,
    HOT_CAROL,
    HOT_DAVE,
    INFERENCE,
    NUMBERS,
    TRAINING,
    genesis,
    market,
    text,
)

RICH = 10**30
EPOCH = 19
"""The training subnet's first epoch; that of the other subnet is one block earlier."""
ENDOWMENT = 10**9
ONE_SUBNET = {"kind": "Training", "owner": text(EVE), "hyperparameters": NUMBERS}


def alone(**changes):
    """Return a market whose only subnet is the training subnet, Carol's miner as uid 2, Dave's as uid 3."""
    config = genesis(subnets={TRAINING: ONE_SUBNET}, incentive={TRAINING: [0, 1]})
    config["neurons"] = {TRAINING: config["neurons"][TRAINING]}
    ext = market(**config | changes)
    for coldkey, hotkey in ((CAROL, HOT_CAROL), (DAVE, HOT_DAVE)):
        assert_ok(ext, coldkey, "Neurons", "burned_register", TRAINING, hotkey, RICH)
    return ext


def judged(ext, at=10):
    """Let both judges give Carol three times what Dave gets."""
    ext.run_to_block(at)
    for judge in (0, 1):
        ext.runtime.weights.put_row(TRAINING, judge, [(2, 3), (3, 1)], at)


def epoch_events(ext):
    return [each for each in ext.new_events() if type(each) in (EpochRun, EmissionPaid, EmissionCarried)]


def test_every_block_mints_the_reward_into_the_pots():
    ext = market()
    ext.run_to_block(3)
    incentive, balances = ext.runtime.incentive, ext.runtime.balances
    assert incentive.consensus_pot == pallet_account(b"asy/cons") == b"modlasy/cons" + bytes(20)
    assert balances.free(incentive.consensus_pot) == ENDOWMENT + 3 * ASY // 5
    assert balances.free(incentive.subnet_pot) == ENDOWMENT + 3 * ASY * 4 // 5
    assert (incentive.unallocated.get(), dict(incentive.pots.items())) == (3 * ASY * 4 // 5, {})
    incentive.allocate()
    assert dict(incentive.pots.items()) == {TRAINING: 3 * ASY * 2 // 5, INFERENCE: 3 * ASY * 2 // 5}
    assert incentive.unallocated.get() == 0
    assert (incentive.minted.get(), incentive.paid.get()) == (3 * ASY, 0)
    ext.runtime.try_state()


def test_the_reward_halves():
    ext = market(constants={"Incentive": {"BlockReward": 9, "HalvingInterval": 2}})
    minted = []
    for block in range(1, 9):
        ext.run_to_block(block)
        minted.append(ext.runtime.incentive.minted.get())
    assert minted == [9, 13, 17, 19, 21, 22, 23, 23]
    ext.runtime.try_state()


def test_subnets_share_by_their_emission_share_to_the_planck():
    numbers = [NUMBERS | {"emission_share": share} for share in (1, 2, 0)]
    sections = {
        netuid: {"kind": "Training", "owner": text(EVE), "hyperparameters": chosen}
        for netuid, chosen in enumerate(numbers, start=1)
    }
    ext = market(subnets=sections, neurons={}, incentive={}, constants={"Incentive": {"BlockReward": 100}})
    ext.runtime.incentive.allocate()
    assert dict(ext.runtime.incentive.pots.items()) == {1: 27, 2: 53}


def test_without_a_subnet_the_reward_waits_for_the_first_one():
    ext = market(subnets={}, neurons={}, incentive={})
    ext.run_to_block(5)
    assert ext.runtime.incentive.unallocated.get() == 4 * ASY
    assert_ok(ext, Root(), "Subnets", "create", Kind.Training, EVE, [])
    ext.run_to_block(6)
    ext.runtime.incentive.allocate()
    assert ext.runtime.incentive.unallocated.get() == 0
    assert dict(ext.runtime.incentive.pots.items()) == {1: 6 * ASY * 4 // 5}
    ext.runtime.try_state()


def test_an_epoch_pays_miners_and_judges():
    ext = alone()
    judged(ext)
    ext.run_to_block(EPOCH - 1)
    before = {who: ext.runtime.balances.free(who) for who in (ALICE, BOB, CAROL, DAVE)}
    ext.run_to_block(EPOCH)
    emission = EPOCH * ASY * 4 // 5
    miners, judges = emission * 6 // 10, emission * 4 // 10
    carol, dave = miners * 3 // 4, miners // 4
    owed = {ALICE: judges // 2, BOB: judges // 2, CAROL: carol, DAVE: dave}
    paid = {who: ext.runtime.balances.free(who) - before[who] for who in owed}
    assert sum(paid.values()) == emission
    assert all(abs(paid[who] - owed[who]) <= emission >> 31 for who in owed)  # rows have shares of 2^31
    assert epoch_events(ext) == [
        EmissionPaid(TRAINING, 0, HOT_ALICE, ALICE, 0, paid[ALICE], 0, 0),
        EmissionPaid(TRAINING, 1, HOT_BOB, BOB, 0, paid[BOB], 0, 0),
        EmissionPaid(TRAINING, 2, HOT_CAROL, CAROL, paid[CAROL], 0, 0, 0),
        EmissionPaid(TRAINING, 3, HOT_DAVE, DAVE, paid[DAVE], 0, 0, 0),
        EpochRun(TRAINING, epoch_events(ext)[-1].input_hash, emission, emission, 0),
    ]
    ext.runtime.try_state()


def test_an_epoch_stores_what_it_decided():
    ext = alone()
    judged(ext)
    ext.run_to_block(EPOCH)
    incentive = ext.runtime.incentive
    assert [incentive.incentives[TRAINING, uid] for uid in range(4)] == [0, 0, 49151, 16383]
    assert [incentive.dividends[TRAINING, uid] for uid in range(4)] == [32767, 32767, 0, 0]
    assert [incentive.consensus[TRAINING, uid] for uid in range(4)] == [0, 0, 49151, 16383]
    assert sum(incentive.emission_of(TRAINING, uid) for uid in range(4)) == EPOCH * ASY * 4 // 5
    assert [uid for uid, row in sorted(incentive.bonds.under(TRAINING)) if row] == [0, 1]
    assert incentive.permitted(TRAINING) == [0, 1]
    assert incentive.last_epoch_block(TRAINING) == EPOCH
    assert dict(incentive.pots.items()) == {}


def test_who_has_too_little_stake_loses_its_permit():
    numbers = NUMBERS | {"stake_threshold": 4001 * ASY}
    ext = alone(subnets={TRAINING: {**ONE_SUBNET, "hyperparameters": numbers}})
    assert ext.runtime.incentive.permitted(TRAINING) == [0, 1]
    ext.run_to_block(EPOCH)
    assert ext.runtime.incentive.permitted(TRAINING) == []


def test_a_subnet_may_choose_yuma3_which_pays_half_for_mining_and_half_for_judging():
    yuma = {**NUMBERS, "consensus": 1, "bonds_penalty_ppm": 250_000, "stake_threshold": 7}
    ext = alone(subnets={TRAINING: {**ONE_SUBNET, "hyperparameters": yuma}})
    judged(ext)
    ext.run_to_block(EPOCH - 1)
    epoch = ext.runtime.incentive.epoch_input(TRAINING, EPOCH)
    dials = epoch.hyperparameters
    assert (epoch.consensus, dials.bonds_penalty_ppm, dials.stake_threshold) == ("yuma3", 250_000, 7)
    ext.run_to_block(EPOCH)
    emission = EPOCH * ASY * 4 // 5
    assert epoch_events(ext) == [
        EmissionPaid(TRAINING, 0, HOT_ALICE, ALICE, 0, emission // 4, 0, 0),
        EmissionPaid(TRAINING, 1, HOT_BOB, BOB, 0, emission // 4, 0, 0),
        EmissionPaid(TRAINING, 2, HOT_CAROL, CAROL, emission * 3 // 8, 0, 0, 0),
        EmissionPaid(TRAINING, 3, HOT_DAVE, DAVE, emission // 8, 0, 0, 0),
        EpochRun(TRAINING, epoch_events(ext)[-1].input_hash, emission, emission, 0),
    ]
    ext.runtime.try_state()


def test_anyone_can_replay_an_epoch_from_its_input():
    ext = alone()
    judged(ext)
    ext.run_to_block(EPOCH - 1)
    epoch = ext.runtime.incentive.epoch_input(TRAINING, EPOCH)
    ext.run_to_block(EPOCH)
    epoch = replace(epoch, emission=EPOCH * ASY * 4 // 5)  # one more block was minted
    encoded = codec(EpochInput).encode(epoch)
    assert epoch_events(ext)[-1].input_hash == blake2_256(encoded)
    output = run_epoch(codec(EpochInput).decode(encoded))
    assert output.emission == [ext.runtime.incentive.emission_of(TRAINING, uid) for uid in range(4)]


def test_what_nobody_earned_is_carried_over_and_paid_later():
    ext = alone()
    ext.run_to_block(EPOCH)
    first = EPOCH * ASY * 4 // 5
    assert [type(each) for each in epoch_events(ext)] == [EpochRun, EmissionCarried]
    assert epoch_events(ext)[-1] == EmissionCarried(TRAINING, first)
    assert ext.runtime.incentive.carried_over[TRAINING] == first
    assert ext.runtime.incentive.permitted(TRAINING) == [0, 1]
    judged(ext, at=EPOCH + 5)
    ext.run_to_block(EPOCH + 20)
    both = (EPOCH + 20) * ASY * 4 // 5
    assert (epoch_events(ext)[-1].emission, epoch_events(ext)[-1].carried) == (both, 0)
    assert ext.runtime.incentive.paid.get() == both
    ext.runtime.try_state()


@pytest.mark.parametrize("chosen", [{}, {"consensus": 1}, {"consensus": 1, "commit_reveal": 1}])
def test_rows_of_an_earlier_epoch_pay_nobody_again(chosen):
    ext = alone(subnets={TRAINING: {**ONE_SUBNET, "hyperparameters": NUMBERS | chosen}})
    judged(ext)
    ext.run_to_block(EPOCH + 20)
    assert epoch_events(ext)[-1] == EmissionCarried(TRAINING, 20 * ASY * 4 // 5)
    assert [ext.runtime.incentive.emission_of(TRAINING, uid) for uid in range(4)] == [0, 0, 0, 0]


def test_an_epoch_that_pays_nobody_says_nothing_about_who_is_of_use():
    """Else the oldest, often the judges with most of the stake, were replaced after one round without pay."""
    ext = alone(subnets={TRAINING: {**ONE_SUBNET, "hyperparameters": NUMBERS | {"immunity_period": 0}}})
    judged(ext)
    ext.run_to_block(EPOCH)
    order = ext.runtime.neurons.prune_order(TRAINING)
    earned = [ext.runtime.incentive.emission_of(TRAINING, uid) for uid in order]
    assert earned == sorted(earned)
    assert earned[-1] > earned[0]
    ext.run_to_block(EPOCH + 20)
    assert not any(ext.runtime.incentive.emission_of(TRAINING, uid) for uid in order)
    assert ext.runtime.neurons.prune_order(TRAINING) == order
    ext.runtime.try_state()


def test_the_owner_takes_its_cut_through_its_uid():
    numbers = NUMBERS | {"owner_cut_ppm": 100_000}
    ext = alone(subnets={TRAINING: ONE_SUBNET | {"owner": text(DAVE), "hyperparameters": numbers}})
    ext.run_to_block(10)
    for judge in (0, 1):
        ext.runtime.weights.put_row(TRAINING, judge, [(2, 1)], 10)
    ext.run_to_block(EPOCH)
    emission = EPOCH * ASY * 4 // 5
    paid = {event.uid: event.incentive + event.dividend for event in epoch_events(ext)[:-1]}
    assert (paid[3], paid[2]) == (emission // 10, emission * 9 // 10 * 6 // 10)
    ext.runtime.try_state()


def test_a_paused_subnet_runs_no_epoch_and_keeps_its_emission():
    ext = alone()
    judged(ext)
    assert_ok(ext, Root(), "Subnets", "pause", TRAINING)
    ext.run_to_block(EPOCH)
    assert epoch_events(ext) == []
    ext.runtime.incentive.allocate()
    assert ext.runtime.incentive.pots[TRAINING] == EPOCH * ASY * 4 // 5
    ext.runtime.try_state()


def test_a_payout_that_its_account_cannot_take_is_carried_over():
    numbers = NUMBERS | {"uid_bond": 0}
    constants = {"Incentive": {"BlockReward": 1000}}
    config = {TRAINING: ONE_SUBNET | {"hyperparameters": numbers}}
    ext = alone(subnets=config, constants=constants)
    judged(ext)
    ext.run_to_block(EPOCH - 1)
    assert_ok(ext, CAROL, "Balances", "transfer_all", ALICE, False)
    assert ext.runtime.balances.free(CAROL) == 0
    ext.run_to_block(EPOCH)
    run = next(event for event in epoch_events(ext) if type(event) is EpochRun)
    carol = EPOCH * 800 * 6 // 10 * 3 // 4
    assert (run.emission, run.paid, run.carried) == (EPOCH * 800, EPOCH * 800 - carol, carol)
    assert ext.runtime.incentive.emission_of(TRAINING, 2) == 0
    ext.runtime.try_state()


def test_a_gift_to_the_pot_is_no_emission():
    ext = alone()
    pot = ext.runtime.incentive.subnet_pot
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", pot, 5 * ASY)
    judged(ext)
    ext.run_to_block(EPOCH)
    assert ext.runtime.incentive.paid.get() == EPOCH * ASY * 4 // 5
    assert ext.runtime.balances.free(pot) == ENDOWMENT + 5 * ASY


def test_the_consensus_pot_is_drawn_but_for_its_endowment():
    ext = alone()
    incentive, balances = ext.runtime.incentive, ext.runtime.balances
    pot, before, issued = incentive.consensus_pot, balances.free(DAVE), balances.total_issuance.get()
    assert incentive.draw_consensus(DAVE) == ASY // 5
    assert (balances.free(pot), balances.free(DAVE)) == (ENDOWMENT, before + ASY // 5)
    assert incentive.draw_consensus(DAVE) == 0
    assert balances.total_issuance.get() == issued
    ext.run_to_block(3)
    assert_ok(ext, DAVE, "Balances", "transfer_keep_alive", pot, 7)
    assert ext.runtime.incentive.draw_consensus(DAVE) == 2 * ASY // 5 + 7
    ext.runtime.try_state()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 25)),
        st.tuples(st.just("row"), st.integers(0, 1), st.lists(st.integers(0, 99), min_size=4, max_size=4)),
        st.tuples(st.just("leave"), st.sampled_from([(ALICE, HOT_ALICE), (CAROL, HOT_CAROL)])),
        st.tuples(st.just("join"), st.sampled_from([(ALICE, HOT_ALICE), (CAROL, HOT_CAROL), (EVE, HOT_BOB)])),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("cut"), st.integers(0, 100_000)),
    ),
    max_size=14,
)


def call_of(step):
    """Return the call that a step of a random history makes, if it makes one."""
    match step:
        case "leave", (coldkey, hotkey):
            return coldkey, "Neurons", "deregister", TRAINING, hotkey
        case "join", (coldkey, hotkey):
            return coldkey, "Neurons", "burned_register", TRAINING, hotkey, RICH
        case "pause", stop:
            return Root(), "Subnets", "pause" if stop else "unpause", TRAINING
        case "cut", ppm:
            return EVE, "Subnets", "set_hyperparameter", TRAINING, Parameter.owner_cut_ppm, ppm
    return None


def play(step, ext):
    """Let a step of a random history happen, as far as the market allows it."""
    match step:
        case "pass", blocks:
            ext.run_to_block(ext.number + blocks)
        case "row", judge, values:
            present = [uid for uid, _ in ext.runtime.neurons.listed(TRAINING)]
            if judge in present:
                row = [(uid, values[uid]) for uid in present if uid != judge]
                ext.runtime.weights.put_row(TRAINING, judge, row, ext.number)
    if call := call_of(step):
        with suppress(DispatchError):
            ext.dispatch(*call)


@settings(max_examples=40)
@given(STEPS)
def test_no_history_loses_a_planck(steps):
    ext = alone(constants={"Incentive": {"BlockReward": 7_777_777_777}})
    for step in steps:
        play(step, ext)
        ext.runtime.try_state()
        incentive = ext.runtime.incentive
        held = ext.runtime.balances.free(incentive.subnet_pot)
        assert held == ENDOWMENT + incentive.carried()
        assert incentive.minted.get() == 7_777_777_777 * ext.number
