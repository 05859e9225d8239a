"""Eras: when they begin, who is elected for them, and what is kept of them for how long."""

from runtime.frame.declare import READ, WRITE, Root
from runtime.pallets.staking.messages import (
    EraPaid,
    ForceEra,
    StakersElected,
    StakingElectionFailed,
)
from runtime.pallets.staking.types import (
    ActiveEraInfo,
    EraRewardPoints,
    ExposurePage,
    Forcing,
    IndividualExposure,
    NoPayee,
    PagedExposureMetadata,
    Staked,
    ValidatorPrefs,
)
from tests.runtime.pallets.staking.economy import (
    ASY,
    N0,
    N1,
    N2,
    SESSION,
    SLOT_MS,
    V0,
    V1,
    V2,
    Economy,
)


def of_kind(events: list[object], *kinds: type) -> list[object]:
    return [event for event in events if isinstance(event, kinds)]


def test_eras_go_by_sessions() -> None:
    economy = Economy()
    seen = []
    for _ in range(6 * SESSION):
        seen.append((economy.session, economy.staking.current_era.find(), economy.era))
        economy.step()
    planned = [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 2), (5, 3, 2)]
    assert [each for at, each in enumerate(seen) if at == 0 or each != seen[at - 1]] == planned
    starts = economy.staking.eras_start_session_index
    assert [starts[era] for era in range(4)] == [0, 2, 4, 6]


def test_an_era_of_one_session_is_elected_in_each() -> None:
    economy = Economy(constants={"SessionsPerEra": 1})
    economy.run_to_era(4)
    starts = economy.staking.eras_start_session_index
    assert [starts[era] - starts[era - 1] for era in range(2, 6)] == [1] * 4


def test_what_planning_and_slashing_touch_is_weighed_in_the_block() -> None:
    economy = Economy()
    economy.run_to_session(2)
    economy.step()
    quiet = economy.runtime.system.block_weight.get().mandatory.ref_time
    economy.run_to_session(3)
    planned = 2 + 3 * 2  # start, total, and of three validators overview and preferences
    assert economy.runtime.system.block_weight.get().mandatory.ref_time >= quiet + planned * (READ + WRITE)
    assert economy.staking.entries_touched.get() == 0


def test_an_era_starts_with_the_time_of_its_first_block() -> None:
    economy = Economy()
    economy.run_to_era(1)
    assert economy.staking.active_era.find() == ActiveEraInfo(1, None)
    begun = economy.slot
    economy.step()
    assert economy.staking.active_era.find() == ActiveEraInfo(1, begun * SLOT_MS)
    economy.step()
    assert economy.staking.active_era.find() == ActiveEraInfo(1, begun * SLOT_MS)


def test_nominations_count_from_the_next_election_on_and_are_kept_in_pages() -> None:
    economy = Economy(constants={"MaxExposurePageSize": 2})
    for who in (N0, N1, N2):
        economy.nominator(who, 100, V2)
    economy.commission(V2, 70_000_000)
    assert economy.staking.stake_of(V2) == 2_000 * ASY
    economy.run_to_era(2)
    staking = economy.staking
    assert staking.eras_stakers_overview[2, V2] == PagedExposureMetadata(2_300 * ASY, 2_000 * ASY, 3, 2)
    pages = [page for _, page in staking.eras_stakers_paged.under(2, V2)]
    assert sorted((page.page_total, len(page.others)) for page in pages) == [(100 * ASY, 1), (200 * ASY, 2)]
    exposed = sorted(each.who for page in pages for each in page.others)
    assert exposed == sorted([N0, N1, N2])
    assert staking.eras_validator_prefs[2, V2] == ValidatorPrefs(70_000_000, False)
    assert staking.eras_stakers_overview[2, V0] == PagedExposureMetadata(4_000 * ASY, 4_000 * ASY, 0, 0)
    assert staking.eras_total_stake[2] == 9_300 * ASY
    assert staking.minimum_active_stake.get() == 100 * ASY
    assert (staking.stake_of(V2), staking.stake_of(N0)) == (2_300 * ASY, 0)


