"""What voters tell each other, byte for byte as Substrate's GRANDPA does.

    Vote 0: round, set id, signed message     Commit 1: round, set id, compact commit
    Neighbor 2: version 1, round, set id, height     CatchUpRequest 3: round, set id     CatchUp 4

Source: paritytech/polkadot-sdk substrate/client/consensus/grandpa/src/communication/gossip.rs;
finality-grandpa (CompactCommit, CatchUp).
"""

from collections import Counter
from collections.abc import Container
from typing import Annotated

from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.grandpa import (
    MAX_PRECOMMITS,
    Commit,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Variants, struct, u64, variant
from runtime.primitives.types import BlockNumber, Ed25519Public, Hash, Signature64


@struct("finality_grandpa::SignedPrevote")
class SignedPrevote:
    """A prevote with its signature."""

    prevote: Prevote
    signature: Signature64
    id: Ed25519Public


@struct("finality_grandpa::CompactCommit")
class CompactCommit:
    """A commit with the votes first and who cast them after: each precommit has its place in both lists."""

    target_hash: Hash
    target_number: BlockNumber
    precommits: Annotated[list[Precommit], Bounded(MAX_PRECOMMITS)]
    auth_data: Annotated[list[tuple[Signature64, Ed25519Public]], Bounded(MAX_PRECOMMITS)]


@variant
class Vote:
    """One vote, or the primary's proposal."""

    round: u64
    set_id: u64
    message: SignedMessage

    def votes(self) -> list[SignedMessage]:
        """Return the vote."""
        return [self.message]


@variant
class CommitMessage:
    """A block is final, and why."""

    round: u64
    set_id: u64
    message: CompactCommit

    def commit(self) -> Commit | None:
        """Return the commit with each vote beside its signature; None when the lists differ in length."""
        compact = self.message
        if len(compact.precommits) != len(compact.auth_data):
            return None
        signed = [
            SignedPrecommit(precommit, signature, public)
            for precommit, (signature, public) in zip(compact.precommits, compact.auth_data, strict=True)
        ]
        return Commit(compact.target_hash, compact.target_number, signed)

    def votes(self) -> list[SignedMessage]:
        """Return the precommits."""
        pairs = zip(self.message.precommits, self.message.auth_data, strict=False)
        return [SignedMessage(vote, signature, public) for vote, (signature, public) in pairs]

    @classmethod
    def of(cls, round_: int, set_id: int, commit: Commit) -> "CommitMessage":
        """Return the message that tells of a commit."""
        votes = [signed.precommit for signed in commit.precommits]
        auth_data = [(signed.signature, signed.id) for signed in commit.precommits]
        return cls(round_, set_id, CompactCommit(commit.target_hash, commit.target_number, votes, auth_data))


@variant
class NeighborPacket:
    """Where a voter stands: its round, its set, and the highest block it has seen a commit for."""

    round: u64
    set_id: u64
    commit_finalized_height: BlockNumber


VersionedNeighborPacket = Annotated[NeighborPacket, Variants("VersionedNeighborPacket", (1,))]


@variant
class Neighbor:
    """Where a voter stands."""

    _0: VersionedNeighborPacket


@variant
class CatchUpRequest:
    """Asks for the votes that completed a round."""

    round: u64
    set_id: u64


@variant
class CatchUp:
    """The votes that completed a round, and the block below all of them."""

    set_id: u64
    round: u64
    prevotes: Annotated[list[SignedPrevote], Bounded(MAX_PRECOMMITS)]
    precommits: Annotated[list[SignedPrecommit], Bounded(MAX_PRECOMMITS)]
    base_hash: Hash
    base_number: BlockNumber

    def votes(self) -> list[SignedMessage]:
        """Return all votes, prevotes first."""
        prevotes = [SignedMessage(each.prevote, each.signature, each.id) for each in self.prevotes]
        return prevotes + [SignedMessage(each.precommit, each.signature, each.id) for each in self.precommits]


GossipMessage = Annotated[
    Vote | CommitMessage | Neighbor | CatchUpRequest | CatchUp,
    Variants("sc_consensus_grandpa::communication::gossip::GossipMessage"),
]
GOSSIP_MESSAGE = codec(GossipMessage)
"""Raises DecodeError on anything else."""

MAX_OF_A_PHASE = 2
"""votes of one voter in a message: two show that it voted twice, more show nothing"""


class Forged(Exception):
    """A signature in a message does not fit its vote, or no honest voter would have put it there."""


class Unasked(Exception):
    """A catch-up that was not asked for, or that had an answer already."""


def check_voters(message: CommitMessage | CatchUp, voters: Container[bytes]) -> None:
    """Check that a message has only votes that a set of voters can cast; much cheaper than signatures.

    Raises: Forged.
    """
    cast = Counter((signed.id, type(signed.message)) for signed in message.votes())
    for (voter, _), times in cast.items():
        if voter not in voters or times > MAX_OF_A_PHASE:
            raise Forged(f"{times} votes of 0x{voter.hex()} in round {message.round}")


def check_signatures(message: Vote | CommitMessage | CatchUp) -> None:
    """Check every signature in a message; whoever carries messages to a voter must do so first.

    Raises: Forged.
    """
    for signed in message.votes():
        payload = localized_payload(signed.message, message.round, message.set_id)
        if not verify_ed25519(signed.signature, payload, signed.id):
            raise Forged(
                f"0x{signed.id.hex()} did not sign what is said in its name, in round {message.round}"
            )
