"""A GRANDPA voter: events in, effects out. It reads a chain but no clock, disk, key or network.

    waiting -> started        there is something to vote on
    started -> prevoted       2T have passed, or the round is completable
    prevoted -> precommitted  the ghost holds the last estimate; 4T have passed, or the round is completable,
                              or every prevote is here
    precommitted -> the next round waits, once this one is completable and the last estimate is final

Two rounds live: the current one and the one before, whose estimate late votes may still lower. A node whose
own keys hold the threshold expects nobody's vote and waits T instead of 2T and 4T. Source: finality-grandpa,
src/voter and src/voter/voting_round.rs.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum, auto
from typing import Protocol

from chain.consensus.grandpa.effects import (
    Cast,
    Due,
    Effect,
    Fetch,
    Finalize,
    Report,
    RoundRecord,
    Save,
    Send,
    SetTimer,
    Timer,
    VoterRecord,
)
from chain.consensus.grandpa.graph import Ancestry
from chain.consensus.grandpa.messages import (
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Neighbor,
    NeighborPacket,
    SignedPrevote,
    Vote,
)
from chain.consensus.grandpa.round import Counted, Round, RoundState, VoterSet, proven
from runtime.primitives.grandpa import (
    Block,
    Commit,
    EquivocationProof,
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
)
from runtime.primitives.types import Hash

GOSSIP_DURATION = 0.333
"""seconds that a message is granted to reach everybody (T): Substrate's default"""
REMINDER_EVERY = 16 * GOSSIP_DURATION
"""seconds; messages get lost, and a voter that is behind must hear of it"""
CATCH_UP_EVERY = 45.0
"""seconds between two catch-ups with one peer, asked for or granted"""
COMMIT_EVERY = 4.0
"""seconds between two times a peer is sent the same commit, whatever it says it lacks"""
LONG_GAP = 16
"""blocks above the base up to which all are voted for; of more, three quarters, where chains differ less"""


class Chain(Ancestry, Protocol):
    """What a voter reads of the chain."""

    def best_containing(self, block: Hash) -> Block | None:
        """Return the head of the best chain that contains a block; None when the block is not stored."""

    def next_change(self, block: Hash) -> int | None:
        """Return the lowest unfinalised height, up to a block and on its chain, at which voters change."""


class Stage(IntEnum):
    """How far this voter is in the current round."""

    WAITING = auto()
    STARTED = auto()
    PREVOTED = auto()
    PRECOMMITTED = auto()


