"""Blocks that are trusted beforehand: no chain that passes beside one of them is followed.

NUMBER:HASH:SETID                                  as --checkpoint takes it
{"number": 4200, "hash": "0x…", "setId": 7}        in the list `checkpoints` of a specification

A checkpoint is a final block that changed voters. Its hash fixes all that lies below it and, since the header
names them, who votes above it; the number of their set is all that the header does not say.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from runtime.primitives.types import BlockNumber, Hash

_FORM = re.compile(r"([0-9]{1,10}):(0x[0-9a-fA-F]{64}):([0-9]{1,20})")


class CheckpointError(ValueError):
    """The text is no checkpoint, or contradicts another; says what one looks like."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A final block after which the set of this number votes."""

    number: BlockNumber
    hash: Hash
    set_id: int

    def __str__(self) -> str:
        return f"{self.number}:0x{self.hash.hex()}:{self.set_id}"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read what the flag takes.

        Raises: CheckpointError.
        """
        found = _FORM.fullmatch(text)
        if found is None or not 0 < int(found[1]) < 1 << 32 or int(found[3]) >= 1 << 64:
            raise CheckpointError(
                f"{text[:100]!r} is no checkpoint: it must be NUMBER:0xHASH:SETID, as `assay checkpoint` says"
            )
        return cls(int(found[1]), Hash(bytes.fromhex(found[2][2:])), int(found[3]))

    @classmethod
    def from_json(cls, listed: Any) -> "Checkpoint":
        """Read an entry of a specification.

        Raises: CheckpointError.
        """
        if not isinstance(listed, dict) or set(listed) != {"number", "hash", "setId"}:
            raise CheckpointError(f"{str(listed)[:100]} must have number, hash and setId, and nothing else")
        return cls.parse(f"{listed['number']}:{listed['hash']}:{listed['setId']}")

    def to_json(self) -> dict[str, int | str]:
        """Return the entry of a specification."""
        return {"number": self.number, "hash": f"0x{self.hash.hex()}", "setId": self.set_id}


class Checkpoints:
    """All that are trusted, by height."""

    def __init__(self, trusted: Iterable[Checkpoint] = ()) -> None:
        """Take them together.

        Raises: CheckpointError when two contradict each other.
        """
        self._trusted: dict[int, Checkpoint] = {}
        self._below: Callable[[int], Hash | None] = lambda number: None
        for each in trusted:
            if self._trusted.setdefault(each.number, each) != each:
                raise CheckpointError(
                    f"two checkpoints contradict each other: {each} and {self[each.number]}"
                )

    def __getitem__(self, number: int) -> Checkpoint:
        return self._trusted[number]

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self._trusted[number] for number in sorted(self._trusted))

    @property
    def newest(self) -> Checkpoint | None:
        """The highest, None where there is none."""
        return self._trusted[max(self._trusted)] if self._trusted else None

    def follow(self, below: Callable[[int], Hash | None]) -> None:
        """Trust what is known to lie below a checkpoint, too."""
        self._below = below

    def contradict(self, number: int, block: Hash) -> bool:
        """Say whether another block is trusted at a height."""
        found = self._trusted.get(number)
        expected = self._below(number) if found is None else found.hash
        return expected is not None and expected != block
