"""Balances: who may spend what, who lives, and that no sequence of calls makes or loses money."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.base import Runtime
from runtime.frame.declare import Root, coupled
from runtime.frame.errors import (
    Arithmetic,
    ArithmeticError_,
    BadOrigin,
    ConsumerRemaining,
    DispatchError,
    NoError,
    NoProviders,
    Token,
    TokenError,
)
from runtime.frame.pallet import Pallet
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.balances import (
    MAX_LOCKS,
    Balances,
    BalanceSet,
    Burned,
    Deposit,
    DustLost,
    Endowed,
    Error,
    Locked,
    Minted,
    Reserved,
    Slashed,
    Transfer,
    Unreserved,
    Withdraw,
)
from runtime.pallets.system import KilledAccount, NewAccount, System
from runtime.primitives.types import AccountData, AccountId

ED = 100
ALICE, BOB, CAROL, NEW = (AccountId(bytes([number]) * 32) for number in range(1, 5))
HUGE = 2**128 - 1


class Till(Pallet[None, NoError]):
    """Does what other pallets do with the currency."""

    currency: Balances = coupled()

    def perform(self, name: str, *arguments: Any) -> Any:
        """Do something with the currency, all or nothing."""
        self.host.overlay.begin()
        try:
            result = getattr(self.currency, name)(*arguments)
        except DispatchError:
            self.host.overlay.rollback()
            raise
        self.host.overlay.commit()
        return result


class Ledger(Runtime):
    """Accounts and money."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=ED)
    till = Till.at(9, currency=balances)


def ledger(**held: int) -> Externalities:
    accounts = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    listed = [["0x" + accounts[name].hex(), amount] for name, amount in held.items()]
    return Externalities(Ledger, genesis={"balances": {"balances": listed}})


@pytest.fixture
def ext() -> Externalities:
    return ledger(alice=1000, bob=500)


def free(ext: Externalities, who: AccountId) -> int:
    return int(ext.runtime.balances.free(who))


def issued(ext: Externalities) -> int:
    return int(ext.runtime.balances.total_issuance.get())


def test_genesis_issues_what_it_endows(ext: Externalities) -> None:
    assert (free(ext, ALICE), free(ext, BOB), issued(ext)) == (1000, 500, 1500)
    assert ext.runtime.system.account[ALICE].providers == 1
    ext.runtime.try_state()


def test_genesis_below_the_existential_deposit_issues_nothing() -> None:
    dusty = ledger(alice=ED - 1)
    assert (free(dusty, ALICE), issued(dusty)) == (0, 0)
    dusty.runtime.try_state()


def test_a_transfer_moves_money_and_creates_the_account(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", NEW, 100)
    assert (free(ext, ALICE), free(ext, NEW), issued(ext)) == (900, 100, 1500)
    assert ext.new_events() == [NewAccount(NEW), Endowed(NEW, 100), Transfer(ALICE, NEW, 100)]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("transfer_keep_alive", 901, TokenError.NotExpendable),
        ("transfer_keep_alive", 1001, TokenError.FundsUnavailable),
        ("transfer_keep_alive", HUGE, TokenError.FundsUnavailable),
        ("transfer_allow_death", 1001, TokenError.FundsUnavailable),
    ],
)
def test_an_overdraft_is_refused(ext: Externalities, name: str, value: int, error: TokenError) -> None:
    assert_noop(ext, ALICE, "Balances", name, BOB, value, error=Token(error))


@pytest.mark.parametrize("value", [0, 1, ED - 1])
def test_too_little_creates_no_account(ext: Externalities, value: int) -> None:
    below = Token(TokenError.BelowMinimum)
    assert_noop(ext, ALICE, "Balances", "transfer_keep_alive", NEW, value, error=below)
    assert_noop(ext, ALICE, "Balances", "transfer_allow_death", NEW, value, error=below)


