"""Runs a voter: gives it time, keys, a disk and a chain, and carries out what it wants done.

    voter.db = blake2-256 of the rest | SCALE of the completed round and the one after

Losing that file loses no safety: the guard still refuses to sign twice. What the own keys have voted is said
again from `said`, which lies elsewhere, and the votes of a round that others completed take the place of the
rest. A node whose own keys decide goes on after its last signed round.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from chain.common.checked_file import Damaged, read_checked, write_checked
from chain.consensus.grandpa.commits import Pointless, Worth, worth_of
from chain.consensus.grandpa.effects import (
    VOTER_RECORD,
    Cast,
    Due,
    Effect,
    Fetch,
    Finalize,
    Report,
    Save,
    Send,
    SetTimer,
    VoterRecord,
)
from chain.consensus.grandpa.justification import Headers, justify
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    MAX_OF_A_PHASE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Forged,
    GossipMessage,
    Neighbor,
    NeighborPacket,
    Unasked,
    Vote,
    check_signatures,
    check_voters,
)
from chain.consensus.grandpa.round import VoterSet
from chain.consensus.grandpa.said import Said
from chain.consensus.grandpa.voter import Chain, Voter
from chain.consensus.guard import Guard, KeySilent
from chain.consensus.guard_records import GuardError
from chain.consensus.slots import pre_digest_slot
from chain.env import Clock, Disk
from chain.keys.pair import Keypair
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    MAX_PRECOMMITS,
    MESSAGE,
    Block,
    EquivocationProof,
    GrandpaJustification,
    SignedMessage,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

log = logging.getLogger("grandpa")

VOTER_FILE = "voter.db"
_CATCH_UP = b"\x04"
"""how the longest of all messages begins"""
_VOTE_SIZE, _FRAME_SIZE = 132, 256
"""bytes of a vote with its signature and voter, and more than there are beside the votes of a message"""
_ROUND_AND_SET_SIZE = 16
"""bytes that follow the message in what a voter signs"""


class Ledger(Chain, Headers, Protocol):
    """The chain that is voted on, and its finality."""

    def final(self) -> Block:
        """Return the last final block."""

    def voters(self) -> tuple[Authorities, int] | None:
        """Return who votes above the last final block, and the number of that set; None if not known here."""

    def finalize(self, justification: GrandpaJustification) -> None:
        """Make the target of a justification final."""


class Gossip(Protocol):
    """The way to other voters; a node without peers has none."""

    def send(self, message: bytes, peer: str | None) -> None:
        """Send a message to a peer, or to all."""

    def fetch(self, block: Block) -> None:
        """Get a block from whoever has it."""


class Driver:
    """The voter of this node: one per set, one after the other."""

    def __init__(
        self,
        ledger: Ledger,
        guard: Guard,
        keypairs: Sequence[Keypair],
        clock: Clock,
        disk: Disk,
        said: Said,
        gossip: Gossip | None = None,
        accuse: Callable[[EquivocationProof], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._guard = guard
        self._keypairs = keypairs  # may grow
        self._clock = clock
        self._disk = disk
        self._said = said
        self._gossip = gossip
        self._accuse = accuse
        self._changed = asyncio.Event()
        self._refusal = ""  # the last of the guard's, which is told once
        self._tasks: asyncio.TaskGroup | None = None
        self._voter: Voter | None = None
        self._former: Voter | None = None  # of the set before
        self._decisive = 0  # voters of the set who can stop finality alone

    @property
    def voter(self) -> Voter | None:
        """The voter of the current set, once the driver runs."""
        return self._voter

    async def run(self) -> None:
        """Vote until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._follow_set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._follow_set()
                if self._voter is not None:
                    self._do(self._voter, self._voter.finalized(self._ledger.final()))
                    self._do(self._voter, self._voter.chain_changed())

    def chain_changed(self) -> None:
        """Note that blocks were imported, or became final by other proof."""
        self._changed.set()

    def standing(self) -> NeighborPacket | None:
        """Return where this node stands; None where it follows no set."""
        voter = self._voter
        return None if voter is None else NeighborPacket(voter.round, voter.set_id, voter.final[1])

    def receive(self, peer: str, data: bytes) -> bool:
        """Handle a gossip message of a peer; return whether it is worth passing on.

        Raises: DecodeError, Forged, Pointless, Unasked.
        """
        voter, former = self._voter, self._former
        if data[:1] == _CATCH_UP and (voter is None or not voter.takes_catch_up(peer)):
            raise Unasked
        if len(data) > self._most():
            raise Forged(f"{len(data)} bytes of votes; there are fewer voters")
        message: GossipMessage = GOSSIP_MESSAGE.decode(data)
        set_id = _set_of(message)
        if former is not None and set_id == former.set_id:
            self._hear_late(former, peer, message)
        if voter is None or set_id != voter.set_id:
            return False
        is_news = False
        match message:
            case Vote():
                if not voter.wants(message):
                    return False
                self._check(message)
                effects, is_news = voter.vote(message), True
            case CommitMessage() | CatchUp() if not voter.heeds(message):
                return False
            case CommitMessage():
                check_voters(message, voter.voters.weights)
                worth = worth_of(message.commit(), voter.voters, self._ledger)
                if worth is Worth.NOTHING:
                    raise Pointless(f"#{message.message.target_number} in round {message.round}")
                if worth is Worth.UNKNOWN:
                    return False
                self._check(message)
                effects = voter.commit(message)
                is_news = bool(effects)
            case Neighbor(packet):
                effects = voter.neighbor(peer, packet, self._clock.monotonic())
            case CatchUpRequest():
                effects = voter.catch_up_request(peer, message, self._clock.monotonic())
            case CatchUp():
                check_voters(message, voter.voters.weights)
                self._check(message)
                effects = voter.catch_up(peer, message)
        self._do(voter, effects)
        return is_news

    def _most(self) -> int:
        """Return the bytes that no message about the sets followed here is longer than."""
        voters = [len(each.voters.weights) for each in (self._voter, self._former) if each is not None]
        return _FRAME_SIZE + 2 * MAX_OF_A_PHASE * _VOTE_SIZE * max(voters, default=MAX_PRECOMMITS)

    def _check(self, message: Vote | CommitMessage | CatchUp) -> None:
        """Check every signature in a message, and tell the guard whose they are: they may be our own.

        Raises: Forged.
        """
        check_signatures(message)
        for signed in message.votes():
            if not self._guard.listens_for(signed.id):
                continue
            header = self._ledger.header(signed.message.target_hash)
            slot = pre_digest_slot(header) if header is not None and header.number else None
            self._guard.heard_vote(signed.id, signed.message, message.round, message.set_id, slot)

    def _hear_late(self, former: Voter, peer: str, message: GossipMessage) -> None:
        """Hand the last voter what still matters: who lacks the end of its set, and who has told of it.

        Raises: Forged.
        """
        if isinstance(message, Neighbor):
            self._do(former, former.catch_up_by_commit(peer, message._0, self._clock.monotonic()))
        elif isinstance(message, CommitMessage) and former.is_about_to_commit:
            check_voters(message, former.voters.weights)
            self._check(message)
            self._do(former, former.commit(message))

    # The voter of the current set.

    def _follow_set(self) -> None:
        """Have a voter for the set that votes above the last final block, with all keys there are for it."""
        found = self._ledger.voters()
        if found is None:
            self._voter = None
            return
        authorities, set_id = found
        local = [pair.public for pair in self._keypairs]
        if self._voter is not None and self._voter.set_id == set_id:
            self._voter.admit(local)
            return
        voters = VoterSet(authorities)
        self._tell_of(voters, set_id)
        for vote in self._last_votes(set_id):  # the power may have failed before it was remembered
            self._said.add(vote)
        decides = sum(voters.weights.get(public, 0) for public in local) >= voters.threshold
        record = self._load(set_id, decides)
        if record is None:
            first = 1 + self._last_round(set_id) if decides else 1
            record = VoterRecord.fresh(set_id, self._ledger.final(), first)
        self._former = self._voter
        self._voter = voter = Voter(self._ledger, voters, local, record, self._ledger.final())
        for vote in self._recalled(voter):
            self._do(voter, voter.signed(vote))
        self._do(voter, voter.start())

    def _tell_of(self, voters: VoterSet, set_id: int) -> None:
        """Log that a set begins, and when that is new, that finality hangs on single voters."""
        log.info("👴 Starting new voter with set ID %d: %d voters", set_id, len(voters.weights))
        bearable = voters.total - voters.threshold
        decisive = sum(weight > bearable for weight in voters.weights.values())
        if decisive > self._decisive:
            log.warning(
                "⚠️ %d of %d voters can stop finality alone; from four validators on nobody can",
                decisive, len(voters.weights),
            )  # fmt: skip
        self._decisive = decisive

    def _last_round(self, set_id: int) -> int:
        """Return the last round of a set in which one of the keys has voted, as far as the guard knows."""
        records = [self._guard.last_vote(pair.public) for pair in self._keypairs]
        return max((last.round for last in records if last is not None and last.set_id == set_id), default=0)

    def _last_votes(self, set_id: int) -> Iterator[Vote]:
        """Yield the last vote of every key in a set."""
        for pair in self._keypairs:
            last = self._guard.last_vote(pair.public)
            if last is not None and last.payload and last.set_id == set_id:
                message = MESSAGE.decode(last.payload[:-_ROUND_AND_SET_SIZE])
                yield Vote(last.round, set_id, SignedMessage(message, last.signature, pair.public))

    def _recalled(self, voter: Voter) -> list[Vote]:
        """Return the votes that a crash may have kept out of the voter's file."""
        votes = self._said.votes(voter.set_id)
        return [
            vote for vote in votes if vote.message.id in voter.local and abs(vote.round - voter.round) <= 1
        ]

    def _load(self, set_id: int, decides: bool) -> VoterRecord | None:
        """Return what was saved for a set, None where it is not for this chain as it is now.

        A node whose own keys decide would wait for ever in a round where it voted for blocks since purged.
        """
        try:
            body = read_checked(self._disk, VOTER_FILE)
        except Damaged:
            return None
        if body is None:
            return None
        try:
            record: VoterRecord = VOTER_RECORD.decode(body)
        except DecodeError as problem:
            log.warning("%s is of another version and is made anew: %s", VOTER_FILE, problem)
            return None
        base = self._ledger.header(record.current.base_hash)
        if record.set_id != set_id or base is None or base.number > self._ledger.final()[1]:
            return None
        own = [vote.message for vote in self._said.votes(set_id) if vote.round >= record.current.number]
        targets = {vote.message.target_hash for vote in (*record.current.votes, *own)}
        return None if decides and any(map(self._is_missing, targets)) else record

    def _is_missing(self, block: Hash) -> bool:
        return self._ledger.header(block) is None

    # Effects.

    def _do(self, voter: Voter, effects: list[Effect]) -> None:
        """Carry out effects and what follows from them, in order; a replaced one may only tell its commit."""
        waiting = deque(effects)
        while waiting:
            effect = waiting.popleft()
            is_commit = isinstance(effect, Send) and isinstance(effect.message, CommitMessage)
            if self._voter is voter or is_commit:
                waiting.extend(self._carry_out(voter, effect))

    def _carry_out(self, voter: Voter, effect: Effect) -> list[Effect]:
        match effect:
            case Cast():
                return self._cast(voter, effect)
            case SetTimer():
                assert self._tasks is not None, "effects come while the driver runs"
                self._tasks.create_task(self._wait(voter, effect))
            case Finalize():
                self._ledger.finalize(justify(effect.round, effect.commit, self._ledger))
                self._follow_set()
            case Save(record):
                write_checked(self._disk, VOTER_FILE, VOTER_RECORD.encode(record))
            case Report(proof) if self._accuse is not None:
                self._accuse(proof)
            case Send(message, peer) if self._gossip is not None:
                self._gossip.send(GOSSIP_MESSAGE.encode(message), peer)
            case Fetch(block) if self._gossip is not None:
                self._gossip.fetch(block)
        return []

    def _cast(self, voter: Voter, cast: Cast) -> list[Effect]:
        vote = self._sign(cast)
        if vote is None:
            return []
        self._said.add(vote)
        return voter.signed(vote)

    def _sign(self, cast: Cast) -> Vote | None:
        pair = next(pair for pair in self._keypairs if pair.public == cast.voter)
        try:
            signature = self._guard.sign_vote(pair, cast.message, cast.round, cast.set_id)
        except KeySilent:
            return None
        except GuardError as refused:
            said = self._cast_before(cast)
            if said is None and str(refused) != self._refusal:
                self._refusal = str(refused)
                log.error("no vote in round %d: %s", cast.round, refused)
            return said
        return Vote(cast.round, cast.set_id, SignedMessage(cast.message, signature, cast.voter))

    def _cast_before(self, cast: Cast) -> Vote | None:
        """Return the vote that a key has cast in this place before a crash, which nobody may have heard."""
        for vote in self._said.votes(cast.set_id):
            signed, place = vote.message, (cast.voter, cast.round, type(cast.message))
            if (signed.id, vote.round, type(signed.message)) == place:
                return vote
        return None

    async def _wait(self, voter: Voter, effect: SetTimer) -> None:
        await self._clock.sleep(effect.seconds)
        if self._voter is voter or (self._former is voter and effect.timer.due is Due.COMMIT):
            self._do(voter, voter.timer(effect.timer))


def _set_of(message: GossipMessage) -> int:
    """Return which set a message is about; signatures of other sets are not worth checking."""
    return (message._0 if isinstance(message, Neighbor) else message).set_id