class Voter:
    """The voters of one node in one set; a new set gets a new one."""

    def __init__(
        self, chain: Chain, voters: VoterSet, local: Iterable[bytes], record: VoterRecord, final: Block
    ) -> None:
        self.set_id = record.set_id
        self.voters = voters
        self.local: list[bytes] = []
        self.admit(local)
        self.final = final
        self._chain = chain
        self._completed = None if record.completed is None else self._restored(record.completed)
        self._current = self._restored(record.current)
        self._stage = Stage.WAITING
        self._due: set[Due] = set()
        self._reminded_in = 0  # the round of the last reminder
        self._is_slow = False  # whether the round has lasted from one reminder to the next
        self._proposal: Block | None = None
        self._held: dict[tuple[int, bytes, type], list[Vote]] = {}  # of unknown blocks, or of the next round
        self._held_commit: CommitMessage | None = None
        self._held_catch_up: CatchUp | None = None  # its blocks have not come yet
        self._commit: CommitMessage | None = None  # the highest that is known
        self._unsent: CommitMessage | None = None  # what will be sent unless somebody else is faster
        self._asked: dict[str, float] = {}
        self._awaited: set[str] = set()  # who was asked and has not answered
        self._granted: dict[str, float] = {}
        self._told: dict[str, float] = {}  # who was sent the highest commit

    def admit(self, local: Iterable[bytes]) -> None:
        """Vote with these keys, too, as far as they are of the set."""
        known = self.voters.weights
        self.local += [public for public in local if public in known and public not in self.local]

    @property
    def round(self) -> int:
        """The number of the current round."""
        return self._current.number

    @property
    def rounds(self) -> Sequence[Round]:
        """The rounds whose votes count: the completed one, if any, and the current one."""
        return [self._current] if self._completed is None else [self._completed, self._current]

    @property
    def background(self) -> Sequence[Round]:
        """The completed round, as long as its estimate is not final."""
        done = self._completed is None or self._is_final(self._estimate)
        return [] if done else self.rounds[:-1]

    @property
    def is_about_to_commit(self) -> bool:
        """Whether a commit waits for its turn to be sent."""
        return self._unsent is not None

    # Events.

    def start(self) -> list[Effect]:
        """Begin; of a restart, in the round that was saved."""
        return [self._reminder(), self._neighbor(), *self._advance()]

    def timer(self, timer: Timer) -> list[Effect]:
        """Handle a timer that was set."""
        if timer.set_id != self.set_id:
            return []
        if timer.due is Due.REMINDER:
            self._is_slow, self._reminded_in = self._reminded_in == self.round, self.round
            return [self._reminder(), *self._remind()]
        if timer.due is Due.COMMIT:
            return self._send_commit()
        if timer.round == self.round:
            self._due.add(timer.due)
        return self._advance()

    def chain_changed(self) -> list[Effect]:
        """Handle blocks that were imported, or a best chain that is another one."""
        effects = self._retry()
        if self._held_commit is not None:
            commit, self._held_commit = self._held_commit, None
            effects += self.commit(commit)
        if self._held_catch_up is not None:
            effects += self._catch_up(self._held_catch_up)
        return effects + self._advance()

    def finalized(self, block: Block) -> list[Effect]:
        """Handle finality that was proven elsewhere."""
        if block[1] > self.final[1]:
            self.final = block
        return self._advance()

    def vote(self, vote: Vote) -> list[Effect]:
        """Handle a vote whose signature is good."""
        if vote.set_id != self.set_id or vote.message.id not in self.voters.weights:
            return []
        return self._import(vote) + self._advance()

    def signed(self, vote: Vote) -> list[Effect]:
        """Handle a vote of a local voter that the guard has signed.

        The guard knows the last vote of a key; a prevote is saved here before the precommit takes its place.
        """
        effects = self._import(vote)
        if isinstance(vote.message.message, Prevote):
            effects.append(self._save())
        return [*effects, Send(vote), *self._advance()]

    def wants(self, vote: Vote) -> bool:
        """Say whether a vote is worth its signature check, and passing on: nobody has many to cast."""
        signed = vote.message
        round_ = next((each for each in self.rounds if each.number == vote.round), None)
        if signed.id not in self.voters.weights:
            return False
        if round_ is None:
            held = self._held.get((vote.round, signed.id, type(signed.message)), [])
            return len(held) < 2 and all(each.message.message != signed.message for each in held)
        if isinstance(signed.message, PrimaryPropose):
            return self._proposal is None and signed.id == self.voters.primary(vote.round)
        return round_.wants(signed)

    def takes_catch_up(self, peer: str) -> bool:
        """Say whether an answer of a peer is waited for; it is from now on no more."""
        is_awaited = peer in self._awaited
        self._awaited.discard(peer)
        return is_awaited

    def heeds(self, message: CommitMessage | CatchUp) -> bool:
        """Say whether many votes at once can be of use, before the time for their signatures is spent."""
        if isinstance(message, CatchUp):
            return message.round >= self.round
        return self.is_about_to_commit or message.message.target_number > self.final[1]

    def commit(self, message: CommitMessage) -> list[Effect]:
        """Handle a commit whose signatures are good."""
        commit = message.commit()
        if message.set_id != self.set_id or commit is None:
            return []
        if commit.target_number <= self.final[1]:
            self._hear(commit)
            return []
        parent = self._chain.parent(commit.target_hash)
        if parent is None:
            return self._hold_commit(message, commit)
        needed = proven(commit, self.voters, self._chain)
        if needed is None or parent[1] + 1 != commit.target_number:
            return []
        self._commit, self._unsent = CommitMessage.of(message.round, self.set_id, needed), None
        self._told.clear()
        effects = self._finalize(message.round, needed)
        for signed in needed.precommits:
            effects += self._import(
                Vote(message.round, self.set_id, SignedMessage(signed.precommit, signed.signature, signed.id))
            )
        return effects + self._advance()

    def neighbor(self, peer: str, packet: NeighborPacket, now: float) -> list[Effect]:
        """Handle where a peer stands: ask for what it has, send what it lacks. `now` is in seconds."""
        if packet.set_id != self.set_id:
            return []
        effects = self.catch_up_by_commit(peer, packet, now)
        ahead = packet.round - self.round
        if (ahead > 1 or (ahead == 1 and self._is_slow)) and _may(self._asked, peer, now):
            self._awaited = {each for each in self._awaited if each in self._asked} | {peer}
            effects.append(Send(CatchUpRequest(packet.round - 1, self.set_id), peer))
        return effects

    def catch_up_by_commit(self, peer: str, packet: NeighborPacket, now: float) -> list[Effect]:
        """Send a peer the highest commit of this set if it lacks that, also after the end of the set."""
        known = self._commit
        if known is None or packet.commit_finalized_height >= known.message.target_number:
            return []
        return [Send(known, peer)] if _may(self._told, peer, now, COMMIT_EVERY) else []

    def catch_up_request(self, peer: str, request: CatchUpRequest, now: float) -> list[Effect]:
        """Handle a peer that is behind: send it the votes that completed the last round."""
        last = self._completed
        if last is None or request.set_id != self.set_id or request.round > last.number:
            return []
        if not last.state.completable or not _may(self._granted, peer, now):
            return []
        prevotes, precommits = [], []
        for vote in last.votes():
            if isinstance(vote.message, Prevote):
                prevotes.append(SignedPrevote(vote.message, vote.signature, vote.id))
            elif isinstance(vote.message, Precommit):
                precommits.append(SignedPrecommit(vote.message, vote.signature, vote.id))
        answer = CatchUp(self.set_id, last.number, prevotes, precommits, *last.base)
        return [Send(answer, peer)]

    def catch_up(self, peer: str, message: CatchUp) -> list[Effect]:
        """Handle the votes that completed a round; good signatures and a peer that was asked are needed."""
        if message.set_id != self.set_id or peer not in self._asked:
            return []
        return self._catch_up(message)

    def _catch_up(self, message: CatchUp) -> list[Effect]:
        """Enter the round after a completed one; hold its votes back and fetch the blocks they are for.

        A voter that starts again hears of the round before it has the blocks, and may not ask again for long.
        """
        self._held_catch_up = None
        if message.round < self.round:
            return []
        if self._chain.best_containing(message.base_hash) is None:
            self._held_catch_up = message
            return []
        base = message.base_hash, message.base_number
        completed = Round(message.round, self.voters, base, self._chain)
        counted = [completed.add(vote) for vote in message.votes()]
        if completed.state.completable:
            return self._enter(completed)
        if Counted.UNKNOWN_BLOCK not in counted:
            return []
        self._held_catch_up = message
        targets = dict.fromkeys(_target(vote.message) for vote in message.votes())
        return [Fetch(block) for block in targets if self._chain.parent(block[0]) is None]

    # Votes.

    def _restored(self, record: RoundRecord) -> Round:
        base = record.base_hash, record.base_number
        restored = Round(record.number, self.voters, base, self._chain)
        for vote in record.votes:
            restored.add(vote)
        return restored

    def _import(self, vote: Vote) -> list[Effect]:
        """Count a vote of a live round, or hold it back until it can be."""
        signed = vote.message
        round_ = next((each for each in self.rounds if each.number == vote.round), None)
        if round_ is None:
            if vote.round == self.round + 1:
                self._hold(vote)
            return []
        if isinstance(signed.message, PrimaryPropose):
            if round_ is self._current and signed.id == self.voters.primary(vote.round):
                self._proposal = self._proposal or _target(signed.message)
            return []
        counted = round_.add(signed)
        if counted is Counted.UNKNOWN_BLOCK:
            return self._fetch(vote) if self._hold(vote) else []
        if counted is not Counted.EQUIVOCATION:
            return []
        first, second = next(pair for pair in round_.equivocations() if pair[1] is signed)
        return [Report(EquivocationProof.of(self.set_id, vote.round, first, second))]

    def _hold(self, vote: Vote) -> bool:
        """Hold back at most two votes of a voter in a phase, all that counts; say whether it is new."""
        key = vote.round, vote.message.id, type(vote.message.message)
        held = self._held.setdefault(key, [])
        if len(held) > 1 or vote in held:
            return False
        held.append(vote)
        return True

    def _retry(self) -> list[Effect]:
        """Count what was held back, as far as it can be now."""
        held, self._held = self._held, {}
        return [
            effect
            for votes in held.values()
            for vote in votes
            if vote.round >= self.round - 1
            for effect in self._import(vote)
        ]

    def _fetch(self, vote: Vote) -> list[Effect]:
        """Ask for the block of a vote, if that is what the vote is held back for."""
        target = _target(vote.message.message)
        is_missing = target[1] > self._current.base[1] and self._chain.parent(target[0]) is None
        return [Fetch(target)] if is_missing else []

    # Progress.

    @property
    def _last(self) -> RoundState:
        """What is known of the round before the current one."""
        if self._completed is None:
            return RoundState.genesis(self._current.base)
        return self._completed.state

    @property
    def _estimate(self) -> Block:
        """What the round before may have finalised: nothing else may be voted for."""
        return self._last.estimate or self._current.base

    def _advance(self) -> list[Effect]:
        """Do whatever can be done now."""
        effects: list[Effect] = []
        for round_ in self.rounds:
            ghost = round_.precommit_ghost()
            if ghost is not None and ghost[1] > self.final[1] and (commit := round_.commit()):
                effects += self._finalize(round_.number, commit)
        while (step := self._step()) is not None:
            effects += step
        return effects

    def _step(self) -> list[Effect] | None:
        """Take the next step of the current round; None when it is not time."""
        state = self._current.state
        match self._stage:
            case Stage.WAITING if self._may_start():
                return self._begin()
            case Stage.STARTED if Due.PREVOTE in self._due or state.completable:
                self._stage = Stage.PREVOTED
                return self._cast(Prevote(*self._prevote_target()))
            case Stage.PREVOTED if state.ghost is not None and self._may_precommit(state):
                self._stage = Stage.PRECOMMITTED
                return self._cast(Precommit(*state.ghost))
            case Stage.PRECOMMITTED if state.completable and self._is_final(self._estimate):
                return self._enter(self._current)
        return None

    def _may_start(self) -> bool:
        """Say whether a round would not be idle."""
        estimate = self._estimate
        if not self._is_final(estimate) or self._current.state.completable:
            return True
        return self._highest_vote(estimate) != estimate

    def _may_precommit(self, state: RoundState) -> bool:
        in_time = Due.PRECOMMIT in self._due or state.completable or self._current.everybody_prevoted()
        return in_time and state.ghost is not None and self._descends(state.ghost, self._estimate)

    def _begin(self) -> list[Effect]:
        self._stage = Stage.STARTED
        weight = sum(self.voters.weights[public] for public in self.local)
        waits = (1, 1) if weight >= self.voters.threshold else (2, 4)
        effects: list[Effect] = [
            SetTimer(Timer(self.set_id, self.round, due), times * GOSSIP_DURATION)
            for due, times in zip((Due.PREVOTE, Due.PRECOMMIT), waits, strict=True)
        ]
        primary, estimate = self.voters.primary(self.round), self._estimate
        if primary in self.local and not self._is_final(estimate):
            effects.append(Cast(primary, PrimaryPropose(*estimate), self.round, self.set_id))
        return effects

    def _cast(self, message: Prevote | Precommit) -> list[Effect]:
        """Have every local voter vote that has not, or not to its knowledge."""
        cast = {vote.id for vote in self._current.votes() if type(vote.message) is type(message)}
        return [Cast(voter, message, self.round, self.set_id) for voter in self.local if voter not in cast]

    def _enter(self, completed: Round) -> list[Effect]:
        """Go on to the round after a completed one."""
        self._completed = completed
        base = completed.state.finalized or completed.base
        self._current = Round(completed.number + 1, self.voters, base, self._chain)
        self._stage = Stage.WAITING
        self._due.clear()
        self._proposal = None
        return [self._save(), self._neighbor(), *self._retry(), *self._advance()]

    def _finalize(self, round_: int, commit: Commit) -> list[Effect]:
        self.final = commit.target_hash, commit.target_number
        effects: list[Effect] = []
        if self._commit is None or self._commit.message.target_number < commit.target_number:
            self._commit = CommitMessage.of(round_, self.set_id, commit)
            self._told.clear()
            effects = self._announce(round_, self._commit)
        return [*effects, Finalize(self.final, round_, commit)]  # which may be the end of this voter

    def _announce(self, round_: int, commit: CommitMessage) -> list[Effect]:
        """Send a commit in turn: the round's primary at once, the others one after the other from T to 2T.

        Whoever hears of it before its turn is silent, so that one commit is sent where n votes went before.
        """
        if not self.local:
            return []
        self._unsent = commit
        count, primary = len(self.voters.ids), self.voters.ids.index(self.voters.primary(round_))
        turn = min((self.voters.ids.index(public) - primary) % count for public in self.local)
        if turn == 0:
            return self._send_commit()
        timer = Timer(self.set_id, round_, Due.COMMIT)
        return [SetTimer(timer, GOSSIP_DURATION * (1 + turn / count))]

    def _send_commit(self) -> list[Effect]:
        unsent, self._unsent = self._unsent, None
        return [] if unsent is None else [Send(unsent)]

    def _hear(self, commit: Commit) -> None:
        """Be silent about what somebody else has told, if that is proof."""
        if self._unsent is None or commit.target_number < self._unsent.message.target_number:
            return
        if proven(commit, self.voters, self._chain) is not None:
            self._unsent = None

    # What to vote for.

    def _prevote_target(self) -> Block:
        """Return the best block that builds on the last estimate, or on the primary's proposal above it."""
        ghost, estimate, proposal = self._last.ghost, self._estimate, self._proposal
        if ghost and proposal and estimate[1] < proposal[1] and self._descends(ghost, proposal):
            return self._highest_vote(proposal)
        return self._highest_vote(estimate)

    def _highest_vote(self, start: Block) -> Block:
        """Return the highest block to vote for on the best chain with `start`; nobody passes a set change."""
        head = self._chain.best_containing(start[0]) or start
        base, top = self._current.base[1], head[1]
        if top - base > LONG_GAP:
            top = base + ((top - base) * 3 + 2) // 4
        change = self._chain.next_change(head[0])
        if change is not None:
            top = min(top, change)
        return self._ancestor(head, max(top, start[1]))

    def _ancestor(self, block: Block, number: int) -> Block:
        """Return the block at a height on the chain below another."""
        while block[1] > number and (parent := self._chain.parent(block[0])) is not None:
            block = parent
        return block

    def _descends(self, block: Block, ancestor: Block) -> bool:
        return self._ancestor(block, ancestor[1]) == ancestor

    def _is_final(self, block: Block) -> bool:
        return self._descends(self.final, block)

    # Messages.

    def _hold_commit(self, message: CommitMessage, commit: Commit) -> list[Effect]:
        """Keep the highest commit of a block that has not come yet; weight keeps forged ones out.

        Nobody signs what a commit is for: votes for lower blocks say nothing of a higher one.
        """
        number = commit.target_number
        high = [each for each in commit.precommits if each.precommit.target_number >= number]
        signers = {signed.id for signed in high} & self.voters.weights.keys()
        weight = sum(self.voters.weights[public] for public in sorted(signers))
        held = self._held_commit
        is_higher = held is None or held.message.target_number < commit.target_number
        if not is_higher or weight < self.voters.threshold:
            return []
        self._held_commit = message
        return [Fetch((commit.target_hash, commit.target_number))]

    def _save(self) -> Save:
        completed = None if self._completed is None else _record(self._completed)
        return Save(VoterRecord(self.set_id, completed, _record(self._current)))

    def _neighbor(self) -> Send:
        return Send(Neighbor(NeighborPacket(self.round, self.set_id, self.final[1])))

    def _reminder(self) -> SetTimer:
        return SetTimer(Timer(self.set_id, 0, Due.REMINDER), REMINDER_EVERY)

    def _remind(self) -> list[Effect]:
        """Say again what others may not have heard; whoever's height is too low is sent the commit for it."""
        own = [
            Send(Vote(round_.number, self.set_id, vote))
            for round_ in self.rounds
            for vote in round_.votes()
            if vote.id in self.local
        ]
        missing = [effect for votes in self._held.values() for vote in votes for effect in self._fetch(vote)]
        if self._held_catch_up is not None:
            missing += self._catch_up(self._held_catch_up)
        return [*own, self._neighbor(), *missing]


def _target(message: Message) -> Block:
    return message.target_hash, message.target_number


def _record(round_: Round) -> RoundRecord:
    return RoundRecord(round_.number, round_.base[0], round_.base[1], round_.votes())


def _may(times: dict[str, float], peer: str, now: float, every: float = CATCH_UP_EVERY) -> bool:
    """Say whether a peer's turn has come, and note that it has; old notes are dropped."""
    for other in [each for each, moment in times.items() if now - moment >= every]:
        del times[other]
    if peer in times:
        return False
    times[peer] = now
    return True
