"""What is stored of scores, audits and challenges; their events, and why calls are refused."""

import enum
from typing import Annotated

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.primitives.commitments import Scores
from runtime.primitives.shapes import Bounded, Variants, i32, struct, u8, u16, u32, u64, u128, variant
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Ppm

MOST_DRAWS = 3
"""Judges that are asked in turn for one report, before the audit goes on without it."""
MOST_REPORTS = 2
"""No verdict needs more judges to agree."""
MOST_JURORS = 3
"""Drawn by lot; only where most of them find a judge wrong is everybody else asked, too."""
MOST_ASKED = MOST_JURORS + 128
"""All who may hold a permit, beside a jury that has lost its own."""


# Scores.


@struct("pallet_verification::types::Points")
class Points:
    """What a judge gave a uid in this epoch."""

    uid: u16
    points: u64


@struct("pallet_verification::types::Tally")
class Tally:
    """A judge's running sum since the epoch in block `since`; a dropped one takes no more until the next."""

    since: BlockNumber
    points: list[Points]
    dropped: bool


# Audits.


class Verdict(enum.Enum):
    """What a judge found when it trained once more what a miner says it has trained."""

    __scale_path__ = "pallet_verification::types::Verdict"

    Passed = 0
    Failed = 1
    Unavailable = 2


@struct("pallet_verification::types::Seat")
class Seat:
    """Who holds a uid; `registered_at` tells the uid's holders apart."""

    uid: u16
    registered_at: BlockNumber


@struct("pallet_verification::types::Report")
class Report:
    """What a judge says of an update; `overlap_ppm` is the share of the replay's indices that agree."""

    judge: u16
    verdict: Verdict
    overlap_ppm: Ppm


@struct("pallet_verification::types::Audit")
class Audit:
    """An update under audit: whose turn it is, until the end of which round, and what was said before."""

    miner: Seat
    judge: Seat | None  # None: the next block draws one
    until_round: u32
    asked: Annotated[list[AccountId], Bounded(MOST_DRAWS * MOST_REPORTS)]  # coldkeys of the judges so far
    draws: u8  # judges asked for the report that is missing
    reports: Annotated[list[Report], Bounded(MOST_REPORTS)]


@struct("pallet_verification::types::Standing")
class Standing:
    """How far a miner is trusted: rounds are numbers of rounds, 0 for none."""

    rounds: u32  # how many of its updates came up for audit
    audited: u32  # the last round whose audit it passed
    withheld: u32  # the round whose audit it failed: it earns nothing until a later one passes
    burnt: u32 = 0  # the round that was open when two judges agreed on that first
    leaves: bool = False  # they agreed again, on a later round: it goes once no audit may slash it


# Challenges.


@struct("pallet_verification::types::Measurement")
class Measurement:
    """What a judge and a jury measure alike; units as in Score."""

    loss_before: u32
    loss_after: u32
    alignment: i32


@struct("pallet_verification::types::Vote")
class Vote:
    """What a juror measured."""

    juror: u16
    measured: Measurement


@struct("pallet_verification::types::Challenge")
class Challenge:
    """A doubted score; the jury, and after it everybody, answers until the end of a round."""

    challenger: AccountId
    deposit: Balance
    judge: Seat
    claimed: Measurement
    barred: list[AccountId]  # coldkeys that send no juror
    jurors: Annotated[list[Seat], Bounded(MOST_ASKED)]  # empty: the next block draws them
    votes: Annotated[list[Vote], Bounded(MOST_ASKED)]
    until_round: u32
    all_asked: bool  # whether everybody is on the jury


# What waits for the next blocks.


@variant
class DrawAudits:
    """Say which updates of a round are audited, from position `first` on; newcomers have what is left."""

    netuid: u16
    round: u32
    first: u32
    newcomers: bool


@variant
class DrawJudge:
    """Name the next judge of an audit."""

    netuid: u16
    round: u32
    miner: AccountId


@variant
class DrawJury:
    """Name who measures a doubted score again."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId


@variant
class EndRound:
    """See whose time is over with this round."""

    netuid: u16
    round: u32


@variant
class LetGo:
    """Give up what is open in a subnet that stands still."""

    netuid: u16


Job = Annotated[
    DrawAudits | DrawJudge | DrawJury | EndRound | LetGo, Variants("pallet_verification::types::Job")
]


# Events.


@event
class ScoresCommitted:
    """A judge sealed its scores of a round."""

    netuid: u16
    round: u32
    judge: u16
    commitment: Hash


@event
class ScoresRevealed:
    """A judge opened its scores of a round."""

    netuid: u16
    round: u32
    judge: u16
    scores: Scores


@event
class AuditDrawn:
    """A judge is to train a miner's round once more, and to report before `until_round` is over."""

    netuid: u16
    round: u32
    miner: AccountId
    judge: u16
    until_round: u32


