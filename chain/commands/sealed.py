"""Rows of weights that this machine has sealed: kept on disk, salt and all, before the chain hears of them.

    <directory>/<genesis>/<netuid>-<hotkey>-<commitment>.json

A row whose salt is lost can never be opened, so it is written and synced first, and deleted once the chain
has it in the open, or cannot take it any more.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chain.commands.failure import Failure
from chain.connection import brief
from chain.env_real import RealDisk
from runtime.primitives.commitments import weights_commitment
from runtime.primitives.ss58 import Ss58Error, account_of
from runtime.primitives.types import AccountId

MAX_SIZE = 64 * 1024
"""bytes of a file; a row of 1,024 uids takes 12 KiB"""


@dataclass(frozen=True, slots=True)
class SealedRow:
    """What opens a commitment, and the epoch it was made for."""

    hotkey: str
    netuid: int
    epoch: int
    uids: list[int]
    values: list[int]
    salt: str
    version_key: int

    @property
    def commitment(self) -> str:
        """Return what the chain is given."""
        hotkey = AccountId(account_of(self.hotkey))
        salt = bytes.fromhex(self.salt.removeprefix("0x"))
        row = (self.netuid, self.epoch, self.uids, self.values, salt, self.version_key)
        return "0x" + weights_commitment(hotkey, *row).hex()

    def opening(self) -> dict[str, Any]:
        """Return the arguments of Weights.reveal_weights."""
        return {
            "netuid": self.netuid,
            "uids": self.uids,
            "values": self.values,
            "salt": self.salt,
            "version_key": self.version_key,
        }


class SealedRows:
    """The rows that one hotkey has sealed in one subnet of one chain."""

    def __init__(self, directory: Path, genesis: bytes, netuid: int, hotkey: str) -> None:
        self._home = directory / genesis.hex()[:16]
        self._prefix = f"{netuid}-{hotkey}-"
        self._netuid, self._hotkey = netuid, hotkey

    def put(self, row: SealedRow) -> None:
        """Write a row, synced."""
        RealDisk(self._home).replace(self._name(row), json.dumps(asdict(row)).encode())

    def remove(self, row: SealedRow) -> None:
        """Forget a row."""
        (self._home / self._name(row)).unlink(missing_ok=True)

    def all(self) -> list[SealedRow]:
        """Return the rows, oldest first.

        Raises: Failure for a file that is none.
        """
        if not self._home.is_dir():
            return []
        rows = [self._read(path) for path in sorted(self._home.glob(f"{self._prefix}*.json"))]
        return sorted((row for row in rows if row is not None), key=lambda row: row.epoch)

    def _name(self, row: SealedRow) -> str:
        return f"{self._prefix}{row.commitment[2:18]}.json"

    def _read(self, path: Path) -> SealedRow | None:
        """Return the row in a file; None when another command has forgotten it meanwhile."""
        wrong = f"{path} holds no sealed row ({{}}): move it away"
        try:
            with path.open("rb") as file:
                text = file.read(MAX_SIZE + 1)
        except FileNotFoundError:
            return None
        if len(text) > MAX_SIZE:
            raise Failure(wrong.format("it is too long"))
        try:
            row = SealedRow(**json.loads(text))
            is_whole = self._name(row) == path.name and (row.netuid, row.hotkey) == (
                self._netuid,
                self._hotkey,
            )
        except (ValueError, TypeError, AttributeError, ArithmeticError, Ss58Error, RecursionError) as problem:
            raise Failure(wrong.format(brief(problem))) from problem
        if not is_whole:
            raise Failure(wrong.format("it was changed"))
        return row
