"""The node's round beside the model of the paper: the same votes, the same verdict after every one."""

from dataclasses import dataclass
from itertools import islice

from chain.consensus.grandpa.graph import Ancestry
from chain.consensus.grandpa.round import PRECOMMIT, PREVOTE, Round, RoundState, VoterSet, proven
from runtime.primitives.grandpa import Block, Precommit, Prevote, SignedMessage
from runtime.primitives.types import Hash
from tests.chain.consensus.grandpa.model import Case, Model, Tree, Verdict, Votes, cases

FIRST_HEIGHT = 1_000
"""of the lowest block, so that a height is never mistaken for an index"""


def hash_of(block: int) -> Hash:
    """Return the hash that stands for a block of the model."""
    return Hash(block.to_bytes(32, "big"))


def voter_id(voter: int) -> bytes:
    """Return the key that stands for a voter of the model."""
    return bytes([voter + 1]) * 32


@dataclass(frozen=True)
class Blocks(Ancestry):
    """The blocks of a model as a node has them."""

    tree: Tree

    def block(self, index: int) -> Block:
        """Return the hash and height of a block."""
        return hash_of(index), FIRST_HEIGHT + self.tree.height(index)

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block, None of the lowest."""
        index = int.from_bytes(block, "big")
        known = 0 < index < len(self.tree.parents)
        return self.block(self.tree.parents[index]) if known else None


def vote(blocks: Blocks, phase: int, voter: int, target: int) -> SignedMessage:
    """Return a vote; its signature only tells who cast what."""
    kind = (Prevote, Precommit)[phase]
    return SignedMessage(
        kind(*blocks.block(target)), bytes([phase, voter, target]).ljust(64), voter_id(voter)
    )


def round_of(model: Model) -> tuple[Round, Blocks]:
    """Return an empty round of the node for a round of the model."""
    blocks = Blocks(model.tree)
    voters = VoterSet([(voter_id(voter), weight) for voter, weight in enumerate(model.weights)])
    return Round(1, voters, blocks.block(model.base), blocks), blocks


def as_verdict(state: RoundState) -> Verdict:
    """Return what the node says in the words of the model."""
    found = (state.ghost, state.estimate, state.finalized)
    ghost, estimate, final = (None if each is None else int.from_bytes(each[0], "big") for each in found)
    return Verdict(ghost, estimate, final, state.completable)


def check_commit(round_: Round, model: Model, precommits: Votes) -> None:
    """Check that a round that finalises a block by its precommits can prove it to anybody."""
    ghost = model.ghost(precommits)
    commit = round_.commit()
    if ghost is None:
        assert commit is None
    elif commit is not None:
        blocks = Blocks(model.tree)
        assert (commit.target_hash, commit.target_number) == blocks.block(ghost)
        assert proven(commit, round_.voters, blocks) == commit
    else:  # a proof starts at its lowest vote: where chains part below all votes, there is none
        targets = {block for unit in model.units(precommits) for block in unit if len(unit) == 1}
        supporting = [block for block in sorted(targets) if ghost in model.tree.chain(block)]
        common = set(model.tree.above(0)).intersection(*(model.tree.chain(block) for block in supporting))
        equivocated = any(len(unit) > 1 for unit in model.units(precommits))
        assert equivocated or not common.intersection(supporting)


def play(case: Case) -> int:
    """Play a round on both sides; return the number of votes."""
    round_, blocks = round_of(case.model)
    cast: tuple[Votes, Votes] = ([], [])
    for is_precommit, voter, target in case.steps:
        phase = PRECOMMIT if is_precommit else PREVOTE
        round_.add(vote(blocks, phase, voter, target))
        if len({block for who, block in cast[phase] if who == voter}) < 2:
            cast[phase].append((voter, target))
        assert as_verdict(round_.state) == case.model.verdict(*cast), case
    check_commit(round_, case.model, cast[PRECOMMIT])
    return len(case.steps)


def campaign(seed: int, count: int) -> int:
    """Play many random rounds; return the number of votes."""
    return sum(play(case) for case in islice(cases(seed), count))
