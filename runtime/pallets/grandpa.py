"""Grandpa: the voters that finalise blocks, and how one set of them follows another.

A new session with other validators schedules a change in its first block, without delay: that block's header
tells it, its state has the new voters, and it is the last block the old ones finalise.
Source: FRAME's pallet-grandpa.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from runtime.frame.declare import (
    DispatchClass,
    Pays,
    Root,
    Signed,
    Unsigned,
    call,
    constant,
    coupled,
    db,
    event,
)
from runtime.frame.errors import DispatchError, PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.traits import BlockNumberProvider, Digests
from runtime.pallets.equivocation import REPORT, Accusation, KeyOwners, OffenceReports
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    Change,
    ConsensusLog,
    EquivocationProof,
    ForcedChange,
    GrandpaJustification,
    JustificationError,
    OnDisabled,
    ScheduledChange,
    decode_justification,
    verify_justification,
)
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.header import GRANDPA_ENGINE, Consensus
from runtime.primitives.membership import MembershipProof
from runtime.primitives.scale import codec
from runtime.primitives.session import GRANDPA_KEY, Authority
from runtime.primitives.shapes import Variants, struct, u32, u64, variant
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import AccountId, BlockNumber, Ed25519Public, Hash, Weight
from runtime.primitives.validity import TransactionSource


@variant
class Live:
    """Voters vote."""


@variant
class PendingPause:
    """Voters stop voting `delay` blocks after `scheduled_at`."""

    scheduled_at: BlockNumber
    delay: BlockNumber


@variant
class Paused_:
    """Nobody votes."""


@variant
class PendingResume:
    """Voters vote again `delay` blocks after `scheduled_at`."""

    scheduled_at: BlockNumber
    delay: BlockNumber


StoredState = Annotated[
    Live | PendingPause | Paused_ | PendingResume, Variants("pallet_grandpa::StoredState")
]


@struct("pallet_grandpa::StoredPendingChange")
class StoredPendingChange:
    """Voters who come `delay` blocks after `scheduled_at`; `forced`: the best final block then known."""

    scheduled_at: BlockNumber
    delay: BlockNumber
    next_authorities: Authorities
    forced: BlockNumber | None


@event
class NewAuthorities:
    """New authority set has been applied."""

    authority_set: Authorities


@event
class Paused:
    """Current authority set has been paused."""


@event
class Resumed:
    """Current authority set has been resumed."""


class Error(PalletError):
    """Why a GRANDPA call is refused."""

    PauseFailed = "Attempt to signal GRANDPA pause when the authority set isn't live."
    ResumeFailed = "Attempt to signal GRANDPA resume when the authority set isn't paused."
    ChangePending = "Attempt to signal GRANDPA change with one already pending."
    TooSoon = "Cannot signal forced change so soon after last."
    InvalidKeyOwnershipProof = "A key ownership proof provided as part of an equivocation report is invalid."
    InvalidEquivocationProof = "An equivocation proof provided as part of an equivocation report is invalid."
    DuplicateOffenceReport = "A given equivocation report is valid but already previously reported."
    TooSoonToNote = "Finality was noted less than ten blocks ago."
    NothingNew = "The justification is not for a block of this chain above the last one noted."
    InvalidJustification = "The justification does not prove its block final under the voters in office."


class SystemDigest(BlockNumberProvider, Digests, Protocol):
    """The block's number and digest, and the hashes of those before it."""

    block_hash: Map[BlockNumber, Hash]


class Rewards(Protocol):
    """Who counts what validators earn: the Staking pallet."""

    def reward_by_points(self, points: Sequence[tuple[AccountId, int]], lost: int = 0) -> None:
        """Add reward points to validators' accounts of the era; `lost` are nobody's."""
        ...


@struct("pallet_grandpa::NotedFinality")
class NotedFinality:
    """The highest block known here to be final, and in which block that was said."""

    number: BlockNumber = 0
    at: BlockNumber = 0


NOTE_PERIOD = 10
"""blocks from one note of finality to the next, at least"""
POINTS = 20
"""Reward points of a final block for all voters together, as many as its author has."""
MAX_NOTED_HEADERS = 64
"""Headers of a justification in a block; votes lie no further apart unless finality lags."""
VERIFY = 100_000_000
"""ps to verify a signature of a justification, and to find its place among the votes"""

EQUIVOCATION = b"grandpa:equivoca"
"""The kind of offence."""
TIME_SLOT = codec(tuple[u64, u64])
"""Set and round."""
REPORT_TAG = codec(tuple[str, Ed25519Public, u64, u64])


def note_weight(runtime: Any, justification: GrandpaJustification) -> Weight:
    """Return the weight of noting a justification of this size."""
    size = len(justification.commit.precommits) + len(justification.votes_ancestries)
    return db(reads=8, writes=2) + Weight(size * VERIFY, 0)


