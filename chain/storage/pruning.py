"""What a node keeps of the past: Substrate's --state-pruning and --blocks-pruning.

    archive             every block's, also those of abandoned forks
    archive-canonical   every final block's
    N                   the last final block's, and those of N blocks below it

A database keeps the modes it was made with; only N may change, and what is gone does not come back.
Source: paritytech/polkadot-sdk substrate/client/state-db (PruningMode), substrate/client/db (BlocksPruning).
"""

from dataclasses import dataclass

from chain.common.errors import StorageError
from chain.env import Batch, Database
from chain.storage.blocks import Blocks
from chain.storage.db import HISTORY, META, UNDO
from chain.storage.disk_chain import read_undo
from chain.storage.state import Disk, history_stem
from runtime.primitives.types import BlockNumber

REWIND = 256
"""blocks below the final one whose states undo records lead to; further down a history is needed"""
CATCH_UP = 64
"""blocks that one finalisation forgets beyond those it adds, once N has become smaller"""
MAX_KEPT = (1 << 32) - 1
"""blocks; numbers have 32 bits"""

_STATES, _BLOCKS = b"state pruning", b"blocks pruning"
_UNDO_GONE, _BODIES_GONE, _HISTORY = b"undo gone", b"bodies gone", b"history"


@dataclass(frozen=True, slots=True)
class Pruning:
    """How much of the past stays."""

    kept: int | None = None  # blocks below the last final one; None: all
    forks: bool = False  # whether abandoned forks stay, too

    @classmethod
    def parse(cls, text: str) -> "Pruning":
        """Read a mode as the command line and the database write it.

        Raises: ValueError.
        """
        if text in NAMED:
            return NAMED[text]
        if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_KEPT):
            raise ValueError(f"{text!r} is not archive, archive-canonical or a number of blocks")
        return cls(int(text))

    def __str__(self) -> str:
        if self.kept is not None:
            return str(self.kept)
        return "archive" if self.forks else "archive-canonical"

    def floor(self, finalized: BlockNumber) -> int:
        """Return the lowest height that stays."""
        return 0 if self.kept is None else max(0, finalized - self.kept)


NAMED = {"archive": Pruning(forks=True), "archive-canonical": Pruning()}


@dataclass(frozen=True, slots=True)
class Modes:
    """Both modes; the defaults are Substrate's."""

    states: Pruning = Pruning(256)
    blocks: Pruning = Pruning()


def agree(database: Database, states: Pruning | None, blocks: Pruning | None) -> Modes:
    """Return the modes of a database: the recorded ones, or for a new one those asked for.

    Raises: StorageError when another kind of mode is asked for than the recorded one.
    """
    default = Modes()
    return Modes(
        _agreed(database, _STATES, "--state-pruning", states, default.states),
        _agreed(database, _BLOCKS, "--blocks-pruning", blocks, default.blocks),
    )


def _agreed(database: Database, key: bytes, flag: str, asked: Pruning | None, default: Pruning) -> Pruning:
    found = database.get(META, key)
    if found is None:
        return asked or default
    recorded = Pruning.parse(found.decode())
    if asked is None or asked == recorded:
        return recorded
    if asked.kept is None or recorded.kept is None:
        raise StorageError(
            f"the database at {database.place} was made with {flag} {recorded}, it cannot become {asked}: "
            f"start with {flag} {recorded}, or purge the chain and sync again"
        )
    return asked


