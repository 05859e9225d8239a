"""What the own keys have voted in the last rounds, so that it can be said again when all else is lost.

votes.db = blake2-256 of the rest | SCALE of the votes, oldest first

The guard knows only the last vote of a key, and voter.db goes when the chain is set back. If more than a
third lost the prevotes of a round that way, nobody could cast them anew, since the guard refuses, and the
round would never end. This file lies beside the guard's, so that purging or restoring a chain leaves it. It
only repeats what is signed already: losing it, or putting an old copy in its place, loses no safety.
"""

from collections import Counter
from typing import Annotated

from chain.common.checked_file import Damaged, read_checked, write_checked
from chain.consensus.grandpa.messages import Vote
from chain.env import Disk
from runtime.primitives.babe import MAX_AUTHORITIES
from runtime.primitives.grandpa import PrimaryPropose, SignedMessage
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u64

VOTES_FILE = "votes.db"
KEPT = 64
"""votes of each key: two a round"""


@struct("grandpa::SaidVote")
class SaidVote:
    """A vote and where it was cast."""

    set_id: u64
    round: u64
    message: SignedMessage


@struct("grandpa::SaidVotes")
class SaidVotes:
    """The votes of all keys of a node."""

    votes: Annotated[list[SaidVote], Bounded(KEPT * MAX_AUTHORITIES)]


_VOTES = codec(SaidVotes)


class Said:
    """The last votes of the own keys, on disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._votes = _load(disk)

    def add(self, vote: Vote) -> None:
        """Remember a vote; it is on stable storage when this returns. Proposals need not be said again."""
        said = SaidVote(vote.set_id, vote.round, vote.message)
        if isinstance(vote.message.message, PrimaryPropose) or said in self._votes:
            return
        votes = [*self._votes, said]
        if Counter(each.message.id for each in votes)[vote.message.id] > KEPT:
            votes.remove(next(each for each in votes if each.message.id == vote.message.id))
        write_checked(self._disk, VOTES_FILE, _VOTES.encode(SaidVotes(votes)))
        self._votes = votes

    def votes(self, set_id: int) -> list[Vote]:
        """Return what was voted in a set, oldest first."""
        return [Vote(each.round, set_id, each.message) for each in self._votes if each.set_id == set_id]


def _load(disk: Disk) -> list[SaidVote]:
    """Return the votes in the file; none where it is missing or damaged."""
    try:
        body = read_checked(disk, VOTES_FILE)
    except Damaged:
        return []
    if body is None:
        return []
    try:
        found: SaidVotes = _VOTES.decode(body)
    except DecodeError:
        return []
    return list(found.votes)
