"""What is proven on the way to the state of a late block, so that a kill on that way costs nothing.

It lies in META beside the chain, which stands at its genesis block meanwhile.
"""

from collections.abc import Iterable, Sequence

from chain.common.block_data import WarpStep
from chain.env import Database
from chain.storage.blocks import Blocks
from chain.storage.db import HEADERS, META
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from runtime.primitives.types import BlockNumber

_STANDING = b"ascent/standing"
_STEP = b"ascent/step/"
"""in META; the block number (u32, big-endian) follows"""
_FLOOR = b"ascent/floor"
"""in META: the height (u32, big-endian) at which the proof that this node has of its voters begins"""
_WARP_STEP = codec(WarpStep)


class AscentRecord:
    """The steps that are proven, and where they lead, in the words of whoever climbs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._blocks = Blocks(database)
        self._floor = int.from_bytes(database.get(META, _FLOOR) or b"", "big")

    @property
    def floor(self) -> BlockNumber:
        """The height from which on every change of voters is known here with its proof; 0: all of them."""
        return self._floor

    def standing(self) -> bytes | None:
        """Return how far it has come; None where nothing is recorded."""
        return self._database.get(META, _STANDING)

    def steps(self) -> list[WarpStep]:
        """Return the steps that changed voters, lowest first."""
        found = (self._database.get(META, key) for key in self._database.keys(META, _STEP))
        return [_WARP_STEP.decode(each) for each in found if each is not None]

    def save(self, standing: bytes, steps: Iterable[WarpStep], headers: Sequence[Header] = ()) -> None:
        """Write steps, the headers between them if they are known, and where that leads.

        Raises: StorageError.
        """
        batch = self._database.batch()
        for step in steps:
            batch.put(META, _STEP + step.header.number.to_bytes(4, "big"), _WARP_STEP.encode(step))
        for header in headers:
            block = header.hash()
            self._blocks.put_header(batch, block, header)
            self._blocks.put_canonical(batch, header.number, block)
        batch.put(META, _STANDING, standing)
        self._database.write(batch)

    def begin(self, floor: BlockNumber, standing: bytes) -> None:
        """Forget an earlier ascent, and begin one at a trusted height.

        Raises: StorageError.
        """
        self.clear()
        batch = self._database.batch()
        batch.put(META, _FLOOR, floor.to_bytes(4, "big"))
        batch.put(META, _STANDING, standing)
        self._database.write(batch)
        self._floor = floor

    def clear(self) -> None:
        """Forget the steps and where they led.

        Raises: StorageError.
        """
        batch = self._database.batch()
        for key in self._database.keys(META, _STEP):
            batch.delete(META, key)
        batch.delete(META, _STANDING)
        self._database.write(batch)

    def discard(self) -> None:
        """Forget the ascent as if it had never been made, with the headers it has left above its origin.

        Raises: StorageError.
        """
        number = self._floor + 1
        while (block := self._blocks.hash_at(number)) is not None:
            batch = self._database.batch()
            batch.delete(HEADERS, block)
            self._blocks.put_canonical(batch, number, None)
            self._database.write(batch)
            number += 1
        self.begin(0, b"")
        self.clear()
