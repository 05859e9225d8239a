"""Whatever is called, while eras pass and offences are punished: invariants hold, and money is conserved."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.errors import DispatchError
from runtime.pallets import balances
from runtime.pallets.staking.types import Account, NoPayee, Staked, Stash, ValidatorPrefs
from tests.runtime.pallets.staking.economy import ASY, BILLION, N0, N1, N2, N3, V0, V1, V2, Economy, account

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
planck = st.one_of(
    st.sampled_from([0, 1, 2**128 - 1, 10 * ASY, 1_000 * ASY]),
    st.integers(1, 9_000).map(lambda asy: asy * ASY),
)
payees = st.sampled_from([Staked(), Stash(), NoPayee(), Account(N3), Account(account("new"))])
calls = st.one_of(
    st.tuples(st.just("bond"), people, planck, payees),
    st.tuples(st.sampled_from(["bond_extra", "unbond", "rebond"]), people, planck),
    st.tuples(st.just("withdraw_unbonded"), people, st.just(0)),
    st.tuples(st.just("validate"), people, st.builds(ValidatorPrefs, st.integers(0, BILLION), st.booleans())),
    st.tuples(st.just("nominate"), people, st.lists(people, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["chill"]), people),
    st.tuples(st.just("set_payee"), people, payees),
    st.tuples(st.just("kick"), validators, st.lists(people, max_size=3)),
    st.tuples(st.just("payout_stakers"), people, validators, st.integers(0, 5)),
)
offences = st.tuples(
    st.just("offend"), validators, st.integers(1, 100), st.lists(people, max_size=2), st.integers(0, 6)
)
steps = st.tuples(st.just("blocks"), st.integers(1, 12))
ways = st.lists(st.one_of(calls, calls, calls, offences, steps, steps), min_size=10, max_size=40)


def change(events: Sequence[Any]) -> int:
    """Return by how much these events say that the issuance has changed."""
    return sum(
        sign * (event.value if hasattr(event, "value") else event.amount)
        for event in events
        for kind, sign in SIGNS.items()
        if isinstance(event, kind)
    )


@settings(max_examples=40, deadline=None)
@given(ways)
def test_invariants_hold_and_nothing_is_made_or_lost(made: list[tuple[Any, ...]]) -> None:
    economy = Economy(constants={"BondingDuration": 2, "MaxExposurePageSize": 2})
    issued = economy.issuance() - change(economy.ext.new_events())
    for name, *arguments in made:
        for _ in range(arguments[0] if name == "blocks" else 0):
            issued += change(economy.ext.new_events())
            economy.step()
            check(economy, issued)
        if name == "offend":
            who, percent, reporters, back = arguments
            economy.offend(who, percent, *reporters, session=max(economy.session - back, 0))
        elif name != "blocks":
            try:
                economy.ext.dispatch(arguments[0], "Staking", name, *arguments[1:])
            except DispatchError:
                continue
    check(economy, issued)


def check(economy: Economy, issued: int) -> None:
    """Assert that all pallets' invariants hold, issuance is what events say, the rewards' account exact."""
    economy.runtime.try_state()
    assert economy.issuance() == issued + change(economy.ext.new_events())
    staking = economy.staking
    owed = sum(staking.eras_unclaimed_reward.values())
    assert economy.free(staking.reward_account) == staking.pot_endowment + owed
