"""Slashes: who loses how much of what, when, and where it goes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin
from runtime.frame.testing import assert_noop
from runtime.pallets.staking.ledger import slashed
from runtime.pallets.staking.messages import (
    Chilled,
    Error,
    OldSlashingReportDiscarded,
    Slashed,
    SlashReported,
)
from runtime.pallets.staking.types import (
    NoPayee,
    Staked,
    StakingLedger,
    UnappliedSlash,
    UnlockChunk,
    ValidatorPrefs,
)
from tests.runtime.pallets.staking.economy import ASY, BILLION, N0, N1, N2, N3, V0, V1, V2, Economy, account


@pytest.fixture
def economy() -> Economy:
    """Return a chain in era 2, in which N0 backs V0 with 1,000 ASY, and N1 V0 and V1."""
    economy = Economy()
    economy.nominator(N0, 1_000, V0, payee=NoPayee())
    economy.nominator(N1, 900, V0, V1, payee=NoPayee())
    economy.run_to_era(2)
    return economy


def backed(economy: Economy, who: Any, validator: Any) -> int:
    """Return what a nominator has exposed behind a validator in era 2."""
    pages = [page for _, page in economy.staking.eras_stakers_paged.under(2, validator)]
    return sum(each.value for page in pages for each in page.others if each.who == who)


def test_a_slash_is_deferred_and_then_taken_in_proportion(economy: Economy) -> None:
    split = {who: backed(economy, who, V0) for who in (N0, N1)}
    assert split[N0] == 1_000 * ASY
    assert 0 < split[N1] < 900 * ASY
    lost = {V0: 400 * ASY, N0: split[N0] // 10, N1: split[N1] // 10}
    before = {who: (economy.active(who), economy.free(who)) for who in lost}
    economy.offend(V0, 10, N3)
    told = economy.ext.new_events()
    assert SlashReported(V0, BILLION // 10, 2) in told
    assert Chilled(V0) in told
    total = sum(lost.values())
    others = sorted([(N0, lost[N0]), (N1, lost[N1])])
    (waiting,) = economy.staking.unapplied_slashes[3]
    assert waiting == UnappliedSlash(V0, lost[V0], waiting.others, [N3], total // 10)
    assert sorted(waiting.others) == others
    assert {who: (economy.active(who), economy.free(who)) for who in lost} == before
    issued, reporter = 0, economy.free(N3)
    while economy.era == 2:
        issued = economy.issuance()
        events = economy.step()
    after = {who: (before[who][0] - lost[who], before[who][1] - lost[who]) for who in lost}
    assert {who: (economy.active(who), economy.free(who)) for who in lost} == after
    assert {(each.staker, each.amount) for each in events if isinstance(each, Slashed)} == set(lost.items())
    assert economy.free(N3) == reporter + total // 10
    assert economy.issuance() == issued + ASY - (total - total // 10)  # this block's reward, less what burnt
    assert 3 not in economy.staking.unapplied_slashes


def test_the_offender_is_out_at_once_and_in_the_next_era(economy: Economy) -> None:
    index = economy.runtime.session.validators.get().index(V2)
    economy.offend(V2, 1)
    assert economy.runtime.session.is_disabled(index)
    assert V2 not in economy.staking.validators
    economy.run_to_era(4)
    assert sorted(economy.runtime.session.validators.get()) == sorted([V0, V1])


def test_root_cancels_deferred_slashes_by_their_place(economy: Economy) -> None:
    for who in (V0, V1, V2):
        economy.offend(who, 10, N3)
    ext, staking = economy.ext, economy.staking
    kept = staking.unapplied_slashes[3][1]
    assert_noop(ext, Root(), "Staking", "cancel_deferred_slash", 3, [], error=Error.EmptyTargets)
    unsorted = Error.NotSortedAndUnique
    assert_noop(ext, Root(), "Staking", "cancel_deferred_slash", 3, [1, 0], error=unsorted)
    assert_noop(ext, Root(), "Staking", "cancel_deferred_slash", 3, [1, 1], error=unsorted)
    assert_noop(ext, Root(), "Staking", "cancel_deferred_slash", 3, [3], error=Error.InvalidSlashIndex)
    assert_noop(ext, V0, "Staking", "cancel_deferred_slash", 3, [0], error=BadOrigin())
    economy.root("cancel_deferred_slash", 3, [0, 2])
    assert economy.staking.unapplied_slashes[3] == [kept]
    economy.call(V2, "validate", ValidatorPrefs())  # or there would be no next era
    before = [economy.active(who) for who in (V0, V1, V2)]
    economy.run_to_era(3)
    assert [economy.active(who) for who in (V0, V1, V2)] == [before[0], before[1] - kept.own, before[2]]
    economy.offend(V2, 20)
    economy.root("cancel_deferred_slash", 4, [0])
    assert 4 not in economy.staking.unapplied_slashes


def test_of_several_offences_in_one_era_the_gravest_counts(economy: Economy) -> None:
    split = backed(economy, N1, V0)
    for percent in (5, 20, 10, 20):
        economy.offend(V0, percent)
    waiting = economy.staking.unapplied_slashes[3]
    assert [slash.own for slash in waiting] == [200 * ASY, 600 * ASY]
    assert economy.staking.validator_slash_in_era[2, V0] == (BILLION // 5, 800 * ASY)
    assert economy.staking.nominator_slash_in_era[2, N0] == 200 * ASY
    before = {who: economy.active(who) for who in (V0, N0, N1)}
    economy.run_to_era(3)
    lost = {who: before[who] - economy.active(who) for who in before}
    assert lost == {V0: 800 * ASY, N0: 200 * ASY, N1: split // 20 + (split // 5 - split // 20)}


def test_a_nominator_of_two_offenders_pays_for_both(economy: Economy) -> None:
    economy.offend(V0, 100)
    economy.offend(V1, 100)
    economy.run_to_era(3)
    for who in (V0, V1, N0, N1):
        assert who not in economy.staking.ledger
    assert economy.free(N1) == 9_100 * ASY
    assert economy.staking.counter_for_nominators.get() == 0


def test_no_validator_gains_by_reporting_itself() -> None:
    """Its nominators lose with it, and reporters are paid by what all lose: no more than it loses itself."""
    economy = Economy((4_000, 3_000, 1_000))
    economy.nominator(N0, 9_000, V2, payee=NoPayee())
    economy.nominator(N1, 9_000, V2, payee=NoPayee())
    economy.run_to_era(2)
    accomplice, stash = economy.free(N3), economy.free(V2)
    economy.offend(V2, 50, N3)
    economy.run_to_era(3)
    assert accomplice < economy.free(N3)
    assert economy.free(N3) + economy.free(V2) <= accomplice + stash


def test_what_unbonds_is_slashed_along(economy: Economy) -> None:
    economy.call(N0, "chill")
    economy.call(N0, "unbond", 600 * ASY)
    economy.offend(V0, 50)
    economy.run_to_era(3)
    ledger = economy.staking.ledger[N0]
    assert (ledger.active, ledger.unlocking) == (200 * ASY, [UnlockChunk(300 * ASY, 5)])
    economy.run_to_era(5)
    economy.call(N0, "withdraw_unbonded", 0)
    assert economy.balances.usable(N0) == economy.free(N0) - 200 * ASY


def test_who_unbonds_before_the_last_election_s_era_cannot_get_away() -> None:
    economy = Economy(constants={"BondingDuration": 2})
    economy.nominator(N0, 1_000, V0, payee=NoPayee())
    economy.run_to_session(3)
    assert economy.staking.current_era.find() == 2  # exposed there already
    economy.call(N0, "chill")
    economy.call(N0, "unbond", 2**128 - 1)
    economy.run_to_session(5)
    assert (economy.era, economy.staking.stake_of(V0)) == (2, 5_000 * ASY)
    economy.call(N0, "withdraw_unbonded", 0)
    economy.offend(V0, 100)
    economy.call(N0, "withdraw_unbonded", 0)
    economy.run_to_era(3)
    assert N0 not in economy.staking.ledger
    assert economy.free(N0) == 9_000 * ASY


def test_a_late_report_is_of_the_offence_s_era_and_can_still_be_cancelled(economy: Economy) -> None:
    economy.run_to_era(4)
    economy.offend(V2, 10, session=4)
    assert economy.ext.new_events()[-3] == SlashReported(V2, BILLION // 10, 2)
    assert [slash.own for slash in economy.staking.unapplied_slashes[5]] == [200 * ASY]
    assert economy.staking.validator_slash_in_era.get(2, V2) == (BILLION // 10, 200 * ASY)


def test_a_report_from_before_the_bonding_duration_is_discarded(economy: Economy) -> None:
    economy.run_to_era(4)
    assert economy.staking.bonded_eras.get() == [(1, 2), (2, 4), (3, 6), (4, 8)]
    economy.offend(V2, 10, session=1)
    assert economy.ext.new_events()[-1] == OldSlashingReportDiscarded(1)
    assert V2 in economy.staking.validators
    economy.offend(V2, 10, session=2)
    assert economy.staking.validator_slash_in_era.get(1, V2) is not None


def test_invulnerables_and_strangers_lose_nothing(economy: Economy) -> None:
    economy.root("set_invulnerables", [V0])
    before = economy.ext.state_root()
    economy.offend(V0, 100)
    economy.offend(N0, 100)
    assert economy.ext.state_root() == before


def test_without_deferral_a_slash_is_taken_at_once() -> None:
    economy = Economy(constants={"SlashDeferDuration": 0})
    economy.offend(V0, 25)
    assert economy.active(V0) == 3_000 * ASY
    assert economy.staking.unapplied_slashes[0] == []


def test_reporters_share_to_the_last_planck() -> None:
    economy = Economy(constants={"SlashDeferDuration": 0}, slash_reward_fraction=1)
    unknown, issued = account("unknown"), economy.issuance()
    economy.staking.on_offence(V2, BILLION // 10, 0, [N0, N1, N2, unknown])
    payout = 200 * ASY // BILLION
    assert payout == 200_000
    gained = [economy.free(who) - 10_000 * ASY for who in (N0, N1, N2)]
    assert gained == [payout // 4] * 3
    assert economy.free(unknown) == 0  # too little for an account: destroyed as dust
    assert economy.issuance() == issued - 200 * ASY + 3 * payout // 4


def test_a_stash_with_session_keys_that_loses_everything_keeps_its_account(economy: Economy) -> None:
    economy.call(V2, "bond_extra", 2**128 - 1)
    economy.run_to_era(4)
    economy.offend(V2, 100)
    economy.run_to_era(5)
    assert economy.free(V2) == economy.balances.existential_deposit
    assert V2 not in economy.staking.ledger
    assert V2 in economy.runtime.session.next_keys


@pytest.mark.parametrize("durations", [(3, 3), (2, 5), (200, 1)])
def test_genesis_refuses_durations_that_would_let_stake_escape(durations: tuple[int, int]) -> None:
    bonding, deferral = durations
    with pytest.raises(ValueError, match=f"Staking.*{bonding}"):
        Economy(constants={"BondingDuration": bonding, "SlashDeferDuration": deferral})


chunks = st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 3)), max_size=6)


@given(st.integers(0, 10**6), chunks, st.integers(0, 3 * 10**6), st.integers(1, 500), st.integers(0, 20))
def test_a_ledger_is_slashed_by_the_amount_unless_dust_is_left(
    active: int, drawn: list[tuple[int, int]], amount: int, minimum: int, first: int
) -> None:
    eras = [sum(step for _, step in drawn[: at + 1]) for at in range(len(drawn))]
    unlocking = [UnlockChunk(value, era) for (value, _), era in zip(drawn, eras, strict=True)]
    total = active + sum(value for value, _ in drawn)
    before = StakingLedger(V0, total, active, unlocking, [])
    after = slashed(before, amount, minimum, first)
    assert after.total == after.active + sum(chunk.value for chunk in after.unlocking)
    taken = total - after.total
    assert min(amount, total) <= taken < amount + minimum * (len(drawn) + 1)
    assert all(part == 0 or part >= minimum or part in (active, *[v for v, _ in drawn])
               for part in (after.active, *[chunk.value for chunk in after.unlocking]))  # fmt: skip
    recent = [chunk for chunk in unlocking if chunk.era >= first]
    at_stake = active + sum(chunk.value for chunk in recent)
    if amount <= at_stake:
        old = [chunk for chunk in unlocking if chunk.era < first]
        assert [chunk for chunk in after.unlocking if chunk.era < first] == old
        assert after.active <= active - active * amount // max(at_stake, 1)


def test_a_new_bond_after_everything_was_lost_starts_afresh(economy: Economy) -> None:
    economy.offend(V0, 100)
    economy.run_to_era(3)
    economy.call(N0, "bond", 50 * ASY, Staked())
    assert economy.staking.ledger[N0] == StakingLedger(N0, 50 * ASY, 50 * ASY, [], [])
