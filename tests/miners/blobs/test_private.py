"""What a miner serves to judges only: by turns of its own, so that everybody else is served as before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError
from miners.blobs.limits import MIB, Limits
from miners.blobs.server import serve
from miners.blobs.signing import sign
from miners.blobs.store import BlobStore
from miners.memories import Memories
from runtime.primitives.hashing import blake2_256
from tests.e2e.process import eventually
from tests.miners.blobs.people import ALICE, BOB, EVE, MINER, OTHER, Hotkey, Register, guard

PAYLOAD, MEMORY = b"for everybody" * 100, b"for judges" * 100
FEW = Limits(private_transfers=1, private_signer_transfers=2, private_rate=64 << 10, queue_seconds=0.1)


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A miner's server with a payload and an error feedback."""
    public, memories = BlobStore(tmp_path / "blobs"), Memories(tmp_path)
    public.put(PAYLOAD)
    memories.keep(1, MEMORY)
    memories.keep(2, bytes(MIB))
    async with serve(public, "127.0.0.1", 0, guard(Register(), MINER), FEW, private=memories) as served:
        yield served


@pytest.mark.parametrize(
    ("signer", "status"), [(ALICE, 200), (OTHER, 403), (EVE, 403), (None, 403)], ids=lambda each: str(each)
)
async def test_judges_only(url: str, signer: Hotkey | None, status: int) -> None:
    path = f"/blob/{blake2_256(MEMORY).hex()}"
    headers = sign(signer, MINER.hotkey, "GET", path) if signer else {}
    async with ClientSession() as session, session.get(url + path, headers=headers) as response:
        assert (response.status, await response.read()) == (
            status,
            MEMORY
            if status == 200
            else b"this is for judges: sign with a hotkey that has a validator permit\n",
        )


async def test_a_payload_is_had_while_judges_wait_for_each_other(url: str) -> None:
    source = [Source(url, MINER.hotkey)]
    async with BlobClient(signer=ALICE, timeout=30) as judge, BlobClient(signer=OTHER) as miner:
        slow = asyncio.create_task(judge.fetch(source, blake2_256(bytes(MIB)), MIB))
        await asyncio.to_thread(eventually, lambda: judge.traffic.received > 0, "a transfer that runs")
        with pytest.raises(BlobError, match="answered 503"):
            await judge.fetch(source, blake2_256(MEMORY), 1 << 20)
        assert await miner.fetch(source, blake2_256(PAYLOAD), 1 << 20) == PAYLOAD
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_no_judge_keeps_another_from_what_it_audits(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    memories.keep(1, MEMORY)
    memories.keep(2, bytes(MIB))
    known, few = (
        guard(Register(stakes={ALICE.hotkey: 1, BOB.hotkey: 1}), MINER),
        Limits(private_rate=64 << 10),
    )
    async with (
        serve(BlobStore(tmp_path / "blobs"), "127.0.0.1", 0, known, few, private=memories) as url,
        BlobClient(signer=ALICE, timeout=30) as hog,
        BlobClient(signer=BOB, timeout=10) as judge,
    ):
        source = [Source(url, MINER.hotkey)]
        slow = asyncio.create_task(hog.fetch(source, blake2_256(bytes(MIB)), MIB))
        await asyncio.to_thread(eventually, lambda: hog.traffic.received > 0, "a transfer that runs")
        with pytest.raises(BlobError, match="answered 429"):
            await hog.fetch(source, blake2_256(MEMORY), 1 << 20)
        assert await judge.fetch(source, blake2_256(MEMORY), 1 << 20) == MEMORY
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_what_was_cut_goes_on(url: str, tmp_path: Path) -> None:
    source, digest = [Source(url, MINER.hotkey)], blake2_256(bytes(MIB))
    (tmp_path / "parts").mkdir()
    async with BlobClient(signer=ALICE, partials=tmp_path / "parts", timeout=3) as impatient:
        with pytest.raises(BlobError):
            await impatient.fetch(source, digest, MIB)
        had = impatient.traffic.received
    assert 0 < had < MIB
    assert [path.stat().st_size for path in (tmp_path / "parts").iterdir()] == [had]
