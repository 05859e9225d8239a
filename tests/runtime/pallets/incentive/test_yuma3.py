"""Yuma 3: cases derived by hand in exact integers, in the rules of Bittensor's fixed point.

A fraction x is floor(x * 2^32). With 2^32 = 4,294,967,296 the dials are:
  kappa = 500,000 ppm -> 32,767 of 65,535 -> floor(32,767 * 2^32 / 65,535) = 2,147,450,879, less than a half
  what is kept of a bond: floor(0.9 * 2^32) = 3,865,470,566; what is new: 2^32 - that = 429,496,730
"""

from dataclasses import replace

import pytest

from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import EpochOutput, Hyperparameters
from tests.runtime.pallets.incentive.networks import WHOLE, network
from tests.runtime.pallets.incentive.slow_yuma3 import slow_yuma3

YUMA = {"consensus": "yuma3"}


def test_one_validator_and_one_miner() -> None:
    """Everything is one; the bond is 429,496,730 * 65,535 / 2^32 = 6,553.5; half and half of 1,200."""
    assert run_epoch(network([100, 0], {0: {1: 7}}, **YUMA)) == EpochOutput(
        consensus=[0, WHOLE],
        incentive=[0, WHOLE],
        dividends=[WHOLE, 0],
        validator_trust=[WHOLE, 0],
        permit=[True, False],
        bonds=[[(1, 6553)], []],
        emission=[600, 600],
        carried=0,
        validator_emission=[600, 0],
    )


def test_half_of_the_stake_decides_alone() -> None:
    """Each judge has 2^31 = 2,147,483,648, which is not below kappa: both scores are the consensus."""
    outcome = run_epoch(network([5, 5, 0, 0], {0: {2: 1}, 1: {3: 1}}, **YUMA))
    assert outcome.consensus == [0, 0, WHOLE, WHOLE]
    assert outcome.incentive == [0, 0, 32767, 32767]
    assert outcome.emission == [300, 300, 300, 300]


def test_three_judges_with_bonds() -> None:
    """Stakes 50, 30, 20; every product and quotient below is rounded down.

    stake     2,147,483,648  1,288,490,188  858,993,459: sum 2^32 - 1; normalised again, twice: the same
    scores    uid 3: 3,221,225,472 (3/4)  2,147,483,648 (1/2)  -
              uid 4: 1,073,741,824 (1/4)  2,147,483,648 (1/2)  4,294,967,296 (1)
    consensus uid 3: the first judge's 3/4 has 2,147,483,648 >= kappa
              uid 4: 1 has 858,993,459; 1/2 has that + 1,288,490,188 = 2,147,483,647 >= kappa
    clipped   only the third judge's 1 becomes 1/2; so trust is 1, 1, 1/2
    rank      uid 3: 1,610,612,736 + 644,245,094 = 2,254,857,830
              uid 4: 536,870,912 + 644,245,094 + 429,496,729 = 1,610,612,735; together 3,865,470,565
    incentive 2,254,857,830 * 2^32 / 3,865,470,565 = 2,505,397,589; and 1,789,569,706
    old bonds uid 3: 65,535 -> 2^32, 32,768 -> 2,147,516,416; uid 4: 1,000 -> 65,537,000 (second judge)
    bonds     uid 3: 3,865,470,566 + 322,122,547 = 4,187,593,113; 1,932,764,774 + 214,748,365 = 2,147,513,139
              uid 4: 107,374,182; 58,983,299 + 214,748,365 = 273,731,664; 214,748,365
              sums: 6,335,106,252 and 595,854,211
    parts     uid 3: 2,839,032,962  1,455,934,333  0; uid 4: 773,962,139  1,973,080,869  1,547,924,286
    in bonds  1,656,102,560 + 322,484,224 = 1,978,586,784; 849,295,027 + 822,117,028 = 1,671,412,055;
              644,968,452; times stake: 989,293,392  501,423,616  128,993,690: together 1,619,710,698
    dividends 2,623,297,339  1,329,618,946  342,051,009
    emission  incentives sum to 2^32 - 1, dividends to 2^32 - 2: T = 8,589,934,589
              1,252,698,794  894,784,853 | 1,311,648,669  664,809,473  171,025,504, each * 10^18 / 2^32
    """
    outcome = run_epoch(
        network(
            [50, 30, 20, 0, 0],
            {0: {3: 3, 4: 1}, 1: {3: 1, 4: 1}, 2: {4: 1}},
            bonds=[[(3, 65535)], [(3, 32768), (4, 1000)], [], [], []],
            emission=10**18,
            **YUMA,
        )
    )
    assert outcome == EpochOutput(
        consensus=[0, 0, 0, 49151, 32767],
        incentive=[0, 0, 0, 38228, 27306],
        dividends=[40027, 20288, 5219, 0, 0],
        validator_trust=[WHOLE, WHOLE, 32767, 0, 0],
        permit=[True, True, True, False, False],
        bonds=[[(3, 63896), (4, 1638)], [(3, 32767), (4, 4176)], [(4, 3276)], [], []],
        emission=[
            305392003851011395,
            154788017505779862,
            39819978177547454,
            291666666511446237,
            208333333255723118,
        ],
        carried=698491934,
        validator_emission=[305392003851011395, 154788017505779862, 39819978177547454, 0, 0],
    )


