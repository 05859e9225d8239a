"""Staking: what stands behind a validator. Source: FRAME's pallet-staking, its names and storage.

One bonded stake secures the blocks and weighs the scores. Elections, eras, nominations and slashing come with
the consensus work; unbonding needs eras and comes with them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from runtime.frame.declare import Signed, call, constant, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.traits import Currency
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import Bounded, Compact, Variants, struct, u32, variant
from runtime.primitives.ss58 import accounts_of
from runtime.primitives.types import AccountId, Balance

LOCK = b"staking "


@variant
class Staked:
    """Into the stash, and bond it."""


@variant
class Stash:
    """Into the stash."""


@variant
class Controller:
    """Into the stash; kept because wallets know it."""


@variant
class Account:
    """Into this account."""

    _0: AccountId


@variant
class NoPayee:
    """Nowhere."""


NoPayee.__name__ = "None_"
RewardDestination = Annotated[
    Staked | Stash | Controller | Account | NoPayee, Variants("pallet_staking::RewardDestination")
]


@struct("pallet_staking::UnlockChunk")
class UnlockChunk:
    """Stake that is free from an era on."""

    value: Compact[Balance]
    era: Compact[u32]


@struct("pallet_staking::StakingLedger")
class StakingLedger:
    """The bonded stake of one stash."""

    stash: AccountId
    total: Compact[Balance]
    active: Compact[Balance]
    unlocking: Annotated[list[UnlockChunk], Bounded(32)]
    legacy_claimed_rewards: list[u32]


@struct("pallet_staking::ValidatorPrefs")
class ValidatorPrefs:
    """A validator's commission in parts per billion, and whether it takes new nominations."""

    commission: Compact[u32]
    blocked: bool


@event
class Bonded:
    """An account has bonded this amount."""

    stash: AccountId
    amount: Balance


class Error(PalletError):
    """Why a staking call is refused."""

    NotStash = "Not a stash account. Bond first: staking.bond."
    AlreadyBonded = "Stash is already bonded. Add with staking.bond_extra."
    InsufficientBond = "Cannot bond less than the minimum bond of this chain, or more than the free balance."


class Staking(Pallet[Bonded, Error]):
    """Bonds and the ledger."""

    currency: Currency = coupled()
    sessions_per_era: u32 = constant(2)
    bonding_duration: u32 = constant(2)
    min_validator_bond: Balance = constant(1_000_000_000_000_000)

    bonded: Map[AccountId, AccountId] = storage(hasher=twox_64_concat)
    ledger: Map[AccountId, StakingLedger] = storage()
    payee: Map[AccountId, RewardDestination] = storage(default=Staked(), hasher=twox_64_concat)
    validators: Map[AccountId, ValidatorPrefs] = storage(
        default=ValidatorPrefs(0, False), hasher=twox_64_concat
    )
    validator_count: Value[u32] = storage(default=0)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Bond `stakers`: [[stash, planck], ...], validators all of them."""
        stakers = config.get("stakers", [])
        stashes = accounts_of([stash for stash, _ in stakers], "staking.stakers")
        for account, (_, amount) in zip(stashes, stakers, strict=True):
            self._bond(account, int(amount), Staked())
            self.validators[account] = ValidatorPrefs(0, False)
        self.validator_count.put(int(config.get("validator_count", len(stakers))))

    def new_session(self, index: int) -> list[tuple[AccountId, Balance]] | None:
        """Return the validators of genesis with their stake; they stay."""
        return None if index else [(stash, self.stake_of(stash)) for stash, _ in self.validators.items()]

    def start_session(self, index: int) -> None:
        """Begin a session."""

    def end_session(self, index: int) -> None:
        """End a session."""

    @call(0, weight=db(reads=4, writes=4))
    def bond(self, who: Signed, value: Compact[Balance], payee: RewardDestination) -> None:
        """Take the origin account as a stash and lock up value of its balance."""
        ensure(who not in self.bonded, Error.AlreadyBonded)
        ensure(self.min_validator_bond <= value <= self.currency.free(who), Error.InsufficientBond)
        self._bond(AccountId(who), value, payee)

    @call(1, weight=db(reads=3, writes=2))
    def bond_extra(self, who: Signed, max_additional: Compact[Balance]) -> None:
        """Add some extra amount that has appeared in the stash to the bond."""
        ledger = self.ledger.get(who) or refuse(Error.NotStash)
        extra = min(max_additional, self.currency.free(who) - ledger.total)
        ensure(extra > 0, Error.InsufficientBond)
        self._write(replace(ledger, total=ledger.total + extra, active=ledger.active + extra))
        self.deposit(Bonded(who, extra))

    def stake_of(self, stash: AccountId) -> Balance:
        """Return the active bonded stake of a stash, which weighs its scores."""
        ledger = self.ledger.get(stash)
        return ledger.active if ledger else 0

    def _bond(self, stash: AccountId, value: Balance, payee: Any) -> None:
        self.bonded[stash] = stash
        self.payee[stash] = payee
        self._write(StakingLedger(stash, value, value, [], []))
        self.deposit(Bonded(stash, value))

    def _write(self, ledger: StakingLedger) -> None:
        self.ledger[ledger.stash] = ledger
        self.currency.set_lock(LOCK, ledger.stash, ledger.total)

    def try_state(self) -> None:
        """Every ledger is bonded, adds up and is covered by its stash."""
        for stash, ledger in self.ledger.items():
            assert self.bonded.get(stash) == stash
            assert ledger.total == ledger.active + sum(chunk.value for chunk in ledger.unlocking)
            assert self.currency.free(stash) >= ledger.total
