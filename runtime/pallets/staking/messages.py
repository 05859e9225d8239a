"""What Staking says: its events and errors. Source: FRAME's pallet-staking, in its order."""

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.pallets.staking.types import Forcing, RewardDestination, ValidatorPrefs
from runtime.primitives.shapes import Perbill, u32
from runtime.primitives.types import AccountId, Balance


@event
class EraPaid:
    """The era payout has been set; the remainder is what was not paid for want of anybody who worked."""

    era_index: u32
    validator_payout: Balance
    remainder: Balance


@event
class Rewarded:
    """The nominator has been rewarded by this amount to this destination."""

    stash: AccountId
    dest: RewardDestination
    amount: Balance


@event
class Slashed:
    """A staker (validator or nominator) has been slashed by the given amount."""

    staker: AccountId
    amount: Balance


@event
class SlashReported:
    """A slash of the given fraction of a validator's stake at the given era has been reported."""

    validator: AccountId
    fraction: Perbill
    slash_era: u32


@event
class OldSlashingReportDiscarded:
    """An old slashing report from a prior era was discarded because it could not be processed."""

    session_index: u32


@event
class StakersElected:
    """A new set of stakers was elected."""


@event
class Bonded:
    """An account has bonded this amount."""

    stash: AccountId
    amount: Balance


@event
class Unbonded:
    """An account has unbonded this amount."""

    stash: AccountId
    amount: Balance


@event
class Withdrawn:
    """An account has removed this amount, now free, from its bond."""

    stash: AccountId
    amount: Balance


@event
class Kicked:
    """A nominator has been kicked from a validator."""

    nominator: AccountId
    stash: AccountId


@event
class StakingElectionFailed:
    """The election failed. No new era is planned."""


@event
class Chilled:
    """An account has stopped participating as either a validator or nominator."""

    stash: AccountId


@event
class PayoutStarted:
    """The stakers' rewards are getting paid."""

    era_index: u32
    validator_stash: AccountId


@event
class ValidatorPrefsSet:
    """A validator has set their preferences."""

    stash: AccountId
    prefs: ValidatorPrefs


@event
class ForceEra:
    """A new force era mode was set."""

    mode: Forcing


Event = (
    EraPaid | Rewarded | Slashed | SlashReported | OldSlashingReportDiscarded | StakersElected | Bonded
    | Unbonded | Withdrawn | Kicked | StakingElectionFailed | Chilled | PayoutStarted | ValidatorPrefsSet
    | ForceEra
)  # fmt: skip


class Error(PalletError):
    """Why a staking call is refused."""

    NotController = "Not a controller account: nothing is bonded by it. Bond first: staking.bond."
    NotStash = "Not a stash account. Bond first: staking.bond."
    AlreadyBonded = "Stash is already bonded. Add with staking.bond_extra."
    EmptyTargets = "Targets cannot be empty. Name at least one."
    InvalidSlashIndex = "Slash record index out of bounds. Read staking.unapplied_slashes of that era."
    InsufficientBond = (
        "Cannot have a validator or nominator role, with value less than the minimum of this chain"
        " (staking.min_validator_bond, staking.min_nominator_bond), nor bond less than the existential"
        " deposit. Bond more; if unbonding is the intention, staking.chill first."
    )
    NoMoreChunks = "Can not schedule more unlock chunks. Wait for the first and staking.withdraw_unbonded."
    NoUnlockChunk = "Can not rebond without unlocking chunks: nothing is unlocking."
    InvalidEraToReward = (
        "Invalid era to reward: it has not ended yet, has paid nothing, is older than the history depth, or"
        " did not have this validator. Read staking.eras_validator_reward and staking.eras_stakers_overview."
    )
    NotSortedAndUnique = "Items are not sorted and unique. Sort them and name each once."
    AlreadyClaimed = "Rewards for this era have already been claimed for this validator."
    InvalidPage = "No nominators exist on this page. Read the page count in staking.eras_stakers_overview."
    TooManyTargets = "Too many nomination targets supplied: see the constant MaxNominations."
    BadTarget = "A nomination target was supplied that was blocked or otherwise not a validator."
    CannotChillOther = "The user has enough bond and thus cannot be chilled forcefully by another person."
    TooManyNominators = "There are too many nominators in the system. Wait, or bond to validate."
    TooManyValidators = "There are too many validators: more than the chain allows to stand or to elect."
    CommissionTooLow = "Commission is too low. Must be at least staking.min_commission."
    CommissionRisesTooFast = (
        "A commission rises by staking.max_commission_rise (parts per billion) in an era at most; ask for "
        "less, or raise it step by step."
    )
    ControllerDeprecated = "Controllers are no more. Use the destination Stash, or Account with an account."
