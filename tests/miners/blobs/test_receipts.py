"""Receipts: what a fetcher demands of a miner, and how a miner keeps its own."""

from pathlib import Path

import pytest

from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, BlobMismatch, BlobNotServed
from miners.blobs.receipts import Owed, Receipts
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from tests.miners.blobs.people import ALICE, GENESIS, MINER, NETUID, OTHER, owed, receipt

BLOB = bytes(range(256)) * 40
DIGEST = blake2_256(BLOB)


async def fetched(
    home: Path, text: str | None, served: bytes = BLOB, *others: Source
) -> tuple[bytes | BlobError, list[tuple[Owed, Receipt]]]:
    """Fetch from a miner that serves some bytes with some receipt."""
    store = BlobStore(home / "miner")
    store.put_as(DIGEST, served)
    heard: list[tuple[Owed, Receipt]] = []
    async with (
        serve(store, "127.0.0.1", 0, receipts=lambda digest: text) as url,
        BlobClient(witness=lambda debt, told: heard.append((debt, told))) as blobs,
    ):
        sources = [Source(url, MINER.hotkey, owed(MINER.hotkey)), *others]
        try:
            return await blobs.fetch(sources, DIGEST, len(BLOB)), heard
        except BlobError as problem:
            return problem, heard


async def test_a_true_receipt_lets_the_bytes_in(tmp_path: Path) -> None:
    found, heard = await fetched(tmp_path, receipt(MINER, BLOB))
    assert found == BLOB
    assert [(debt, told.sent) for debt, told in heard] == [(owed(MINER.hotkey), DIGEST)]


@pytest.mark.parametrize(
    "text",
    [None, "", "00" * 132, receipt(OTHER, BLOB), receipt(MINER, BLOB, number=2), receipt(MINER, BLOB + b"x")],
)
async def test_without_one_nothing_is_taken_and_nobody_accused(tmp_path: Path, text: str | None) -> None:
    found, heard = await fetched(tmp_path, text)
    assert isinstance(found, BlobNotServed)
    assert heard == []


async def test_a_receipt_for_other_bytes_is_heard_and_nothing_read(tmp_path: Path) -> None:
    other = bytes(len(BLOB))
    found, heard = await fetched(tmp_path, receipt(MINER, other, digest=DIGEST), other)
    assert isinstance(found, BlobMismatch)
    assert found.reason == f"its miner signs that the bytes hash to 0x{blake2_256(other).hex()[:8]}…"
    ((_, told),) = heard
    assert (told.digest, told.sent) == (DIGEST, blake2_256(other))


async def test_other_bytes_with_a_true_receipt_are_worthless_but_no_evidence(tmp_path: Path) -> None:
    found, heard = await fetched(tmp_path, receipt(MINER, BLOB), bytes(len(BLOB)))
    assert isinstance(found, BlobMismatch)
    assert [told.sent == told.digest for _, told in heard] == [True]


async def test_a_mirror_needs_none(tmp_path: Path) -> None:
    mirror = BlobStore(tmp_path / "mirror")
    mirror.put(BLOB)
    async with serve(mirror, "127.0.0.1", 0) as url:
        found, heard = await fetched(tmp_path, None, BLOB, Source(url, ALICE.hotkey))
    assert (found, heard) == (BLOB, [])


def test_a_miner_keeps_its_receipts_for_as_long_as_it_serves(tmp_path: Path) -> None:
    kept = Receipts(tmp_path, MINER, NETUID)
    later = b"the next round's"
    kept.write(1, DIGEST, BLOB)
    kept.write(2, blake2_256(later), later)
    for each in (kept, Receipts(tmp_path, MINER, NETUID)):
        read = owed(MINER.hotkey, 1).read(each.find(DIGEST), DIGEST)
        assert (read.sent, read.length) == (DIGEST, len(BLOB))
        assert owed(MINER.hotkey, 2).read(each.find(blake2_256(later)), blake2_256(later))
    kept.forget_before(2)
    for each in (kept, Receipts(tmp_path, MINER, NETUID)):
        assert each.find(DIGEST) is None
        assert each.find(blake2_256(later)) is not None
    assert len(list((tmp_path / "receipts").iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"00" * 132, b"x" * 264])
def test_a_damaged_receipt_is_forgotten(tmp_path: Path, content: bytes) -> None:
    Receipts(tmp_path, MINER, NETUID).write(1, DIGEST, BLOB)
    (path,) = (tmp_path / "receipts").iterdir()
    path.write_bytes(content)
    (path.parent / "00000002-ab.half").write_bytes(content)
    assert Receipts(tmp_path, MINER, NETUID).find(DIGEST) is None
    assert list(path.parent.iterdir()) == []


def test_a_receipt_names_its_chain() -> None:
    assert owed(MINER.hotkey).genesis == GENESIS
    read = owed(MINER.hotkey).read(receipt(MINER, BLOB), DIGEST)
    assert read == Receipt(DIGEST, DIGEST, len(BLOB), read.signature)
