"""Subnets: creation, bounded numbers that change after an epoch, owners, the emergency brake."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.layout import ModelConfig
from miners.parameters import BOUNDS as TRAINING_BOUNDS
from miners.parameters import TrainingParameters
from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, DispatchError
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.subnets.messages import (
    Error,
    HyperparameterScheduled,
    HyperparameterSet,
    NetworkAdded,
    NetworkPaused,
    NetworkUnpaused,
    OwnerSet,
)
from runtime.pallets.subnets.numbers import (
    BOUNDS,
    FIXED,
    ROOT_ONLY,
    Hyperparameters,
    Parameter,
    Within,
    problem_with,
)
from runtime.pallets.subnets.pallet import epoch_after
from runtime.pallets.subnets.types import Kind, Network, Setting
from tests.runtime.pallets.market import ALICE, CAROL, EVE, INFERENCE, NUMBERS, TRAINING, market

NEXT_EPOCH = 19
"""The training subnet's first epoch: (19 + netuid 1) % tempo 20 == 0."""


def schedule(ext, origin, parameter, value):
    assert_ok(ext, origin, "Subnets", "set_hyperparameter", TRAINING, parameter, value)


def test_every_hyperparameter_has_one_name_on_the_wire_and_bounds_that_hold_its_default():
    names = [field.name for field in fields(Hyperparameters)]
    assert list(Parameter.__members__) == names
    assert [member.value for member in Parameter] == list(range(len(names)))
    assert problem_with(Hyperparameters()) is None


def test_training_numbers_are_those_miners_and_judges_accept():
    numbers = asdict(Hyperparameters())
    accepted = TrainingParameters.from_integers(numbers).to_integers()
    assert accepted == {name: numbers[name] for name in accepted}
    assert {name: BOUNDS[name] for name in TRAINING_BOUNDS} == {
        name: Within(*bounds) for name, bounds in TRAINING_BOUNDS.items()
    }
    shape = {field.name: BOUNDS[field.name].most for field in fields(ModelConfig)}
    assert ModelConfig(**shape).vocabulary == 1 << 20


def test_genesis_creates_subnets():
    subnets = market().runtime.subnets
    assert subnets.netuids() == [TRAINING, INFERENCE]
    assert subnets.networks[TRAINING] == Network(Kind.Training, EVE, 0)
    assert subnets.parameters(INFERENCE) == Hyperparameters(**NUMBERS)
    assert (subnets.is_training(TRAINING), subnets.is_training(INFERENCE)) == (True, False)
    assert (subnets.exists(TRAINING), subnets.exists(9)) == (True, False)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"tempo": 1}, "subnet 1: tempo is 1, must be 3 to 50400"),
        ({"burn_min": 20, "burn_max": 10}, "subnet 1: burn_min is above burn_max"),
        ({"activity_cutoff": 359}, "subnet 1: activity_cutoff is below tempo"),
        ({"temper": 1}, r"subnet 1: there are no hyperparameters \['temper'\]"),
    ],
)
def test_a_genesis_with_wrong_numbers_is_refused_with_a_sentence(numbers, sentence):
    section = {"kind": "Training", "owner": "0x" + EVE.hex(), "hyperparameters": numbers}
    with pytest.raises(AssertionError, match=sentence):
        market(subnets={1: section}, neurons={}, incentive={})


def test_root_creates_a_subnet_under_the_next_netuid():
    ext = market()
    settings = [Setting(Parameter.tempo, 100), Setting(Parameter.hidden, 256)]
    assert_ok(ext, Root(), "Subnets", "create", Kind.Inference, CAROL, settings)
    assert ext.runtime.subnets.networks[3] == Network(Kind.Inference, CAROL, 1)
    assert ext.runtime.subnets.parameters(3) == Hyperparameters(tempo=100, hidden=256)
    assert ext.new_events()[-1] == NetworkAdded(3, Kind.Inference, CAROL)


def test_create_is_refused():
    ext = market()
    create = ("Subnets", "create", Kind.Inference, CAROL)
    assert_noop(ext, ALICE, *create, [], error=BadOrigin())
    assert_noop(ext, Root(), *create, [Setting(Parameter.tempo, 0)], error=Error.OutOfBounds)
    assert_noop(ext, Root(), *create, [Setting(Parameter.heads, 3)], error=Error.Contradiction)


def test_there_are_only_so_many_subnets():
    ext = market(constants={"Subnets": {"MaxSubnets": 3}})
    assert_ok(ext, Root(), "Subnets", "create", Kind.Inference, CAROL, [])
    assert_noop(ext, Root(), "Subnets", "create", Kind.Inference, CAROL, [], error=Error.TooManySubnets)


