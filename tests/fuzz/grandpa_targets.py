"""What voters are sent: messages of GRANDPA, their signatures, what a voter makes of signed nonsense."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from chain.consensus.grandpa.effects import VOTER_RECORD, Finalize, RoundRecord, VoterRecord
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Forged,
    GossipMessage,
    Neighbor,
    NeighborPacket,
    SignedPrevote,
    Vote,
    check_signatures,
)
from chain.consensus.grandpa.round import VoterSet
from chain.consensus.grandpa.voter import Voter
from chain.keys.pair import Keypair
from runtime.primitives import grandpa
from runtime.primitives.grandpa import (
    EQUIVOCATION_PROOF,
    Block,
    Commit,
    EquivocationProof,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash
from tests.fuzz.engine import Target
from tests.fuzz.samples import sample

PAIRS = [Keypair.from_suri(f"//Fuzz//{index}", "ed25519") for index in range(4)]
VOTERS = VoterSet([(pair.public, 1) for pair in PAIRS])
HEIGHT = 8
"""of the chain that is voted on; a fork leaves it at half of that"""


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [_gossip(), _signatures(), _voter(), _voter_file(), _equivocations()]


class Fork:
    """Two chains with one lower half; satisfies what a voter reads of a chain."""

    def __init__(self) -> None:
        self.main = [_block(number) for number in range(HEIGHT + 1)]
        self.side = [_block(number, 1) for number in range(HEIGHT // 2 + 1, HEIGHT + 1)]
        self._parents = {block[0]: self.main[block[1] - 1] for block in self.main[1:]}
        self._parents |= {block[0]: self.side[at - 1] for at, block in enumerate(self.side) if at}
        self._parents[self.side[0][0]] = self.main[HEIGHT // 2]

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block."""
        return self._parents.get(block)

    def best_containing(self, block: Hash) -> Block | None:
        """Return the head of one of the two chains."""
        for chain in (self.main, self.side):
            if any(block == each[0] for each in chain):
                return chain[-1]
        return None

    def next_change(self, block: Hash) -> int | None:
        """Return no change."""
        return None


def _block(number: int, side: int = 0) -> Block:
    return Hash(bytes([side]) + number.to_bytes(31, "big")), number


FORK = Fork()


def _signed(pair: Keypair, message: grandpa.Message, round_: int = 1, set_id: int = 0) -> SignedMessage:
    signature = pair.sign(localized_payload(message, round_, set_id))
    return SignedMessage(message, signature, pair.public)


def _honest() -> list[GossipMessage]:
    """Return messages of every kind that the voter of `_voter` takes."""
    main, side = FORK.main, FORK.side
    votes = [_signed(pair, kind(*main[5])) for kind in (Prevote, Precommit) for pair in PAIRS[1:]]
    others = [_signed(pair, kind(*side[-1])) for kind in (Prevote, Precommit) for pair in PAIRS[1:3]]
    proposal = _signed(PAIRS[1], PrimaryPropose(*main[3]))
    prevotes = [SignedPrevote(each.message, each.signature, each.id) for each in votes[:3]]
    precommits = [SignedPrecommit(each.message, each.signature, each.id) for each in votes[3:]]
    commit = Commit(*main[5], precommits)
    return [
        *(Vote(1, 0, each) for each in (*votes, *others, proposal)),
        CommitMessage.of(1, 0, commit),
        Neighbor(NeighborPacket(4, 0, 2)),
        CatchUpRequest(1, 0),
        CatchUp(0, 1, prevotes, precommits, *main[0]),
    ]


def _seeds() -> tuple[bytes, ...]:
    rng = random.Random(7)
    made: list[GossipMessage] = [*_honest(), *(sample(GossipMessage, rng) for _ in range(12))]
    return tuple(GOSSIP_MESSAGE.encode(message) for message in made)


def _gossip() -> Target:
    return Target("grandpa.gossip", GOSSIP_MESSAGE.decode, (DecodeError,), _seeds(), GOSSIP_MESSAGE.encode)


def _signatures() -> Target:
    """Messages whose signatures are checked before a voter sees them."""

    def read(data: bytes) -> GossipMessage:
        message: GossipMessage = GOSSIP_MESSAGE.decode(data)
        if isinstance(message, Vote | CommitMessage | CatchUp):
            check_signatures(message)
        return message

    return Target(
        "grandpa.signatures", read, (DecodeError, Forged), _seeds(), GOSSIP_MESSAGE.encode, long=300_000
    )


