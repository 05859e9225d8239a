"""Staking: a bond is locked, counted once, and never more than there is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.base import Runtime
from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, ConsumerRemaining, DispatchError, Token, TokenError
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.balances import Balances
from runtime.pallets.staking import Account, Bonded, Error, NoPayee, Staked, Staking, StakingLedger
from runtime.pallets.system import System
from runtime.primitives.types import AccountId

ED, MINIMUM = 100, 300
ALICE, BOB, CAROL = (AccountId(bytes([number]) * 32) for number in (1, 2, 3))


class Ledger(Runtime):
    """Money and stake."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=ED)
    staking = Staking.at(7, currency=balances, min_validator_bond=MINIMUM)


@pytest.fixture
def ext() -> Externalities:
    listed = [["0x" + who.hex(), 1000] for who in (ALICE, BOB)]
    stakers = [["0x" + BOB.hex(), 400]]
    return Externalities(Ledger, genesis={"balances": {"balances": listed}, "staking": {"stakers": stakers}})


def test_genesis_bonds_its_stakers(ext: Externalities) -> None:
    staking = ext.runtime.staking
    assert (staking.stake_of(BOB), staking.stake_of(ALICE), staking.validator_count.get()) == (400, 0, 1)
    assert staking.ledger[BOB] == StakingLedger(BOB, 400, 400, [], [])
    assert (staking.bonded[BOB], staking.payee[BOB]) == (BOB, Staked())
    assert ext.runtime.balances.usable(BOB) == 600
    ext.runtime.try_state()


def test_a_bond_is_locked(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Staking", "bond", 700, Account(CAROL))
    assert ext.new_events()[-1] == Bonded(ALICE, 700)
    assert ext.runtime.staking.payee[ALICE] == Account(CAROL)
    assert_noop(ext, ALICE, "Balances", "transfer_allow_death", BOB, 301, error=Token(TokenError.Frozen))
    assert_ok(ext, ALICE, "Balances", "transfer_all", BOB, False)
    assert ext.runtime.balances.free(ALICE) == 700
    assert_noop(ext, Root(), "Balances", "force_set_balance", ALICE, 0, error=ConsumerRemaining())


@pytest.mark.parametrize("value", [0, MINIMUM - 1, 1001, 2**128 - 1])
def test_a_bond_has_a_minimum_and_no_more_than_there_is(ext: Externalities, value: int) -> None:
    assert_noop(ext, ALICE, "Staking", "bond", value, NoPayee(), error=Error.InsufficientBond)


def test_only_a_stash_adds_and_only_once_it_bonds(ext: Externalities) -> None:
    assert_noop(ext, ALICE, "Staking", "bond_extra", 5, error=Error.NotStash)
    assert_noop(ext, BOB, "Staking", "bond", 500, Staked(), error=Error.AlreadyBonded)
    assert_noop(ext, Root(), "Staking", "bond", 500, Staked(), error=BadOrigin())
    assert_noop(ext, BOB, "Staking", "bond_extra", 0, error=Error.InsufficientBond)
    assert_ok(ext, BOB, "Staking", "bond_extra", 2**128 - 1)
    assert ext.runtime.staking.stake_of(BOB) == 1000
    assert_noop(ext, BOB, "Staking", "bond_extra", 1, error=Error.InsufficientBond)


people = st.sampled_from([ALICE, BOB])
sums = st.sampled_from([0, 1, 50, 200, 300, 500, 1000, 2**128 - 1])
steps = st.one_of(
    st.tuples(st.just("bond"), people, sums),
    st.tuples(st.just("bond_extra"), people, sums),
    st.tuples(st.just("transfer_allow_death"), people, sums),
    st.tuples(st.just("transfer_keep_alive"), people, sums),
    st.tuples(st.sampled_from(["reserve", "unreserve", "burn_reserved"]), people, sums),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=10))
def test_stake_is_always_covered_by_free_balance(made: list[tuple[Any, ...]]) -> None:
    listed = [["0x" + who.hex(), 1000] for who in (ALICE, BOB)]
    ext = Externalities(Ledger, genesis={"balances": {"balances": listed}})
    for name, who, value in made:
        try:
            match name:
                case "bond":
                    ext.dispatch(who, "Staking", name, value, Staked())
                case "bond_extra":
                    ext.dispatch(who, "Staking", name, value)
                case "reserve" | "unreserve" | "burn_reserved":
                    getattr(ext.runtime.balances, name)(who, value)
                case _:
                    ext.dispatch(who, "Balances", name, CAROL, value)
        except DispatchError:
            pass
        ext.runtime.try_state()
        for each in (ALICE, BOB):
            assert ext.runtime.staking.stake_of(each) <= ext.runtime.balances.free(each)
