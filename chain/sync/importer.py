"""The one door for blocks: everything that becomes part of the chain goes through here.

Own blocks bring their changes; foreign ones are verified and executed. One synced batch per import, one per
finalisation, and only then the notification.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chain.checkpoints import Checkpoints
from chain.common.errors import BlockFlaw, ExcessBlock, InvalidBlock, UnknownBlock
from chain.common.hashes import short
from chain.common.notifications import FinalityNotification, ImportNotification, Notifications
from chain.consensus.clock_watch import WHOLE, ClockWatch
from chain.consensus.slots import check_begun, pre_digest_slot, pre_hash, slot_at, verify_header
from chain.env import Clock
from chain.executor import Executor
from chain.storage.store import ChainStore
from chain.sync.authority_sets import AuthoritySets
from chain.sync.seals import Seals
from runtime.frame.executive import BlockFault, BlockRejected, Executed
from runtime.frame.state import Changes
from runtime.primitives.babe import is_primary_header, pre_digest_of
from runtime.primitives.grandpa import (
    Flaw,
    GrandpaJustification,
    JustificationError,
    Message,
    decode_justification,
    verify_justification,
)
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

log = logging.getLogger("sync")


class Witness(Protocol):
    """Who is told what this node's own keys have signed."""

    def listens_for(self, public: bytes) -> bool:
        """Say whether this is such a key."""
        ...

    def heard_seal(self, public: bytes, slot: int, pre_hash: Hash) -> None:
        """Note a header that a key has sealed."""
        ...

    def heard_vote(
        self, public: bytes, message: Message, round_: int, set_id: int, slot: int | None = None
    ) -> None:
        """Note a vote that a key has cast; `slot` is the voted block's, where known."""
        ...