def test_a_hyperparameter_changes_in_the_block_after_the_next_epoch():
    ext = market()
    schedule(ext, EVE, Parameter.kappa_ppm, 600_000)
    assert ext.new_events()[-1] == HyperparameterScheduled(
        TRAINING, Parameter.kappa_ppm, 600_000, NEXT_EPOCH + 1
    )
    assert ext.runtime.subnets.pending_changes[TRAINING, Parameter.kappa_ppm] == 600_000
    assert ext.runtime.subnets.changes_at(TRAINING, ext.number) == NEXT_EPOCH + 1
    ext.run_to_block(NEXT_EPOCH)
    assert ext.runtime.subnets.changes_at(TRAINING, ext.number) == NEXT_EPOCH + 1
    assert ext.runtime.subnets.parameters(TRAINING).kappa_ppm == 500_000
    ext.run_to_block(NEXT_EPOCH + 1)
    assert HyperparameterSet(TRAINING, Parameter.kappa_ppm, 600_000) in ext.new_events()
    assert ext.runtime.subnets.parameters(TRAINING) == Hyperparameters(**NUMBERS | {"kappa_ppm": 600_000})
    assert list(ext.runtime.subnets.pending_changes.items()) == []
    ext.runtime.try_state()


def test_the_last_value_scheduled_counts():
    ext = market()
    schedule(ext, EVE, Parameter.top_k, 30)
    schedule(ext, Root(), Parameter.top_k, 40)
    ext.run_to_block(NEXT_EPOCH + 1)
    assert ext.runtime.subnets.parameters(TRAINING).top_k == 40


def test_nothing_is_scheduled_inside_the_freeze_window():
    ext = market()
    ext.run_to_block(NEXT_EPOCH - 3)
    schedule(ext, EVE, Parameter.top_k, 64)
    for frozen in (NEXT_EPOCH - 2, NEXT_EPOCH - 1, NEXT_EPOCH):
        ext.run_to_block(frozen)
        call = ("Subnets", "set_hyperparameter", TRAINING, Parameter.top_k, 32)
        assert_noop(ext, EVE, *call, error=Error.Frozen)
    ext.run_to_block(NEXT_EPOCH + 1)
    schedule(ext, EVE, Parameter.top_k, 32)


def test_no_half_of_what_agrees_comes_into_force():
    """In an epoch's block, what is due in the next one could be put off and leave the rest without it."""
    ext = market()
    schedule(ext, EVE, Parameter.chunk, 2_048)
    schedule(ext, EVE, Parameter.top_k, 2_048)
    ext.run_to_block(NEXT_EPOCH + 1)
    schedule(ext, EVE, Parameter.top_k, 64)
    schedule(ext, EVE, Parameter.chunk, 1_024)
    ext.run_to_block(NEXT_EPOCH + 20)
    call = ("Subnets", "set_hyperparameter", TRAINING, Parameter.top_k, 512)
    assert_noop(ext, EVE, *call, error=Error.Frozen)
    ext.run_to_block(NEXT_EPOCH + 21)
    ext.runtime.try_state()
    numbers = ext.runtime.subnets.parameters(TRAINING)
    assert (numbers.chunk, numbers.top_k) == (1_024, 64)


@pytest.mark.parametrize(("tempo", "window"), [(3, 1), (4, 2), (20, 10)])
def test_no_freeze_window_lasts_for_ever(tempo, window):
    """An owner who froze all blocks of a tempo would lock root out."""
    numbers = NUMBERS | {"tempo": tempo, "freeze_window": window}
    section = {"kind": "Training", "owner": "0x" + EVE.hex(), "hyperparameters": numbers}
    ext = market(subnets={TRAINING: section}, neurons={}, incentive={})
    while not ext.runtime.subnets.epochs_ended.get():
        ext.run_to_block(ext.number + 1)
    ext.run_to_block(ext.number + 1)
    schedule(ext, Root(), Parameter.kappa_ppm, 600_000)
    ext.runtime.try_state()


