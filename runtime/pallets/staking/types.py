"""What Staking stores and takes. Source: FRAME's pallet-staking and sp-staking.

Amounts are planck, commissions and fractions parts per billion.
"""

import enum
from typing import Annotated

from runtime.primitives.shapes import (
    Bounded,
    Compact,
    Perbill,
    Percent,
    Variants,
    struct,
    u32,
    u64,
    variant,
)
from runtime.primitives.types import AccountId, Balance

BILLION = 10**9
"""Parts of a commission or of a slash fraction."""
MAX_NOMINATIONS = 16
"""Validators one nominator may back."""
MAX_UNLOCKING_CHUNKS = 32
"""Eras from which parts of one ledger may unlock."""


# What is stored.


@variant
class Staked:
    """Pay into the stash account, increasing the amount at stake accordingly."""


@variant
class Stash:
    """Pay into the stash account, not increasing the amount at stake."""


@variant
class Controller:
    """Pay into the controller account, which is the stash: kept because wallets know it."""


@variant
class Account:
    """Pay into a specified account."""

    _0: AccountId


@variant
class NoPayee:
    """Receive no reward."""


NoPayee.__name__ = "None_"
RewardDestination = Annotated[
    Staked | Stash | Controller | Account | NoPayee,
    Variants("pallet_staking::RewardDestination", params=(("AccountId", AccountId),)),
]


@struct("pallet_staking::UnlockChunk")
class UnlockChunk:
    """Stake that is free once an era is active."""

    value: Compact[Balance]
    era: Compact[u32]


@struct("pallet_staking::StakingLedger")
class StakingLedger:
    """The bonded stake of one stash: total = active + everything that is unlocking."""

    stash: AccountId
    total: Compact[Balance]
    active: Compact[Balance]
    unlocking: Annotated[list[UnlockChunk], Bounded(MAX_UNLOCKING_CHUNKS)]
    legacy_claimed_rewards: list[u32]


@struct("pallet_staking::ValidatorPrefs")
class ValidatorPrefs:
    """A validator's commission, and whether it refuses new nominations."""

    commission: Compact[Perbill] = 0
    blocked: bool = False


@struct("pallet_staking::Nominations")
class Nominations:
    """Whom a nominator backs, and since which era."""

    targets: Annotated[list[AccountId], Bounded(MAX_NOMINATIONS)]
    submitted_in: u32
    suppressed: bool


@struct("pallet_staking::ActiveEraInfo")
class ActiveEraInfo:
    """The era that is being rewarded; its start in ms since the Unix epoch, once known."""

    index: u32
    start: u64 | None


@struct("pallet_staking::EraRewardPoints")
class EraRewardPoints:
    """Reward points of an era: what its payout is split by."""

    total: u32
    individual: dict[AccountId, u32]


@struct("sp_staking::IndividualExposure")
class IndividualExposure:
    """What one nominator has at stake behind a validator."""

    who: AccountId
    value: Compact[Balance]


@struct("sp_staking::PagedExposureMetadata")
class PagedExposureMetadata:
    """What stands behind a validator in an era, and on how many pages its nominators are listed."""

    total: Compact[Balance]
    own: Compact[Balance]
    nominator_count: u32
    page_count: u32


@struct("sp_staking::ExposurePage")
class ExposurePage:
    """Some nominators of a validator in an era."""

    page_total: Compact[Balance]
    others: list[IndividualExposure]


@struct("pallet_staking::UnappliedSlash")
class UnappliedSlash:
    """A slash that is computed and waits for its era; `payout` is the reporters'."""

    validator: AccountId
    own: Balance
    others: list[tuple[AccountId, Balance]]
    reporters: list[AccountId]
    payout: Balance


class Forcing(enum.Enum):
    """Whether eras begin by the clock. Source: pallet_staking::Forcing."""

    __scale_path__ = "pallet_staking::Forcing"

    NotForcing = 0
    ForceNew = 1
    ForceNone = 2
    ForceAlways = 3


# Settings: leave one as it is, set it, or remove it.


@variant
class Noop:
    """Leave it as it is."""


@variant
class Remove:
    """Remove it."""


@variant
class SetBalance:
    """Set it."""

    _0: Balance


@variant
class SetCount:
    """Set it."""

    _0: u32


@variant
class SetPercent:
    """Set it."""

    _0: Percent


@variant
class SetPerbill:
    """Set it."""

    _0: Perbill


for _setter in (SetBalance, SetCount, SetPercent, SetPerbill):
    _setter.__name__ = "Set"
CONFIG_OP = "pallet_staking::pallet::pallet::ConfigOp"
BalanceOp = Annotated[Noop | SetBalance | Remove, Variants(CONFIG_OP, params=(("T", Balance),))]
CountOp = Annotated[Noop | SetCount | Remove, Variants(CONFIG_OP, params=(("T", u32),))]
PercentOp = Annotated[Noop | SetPercent | Remove, Variants(CONFIG_OP, params=(("T", Percent),))]
PerbillOp = Annotated[Noop | SetPerbill | Remove, Variants(CONFIG_OP, params=(("T", Perbill),))]


def part(fraction: int, amount: Balance) -> Balance:
    """Return so many parts per billion of an amount, rounded down."""
    return fraction * amount // BILLION