class Importer:
    """The single writer of the chain."""

    def __init__(
        self,
        store: ChainStore,
        executor: Executor,
        feed: Notifications,
        clock: Clock,
        witness: Witness | None = None,
        watch: ClockWatch | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._feed = feed
        self._clock = clock
        self.sets = AuthoritySets(store, executor)
        self._witness = witness
        self._watch = watch
        self._seals = Seals()
        self._checkpoints = checkpoints or Checkpoints()
        self._slot_ms = executor.slot_duration(store.state_at(store.finalized))

    def recover(self) -> int:
        """Execute again what a restart left unapplied; return how many blocks that were."""
        blocks = self._store.unapplied()
        for block in blocks:
            header, body = self._store.header(block), self._store.body(block)
            assert header is not None, "an unapplied block is stored whole"
            assert body is not None, "an unapplied block is stored whole"
            stamped = pre_digest_slot(header) * self._slot_ms  # the clock may have been set back since
            self._store.restore_layer(block, self._execute(header, body, stamped).changes)
        return len(blocks)

    def import_own(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        """Store a block this node has built and sealed."""
        return self._import(header, body, changes)

    def arrived(self, header: Header) -> None:
        """Let a header that a peer has just announced say whether this clock is right.

        It may be one that is refused because this clock is wrong, and so are its parents then: whether its
        author had the slot is known from the best block.
        """
        if self._watch is None or self._store.header(header.hash()) is not None:
            return
        best, state = self._header(self._store.best), self._store.state_at(self._store.best)
        if self._executor.lacks(state) is not None:
            return
        epoch = self._executor.epoch(state, best.number, pre_digest_slot(header))
        try:
            digest = verify_header(header, pre_digest_slot(best), epoch)
        except InvalidBlock:
            return
        author, weight = epoch.authorities[digest.authority_index]
        share = weight * WHOLE // sum(each for _, each in epoch.authorities)
        self._watch.arrived(author, share, digest.slot)

    def import_foreign(
        self, header: Header, body: list[bytes], above: Sequence[Header] | None = None
    ) -> Hash:
        """Verify, execute and store a block from elsewhere.

        It has to count among its author's in its slot, or what is built on it, `above`; None: it is wanted.

        Raises: InvalidBlock (SlotAhead of a good one that is early), ExcessBlock, BlockRejected, UnknownBlock
        or StateDiscarded (of the parent).
        """
        block = header.hash()
        if self._store.header(block) is not None:
            return block
        parent = self._store.header(header.parent_hash)
        if parent is None:
            raise UnknownBlock(header.parent_hash)
        if self._checkpoints.contradict(header.number, block):
            detail = f"#{header.number} 0x{block.hex()} is no block of the trusted chain"
            raise InvalidBlock(BlockFlaw.BESIDE_CHECKPOINT, detail)
        if header.number != parent.number + 1:
            raise BlockRejected(BlockFault.NUMBER, f"{header.number} on parent {parent.number}")
        state = self._store.state_at(header.parent_hash)
        now_ms = self._clock.wall_ms()
        parent_slot = pre_digest_of(parent).slot if parent.number else 0
        epoch = self._executor.epoch(state, parent.number, pre_digest_slot(header))
        digest = verify_header(header, parent_slot, epoch)
        author, _ = epoch.authorities[digest.authority_index]
        if self._witness is not None and self._witness.listens_for(author):
            self._witness.heard_seal(author, digest.slot, Hash(pre_hash(header.unsealed()[0])))
        check_begun(digest.slot, slot_at(now_ms, self._slot_ms))
        if above is not None and not self._seals.admit(author, digest.slot, block):
            self._check_above(above, header, digest.slot)
        return self._import(header, body, self._execute(header, body, now_ms).changes)

    def _check_above(self, above: Sequence[Header], header: Header, slot: int) -> None:
        """Look for a block that counts among its author's in its slot, each built on the one before.

        The state below a block knows the authors of those above it, as far as they are of the next epoch.
        Raises: ExcessBlock.
        """
        state, number = self._store.state_at(header.parent_hash), header.number - 1
        now_slot, below, last = slot_at(self._clock.wall_ms(), self._slot_ms), header.hash(), slot
        for each in above:
            try:
                epoch = self._executor.epoch(state, number, pre_digest_slot(each))
                digest = verify_header(each, last, epoch)
                check_begun(digest.slot, now_slot)
            except InvalidBlock as problem:
                raise ExcessBlock(slot) from problem
            author, _ = epoch.authorities[digest.authority_index]
            if each.parent_hash == below and self._seals.admit(author, digest.slot, each.hash()):
                return
            below, last = each.hash(), digest.slot
        raise ExcessBlock(slot)

    def begins_in(self, slot: int) -> float:
        """Return the seconds until a slot begins; negative once it has."""
        return (slot * self._slot_ms - self._clock.wall_ms()) / 1000

    def finalize(self, block: Hash, justification: bytes) -> list[Hash]:
        """Make a block final on the strength of a justification, which no change of voters may lie below.

        Raises: JustificationError, UnknownBlock, RuntimeMissing.
        """
        header = self._store.header(block)
        if header is None:
            raise UnknownBlock(block)
        change = self.sets.next_change(block)
        if change is not None and change < header.number:
            detail = f"#{header.number} is for the voters after #{change}, which is not final"
            raise JustificationError(Flaw.BEYOND_CHANGE, detail)
        voters, set_id = self.sets.current()
        proof = decode_justification(justification)
        verify_justification(proof, voters, set_id, (block, header.number))
        self._tell(proof, set_id)
        is_best_chain = self._store.hash_at(header.number) == block
        left, joined = ((), ()) if is_best_chain else self._route(self._store.best, block)
        retracted = tuple((each, self._store.body(each) or []) for each in left)  # they are forgotten now
        finalized = self._store.finalize(block, justification)
        if finalized:
            enacted = () if is_best_chain else joined + self._route(block, self._store.best)[1]
            note = FinalityNotification(block, header, tuple(finalized), retracted, enacted)
            self._feed.finalized(note)
        return finalized

    def _tell(self, proof: GrandpaJustification, set_id: int) -> None:
        """Tell who voted for a final block."""
        for signed in proof.commit.precommits:
            if self._witness is not None and self._witness.listens_for(signed.id):
                target = self._store.header(signed.precommit.target_hash)
                slot = None if target is None else pre_digest_slot(target)
                self._witness.heard_vote(signed.id, signed.precommit, proof.round, set_id, slot)

    def _execute(self, header: Header, body: list[bytes], now_ms: int) -> Executed:
        state = self._store.state_at(header.parent_hash)
        supplied: Mapping[str, Any] = {"timestamp": now_ms}
        self._executor.expect(state, self._header(header.parent_hash), body)
        return self._executor.execute(state, header, body, supplied)

    def _import(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        block = header.hash()
        if self._store.header(block) is not None:
            return block
        parent_best = self._store.best
        best = self._is_best(header)
        self._store.import_block(header, body, changes, best=best)
        log.info("🏆 Imported #%d (%s → %s)", header.number, short(header.parent_hash), short(block))
        retracted, enacted = self._route(parent_best, block) if best else ((), ())
        self._feed.imported(ImportNotification(block, header, best, retracted, enacted, frozenset(changes)))
        return block

    def _is_best(self, header: Header) -> bool:
        """Say whether fork choice prefers a new block: by primary slots, then height; a tie changes nothing.

        Both chains hang on the last final block, so that what lies below it makes no difference.
        """
        primaries, parent_number = self._store.chain_weight(header.parent_hash)
        weight = primaries + is_primary_header(header), parent_number + 1
        return weight > self._store.chain_weight(self._store.best)

    def _route(self, old: Hash, new: Hash) -> tuple[tuple[Hash, ...], tuple[Hash, ...]]:
        """Return the blocks that leave and join the best chain, oldest first."""
        retracted: list[Hash] = []
        enacted: list[Hash] = []
        left, right = self._header(old), self._header(new)
        while left.hash() != right.hash():
            if right.number >= left.number:
                enacted.append(right.hash())
                right = self._header(right.parent_hash)
            else:
                retracted.append(left.hash())
                left = self._header(left.parent_hash)
        return tuple(reversed(retracted)), tuple(reversed(enacted))

    def _header(self, block: Hash) -> Header:
        header = self._store.header(block)
        assert header is not None, "what a block is built on is stored"
        return header
