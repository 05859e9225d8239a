"""The blocks below a restored one that are not here yet; they come downwards, each the parent of the last.

The block at the top may be the restored one itself, whose body is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain.env import Batch, Database
from chain.storage.blocks import Blocks
from chain.storage.db import META
from chain.storage.set_ends import SetEnds
from runtime.primitives.grandpa import changes_voters
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash

_GAP = b"gap"
"""in META; the first and the last missing height, both u32 big-endian"""


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the database, and not yet in the mind of whoever reads it."""

    missing: tuple[BlockNumber, BlockNumber] | None
    ends: list[BlockNumber]  # heights that changed voters
    heights: range  # of what was written


class Gap:
    """The heights of which blocks are missing; none in a chain that began with its first block."""

    def __init__(
        self, database: Database, blocks: Blocks, set_ends: SetEnds, floor: Callable[[], int]
    ) -> None:
        self._database = database
        self._blocks = blocks
        self._set_ends = set_ends
        self._floor = floor
        self._missing = _missing(database)

    @property
    def missing(self) -> tuple[BlockNumber, BlockNumber] | None:
        """The first and the last missing height; None when nothing is missing."""
        return self._missing

    @property
    def wanted(self) -> tuple[BlockNumber, BlockNumber] | None:
        """The same without what pruning would throw away at once."""
        if self._missing is None:
            return None
        first, last = BlockNumber(max(self._missing[0], self._floor())), self._missing[1]
        return (first, last) if first <= last else None

    @property
    def top(self) -> Hash | None:
        """The highest missing block; None when nothing is missing."""
        if self._missing is None:
            return None
        above = self._blocks.hash_at(self._missing[1] + 1)
        header = None if above is None else self._blocks.header(above)
        return self._blocks.hash_at(self._missing[1]) if header is None else header.parent_hash

    def fill(self, blocks: Sequence[tuple[Header, list[bytes]]]) -> None:
        """Store blocks from the top downwards, whose bodies are those of their headers.

        Raises: StorageError; AssertionError when they are not linked.
        """
        self.follow(self.write(blocks))

    def write(self, blocks: Sequence[tuple[Header, list[bytes]]]) -> Filled:
        """Write blocks as `fill` does, in whatever thread; nobody here knows of it until `follow`.

        Raises: StorageError; AssertionError when they are not linked.
        """
        if self._missing is None or not blocks:
            return Filled(self._missing, [], range(0))
        (first, last), expected, batch = self._missing, self.top, self._database.batch()
        for header, body in blocks:
            assert header.hash() == expected, "the blocks of a gap are linked"
            self._blocks.put_final(batch, expected, header, body)
            expected = header.parent_hash
        ends = [header.number for header, _ in blocks if changes_voters(header)]
        self._set_ends.add_to(batch, ends)
        left = first, BlockNumber(last - len(blocks))
        put_gap(batch, *left)
        self._database.write(batch)
        return Filled(left if first <= left[1] else None, ends, range(left[1] + 1, last + 1))

    def follow(self, filled: Filled) -> None:
        """Take note of what is written; only whoever makes blocks final may do that, since both add ends.

        What pruning has come to in the meantime is forgotten again: nobody else looks for it any more.
        Raises: StorageError.
        """
        self._set_ends.follow(filled.ends)
        self._missing = filled.missing
        stale = filled.heights[: max(0, self._floor() - filled.heights.start)]
        if stale:
            batch = self._database.batch()
            for number in stale:
                self._blocks.forget(batch, BlockNumber(number))
            self._database.write(batch)


def put_gap(batch: Batch, first: int, last: int) -> None:
    """Add to a batch that these heights are missing from then on; none where the last is below the first."""
    if first > last:
        batch.delete(META, _GAP)
    else:
        batch.put(META, _GAP, first.to_bytes(4, "big") + last.to_bytes(4, "big"))


def _missing(database: Database) -> tuple[BlockNumber, BlockNumber] | None:
    found = database.get(META, _GAP)
    if found is None:
        return None
    return BlockNumber(int.from_bytes(found[:4], "big")), BlockNumber(int.from_bytes(found[4:], "big"))