def test_the_elected_are_the_session_s_validators_with_their_stake_as_weight() -> None:
    economy = Economy(validator_count=2)
    assert sorted(economy.runtime.session.validators.get()) == sorted([V0, V1])
    economy.nominator(N0, 5_000, V2)
    economy.run_to_era(2)
    session = economy.runtime.session
    weights = dict(zip(session.validators.get(), session.weights.get(), strict=True))
    assert weights == {V2: 7_000, V0: 4_000}


def test_who_is_chilled_during_the_election_is_not_elected() -> None:
    economy = Economy()
    economy.step()
    assert economy.runtime.election.is_ongoing()
    economy.call(V1, "chill")
    economy.run_to_era(1)
    assert sorted(economy.runtime.session.validators.get()) == sorted([V0, V2])
    assert economy.staking.stake_of(V1) == 0


def test_too_few_elected_keep_the_old_set_until_there_are_more() -> None:
    economy = Economy(minimum_validator_count=3)
    economy.call(V1, "chill")
    events = economy.run_to_session(1)
    assert of_kind(events, StakingElectionFailed, StakersElected) == [StakingElectionFailed()]
    economy.run_to_session(3)
    assert (economy.era, economy.staking.current_era.find()) == (0, 0)
    assert economy.staking.stake_of(V1) == 3_000 * ASY
    economy.call(V1, "validate", ValidatorPrefs())
    economy.run_to_era(1)
    assert economy.session == 6
    assert sorted(economy.runtime.session.validators.get()) == sorted([V0, V1, V2])


def test_an_election_that_takes_longer_goes_on_and_is_taken_later() -> None:
    economy = Economy(election={"BlockBudget": 1})  # one step of it in each block
    begun = economy.runtime.election.round.get()
    events = economy.run_to_session(1)
    assert of_kind(events, StakingElectionFailed, StakersElected) == [StakingElectionFailed()]
    assert economy.runtime.election.round.get() == begun
    while economy.staking.current_era.find() == 0:
        assert economy.session < 6, "the election never ends"
        economy.step()
    assert economy.runtime.election.round.get() == begun
    economy.run_to_era(1)
    assert economy.staking.stake_of(V0) == 4_000 * ASY


def test_no_new_eras_until_one_is_forced() -> None:
    economy = Economy()
    assert economy.root("force_no_eras")[-1] == ForceEra(Forcing.ForceNone)
    economy.run_to_session(5)
    assert economy.era == 0
    assert economy.root("force_new_era")[-1] == ForceEra(Forcing.ForceNew)
    events = economy.run_to_session(6)
    assert of_kind(events, ForceEra, StakersElected) == [ForceEra(Forcing.NotForcing), StakersElected()]
    economy.run_to_session(7)
    assert (economy.era, economy.staking.eras_start_session_index[1]) == (1, 7)
    economy.run_to_era(2)
    assert economy.session == 9


def test_eras_can_be_forced_in_every_session() -> None:
    economy = Economy()
    economy.root("force_new_era_always")
    economy.run_to_session(6)
    assert economy.era == 5
    economy.ext.dispatch(Root(), "Staking", "force_no_eras")
    economy.run_to_session(9)
    assert economy.era == 6  # the one that was planned


def test_points_go_to_authors_and_to_whom_finality_rewards() -> None:
    economy = Economy()
    for author in (0, 1, 1, 2):
        if economy.session == 0:
            economy.step(author)
    assert economy.staking.eras_reward_points[0] == EraRewardPoints(80, {V0: 20, V1: 40, V2: 20})
    economy.staking.reward_by_points([(V2, 7), (V0, 3), (V2, 5)])
    assert economy.staking.eras_reward_points[0] == EraRewardPoints(95, {V0: 23, V1: 40, V2: 32})


def test_what_lost_points_would_have_earned_is_for_the_next_era() -> None:
    economy = Economy()
    economy.staking.reward_by_points([(V0, 1)], 10**6)
    economy.run_to_era(1)
    points, payout = economy.staking.eras_reward_points[0], economy.staking.eras_validator_reward[0]
    claimable = payout * sum(points.individual.values()) // points.total
    assert economy.staking.eras_unclaimed_reward[0] == claimable < payout // 100
    drawn = economy.runtime.incentive.minted_to_consensus.get()
    events = economy.run_to_era(2)
    drawn = economy.runtime.incentive.minted_to_consensus.get() - drawn
    assert of_kind(events, EraPaid) == [EraPaid(1, payout - claimable + drawn, 0)]