def test_set_hyperparameter_is_refused():
    ext = market()

    def refused(origin, parameter, value, error, netuid=TRAINING):
        assert_noop(ext, origin, "Subnets", "set_hyperparameter", netuid, parameter, value, error=error)

    refused(ALICE, Parameter.tempo, 30, Error.NotOwner)
    refused(EVE, Parameter.tempo, 30, Error.UnknownSubnet, netuid=7)
    refused(Root(), Parameter.tempo, 1, Error.OutOfBounds)
    refused(EVE, Parameter.kappa_ppm, 499_999, Error.OutOfBounds)
    refused(EVE, Parameter.owner_cut_ppm, 100_001, Error.OutOfBounds)
    for name in sorted(ROOT_ONLY):
        refused(EVE, Parameter[name], BOUNDS[name].least, Error.OnlyRoot)
    refused(Root(), Parameter.tempo, 201, Error.Contradiction)
    refused(EVE, Parameter.activity_cutoff, 19, Error.Contradiction)
    refused(EVE, Parameter.freeze_window, 0, Error.OutOfBounds)
    refused(EVE, Parameter.burn_min, 9, Error.OutOfBounds)
    refused(EVE, Parameter.hidden, 256, Error.FixedAtCreation)
    refused(EVE, Parameter.top_k, 5_000, Error.Contradiction)
    refused(EVE, Parameter.freeze_window, 11, Error.Contradiction)


def test_no_value_beyond_its_bounds_is_scheduled():
    ext = market()
    for parameter in Parameter:
        bounds = BOUNDS[parameter.name]
        for value in (bounds.least - 1, bounds.most + 1, (1 << 128) - 1):
            if value >= 0:
                with pytest.raises(DispatchError) as refusal:
                    ext.dispatch(Root(), "Subnets", "set_hyperparameter", TRAINING, parameter, value)
                fixed = parameter.name in FIXED
                assert refusal.value.reason is (Error.FixedAtCreation if fixed else Error.OutOfBounds)
    assert list(ext.runtime.subnets.pending_changes.items()) == []


def test_values_must_agree_with_what_is_scheduled_already():
    ext = market()
    schedule(ext, EVE, Parameter.chunk, 1_024)
    call = ("Subnets", "set_hyperparameter", TRAINING, Parameter.top_k, 2_048)
    assert_noop(ext, EVE, *call, error=Error.Contradiction)
    schedule(ext, EVE, Parameter.top_k, 1_024)
    ext.run_to_block(NEXT_EPOCH + 1)
    numbers = ext.runtime.subnets.parameters(TRAINING)
    assert (numbers.chunk, numbers.top_k) == (1_024, 1_024)


def test_an_owner_hands_over():
    ext = market()
    assert_noop(ext, ALICE, "Subnets", "set_owner", TRAINING, ALICE, error=Error.NotOwner)
    assert_ok(ext, EVE, "Subnets", "set_owner", TRAINING, CAROL)
    assert ext.new_events()[-1] == OwnerSet(TRAINING, CAROL)
    assert_noop(ext, EVE, "Subnets", "set_owner", TRAINING, EVE, error=Error.NotOwner)
    assert_ok(ext, Root(), "Subnets", "set_owner", TRAINING, EVE)
    assert ext.runtime.subnets.networks[TRAINING].owner == EVE


def test_root_pauses_and_unpauses():
    ext = market()
    assert_noop(ext, EVE, "Subnets", "pause", TRAINING, error=BadOrigin())
    assert_noop(ext, Root(), "Subnets", "pause", 7, error=Error.UnknownSubnet)
    assert_noop(ext, Root(), "Subnets", "unpause", TRAINING, error=Error.NotPaused)
    assert_ok(ext, Root(), "Subnets", "pause", TRAINING)
    assert ext.runtime.subnets.is_paused(TRAINING)
    assert_noop(ext, Root(), "Subnets", "pause", TRAINING, error=Error.AlreadyPaused)
    assert_ok(ext, Root(), "Subnets", "unpause", TRAINING)
    assert not ext.runtime.subnets.is_paused(TRAINING)
    assert [e for e in ext.new_events() if type(e) in (NetworkPaused, NetworkUnpaused)] == [
        NetworkPaused(TRAINING),
        NetworkUnpaused(TRAINING),
    ]


@given(now=st.integers(0, 1 << 32), netuid=st.integers(0, 65_535), tempo=st.integers(2, 50_400))
def test_epochs_are_a_tempo_apart_and_the_next_is_the_first_after_now(now, netuid, tempo):
    epoch = epoch_after(now, netuid, tempo)
    assert now < epoch <= now + tempo
    assert epoch_after(epoch - 1, netuid, tempo) == epoch
    assert epoch_after(epoch, netuid, tempo) == epoch + tempo
    assert epoch_after(now, netuid + 1, tempo) != epoch
