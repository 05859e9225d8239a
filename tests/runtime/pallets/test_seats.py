"""Seats: what a registration is refused for, who is warned of losing one, which endpoints are taken."""

from typing import Any

import pytest

from runtime.frame.declare import Root
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.neurons.messages import AxonServed, Error, PruneWarning
from runtime.pallets.subnets.messages import Error as SubnetsError
from runtime.pallets.subnets.numbers import LEAST_PRICE, Parameter
from runtime.primitives.types import AccountId
from tests.runtime.pallets.market import (
    ALICE,
    ASY,
    BOB,
    CAROL,
    DAVE,
    EVE,
    FUNDS,
    HOT_ALICE,
    HOT_BOB,
    HOT_CAROL,
    HOT_DAVE,
    HOT_EVE,
    INFERENCE,
    NUMBERS,
    TRAINING,
    genesis,
    market,
    text,
)

RICH = 10**30
BOND = 500 * ASY
EPOCH, TEMPO = 19, 20
"""The training subnet's first epoch; that of the other subnet is a block earlier."""
IMMUNITY = 30


def register(ext: Externalities, coldkey: AccountId, hotkey: AccountId) -> None:
    """Take a seat in the training subnet."""
    assert_ok(ext, coldkey, "Neurons", "burned_register", TRAINING, hotkey, RICH)


def refused(ext: Externalities, coldkey: AccountId, hotkey: AccountId, price: int, error: Any) -> None:
    """See that a registration is refused and changes nothing."""
    assert_noop(ext, coldkey, "Neurons", "burned_register", TRAINING, hotkey, price, error=error)


def with_numbers(**numbers: int) -> Externalities:
    """Return the market whose training subnet has other numbers."""
    config = genesis()
    section = {"kind": "Training", "owner": text(EVE), "hyperparameters": NUMBERS | numbers}
    return market(**config | {"subnets": config["subnets"] | {TRAINING: section}})


# What a registration is refused for.


def test_a_price_that_has_jumped_is_not_paid():
    ext = market()
    seen = ext.runtime.neurons.price(TRAINING)
    register(ext, DAVE, HOT_DAVE)
    spiked = ext.runtime.neurons.price(TRAINING)
    assert spiked == seen * 126 // 100
    refused(ext, CAROL, HOT_CAROL, seen, Error.PriceTooHigh)
    refused(ext, CAROL, HOT_CAROL, spiked - 1, Error.PriceTooHigh)
    ext.run_to_block(1 + 60)
    assert ext.runtime.neurons.price(TRAINING) == spiked // 2
    assert_ok(ext, CAROL, "Neurons", "burned_register", TRAINING, HOT_CAROL, spiked // 2)
    assert ext.runtime.balances.free(CAROL) == FUNDS - spiked // 2 - BOND


def test_the_price_stays_within_bounds_that_move():
    ext = with_numbers(burn_start=100 * ASY, burn_max=110 * ASY)
    register(ext, CAROL, HOT_CAROL)
    assert ext.runtime.neurons.price(TRAINING) == 110 * ASY
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", TRAINING, Parameter.burn_max, 50 * ASY)
    ext.run_to_block(EPOCH + 1)
    assert ext.runtime.neurons.price(TRAINING) == 50 * ASY
    register(ext, DAVE, HOT_DAVE)
    assert ext.runtime.neurons.price(TRAINING) == 50 * ASY
    ext.runtime.try_state()


def test_no_price_is_too_small_to_rise():
    ext = with_numbers(burn_start=LEAST_PRICE, burn_min=LEAST_PRICE)
    prices = []
    for hotkey in (HOT_CAROL, HOT_DAVE):
        prices.append(ext.runtime.neurons.price(TRAINING))
        register(ext, CAROL, hotkey)
    assert [*prices, ext.runtime.neurons.price(TRAINING)] == [10, 12, 15]


def test_price_and_bond_must_be_there_to_the_planck():
    ext = market()
    least = ext.runtime.neurons.price(TRAINING) + BOND + ext.runtime.balances.existential_deposit
    assert_ok(ext, CAROL, "Balances", "transfer_keep_alive", ALICE, FUNDS - least + 1)
    refused(ext, CAROL, HOT_CAROL, RICH, Error.CannotAfford)
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", CAROL, 1)
    register(ext, CAROL, HOT_CAROL)


def test_what_is_bonded_in_staking_pays_for_no_seat():
    ext = market()
    bonded = ext.runtime.staking.ledger[ALICE].total
    free = ext.runtime.balances.free(ALICE)
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", BOB, free - bonded - ASY // 2)
    assert ext.runtime.balances.free(ALICE) > BOND + ASY
    refused(ext, ALICE, HOT_CAROL, RICH, Error.CannotAfford)


def test_a_full_subnet_in_which_everybody_is_immune_takes_nobody():
    ext = market()
    register(ext, CAROL, HOT_CAROL)
    register(ext, DAVE, HOT_DAVE)
    refused(ext, EVE, HOT_EVE, RICH, Error.SubnetFull)
    ext.run_to_block(IMMUNITY - 1)
    refused(ext, EVE, HOT_EVE, RICH, Error.SubnetFull)
    ext.run_to_block(IMMUNITY)
    register(ext, EVE, HOT_EVE)


def test_a_full_subnet_of_its_owner_takes_nobody_however_old_it_is():
    config = genesis()
    section = {"kind": "Training", "owner": text(ALICE), "hyperparameters": NUMBERS | {"max_uids": 1}}
    seats = {TRAINING: config["neurons"][TRAINING][:1]}
    ext = market(**config | {"subnets": {TRAINING: section}, "neurons": seats, "incentive": {TRAINING: [0]}})
    ext.run_to_block(5 * IMMUNITY)
    refused(ext, CAROL, HOT_CAROL, RICH, Error.SubnetFull)


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        (Parameter.immunity_period, 10**7 + 1, SubnetsError.OutOfBounds),
        (Parameter.max_uids, 0, SubnetsError.OutOfBounds),
        (Parameter.max_uids, 1_025, SubnetsError.OutOfBounds),
        (Parameter.burn_half_life, 0, SubnetsError.OutOfBounds),
        (Parameter.burn_min, 2_000 * ASY, SubnetsError.Contradiction),
        (Parameter.vesting_rounds, 1_001, SubnetsError.OutOfBounds),
        (Parameter.reveal_period, 0, SubnetsError.OutOfBounds),
        (Parameter.consensus, 2, SubnetsError.OutOfBounds),
    ],
)
def test_a_hyperparameter_out_of_bounds_is_refused(parameter: Parameter, value: int, error: Any):
    call = ("Subnets", "set_hyperparameter", TRAINING, parameter, value)
    assert_noop(market(), Root(), *call, error=error)


