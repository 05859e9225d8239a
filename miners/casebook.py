"""What miners have signed against themselves: kept on disk until the chain has heard of it.

Every receipt a judge sees goes through here. One that admits other bytes than the revealed ones is a case,
and so are two of one round for different digests.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miners.blobs.receipts import Owed
from miners.files import Damaged, bytes_in, number_in, read_whole, write_whole
from runtime.primitives.receipts import RECEIPT, Receipt

log = logging.getLogger("evidence")

CASES_FILE = "evidence.json"
MOST_HEARD = 4_096
"""honest receipts remembered, to meet a second one: 16 rounds of 256 miners"""
MOST_CASES = 1_024


@dataclass(frozen=True, slots=True)
class Case:
    """Evidence against a miner's round: one receipt that admits a false delivery, or two that differ."""

    round: int
    miner: bytes
    receipts: tuple[Receipt, ...]

    def evidence(self) -> dict[str, dict[str, dict[str, str | int]]]:
        """Return what ModelUpdates.submit_evidence takes."""
        shown: list[dict[str, str | int]] = [
            {
                "digest": "0x" + each.digest.hex(),
                "sent": "0x" + each.sent.hex(),
                "length": each.length,
                "signature": "0x" + each.signature.hex(),
            }
            for each in self.receipts
        ]
        if len(shown) == 1:
            return {"Delivery": {"receipt": shown[0]}}
        return {"DoublePublication": {"first": shown[0], "second": shown[1]}}


class Casebook:
    """The receipts heard lately, and the cases that are open."""

    def __init__(self, home: Path) -> None:
        self._path = home / CASES_FILE
        self._heard: dict[tuple[int, bytes], Receipt] = {}
        self._cases = self._load()
        self._news = asyncio.Event()
        if self._cases:
            self._news.set()

    def hear(self, owed: Owed, receipt: Receipt) -> None:
        """Take note of what a miner has signed."""
        place = owed.round, owed.miner
        if place in self._cases or len(self._cases) >= MOST_CASES:
            return
        earlier = self._heard.setdefault(place, receipt)
        if receipt.sent != receipt.digest:
            self._open(Case(*place, (receipt,)))
        elif earlier.digest != receipt.digest:
            self._open(Case(*place, (earlier, receipt)))
        while len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]

    async def cases(self) -> list[Case]:
        """Return what is open, as soon as there is something new."""
        await self._news.wait()
        self._news.clear()
        return list(self._cases.values())

    def close(self, case: Case) -> None:
        """Forget a case that the chain has decided."""
        self._cases.pop((case.round, case.miner), None)
        self._save()

    def _open(self, case: Case) -> None:
        log.warning(
            "round %05d | the miner 0x%s… signs that it sent other bytes than it revealed, or two payloads",
            case.round, case.miner.hex()[:8],
        )  # fmt: skip
        self._cases[case.round, case.miner] = case
        self._save()
        self._news.set()

    def _save(self) -> None:
        rows = [
            {
                "round": each.round,
                "miner": each.miner.hex(),
                "receipts": [RECEIPT.encode(receipt).hex() for receipt in each.receipts],
            }
            for each in self._cases.values()
        ]
        try:
            write_whole(self._path, json.dumps(rows).encode())
        except OSError as problem:
            log.error("evidence is kept in memory alone: %s", problem)

    def _load(self) -> dict[tuple[int, bytes], Case]:
        try:
            found = read_whole(self._path, lambda rows: [_case(row) for row in rows])
        except FileNotFoundError:
            return {}
        except Damaged as problem:
            log.warning("the evidence of before is forgotten: %s", problem)
            return {}
        return {(case.round, case.miner): case for case in found}


def _case(row: Any) -> Case:
    receipts = tuple(RECEIPT.decode(bytes.fromhex(each)) for each in row["receipts"])
    if len(receipts) not in (1, 2):
        raise ValueError(f"a case of {len(receipts)} receipts")
    return Case(number_in(row["round"]), bytes_in(row["miner"], 32), receipts)
