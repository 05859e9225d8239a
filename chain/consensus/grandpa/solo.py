"""Finality by the voters of this node alone, where they hold the threshold of the set.

The justification is a real GRANDPA one, checked like any other; rounds between several nodes come with the
consensus work. Where this node's voters do not suffice, nothing is finalised and nothing is claimed.
"""

from chain.consensus.grandpa.justification import justify, next_round
from chain.consensus.guard import Guard
from chain.keys import Keypair
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import GrandpaJustification, supermajority
from runtime.primitives.header import Header


def suffices(keys: list[Keypair], voters: Authorities) -> bool:
    """Say whether these keys can finalise without anybody else."""
    held = {pair.public for pair in keys}
    weight = sum(weight for public, weight in voters if public in held)
    return weight >= supermajority(sum(weight for _, weight in voters))


def finalise(
    guard: Guard, keys: list[Keypair], voters: Authorities, set_id: int, header: Header
) -> GrandpaJustification:
    """Precommit a block with every key of the set that this node holds.

    Raises: GuardError.
    """
    publics = {public for public, _ in voters}
    pairs = [pair for pair in keys if pair.public in publics]
    return justify(guard, pairs, next_round(guard, pairs, set_id), set_id, header)
