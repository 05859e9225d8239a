"""All bonds: ledgers in storage, each with a lock over its account and a destination of its rewards."""

from dataclasses import dataclass
from typing import Any

from runtime.frame.errors import DispatchError
from runtime.frame.storage import Map
from runtime.pallets.staking.couplings import StakingCurrency
from runtime.pallets.staking.ledger import added, opened, slashed
from runtime.pallets.staking.slashing import reporters_parts
from runtime.pallets.staking.types import (
    Account,
    NoPayee,
    Staked,
    StakingLedger,
    UnappliedSlash,
)
from runtime.primitives.types import AccountId, Balance

LOCK = b"staking "
SLASHED_ENTRIES = 4
"""Entries a slash of one stash touches: ledger, locks, and its account twice."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """What is bonded; every change goes through `write`, so that lock and ledger agree."""

    bonded: Map[AccountId, AccountId]
    ledger: Map[AccountId, StakingLedger]
    payee: Map[AccountId, Any]
    currency: StakingCurrency

    def open(self, stash: AccountId, value: Balance, payee: Any) -> None:
        """Bond a stash for the first time.

        Raises: ValueError where it has less; only genesis asks for so much.
        """
        held = self.currency.free(stash)
        if value > held:
            raise ValueError(f"0x{stash.hex()} bonds {value} planck but has {held}: endow it, or bond less")
        self.bonded[stash] = stash
        self.payee[stash] = payee
        self.write(opened(stash, value))

    def write(self, ledger: StakingLedger) -> None:
        """Keep a ledger, and its total from being spent."""
        self.ledger[ledger.stash] = ledger
        self.currency.set_lock(LOCK, ledger.stash, ledger.total)

    def forget(self, stash: AccountId) -> None:
        """Remove the bond of a stash that has nothing at stake."""
        for item in (self.bonded, self.ledger, self.payee):
            del item[stash]
        self.currency.set_lock(LOCK, stash, 0)

    def reward(self, source: AccountId, who: AccountId, amount: Balance) -> Any:
        """Pay a staker; return where to, None if it wants nothing or its account cannot take so little."""
        dest = self.payee.get(who)
        if not amount or dest is None or isinstance(dest, NoPayee):
            return None
        account = dest._0 if isinstance(dest, Account) else who
        try:
            self.currency.move(source, account, amount, keep_alive=True)
        except DispatchError:
            return None
        if isinstance(dest, Staked):
            self.write(added(self.ledger[who], amount))
        return dest

    def punish(self, slash: UnappliedSlash, first_era: int) -> list[tuple[AccountId, Balance]]:
        """Apply a slash: the reporters' part is paid, the rest destroyed; return who lost how much.

        That part is never more than the validator itself lost: nobody gains by betraying those who back it.
        What unlocks before `first_era` was not at stake: it gives only when the rest is not enough.
        """
        stakers = [(slash.validator, slash.own), *slash.others]
        lost = [(who, self._slash(who, value, first_era)) for who, value in stakers]
        taken = sum(amount for _, amount in lost)
        payout = min(slash.payout, lost[0][1])
        for who, amount in reporters_parts(payout, slash.reporters):
            self.currency.pay_out(who, amount)
        self.currency.forget(taken - payout)
        return [each for each in lost if each[1]]

    def _slash(self, stash: AccountId, value: Balance, first_era: int) -> Balance:
        """Slash one ledger, and its account by as much; return how much."""
        ledger = self.ledger.get(stash)
        if ledger is None:
            return 0
        changed = slashed(ledger, value, self.currency.existential_deposit, first_era)
        self.write(changed)
        return self.currency.slash(stash, ledger.total - changed.total)

    def check(self) -> None:
        """Assert that ledgers add up and are covered by their accounts."""
        assert {*self.bonded.keys()} == {*self.ledger.keys()} == {*self.payee.keys()}
        for stash, ledger in self.ledger.items():
            assert self.bonded[stash] == ledger.stash == stash
            assert ledger.total == ledger.active + sum(chunk.value for chunk in ledger.unlocking)
            assert self.currency.free(stash) >= ledger.total, stash.hex()
