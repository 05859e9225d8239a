"""How a node without blocks gets to the head: the first of its phases, before blocks are synced one by one.

    origin   a trusted point: the newest checkpoint, else genesis; no older than the bonding duration
    ascent   from there to the newest final block, by proofs of who votes (warp) or by all headers (fast)
    state    of that block, in ranges that are proven against its header
    end      the chain stands at that block; blocks above come as always, those below fill the gap later

Each phase is recorded before the next begins, so that a kill at any time costs nothing. Until the end the
node neither authors nor votes. A node that has blocks syncs one by one, whatever it is told.
"""

import logging
from collections.abc import Sequence
from typing import Literal, Protocol

from chain.checkpoints import Checkpoint
from chain.common.block_data import HEADERS, BlockData
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.common.hashes import short
from chain.env import Clock
from chain.sync.ascent import AGAIN, LOOK_EVERY, Ascent, Peers, Record, Standing
from chain.sync.state_sync import TargetGone
from chain.sync.trust import Trust, check_age
from chain.sync.warp import TrustedPoint, WarpError, voters_after
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

SETTLED = 20.0
"""seconds in which peers may come that know of a final block, before there is taken to be none"""

SyncMode = Literal["full", "fast", "warp"]


class Restoring(Protocol):
    """A state under restoration."""

    @property
    def target(self) -> Header: ...


class Store(Protocol):
    """The chain, which stands at its genesis block as long as there is something to do here."""

    @property
    def best_number(self) -> int: ...
    @property
    def genesis_hash(self) -> Hash: ...
    @property
    def restoration(self) -> Restoring | None: ...
    def header(self, block: Hash) -> Header | None: ...
    def finish_restoration(self, justification: bytes, changes: Sequence[tuple[Header, bytes]]) -> None:
        """Make the restored block final and best, at once with what is proven below it."""


class States(Protocol):
    """Fetches states."""

    async def run(self, target: Header) -> object:
        """Restore the state of a block.

        Raises: TargetGone.
        """


class Bootstrap:
    """Takes an empty node to the newest final block; `run` ends when it stands there."""

    def __init__(
        self,
        mode: Literal["fast", "warp"],
        trust: Trust,
        store: Store,
        record: Record,
        peers: Peers,
        states: States,
        clock: Clock,
    ) -> None:
        self._mode = mode
        self._trust = trust
        self._store = store
        self._record = record
        self._peers = peers
        self._states = states
        self._clock = clock
        self._has_told = False

    async def run(self) -> None:
        """Go through the phases.

        Raises: SyncRefused, StorageError.
        """
        origin = await self._origin()
        ascent = Ascent(self._record, self._peers, self._clock, origin, self._mode)
        check_age(self._trust, ascent.standing.header, self._clock)
        found = self._store.restoration  # by an earlier run
        is_begun = found is not None and found.target == ascent.standing.header
        began = self._clock.monotonic()
        while True:
            if not is_begun:
                await ascent.climb()
            target, is_begun = ascent.target, False
            if target is None:
                if self._is_first(ascent, began):
                    log.info("⏩ Nothing is final yet: there is nothing to skip, every block is synced")
                    break
                await self._clock.sleep(AGAIN)
                continue
            log.info(
                "⏩ #%s (%s) is final by the votes of set %d: fetching its state",
                f"{target.header.number:,}", short(ascent.point.block), ascent.point.set_id,
            )  # fmt: skip
            try:
                await self._states.run(target.header)
            except TargetGone:
                log.info(
                    "⏩ Nobody has the state of #%d any more: going on to a newer block", target.header.number
                )
                continue
            changes = [(step.header, step.justification) for step in self._record.steps()]
            self._store.finish_restoration(target.justification, changes)
            log.info("⏩ %s sync is done at #%s", self._mode.title(), f"{target.header.number:,}")
            break
        self._record.clear()

    def _is_first(self, ascent: Ascent, began: float) -> bool:
        """Say whether nothing is final above the first block; above a checkpoint something will be."""
        if self._trust.checkpoint is None:
            return self._clock.monotonic() - began >= SETTLED and not ascent.is_promised()
        if not self._has_told:
            self._has_told = True
            log.warning(
                "⏩ Nobody proves any block above the checkpoint #%d: the chain stands still there, or this "
                "node's peers are behind it. Waiting for a block above it", self._trust.checkpoint.number,
            )  # fmt: skip
        return False

    # The origin.

    async def _origin(self) -> Standing:
        trust = self._trust
        if trust.checkpoint is None:
            genesis = self._store.header(self._store.genesis_hash)
            assert genesis is not None, "every chain has its first block"
            authorities, set_id = trust.voters
            block = self._store.genesis_hash
            return Standing(block, TrustedPoint(block, 0, set_id, authorities), genesis, None)
        header = await self._header_of(trust.checkpoint)
        try:
            voters = voters_after(header)
        except WarpError as problem:
            raise SyncRefused(f"the checkpoint cannot be used: {problem}") from problem
        if voters is None:
            raise SyncRefused(
                f"the checkpoint #{header.number} changes no voters, so it cannot say who votes above it: "
                "take one that `assay checkpoint` prints on a node you trust"
            )
        checkpoint = trust.checkpoint
        point = TrustedPoint(checkpoint.hash, checkpoint.number, checkpoint.set_id, voters)
        return Standing(checkpoint.hash, point, header, None)

    async def _header_of(self, checkpoint: Checkpoint) -> Header:
        """Get the header that a checkpoint names, from whoever has it."""
        known = self._store.header(checkpoint.hash)
        while known is None:
            for peer in list(self._peers.finals()):
                blocks = await self._peers.blocks(peer, checkpoint.hash, 1, HEADERS)
                known = self._matching(peer, blocks or [], checkpoint)
                if known is not None:
                    break
            else:
                await self._clock.sleep(LOOK_EVERY)
        if known.number != checkpoint.number:
            raise SyncRefused(
                f"the checkpoint 0x{checkpoint.hash.hex()} is #{known.number}, not #{checkpoint.number}: "
                "take it as `assay checkpoint` prints it"
            )
        return known

    def _matching(self, peer: str, blocks: list[BlockData], checkpoint: Checkpoint) -> Header | None:
        if not blocks:
            return None
        header = blocks[0].header
        if header.hash() == checkpoint.hash:
            return header
        self._peers.blame(peer, Fault.WRONG_BLOCKS, f"#{header.number} for the checkpoint")
        return None
