"""The last block of every set of GRANDPA voters that is over: where their successors are proven, for ever."""

from bisect import bisect_left, bisect_right

from chain.env import Batch, Database
from chain.storage.db import META
from runtime.primitives.types import BlockNumber

_PREFIX = b"set end/"
"""in META; the block number (u32, big-endian) follows"""


class SetEnds:
    """Heights of final blocks that changed voters; one per session at most, all in memory."""

    def __init__(self, database: Database) -> None:
        self._heights = [
            BlockNumber(int.from_bytes(key[len(_PREFIX) :], "big")) for key in database.keys(META, _PREFIX)
        ]

    def add_to(self, batch: Batch, heights: list[BlockNumber]) -> None:
        """Add to a batch that makes these heights final."""
        for height in heights:
            batch.put(META, _PREFIX + height.to_bytes(4, "big"), b"")

    def follow(self, heights: list[BlockNumber]) -> None:
        """Note heights that a written batch has added."""
        self._heights = sorted({*self._heights, *heights})

    def of(self, number: BlockNumber) -> BlockNumber | None:
        """Return where the set ended that a final block is of; None for the set in charge now."""
        place = bisect_left(self._heights, number)
        return self._heights[place] if place < len(self._heights) else None

    def above(self, number: BlockNumber) -> list[BlockNumber]:
        """Return where sets ended above a height, lowest first."""
        return self._heights[bisect_right(self._heights, number) :]
