"""When epochs run: so many in a block, who waited longest first; what idle subnets cost; who shares."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.incentive.messages import EpochRun
from runtime.pallets.subnets.messages import Error, HyperparameterSet
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.subnets.types import Kind
from tests.runtime.pallets.market import ASY, EVE, NUMBERS, market, text

TEMPO = 20
FIRST = 19
"""(19 + 1) % 20 == 0: the first epoch of every subnet whose netuid is 1 above a multiple of the tempo."""
CROWD = [1, 21, 41, 61, 81]
MINTED = 4 * ASY // 5
"""planck for the subnets in every block"""


def subnet(**numbers: int) -> dict[str, Any]:
    """Return a subnet of Eve's."""
    return {"kind": "Inference", "owner": text(EVE), "hyperparameters": NUMBERS | numbers}


def crowd(most: int = 2, **numbers: int) -> Externalities:
    """Return five subnets whose epochs are due in the same blocks."""
    constants = {"Incentive": {"MaxEpochsPerBlock": most}}
    subnets = {netuid: subnet(**numbers) for netuid in CROWD}
    return market(subnets=subnets, neurons={}, incentive={}, constants=constants)


def ran(ext: Externalities) -> list[int]:
    """Return the subnets whose epoch ran in the open block."""
    return [event.netuid for event in ext.new_events() if isinstance(event, EpochRun)]


def run(ext: Externalities, last: int) -> dict[int, list[int]]:
    """Return which epochs ran in which block, up to one."""
    found = {}
    while ext.number < last:
        ext.run_to_block(ext.number + 1)
        ext.runtime.try_state()
        if epochs := ran(ext):
            found[ext.number] = epochs
    return found


def test_so_many_epochs_run_in_a_block_and_the_others_in_the_next_ones():
    ext = crowd()
    assert run(ext, 45) == {19: [1, 21], 20: [41, 61], 21: [81], 39: [1, 21], 40: [41, 61], 41: [81]}
    assert [ext.runtime.incentive.epochs_run(netuid) for netuid in CROWD] == [2] * 5
    assert [ext.runtime.incentive.last_epoch_block(netuid) for netuid in CROWD] == [39, 39, 40, 40, 41]


