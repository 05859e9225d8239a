"""What Staking asks of other pallets: elections, sessions, authors, money and the time."""

from collections.abc import Sequence
from typing import Protocol

from runtime.frame.storage import Value
from runtime.frame.traits import Currency
from runtime.primitives.types import AccountId, Balance, Moment


class Support(Protocol):
    """One winner of an election and who backs it."""

    @property
    def stash(self) -> AccountId:
        """The validator."""
        ...

    @property
    def total(self) -> Balance:
        """Everything behind it."""
        ...

    @property
    def own(self) -> Balance:
        """Its own part."""
        ...

    @property
    def others(self) -> list[tuple[AccountId, Balance]]:
        """Its nominators' parts."""
        ...


class Election(Protocol):
    """What is asked of the ElectionProvider pallet."""

    def start(self) -> None:
        """Begin an election anew."""
        ...

    def elect(self) -> Sequence[Support] | None:
        """Take the result; None while there is none."""
        ...

    def elect_now(self) -> Sequence[Support]:
        """Elect at once."""
        ...

    def is_ongoing(self) -> bool:
        """Say whether an election has begun whose result was not taken."""
        ...


class Sessions(Protocol):
    """What is asked of the Session pallet."""

    def disable(self, stash: AccountId) -> bool:
        """Keep a validator from working until the session ends; say whether that was done."""
        ...


class Authors(Protocol):
    """What is asked of the Authorship pallet."""

    def author_of_block(self) -> AccountId | None:
        """Return the stash that authored the block."""
        ...


class Pot(Protocol):
    """Where the money for eras waits: the Incentive pallet."""

    def draw_consensus(self, dest: AccountId) -> Balance:
        """Move what was minted for consensus to an account; return how much."""
        ...


class Clock(Protocol):
    """What tells the time of the block: the Timestamp pallet."""

    now: Value[Moment]


class StakingCurrency(Currency, Protocol):
    """The ledger of accounts, which also lets locked money be slashed."""

    existential_deposit: Balance

    def slash(self, who: AccountId, value: Balance) -> Balance:
        """Take money out of an account, locked or not, for `pay_out` or `forget`; return how much."""
        ...

    def pay_out(self, who: AccountId, value: Balance) -> None:
        """Put money into an account that was taken out of another."""
        ...

    def forget(self, value: Balance) -> None:
        """Destroy money that was taken out."""
        ...
