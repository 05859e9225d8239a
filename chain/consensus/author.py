"""Authoring: in each slot that is ours, build a block, seal it, hand it to the importer.

Reads top to bottom: Author.run -> begin -> propose.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from chain.common.hashes import short
from chain.consensus.clock_watch import ClockWatch
from chain.consensus.guard import Guard, KeySilent
from chain.consensus.guard_records import GuardError
from chain.consensus.slots import BUILD_SHARE, Epoch, SlotTimer, claim, pre_hash, slot_at, slot_start_ms
from chain.env import Clock
from chain.keys.pair import Keypair
from runtime.frame.errors import InvalidDigest, RuntimeTrap
from runtime.frame.executive import Executed, Execution
from runtime.frame.state import Changes
from runtime.primitives.header import BABE_ENGINE, Digest, Header, Seal
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import BlockNumber, Hash

log = logging.getLogger("babe")

BREATH = 0.005
"""seconds of building between two turns of the event loop"""
FIRST = 4
"""times as long as the others worked in between building goes on: no flood keeps it from filling a block"""
UNFINALIZED_SLACK = 50
"""blocks that may wait for finality before authors slow down"""
AUTHORING_BIAS = 2
"""blocks beyond the slack for each slot that an author pauses"""
MAX_PAUSE = 100
"""slots; nobody pauses longer. All three are Substrate's"""
MAX_SKIPPED = 8
"""Transactions that do not fit any more before the block counts as full."""

HIT_DEADLINE = "hit_deadline"
HIT_WEIGHT_LIMIT = "hit_block_weight_limit"
NO_MORE_TRANSACTIONS = "no_more_transactions"
"""Why a block is not longer, in Substrate's words."""


class Waiting(Protocol):
    """The pool, as a proposer sees it."""

    def best_first(self) -> Iterator[tuple[Hash, bytes]]:
        """Yield transactions in the order they should go in."""
        ...

    def report_invalid(self, transaction: Hash) -> None:
        """Say that a transaction failed to apply."""
        ...


@dataclass(frozen=True, slots=True)
class Parent:
    """What a block is built on; `unfinalized` is how many blocks up to it are not final."""

    header: Header
    slot: int
    unfinalized: int


