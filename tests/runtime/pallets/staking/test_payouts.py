"""Payouts: exact against an independent model in fractions, by page, once, to whom stakers say."""

from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin
from runtime.frame.testing import assert_noop
from runtime.pallets.staking.messages import Error, PayoutStarted, Rewarded
from runtime.pallets.staking.rewards import nominators_part, page_payout, validator_part
from runtime.pallets.staking.types import (
    Account,
    ExposurePage,
    IndividualExposure,
    NoPayee,
    PagedExposureMetadata,
    Staked,
    Stash,
)
from runtime.primitives.types import AccountId
from tests.runtime.pallets.staking.economy import (
    ASY,
    BILLION,
    EXISTENTIAL_DEPOSIT,
    N0,
    N1,
    N2,
    N3,
    V0,
    V1,
    V2,
    Economy,
    account,
)

amounts = st.integers(1, 10**22)


@given(
    payout=st.integers(0, 10**22),
    points=st.lists(st.integers(0, 10**5), min_size=1, max_size=5),
    commission=st.integers(0, BILLION),
    own=amounts,
    others=st.lists(amounts, max_size=7),
    size=st.integers(1, 4),
    dividend=st.integers(0, 10**22),
)
def test_the_split_is_that_of_exact_fractions(
    payout: int, points: list[int], commission: int, own: int, others: list[int], size: int, dividend: int
) -> None:
    total = own + sum(others)
    chunks = [others[at : at + size] for at in range(0, len(others), size)] or [[]]
    overview = PagedExposureMetadata(total, own, len(others), len(chunks))
    earned = validator_part(payout, points[0], sum(points))
    assert earned == (floor(Fraction(payout) * Fraction(points[0], sum(points))) if any(points) else 0)
    cut = floor(earned * Fraction(commission, BILLION))
    shared = nominators_part(dividend, commission, overview)
    kept = floor(dividend * Fraction(commission, BILLION))
    assert shared == floor((dividend - kept) * Fraction(sum(others), total))
    paid = 0
    for number, chunk in enumerate(chunks):
        listed = [IndividualExposure(AccountId(bytes([at]) * 32), value) for at, value in enumerate(chunk)]
        page = ExposurePage(sum(chunk), listed)
        shares = page_payout(V0, earned, shared, commission, overview, page, number)
        own_here = own if number == 0 else 0
        mine = floor(cut * Fraction(sum(chunk) + own_here, total)) + floor(
            (earned - cut) * Fraction(own_here, total)
        )
        others_get = [
            floor((earned - cut) * Fraction(value, total)) + floor(shared * Fraction(value, sum(others)))
            for value in chunk
        ]
        assert [amount for _, amount in shares] == [mine, *others_get]
        assert [who for who, _ in shares] == [V0, *(each.who for each in listed)]
        paid += sum(amount for _, amount in shares)
    assert earned + shared - 2 * len(others) - 2 * len(chunks) <= paid <= earned + shared


def worked(economy: Economy, points: dict[AccountId, int], era: int = 2) -> int:
    """Let an era pass in which validators earned these points; return its payout.

    What is nominated in era 0 is exposed in era 2: the election for era 1 has begun at genesis.
    """
    economy.run_to_era(era)
    while economy.era == era:
        economy.staking.eras_reward_points[era] = type(economy.staking.eras_reward_points[era])(
            sum(points.values()), points
        )
        economy.step()
    payout: int = economy.staking.eras_validator_reward[era]
    return payout


def test_commission_comes_first_and_the_rest_goes_by_exposure() -> None:
    economy = Economy()
    economy.nominator(N0, 1_000, V0)
    economy.commission(V0, 100_000_000)
    payout = worked(economy, {V0: 60, V1: 20})
    exposed = economy.staking.eras_stakers_overview[2, V0]
    assert (exposed.own, exposed.total) == (4_000 * ASY, 5_000 * ASY)
    before = {who: (economy.active(who), economy.free(who)) for who in (V0, N0)}
    events = economy.call(N3, "payout_stakers", V0, 2)
    earned = floor(Fraction(payout * 60, 80))
    cut = earned // 10
    mine, theirs = cut + floor((earned - cut) * Fraction(4, 5)), floor((earned - cut) * Fraction(1, 5))
    told = [event for event in events if isinstance(event, PayoutStarted | Rewarded)]
    assert told == [PayoutStarted(2, V0), Rewarded(V0, Staked(), mine), Rewarded(N0, Staked(), theirs)]
    for who, gain in ((V0, mine), (N0, theirs)):
        assert (economy.active(who), economy.free(who)) == tuple(each + gain for each in before[who])
    assert economy.staking.eras_unclaimed_reward[2] == payout - mine - theirs


