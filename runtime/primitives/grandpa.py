"""GRANDPA: votes, what is signed, and the proof that a block is final.

    signed bytes = vote kind u8 | target hash | target number u32 | round u64 | set id u64

Source: sp_consensus_grandpa; finality-grandpa (validate_commit); paritytech/polkadot-sdk
substrate/client/consensus/grandpa/src/justification.rs.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from runtime.primitives.babe import Authorities, WeightedAuthority
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, Variants, struct, u64, variant
from runtime.primitives.types import BlockNumber, Ed25519Public, Hash, Signature64

MAX_PRECOMMITS = 2048
"""Two per voter of the largest set: a vote and the proof that it equivocated."""
MAX_ANCESTRY = 16_384
"""headers; votes of one round never lie further apart than the unfinalised chain is long"""

Block = tuple[Hash, int]
"""hash and number"""


@variant
class Prevote:
    """A vote for the best chain."""

    target_hash: Hash
    target_number: BlockNumber


@variant
class Precommit:
    """A vote to finalise."""

    target_hash: Hash
    target_number: BlockNumber


@variant
class PrimaryPropose:
    """The round's primary proposes what the last round may have finalised."""

    target_hash: Hash
    target_number: BlockNumber


Message = Annotated[Prevote | Precommit | PrimaryPropose, Variants("finality_grandpa::Message")]


@struct("finality_grandpa::SignedMessage")
class SignedMessage:
    """A vote with its signature."""

    message: Message
    signature: Signature64
    id: Ed25519Public


@struct("finality_grandpa::SignedPrecommit")
class SignedPrecommit:
    """A precommit with its signature."""

    precommit: Precommit
    signature: Signature64
    id: Ed25519Public


@struct("finality_grandpa::Commit")
class Commit:
    """A block, and the precommits that finalise it."""

    target_hash: Hash
    target_number: BlockNumber
    precommits: Annotated[list[SignedPrecommit], Bounded(MAX_PRECOMMITS)]


@struct("sp_consensus_grandpa::GrandpaJustification")
class GrandpaJustification:
    """A commit that stands by itself: with the headers between the lowest vote and every other."""

    round: u64
    commit: Commit
    votes_ancestries: Annotated[list[Header], Bounded(MAX_ANCESTRY)]

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        return JUSTIFICATION.encode(self)


@variant
class PrevoteEquivocation:
    """Two prevotes of one voter in one round."""

    round_number: u64
    identity: Ed25519Public
    first: tuple[Prevote, Signature64]
    second: tuple[Prevote, Signature64]


@variant
class PrecommitEquivocation:
    """Two precommits of one voter in one round."""

    round_number: u64
    identity: Ed25519Public
    first: tuple[Precommit, Signature64]
    second: tuple[Precommit, Signature64]


@struct("sp_consensus_grandpa::EquivocationProof")
class EquivocationProof:
    """Two votes of one voter where one is allowed."""

    set_id: u64
    equivocation: Annotated[
        PrevoteEquivocation | PrecommitEquivocation, Variants("sp_consensus_grandpa::Equivocation")
    ]

    @classmethod
    def of(cls, set_id: int, round_: int, first: SignedMessage, second: SignedMessage) -> "EquivocationProof":
        """Return the proof against who cast these votes of one phase."""
        one, other = first.message, second.message
        if isinstance(one, Prevote) and isinstance(other, Prevote):
            prevotes = (one, first.signature), (other, second.signature)
            return cls(set_id, PrevoteEquivocation(round_, first.id, *prevotes))
        assert isinstance(one, Precommit)
        assert isinstance(other, Precommit)
        precommits = (one, first.signature), (other, second.signature)
        return cls(set_id, PrecommitEquivocation(round_, first.id, *precommits))

    def is_valid(self) -> bool:
        """Say whether both signatures are the accused voter's and the votes differ."""
        accused = self.equivocation
        return accused.first[0] != accused.second[0] and all(
            verify_ed25519(
                signature, localized_payload(vote, accused.round_number, self.set_id), accused.identity
            )
            for vote, signature in (accused.first, accused.second)
        )


