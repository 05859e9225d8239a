"""The arithmetic of a round's decisions: which payloads enter with which weight, which root wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.primitives.commitments import MAX_WEIGHT, PPM
from runtime.primitives.types import Hash


def steps_of(first: int, last: int, rounds: int, closed: int) -> int:
    """Return H of a round: from `first` it rises to `last` while so many rounds close; first 0 is no rise."""
    if not first or closed >= rounds:
        return last
    return first + (last - first) * closed // rounds


@dataclass(frozen=True, slots=True)
class Ballot:
    """A judge's stake (planck) and its scores (ppm) by uid; a uid it leaves out is an abstention."""

    stake: int
    scores: Mapping[int, int]


def weight_of(uid: int, ballots: Sequence[Ballot]) -> int | None:
    """Return a payload's weight, or None unless more than half of all revealed stake scored it above 0."""
    revealed = sum(ballot.stake for ballot in ballots)
    votes = [(ballot.scores[uid], ballot.stake) for ballot in ballots if uid in ballot.scores]
    support = sum(stake for score, stake in votes if score > 0)
    if 2 * support <= revealed:
        return None
    return max(1, lower_median(votes) * MAX_WEIGHT // PPM)


def lower_median(votes: Sequence[tuple[int, int]]) -> int:
    """Return the stake-weighted median of (score, stake); of the two middle ones the lower."""
    total = sum(stake for _, stake in votes)
    below = 0
    for score, stake in sorted(votes):
        below += stake
        if 2 * below >= total:
            return score
    raise AssertionError("a median needs votes")


def majority(attested: Sequence[tuple[Hash, int]], electorate: int) -> Hash | None:
    """Return the root that more than half of the electorate's stake attested, if there is one."""
    stakes: dict[Hash, int] = {}
    for root, stake in attested:
        stakes[root] = stakes.get(root, 0) + stake
    return next((root for root, stake in stakes.items() if 2 * stake > electorate), None)
