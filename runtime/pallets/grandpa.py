"""Grandpa: the voters that finalise blocks, and how one set of them follows another.

A new session with other validators schedules a change in its first block, without delay: that block's header
tells it, its state has the new voters, and it is the last block the old ones finalise.
Source: FRAME's pallet-grandpa.
"""

from collections.abc import Sequence
from typing import Annotated, Protocol

from runtime.frame.declare import Root, call, constant, coupled, db, event
from runtime.frame.errors import DispatchError, PalletError, ensure
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.traits import BlockNumberProvider, Digests
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    Change,
    ConsensusLog,
    ForcedChange,
    OnDisabled,
    ScheduledChange,
)
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.header import GRANDPA_ENGINE, Consensus
from runtime.primitives.session import Authority
from runtime.primitives.shapes import Variants, struct, u32, u64, variant
from runtime.primitives.types import BlockNumber


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


class SystemDigest(BlockNumberProvider, Digests, Protocol):
    """The block's number and digest."""


class Grandpa(Pallet[NewAuthorities | Paused | Resumed, Error]):
    """Voters with their weights, the number of their set, and the change that is coming."""

    system: SystemDigest = coupled()

    max_authorities: u32 = constant(1024)
    max_set_id_session_entries: u64 = constant(1024)

    state: Value[StoredState] = storage(default=Live())  # nothing on this chain pauses finality
    pending_change: Value[StoredPendingChange] = storage()
    next_forced: Value[BlockNumber] = storage()
    stalled: Value[tuple[BlockNumber, BlockNumber]] = storage()
    current_set_id: Value[u64] = storage(default=0)
    set_id_session: Map[u64, u32] = storage(hasher=twox_64_concat)
    authorities: Value[Authorities] = storage(default=[])

    @call(2, weight=db(writes=1))
    def note_stalled(
        self, origin: Root, delay: BlockNumber, best_finalized_block_number: BlockNumber
    ) -> None:
        """Note that the current authority set of the GRANDPA finality gadget has stalled.

        The next session then forces a change of voters without their finality: `delay` blocks after it,
        counted from a final block that all nodes have. Only when the voters are lost for good.
        """
        self.stalled.put((delay, best_finalized_block_number))

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Take the voters of session 0."""
        self.authorities.put(_authorities(validators))
        self.set_id_session[0] = 0

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Schedule the change to other voters; note the last session of the set."""
        stalled = self.stalled.find()
        if changed or stalled is not None:
            self.stalled.kill()
            self._change_set(_authorities(validators), stalled)
        self.set_id_session[self.current_set_id.get()] = index

    def _change_set(self, voters: Authorities, stalled: tuple[int, int] | None) -> None:
        """Begin the next set, unless a change is pending: then the voters stay until another session."""
        delay, median = stalled or (0, None)
        try:
            self.schedule_change(voters, delay, median)
        except DispatchError:
            return
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
