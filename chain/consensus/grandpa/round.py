"""One round of GRANDPA: votes in; what they prove, what they may still finalise, and who voted twice out.

Weights count throughout: W is their sum, f = (W - 1) // 3 is tolerated, W - f is the threshold. Who votes for
two blocks in one phase counts once for every block; further votes of theirs count for nothing.

    ghost       highest block with the threshold of prevotes
    possible    a block that can still get the threshold of precommits, if at most f equivocates
    estimate    highest possible block at or below the ghost: nothing above it was or will be finalised
    completable the estimate cannot rise any more

Source: the GRANDPA paper (arXiv 2007.01560), sections 3 and 4; finality-grandpa, src/round.rs.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chain.consensus.grandpa.graph import PHASES, Ancestry, Node, VoteGraph
from runtime.primitives.grandpa import (
    Block,
    Commit,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
    supermajority,
)

PREVOTE, PRECOMMIT = range(PHASES)


class VoterSet:
    """Who votes, with which weight; the order decides the primaries."""

    def __init__(self, authorities: Sequence[tuple[bytes, int]]) -> None:
        self.ids = [public for public, _ in authorities]
        self.weights: Mapping[bytes, int] = dict(authorities)
        if not self.ids or len(self.weights) != len(self.ids) or min(self.weights.values()) < 1:
            raise ValueError("a set of voters is not empty, lists each voter once, and each with a weight")
        self.total = sum(self.weights.values())
        self.threshold = supermajority(self.total)

    def primary(self, round_: int) -> bytes:
        """Return who may propose in a round."""
        return self.ids[round_ % len(self.ids)]


class Counted(enum.Enum):
    """What became of a vote."""

    NEW = enum.auto()
    EQUIVOCATION = enum.auto()  # the voter's second vote in this phase, for another block
    NOTHING = enum.auto()  # known, of a stranger, a third one, or no vote
    UNKNOWN_BLOCK = enum.auto()  # its block is not stored, or does not descend from the base


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the votes so far amount to."""

    ghost: Block | None = None
    estimate: Block | None = None
    finalized: Block | None = None
    completable: bool = False

    @classmethod
    def genesis(cls, base: Block) -> "RoundState":
        """Return the state of the round before the first: everything agreed on the base."""
        return cls(base, base, base, True)


@dataclass(slots=True)
class _Ballots:
    """The votes of one phase."""

    first: dict[bytes, SignedMessage] = field(default_factory=dict)
    second: dict[bytes, SignedMessage] = field(default_factory=dict)  # of equivocators
    unplaced: dict[bytes, SignedMessage] = field(default_factory=dict)  # not counted: of unknown blocks
    seen: int = 0  # weight of who voted
    twice: int = 0  # weight of equivocators

    def of(self, voter: bytes) -> list[SignedMessage]:
        return [votes[voter] for votes in (self.first, self.second) if voter in votes]

    def __iter__(self) -> Iterator[SignedMessage]:
        for voter in self.first:
            yield from self.of(voter)