def test_dividends_go_where_those_of_bittensor_go() -> None:
    """Its own test of one judge that strays in the third epoch; penalty 0, a fortieth of a bond is new.

    Source: opentensor/subtensor, epoch tests, test_yuma_3_liquid_alpha_disabled (to four decimals).
    """
    dials = Hyperparameters(bonds_penalty_ppm=0, bonds_moving_average_ppm=975_000)
    epoch = network([33, 33, 34, 0, 0], {judge: {3: 1} for judge in range(3)}, hyperparameters=dials, **YUMA)
    seen = []
    for number in range(6):
        strays = replace(epoch, weights=[[(3, 1)], [(3, 1)], [(4, 1)], [], []])
        outcome = run_epoch(strays if number == 2 else epoch)
        seen.append([round(each / WHOLE, 4) for each in outcome.dividends[:3]])
        epoch = replace(epoch, bonds=outcome.bonds)
    published = [
        [0.3300, 0.3300, 0.3400],
        [0.3300, 0.3300, 0.3400],
        [0.3734, 0.3734, 0.2532],
        [0.3611, 0.3611, 0.2779],
        [0.3541, 0.3541, 0.2919],
        [0.3495, 0.3495, 0.3009],
    ]
    for ours, theirs in zip(seen, published, strict=True):
        assert ours == pytest.approx(theirs, abs=1.5e-4)
    assert [[round(bond / WHOLE, 4) for _, bond in row] for row in outcome.bonds[:3]] == [
        [pytest.approx(0.1409, abs=1e-4)],
        [pytest.approx(0.1409, abs=1e-4)],
        [pytest.approx(0.1178, abs=1.5e-4), pytest.approx(0.0232, abs=1.5e-4)],
    ]


def test_half_a_penalty_is_half_way_between_said_and_agreed() -> None:
    """500,000 ppm -> 32,767 of 65,535 -> 2,147,450,879 of 2^32, times 1/2 too much: -1,073,725,439.5.

    Rounded down that takes 1,073,725,440 from 2^32: 3,221,241,856; a tenth of it is 322,124,186, stored as
    4,915. The agreed 1/2 of the others: 214,748,365, stored as 3,276.
    """
    dials = Hyperparameters(bonds_penalty_ppm=500_000)
    weights = {0: {3: 1}, 1: {3: 1, 4: 1}, 2: {3: 1, 4: 1}}
    outcome = run_epoch(network([1, 1, 1, 0, 0], weights, hyperparameters=dials, **YUMA))
    assert outcome.consensus == [0, 0, 0, 32767, 32767]
    assert outcome.bonds[:3] == [[(3, 4915)], [(3, 3276), (4, 3276)], [(3, 3276), (4, 3276)]]


def test_a_kappa_of_one_that_rounding_cannot_reach_takes_the_lowest_score() -> None:
    """Thirds of 2^32 sum to 2^32 - 1, below kappa = 2^32: uid 3 has its lowest, 1/4; 4 and 5 have none."""
    dials = Hyperparameters(kappa_ppm=1_000_000)
    weights = {0: {3: 1, 4: 1}, 1: {3: 1, 4: 1}, 2: {3: 1, 5: 3}}
    outcome = run_epoch(network([1, 1, 1, 0, 0, 0], weights, hyperparameters=dials, **YUMA))
    assert outcome.consensus == [0, 0, 0, 16383, 0, 0]


def test_a_permit_counts_from_the_next_epoch_on() -> None:
    epoch = network([10, 0], {0: {1: 1}}, permit=[False, False], **YUMA)
    first = run_epoch(epoch)
    assert (first.permit, first.carried) == ([True, False], 1200)
    assert run_epoch(replace(epoch, permit=first.permit)).emission == [600, 600]