def test_every_number_is_frozen_before_an_epoch():
    ext = market()
    ext.run_to_block(EPOCH - 2)
    for parameter in (Parameter.burn_min, Parameter.uid_bond, Parameter.vesting_rounds):
        call = ("Subnets", "set_hyperparameter", TRAINING, parameter, 10)
        assert_noop(ext, EVE, *call, error=SubnetsError.Frozen)


def test_a_stash_may_have_many_hotkeys_in_many_subnets():
    ext = market()
    for netuid in (TRAINING, INFERENCE):
        for hotkey in (HOT_CAROL, HOT_DAVE):
            assert_ok(ext, ALICE, "Neurons", "burned_register", netuid, hotkey, RICH)
    neurons = ext.runtime.neurons
    for netuid in (TRAINING, INFERENCE):
        third = 4000 * ASY // 3
        assert neurons.stakes(netuid) == {0: third, 1: 4000 * ASY, 2: third, 3: third}
    assert ext.runtime.balances.reserved(ALICE) == 6 * BOND


# Warnings.


def warnings(ext: Externalities, until: int) -> dict[int, list[tuple[int, int]]]:
    """Return (uid, prunable_at) of the training subnet's warnings, by block."""
    found: dict[int, list[tuple[int, int]]] = {}
    while ext.number < until:
        ext.run_to_block(ext.number + 1)
        for event in ext.new_events():
            if isinstance(event, PruneWarning) and event.netuid == TRAINING:
                assert event.hotkey == ext.runtime.neurons.keys[TRAINING, event.uid]
                found.setdefault(ext.number, []).append((event.uid, event.prunable_at))
    return found


def test_who_loses_its_immunity_is_warned_at_the_epochs_before():
    ext = market()
    register(ext, EVE, HOT_EVE)  # as uid 2: the owner's neuron is never replaced
    ext.run_to_block(10)
    register(ext, CAROL, HOT_CAROL)
    # At the epoch in block 19 the next ones will be in blocks 39 and 59.
    assert warnings(ext, 58) == {19: [(0, 30), (1, 30), (3, 40)], 39: [(3, 40), (0, 39)]}


def test_who_came_after_an_epoch_is_warned_at_the_next():
    ext = market()
    ext.run_to_block(20)
    register(ext, CAROL, HOT_CAROL)  # immune until block 50: after the epoch at 39, before that at 79
    assert warnings(ext, 85) == {39: [(2, 50)]}


def test_in_a_full_subnet_who_is_first_to_go_is_warned_at_every_epoch():
    ext = with_numbers(max_uids=3)
    ext.run_to_block(5)
    register(ext, EVE, HOT_EVE)
    found = warnings(ext, 62)
    assert found == {19: [(0, 30), (1, 30)], 39: [(0, 39)], 59: [(0, 59)]}
    register(ext, CAROL, HOT_CAROL)
    assert ext.runtime.neurons.uid_of(TRAINING, HOT_CAROL) == 0
    assert ext.runtime.neurons.uid_of(TRAINING, HOT_ALICE) is None


def test_no_neuron_is_replaced_without_a_warning_before():
    ext = with_numbers(max_uids=3, immunity_period=25)
    register(ext, EVE, HOT_EVE)
    warned: dict[int, int] = {}
    for coldkey, hotkey in ((CAROL, HOT_CAROL), (DAVE, HOT_DAVE), (BOB, AccountId(bytes(32)))):
        for listed in warnings(ext, ext.number + 2 * TEMPO).values():
            warned |= dict(listed)
        first = ext.runtime.neurons.prune_order(TRAINING)[0]
        assert warned.pop(first) <= ext.number
        register(ext, coldkey, hotkey)


# Endpoints.


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8091", "http://10.0.0.5", "https://[::1]:1", "http://localhost:80", "http://2130706433/",
     "http://miner:8091", "http://192.168.1.7/x", "http://[::ffff:10.0.0.1]/"],
)  # fmt: skip
def test_an_endpoint_nobody_could_reach_is_refused_on_a_live_chain(url: str):
    call = ("Neurons", "serve_axon", TRAINING, url, 1)
    assert_noop(market(), HOT_ALICE, *call, error=Error.PrivateAddress)
    own = market(constants={"Neurons": {"PublicAxons": False}})
    assert_ok(own, HOT_ALICE, *call)
    assert own.new_events()[-1] == AxonServed(TRAINING, HOT_ALICE, url)


def test_a_public_endpoint_is_taken():
    for url in ("http://8.8.8.8:8091", "https://miner.example/x", "http://[2606:4700::1111]:80/"):
        assert_ok(market(), HOT_BOB, "Neurons", "serve_axon", TRAINING, url, 1)
