"""The hashes of a chain below a trusted block, written from there downwards before any of it is imported."""

from collections.abc import Sequence

from chain.env import Database
from chain.storage.db import META
from runtime.primitives.scale import codec
from runtime.primitives.shapes import struct
from runtime.primitives.types import BlockNumber, Hash

_STANDING = b"backbone"
_PART = b"backbone/"
"""in META; a height divided by PART (u32, big-endian) follows; as many hashes one after the other"""
PART = 1024
_SIZE = 32


@struct("assay_storage::Backbone")
class Standing:
    """From which trusted block, down to which height it is known, and the parent there."""

    top: Hash
    lowest: BlockNumber
    parent: Hash


_CODEC = codec(Standing)


class BackboneRecord:
    """One hash per height."""

    def __init__(self, database: Database) -> None:
        self._database = database
        found = database.get(META, _STANDING)
        self.standing: Standing | None = None if found is None else _CODEC.decode(found)
        self._part = -1, b""  # the one that was read last

    def hash_at(self, number: int) -> Hash | None:
        """Return the block at a height, as far as it is known."""
        if self.standing is None or number < self.standing.lowest:
            return None
        place = number // PART
        if self._part[0] != place:
            self._part = place, self._read(place)
        found = self._part[1][number % PART * _SIZE :][:_SIZE]
        return Hash(found) if any(found) else None

    def put(self, top: Hash, lowest: BlockNumber, blocks: Sequence[Hash], parent: Hash) -> None:
        """Write blocks in a row, the lowest first, and the parent of that.

        Raises: StorageError.
        """
        batch, number = self._database.batch(), int(lowest)
        while blocks:
            place, offset = number // PART, number % PART
            fitting = blocks[: PART - offset]
            part = self._read(place).ljust(PART * _SIZE, b"\0")
            end = (offset + len(fitting)) * _SIZE
            part = part[: offset * _SIZE] + b"".join(fitting) + part[end:]
            batch.put(META, _PART + place.to_bytes(4, "big"), part)
            blocks, number = blocks[len(fitting) :], number + len(fitting)
        standing = Standing(top, lowest, parent)
        batch.put(META, _STANDING, _CODEC.encode(standing))
        self._database.write(batch)
        self.standing, self._part = standing, (-1, b"")

    def clear(self) -> None:
        """Forget it.

        Raises: StorageError.
        """
        batch = self._database.batch()
        for key in self._database.keys(META, _PART):
            batch.delete(META, key)
        batch.delete(META, _STANDING)
        self._database.write(batch)
        self.standing, self._part = None, (-1, b"")

    def _read(self, place: int) -> bytes:
        return self._database.get(META, _PART + place.to_bytes(4, "big")) or b""
