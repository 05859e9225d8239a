"""Bonds and roles: what each call does, and what it refuses."""

from typing import Any

import pytest

from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, Token, TokenError
from runtime.frame.testing import assert_noop
from runtime.pallets.staking.messages import (
    Bonded,
    Chilled,
    Error,
    Kicked,
    Unbonded,
    ValidatorPrefsSet,
    Withdrawn,
)
from runtime.pallets.staking.types import (
    Account,
    Controller,
    Nominations,
    Noop,
    NoPayee,
    Remove,
    SetBalance,
    SetCount,
    SetPerbill,
    SetPercent,
    Staked,
    StakingLedger,
    UnlockChunk,
    ValidatorPrefs,
)
from tests.runtime.pallets.staking.economy import (
    ASY,
    BILLION,
    FUNDS,
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


@pytest.fixture
def economy() -> Economy:
    return Economy()


def test_genesis_bonds_its_stakers_and_elects_them(economy: Economy) -> None:
    staking = economy.staking
    assert staking.ledger[V0] == StakingLedger(V0, 4_000 * ASY, 4_000 * ASY, [], [])
    assert (staking.bonded[V0], staking.payee[V0]) == (V0, Staked())
    assert (staking.current_era.find(), economy.era) == (0, 0)
    assert [staking.stake_of(each) for each in (V0, V1, V2, N0)] == [4_000 * ASY, 3_000 * ASY, 2_000 * ASY, 0]
    assert economy.runtime.session.validators.get() == [V0, V1, V2]
    assert (staking.counter_for_validators.get(), staking.counter_for_nominators.get()) == (3, 0)
    assert (staking.eras_total_stake[0], staking.bonded_eras.get()) == (9_000 * ASY, [(0, 0)])
    assert economy.balances.usable(V0) == FUNDS - 4_000 * ASY
    economy.runtime.try_state()


def test_genesis_refuses_a_bond_beyond_what_there_is() -> None:
    with pytest.raises(ValueError, match="bonds 10001000000000000 planck but has 10000000000000000"):
        Economy((10_001,))


def test_a_bond_is_locked_but_weighs_nothing_before_an_election(economy: Economy) -> None:
    assert economy.call(N0, "bond", 700 * ASY, Account(N1))[-1] == Bonded(N0, 700 * ASY)
    assert economy.staking.payee[N0] == Account(N1)
    assert economy.staking.stake_of(N0) == 0
    too_much = FUNDS - 700 * ASY + 1
    error = Token(TokenError.Frozen)
    assert_noop(economy.ext, N0, "Balances", "transfer_allow_death", N1, too_much, error=error)


def test_bond_takes_what_there_is(economy: Economy) -> None:
    assert economy.call(N0, "bond", 2**128 - 1, NoPayee())[-1] == Bonded(N0, FUNDS)
    assert economy.active(N0) == FUNDS


def test_bond_refuses_dust_strangers_twice_and_controllers(economy: Economy) -> None:
    ext, stranger = economy.ext, account("stranger")
    assert_noop(ext, N0, "Staking", "bond", ASY // 1_000 - 1, Staked(), error=Error.InsufficientBond)
    assert_noop(ext, stranger, "Staking", "bond", ASY, Staked(), error=Error.InsufficientBond)
    assert_noop(ext, V0, "Staking", "bond", ASY, Staked(), error=Error.AlreadyBonded)
    assert_noop(ext, N0, "Staking", "bond", ASY, Controller(), error=Error.ControllerDeprecated)
    assert_noop(ext, Root(), "Staking", "bond", ASY, Staked(), error=BadOrigin())


def test_bond_extra_adds_up_to_what_is_free(economy: Economy) -> None:
    assert economy.call(V0, "bond_extra", 2**128 - 1)[-1] == Bonded(V0, 6_000 * ASY)
    assert economy.active(V0) == FUNDS
    assert_noop(economy.ext, V0, "Staking", "bond_extra", 1, error=Error.InsufficientBond)
    assert_noop(economy.ext, N0, "Staking", "bond_extra", 1, error=Error.NotStash)


def test_what_is_unbonded_is_free_only_after_the_bonding_duration(economy: Economy) -> None:
    economy.call(N0, "bond", 100 * ASY, NoPayee())
    assert economy.call(N0, "unbond", 40 * ASY)[-1] == Unbonded(N0, 40 * ASY)
    chunk = UnlockChunk(40 * ASY, 3)
    assert economy.staking.ledger[N0] == StakingLedger(N0, 100 * ASY, 60 * ASY, [chunk], [])
    while economy.era < 3:
        economy.step()
        if economy.era < 3:
            economy.call(N0, "withdraw_unbonded", 0)
            assert economy.staking.ledger[N0].unlocking == [chunk], economy.era
    assert economy.call(N0, "withdraw_unbonded", 0)[-1] == Withdrawn(N0, 40 * ASY)
    assert economy.staking.ledger[N0] == StakingLedger(N0, 60 * ASY, 60 * ASY, [], [])
    assert economy.balances.usable(N0) == FUNDS - 60 * ASY


def test_the_planned_era_frees_nothing_before_it_is_active(economy: Economy) -> None:
    economy.call(N0, "bond", 100 * ASY, NoPayee())
    economy.call(N0, "unbond", 40 * ASY)
    economy.run_to_session(5)
    assert (economy.staking.current_era.find(), economy.era) == (3, 2)
    economy.call(N0, "withdraw_unbonded", 0)
    assert economy.staking.ledger[N0].unlocking == [UnlockChunk(40 * ASY, 3)]


def test_a_stash_that_withdraws_everything_is_forgotten(economy: Economy) -> None:
    economy.nominator(N0, 100, V0)
    economy.call(N0, "chill")
    economy.call(N0, "unbond", 2**128 - 1)
    economy.run_to_era(3)
    economy.call(N0, "withdraw_unbonded", 0)
    staking = economy.staking
    assert [N0 in item for item in (staking.bonded, staking.ledger, staking.payee)] == [False] * 3
    assert economy.balances.usable(N0, keep_alive=False) == economy.free(N0)
    assert_noop(economy.ext, N0, "Staking", "unbond", 1, error=Error.NotController)
    economy.call(N0, "bond", ASY, Staked())


def test_unbond_leaves_no_dust_and_no_role_without_its_bond(economy: Economy) -> None:
    economy.nominator(N0, 100, V0)
    economy.call(N1, "bond", 100 * ASY, Staked())
    error = Error.InsufficientBond
    assert_noop(economy.ext, N0, "Staking", "unbond", 90 * ASY + 1, error=error)
    assert_noop(economy.ext, V0, "Staking", "unbond", 3_000 * ASY + 1, error=error)
    assert economy.call(V0, "unbond", 3_000 * ASY)[-1] == Unbonded(V0, 3_000 * ASY)
    assert economy.call(N1, "unbond", 100 * ASY - 5)[-1] == Unbonded(N1, 100 * ASY)


def test_chunks_of_one_era_are_one_and_there_are_32_at_most() -> None:
    economy = Economy(constants={"BondingDuration": 40, "SessionsPerEra": 1})
    economy.call(N0, "bond", 1_000 * ASY, NoPayee())
    for expected in range(1, 33):
        economy.call(N0, "unbond", ASY)
        economy.call(N0, "unbond", ASY)
        assert len(economy.staking.ledger[N0].unlocking) == expected
        planned = economy.staking.current_era.find()
        while economy.staking.current_era.find() == planned:
            economy.step()
    assert_noop(economy.ext, N0, "Staking", "unbond", ASY, error=Error.NoMoreChunks)
    economy.run_to_era(40)
    economy.call(N0, "unbond", ASY)
    assert [chunk.value for chunk in economy.staking.ledger[N0].unlocking][-2:] == [2 * ASY, ASY]


def test_rebond_takes_back_the_youngest_chunks(economy: Economy) -> None:
    economy.call(N0, "bond", 100 * ASY, NoPayee())
    economy.call(N0, "unbond", 30 * ASY)
    economy.run_to_era(1)
    economy.call(N0, "unbond", 30 * ASY)
    assert economy.call(N0, "rebond", 40 * ASY)[-1] == Bonded(N0, 40 * ASY)
    chunks = [UnlockChunk(20 * ASY, 3)]
    assert economy.staking.ledger[N0] == StakingLedger(N0, 100 * ASY, 80 * ASY, chunks, [])
    assert economy.call(N0, "rebond", 2**128 - 1)[-1] == Bonded(N0, 20 * ASY)
    assert_noop(economy.ext, N0, "Staking", "rebond", 1, error=Error.NoUnlockChunk)
    assert_noop(economy.ext, N1, "Staking", "rebond", 1, error=Error.NotController)


def test_payees_are_set_by_the_stash(economy: Economy) -> None:
    economy.call(V0, "set_payee", Account(N0))
    assert economy.staking.payee[V0] == Account(N0)
    assert_noop(economy.ext, V0, "Staking", "set_payee", Controller(), error=Error.ControllerDeprecated)
    assert_noop(economy.ext, N0, "Staking", "set_payee", Staked(), error=Error.NotController)


def test_validate_needs_the_bond_and_the_least_commission(economy: Economy) -> None:
    economy.call(N0, "bond", 999 * ASY, Staked())
    prefs = ValidatorPrefs(50_000_000, True)
    assert_noop(economy.ext, N0, "Staking", "validate", prefs, error=Error.InsufficientBond)
    assert_noop(economy.ext, N1, "Staking", "validate", prefs, error=Error.NotController)
    economy.call(N0, "bond_extra", ASY)
    economy.root("set_min_commission", 60_000_000)
    assert_noop(economy.ext, N0, "Staking", "validate", prefs, error=Error.CommissionTooLow)
    prefs = ValidatorPrefs(60_000_000, True)
    assert economy.call(N0, "validate", prefs)[-1] == ValidatorPrefsSet(N0, prefs)
    assert economy.staking.validators[N0] == prefs
    assert economy.staking.counter_for_validators.get() == 4


def test_a_commission_is_at_most_all_of_it(economy: Economy) -> None:
    economy.call(V0, "validate", ValidatorPrefs(2**32 - 1, False))
    assert economy.staking.validators[V0] == ValidatorPrefs(10**9, False)
    economy.root("set_min_commission", 2**32 - 1)
    assert economy.staking.min_commission.get() == 10**9


def test_a_commission_rises_slowly(economy: Economy) -> None:
    def commission(ppb: int) -> tuple[str, str, ValidatorPrefs]:
        return "Staking", "validate", ValidatorPrefs(ppb, False)

    step = economy.staking.max_commission_rise
    economy.commission(V0, 50_000_000)
    for refused in (50_000_001, BILLION):
        assert_noop(economy.ext, V0, *commission(refused), error=Error.CommissionRisesTooFast)
    economy.run_to_era(1)
    economy.call(V0, "chill")
    too_much = commission(50_000_001 + step)
    assert_noop(economy.ext, V0, *too_much, error=Error.CommissionRisesTooFast)
    economy.commission(V0, 50_000_000 + step)
    assert_noop(economy.ext, V0, *too_much, error=Error.CommissionRisesTooFast)
    economy.commission(V0, 0)
    assert_noop(economy.ext, V0, *commission(1), error=Error.CommissionRisesTooFast)
    economy.root("set_min_commission", 90_000_000)
    economy.commission(V0, 90_000_000)


def test_nominate_names_validators_once(economy: Economy) -> None:
    economy.call(N0, "bond", 100 * ASY, Staked())
    economy.call(N0, "nominate", [V0, V1, V0])
    assert economy.staking.nominators[N0] == Nominations([V0, V1], 0, False)
    assert economy.staking.counter_for_nominators.get() == 1


def test_nominate_refuses_what_makes_no_sense(economy: Economy) -> None:
    ext = economy.ext
    economy.call(N0, "bond", 10 * ASY - 1, Staked())
    assert_noop(ext, N0, "Staking", "nominate", [V0], error=Error.InsufficientBond)
    economy.call(N0, "bond_extra", 1)
    assert_noop(ext, N0, "Staking", "nominate", [], error=Error.EmptyTargets)
    assert_noop(ext, N0, "Staking", "nominate", [V0] * 17, error=Error.TooManyTargets)
    assert_noop(ext, N0, "Staking", "nominate", [V0, N1], error=Error.BadTarget)
    assert_noop(ext, N1, "Staking", "nominate", [V0], error=Error.NotController)
    economy.call(N0, "nominate", [V0, V1])
    economy.call(V0, "validate", ValidatorPrefs(0, True))
    economy.call(N0, "nominate", [V0])  # it has backed V0 before
    economy.call(N1, "bond", 10 * ASY, Staked())
    assert_noop(ext, N1, "Staking", "nominate", [V0], error=Error.BadTarget)


def test_a_stash_has_one_role(economy: Economy) -> None:
    economy.call(V2, "nominate", [V0])
    assert V2 not in economy.staking.validators
    economy.call(V2, "validate", ValidatorPrefs())
    assert V2 not in economy.staking.nominators
    assert economy.call(V2, "chill")[-1] == Chilled(V2)
    assert economy.call(V2, "chill") == []
    assert_noop(economy.ext, N0, "Staking", "chill", error=Error.NotController)


def test_a_validator_kicks_nominators(economy: Economy) -> None:
    economy.nominator(N0, 100, V0, V1)
    assert economy.call(V0, "kick", [N0, N1, V1]) == [Kicked(N0, V0)]
    assert economy.staking.nominators[N0].targets == [V1]
    assert_noop(economy.ext, N1, "Staking", "kick", [N0], error=Error.NotController)


NOOP = Noop()
SHARED = Economy()
"""for what changes nothing"""


def test_settings_are_set_removed_or_left(economy: Economy) -> None:
    staking = economy.staking
    chosen = [SetBalance(5), SetBalance(7), SetCount(3), SetCount(4), SetPercent(75), SetPerbill(9)]
    items = [staking.min_nominator_bond, staking.min_validator_bond, staking.max_nominators_count,
             staking.max_validators_count, staking.chill_threshold, staking.min_commission]  # fmt: skip
    economy.root("set_staking_configs", *chosen)
    assert [item.find() for item in items] == [5, 7, 3, 4, 75, 9]
    economy.root("set_staking_configs", *[Remove() if at % 2 else NOOP for at in range(6)])
    assert [item.find() for item in items] == [5, None, 3, None, 75, None]
    assert_noop(economy.ext, V0, "Staking", "set_staking_configs", *[NOOP] * 6, error=BadOrigin())


def test_roles_can_be_full(economy: Economy) -> None:
    economy.root("set_staking_configs", NOOP, NOOP, SetCount(1), SetCount(3), NOOP, NOOP)
    economy.nominator(N0, 100, V0)
    economy.call(N1, "bond", 2_000 * ASY, Staked())
    assert_noop(economy.ext, N1, "Staking", "nominate", [V0], error=Error.TooManyNominators)
    prefs = ValidatorPrefs()
    assert_noop(economy.ext, N1, "Staking", "validate", prefs, error=Error.TooManyValidators)
    economy.call(N0, "nominate", [V1])
    economy.call(V0, "validate", ValidatorPrefs(1, False))


def test_others_are_chilled_where_it_is_full_and_their_bond_too_small(economy: Economy) -> None:
    ext, refused = economy.ext, Error.CannotChillOther
    economy.nominator(N0, 100, V0)
    assert_noop(ext, N3, "Staking", "chill_other", N0, error=refused)
    limits = (SetCount(1), SetCount(4), SetPercent(75), NOOP)
    economy.root("set_staking_configs", NOOP, NOOP, *limits)
    assert_noop(ext, N3, "Staking", "chill_other", N0, error=refused)  # enough at stake
    raised = (SetBalance(101 * ASY), SetBalance(2_500 * ASY))
    economy.root("set_staking_configs", *raised, NOOP, NOOP, NOOP, NOOP)
    assert_noop(ext, N3, "Staking", "chill_other", V2, error=refused)  # 3 of 4 is not above 75 %
    assert economy.call(N3, "chill_other", N0)[-1] == Chilled(N0)
    economy.root("set_staking_configs", NOOP, NOOP, NOOP, SetCount(3), NOOP, NOOP)
    assert economy.call(N3, "chill_other", V2)[-1] == Chilled(V2)
    assert_noop(ext, N3, "Staking", "chill_other", V1, error=refused)
    assert_noop(ext, N3, "Staking", "chill_other", N2, error=Error.NotStash)
    assert economy.call(V1, "chill_other", V1)[-1] == Chilled(V1)


def test_root_says_how_many_are_elected(economy: Economy) -> None:
    economy.root("set_validator_count", 256)
    assert economy.staking.desired_targets() == 256
    many = Error.TooManyValidators
    assert_noop(economy.ext, Root(), "Staking", "set_validator_count", 257, error=many)
    assert_noop(economy.ext, Root(), "Staking", "increase_validator_count", 1, error=many)
    economy.root("set_validator_count", 2)
    economy.root("increase_validator_count", 1)
    assert economy.staking.validator_count.get() == 3
    assert_noop(economy.ext, V0, "Staking", "set_validator_count", 1, error=BadOrigin())


ROOT_ONLY = [
    ("set_validator_count", 1), ("increase_validator_count", 1), ("force_no_eras",), ("force_new_era",),
    ("set_invulnerables", []), ("force_new_era_always",), ("cancel_deferred_slash", 0, [0]),
    ("set_staking_configs", *[NOOP] * 6), ("set_min_commission", 1),
]  # fmt: skip


@pytest.mark.parametrize("call", ROOT_ONLY, ids=lambda call: call[0])
def test_settings_are_root_s(call: tuple[Any, ...]) -> None:
    name, *arguments = call
    assert_noop(SHARED.ext, V0, "Staking", name, *arguments, error=BadOrigin())


STASH_ONLY = [
    ("unbond", 1), ("withdraw_unbonded", 0), ("validate", ValidatorPrefs()), ("nominate", [V0]), ("chill",),
    ("set_payee", Staked()), ("rebond", 1), ("kick", []),
]  # fmt: skip


@pytest.mark.parametrize("call", STASH_ONLY, ids=lambda call: call[0])
def test_who_has_not_bonded_is_told_to(call: tuple[Any, ...]) -> None:
    name, *arguments = call
    assert_noop(SHARED.ext, N0, "Staking", name, *arguments, error=Error.NotController)
    assert_noop(SHARED.ext, Root(), "Staking", name, *arguments, error=BadOrigin())


def test_voters_come_in_pages_in_the_order_of_keys(economy: Economy) -> None:
    for who in (N0, N1, N2):
        economy.nominator(who, 100, V0, V1)
    staking = economy.staking
    paged, after = [], None
    while page := staking.voters_page(after, 2):
        paged += page
        after = page[-1][0]
    assert paged == staking.voters_page(None, 100)
    expected = {V0: [V0], V1: [V1], V2: [V2], N0: [V0, V1], N1: [V0, V1], N2: [V0, V1]}
    assert {who: targets for who, _, targets in paged} == expected
    assert {stake for who, stake, _ in paged if who in (N0, N1, N2)} == {100 * ASY}
    listed = staking.electable_targets(None, 2)
    assert sorted([*listed, *staking.electable_targets(listed[-1], 100)]) == sorted([V0, V1, V2])


def test_who_changes_roles_between_two_pages_votes_once(economy: Economy) -> None:
    for who in (N0, N1):
        economy.nominator(who, 2_000, V0)
    first = economy.staking.voters_page(None, 1)
    last = first[0][0]
    role = ("nominate", [V0]) if last in (V1, V2) else ("validate", ValidatorPrefs())
    economy.call(last, *role)
    rest = economy.staking.voters_page(last, 100)
    assert len([*first, *rest]) == 5
    assert last not in [who for who, _, _ in rest]