@struct("sp_consensus_grandpa::ScheduledChange")
class Change:
    """New voters, a number of blocks after the one that says so."""

    next_authorities: Authorities
    delay: BlockNumber


@variant
class ScheduledChange:
    """Voters change once this block and `delay` more are finalised."""

    _0: Change


@variant
class ForcedChange:
    """Voters change without finality, counted from a best finalised number."""

    _0: BlockNumber
    _1: Change


@variant
class OnDisabled:
    """A voter must not vote until the set changes."""

    _0: u64


@variant
class Pause:
    """No more votes after this many blocks."""

    _0: BlockNumber


@variant
class Resume:
    """Votes again after this many blocks."""

    _0: BlockNumber


ConsensusLog = Annotated[
    ScheduledChange | ForcedChange | OnDisabled | Pause | Resume,
    Variants("sp_consensus_grandpa::ConsensusLog", (1, 2, 3, 4, 5)),
]

MESSAGE = codec(Message)
SIGNED_MESSAGE = codec(SignedMessage)
JUSTIFICATION = codec(GrandpaJustification)
CONSENSUS_LOG = codec(ConsensusLog)
EQUIVOCATION_PROOF = codec(EquivocationProof)


_SCHEDULED, _FORCED = b"\x01", b"\x02"
"""how a change of voters begins in a digest"""


def changes_voters(header: Header) -> bool:
    """Say whether a block hands over to other voters: its justification proves who they are, for ever."""
    return _announces(header, (_SCHEDULED, _FORCED))


def forces_voters(header: Header) -> bool:
    """Say whether a block announces voters whom the ones before do not confirm."""
    return _announces(header, (_FORCED,))


def _announces(header: Header, kinds: tuple[bytes, ...]) -> bool:
    return any(
        isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE and log._1[:1] in kinds
        for log in header.digest.logs
    )


class Flaw(enum.StrEnum):
    """What is wrong with a justification."""

    UNDECODABLE = "undecodable"
    OTHER_TARGET = "other target"
    TOO_MANY_PRECOMMITS = "too many precommits"
    NO_PRECOMMITS = "no precommits"
    BAD_SIGNATURE = "bad signature"
    BAD_ANCESTRY = "bad ancestry"
    UNUSED_HEADERS = "unused headers"
    BAD_NUMBER = "bad number"
    TOO_LITTLE_WEIGHT = "too little weight"
    BEYOND_CHANGE = "beyond a change of voters"


class JustificationError(Exception):
    """A justification does not prove that its target is final."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{flaw}: {detail}")
        self.flaw = flaw
        self.detail = detail


def decode_justification(data: bytes) -> GrandpaJustification:
    """Decode a justification.

    Raises: JustificationError.
    """
    try:
        justification: GrandpaJustification = JUSTIFICATION.decode(data)
    except DecodeError as problem:
        raise JustificationError(Flaw.UNDECODABLE, str(problem)) from problem
    return justification


def localized_payload(message: Message, round_: int, set_id: int) -> bytes:
    """Return the bytes a voter signs."""
    return MESSAGE.encode(message) + round_.to_bytes(8, "little") + set_id.to_bytes(8, "little")


def supermajority(total: int) -> int:
    """Return the weight that finalises: all but what may be faulty, f = (total - 1) // 3."""
    return total - (total - 1) // 3


def verify_justification(
    justification: GrandpaJustification,
    authorities: Sequence[WeightedAuthority],
    set_id: int,
    target: Block,
) -> None:
    """Check that a justification proves a block final under a set of voters.

    Raises: JustificationError.
    """
    commit = justification.commit
    if (commit.target_hash, commit.target_number) != target:
        named = f"#{commit.target_number} (0x{commit.target_hash.hex()})"
        raise JustificationError(
            Flaw.OTHER_TARGET, f"it is for {named}, not for #{target[1]} (0x{target[0].hex()})"
        )
    if not commit.precommits:
        raise JustificationError(Flaw.NO_PRECOMMITS, "nobody voted")
    if len(commit.precommits) > 2 * len(authorities):
        detail = f"{len(commit.precommits)} precommits of {len(authorities)} voters"
        raise JustificationError(Flaw.TOO_MANY_PRECOMMITS, detail)
    _check_signatures(justification, set_id)
    tree = _Tree.of(justification)
    weights = dict(authorities)
    if tree.ghost(_first_votes(commit, weights), weights) != target:
        raise JustificationError(Flaw.TOO_LITTLE_WEIGHT, f"the votes do not finalise #{target[1]}")


