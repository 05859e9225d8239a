"""The median epoch: small networks by hand, and what must hold for all of them."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import EpochInput, EpochOutput, Hyperparameters, Row
from tests.runtime.pallets.incentive.networks import WHOLE, network, stash


def nothing_paid(epoch: EpochInput, outcome: EpochOutput) -> bool:
    return (sum(outcome.emission), outcome.carried) == (0, epoch.emission)


# By hand.


def test_one_validator_and_one_miner() -> None:
    assert run_epoch(network([100, 0], {0: {1: 7}})) == EpochOutput(
        consensus=[0, WHOLE],
        incentive=[0, WHOLE],
        dividends=[WHOLE, 0],
        validator_trust=[WHOLE, 0],
        permit=[True, False],
        bonds=[[(1, 6553)], []],  # a tenth of the whole
        emission=[480, 720],
        carried=0,
        validator_emission=[480, 0],
    )


def test_two_equal_validators_agree_on_what_both_support() -> None:
    outcome = run_epoch(network([100, 100, 0, 0], {0: {2: 1, 3: 1}, 1: {2: 3, 3: 1}}))
    assert outcome == EpochOutput(
        consensus=[0, 0, 32767, 16383],  # 1/2 and 1/4
        incentive=[0, 0, 43690, 21845],  # 2/3 and 1/3
        dividends=[32767, 32767, 0, 0],
        validator_trust=[49151, 49151, 0, 0],  # 3/4 of each row is not above the consensus
        permit=[True, True, False, False],
        bonds=[[(2, 3276), (3, 1638)], [(2, 3276), (3, 1638)], [], []],
        emission=[240, 240, 480, 240],
        carried=0,
        validator_emission=[240, 240, 0, 0],
    )


def test_two_of_three_outvote_the_third_who_earns_nothing() -> None:
    outcome = run_epoch(network([5, 5, 5, 0, 0], {0: {3: 1}, 1: {3: 1}, 2: {4: 1}}))
    assert outcome.consensus == [0, 0, 0, WHOLE, 0]
    assert outcome.emission == [240, 240, 0, 720, 0]
    assert outcome.dividends == [32767, 32767, 0, 0, 0]
    assert outcome.validator_trust == [WHOLE, WHOLE, 0, 0, 0]
    assert outcome.bonds == [[(3, 6553)], [(3, 6553)], [], [], []]


def test_two_of_four_equals_decide_nothing() -> None:
    epoch = network([5] * 4 + [0, 0], {0: {4: 1}, 1: {4: 1}, 2: {5: 1}, 3: {5: 1}})
    outcome = run_epoch(epoch)
    assert outcome.consensus == [0] * 6
    assert nothing_paid(epoch, outcome)


def test_three_of_four_equals_do() -> None:
    outcome = run_epoch(network([5] * 4 + [0, 0], {0: {4: 1}, 1: {4: 1}, 2: {4: 1}, 3: {5: 1}}))
    assert outcome.emission == [160, 160, 160, 0, 720, 0]


@pytest.mark.parametrize("validators", [2, 4, 6, 10, 62])
def test_half_of_equal_validators_never_decide(validators: int) -> None:
    """Rounding to shares must not break the tie for the half that gets the remainders."""
    half = validators // 2
    epoch = network(
        [1] * validators + [0], {i: ({validators: 1} if i < half else {}) for i in range(validators)}
    )
    assert nothing_paid(epoch, run_epoch(epoch))


def test_dividends_follow_stake_and_agreement() -> None:
    outcome = run_epoch(network([300, 100, 0], {0: {2: 1}, 1: {2: 1}}))
    assert outcome.emission == [360, 120, 720]


def test_an_older_bond_earns_more_than_a_fresh_one() -> None:
    bonds = [[(2, WHOLE)], [], []]
    outcome = run_epoch(network([100, 100, 0], {0: {2: 1}, 1: {2: 1}}, bonds=bonds))
    # bonds: 0.9 * 1 + 0.1 * 1 = 1 against 0.1: ten elevenths of 480
    assert outcome.emission == [436, 44, 720]
    assert outcome.bonds == [[(2, WHOLE)], [(2, 6553)], []]


def test_overstating_earns_no_bond_unless_the_penalty_is_off() -> None:
    weights = {0: {2: 1}, 1: {2: 1, 3: 1}}
    assert run_epoch(network([100, 100, 0, 0], weights)).bonds[0] == [(2, 3276)]
    lenient = Hyperparameters(bonds_penalty_ppm=0)
    assert run_epoch(network([100, 100, 0, 0], weights, hyperparameters=lenient)).bonds[0] == [(2, 6553)]


def test_nobody_scored_carries_everything() -> None:
    epoch = network([100, 100, 0], {0: {}, 1: {}}, owner_uid=2)
    outcome = run_epoch(replace(epoch, hyperparameters=Hyperparameters(owner_cut_ppm=100_000)))
    assert nothing_paid(epoch, outcome)


def test_an_empty_subnet_carries_everything() -> None:
    epoch = network([], {})
    assert run_epoch(epoch) == EpochOutput([], [], [], [], [], [], [], 1200, [])


# Voters and quorum.


def test_less_than_half_of_the_stake_is_no_quorum() -> None:
    epoch = network([49, 51, 0], {0: {2: 1}})
    assert nothing_paid(epoch, run_epoch(epoch))


def test_half_of_the_stake_is_a_quorum_and_then_decides_alone() -> None:
    outcome = run_epoch(network([50, 50, 0], {0: {2: 1}}))
    assert outcome.emission == [480, 0, 720]


@pytest.mark.parametrize(("block", "paid"), [(79, 0), (80, 1200), (99, 1200)])
def test_a_row_votes_in_the_epoch_it_was_revealed_in(block: int, paid: int) -> None:
    epoch = network([50, 0], {0: {1: 1}}, last_update=[block, 0])
    assert sum(run_epoch(epoch).emission) == paid


def test_the_activity_cutoff_silences_even_within_the_epoch() -> None:
    epoch = network([50, 0], {0: {1: 1}}, hyperparameters=Hyperparameters(activity_cutoff=9))
    assert nothing_paid(epoch, run_epoch(epoch))


def test_who_never_revealed_is_no_voter_in_the_first_epoch() -> None:
    outcome = run_epoch(network([50, 50, 0], {0: {2: 1}}, last_epoch_block=0))
    assert outcome.emission == [480, 0, 720]


def test_only_permit_holders_vote() -> None:
    weights = {0: {2: 1}, 1: {3: 1}}
    outcome = run_epoch(network([10, 1000, 0, 0], weights, permit=[True, False, False, False]))
    assert outcome.emission == [480, 0, 720, 0]
    assert outcome.permit == [False, True, False, False]  # 10 is below a hundredth of 1010


def test_the_first_epoch_uses_the_new_permits_at_once() -> None:
    outcome = run_epoch(network([10, 0], {0: {1: 1}}, permit=[False, False], last_epoch_block=0))
    assert outcome.emission == [480, 720]


def test_kappa_may_ask_for_more_than_half() -> None:
    weights = {0: {3: 1}, 1: {3: 1}, 2: {}}
    for kappa, paid in ((500_000, 1200), (666_000, 1200), (667_000, 0)):
        dials = Hyperparameters(kappa_ppm=kappa)
        epoch = network([1, 1, 1, 0], weights, hyperparameters=dials)
        assert sum(run_epoch(epoch).emission) == paid


# Rows.


def test_a_zero_is_an_absent_score() -> None:
    written = network([5, 5, 0, 0], {0: {2: 1, 3: 0}, 1: {2: 1}})
    assert run_epoch(written) == run_epoch(replace(written, weights=[[(2, 1)], [(2, 1)], [], []]))


def test_nobody_scores_itself_but_the_owner() -> None:
    epoch = network([5, 0], {0: {0: 3, 1: 1}})
    assert run_epoch(epoch).emission == [480, 720]
    assert run_epoch(replace(epoch, owner_uid=0)).emission == [480 + 540, 180]


@pytest.mark.parametrize(("registered", "paid"), [(89, 1200), (90, 0), (91, 0)])
def test_a_score_older_than_the_neuron_is_for_its_predecessor(registered: int, paid: int) -> None:
    epoch = network([5, 0], {0: {1: 1}}, registered=[0, registered])
    assert sum(run_epoch(epoch).emission) == paid


@pytest.mark.parametrize(("committed", "paid"), [(0, 1200), (84, 0), (85, 1200)])
def test_a_row_committed_before_the_neuron_came_is_not_about_it(committed: int, paid: int) -> None:
    epoch = network([5, 0], {0: {1: 1}}, registered=[0, 85], pending_commit=[committed, 0])
    assert sum(run_epoch(epoch).emission) == paid


@pytest.mark.parametrize(("registered", "bond"), [(79, 65535), (80, 6553)])
def test_a_bond_to_a_predecessor_is_gone(registered: int, bond: int) -> None:
    bonds = [[(1, WHOLE)], []]
    outcome = run_epoch(network([5, 0], {0: {1: 1}}, registered=[0, registered], bonds=bonds))
    assert outcome.bonds[0] == [(1, bond)]


# Permits, bonds after their loss, caps, cuts.


def test_permits_go_to_the_most_staked_and_of_equals_to_the_higher_uid() -> None:
    dials = Hyperparameters(max_permits=2)
    outcome = run_epoch(network([7, 9, 7, 0], {}, hyperparameters=dials))
    assert outcome.permit == [False, True, True, False]


def test_the_uids_of_one_stash_crowd_nobody_out() -> None:
    dials = Hyperparameters(max_permits=4)
    stashes = [stash(0)] * 4 + [stash(number) for number in (4, 5, 6)]
    outcome = run_epoch(network([100] * 4 + [60, 50, 0], {}, stash=stashes, hyperparameters=dials))
    assert outcome.permit == [False, False, True, True, True, True, False]


def test_a_permit_takes_a_hundredth_of_what_the_holders_have() -> None:
    assert run_epoch(network([990, 10, 9], {})).permit == [True, True, False]
    assert run_epoch(network([991, 10], {})).permit == [True, False]


def test_the_owner_always_has_a_permit_and_no_threshold() -> None:
    dials = Hyperparameters(stake_threshold=50)
    epoch = network([100, 10, 10], {}, owner_uid=1, hyperparameters=dials)
    assert run_epoch(epoch).permit == [True, True, False]


def test_bonds_outlive_the_loss_of_a_permit_by_one_epoch() -> None:
    bonds = [[(2, 1000)], [(2, 1000)], []]
    losing = network([0, 100, 0], {1: {2: 1}}, bonds=bonds, permit=[True, True, False])
    outcome = run_epoch(losing)
    assert outcome.permit == [False, True, False]
    assert outcome.bonds == [[(2, 900)], [(2, 900 + 6553)], []]
    after = run_epoch(replace(losing, permit=outcome.permit, bonds=outcome.bonds))
    assert after.bonds[0] == []


def test_one_stash_is_capped_however_many_hotkeys_it_has() -> None:
    """910 in two hotkeys of one stash count as 22 beside nine stashes of 10."""
    stake = [455, 455, *[10] * 9, 0, 0]
    stashes = [stash(0), stash(0), *(stash(i) for i in range(2, 13))]
    weights = {i: {11: 1} if i < 2 else {12: 1} for i in range(11)}
    dials = Hyperparameters(permit_floor_ppm=0)
    outcome = run_epoch(network(stake, weights, stash=stashes, hyperparameters=dials))
    assert outcome.consensus == [0] * 12 + [WHOLE]
    assert outcome.emission[11:] == [0, 720]


def test_a_majority_is_capped_to_half_in_a_network_of_four() -> None:
    epoch = network([70, 10, 10, 10, 0, 0], {0: {4: 1}, 1: {5: 1}, 2: {5: 1}, 3: {5: 1}})
    assert nothing_paid(epoch, run_epoch(epoch))


def test_the_owner_cut_comes_off_first() -> None:
    dials = Hyperparameters(owner_cut_ppm=100_000, miners_share_ppm=500_000)
    outcome = run_epoch(network([5, 0, 0], {0: {1: 1}}, owner_uid=2, hyperparameters=dials))
    assert outcome.emission == [540, 540, 120]


# Bad input.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"consensus": "mean"},
            'there is no consensus function "mean"; this runtime has "median" and "yuma3"',
        ),
        ({"stake": [-1, 0]}, "no stake and no emission is below zero"),
        (
            {"weights": [[(1, 65536)], []]},
            "a pair is not two u16",
        ),
        ({"stash": []}, "every list needs one element for each of 2 uids"),
        ({"weights": [[(2, 1)], []]}, "a row names a uid beyond 1"),
        ({"weights": [[(1, 1), (0, 1)], []]}, "a row is not in ascending order of uid"),
        ({"bonds": [[(1, 1), (1, 1)], []]}, "a row is not in ascending order of uid"),
        ({"owner_uid": 2}, "the owner has a uid beyond 1"),
        (
            {"hyperparameters": Hyperparameters(kappa_ppm=499_999)},
            "kappa is 499999 ppm; at least half of the stake has to support a score",
        ),
    ],
)
def test_an_impossible_input_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        run_epoch(replace(network([5, 0], {0: {1: 1}}), **changes))
    assert str(caught.value) == reason


@pytest.mark.parametrize("dial", ["owner_cut_ppm", "miners_share_ppm", "bonds_moving_average_ppm"])
def test_a_dial_beyond_its_bound_is_refused(dial: str) -> None:
    with pytest.raises(ValueError, match="a share exceeds its bound"):
        run_epoch(network([5], {}, hyperparameters=Hyperparameters(**{dial: 1_000_001})))


def test_the_hash_names_every_detail_of_the_input() -> None:
    epoch = network([5, 0], {0: {1: 1}})
    other = EpochInput(
        consensus="yuma3",
        block=101,
        tempo=21,
        last_epoch_block=81,
        stake=[5, 1],
        stash=[stash(0), stash(2)],
        last_update=[90, 1],
        registered=[0, 1],
        permit=[True, True],
        weights=[Row([(1, 2)]), Row()],
        bonds=[Row(), Row([(0, 1)])],
        pending_commit=[0, 1],
        owner_uid=0,
        emission=1201,
        hyperparameters=Hyperparameters(),
    )
    dials = Hyperparameters(400_000, 63, 10_001, 1, 200_001, 5_001, 900_001, 999_999, 1, 600_001)
    changed = [replace(epoch, **{name: getattr(other, name)}) for name in names(epoch)[:-1]]
    for name in names(dials):
        tuned = replace(epoch.hyperparameters, **{name: getattr(dials, name)})
        changed.append(replace(epoch, hyperparameters=tuned))
    assert len({each.hash() for each in (epoch, *changed)}) == 1 + 14 + 10
    assert epoch.hash() == replace(epoch, weights=[Row([(1, 1)]), Row()]).hash()


def names(record: EpochInput | Hyperparameters) -> list[str]:
    return [field.name for field in fields(record)]


# For all networks.


@st.composite
def networks(draw: st.DrawFn) -> EpochInput:
    """Return any small subnet: some stashes with several hotkeys, stale rows, old bonds, missing permits."""
    size = draw(st.integers(1, 8))
    uids = st.integers(0, size - 1)

    def each(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.lists(values, min_size=size, max_size=size))

    rows = st.dictionaries(uids, st.integers(0, WHOLE), max_size=size).map(lambda row: sorted(row.items()))
    return EpochInput(
        consensus="median",
        block=100,
        tempo=20,
        last_epoch_block=draw(st.sampled_from([0, 80])),
        stake=each(st.integers(0, 1000)),
        stash=[stash(number) for number in each(uids)],
        last_update=each(st.sampled_from([0, 60, 80, 95])),
        registered=each(st.sampled_from([0, 0, 0, 79, 80, 96])),
        permit=each(st.booleans()),
        weights=each(rows),
        bonds=each(rows),
        pending_commit=each(st.sampled_from([0, 0, 50])),
        owner_uid=draw(st.none() | uids),
        emission=draw(st.integers(0, 10**20)),
        hyperparameters=Hyperparameters(
            max_permits=draw(st.integers(1, 9)),
            stake_threshold=draw(st.sampled_from([0, 100])),
            activity_cutoff=draw(st.sampled_from([4, 5_000])),
            bonds_penalty_ppm=draw(st.sampled_from([0, 500_000, 1_000_000])),
            owner_cut_ppm=draw(st.sampled_from([0, 33_333, 100_000])),
            miners_share_ppm=draw(st.sampled_from([0, 600_000, 1_000_000])),
        ),
    )


@settings(max_examples=60, deadline=None)
@given(networks())
def test_every_planck_is_paid_or_carried_and_every_output_fits(epoch: EpochInput) -> None:
    outcome = run_epoch(epoch)
    assert sum(outcome.emission) + outcome.carried == epoch.emission
    assert min([outcome.carried, *outcome.emission]) >= 0
    shares = (outcome.consensus, outcome.incentive, outcome.dividends, outcome.validator_trust)
    assert all(0 <= value <= WHOLE for column in shares for value in column)
    assert sum(outcome.incentive) <= WHOLE
    assert sum(outcome.dividends) <= WHOLE
    assert all(0 < bond <= WHOLE for row in outcome.bonds for _, bond in row)
    run_epoch(replace(epoch, permit=outcome.permit, bonds=outcome.bonds))  # the output is an input again


def permuted(epoch: EpochInput, order: list[int]) -> EpochInput:
    """Return the same subnet with uid order[k] now called k."""
    name = {old: new for new, old in enumerate(order)}

    def moved(column: list[Any]) -> list[Any]:
        return [column[old] for old in order]

    def renamed(rows: list[Any]) -> list[Any]:
        return moved([sorted((name[j], value) for j, value in row) for row in rows])

    return replace(
        epoch,
        stake=moved(epoch.stake),
        stash=moved(epoch.stash),
        last_update=moved(epoch.last_update),
        registered=moved(epoch.registered),
        permit=moved(epoch.permit),
        weights=renamed(epoch.weights),
        bonds=renamed(epoch.bonds),
        pending_commit=moved(epoch.pending_commit),
        owner_uid=None if epoch.owner_uid is None else name[epoch.owner_uid],
    )


@settings(max_examples=40, deadline=None)
@given(networks(), st.data())
def test_names_do_not_matter_beyond_the_last_unit(epoch: EpochInput, data: st.DataObject) -> None:
    """Remainders and the last permit go by uid; everything else follows the neuron."""
    size = len(epoch.stake)
    epoch = replace(epoch, stake=[stake * size + i for i, stake in enumerate(epoch.stake)])  # no two alike
    order = data.draw(st.permutations(range(size)))
    here, there = run_epoch(epoch), run_epoch(permuted(epoch, order))
    assert there.permit == [here.permit[old] for old in order]
    slack = 2 + (epoch.emission >> 24)  # shares of 2^31, rounded once per split
    for new, old in enumerate(order):
        assert abs(there.emission[new] - here.emission[old]) <= slack
        assert abs(there.consensus[new] - here.consensus[old]) <= 1
        assert abs(there.validator_trust[new] - here.validator_trust[old]) <= 1
        assert len(there.bonds[new]) == len(here.bonds[old])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=7),
    st.lists(st.integers(1, 1000), min_size=1, max_size=7),
    st.lists(st.integers(1, WHOLE), min_size=14, max_size=14),
)
def test_a_cabal_up_to_half_cannot_lift_a_miner_nobody_else_scores(
    honest: list[int], cabal: list[int], values: list[int]
) -> None:
    size = len(honest) + len(cabal)
    mine, other = size, size + 1
    weights = {i: {other: values[i]} for i in range(len(honest))}
    weights |= {i: {mine: values[i], other: 1} for i in range(len(honest), size)}
    dials = Hyperparameters(stake_cap_ppm=1_000_000, permit_floor_ppm=0)
    epoch = network([*honest, *cabal, 0, 0], weights, hyperparameters=dials)
    outcome = run_epoch(epoch)
    if sum(cabal) <= sum(honest):
        assert (outcome.consensus[mine], outcome.emission[mine]) == (0, 0)
    else:
        assert outcome.incentive[mine] > 0
