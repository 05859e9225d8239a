"""A miner gives every judge a copy of what it has revealed, and can leave."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from miners import handover
from miners.blobs.client import BlobClient, Source
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.handover import hand_over
from runtime.primitives.hashing import blake2_256
from tests.miners.blobs.people import ALICE, BOB, MINER, Register, guard

BLOB = b"payload" * 1_000
DIGEST = blake2_256(BLOB)
GONE = Source("http://127.0.0.1:1", BOB.hotkey)


async def test_every_judge_that_answers_has_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handover, "RETRY_SECONDS", 0.05)
    async with AsyncExitStack() as opened:
        stores, targets = [], [GONE]
        for who in (ALICE, BOB):
            store = BlobStore(tmp_path / who.name)
            register = Register(store, revealed={(MINER.hotkey, DIGEST): len(BLOB)})
            url = await opened.enter_async_context(serve(store, "127.0.0.1", 0, guard(register, who)))
            stores.append(store)
            targets.append(Source(url, who.hotkey))
        blobs = await opened.enter_async_context(BlobClient(signer=MINER))
        assert await hand_over(blobs, targets, DIGEST, BLOB, seconds=2) == 2
        assert [store.get(DIGEST) for store in stores] == [BLOB, BLOB]
    (line,) = caplog.messages
    assert line.startswith("a judge has no copy yet: ")
    assert GONE.url in line


async def test_a_judge_that_has_not_heard_of_the_reveal_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "RETRY_SECONDS", 0.05)
    register = Register(BlobStore(tmp_path))
    asked: list[bytes] = []
    before = register.expects

    async def expects(hotkey: bytes, digest: bytes) -> object:
        asked.append(digest)
        if len(asked) == 2:
            register.revealed[hotkey, digest] = len(BLOB)
        return await before(hotkey, digest)

    monkeypatch.setattr(register, "expects", expects)
    async with (
        serve(BlobStore(tmp_path), "127.0.0.1", 0, guard(register)) as url,
        BlobClient(signer=MINER) as blobs,
    ):
        assert await hand_over(blobs, [Source(url, ALICE.hotkey)], DIGEST, BLOB) == 1
    assert len(asked) == 2


async def test_a_judge_that_will_never_take_it_is_asked_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(BlobStore(tmp_path), revealed={(MINER.hotkey, DIGEST): len(BLOB) + 1})
    async with (
        serve(BlobStore(tmp_path), "127.0.0.1", 0, guard(register)) as url,
        BlobClient(signer=MINER) as blobs,
    ):
        assert await hand_over(blobs, [Source(url, ALICE.hotkey)], DIGEST, BLOB) == 0
    assert caplog.messages == [
        f"a judge has no copy yet: blob 0x{DIGEST.hex()[:8]}… from {url}: answered 400: "
        "7000 bytes are announced, 7001 were revealed"
    ]


async def test_no_judges_need_no_time() -> None:
    async with BlobClient(signer=MINER) as blobs:
        assert await hand_over(blobs, [], DIGEST, BLOB) == 0
