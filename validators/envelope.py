"""The scores a judge has sealed and not opened: on disk before the chain knows, so a restart can reveal."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miners.files import Damaged, bytes_in, read_whole, write_whole
from runtime.primitives.commitments import Score, score_commitment
from runtime.primitives.types import ZERO_HASH, AccountId, Hash

ENVELOPE_FILE = "scores.json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Everything that opens a commitment to scores; bytes as hex."""

    round: int
    hotkey: str
    salt: str
    beacon: str
    scores: list[Score]

    def commitment(self, genesis: bytes, netuid: int) -> bytes:
        """Return what goes on chain first."""
        hotkey, salt = AccountId(bytes.fromhex(self.hotkey)), bytes.fromhex(self.salt)
        return score_commitment(Hash(genesis), netuid, self.round, hotkey, salt, self.scores)

    def rows(self) -> list[dict[str, int]]:
        """Return the scores as the chain's call takes them."""
        return [asdict(score) for score in self.scores]


class Envelope:
    """Holds the scores of one round; a later round's replace them."""

    def __init__(self, home: Path) -> None:
        self._path = home / ENVELOPE_FILE

    def keep(self, sealed: Sealed) -> None:
        """Write down what a later life of this judge needs to reveal."""
        content = {**asdict(sealed), "scores": sealed.rows()}
        write_whole(self._path, json.dumps(content).encode())

    def of(self, number: int, hotkey: bytes) -> Sealed | None:
        """Return this hotkey's scores of a round, where they were kept."""
        try:
            sealed = read_whole(self._path, _sealed)
        except (FileNotFoundError, Damaged):
            return None
        return sealed if (sealed.round, sealed.hotkey) == (number, hotkey.hex()) else None


def _sealed(found: Any) -> Sealed:
    sealed = Sealed(**{**found, "scores": [Score(**row) for row in found["scores"]]})
    sealed.commitment(ZERO_HASH, 0)  # whatever cannot be committed to is not whole
    bytes_in(sealed.beacon, 32)
    return sealed