class Grandpa(Pallet[NewAuthorities | Paused | Resumed, Error]):
    """Voters with their weights, the number of their set, and the change that is coming."""

    system: SystemDigest = coupled()
    historical: KeyOwners = coupled()
    offences: OffenceReports = coupled()
    rewards: Rewards = coupled()

    optional_inherent = "note_finality"
    max_authorities: u32 = constant(1024)
    max_set_id_session_entries: u64 = constant(1024)

    state: Value[StoredState] = storage(default=Live())  # nothing on this chain pauses finality
    pending_change: Value[StoredPendingChange] = storage()
    next_forced: Value[BlockNumber] = storage()
    stalled: Value[tuple[BlockNumber, BlockNumber]] = storage()
    current_set_id: Value[u64] = storage(default=0)
    set_id_session: Map[u64, u32] = storage(hasher=twox_64_concat)
    authorities: Value[Authorities] = storage(default=[])
    voters: Value[list[AccountId]] = storage(default=[])  # by stash, in the order of the authorities
    noted_finality: Value[NotedFinality] = storage(default=NotedFinality())

    def validate_report(
        self, source: TransactionSource, proof: EquivocationProof, ownership: MembershipProof
    ) -> ValidTransaction:
        """Let a report in that nobody signed: right, new, from this node or in a block.

        Raises: TransactionRejected.
        """
        vote = proof.equivocation
        tag = REPORT_TAG.encode(("GrandpaEquivocation", vote.identity, proof.set_id, vote.round_number))
        return self.offences.admit(source, ownership.session, tag, lambda: self._accusation(proof, ownership))

    @call(0, weight=REPORT)
    def report_equivocation(
        self, who: Signed, equivocation_proof: EquivocationProof, key_owner_proof: MembershipProof
    ) -> Pays:
        """Report voter equivocation/misbehavior.

        This method will verify the equivocation proof and validate the given key ownership proof against the
        extracted offender. If both are valid, the offence will be reported, and the report is free.
        """
        return self._report(equivocation_proof, key_owner_proof, who)

    @call(1, weight=REPORT, unsigned=validate_report)
    def report_equivocation_unsigned(
        self, origin: Unsigned, equivocation_proof: EquivocationProof, key_owner_proof: MembershipProof
    ) -> Pays:
        """Report voter equivocation/misbehavior.

        This extrinsic must be called unsigned and it is expected that only block authors will call it
        (validated in `ValidateUnsigned`), as such if the block author is defined it will be defined as the
        equivocation reporter.
        """
        return self._report(equivocation_proof, key_owner_proof, None)

    def _report(
        self, proof: EquivocationProof, ownership: MembershipProof, reporter: AccountId | None
    ) -> Pays:
        fresh = self.offences.report(self._accusation(proof, ownership), reporter)
        ensure(fresh, Error.DuplicateOffenceReport)
        return Pays.No

    def _accusation(self, proof: EquivocationProof, ownership: MembershipProof) -> Accusation:
        vote = proof.equivocation
        ensure(proof.is_valid(), Error.InvalidEquivocationProof)
        offender = self.historical.check_proof(GRANDPA_KEY, vote.identity, ownership)
        if offender is None:
            refuse(Error.InvalidKeyOwnershipProof)
        ensure(self._is_of_set(ownership.session, proof.set_id), Error.InvalidEquivocationProof)
        time_slot = TIME_SLOT.encode((proof.set_id, vote.round_number))
        return Accusation(EQUIVOCATION, time_slot, ownership.session, offender)

    def _is_of_set(self, session: int, set_id: int) -> bool:
        """Say whether a set of voters was in office in a session: after the last one of the set before."""
        before = self.set_id_session.get(set_id - 1) if set_id else -1
        last = self.set_id_session.get(set_id)
        return before is not None and last is not None and before < session <= last

    @call(2, weight=db(writes=1))
    def note_stalled(
        self, origin: Root, delay: BlockNumber, best_finalized_block_number: BlockNumber
    ) -> None:
        """Note that the current authority set of the GRANDPA finality gadget has stalled.

        The next session then forces a change of voters without their finality: `delay` blocks after it,
        counted from a final block that all nodes have. Only when the voters are lost for good.
        """
        self.stalled.put((delay, best_finalized_block_number))

    @call(3, weight=note_weight, dispatch_class=DispatchClass.Mandatory, pays=Pays.No)
    def note_finality(self, origin: Unsigned, justification: GrandpaJustification) -> None:
        """Note that a block is final, and reward the voters whose precommits prove it.

        Block authors put this into their blocks, once in ten at most. Only the voters in office are heard:
        what the set before made final counts for the first blocks noted of the next.
        """
        self._check_finality(justification)
        final = justification.commit.target_number
        earned, lost = self._points(justification, self.noted_finality.get().number, final)
        self.noted_finality.put(NotedFinality(final, self.system.number.get()))
        self.rewards.reward_by_points(earned, lost)

    def create_inherent(self, supplied: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
        """Return the call that notes what the author knows to be final, if it may be noted in this block."""
        if supplied.get("justification") is None or not self._may_note():
            return None
        try:
            justification = decode_justification(supplied["justification"])
            self._check_finality(justification)
        except (JustificationError, DispatchError):
            return None
        return "note_finality", (justification,)

    def _may_note(self) -> bool:
        noted = self.noted_finality.get()
        return not noted.at or self.system.number.get() >= noted.at + NOTE_PERIOD

    def _check_finality(self, justification: GrandpaJustification) -> None:
        ensure(self._may_note(), Error.TooSoonToNote)
        now, noted, target = self.system.number.get(), self.noted_finality.get(), justification.commit
        block = target.target_hash, target.target_number
        ensure(noted.number < block[1] < now, Error.NothingNew)
        ensure(self.system.block_hash.get(block[1]) == block[0], Error.NothingNew)
        ensure(len(justification.votes_ancestries) <= MAX_NOTED_HEADERS, Error.InvalidJustification)
        ensure(not self.pending_change.exists(), Error.InvalidJustification)  # nobody is in office in between
        votes = Counter((signed.id, signed.precommit.target_hash) for signed in target.precommits)
        ensure(all(times == 1 for times in votes.values()), Error.InvalidJustification)
        try:
            verify_justification(justification, self.authorities.get(), self.current_set_id.get(), block)
        except JustificationError as problem:
            raise DispatchError(Error.InvalidJustification) from problem

    def _points(
        self, justification: GrandpaJustification, noted: int, final: int
    ) -> tuple[list[tuple[AccountId, int]], int]:
        """Share the points of the blocks between two by weight among those who voted, once.

        What the others would have had counts as nobody's, so that nobody gains by leaving votes out. Counted
        from block 0 to each of the two, so that rounding loses nothing.
        """
        votes = Counter(signed.id for signed in justification.commit.precommits)
        authorities = self.authorities.get()
        total = sum(weight for _, weight in authorities)
        earned = [
            (stash, POINTS * final * weight // total - POINTS * noted * weight // total)
            for (key, weight), stash in zip(authorities, self.voters.get(), strict=True)
            if votes[key] == 1
        ]
        lost = max(0, POINTS * (final - noted) - sum(points for _, points in earned))
        return [(stash, points) for stash, points in earned if points], lost

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Take the voters of session 0."""
        self.authorities.put(_authorities(validators))
        self.voters.put([each.stash for each in validators])
        self.set_id_session[0] = 0

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Schedule the change to other voters; note the last session of the set."""
        stalled = self.stalled.find()
        if changed or stalled is not None:
            self.stalled.kill()
            self._change_set(validators, stalled)
        self.set_id_session[self.current_set_id.get()] = index

    def _change_set(self, validators: Sequence[Authority], stalled: tuple[int, int] | None) -> None:
        """Begin the next set, unless a change is pending: then the voters stay until another session."""
        delay, median = stalled or (0, None)
        try:
            self.schedule_change(_authorities(validators), delay, median)
        except DispatchError:
            return
        self.voters.put([each.stash for each in validators])
        set_id = self.current_set_id.get() + 1
        self.current_set_id.put(set_id)
        if set_id >= self.max_set_id_session_entries:
            del self.set_id_session[set_id - self.max_set_id_session_entries]

    def schedule_change(self, voters: Authorities, delay: int, forced: int | None) -> None:
        """Have other voters in `delay` blocks; `forced`: without finality, from this final block on.

        Raises: DispatchError.
        """
        now = self.system.number.get()
        ensure(not self.pending_change.exists(), Error.ChangePending)
        if forced is not None:
            ensure((self.next_forced.find() or 0) <= now, Error.TooSoon)
            self.next_forced.put(now + 2 * delay)
        self.pending_change.put(StoredPendingChange(now, delay, voters, forced))

    def on_disabled(self, index: int) -> None:
        """Tell the nodes whose votes are of no use until the set changes."""
        self._log(OnDisabled(index))

    def on_finalize(self, now: int) -> None:
        """Announce the change in the block that schedules it; enact it when it is due."""
        pending = self.pending_change.find()
        if pending is None:
            return
        if now == pending.scheduled_at:
            change = Change(pending.next_authorities, pending.delay)
            forced = pending.forced
            self._log(ScheduledChange(change) if forced is None else ForcedChange(forced, change))
        if now == pending.scheduled_at + pending.delay:
            self.authorities.put(pending.next_authorities)
            self.pending_change.kill()
            self.deposit(NewAuthorities(pending.next_authorities))

    def _log(self, message: ConsensusLog) -> None:
        self.system.deposit_log(Consensus(GRANDPA_ENGINE, CONSENSUS_LOG.encode(message)))


def _authorities(validators: Sequence[Authority]) -> Authorities:
    return [(each.keys.grandpa, each.weight) for each in validators]