class Pruner:
    """Knows what is gone, and forgets more as the chain becomes final."""

    def __init__(self, database: Database, blocks: Blocks, modes: Modes, disk_number: BlockNumber) -> None:
        self.modes = modes
        self._database = database
        self._blocks = blocks
        self.follow()
        self._history_since = self._record(disk_number)

    @property
    def keeps_history(self) -> bool:
        """Whether the old values that blocks overwrite are kept by key."""
        return self._history_since is not None

    def has_history(self, number: BlockNumber, finalized: BlockNumber) -> bool:
        """Say whether the history leads to the state of a final block."""
        floor = self.modes.states.floor(finalized)
        return self._history_since is not None and number >= max(self._history_since, floor)

    def has_undo(self, number: BlockNumber, finalized: BlockNumber) -> bool:
        """Say whether undo records lead to the state of a block, in so few steps that it takes no time."""
        floor = max(self.modes.states.floor(finalized), finalized - REWIND)
        return number >= max(self._undo_gone, floor)

    def add_to(self, batch: Batch, disk: Disk, before: BlockNumber, finalized: BlockNumber) -> None:
        """Add to a batch that makes a block final, `before` being the last one, what goes with it.

        What only becomes final in this batch stays until the next.
        """
        room = finalized - before + CATCH_UP
        states, blocks = self.modes.states, self.modes.blocks
        undo = states.floor(finalized) if states.kept is not None else finalized - REWIND
        undo_gone = max(self._undo_gone, min(undo, before, self._undo_gone + room))
        for number in range(self._undo_gone + 1, undo_gone + 1):
            self._forget_changes(batch, disk, number)
        bodies = min(blocks.floor(finalized) - 1, before, self._bodies_gone + room)
        bodies_gone = max(self._bodies_gone, bodies)
        for number in range(self._bodies_gone + 1, bodies_gone + 1):
            self._blocks.forget(batch, number)
        for name, gone in ((_UNDO_GONE, undo_gone), (_BODIES_GONE, bodies_gone)):
            if gone > 0:
                batch.put(META, name, gone.to_bytes(4, "big"))

    def first_body(self, finalized: BlockNumber) -> int:
        """Return the lowest height above the first whose body is kept."""
        return max(1, self.modes.blocks.floor(finalized), self._bodies_gone + 1)

    def begin_at(self, batch: Batch, number: BlockNumber) -> None:
        """Add to a batch that nothing is known of older states, nor of bodies that are not kept."""
        name = number.to_bytes(4, "big")
        batch.put(META, _UNDO_GONE, name)
        batch.put(META, _BODIES_GONE, max(0, self.modes.blocks.floor(number) - 1).to_bytes(4, "big"))
        if self.keeps_history:
            batch.put(META, _HISTORY, name)

    def follow(self) -> None:
        """Read what is gone since a batch was written."""
        self._undo_gone = _number(self._database.get(META, _UNDO_GONE)) or 0
        self._bodies_gone = _number(self._database.get(META, _BODIES_GONE)) or 0

    def _forget_changes(self, batch: Batch, disk: Disk, number: BlockNumber) -> None:
        name = number.to_bytes(4, "big")
        if self.keeps_history and self.modes.states.kept is not None:
            for key in read_undo(disk, number):
                batch.delete(HISTORY, history_stem(key) + name)
        batch.delete(UNDO, name)

    def _record(self, disk_number: BlockNumber) -> BlockNumber | None:
        """Write the modes down; return where the history begins, which a short window does without."""
        wanted = self.modes.states.kept is None or self.modes.states.kept > REWIND
        since = _number(self._database.get(META, _HISTORY))
        batch = self._database.batch()
        recorded = str(self.modes.states).encode(), str(self.modes.blocks).encode()
        if recorded == (self._database.get(META, _STATES), self._database.get(META, _BLOCKS)):
            return since
        batch.put(META, _STATES, recorded[0])
        batch.put(META, _BLOCKS, recorded[1])
        if wanted and since is None:
            since = disk_number
            batch.put(META, _HISTORY, since.to_bytes(4, "big"))
        elif since is not None and not wanted:
            since = None
            batch.delete(META, _HISTORY)
            batch.clear(HISTORY)
        self._database.write(batch)
        return since


def _number(found: bytes | None) -> BlockNumber | None:
    return None if found is None else BlockNumber(int.from_bytes(found, "big"))