def _voter() -> Target:
    """Two messages, the second one after the length of the first; their voters signed whatever they say."""
    honest = [GOSSIP_MESSAGE.encode(message) for message in _honest()]
    rng = random.Random(8)
    pairs = [(rng.choice(honest), rng.choice(honest)) for _ in range(40)]
    seeds = [len(first).to_bytes(2, "little") + first + second for first, second in pairs]

    def read(data: bytes) -> list[str]:
        length = int.from_bytes(data[:2], "little")
        voter = Voter(FORK, VOTERS, [PAIRS[0].public], VoterRecord.fresh(0, FORK.main[0]), FORK.main[0])
        effects = voter.start()
        for part in (data[2 : 2 + length], data[2 + length :]):
            effects += _handle(voter, GOSSIP_MESSAGE.decode(part))
        effects += voter.chain_changed()
        for effect in effects:
            if isinstance(effect, Finalize):
                _check_weight(effect.commit)
        return [type(effect).__name__ for effect in effects]

    return Target(
        "grandpa.voter", read, (DecodeError,), tuple(seeds), kind=str, quick=3_000, long=500_000,
        why_loose="the value is what the voter wants done",
    )  # fmt: skip


def _handle(voter: Voter, message: GossipMessage) -> list[Any]:
    """Hand a voter a message as its driver does, once the signatures are found good."""
    handlers: dict[type, Callable[[Any], list[Any]]] = {
        Vote: voter.vote,
        CommitMessage: voter.commit,
        Neighbor: lambda each: voter.neighbor("peer", each._0, 0.0),
        CatchUpRequest: lambda each: voter.catch_up_request("peer", each, 0.0),
        CatchUp: lambda each: voter.catch_up("peer", each),
    }
    return handlers[type(message)](message)


def _check_weight(commit: Commit) -> None:
    """Three of four voters must stand behind what became final, each vote on the chain of its target."""
    target = commit.target_hash, commit.target_number
    assert len({signed.id for signed in commit.precommits} & set(VOTERS.ids)) >= VOTERS.threshold
    assert any(target in _down((vote.precommit.target_hash, vote.precommit.target_number))
               for vote in commit.precommits)  # fmt: skip


def _down(block: Block) -> Iterator[Block]:
    """Yield a block and those below it."""
    found: Block | None = block
    while found is not None:
        yield found
        found = FORK.parent(found[0])


def _voter_file() -> Target:
    """What a voter keeps on disk; the driver checks its hash before."""
    votes = [_signed(pair, kind(*FORK.main[5])) for kind in (Prevote, Precommit) for pair in PAIRS]
    rounds = [RoundRecord(number, *FORK.main[number], votes) for number in (1, 2)]
    records = [VoterRecord.fresh(3, FORK.main[2]), VoterRecord(0, rounds[0], rounds[1])]
    seeds = tuple(VOTER_RECORD.encode(record) for record in records)
    return Target("grandpa.voter_file", VOTER_RECORD.decode, (DecodeError,), seeds, VOTER_RECORD.encode)


def _equivocations() -> Target:
    """Proofs that somebody voted twice, good ones among them; no mutation is one of something else."""
    main, side = FORK.main[6], FORK.side[-1]
    proofs = [
        EquivocationProof.of(2, 5, _signed(pair, kind(*main), 5, 2), _signed(pair, kind(*side), 5, 2))
        for kind in (Prevote, Precommit)
        for pair in PAIRS[:2]
    ]
    rng = random.Random(9)
    made = [*proofs, *(sample(EquivocationProof, rng) for _ in range(4))]
    pairs = [{proof.equivocation.first, proof.equivocation.second} for proof in proofs]

    def read(data: bytes) -> EquivocationProof:
        proof: EquivocationProof = EQUIVOCATION_PROOF.decode(data)
        assert not proof.is_valid() or {proof.equivocation.first, proof.equivocation.second} in pairs
        return proof

    return Target(
        "grandpa.equivocation", read, (DecodeError,), tuple(map(EQUIVOCATION_PROOF.encode, made)),
        EQUIVOCATION_PROOF.encode, kind=EquivocationProof.is_valid, long=300_000,
    )  # fmt: skip
