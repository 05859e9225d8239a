"""What a commit can be worth, said before a single one of its signatures is checked.

The votes of a round are known to all, and so are their signatures: whoever wants to keep a node busy can put
good ones together without end. What those votes are for decides whether they are worth checking.
"""

import enum
from collections import Counter

from chain.consensus.grandpa.graph import Ancestry
from chain.consensus.grandpa.round import VoterSet, proven
from runtime.primitives.grandpa import Commit


class Worth(enum.Enum):
    """What a commit would prove if its signatures were good."""

    PROOF = enum.auto()  # its target, or a block that is not here yet
    UNKNOWN = enum.auto()  # nothing that can be told with the blocks that are here
    NOTHING = enum.auto()  # nothing at all: no honest voter sends that


class Pointless(Exception):
    """A commit proves nothing, whoever has signed it."""


def worth_of(commit: Commit | None, voters: VoterSet, chain: Ancestry) -> Worth:
    """Say what a commit can be worth; None is one whose lists do not fit each other."""
    if commit is None:
        return Worth.NOTHING
    signers = [signed.id for signed in commit.precommits]
    if _weight(signers, voters) < voters.threshold:
        return Worth.NOTHING
    if chain.parent(commit.target_hash) is None:
        return _worth_of_unknown(commit, voters, chain)
    if proven(commit, voters, chain) is not None:
        return Worth.PROOF
    is_complete = all(chain.parent(each.precommit.target_hash) is not None for each in commit.precommits)
    return Worth.NOTHING if is_complete else Worth.UNKNOWN


def _worth_of_unknown(commit: Commit, voters: VoterSet, chain: Ancestry) -> Worth:
    """Judge a commit of a block that is not here: neither is what is built on it.

    Who votes twice may have voted for anything; what speaks for the block are votes for it or above.
    """
    votes = Counter(signed.id for signed in commit.precommits)
    for signed in commit.precommits:
        if votes[signed.id] == 1 and chain.parent(signed.precommit.target_hash) is not None:
            return Worth.NOTHING
    number = commit.target_number
    high = [each.id for each in commit.precommits if each.precommit.target_number >= number]
    return Worth.PROOF if _weight(high, voters) >= voters.threshold else Worth.UNKNOWN


def _weight(signers: list[bytes], voters: VoterSet) -> int:
    return sum(voters.weights.get(each, 0) for each in dict.fromkeys(signers))