def test_an_epoch_that_is_late_takes_what_was_minted_until_it_runs():
    ext = crowd()
    ext.run_to_block(FIRST)
    first = [event.emission for event in ext.new_events() if isinstance(event, EpochRun)]
    assert first == [FIRST * MINTED // 5] * 2
    ext.run_to_block(FIRST + 1)
    late = [event.emission for event in ext.new_events() if isinstance(event, EpochRun)]
    assert late == [(FIRST + 1) * MINTED // 5] * 2
    ext.runtime.try_state()


def test_a_change_waits_for_an_epoch_that_is_late():
    ext = crowd(most=1)
    ext.run_to_block(10)
    for netuid in CROWD:
        assert_ok(ext, EVE, "Subnets", "set_hyperparameter", netuid, Parameter.kappa_ppm, 600_000)
    applied = {}
    while ext.number < 30:
        ext.run_to_block(ext.number + 1)
        ext.runtime.try_state()
        for event in ext.new_events():
            if isinstance(event, HyperparameterSet):
                applied[event.netuid] = (ext.number, ext.runtime.incentive.last_epoch_block(event.netuid))
    assert applied == {netuid: (20 + place, 19 + place) for place, netuid in enumerate(CROWD)}


def test_the_next_epoch_of_a_late_subnet_is_the_next_block_and_it_is_frozen():
    ext = crowd(most=1)
    ext.run_to_block(FIRST)
    subnets = ext.runtime.subnets
    assert [subnets.next_epoch(netuid, FIRST) for netuid in CROWD] == [39, 20, 20, 20, 20]
    call = ("Subnets", "set_hyperparameter", 81, Parameter.kappa_ppm, 600_000)
    assert_noop(ext, EVE, *call, error=Error.Frozen)


def test_a_paused_subnet_lets_its_epochs_pass():
    ext = crowd()
    assert_ok(ext, Root(), "Subnets", "pause", 21)
    assert run(ext, 29) == {19: [1, 41], 20: [61, 81]}
    assert_ok(ext, Root(), "Subnets", "unpause", 21)
    assert run(ext, 40) == {39: [1, 21], 40: [41, 61]}
    assert ext.runtime.incentive.epochs_run(21) == 1


def test_after_a_pause_judges_have_half_a_tempo():
    ext = crowd()
    assert_ok(ext, Root(), "Subnets", "pause", 21)
    ext.run_to_block(30)
    assert_ok(ext, Root(), "Subnets", "unpause", 21)
    assert ext.runtime.subnets.next_epoch(21, 30) == 59  # 39 is nine blocks away


def test_what_was_scheduled_waits_for_the_epoch_after_a_pause():
    ext = crowd()
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", 21, Parameter.kappa_ppm, 600_000)
    assert_ok(ext, Root(), "Subnets", "pause", 21)
    ext.run_to_block(11)
    assert_ok(ext, Root(), "Subnets", "unpause", 21)
    ext.run_to_block(39)
    ext.runtime.try_state()
    assert ext.runtime.subnets.changes_at(21, 39) == 40
    assert ext.runtime.subnets.parameters(21).kappa_ppm == 500_000
    ext.run_to_block(40)
    assert ext.runtime.subnets.parameters(21).kappa_ppm == 600_000


def test_another_tempo_moves_the_next_epoch():
    ext = crowd()
    ext.run_to_block(10)
    assert_ok(ext, Root(), "Subnets", "set_hyperparameter", 41, Parameter.tempo, 10)
    assert run(ext, 45)[29] == [41]
    assert ext.runtime.subnets.next_epoch(41, 45) == 49
    assert_noop(ext, EVE, "Subnets", "set_hyperparameter", 7, Parameter.tempo, 9, error=Error.UnknownSubnet)


def touched(ext: Externalities) -> int:
    """Return how many entries of the state the hooks of the next block read or write."""
    ext.close_block()
    ext.open_block()
    read = len(ext.overlay._read)
    ext.close_block()
    return read + len(ext.overlay.changes)


def test_idle_subnets_cost_a_block_nothing():
    def changed(count: int) -> int:
        subnets = {netuid: subnet() for netuid in range(1, count + 1)}
        # block 2: the first epoch of 128 subnets is in block 12
        return touched(market(subnets=subnets, neurons={}, incentive={}))

    assert changed(8) == changed(1)


def test_what_is_scheduled_costs_nothing_before_its_time():
    def changed(count: int) -> int:
        ext = market()
        for parameter in list(Parameter)[:count]:
            value = getattr(ext.runtime.subnets.parameters(1), parameter.name)
            assert_ok(ext, Root(), "Subnets", "set_hyperparameter", 1, parameter, value)
        return touched(ext)

    assert changed(30) == changed(0)


def test_after_a_late_epoch_judges_have_half_a_tempo_at_least():
    crowd = {netuid: subnet(tempo=40) for netuid in (1, 41, 81, 121, 161)}
    subnets = crowd | {201: subnet(tempo=8)}
    ext = market(subnets=subnets, neurons={}, incentive={}, constants={"Incentive": {"MaxEpochsPerBlock": 1}})
    epochs = [block for block, netuids in run(ext, 64).items() if 201 in netuids]
    assert epochs == [7, 15, 23, 31, 44, 55, 63]  # behind the crowd in 39; 47 would be too soon


def test_a_shorter_tempo_leaves_the_judges_time():
    ext = market(subnets={1: subnet()}, neurons={}, incentive={})
    assert_ok(ext, Root(), "Subnets", "set_hyperparameter", 1, Parameter.tempo, 7)
    assert list(run(ext, 40)) == [FIRST, 27, 34]  # 20 would be the first multiple


def test_a_change_of_shares_counts_from_the_block_it_is_made_in():
    ext = market(subnets={1: subnet(), 2: subnet()}, neurons={}, incentive={})
    ext.run_to_block(10)
    assert_ok(ext, Root(), "Subnets", "set_hyperparameter", 1, Parameter.emission_share, 3)
    ext.run_to_block(20)  # the epochs are in blocks 18 and 19; the change is made in block 20
    assert ext.runtime.subnets.parameters(1).emission_share == 3
    ext.run_to_block(25)
    incentive = ext.runtime.incentive
    incentive.allocate()
    waiting = {netuid: incentive.pots[netuid] + incentive.carried_over[netuid] for netuid in (1, 2)}
    assert waiting == {1: 19 * MINTED // 2 + 6 * MINTED * 3 // 4, 2: 19 * MINTED // 2 + 6 * MINTED // 4}


def test_a_new_subnet_has_no_share_in_what_was_minted_before():
    ext = market(subnets={1: subnet()}, neurons={}, incentive={})
    ext.run_to_block(5)
    assert_ok(ext, Root(), "Subnets", "create", Kind.Inference, EVE, [])
    ext.run_to_block(8)
    ext.runtime.incentive.allocate()
    assert dict(ext.runtime.incentive.pots.items()) == {1: 5 * MINTED + 3 * MINTED // 2, 2: 3 * MINTED // 2}


SUBNETS = st.dictionaries(st.integers(1, 200), st.integers(3, 9), min_size=1, max_size=6)


@settings(max_examples=8, deadline=None)
@given(tempos=SUBNETS, most=st.integers(1, 3))
def test_no_block_runs_more_epochs_than_it_may_and_none_is_forgotten(tempos: dict[int, int], most: int):
    ext = market(
        subnets={netuid: subnet(tempo=tempo, freeze_window=1) for netuid, tempo in tempos.items()},
        neurons={},
        incentive={},
        constants={"Incentive": {"MaxEpochsPerBlock": most}},
    )
    waited = dict.fromkeys(tempos, 0)
    while ext.number < 27:
        ext.run_to_block(ext.number + 1)
        epochs = ran(ext)
        assert len(epochs) <= most
        for netuid, tempo in tempos.items():
            waited[netuid] = 0 if netuid in epochs else waited[netuid] + 1
            assert waited[netuid] < tempo + tempo // 2 + len(tempos) // most + 1
    ext.runtime.try_state()
