"""A judge submits evidence when it is its turn, asks first, and keeps what it could not pay for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chain.client import Refused
from miners.blobs.receipts import sign
from miners.casebook import Case, Casebook
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256
from tests.miners.blobs.people import MINER, owed
from validators.prosecution import CALL, submit

LIE = sign(MINER, 1, 7, blake2_256(b"promised"), b"sent")
CASE = Case(7, MINER.hotkey, (LIE,))


@dataclass
class Ledger:
    """What a prosecutor asks of a chain: it refuses in the check, or when the call is submitted."""

    unchecked: Refused | None = None
    refused: Refused | None = None
    submitted: list[dict[str, Any]] = field(default_factory=list)

    def address_of(self, hotkey: bytes) -> str:
        return ss58.encode(hotkey)

    async def check(self, call: str, **arguments: Any) -> None:
        assert call == CALL
        if self.unchecked:
            raise self.unchecked

    async def submit(self, call: str, **arguments: Any) -> None:
        self.submitted.append(arguments)
        if self.refused:
            raise self.refused


@pytest.mark.parametrize(
    ("ledger", "is_submitted", "is_kept"),
    [
        (Ledger(), True, False),
        (Ledger(unchecked=Refused(CALL, "AlreadyAccepted", "told before")), False, False),
        (Ledger(refused=Refused(CALL, "SeatGone", "has left")), True, False),
        (Ledger(refused=Refused(CALL, "1010", "Inability to pay some fees", 1010)), True, True),
    ],
)
async def test_a_case_is_closed_once_the_chain_has_decided(
    tmp_path: Path, ledger: Ledger, is_submitted: bool, is_kept: bool
) -> None:
    book = Casebook(tmp_path)
    book.hear(owed(MINER.hotkey, 7), LIE)
    assert await book.cases() == [CASE]
    await submit(ledger, 1, book, CASE)  # type: ignore[arg-type]
    told = {"netuid": 1, "round": 7, "miner": ss58.encode(MINER.hotkey), "evidence": CASE.evidence()}
    assert ledger.submitted == ([told] if is_submitted else [])
    assert list(Casebook(tmp_path)._cases.values()) == ([CASE] if is_kept else [])
