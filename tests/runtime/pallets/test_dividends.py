"""Dividends: what a judge earns in a subnet is shared with those who nominate it, to the planck."""

from fractions import Fraction
from math import floor
from typing import Any

import pytest

from runtime.frame.testing import assert_noop
from runtime.pallets.incentive.messages import EmissionPaid
from runtime.pallets.staking.messages import Error, Rewarded
from runtime.pallets.staking.types import NoPayee, Stash
from runtime.primitives.types import AccountId
from tests.runtime.pallets.market import NUMBERS
from tests.runtime.pallets.staking.economy import (
    ASY,
    BILLION,
    N0,
    N1,
    N2,
    N3,
    V0,
    V1,
    Economy,
    account,
    hexed,
)

NETUID, MINER = 3, 2
ERA = 2
"""What is nominated in era 0 is exposed in era 2."""
OUTSIDER = account("outsider")


class Judged(Economy):
    """The economy with a subnet in which v0 and v1 judge the only miner, n3."""

    def __init__(self, **constants: Any) -> None:
        super().__init__(
            constants=constants,
            market={
                "subnets": {
                    NETUID: {
                        "kind": "Inference",
                        "owner": hexed(OUTSIDER),
                        "hyperparameters": NUMBERS | {"tempo": 4, "uid_bond": 0},
                    }
                },
                "neurons": {NETUID: [{"hotkey": hexed(who), "coldkey": hexed(who)} for who in (V0, V1, N3)]},
                "incentive": {NETUID: [0, 1]},
            },
        )

    def step(self, author: int | None = None) -> list[Any]:
        """Step, and let both judges judge the miner."""
        events = super().step(author)
        for judge in (0, 1):
            self.runtime.weights.put_row(NETUID, judge, [(MINER, 1)], self.ext.number)
        return events

    def run_to_epoch(self) -> dict[int, EmissionPaid]:
        """Go on to an epoch; return what each uid was paid."""
        while True:
            paid = {event.uid: event for event in self.step() if isinstance(event, EmissionPaid)}
            self.runtime.try_state()
            if paid:
                return paid

    def owed(self) -> int:
        """Return what waits for the nominators of this era."""
        unclaimed: int = self.staking.eras_unclaimed_reward[self.era]
        return unclaimed


def exposed(economy: Economy) -> None:
    """Let n0 with 1,000 and n1 with 3,000 ASY back v0, which keeps 10 %, and wait until that counts."""
    economy.nominator(N0, 1_000, V0)
    economy.nominator(N1, 3_000, V0, payee=Stash())
    economy.commission(V0, BILLION // 10)
    economy.run_to_era(ERA)


def test_a_dividend_is_split_by_commission_and_exposure() -> None:
    economy = Judged()
    exposed(economy)
    before = {who: economy.free(who) for who in (V0, V1, N0, N1)}
    waiting, issued = economy.owed(), economy.issuance()
    held = economy.free(economy.staking.reward_account)
    at = economy.ext.number
    paid = economy.run_to_epoch()
    judge, alone = paid[0], paid[1]
    shared = floor((judge.dividend - judge.dividend // 10) * Fraction(4_000, 8_000))
    assert (judge.nominators, alone.nominators, judge.vesting) == (shared, 0, 0)
    assert judge.dividend > alone.dividend > 0
    assert economy.free(V0) - before[V0] == judge.dividend - shared
    assert economy.free(V1) - before[V1] == alone.dividend
    assert economy.owed() - waiting == economy.free(economy.staking.reward_account) - held == shared
    assert (economy.free(N0), economy.free(N1)) == (before[N0], before[N1])
    assert economy.issuance() - issued == (economy.ext.number - at) * ASY
    assert economy.runtime.incentive.emission_of(NETUID, 0) == judge.dividend


def test_nominators_get_their_dividends_with_the_payout_of_the_era() -> None:
    economy = Judged()
    exposed(economy)
    shared = economy.staking.eras_nominator_dividend[ERA, V0]
    while economy.era == ERA:
        economy.staking.eras_reward_points[ERA] = type(economy.staking.eras_reward_points[ERA])(1, {V1: 1})
        shared = economy.staking.eras_nominator_dividend[ERA, V0]
        economy.step()
    payout = economy.staking.eras_validator_reward[ERA]
    assert economy.staking.eras_unclaimed_reward[ERA] == payout + shared > payout
    events = economy.call(N2, "payout_stakers", V0, ERA)
    rewards = {event.stash: event.amount for event in events if isinstance(event, Rewarded)}
    assert rewards == {N0: shared * 1_000 // 4_000, N1: shared * 3_000 // 4_000}
    assert economy.active(N0) == 1_000 * ASY + rewards[N0]
    assert economy.staking.eras_unclaimed_reward[ERA] == payout + shared - sum(rewards.values())
    assert_noop(economy.ext, N2, "Staking", "payout_stakers", V0, ERA, error=Error.AlreadyClaimed)


def test_dividends_wait_for_the_end_of_their_era() -> None:
    economy = Judged()
    exposed(economy)
    economy.run_to_epoch()
    assert economy.era == ERA
    assert economy.owed() > 0
    call = ("Staking", "payout_stakers", V0, ERA)
    assert_noop(economy.ext, N2, *call, error=Error.InvalidEraToReward)


def test_dividends_are_paid_though_nobody_earned_points() -> None:
    economy = Judged()
    exposed(economy)
    while economy.era == ERA:
        shared = economy.staking.eras_nominator_dividend[ERA, V0]
        del economy.staking.eras_reward_points[ERA]
        economy.step()
    assert economy.staking.eras_validator_reward[ERA] == 0
    assert economy.staking.eras_unclaimed_reward[ERA] == shared > 0
    before = economy.free(N1)
    economy.call(N2, "payout_stakers", V0, ERA)
    assert economy.free(N1) - before == shared * 3_000 // 4_000


@pytest.mark.parametrize("who", [V1, OUTSIDER])
def test_without_nominators_or_exposure_all_is_the_judges(who: AccountId) -> None:
    economy = Judged()
    economy.run_to_era(1)
    before = economy.free(economy.staking.reward_account)
    assert economy.staking.share_dividend(who, 10**9, economy.runtime.incentive.subnet_pot) == 0
    assert economy.free(economy.staking.reward_account) == before


def test_what_nobody_claims_goes_into_a_later_payout() -> None:
    economy = Judged(HistoryDepth=4, SessionsPerEra=1)
    economy.nominator(N0, 1_000, V0, payee=NoPayee())
    economy.run_to_era(3)
    economy.run_to_epoch()
    era = economy.era
    assert economy.staking.eras_nominator_dividend[era, V0] > 0
    economy.run_to_era(era + 5)
    while economy.staking.oldest_era.get() <= era:
        economy.step()
        economy.runtime.try_state()
    assert (era, V0) not in economy.staking.eras_nominator_dividend
    assert era not in economy.staking.eras_unclaimed_reward
