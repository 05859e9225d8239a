"""The casebook: which receipts are evidence, and that no crash forgets any."""

import asyncio
from pathlib import Path

import pytest

from miners.blobs.receipts import Owed, sign
from miners.casebook import Case, Casebook
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from tests.miners.blobs.people import MINER, OTHER, Hotkey, owed

ONE, TWO = b"one payload", b"another payload"


def told(blob: bytes, digest: bytes | None = None, signer: Hotkey = MINER, number: int = 1) -> Receipt:
    return sign(signer, 1, number, digest or blake2_256(blob), blob)


def debt(signer: Hotkey = MINER, number: int = 1) -> Owed:
    return owed(signer.hotkey, number)


async def opened(book: Casebook) -> list[Case]:
    async with asyncio.timeout(1):
        return await book.cases()


async def test_honest_receipts_are_no_cases(tmp_path: Path) -> None:
    book = Casebook(tmp_path)
    book.hear(debt(), told(ONE))
    book.hear(debt(), told(ONE))
    book.hear(debt(OTHER), told(TWO, signer=OTHER))
    book.hear(debt(number=2), told(TWO, number=2))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await book.cases()
    assert not (tmp_path / "evidence.json").exists()


async def test_a_false_delivery_is_a_case_until_it_is_closed(tmp_path: Path) -> None:
    book, lie = Casebook(tmp_path), told(TWO, blake2_256(ONE))
    book.hear(debt(), told(ONE))
    book.hear(debt(), lie)
    book.hear(debt(), told(b"a third", blake2_256(ONE)))  # one is enough
    case = Case(1, MINER.hotkey, (lie,))
    assert await opened(book) == [case]
    shown = {
        "digest": f"0x{blake2_256(ONE).hex()}", "sent": f"0x{blake2_256(TWO).hex()}",
        "length": len(TWO), "signature": f"0x{lie.signature.hex()}",
    }  # fmt: skip
    assert case.evidence() == {"Delivery": {"receipt": shown}}
    again = Casebook(tmp_path)  # after a crash
    assert await opened(again) == [case]
    again.close(case)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await Casebook(tmp_path).cases()


async def test_two_payloads_of_one_round_are_a_case(tmp_path: Path) -> None:
    book, first, second = Casebook(tmp_path), told(ONE), told(TWO)
    book.hear(debt(), first)
    book.hear(debt(), second)
    (case,) = await opened(book)
    assert case == Case(1, MINER.hotkey, (first, second))
    assert list(case.evidence()) == ["DoublePublication"]
    assert [case] == await opened(Casebook(tmp_path))


async def test_a_full_disk_costs_no_evidence_and_no_judge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory where the book is written before it is whole: no writing is possible, for root neither."""
    book, first, second = Casebook(tmp_path), told(TWO, blake2_256(ONE)), told(TWO, number=2)
    full = tmp_path / "evidence.json.half"
    full.mkdir()
    book.hear(debt(), first)
    case = Case(1, MINER.hotkey, (first,))
    assert await opened(book) == [case]
    assert "evidence is kept in memory alone: " in caplog.messages[-1]
    book.close(case)
    book.hear(debt(number=2), second)
    book.hear(debt(number=2), told(ONE, number=2))
    (other,) = await opened(book)
    assert other.round == 2
    full.rmdir()
    book.close(case)  # whatever is written next, writes all
    assert await opened(Casebook(tmp_path)) == [other]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"[{}]", b'[{"round":1,"miner":"00","receipts":["00"]}]']
)
def test_a_damaged_book_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evidence.json").write_bytes(content)
    book = Casebook(tmp_path)
    book.hear(debt(), told(TWO, blake2_256(ONE)))
    assert len(Casebook(tmp_path)._cases) == 1