def test_an_era_is_paid_what_was_minted_for_consensus() -> None:
    economy = Economy()
    before = economy.free(economy.staking.reward_account)
    events = economy.run_to_era(1)
    minted = economy.runtime.incentive.minted_to_consensus.get()
    fresh = minted // economy.ext.number  # this block's, which comes after the era has ended
    assert of_kind(events, EraPaid) == [EraPaid(0, minted - fresh, 0)]
    assert economy.staking.eras_validator_reward[0] == minted - fresh
    assert economy.free(economy.staking.reward_account) == before + minted - fresh


def test_an_era_in_which_nobody_worked_leaves_everything_to_the_next() -> None:
    economy = Economy()
    economy.run_to_era(1)
    economy.step()
    empty = economy.staking.eras_reward_points
    paid = []
    while economy.era < 3:
        if economy.era == 1:
            del empty[1]
        events = economy.step()
        paid += of_kind(events, EraPaid)
        empty = economy.staking.eras_reward_points
    per_era = 2 * SESSION * ASY // 5
    assert paid == [EraPaid(1, 0, 0), EraPaid(2, 2 * per_era, 0)]
    assert 1 not in economy.staking.eras_validator_reward


def test_an_expired_era_is_removed_and_what_nobody_claimed_is_paid_again() -> None:
    economy = Economy(constants={"HistoryDepth": 4, "SessionsPerEra": 1})
    economy.nominator(N0, 100, V0, payee=NoPayee())
    economy.run_to_era(3)
    staking = economy.staking
    assert staking.eras_unclaimed_reward[0] == staking.eras_validator_reward[0] > 0
    usual, paid_again = SESSION * ASY // 5, []
    while economy.era < 8:
        carried = unowed(economy)
        for event in of_kind(economy.step(), EraPaid):
            assert isinstance(event, EraPaid)
            assert event.validator_payout == usual + carried
            paid_again.append(carried)
        economy.runtime.try_state()
    assert sum(paid_again) > 0
    staking = economy.staking
    assert staking.oldest_era.get() == staking.current_era.find() - 4
    kept = range(staking.oldest_era.get(), staking.current_era.find() + 1)
    for by_validator in (staking.eras_stakers_overview, staking.eras_validator_prefs):
        assert {era for (era, _), _ in by_validator.items()} == set(kept)
    assert [era for era in range(kept[0]) if list(staking.eras_stakers_paged.under(era))] == []
    assert {*staking.eras_reward_points.keys()} <= set(kept)
    assert {*staking.eras_start_session_index.keys()} == set(kept)


def unowed(economy: Economy) -> int:
    """Return what the reward account holds and owes nobody: it goes into the next payout."""
    staking = economy.staking
    owed = sum(staking.eras_unclaimed_reward.values())
    return economy.free(staking.reward_account) - int(staking.pot_endowment) - int(owed)


def test_removing_an_era_takes_a_bounded_bite_of_each_block() -> None:
    economy = Economy(constants={"HistoryDepth": 3, "SessionsPerEra": 1})
    staking = economy.staking
    for number in range(100):
        staking.eras_stakers_paged[0, V0, 10 + number] = ExposurePage(1, [IndividualExposure(N0, 1)])
    economy.run_to_era(3)
    while economy.staking.current_era.find() < 4:
        economy.step()
    left = [len(list(economy.staking.eras_stakers_paged.under(0)))]
    economy.step()
    left.append(len(list(economy.staking.eras_stakers_paged.under(0))))
    assert left == [36, 0]
    assert economy.staking.oldest_era.get() == 1


def test_a_late_bond_of_a_newcomer_counts_one_era_later() -> None:
    economy = Economy()
    economy.run_to_session(1)
    economy.call(N0, "bond", 5_000 * ASY, Staked())
    economy.call(N0, "validate", ValidatorPrefs())
    economy.run_to_era(1)
    assert economy.staking.stake_of(N0) == 0
    economy.run_to_era(2)
    assert economy.staking.stake_of(N0) == 5_000 * ASY
    assert N0 not in economy.runtime.session.validators.get()  # it has no session keys
