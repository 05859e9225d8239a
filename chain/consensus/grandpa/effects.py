"""What a voter wants done, and what it wants remembered: plain values, carried out by its driver in order."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated

from chain.consensus.grandpa.messages import GossipMessage
from runtime.primitives.babe import MAX_AUTHORITIES
from runtime.primitives.grandpa import Block, Commit, EquivocationProof, Message, SignedMessage
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct, u64
from runtime.primitives.types import BlockNumber, Hash

MAX_VOTES = 4 * MAX_AUTHORITIES
"""per round: two of each phase from every voter"""


class Due(Enum):
    """What a timer is for."""

    PREVOTE = auto()
    PRECOMMIT = auto()
    COMMIT = auto()
    REMINDER = auto()


@dataclass(frozen=True, slots=True)
class Timer:
    """Given back to the voter when its time has come."""

    set_id: int
    round: int
    due: Due


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Give a timer back after this many seconds."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class Cast:
    """Have the guard sign a vote for a local voter and hand it in as `Voter.signed`; it may refuse."""

    voter: bytes
    message: Message
    round: int
    set_id: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a peer, or to all."""

    message: GossipMessage
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get a block that somebody voted for; block sync follows best chains only."""

    block: Block


@dataclass(frozen=True, slots=True)
class Finalize:
    """Make a block final; the commit proves it."""

    target: Block
    round: int
    commit: Commit


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody voted twice."""

    proof: EquivocationProof


@struct("grandpa::RoundRecord")
class RoundRecord:
    """One round as it is kept on disk."""

    number: u64
    base_hash: Hash
    base_number: BlockNumber
    votes: Annotated[list[SignedMessage], Bounded(MAX_VOTES)]


@struct("grandpa::VoterRecord")
class VoterRecord:
    """What a restart needs to go on where it was: the completed round, if any, and the one after."""

    set_id: u64
    completed: RoundRecord | None
    current: RoundRecord

    @classmethod
    def fresh(cls, set_id: int, base: Block, round_: int = 1) -> "VoterRecord":
        """Return the start of a set, whose voters agree on a final block."""
        return cls(set_id, None, RoundRecord(round_, base[0], base[1], []))


@dataclass(frozen=True, slots=True)
class Save:
    """Put this on stable storage before the next effect."""

    record: VoterRecord


Effect = SetTimer | Cast | Send | Fetch | Finalize | Report | Save
VOTER_RECORD = codec(VoterRecord)
