"""Balances: the native-token ledger. Every amount is planck (u128).

Source: FRAME's pallet-balances. Account data lies in System.Account, where clients look for it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Protocol

from runtime.frame.declare import Root, Signed, call, constant, coupled, db, event
from runtime.frame.errors import (
    Arithmetic,
    ArithmeticError_,
    DispatchError,
    PalletError,
    Token,
    TokenError,
    ensure,
)
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.primitives.shapes import Bounded, Compact, Fixed, struct, u8, u32
from runtime.primitives.ss58 import accounts_of
from runtime.primitives.types import AccountData, AccountId, AccountInfo, Balance, Lookup

LockIdentifier = Annotated[bytes, Fixed(8)]
MAX_LOCKS = 50
"""Locks on one account: what the list of them can hold, and what a chain says unless it wants fewer."""
ALL_REASONS = 2
"""Reasons::All: the lock holds against fees and transfers alike."""


@struct("pallet_balances::types::BalanceLock")
class BalanceLock:
    """An amount that may not be spent while the lock stands."""

    id: LockIdentifier
    amount: Balance
    reasons: u8


@event
class Endowed:
    """An account was created with some free balance."""

    account: AccountId
    free_balance: Balance


@event
class DustLost:
    """An account fell below the existential deposit; what was left of it is destroyed."""

    account: AccountId
    amount: Balance


@event
class Transfer:
    """Transfer succeeded."""

    from_: AccountId
    to: AccountId
    amount: Balance


@event
class BalanceSet:
    """A balance was set by root."""

    who: AccountId
    free: Balance


@event
class Reserved:
    """Some balance was reserved (moved from free to reserved)."""

    who: AccountId
    amount: Balance


@event
class Unreserved:
    """Some balance was unreserved (moved from reserved to free)."""

    who: AccountId
    amount: Balance


@event
class Withdraw:
    """Some amount was withdrawn from the account (such as a fee)."""

    who: AccountId
    amount: Balance


@event
class Deposit:
    """Some amount was deposited."""

    who: AccountId
    amount: Balance


@event
class Slashed:
    """Some amount was removed from the account for misbehaviour."""

    who: AccountId
    amount: Balance


@event
class Minted:
    """Some amount was minted into an account."""

    who: AccountId
    amount: Balance


@event
class Burned:
    """Some amount was burned from an account."""

    who: AccountId
    amount: Balance


@event
class Locked:
    """Some balance was locked."""

    who: AccountId
    amount: Balance


class Error(PalletError):
    """Why a balances call is refused."""

    LiquidityRestrictions = "Account liquidity restrictions prevent withdrawal."
    InsufficientBalance = "Balance too low to send value."
    ExistentialDeposit = "Value too low to create account due to existential deposit."
    Expendability = "Transfer/payment would kill account."


class Accounts(Protocol):
    """Where account data lies, and who counts its references."""

    account: Map[AccountId, AccountInfo]

    def add_provider(self, who: AccountId) -> None:
        """Keep the account alive."""
        ...

    def remove_provider(self, who: AccountId) -> None:
        """Let the account go. Raises: DispatchError."""
        ...

    def add_consumer(self, who: AccountId) -> None:
        """Need the account. Raises: DispatchError."""
        ...

    def remove_consumer(self, who: AccountId) -> None:
        """Stop needing the account."""
        ...


class Balances(
    Pallet[
        Endowed | DustLost | Transfer | BalanceSet | Reserved | Unreserved | Deposit | Withdraw | Slashed
        | Minted | Burned | Locked,
        Error,
    ]
):  # fmt: skip
    """Free and reserved balances, locks, total issuance and the existential deposit."""

    accounts: Accounts = coupled()
    existential_deposit: Balance = constant(1_000_000_000)
    max_locks: u32 = constant(MAX_LOCKS)

    total_issuance: Value[Balance] = storage(default=0)
    locks: Map[AccountId, Annotated[list[BalanceLock], Bounded(MAX_LOCKS)]] = storage(default=[])

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Endow the accounts of `balances`: [[account, planck], ...]."""
        listed = config.get("balances", [])
        accounts = accounts_of([account for account, _ in listed], "balances.balances")
        for account, (_, amount) in zip(accounts, listed, strict=True):
            self.mint(account, int(amount))

    @call(0, weight=db(reads=2, writes=2))
    def transfer_allow_death(self, who: Signed, dest: Lookup, value: Compact[Balance]) -> None:
        """Transfer some liquid free balance to another account; the sender may be reaped."""
        self.move(who, dest, value, keep_alive=False)

    @call(2, weight=db(reads=2, writes=2))
    def force_transfer(self, origin: Root, source: Lookup, dest: Lookup, value: Compact[Balance]) -> None:
        """Transfer between two accounts, by root."""
        self.move(source, dest, value, keep_alive=False)

    @call(3, weight=db(reads=2, writes=2))
    def transfer_keep_alive(self, who: Signed, dest: Lookup, value: Compact[Balance]) -> None:
        """Transfer some liquid free balance to another account; the sender stays alive."""
        self.move(who, dest, value, keep_alive=True)

    @call(4, weight=db(reads=2, writes=2))
    def transfer_all(self, who: Signed, dest: Lookup, keep_alive: bool) -> None:
        """Transfer the entire transferable balance from the caller account."""
        self.move(who, dest, self.usable(who, keep_alive=keep_alive), keep_alive=keep_alive)

    @call(8, weight=db(reads=1, writes=1))
    def force_set_balance(self, origin: Root, who: Lookup, new_free: Compact[Balance]) -> None:
        """Set the regular balance of a given account; issuance follows."""
        wanted = new_free if new_free >= self.existential_deposit else 0
        self.total_issuance.put(self.total_issuance.get() - self.free(who) + wanted)
        before = self.accounts.account[who]
        self._write(who, before, before.data.with_free(wanted))
        self.deposit(BalanceSet(who, wanted))

    @call(10, weight=db(reads=1, writes=1))
    def burn_(self, who: Signed, value: Compact[Balance], keep_alive: bool) -> None:
        """Burn the specified liquid free balance from the origin account."""
        self._destroy(who, value, keep_alive=keep_alive)
        self.deposit(Burned(who, value))

    # What other pallets use: runtime.frame.traits.Currency.

    def free(self, who: AccountId) -> Balance:
        """Return the free balance, locked or not."""
        return self._data(who).free

    def reserved(self, who: AccountId) -> Balance:
        """Return what is set aside."""
        return self._data(who).reserved

    def usable(self, who: AccountId, *, keep_alive: bool = True) -> Balance:
        """Return what may leave the account; locks hold free balance, so stake is never a deposit as well."""
        return self._usable(self.accounts.account[who], keep_alive)

    def move(self, source: AccountId, dest: AccountId, value: Balance, *, keep_alive: bool) -> None:
        """Transfer from one account to another.

        Raises: DispatchError.
        """
        before = self._ensure_usable(source, value, keep_alive=keep_alive)
        if source != dest:
            if value < self.existential_deposit and not self._lives(self._data(dest)):
                raise DispatchError(Token(TokenError.BelowMinimum))
            self._write(source, before, before.data.with_free(before.data.free - value))
            self._change_free(dest, value)  # read again: nothing of dest was held across the debit
        self.deposit(Transfer(source, dest, value))

    def mint(self, who: AccountId, value: Balance) -> None:
        """Create money in an account; issuance rises by exactly this much."""
        if not value:
            return
        self.total_issuance.put(self.total_issuance.get() + value)
        self._change_free(who, value)
        self.deposit(Minted(who, value))

    def pay_out(self, who: AccountId, value: Balance) -> None:
        """Put money into an account that was withdrawn before and is still counted in the issuance."""
        if value:
            self._change_free(who, value)
            self.deposit(Deposit(who, value))

    def withdraw(self, who: AccountId, value: Balance) -> None:
        """Take usable money out of an account, for `pay_out` or `forget`; the account stays alive.

        Raises: DispatchError.
        """
        if value:
            before = self._ensure_usable(who, value, keep_alive=True)
            self._write(who, before, before.data.with_free(before.data.free - value))
            self.deposit(Withdraw(who, value))

    def slash(self, who: AccountId, value: Balance) -> Balance:
        """Take money out of an account, locked or not, for `pay_out` or `forget`; return how much.

        An account that something else needs keeps the existential deposit.
        """
        before = self.accounts.account[who]
        kept = self.existential_deposit if before.consumers else 0
        taken = min(value, max(before.data.free - kept, 0))
        if taken:
            self._write(who, before, before.data.with_free(before.data.free - taken))
            self.deposit(Slashed(who, taken))
        return taken

    def forget(self, value: Balance) -> None:
        """Destroy money that was taken out of accounts."""
        self.total_issuance.put(self.total_issuance.get() - value)

    def burn(self, who: AccountId, value: Balance) -> None:
        """Destroy usable money of an account.

        Raises: DispatchError.
        """
        self._destroy(who, value, keep_alive=True)
        self.deposit(Burned(who, value))

    def reserve(self, who: AccountId, value: Balance) -> None:
        """Set usable money aside.

        Raises: DispatchError.
        """
        ensure(self.usable(who) >= value, Error.InsufficientBalance)
        before = self.accounts.account[who]
        data = before.data
        changed = replace(data, free=data.free - value, reserved=data.reserved + value)
        self._write(who, before, changed)
        self.deposit(Reserved(who, value))

    def unreserve(self, who: AccountId, value: Balance) -> Balance:
        """Free what was set aside, as far as there is any; return the amount freed."""
        before = self.accounts.account[who]
        data = before.data
        freed = min(value, data.reserved)
        changed = replace(data, free=data.free + freed, reserved=data.reserved - freed)
        self._write(who, before, changed)
        self.deposit(Unreserved(who, freed))
        return freed

    def burn_reserved(self, who: AccountId, value: Balance) -> Balance:
        """Destroy what was set aside, as far as there is any; return the amount burnt."""
        before = self.accounts.account[who]
        data = before.data
        burnt = min(value, data.reserved)
        self.total_issuance.put(self.total_issuance.get() - burnt)
        self._write(who, before, replace(data, reserved=data.reserved - burnt))
        self.deposit(Slashed(who, burnt))
        return burnt

    def set_lock(self, identifier: bytes, who: AccountId, amount: Balance) -> None:
        """Keep an amount from being spent; zero lifts the lock."""
        kept = [lock for lock in self.locks[who] if lock.id != identifier]
        if amount:
            kept.append(BalanceLock(identifier, amount, ALL_REASONS))
            ensure(len(kept) <= self.max_locks, Arithmetic(ArithmeticError_.Overflow))
            self.deposit(Locked(who, amount))
        if kept:
            self.locks[who] = kept
        else:
            del self.locks[who]
        before = self.accounts.account[who]
        frozen = max((lock.amount for lock in kept), default=0)
        self._write(who, before, replace(before.data, frozen=frozen))

    # The ledger itself.

    def _data(self, who: AccountId) -> AccountData:
        return self.accounts.account[who].data

    def _usable(self, info: AccountInfo, keep_alive: bool) -> Balance:
        untouchable = info.data.frozen
        if untouchable < self.existential_deposit and (keep_alive or info.consumers):
            untouchable = self.existential_deposit
        return max(info.data.free - untouchable, 0)

    def _ensure_usable(self, who: AccountId, value: Balance, *, keep_alive: bool) -> AccountInfo:
        """Return the account, from which so much may leave."""
        info = self.accounts.account[who]
        if self._usable(info, keep_alive) >= value:
            return info
        data = info.data
        if data.free < value:
            raise DispatchError(Token(TokenError.FundsUnavailable))
        raise DispatchError(
            Token(TokenError.Frozen if data.free - data.frozen < value else TokenError.NotExpendable)
        )

    def _destroy(self, who: AccountId, value: Balance, *, keep_alive: bool) -> None:
        """Take usable money out of an account and out of the issuance."""
        before = self._ensure_usable(who, value, keep_alive=keep_alive)
        self._write(who, before, before.data.with_free(before.data.free - value))
        self.total_issuance.put(self.total_issuance.get() - value)

    def _change_free(self, who: AccountId, difference: int) -> None:
        before = self.accounts.account[who]
        self._write(who, before, before.data.with_free(before.data.free + difference))

    def _write(self, who: AccountId, before: AccountInfo, after: AccountData) -> None:
        """Write account data; create or reap the account and keep its reference counts true."""
        held_before = bool(before.data.reserved or before.data.frozen)
        held_after = bool(after.reserved or after.frozen)
        existed, lives = self._lives(before.data), self._lives(after)
        if existed and lives and held_before == held_after:
            self.accounts.account[who] = before.with_data(after)
            return
        if lives and not existed:
            self.accounts.add_provider(who)
            self.deposit(Endowed(who, after.free))
        if held_after and not held_before:
            self.accounts.add_consumer(who)
        if held_before and not held_after:
            self.accounts.remove_consumer(who)
        if not lives:
            self._reap(who, after.free, existed)
            return
        self.accounts.account[who] = self.accounts.account[who].with_data(after)

    def _lives(self, data: AccountData) -> bool:
        """Say whether there is enough to keep an account; other pallets may keep it for other reasons."""
        return data.free >= self.existential_deposit or bool(data.reserved)

    def _reap(self, who: AccountId, dust: Balance, existed: bool) -> None:
        if dust:
            self.total_issuance.put(self.total_issuance.get() - dust)
            self.deposit(DustLost(who, dust))
        if existed:
            self.accounts.account[who] = self.accounts.account[who].with_data(AccountData())
            self.accounts.remove_provider(who)

    def try_state(self) -> None:
        """Issuance equals the sum of all balances; nobody holds less than the existential deposit."""
        total = 0
        for who, info in self.accounts.account.items():
            data = info.data
            total += data.free + data.reserved
            assert self._lives(data) or data == AccountData(), who.hex()
            assert info.providers or not self._lives(data), who.hex()
            assert data.frozen == max((lock.amount for lock in self.locks[who]), default=0), who.hex()
            assert bool(info.consumers) >= bool(data.reserved or data.frozen), who.hex()
        assert total == self.total_issuance.get(), f"{total} held, {self.total_issuance.get()} issued"