class Chain(Protocol):
    """The chain, as an author sees it; node.py supplies it."""

    def parent(self) -> Parent:
        """Return the best block."""
        ...

    def hears(self) -> bool:
        """Say whether this node would hear of what others sign."""
        ...

    def epoch(self, parent: Parent, slot: int) -> Epoch:
        """Return what decides the author of a slot."""
        ...

    def open_block(self, parent: Parent, number: BlockNumber, digest: Digest) -> Execution:
        """Start the next block."""
        ...

    def justification(self) -> bytes | None:
        """Return the proof of the newest finality, for the block to note if it may."""
        ...

    def accept(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        """Import the finished block."""
        ...


def pause(unfinalized: int) -> int:
    """Return how many slots after its last block an author waits, so that unfinalised blocks stay few."""
    return min(MAX_PAUSE, max(0, unfinalized - UNFINALIZED_SLACK) // AUTHORING_BIAS)


class Author:
    """Authors with the keys of this node."""

    def __init__(
        self,
        chain: Chain,
        pool: Waiting,
        keys: list[Keypair],
        guard: Guard,
        clock: Clock,
        watch: ClockWatch,
        slot_ms: int,
        built: Callable[[float, int, str], None],
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._keys = keys
        self._guard = guard
        self._clock = clock
        self._watch = watch
        self._slot_ms = slot_ms
        self._built = built

    async def run(self) -> None:
        """Author until cancelled."""
        async for slot in SlotTimer(self._clock, self._slot_ms):
            await self.begin(slot)

    async def begin(self, slot: int) -> None:
        """Do what is due as a slot begins."""
        self._guard.listened(slot, heard=self._chain.hears())
        if self._watch.may_author():
            for keypair in self._keys:
                await self._author(slot, keypair)

    async def _author(self, slot: int, keypair: Keypair) -> None:
        parent = self._chain.parent()
        if slot <= parent.slot:
            return
        ours = claim(keypair, slot, self._chain.epoch(parent, slot))
        if ours is None or not self._may_author(slot, keypair.public, parent):
            return
        started, moment = self._clock.monotonic(), self._clock.wall_ms()
        if slot_at(moment, self._slot_ms) != slot:
            log.warning("slot %d is missed: it was over before building could begin", slot)
            return
        number = parent.header.number + 1
        on_top = short(parent.header.hash())
        log.info("🙌 Starting consensus session on top of parent %s (#%d)", on_top, parent.header.number)
        try:
            execution = self._chain.open_block(parent, number, Digest([ours]))
        except InvalidDigest as refused:
            log.warning("slot %d is not authored: %s", slot, refused)
            return
        deadline = slot_start_ms(slot, self._slot_ms) + self._slot_ms // BUILD_SHARE
        executed, body, ended = await self._propose(execution, moment, deadline)
        try:
            signature = self._guard.sign_seal(keypair, slot, Hash(pre_hash(executed.header)))
        except GuardError as refused:
            log.error("block %d is not sealed: %s", number, refused)
            return
        header = executed.header.sealed(Seal(BABE_ENGINE, signature))
        seconds = self._clock.monotonic() - started
        log.info(
            "🎁 Prepared block for proposing at %d (%d ms) hash: 0x%s; extrinsics_count: %d",
            number, seconds * 1000, header.hash().hex(), len(body),
        )  # fmt: skip
        self._built(seconds, len(body), ended)
        self._chain.accept(header, body, executed.changes)

    def _may_author(self, slot: int, public: bytes, parent: Parent) -> bool:
        """Say whether to build in a slot of ours at all."""
        try:
            self._guard.check_author(public)
        except KeySilent as refused:
            log.info("🤫 Slot %d is not authored: %s", slot, refused)
            return False
        except GuardError as refused:
            log.error("slot %d is not authored: %s", slot, refused)
            return False
        last = self._guard.last_slot(public)
        if last is not None and last.slot < slot < last.slot + pause(parent.unfinalized):
            log.info(
                "🐌 Backing off claiming new slot %d for block authorship: finality is lagging by %d blocks",
                slot, parent.unfinalized,
            )  # fmt: skip
            return False
        return True

    async def _propose(
        self, execution: Execution, moment: int, deadline_ms: int
    ) -> tuple[Executed, list[bytes], str]:
        """Build a block stamped with a moment (ms) of its slot, and say why it is not longer.

        The stamp decides nothing else.
        """
        body = execution.inherents({"timestamp": moment, "justification": self._chain.justification()})
        for inherent in body:
            execution.apply(inherent)
        skipped, ended = 0, NO_MORE_TRANSACTIONS
        pause = self._clock.monotonic() + BREATH
        for transaction, extrinsic in self._pool.best_first():
            if self._clock.wall_ms() >= deadline_ms:
                ended = HIT_DEADLINE
                break
            if skipped >= MAX_SKIPPED:
                ended = HIT_WEIGHT_LIMIT
                break
            if (stopped := self._clock.monotonic()) > pause:
                await asyncio.sleep(0)
                resumed = self._clock.monotonic()
                pause = resumed + max(BREATH, FIRST * (resumed - stopped))
            if self._apply(execution, transaction, extrinsic):
                body.append(extrinsic)
            else:
                skipped += 1
        return execution.finish(), body, ended

    def _apply(self, execution: Execution, transaction: Hash, extrinsic: bytes) -> bool:
        """Apply a transaction; what fails leaves the pool unless it only lacks room."""
        try:
            execution.apply(extrinsic)
        except TransactionRejected as refused:
            if refused.reason != "ExhaustsResources":
                self._pool.report_invalid(transaction)
            return False
        except RuntimeTrap:
            log.exception("0x%s breaks the runtime and is dropped: please report this", transaction.hex())
            self._pool.report_invalid(transaction)
            return False
        return True
