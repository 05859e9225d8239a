"""The blocks of others on their way into the chain: one after the other, with a turn of the loop between two.

A good block whose slot has not begun is parked until it has; one further ahead is refused. What breaks the
rules is remembered, so that nothing is built on it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chain.common.errors import (
    BlockFlaw,
    ExcessBlock,
    InvalidBlock,
    RuntimeMissing,
    SlotAhead,
    StateDiscarded,
    UnknownBlock,
)
from chain.common.faults import Fault
from chain.common.seen import Seen
from chain.env import Clock
from runtime.frame.executive import BlockRejected
from runtime.primitives.grandpa import JustificationError
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

MAX_PARKED = 16
"""blocks that wait for their slot; an honest network has one or two"""
BAD_BLOCKS = 1024
"""that are remembered"""
EXCESS_BLOCKS = 1024
"""that are one too many of their author's, and as many that voters have voted for"""


class Importing(Protocol):
    """The single writer of the chain."""

    def import_foreign(
        self, header: Header, body: list[bytes], above: Sequence[Header] | None = None
    ) -> Hash:
        """Verify, execute and store a block; `above` is built on it.

        Raises: InvalidBlock (SlotAhead of a good one that is early), ExcessBlock, BlockRejected, UnknownBlock
        or StateDiscarded (of the parent), RuntimeMissing.
        """

    def finalize(self, block: Hash, justification: bytes) -> list[Hash]:
        """Make a stored block final.

        Raises: JustificationError, UnknownBlock, RuntimeMissing.
        """

    def begins_in(self, slot: int) -> float:
        """Return the seconds until a slot begins."""

    def arrived(self, header: Header) -> None:
        """Let a header that a peer has just announced say whether this clock is right."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole block and who sent it."""

    block: Hash
    header: Header
    body: list[bytes] = field(repr=False)
    justification: bytes | None
    peer: str
    above: tuple[Header, ...] = field(default=(), repr=False)  # the next ones of the chain it came with

    @property
    def size(self) -> int:
        """Bytes of what can be large."""
        return sum(map(len, self.body)) + len(self.justification or b"")


class Final(Protocol):
    """How far the chain is final."""

    @property
    def finalized_number(self) -> int: ...


Blame = Callable[[str, Fault, str], None]
Ended = Callable[[Incoming, bool], None]
"""What follows once a block is in the chain, or (False) is not."""


class ImportQueue:
    """Feeds the importer; one task runs it."""

    def __init__(self, store: Final, importer: Importing, clock: Clock, blame: Blame, ended: Ended) -> None:
        self._store = store
        self._importer = importer
        self._clock = clock
        self._blame = blame
        self._ended = ended
        self._blocks: deque[Incoming] = deque()
        self._pending: set[Hash] = set()
        self.held = 0  # bytes of the blocks that wait
        self._parked: set[Hash] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._bad: Seen[Hash] = Seen(BAD_BLOCKS)
        self._excess: Seen[Hash] = Seen(EXCESS_BLOCKS)
        self._wanted: Seen[Hash] = Seen(EXCESS_BLOCKS)
        self._some = asyncio.Event()

    def __contains__(self, block: Hash) -> bool:
        return block in self._pending or block in self._parked

    def __len__(self) -> int:
        return len(self._blocks)

    def is_bad(self, header: Header) -> bool:
        """Say whether a block is refused for what it is, or for what it is built on."""
        return header.parent_hash in self._bad or header.hash() in self._bad

    def is_excess(self, block: Hash) -> bool:
        """Say whether a block is not executed unless something is built on it."""
        return block in self._excess and block not in self._wanted

    def want(self, block: Hash) -> None:
        """Have a block executed in any case, and those below it: votes for it count where it is known."""
        self._wanted.add(block)

    def push(self, block: Incoming) -> None:
        """Add a block whose parent is stored, or was added before."""
        if block.block not in self._pending:
            self._pending.add(block.block)
            self._blocks.append(block)
            self.held += block.size
            self._some.set()

    async def run(self) -> None:
        """Import until cancelled.

        Raises: StorageError.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                await self._some.wait()
                self._some.clear()
                while self._blocks:
                    incoming = self._blocks.popleft()
                    self.held -= incoming.size
                    self._pending.discard(incoming.block)
                    self._ended(incoming, self._import(incoming))
                    await asyncio.sleep(0)

    def _import(self, incoming: Incoming) -> bool:
        above = None if self._is_wanted(incoming) else incoming.above
        try:
            self._importer.import_foreign(incoming.header, incoming.body, above)
        except (UnknownBlock, StateDiscarded):
            return False  # what it is built on was refused, or finality has passed it
        except RuntimeMissing:
            return False  # this node ends soon (chain/upgrades.py), or goes on with another fork
        except ExcessBlock as problem:
            self._excess.add(incoming.block)
            self._blame(incoming.peer, Fault.EXCESS_BLOCK, f"#{incoming.header.number}: {problem}")
            return False
        except SlotAhead as early:
            self._park(incoming, self._importer.begins_in(early.slot))
            return False
        except (InvalidBlock, BlockRejected) as problem:
            if isinstance(problem, InvalidBlock) and problem.reason is BlockFlaw.SLOT_IN_FUTURE:
                self._blame(incoming.peer, Fault.FUTURE_BLOCK, f"#{incoming.header.number}: {problem}")
                return False
            self._bad.add(incoming.block)
            self._blame(incoming.peer, Fault.BAD_BLOCK, f"#{incoming.header.number}: {problem}")
            return False
        if incoming.justification is not None:
            self.finalize(incoming.block, incoming.header, incoming.justification, incoming.peer)
        return True

    def _is_wanted(self, incoming: Incoming) -> bool:
        """Say whether somebody has voted for a block, or for one that is built on it."""
        if not len(self._wanted):
            return False
        return incoming.block in self._wanted or any(each.hash() in self._wanted for each in incoming.above)

    def _park(self, incoming: Incoming, seconds: float) -> None:
        """Try a block again when its slot begins, if not too many wait already."""
        assert self._tasks is not None, "blocks are imported while the queue runs"
        if len(self._parked) < MAX_PARKED:
            self._parked.add(incoming.block)
            self._tasks.create_task(self._unpark(incoming, seconds), name=f"parked #{incoming.header.number}")

    async def _unpark(self, incoming: Incoming, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._parked.discard(incoming.block)
        self.push(incoming)

    def finalize(self, block: Hash, header: Header, justification: bytes, peer: str) -> None:
        """Make a stored block final by a proof from a peer, unless it is already."""
        if header.number <= self._store.finalized_number:
            return
        try:
            self._importer.finalize(block, justification)
        except (UnknownBlock, StateDiscarded, RuntimeMissing):
            return  # it is of a fork that has lost, or cannot be judged here
        except JustificationError as problem:
            self._blame(peer, Fault.BAD_JUSTIFICATION, str(problem))
