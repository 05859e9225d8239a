"""A miner gives every judge a copy of what it has revealed, and can leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from miners import handover
from miners.blobs.client import BlobClient, Source
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.compressor import Compressor
from miners.handover import HANDOVER_SECONDS, Handover, hand_over
from miners.promise import Promise, Promises
from runtime.primitives.hashing import blake2_256
from tests.miners.blobs.people import ALICE, BOB, MINER, Register, guard, receipt
from tests.miners.test_replica import SMALL

BLOB = b"payload" * 1_000
DIGEST = blake2_256(BLOB)
SIGNED = receipt(MINER, BLOB)
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
        assert await hand_over(blobs, targets, DIGEST, BLOB, SIGNED, seconds=5) == 2
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
        assert await hand_over(blobs, [Source(url, ALICE.hotkey)], DIGEST, BLOB, SIGNED) == 1
    assert len(asked) == 2


async def test_a_judge_that_will_never_take_it_is_asked_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register = Register(BlobStore(tmp_path), revealed={(MINER.hotkey, DIGEST): len(BLOB) + 1})
    async with (
        serve(BlobStore(tmp_path), "127.0.0.1", 0, guard(register)) as url,
        BlobClient(signer=MINER) as blobs,
    ):
        assert await hand_over(blobs, [Source(url, ALICE.hotkey)], DIGEST, BLOB, SIGNED) == 0
    assert caplog.messages == [
        f"a judge has no copy yet: blob 0x{DIGEST.hex()[:8]}… from {url}: answered 400: "
        "7000 bytes are announced, 7001 were revealed"
    ]


async def test_a_judge_that_is_gone_does_not_hold_up_the_next_payload(tmp_path: Path) -> None:
    later = b"the next round's"
    promises, after = Promises(tmp_path), Compressor(SMALL)
    store, taken = BlobStore(tmp_path / "judge"), {(MINER.hotkey, blake2_256(later)): len(later)}
    register = Register(store, revealed=taken | {(MINER.hotkey, DIGEST): len(BLOB)})
    async with (
        silent() as gone,
        serve(store, "127.0.0.1", 0, guard(register)) as url,
        BlobClient(signer=MINER) as blobs,
    ):
        signed = {blake2_256(each): receipt(MINER, each) for each in (BLOB, later)}
        targets = [gone, Source(url, ALICE.hotkey)]
        handover = Handover(blobs, promises, partial(told, targets), signed.get)
        following = asyncio.create_task(handover.follow())
        for number, blob in enumerate((BLOB, later), start=1):
            promises.keep(promised(number, blob), blob, after)
            promises.fulfil()
            await handover.look()
            handover.begin()
            async with asyncio.timeout(HANDOVER_SECONDS - 1):  # then the silent one would be given up
                while store.get(blake2_256(blob)) is None:
                    assert not following.done()
                    await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert promises.due() == (promised(2, later), later)  # until the silent one is given up


async def test_what_a_crash_interrupted_is_handed_over_by_the_next_life(tmp_path: Path) -> None:
    promises, store = Promises(tmp_path), BlobStore(tmp_path / "judge")
    promises.keep(promised(1, BLOB), BLOB, Compressor(SMALL))
    promises.fulfil()
    register = Register(store, revealed={(MINER.hotkey, DIGEST): len(BLOB)})
    async with (
        serve(store, "127.0.0.1", 0, guard(register)) as url,
        BlobClient(signer=MINER) as blobs,
    ):
        targets = [Source(url, ALICE.hotkey)]
        handover = Handover(blobs, Promises(tmp_path), partial(told, targets), {DIGEST: SIGNED}.get)
        following = asyncio.create_task(handover.follow())
        while promises.due() is not None:
            assert not following.done()
            await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert store.get(DIGEST) == BLOB


@asynccontextmanager
async def silent() -> AsyncIterator[Source]:
    """A judge whose host takes connections and never answers."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
    async with server:
        yield Source(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", BOB.hotkey)
    for each in taken:
        each.close()


async def told(judges: list[Source]) -> list[Source]:
    return judges


def promised(number: int, blob: bytes) -> Promise:
    return Promise(number, MINER.hotkey.hex(), "11" * 32, blake2_256(blob).hex(), len(blob), "22" * 32)


async def test_no_judges_need_no_time() -> None:
    async with BlobClient(signer=MINER) as blobs:
        assert await hand_over(blobs, [], DIGEST, BLOB, SIGNED) == 0