def _check_signatures(justification: GrandpaJustification, set_id: int) -> None:
    for signed in justification.commit.precommits:
        payload = localized_payload(signed.precommit, justification.round, set_id)
        if not verify_ed25519(signed.signature, payload, signed.id):
            detail = f"precommit of 0x{signed.id.hex()} in round {justification.round}, set {set_id}"
            raise JustificationError(Flaw.BAD_SIGNATURE, detail)


@dataclass(frozen=True, slots=True)
class _Ballots:
    """The first vote of each voter, and who voted for two blocks."""

    targets: dict[bytes, Hash] = field(default_factory=dict)
    equivocators: set[bytes] = field(default_factory=set)


def _first_votes(commit: Commit, weights: Mapping[bytes, int]) -> _Ballots:
    """Count each voter once; strangers have no weight and are left out."""
    ballots = _Ballots()
    for signed in commit.precommits:
        if signed.id not in weights:
            continue
        if (
            ballots.targets.setdefault(signed.id, signed.precommit.target_hash)
            != signed.precommit.target_hash
        ):
            ballots.equivocators.add(signed.id)
    return ballots


@dataclass(frozen=True, slots=True)
class _Tree:
    """The blocks between the lowest vote and every other, each after its parent."""

    base: Hash
    parents: dict[Hash, Hash]
    numbers: dict[Hash, int]

    @classmethod
    def of(cls, justification: GrandpaJustification) -> "_Tree":
        precommits = [signed.precommit for signed in justification.commit.precommits]
        base = min(precommits, key=lambda vote: vote.target_number)
        shipped = {header.hash(): header.parent_hash for header in justification.votes_ancestries}
        numbers = {base.target_hash: base.target_number}
        parents: dict[Hash, Hash] = {}
        for vote in precommits:
            for block in _route(vote.target_hash, shipped, numbers):
                parents[block] = shipped[block]
                numbers[block] = numbers[shipped[block]] + 1
            if numbers[vote.target_hash] != vote.target_number:
                detail = f"#{vote.target_number} is said of #{numbers[vote.target_hash]}"
                raise JustificationError(Flaw.BAD_NUMBER, detail)
        if len(parents) != len(justification.votes_ancestries):
            detail = f"{len(parents)} of {len(justification.votes_ancestries)} headers lie between votes"
            raise JustificationError(Flaw.UNUSED_HEADERS, detail)
        return cls(base.target_hash, parents, numbers)

    def ghost(self, ballots: _Ballots, weights: Mapping[bytes, int]) -> Block | None:
        """Return the highest block with the threshold; an equivocator counts for every block.

        Two children of one block with the threshold (more than a third equivocated) prove nothing: None.
        """
        support = dict.fromkeys([self.base, *self.parents], 0)
        for voter, target in ballots.targets.items():
            if voter not in ballots.equivocators:
                support[target] += weights[voter]
        for block in reversed(self.parents):
            support[self.parents[block]] += support[block]
        needed = supermajority(sum(weights.values())) - sum(
            weights[voter] for voter in sorted(ballots.equivocators)
        )
        if support[self.base] < needed:
            return None
        return self._descend(support, needed)

    def _descend(self, support: Mapping[Hash, int], needed: int) -> Block | None:
        best = self.base
        for block, parent in self.parents.items():
            if support[block] < needed:
                continue
            if parent != best:
                return None
            best = block
        return best, self.numbers[best]


def _route(target: Hash, shipped: Mapping[Hash, Hash], known: Mapping[Hash, int]) -> Iterator[Hash]:
    """Return the blocks from the first known ancestor (left out) up to a vote's target."""
    route = []
    while target not in known:
        if target not in shipped:
            raise JustificationError(Flaw.BAD_ANCESTRY, f"no header leads down from 0x{target.hex()}")
        route.append(target)
        target = shipped[target]
    return reversed(route)