def test_a_small_sum_may_go_to_who_exists(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", BOB, 1)
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", BOB, 0)
    assert free(ext, BOB) == 501


def test_who_gives_all_is_reaped(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", BOB, 1000)
    assert ext.runtime.system.account.get(ALICE) is None
    assert (free(ext, BOB), issued(ext)) == (1500, 1500)
    assert ext.new_events() == [KilledAccount(ALICE), Transfer(ALICE, BOB, 1000)]


def test_dust_is_destroyed_with_its_account(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", BOB, 901)
    assert ext.runtime.system.account.get(ALICE) is None
    assert (free(ext, BOB), issued(ext)) == (1401, 1401)
    assert DustLost(ALICE, 99) in ext.new_events()


@pytest.mark.parametrize(("keep_alive", "moved"), [(True, 900), (False, 1000)])
def test_all_is_what_may_go(ext: Externalities, keep_alive: bool, moved: int) -> None:
    assert_ok(ext, ALICE, "Balances", "transfer_all", BOB, keep_alive)
    assert (free(ext, ALICE), free(ext, BOB)) == (1000 - moved, 500 + moved)


@pytest.mark.parametrize("name", ["transfer_keep_alive", "transfer_allow_death"])
@pytest.mark.parametrize("value", [0, 1, 900])
def test_a_transfer_to_oneself_changes_nothing(ext: Externalities, name: str, value: int) -> None:
    assert_ok(ext, ALICE, "Balances", name, ALICE, value)
    assert (free(ext, ALICE), issued(ext)) == (1000, 1500)
    assert ext.new_events() == [Transfer(ALICE, ALICE, value)]
    unavailable = Token(TokenError.FundsUnavailable)
    assert_noop(ext, ALICE, "Balances", name, ALICE, 1001, error=unavailable)


def test_who_sends_itself_everything_keeps_its_account(ext: Externalities) -> None:
    ext.runtime.system.use_nonce(ALICE, 0)
    before = ext.state_root()
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", ALICE, 1000)
    assert_ok(ext, ALICE, "Balances", "transfer_all", ALICE, False)
    assert ext.state_root() == before
    assert ext.new_events() == [Transfer(ALICE, ALICE, 1000)] * 2


def test_only_root_forces(ext: Externalities) -> None:
    assert_noop(ext, ALICE, "Balances", "force_transfer", BOB, ALICE, 1, error=BadOrigin())
    assert_noop(ext, ALICE, "Balances", "force_set_balance", ALICE, 10**9, error=BadOrigin())
    assert_ok(ext, Root(), "Balances", "force_transfer", BOB, ALICE, 400)
    assert (free(ext, ALICE), free(ext, BOB)) == (1400, 100)


@pytest.mark.parametrize(("wanted", "left"), [(0, 0), (ED - 1, 0), (ED, ED), (5000, 5000)])
def test_a_forced_balance_moves_issuance(ext: Externalities, wanted: int, left: int) -> None:
    assert_ok(ext, Root(), "Balances", "force_set_balance", ALICE, wanted)
    assert (free(ext, ALICE), issued(ext)) == (left, 500 + left)
    assert (ALICE in ext.runtime.system.account) == (left > 0)


def test_issuance_does_not_overflow(ext: Externalities) -> None:
    overflow = Arithmetic(ArithmeticError_.Overflow)
    assert_noop(ext, Root(), "Balances", "force_set_balance", ALICE, HUGE, error=overflow)
    assert_ok(ext, Root(), "Balances", "force_set_balance", ALICE, HUGE - 500)
    assert_noop(ext, Root(), "Balances", "force_set_balance", NEW, ED, error=overflow)


def test_burning_lowers_issuance(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Balances", "burn", 900, True)
    assert (free(ext, ALICE), issued(ext)) == (100, 600)
    assert_noop(ext, ALICE, "Balances", "burn", 1, True, error=Token(TokenError.NotExpendable))
    assert_ok(ext, ALICE, "Balances", "burn", 1, False)
    assert (free(ext, ALICE), issued(ext)) == (0, 500)


def test_a_lock_holds_free_balance_and_the_account(ext: Externalities) -> None:
    ext.runtime.balances.set_lock(b"staking ", ALICE, 600)
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", BOB, 400)
    assert_noop(ext, ALICE, "Balances", "transfer_allow_death", BOB, 1, error=Token(TokenError.Frozen))
    assert_noop(ext, ALICE, "Balances", "transfer_keep_alive", BOB, 1, error=Token(TokenError.Frozen))
    assert_noop(ext, Root(), "Balances", "force_set_balance", ALICE, 0, error=ConsumerRemaining())
    ext.runtime.balances.set_lock(b"staking ", ALICE, 0)
    assert ext.runtime.system.account[ALICE].consumers == 0
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", BOB, 600)


def test_locks_overlap_and_are_replaced_by_name(ext: Externalities) -> None:
    balances = ext.runtime.balances
    balances.set_lock(b"staking ", ALICE, 300)
    balances.set_lock(b"voting  ", ALICE, 500)
    balances.set_lock(b"staking ", ALICE, 200)
    assert [(lock.id, lock.amount) for lock in balances.locks[ALICE]] == [
        (b"voting  ", 500),
        (b"staking ", 200),
    ]
    assert balances.usable(ALICE) == 500
    assert ext.runtime.system.account[ALICE].consumers == 1
    balances.set_lock(b"voting  ", ALICE, 0)
    assert balances.usable(ALICE) == 800
    ext.runtime.try_state()


def test_what_is_staked_is_not_a_deposit_as_well(ext: Externalities) -> None:
    balances = ext.runtime.balances
    balances.reserve(ALICE, 400)
    balances.set_lock(b"staking ", ALICE, 500)
    assert balances.usable(ALICE) == 100
    assert_noop(ext, ALICE, "Balances", "transfer_keep_alive", BOB, 101, error=Token(TokenError.Frozen))
    with pytest.raises(DispatchError):
        balances.reserve(ALICE, 101)
    balances.burn_reserved(ALICE, 400)
    assert free(ext, ALICE) == 600
    ext.runtime.try_state()


def test_an_account_has_as_many_locks_as_the_constant_says() -> None:
    listed = {"balances": {"balances": [["0x" + ALICE.hex(), 1000]]}}
    few = Externalities(Ledger, genesis=listed | {"constants": {"Balances": {"MaxLocks": 2}}})
    for chain, most in ((Externalities(Ledger, genesis=listed), MAX_LOCKS), (few, 2)):
        balances = chain.runtime.balances
        assert balances.max_locks == most
        for number in range(most):
            balances.set_lock(number.to_bytes(8, "little"), ALICE, 1)
        with pytest.raises(DispatchError) as refused:
            balances.set_lock(b"one more", ALICE, 1)
        assert refused.value.reason == Arithmetic(ArithmeticError_.Overflow)
        balances.set_lock(bytes(8), ALICE, 2)
        assert len(balances.locks[ALICE]) == most


def test_nothing_is_locked_where_there_is_no_account(ext: Externalities) -> None:
    with pytest.raises(DispatchError) as refused:
        ext.runtime.till.perform("set_lock", b"staking ", NEW, 5)
    assert refused.value.reason == NoProviders()
    ext.runtime.try_state()


def test_a_reserve_is_set_aside_and_comes_back(ext: Externalities) -> None:
    balances = ext.runtime.balances
    balances.reserve(ALICE, 900)
    assert (balances.free(ALICE), balances.reserved(ALICE), issued(ext)) == (100, 900, 1500)
    assert_noop(ext, ALICE, "Balances", "transfer_allow_death", BOB, 1, error=Token(TokenError.NotExpendable))
    with pytest.raises(DispatchError) as refused:
        balances.reserve(ALICE, 1)
    assert refused.value.reason == Error.InsufficientBalance
    assert balances.unreserve(ALICE, 300) == 300
    assert balances.burn_reserved(ALICE, 10_000) == 600
    assert (balances.free(ALICE), balances.reserved(ALICE), issued(ext)) == (400, 0, 900)
    assert balances.unreserve(ALICE, 5) == 0
    assert ext.runtime.system.account[ALICE].consumers == 0
    ext.runtime.try_state()


def test_a_slash_takes_what_is_locked_too_and_is_paid_out_or_forgotten(ext: Externalities) -> None:
    balances = ext.runtime.balances
    balances.set_lock(b"staking ", ALICE, 900)
    balances.set_lock(b"staking ", ALICE, 600)
    assert balances.slash(ALICE, 400) == 400
    assert ext.new_events()[-1] == Slashed(ALICE, 400)
    assert (balances.free(ALICE), issued(ext)) == (600, 1500)
    balances.pay_out(BOB, 150)
    balances.forget(250)
    assert (balances.free(BOB), issued(ext)) == (650, 1250)
    ext.runtime.try_state()


def test_a_slashed_account_that_is_needed_keeps_the_existential_deposit(ext: Externalities) -> None:
    balances = ext.runtime.balances
    ext.runtime.system.add_consumer(ALICE)
    assert balances.slash(ALICE, 10_000) == 1000 - ED
    assert balances.slash(ALICE, 10_000) == 0
    ext.runtime.system.remove_consumer(ALICE)
    assert balances.slash(ALICE, 10_000) == ED
    balances.forget(1000)
    assert ext.runtime.system.account.get(ALICE) is None
    ext.runtime.try_state()


def test_what_a_slash_leaves_below_the_existential_deposit_is_dust(ext: Externalities) -> None:
    balances = ext.runtime.balances
    assert balances.slash(BOB, 500 - ED + 1) == 500 - ED + 1
    assert balances.slash(NEW, 5) == 0
    balances.forget(500 - ED + 1)
    assert issued(ext) == 1000
    ext.runtime.try_state()


def test_an_account_that_only_has_a_reserve_dies_with_it(ext: Externalities) -> None:
    ext.runtime.balances.reserve(ALICE, 500)
    assert_ok(ext, Root(), "Balances", "force_set_balance", ALICE, 0)
    assert ext.runtime.system.account[ALICE].data.reserved == 500
    ext.runtime.balances.burn_reserved(ALICE, 500)
    assert ext.runtime.system.account.get(ALICE) is None
    ext.runtime.try_state()


def test_what_another_pallet_keeps_alive_is_not_reaped_with_its_money(ext: Externalities) -> None:
    system = ext.runtime.system
    system.add_provider(ALICE)
    assert_ok(ext, ALICE, "Balances", "transfer_allow_death", BOB, 1000 - 1)
    assert (system.account[ALICE].providers, system.account[ALICE].data) == (1, AccountData())
    below = Token(TokenError.BelowMinimum)
    assert_noop(ext, BOB, "Balances", "transfer_keep_alive", ALICE, ED - 1, error=below)
    assert_ok(ext, BOB, "Balances", "transfer_keep_alive", ALICE, ED)
    assert system.account[ALICE].providers == 2


def test_a_fee_that_would_make_no_account_is_lost_not_minted(ext: Externalities) -> None:
    balances = ext.runtime.balances
    balances.withdraw(ALICE, 50)
    balances.pay_out(NEW, 50)
    assert (free(ext, NEW), issued(ext)) == (0, 1450)
    balances.withdraw(ALICE, 50)
    balances.forget(50)
    assert issued(ext) == 1400
    ext.runtime.try_state()


# Any sequence against the sum of its events.

people = st.sampled_from([ALICE, BOB, CAROL, NEW])
sums = st.sampled_from([0, 1, ED - 1, ED, ED + 1, 300, 400, 500, 900, 1000, 1001, 5000, HUGE])
locks = st.sampled_from([b"staking ", b"voting  "])
steps = st.one_of(
    st.tuples(st.just("transfer_allow_death"), people, people, sums),
    st.tuples(st.just("transfer_keep_alive"), people, people, sums),
    st.tuples(st.just("transfer_all"), people, people, st.booleans()),
    st.tuples(st.just("burn"), people, sums, st.booleans()),
    st.tuples(st.just("force_set_balance"), st.just(Root()), people, sums),
    st.tuples(st.just("force_transfer"), st.just(Root()), people, people, sums),
    st.tuples(
        st.sampled_from(["mint", "burn", "reserve", "unreserve", "burn_reserved"]), st.none(), people, sums
    ),
    st.tuples(st.just("set_lock"), st.none(), locks, people, sums),
)


def change(event: Any, before: dict[AccountId, int]) -> int:
    """Return by how much an event says that issuance changed."""
    match event:
        case Minted(_, amount):
            return int(amount)
        case Burned(_, amount) | DustLost(_, amount) | Slashed(_, amount):
            return -int(amount)
        case BalanceSet(who, amount):
            return int(amount) - before[who]
        case Transfer() | Endowed() | Reserved() | Unreserved() | Locked() | NewAccount() | KilledAccount():
            return 0
        case Withdraw() | Deposit():
            return 0
    raise AssertionError(event)


@settings(max_examples=120)
@given(st.lists(steps, max_size=12))
def test_every_change_of_issuance_has_its_event(made: list[tuple[Any, ...]]) -> None:
    ext = ledger(alice=1000, bob=500, carol=300)
    for name, origin, *arguments in made:
        before = {who: free(ext, who) for who in (ALICE, BOB, CAROL, NEW)}
        issuance, seen, root = issued(ext), len(ext.overlay.events), ext.state_root()
        try:
            if origin is None:
                ext.runtime.till.perform(name, *arguments)
            else:
                ext.dispatch(origin, "Balances", name, *arguments)
        except DispatchError:
            assert (ext.state_root(), len(ext.overlay.events)) == (root, seen)
        except ValueError:
            assert name == "mint", "only minting more than there can be is beyond any error"
            return
        happened = ext.new_events()[seen:]
        assert issued(ext) == issuance + sum(change(event, before) for event in happened)
        ext.runtime.try_state()
        for who in (ALICE, BOB, CAROL, NEW):
            info = ext.runtime.system.account[who]
            assert info.consumers == int(bool(info.data.reserved or info.data.frozen))
            assert info.providers == int(info.data.free >= ED or bool(info.data.reserved))