@event
class AuditReported:
    """A judge said what it found."""

    netuid: u16
    round: u32
    miner: AccountId
    judge: u16
    verdict: Verdict
    overlap_ppm: Ppm


@event
class AuditMissed:
    """A judge did not report in time: its row of the epoch is dropped."""

    netuid: u16
    round: u32
    miner: AccountId
    judge: u16


@event
class AuditPassed:
    """A miner did its work; `contradicted` is the judge that had said otherwise."""

    netuid: u16
    round: u32
    miner: AccountId
    judge: u16
    overlap_ppm: Ppm
    contradicted: u16 | None


@event
class AuditFailed:
    """An audit ended without a replay that agrees; what follows is in the next event."""

    netuid: u16
    round: u32
    miner: AccountId
    reports: list[Report]


@event
class AuditLapsed:
    """An audit ended without a report: nobody could be asked, or nobody answered."""

    netuid: u16
    round: u32
    miner: AccountId


@event
class MinerWithheld:
    """A miner earns nothing until it passes an audit; what had not vested was burnt, if two judges agreed."""

    netuid: u16
    round: u32
    miner: AccountId
    uid: u16
    burnt: u128


@event
class MinerSlashed:
    """Two judges found a miner cheating: its bond and what had not vested is burnt, and its seat is free."""

    netuid: u16
    round: u32
    miner: AccountId
    uid: u16
    burnt: u128


@event
class ScoreChallenged:
    """Somebody doubts what a judge measured."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId
    challenger: AccountId
    deposit: u128


@event
class JuryDrawn:
    """Judges are to measure a doubted score again, and to vote before `until_round` is over."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId
    jurors: list[u16]
    until_round: u32


@event
class ChallengeVoted:
    """A juror said what it measured."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId
    vote: Vote


@event
class ChallengeUpheld:
    """The judge was wrong: its scores of the round are void, and its row of the epoch is dropped."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId
    median: Measurement


@event
class ChallengeDismissed:
    """The judge was right: the challenger's deposit is burnt."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId
    median: Measurement
    burnt: u128


@event
class ChallengeLapsed:
    """Nobody has more than half of the stake on its side: the challenger has its deposit back."""

    netuid: u16
    round: u32
    judge: u16
    miner: AccountId


@event
class MinerEvicted:
    """Pairs of judges could not audit a miner, in `round` once more: its seat is free, its bond came back."""

    netuid: u16
    round: u32
    miner: AccountId
    uid: u16


Event = (
    ScoresCommitted | ScoresRevealed | AuditDrawn | AuditReported | AuditMissed | AuditPassed | AuditFailed
    | AuditLapsed | MinerWithheld | MinerSlashed | ScoreChallenged | JuryDrawn | ChallengeVoted
    | ChallengeUpheld | ChallengeDismissed | ChallengeLapsed | MinerEvicted
)  # fmt: skip


class Error(PalletError):
    """Why scores, reports and challenges are refused; <netuid> stands for the subnet's number."""

    AlreadyCommitted = "This judge has committed scores in this round: one commitment counts, now reveal it."
    AlreadyRevealed = "This judge has revealed its scores of this round: nothing is left to do."
    NotCommitted = "Nothing to reveal: this judge sealed no scores in SCORE_COMMIT; score the next round."
    CommitmentMismatch = "Scores and salt do not hash to the commitment: reveal exactly what was committed."
    DuplicateUid = "A uid is scored twice: list each uid once."
    OwnUid = "A judge cannot score itself: leave its own uid out."
    UnknownUpdate = "A scored uid revealed no update in this round: score only ModelUpdates.Updates of it."
    TooMuch = "The scores sum to more than 1,000,000 ppm: normalise them."
    NotDrawn = (
        "No audit of this update waits for this hotkey: report what Verification.Audits says is yours, once."
    )
    VerdictMismatch = (
        "Verdict and overlap contradict each other: Passed takes at least the subnet's overlap_ppm, "
        "Unavailable takes 0, and nothing takes more than 1,000,000."
    )
    NotRegistered = (
        "Only a hotkey of the subnet may challenge a score: assay register --netuid <netuid> first."
    )
    UnknownScore = (
        "This judge, if it is still there, revealed no score of this miner in this round: challenge one of "
        "Verification.Scores."
    )
    OwnScore = "A judge cannot challenge its own score: leave that to others."
    TooLate = "The subnet's challenge_window (rounds) is over: challenge scores of the last rounds only."
    AlreadyChallenged = "This score is before a jury already: wait for what it says."
    AlreadyVoid = "The judge's scores of this round are void already: nothing is left to challenge."
    TooManyOpen = "The subnet has as many audits and challenges open as it takes: try again after the round."
    CannotAfford = "The hotkey's free balance does not cover Verification.ChallengeDeposit: fund it first."
    NotJuror = (
        "No challenge waits for this hotkey: vote where Verification.Challenges names its uid, once each."
    )
