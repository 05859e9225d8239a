"""Neurons: the price of a seat, seats and their replacement, endpoints, keys."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import READ, WRITE, Root
from runtime.frame.errors import DispatchError
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.neurons.messages import (
    AxonServed,
    Error,
    HotkeySwapped,
    IdentitySet,
    NeuronDeregistered,
    NeuronRegistered,
)
from runtime.pallets.neurons.price import decayed
from runtime.pallets.neurons.types import Axon, BurnPrice, Identity, Neuron
from runtime.pallets.subnets import messages as subnets
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
    TRAINING,
    market,
    text,
)

BOND = 500 * ASY
RICH = 10**30
URL = "http://miner.example:8091"


def register(ext, coldkey, hotkey, netuid=TRAINING):
    assert_ok(ext, coldkey, "Neurons", "burned_register", netuid, hotkey, RICH)


def test_genesis_seats_come_with_a_bond_but_without_a_price():
    ext = market()
    neurons = ext.runtime.neurons
    assert neurons.listed(TRAINING) == [
        (0, Neuron(HOT_ALICE, ALICE, 0, BOND)),
        (1, Neuron(HOT_BOB, BOB, 0, BOND)),
    ]
    assert ext.runtime.balances.reserved(ALICE) == 2 * BOND  # one uid in each subnet
    assert neurons.price(TRAINING) == ASY
    assert (neurons.uid_of(TRAINING, HOT_BOB), neurons.uid_of(TRAINING, HOT_CAROL)) == (1, None)
    assert (neurons.registered_at(TRAINING, 1), neurons.registered_at(TRAINING, 2)) == (0, None)


@pytest.mark.parametrize(
    ("seats", "sentence"),
    [
        ([(HOT_ALICE, ALICE)] * 2, f"subnet 1: hotkey {text(HOT_ALICE)} is somebody's already"),
        ([(HOT_ALICE, ALICE)] * 5, "subnet 1: 5 neurons, max_uids is 4"),
    ],
)
def test_a_genesis_with_wrong_seats_is_refused_with_a_sentence(seats, sentence):
    listed = [{"hotkey": text(hotkey), "coldkey": text(coldkey)} for hotkey, coldkey in seats]
    with pytest.raises(AssertionError, match=sentence):
        market(neurons={TRAINING: listed})


def test_registration_burns_the_price_and_reserves_the_bond():
    ext = market()
    issuance = ext.runtime.balances.total_issuance.get()
    register(ext, CAROL, HOT_CAROL)
    balances, neurons = ext.runtime.balances, ext.runtime.neurons
    assert neurons.neuron(TRAINING, 2) == Neuron(HOT_CAROL, CAROL, 1, BOND)
    assert neurons.keys[TRAINING, 2] == HOT_CAROL
    assert (balances.free(CAROL), balances.reserved(CAROL)) == (FUNDS - ASY - BOND, BOND)
    assert balances.total_issuance.get() == issuance - ASY
    assert neurons.burn[TRAINING] == BurnPrice(ASY * 126 // 100, 1)
    assert ext.new_events()[-1] == NeuronRegistered(TRAINING, 2, HOT_CAROL, CAROL, ASY)


def test_registration_is_refused():
    ext = market()

    def refused(coldkey, hotkey, error, netuid=TRAINING, max_price=RICH):
        assert_noop(ext, coldkey, "Neurons", "burned_register", netuid, hotkey, max_price, error=error)

    refused(CAROL, HOT_CAROL, subnets.Error.UnknownSubnet, netuid=9)
    refused(CAROL, HOT_ALICE, Error.AlreadyRegistered)
    refused(CAROL, HOT_CAROL, Error.PriceTooHigh, max_price=ASY - 1)
    refused(AccountId(bytes(32)), HOT_CAROL, Error.CannotAfford)
    assert_ok(ext, Root(), "Subnets", "pause", TRAINING)
    refused(CAROL, HOT_CAROL, subnets.Error.Paused)


def test_a_hotkey_has_one_coldkey_everywhere():
    ext = market()
    register(ext, CAROL, HOT_CAROL, netuid=TRAINING)
    call = ("Neurons", "burned_register", INFERENCE, HOT_CAROL, RICH)
    assert_noop(ext, DAVE, *call, error=Error.HotkeyOfAnother)
    assert_ok(ext, CAROL, *call)


def test_nobody_takes_over_the_hotkey_of_a_neuron_that_has_lost_its_seat():
    """Its program may go on under that key, and whoever held the seat would be paid for its work."""
    ext = market()
    assert_ok(ext, ALICE, "Neurons", "deregister", TRAINING, HOT_ALICE)
    assert_ok(ext, ALICE, "Neurons", "deregister", INFERENCE, HOT_ALICE)
    call = ("Neurons", "burned_register", TRAINING, HOT_ALICE, RICH)
    assert_noop(ext, CAROL, *call, error=Error.HotkeyOfAnother)
    register(ext, CAROL, HOT_CAROL)
    swap = ("Neurons", "swap_hotkey", TRAINING, HOT_CAROL, HOT_ALICE)
    assert_noop(ext, CAROL, *swap, error=Error.HotkeyOfAnother)
    assert_ok(ext, ALICE, *call)


def test_an_account_is_always_its_own_hotkey():
    ext = market()
    register(ext, DAVE, CAROL, netuid=INFERENCE)
    assert_noop(ext, EVE, "Neurons", "burned_register", TRAINING, CAROL, RICH, error=Error.HotkeyOfAnother)
    register(ext, CAROL, CAROL)
    ext.runtime.try_state()


def test_a_swapped_hotkey_stays_its_coldkeys():
    ext = market()
    assert_ok(ext, BOB, "Neurons", "swap_hotkey", TRAINING, HOT_BOB, HOT_CAROL)
    call = ("Neurons", "burned_register", TRAINING, HOT_BOB, RICH)
    assert_noop(ext, DAVE, *call, error=Error.HotkeyOfAnother)
    assert_ok(ext, BOB, *call)


def test_a_seat_changes_its_key_once_per_longest_round():
    """A miner that commits under one key, then under another, could offer the work that suits the judges."""
    ext = market()
    swap = ("Neurons", "swap_hotkey", TRAINING)
    assert_ok(ext, BOB, *swap, HOT_BOB, HOT_CAROL)
    longest = ext.runtime.subnets.parameters(TRAINING).longest_round()
    assert longest == 200 + 10 + 40 + 10 + 10
    assert_noop(ext, BOB, *swap, HOT_CAROL, HOT_BOB, error=Error.SwappedTooSoon)
    ext.run_to_block(longest)
    assert_noop(ext, BOB, *swap, HOT_CAROL, HOT_BOB, error=Error.SwappedTooSoon)
    ext.run_to_block(longest + 1)
    assert_ok(ext, BOB, *swap, HOT_CAROL, HOT_BOB)
    assert_ok(ext, BOB, "Neurons", "deregister", TRAINING, HOT_BOB)
    ext.runtime.try_state()


def test_the_weight_of_a_seat_that_changes_hands_grows_with_the_subnet():
    ext = market()
    weighed = {}
    for seats in (4, 1_024):
        numbers = replace(ext.runtime.subnets.parameters(TRAINING), max_uids=seats)
        ext.runtime.subnets.hyperparameters[TRAINING] = numbers
        calls = [
            ext.runtime.call("Neurons", "burned_register", TRAINING, HOT_CAROL, RICH),
            ext.runtime.call("Neurons", "deregister", TRAINING, HOT_CAROL),
        ]
        weighed[seats] = [ext.runtime.info(call).weight.ref_time for call in calls]
    assert weighed == {seats: [(6 * seats + 20) * READ + (3 * seats + 25) * WRITE] * 2 for seats in weighed}
    unknown = ext.runtime.call("Neurons", "deregister", 9, HOT_CAROL)
    assert ext.runtime.info(unknown).weight.ref_time == 20 * READ + 25 * WRITE


def test_the_price_rises_per_registration_and_falls_with_time():
    ext = market()
    for hotkey, expected in ((HOT_CAROL, 1_000_000), (HOT_DAVE, 1_260_000)):
        assert ext.runtime.neurons.price(TRAINING) == expected * 10**6
        register(ext, CAROL, hotkey)
    assert ext.runtime.neurons.price(TRAINING) == 1_587_600 * 10**6
    ext.run_to_block(31)
    assert ext.runtime.neurons.price(TRAINING) == 1_587_600 * 3 // 4 * 10**6
    ext.run_to_block(61)
    assert ext.runtime.neurons.price(TRAINING) == 793_800 * 10**6
    ext.runtime.system.number.put(10_000)
    assert ext.runtime.neurons.price(TRAINING) == ASY // 10


@given(price=st.integers(0, 10**24), elapsed=st.integers(0, 10**7), half_life=st.integers(1, 10**4))
def test_the_decay_never_rises_and_halves_exactly(price, elapsed, half_life):
    now, later = decayed(price, elapsed, half_life), decayed(price, elapsed + 1, half_life)
    assert later <= now
    assert decayed(price, elapsed + half_life, half_life) in (now >> 1, (now >> 1) + 1)
    assert decayed(price, half_life, half_life) == price >> 1


def test_a_full_subnet_replaces_the_lowest_earner_that_is_not_immune():
    ext = market()
    register(ext, EVE, HOT_EVE)
    register(ext, CAROL, HOT_CAROL)
    full = ("Neurons", "burned_register", TRAINING, HOT_DAVE, RICH)
    ext.run_to_block(29)
    assert_noop(ext, DAVE, *full, error=Error.SubnetFull)  # immunity is 30 blocks
    ext.run_to_block(30)
    ext.runtime.incentive.emission[TRAINING, 0] = 7
    assert ext.runtime.neurons.prune_order(TRAINING) == [1, 0]
    ext.run_to_block(31)
    ext.runtime.incentive.emission[TRAINING, 0] = 7
    ext.runtime.incentive.emission[TRAINING, 1] = 7
    # Carol earned nothing; Alice and Bob are equally old, so the lower uid goes first; the owner Eve stays.
    assert ext.runtime.neurons.prune_order(TRAINING) == [3, 0, 1]
    assert_ok(ext, DAVE, *full)
    assert ext.runtime.neurons.neuron(TRAINING, 3) == Neuron(HOT_DAVE, DAVE, 31, BOND)
    assert NeuronDeregistered(TRAINING, 3, HOT_CAROL, CAROL, BOND) in ext.new_events()
    assert ext.runtime.balances.reserved(CAROL) == 0


def test_nothing_of_a_replaced_neuron_is_left_under_its_uid():
    ext = market()
    runtime = ext.runtime
    register(ext, CAROL, HOT_CAROL)
    register(ext, EVE, HOT_EVE)
    assert_ok(ext, HOT_ALICE, "Neurons", "serve_axon", TRAINING, URL, 1)
    assert_ok(ext, ALICE, "Neurons", "set_identity", TRAINING, HOT_ALICE, Identity("a", "", ""))
    runtime.weights.put_row(TRAINING, 0, [(1, 1), (2, 1)], 1)
    runtime.weights.put_row(TRAINING, 1, [(0, 3), (2, 1)], 1)
    runtime.incentive.bonds[TRAINING, 0] = [(2, 9)]
    runtime.incentive.bonds[TRAINING, 1] = [(0, 8), (2, 9)]
    for by_uid in (runtime.incentive.consensus, runtime.incentive.incentives, runtime.incentive.dividends):
        by_uid[TRAINING, 0] = 5
    ext.runtime.try_state()
    assert_ok(ext, ALICE, "Neurons", "deregister", TRAINING, HOT_ALICE)
    register(ext, DAVE, HOT_DAVE)
    assert runtime.neurons.uid_of(TRAINING, HOT_DAVE) == 0
    assert (TRAINING, HOT_ALICE) not in runtime.neurons.axons
    assert (TRAINING, HOT_ALICE) not in runtime.neurons.identities
    assert (runtime.weights.row(TRAINING, 0), runtime.weights.updated_at(TRAINING, 0)) == ([], 0)
    assert runtime.weights.row(TRAINING, 1) == [(2, 21845)]
    assert dict(runtime.incentive.bonds.under(TRAINING)) == {1: [(2, 9)]}
    assert runtime.incentive.permitted(TRAINING) == [1]
    assert dict(runtime.incentive.consensus.under(TRAINING)) == {}
    assert dict(runtime.incentive.incentives.under(TRAINING)) == {}
    assert dict(runtime.incentive.dividends.under(TRAINING)) == {}


def test_deregister_gives_the_bond_back_to_the_coldkey_alone():
    ext = market()
    register(ext, CAROL, HOT_CAROL)
    call = ("Neurons", "deregister", TRAINING, HOT_CAROL)
    assert_noop(ext, DAVE, *call, error=Error.NotColdkey)
    assert_ok(ext, CAROL, *call)
    assert ext.new_events()[-1] == NeuronDeregistered(TRAINING, 2, HOT_CAROL, CAROL, BOND)
    assert ext.runtime.balances.free(CAROL) == FUNDS - ASY
    assert_noop(ext, CAROL, *call, error=Error.NotRegistered)


def test_an_endpoint_is_served_by_the_hotkey_and_not_too_often():
    ext = market()
    call = ("Neurons", "serve_axon", TRAINING, URL, 3)
    assert_noop(ext, ALICE, *call, error=Error.NotRegistered)
    assert_ok(ext, HOT_ALICE, *call)
    assert ext.runtime.neurons.axons[TRAINING, HOT_ALICE] == Axon(URL, 3, 1)
    assert ext.new_events()[-1] == AxonServed(TRAINING, HOT_ALICE, URL)
    ext.run_to_block(5)
    assert_noop(ext, HOT_ALICE, *call, error=Error.ServedTooSoon)
    ext.run_to_block(6)
    assert_ok(ext, HOT_ALICE, *call)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host",
        "http://",
        "https:///path",
        "http://:80",
        "http://a b",
        "http://é",
        "http://u@h",
        "http://a\n",
    ],
)
def test_an_endpoint_must_be_a_plain_web_address(url):
    ext = market()
    assert_noop(ext, HOT_ALICE, "Neurons", "serve_axon", TRAINING, url, 1, error=Error.InvalidUrl)


def test_a_swapped_hotkey_keeps_uid_age_bond_scores_and_endpoint():
    ext = market()
    assert_ok(ext, HOT_BOB, "Neurons", "serve_axon", TRAINING, URL, 1)
    ext.runtime.weights.put_row(TRAINING, 1, [(0, 1)], 1)
    call = ("Neurons", "swap_hotkey", TRAINING, HOT_BOB)
    assert_noop(ext, ALICE, *call, HOT_CAROL, error=Error.NotColdkey)
    assert_noop(ext, BOB, *call, HOT_ALICE, error=Error.AlreadyRegistered)
    assert_ok(ext, BOB, *call, HOT_CAROL)
    neurons = ext.runtime.neurons
    assert ext.new_events()[-1] == HotkeySwapped(TRAINING, 1, HOT_BOB, HOT_CAROL)
    assert neurons.neuron(TRAINING, 1) == Neuron(HOT_CAROL, BOB, 0, BOND)
    assert (neurons.uid_of(TRAINING, HOT_BOB), neurons.uid_of(TRAINING, HOT_CAROL)) == (None, 1)
    assert neurons.axons[TRAINING, HOT_CAROL] == Axon(URL, 1, 1)
    assert ext.runtime.weights.row(TRAINING, 1) == [(0, 65535)]


def test_an_identity_is_set_by_the_coldkey():
    ext = market()
    said = Identity("Bob", "https://bob.example", "judges")
    call = ("Neurons", "set_identity", TRAINING, HOT_BOB)
    assert_noop(ext, ALICE, *call, said, error=Error.NotColdkey)
    assert_noop(ext, BOB, *call, Identity("Bob", "bob", ""), error=Error.InvalidUrl)
    assert_ok(ext, BOB, *call, said)
    assert ext.runtime.neurons.identities[TRAINING, HOT_BOB] == said
    assert ext.new_events()[-1] == IdentitySet(TRAINING, HOT_BOB)


def test_a_stash_splits_its_stake_over_its_uids():
    ext = market()
    neurons = ext.runtime.neurons
    assert neurons.stakes(TRAINING) == {0: 4000 * ASY, 1: 4000 * ASY}
    register(ext, BOB, HOT_DAVE)
    register(ext, CAROL, HOT_CAROL)
    assert neurons.stakes(TRAINING) == {0: 4000 * ASY, 1: 2000 * ASY, 2: 2000 * ASY, 3: 0}


HOTKEYS = st.sampled_from([HOT_ALICE, HOT_CAROL, HOT_DAVE, HOT_EVE])
CALLS = st.one_of(
    st.tuples(st.just("burned_register"), st.just(TRAINING), HOTKEYS, st.sampled_from([ASY, RICH])),
    st.tuples(st.just("deregister"), st.just(TRAINING), HOTKEYS),
    st.tuples(st.just("swap_hotkey"), st.just(TRAINING), HOTKEYS, HOTKEYS),
    st.tuples(st.just("serve_axon"), st.just(TRAINING), st.just(URL), st.just(1)),
)
STEPS = st.tuples(st.integers(0, 15), st.sampled_from([ALICE, CAROL, HOT_CAROL, HOT_DAVE]), CALLS)


@settings(max_examples=12)
@given(st.lists(STEPS, max_size=12))
def test_no_sequence_of_calls_breaks_the_seats(steps):
    ext = market()
    for blocks, origin, (name, *arguments) in steps:
        ext.run_to_block(ext.number + blocks)
        root = ext.state_root()
        try:
            ext.dispatch(origin, "Neurons", name, *arguments)
        except DispatchError:
            assert ext.state_root() == root
        ext.runtime.try_state()
        bonds = sum(neuron.bond for _, neuron in ext.runtime.neurons.neurons.items())
        assert sum(ext.runtime.balances.reserved(who) for who in (ALICE, BOB, CAROL)) == bonds
