"""Whatever is called, while eras pass and offences are punished: invariants hold, and money is conserved."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.errors import DispatchError
from runtime.pallets import balances
from runtime.pallets.staking.types import Account, NoPayee, Staked, Stash, ValidatorPrefs
from tests.runtime.pallets.staking.economy import (
    ASY,
    BILLION,
    N0,
    N1,
    N2,
    N3,
    SESSION,
    V0,
    V1,
    V2,
    Economy,
    account,
)

SIGNS = {
    balances.Minted: 1,
    balances.Deposit: 1,
    balances.Slashed: -1,
    balances.DustLost: -1,
    balances.Burned: -1,
}
"""How an event of Balances changes what there is; what was slashed and not deposited again is destroyed."""

people = st.sampled_from([V0, V1, V2, N0, N1, N2])
validators = st.sampled_from([V0, V1, V2])
nominators = st.sampled_from([N0, N1, N2])
planck = st.one_of(
    st.sampled_from([0, 1, 2**128 - 1, 10 * ASY, 1_000 * ASY]),
    st.integers(1, 9_000).map(lambda asy: asy * ASY),
)
payees = st.sampled_from([Staked(), Stash(), NoPayee(), Account(N3), Account(account("new"))])
prefs = st.builds(ValidatorPrefs, st.integers(0, BILLION), st.just(False))
calls = st.one_of(
    st.tuples(st.just("bond"), people, planck, payees),
    st.tuples(st.sampled_from(["bond_extra", "unbond", "unbond", "rebond"]), people, planck),
    st.tuples(st.just("withdraw_unbonded"), people, st.just(0)),
    st.tuples(st.just("validate"), validators, prefs),
    st.tuples(st.just("validate"), validators, prefs),
    st.tuples(st.just("nominate"), nominators, st.lists(validators, min_size=1, max_size=4)),
    st.tuples(st.just("chill"), people),
    st.tuples(st.just("set_payee"), people, payees),
    st.tuples(st.just("kick"), validators, st.lists(people, max_size=3)),
)
payouts = st.tuples(st.just("payout_stakers"), validators, st.integers(1, 3))
offences = st.tuples(
    st.just("offend"), validators, st.integers(1, 100), st.lists(people, max_size=2), st.integers(0, 3)
)
blocks = st.tuples(st.just("blocks"), st.integers(1, 2 * SESSION))
ways = st.lists(
    st.one_of(calls, calls, calls, payouts, payouts, offences, blocks, blocks, blocks),
    min_size=25,
    max_size=50,
)


def change(events: Sequence[Any]) -> int:
    """Return by how much these events say that the issuance has changed."""
    return sum(
        sign * (event.value if hasattr(event, "value") else event.amount)
        for event in events
        for kind, sign in SIGNS.items()
        if isinstance(event, kind)
    )


@settings(max_examples=40)
@given(ways)
def test_invariants_hold_and_nothing_is_made_or_lost(made: list[tuple[Any, ...]]) -> None:
    economy = Economy(constants={"BondingDuration": 2, "MaxExposurePageSize": 2})
    for who in (N0, N1, N2):
        economy.nominator(who, 2_000, V0, V1)
    issued = economy.issuance() - change(economy.ext.new_events())
    for name, *arguments in made:
        if name == "blocks":
            for _ in range(arguments[0]):
                issued += change(economy.ext.new_events())
                economy.step()
                check(economy, issued)
        elif name == "offend":
            who, percent, reporters, back = arguments
            economy.offend(who, percent, *reporters, session=max(economy.session - back, 0))
        else:
            dispatch(economy, name, arguments)
    check(economy, issued)


def dispatch(economy: Economy, name: str, arguments: list[Any]) -> None:
    """Make a call, which may be refused; payouts are of an era so many before the active one."""
    if name == "payout_stakers":
        who, back = arguments
        arguments = [N3, who, max(economy.era - back, 0)]
    try:
        economy.ext.dispatch(arguments[0], "Staking", name, *arguments[1:])
    except DispatchError:
        economy.runtime.try_state()


def check(economy: Economy, issued: int) -> None:
    """Assert that all pallets' invariants hold, issuance is what events say, the rewards' account exact."""
    economy.runtime.try_state()
    assert economy.issuance() == issued + change(economy.ext.new_events())
    staking = economy.staking
    owed = sum(staking.eras_unclaimed_reward.values())
    assert economy.free(staking.reward_account) == staking.pot_endowment + owed