class Round:
    """The votes of one round above a base, a block that an earlier round has finalised."""

    def __init__(self, number: int, voters: VoterSet, base: Block, ancestry: Ancestry) -> None:
        self.number = number
        self.voters = voters
        self.base = base
        self._graph = VoteGraph(base, ancestry)
        self._ballots = (_Ballots(), _Ballots())
        self._state: RoundState | None = None

    def add(self, vote: SignedMessage) -> Counted:
        """Count a vote whose signature is known to be good.

        Who votes for two blocks is an equivocator even where nobody has those blocks: all voters must come to
        see the same equivocators, whatever they were sent first, or their rounds end differently.
        """
        message = vote.message
        weight = self.voters.weights.get(vote.id)
        if weight is None or isinstance(message, PrimaryPropose):
            return Counted.NOTHING
        phase = PREVOTE if isinstance(message, Prevote) else PRECOMMIT
        ballots = self._ballots[phase]
        first = ballots.first.get(vote.id)
        if first is None:
            return self._count(phase, vote, weight)
        if first.message == message or vote.id in ballots.second:
            return Counted.NOTHING
        self._graph.add(self._node(first), phase, -weight)
        return self._convict(ballots, vote, weight)

    def wants(self, vote: SignedMessage) -> bool:
        """Say whether a vote would tell something: two different ones of a voter in a phase say it all."""
        ballots = self._ballots[PREVOTE if isinstance(vote.message, Prevote) else PRECOMMIT]
        known = ballots.first.get(vote.id) or ballots.unplaced.get(vote.id)
        return known is None or (known.message != vote.message and vote.id not in ballots.second)

    def votes(self) -> list[SignedMessage]:
        """Return all votes that count, prevotes first."""
        return [vote for ballots in self._ballots for vote in ballots]

    def equivocations(self) -> list[tuple[SignedMessage, SignedMessage]]:
        """Return the proof against each voter who voted twice, one per phase."""
        return [
            (ballots.first[voter], second)
            for ballots in self._ballots
            for voter, second in ballots.second.items()
        ]

    def weight(self, phase: int) -> int:
        """Return the weight of who has voted in a phase."""
        return self._ballots[phase].seen

    def missing(self, phase: int) -> list[bytes]:
        """Return who has not voted in a phase."""
        return [voter for voter in self.voters.ids if voter not in self._ballots[phase].first]

    def everybody_prevoted(self) -> bool:
        """Say whether no prevote is missing, so that the ghost cannot rise any more."""
        return self._ballots[PREVOTE].seen == self.voters.total

    @property
    def state(self) -> RoundState:
        """What the votes so far amount to."""
        if self._state is None:
            self._state = self._evaluate()
        return self._state

    def precommit_ghost(self) -> Block | None:
        """Return the highest block with the threshold of precommits, whatever the prevotes say."""
        found = self._graph.ghost(self._graph.root, lambda node: self._has_threshold(node, PRECOMMIT))
        return None if found is None else found.block

    def commit(self) -> Commit | None:
        """Return the precommits that finalise the highest block they can; None where they prove none.

        Threshold weight of precommits is proof enough, also before the prevotes that led to them have come.
        An equivocator is counted by one vote where that one is for the block, and by both where neither is.
        """
        target = self.precommit_ghost()
        if target is None:
            return None
        ballots = self._ballots[PRECOMMIT]
        chosen: list[SignedMessage] = []
        twice: list[SignedMessage] = []
        weight = 0
        for voter in ballots.first:
            votes = ballots.of(voter)
            supports = next((vote for vote in votes if self._descends(vote, target)), None)
            if supports is not None:
                chosen.append(supports)
                weight += self.voters.weights[voter]
            elif len(votes) > 1:
                twice.extend(votes)
        if weight < self.voters.threshold:
            chosen.extend(twice)
        lowest = min(map(_target, chosen), key=lambda block: block[1])
        if not all(self._descends(vote, lowest) for vote in chosen):
            return None
        return Commit(target[0], target[1], [_precommit(vote) for vote in chosen])

    def _count(self, phase: int, vote: SignedMessage, weight: int) -> Counted:
        """Count the first vote of a voter that can be counted."""
        node, ballots = self._graph.find(_target(vote)), self._ballots[phase]
        unplaced = ballots.unplaced.setdefault(vote.id, vote)
        if node is None and unplaced.message == vote.message:
            return Counted.UNKNOWN_BLOCK
        del ballots.unplaced[vote.id]
        is_second = unplaced.message != vote.message
        ballots.first[vote.id] = unplaced if is_second else vote
        ballots.seen += weight
        self._state = None
        if is_second:
            return self._convict(ballots, vote, weight)
        assert node is not None, "a vote that is counted is for a known block"
        self._graph.add(node, phase, weight)
        return Counted.NEW

    def _convict(self, ballots: _Ballots, second: SignedMessage, weight: int) -> Counted:
        """Count a voter for every block from now on."""
        ballots.second[second.id] = second
        ballots.twice += weight
        self._state = None
        return Counted.EQUIVOCATION

    def _node(self, vote: SignedMessage) -> Node:
        node = self._graph.find(_target(vote))
        assert node is not None, "a counted vote has its node"
        return node

    def _descends(self, vote: SignedMessage, block: Block) -> bool:
        node = self._graph.find(_target(vote))
        return node is not None and any(each.block == block for each in node.down())

    def _support(self, node: Node, phase: int) -> int:
        return node.weights[phase] + self._ballots[phase].twice

    def _has_threshold(self, node: Node, phase: int) -> bool:
        return self._support(node, phase) >= self.voters.threshold

    def _is_possible(self, node: Node) -> bool:
        """Say whether a block may get the threshold: by who is silent, and by who may yet vote twice."""
        ballots, voters = self._ballots[PRECOMMIT], self.voters
        support = self._support(node, PRECOMMIT)
        tolerated = max(0, voters.total - voters.threshold - ballots.twice)
        may_turn = min(ballots.seen - support, tolerated)
        return support + voters.total - ballots.seen + may_turn >= voters.threshold

    def _evaluate(self) -> RoundState:
        ghost = self._graph.ghost(self._graph.root, lambda node: self._has_threshold(node, PREVOTE))
        if ghost is None:
            return RoundState()
        if self._ballots[PRECOMMIT].seen < self.voters.threshold:
            return RoundState(ghost.block, ghost.block)
        final = next((node for node in ghost.down() if self._has_threshold(node, PRECOMMIT)), None)
        estimate = next((node for node in ghost.down() if self._is_possible(node)), None)
        settled = estimate is not None and (
            estimate is not ghost or not any(map(self._is_possible, ghost.children))
        )
        return RoundState(ghost.block, _block(estimate), _block(final), settled)


def _block(node: Node | None) -> Block | None:
    return None if node is None else node.block


def _target(vote: SignedMessage) -> Block:
    return vote.message.target_hash, vote.message.target_number


def _precommit(vote: SignedMessage) -> SignedPrecommit:
    assert isinstance(vote.message, Precommit)
    return SignedPrecommit(vote.message, vote.signature, vote.id)


def proven(commit: Commit, voters: VoterSet, ancestry: Ancestry) -> Commit | None:
    """Return what of a commit is needed to prove its target final; None where it does not.

    Its signatures are known to be good. The lowest vote is the base.
    Source: finality-grandpa, validate_commit.
    """
    known = [signed for signed in commit.precommits if signed.id in voters.weights]
    if not known:
        return None
    base = min((signed.precommit for signed in known), key=lambda vote: vote.target_number)
    round_ = Round(0, voters, (base.target_hash, base.target_number), ancestry)
    for signed in known:
        if round_.add(SignedMessage(signed.precommit, signed.signature, signed.id)) is Counted.UNKNOWN_BLOCK:
            return None
    needed = round_.commit()
    target = commit.target_hash, commit.target_number
    return needed if needed and (needed.target_hash, needed.target_number) == target else None
