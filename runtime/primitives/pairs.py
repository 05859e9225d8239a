"""Rows of (uid, value), each in one piece: a subnet has many thousands of pairs in every epoch."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import overload

PAIR = struct.Struct("<HH")


class Pairs(Sequence[tuple[int, int]]):
    """An immutable list of pairs of u16; equal to any list of the same pairs."""

    __slots__ = ("packed",)

    packed: bytes
    """Both numbers of each pair, u16 little-endian."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        """Pack pairs. Raises: ValueError for what is no two u16."""
        try:
            self.packed = b"".join(starmap(PAIR.pack, pairs))
        except struct.error as problem:
            raise ValueError("a pair is not two u16") from problem

    @classmethod
    def of(cls, packed: bytes) -> "Pairs":
        """Return the pairs of a whole number of packed ones."""
        assert len(packed) % PAIR.size == 0
        made = cls.__new__(cls)
        made.packed = packed
        return made

    def __len__(self) -> int:
        return len(self.packed) // PAIR.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        pairs: Iterator[tuple[int, int]] = PAIR.iter_unpack(self.packed)
        return pairs

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "tuple[int, int] | Pairs":
        if isinstance(index, slice):
            return Pairs(list(self)[index])
        place = range(len(self))[index]
        left, right = PAIR.unpack_from(self.packed, PAIR.size * place)
        return left, right

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Pairs):
            return self.packed == other.packed
        if isinstance(other, list):
            return list(self) == other
        return NotImplemented

    def __repr__(self) -> str:
        return repr(list(self))