def test_of_equal_stakes_the_higher_uids_have_the_permits() -> None:
    dials = Hyperparameters(max_permits=2)
    outcome = run_epoch(network([7, 9, 7, 7, 0], {}, owner_uid=4, hyperparameters=dials, **YUMA))
    assert outcome.permit == [False, True, False, True, True]


def test_a_stake_below_a_part_in_2_32_has_no_permit() -> None:
    assert run_epoch(network([1 << 33, 1, 3], {}, **YUMA)).permit == [True, False, True]


def test_who_loses_the_permit_loses_the_bonds() -> None:
    """1,000 of 65,535 is 65,537,000; 58,983,299 of it is kept, 429,496,730 new: 7,453.49 of 65,535."""
    bonds = [[(2, 1000)], [(2, 1000)], []]
    epoch = network([0, 100, 0], {1: {2: 1}}, bonds=bonds, permit=[True, True, False], **YUMA)
    assert run_epoch(epoch).bonds == [[], [(2, 7453)], []]


@pytest.mark.parametrize(("updated", "paid"), [(89, 0), (90, 1200)])
def test_the_activity_cutoff_and_not_the_epoch_says_who_votes(updated: int, paid: int) -> None:
    dials = Hyperparameters(activity_cutoff=10)
    epoch = network([5, 0], {0: {1: 1}}, last_update=[updated, 0], last_epoch_block=95, **YUMA)
    assert sum(run_epoch(replace(epoch, hyperparameters=dials)).emission) == paid


@pytest.mark.parametrize(
    ("last_epoch_block", "registered", "bond"),
    [(80, 80, WHOLE), (80, 81, 6553), (0, 79, WHOLE), (0, 80, 6553)],
)
def test_a_bond_to_a_predecessor_is_gone(last_epoch_block: int, registered: int, bond: int) -> None:
    """Before the first epoch the last one is taken to be a tempo ago: 100 - 20."""
    changes = {"last_epoch_block": last_epoch_block, "registered": [0, registered]}
    outcome = run_epoch(network([5, 0], {0: {1: 1}}, bonds=[[(1, WHOLE)], []], **changes, **YUMA))
    assert outcome.bonds[0] == [(1, bond)]


@pytest.mark.parametrize(("committed", "paid"), [(0, 1200), (84, 0), (85, 1200)])
def test_a_row_committed_before_the_neuron_came_is_not_about_it(committed: int, paid: int) -> None:
    epoch = network([5, 0], {0: {1: 1}}, registered=[0, 85], pending_commit=[committed, 0], **YUMA)
    assert sum(run_epoch(epoch).emission) == paid


def test_the_owner_judges_without_permit_scores_itself_and_has_its_cut_first() -> None:
    """Of 1,200 a tenth is the owner's cut; half of the rest is for what it mined, half for its judgement."""
    dials = Hyperparameters(owner_cut_ppm=100_000)
    epoch = network([5, 0], {0: {0: 1}}, permit=[False, False], hyperparameters=dials, **YUMA)
    assert run_epoch(epoch).carried == 1200
    outcome = run_epoch(replace(epoch, owner_uid=0))
    assert (outcome.emission, outcome.validator_emission) == ([1200, 0], [540, 0])


def test_where_nothing_is_earned_nothing_is_paid() -> None:
    """Bittensor pays by stake here."""
    dials = Hyperparameters(owner_cut_ppm=100_000)
    epoch = network([100, 100, 0], {0: {}, 1: {}}, owner_uid=2, hyperparameters=dials, **YUMA)
    outcome = run_epoch(epoch)
    assert (sum(outcome.emission), outcome.carried) == (0, 1200)


def test_an_empty_subnet_carries_everything() -> None:
    assert run_epoch(network([], {}, **YUMA)) == EpochOutput([], [], [], [], [], [], [], 1200, [])


def test_the_model_knows_the_derived_case() -> None:
    """What was derived by hand judges the model of the random comparison too."""
    weights = {0: {3: 3, 4: 1}, 1: {3: 1, 4: 1}, 2: {4: 1}}
    bonds = [[(3, 65535)], [(3, 32768), (4, 1000)], [], [], []]
    outcome = slow_yuma3(network([50, 30, 20, 0, 0], weights, bonds=bonds, emission=10**18, **YUMA))
    assert (outcome.dividends[:3], outcome.carried) == ([40027, 20288, 5219], 698491934)