def test_every_destination_is_paid() -> None:
    economy = Economy()
    for who, payee in ((N0, Stash()), (N1, Account(N3)), (N2, NoPayee())):
        economy.nominator(who, 1_000, V0, payee=payee)
    payout = worked(economy, {V0: 1})
    free = {who: economy.free(who) for who in (N0, N1, N2, N3)}
    active = economy.active(N0)
    economy.call(V1, "payout_stakers", V0, 2)
    share = floor(Fraction(payout, 7))
    gained = {who: economy.free(who) - free[who] for who in free}
    assert gained == {N0: share, N1: 0, N2: 0, N3: share}
    assert economy.active(N0) == active
    assert economy.staking.eras_unclaimed_reward[2] >= share  # what nobody wanted


def test_what_is_too_little_for_a_new_account_stays() -> None:
    economy = Economy((4_000,), constants={"SessionsPerEra": 1})
    economy.nominator(N0, 10, V0, payee=Account(account("new")))
    payout = worked(economy, {V0: 1}, era=3)
    theirs = payout * 10 // 4_010
    assert 0 < theirs < EXISTENTIAL_DEPOSIT * 2
    economy.balances.existential_deposit = 2 * EXISTENTIAL_DEPOSIT
    events = economy.call(N3, "payout_stakers", V0, 3)
    assert [event.stash for event in events if isinstance(event, Rewarded)] == [V0]
    assert economy.staking.eras_unclaimed_reward[3] >= theirs


def test_pages_are_claimed_once_in_any_order() -> None:
    economy = Economy(constants={"MaxExposurePageSize": 2})
    for who in (N0, N1, N2):
        economy.nominator(who, 500, V1)
    payout = worked(economy, {V1: 3, V0: 5})
    ext = economy.ext
    economy.call(N3, "payout_stakers_by_page", V1, 2, 1)
    twice = Error.AlreadyClaimed
    assert_noop(ext, N3, "Staking", "payout_stakers_by_page", V1, 2, 1, error=twice)
    assert_noop(ext, N3, "Staking", "payout_stakers_by_page", V1, 2, 2, error=Error.InvalidPage)
    assert economy.staking.claimed_rewards[2, V1] == [1]
    economy.call(N3, "payout_stakers", V1, 2)
    assert economy.staking.claimed_rewards[2, V1] == [0, 1]
    assert_noop(ext, N3, "Staking", "payout_stakers", V1, 2, error=twice)
    for who in (N0, N1, N2):
        assert economy.active(who) == 500 * ASY + floor(floor(Fraction(payout * 3, 8)) * Fraction(5, 45))


def test_who_has_no_points_gets_nothing_once() -> None:
    economy = Economy()
    worked(economy, {V0: 5})
    assert economy.call(N3, "payout_stakers", V2, 2) == []
    assert_noop(economy.ext, N3, "Staking", "payout_stakers", V2, 2, error=Error.AlreadyClaimed)


def test_only_eras_that_ended_and_are_kept_are_paid() -> None:
    economy = Economy(constants={"HistoryDepth": 3})
    economy.run_to_era(2)
    ext = economy.ext
    for era in (2, 3, 99):
        error: Any = Error.InvalidEraToReward
        assert_noop(ext, N3, "Staking", "payout_stakers", V0, era, error=error)
        assert_noop(ext, N3, "Staking", "payout_stakers_by_page", V0, era, 0, error=error)
    assert_noop(ext, N3, "Staking", "payout_stakers", N0, 1, error=Error.InvalidEraToReward)
    assert_noop(ext, Root(), "Staking", "payout_stakers", V0, 1, error=BadOrigin())
    while economy.staking.current_era.find() < 4:
        economy.step()
    assert_noop(economy.ext, N3, "Staking", "payout_stakers", V0, 0, error=Error.InvalidEraToReward)
    economy.call(N3, "payout_stakers", V0, 1)


@pytest.mark.parametrize("leaver", [V0, N0])
def test_nominators_are_paid_though_somebody_left(leaver: AccountId) -> None:
    economy = Economy(constants={"BondingDuration": 2})
    economy.nominator(N0, 1_000, V0)
    economy.nominator(N1, 1_000, V0)
    payout = worked(economy, {V0: 1})
    economy.call(leaver, "chill")
    economy.call(leaver, "unbond", 2**128 - 1)
    economy.run_to_era(economy.era + 2)
    economy.call(leaver, "withdraw_unbonded", 0)
    before = economy.active(N1)
    economy.call(N3, "payout_stakers", V0, 2)
    assert economy.active(N1) == before + floor(Fraction(payout, 6))
    assert leaver not in economy.staking.ledger
