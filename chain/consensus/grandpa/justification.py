"""Making the proof that a block is final, from the keys of this node."""

from collections.abc import Sequence

from chain.consensus.guard import Guard
from chain.keys import Keypair
from runtime.primitives.grandpa import Commit, GrandpaJustification, Precommit, SignedPrecommit
from runtime.primitives.header import Header


def justify(
    guard: Guard, keypairs: Sequence[Keypair], round_: int, set_id: int, header: Header
) -> GrandpaJustification:
    """Precommit a block with each of these keys; it is final if they hold the threshold of the set.

    Raises: GuardError when a key has voted otherwise in this round or a later one.
    """
    target = Precommit(header.hash(), header.number)
    precommits = [
        SignedPrecommit(target, guard.sign_vote(pair, target, round_, set_id), pair.public)
        for pair in keypairs
    ]
    commit = Commit(target.target_hash, target.target_number, precommits)
    return GrandpaJustification(round_, commit, [])


def next_round(guard: Guard, keypairs: Sequence[Keypair], set_id: int) -> int:
    """Return the first round in which none of these keys has voted yet; rounds of a set start at 1."""
    votes = [vote for pair in keypairs if (vote := guard.last_vote(pair.public)) and vote.set_id == set_id]
    return 1 + max((vote.round for vote in votes), default=0)
