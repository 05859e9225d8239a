"""Downloads that are cut, lied to, slowed down or killed: what has come is used, and liars are named."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from miners.blobs.client import ATTEMPTS, BlobClient, Source
from miners.blobs.download import MOST_PARTIALS, PARTIAL_SECONDS, WORTH_KEEPING, Partials
from miners.blobs.errors import BlobError, BlobMismatch, BlobOversized, BlobTruncated, BlobUnreachable
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from runtime.primitives.hashing import blake2_256
from tests.e2e.process import eventually
from tests.miners.blobs.people import ALICE, EVE, MINER, Register, guard

BLOB = b"".join(number.to_bytes(4, "little") for number in range(100_000))
DIGEST = blake2_256(BLOB)
assert len(BLOB) > WORTH_KEEPING


@dataclass
class Mirror:
    """A server that sends a blob as a test wants, and notes what it was asked for."""

    blob: bytes = BLOB
    cut: int = len(BLOB)  # bytes after which a connection ends
    pause: float = 0.0  # seconds between pieces
    piece: int = 1 << 16
    knows_ranges: bool = True
    is_silent: bool = False  # says how much will come, and nothing more
    asked: list[int] = field(default_factory=list)  # first bytes
    url: str = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, is_range, rest = head.partition("Range: bytes=")
        first = int(rest.partition("-")[0]) if is_range and self.knows_ranges else 0
        self.asked.append(first)
        status = f"206 Part\r\nContent-Range: bytes {first}-{len(self.blob) - 1}/{len(self.blob)}"
        told = f"HTTP/1.1 {status if first else '200 OK'}\r\nContent-Length: {len(self.blob) - first}\r\n\r\n"
        writer.write(told.encode())
        body = self.blob[first : first + self.cut]
        try:
            if self.is_silent:
                await reader.read()  # until the other side has had enough
            for at in range(0, len(body), self.piece):
                writer.write(body[at : at + self.piece])
                await writer.drain()
                await asyncio.sleep(self.pause)
        except ConnectionError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def mirrors(*made: Mirror) -> AsyncIterator[list[Source]]:
    async with AsyncExitStack() as opened:
        for each in made:
            server = await asyncio.start_server(each.talk, "127.0.0.1", 0)
            opened.callback(server.close)
            each.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield [Source(each.url) for each in made]


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def test_the_next_mirror_goes_on_where_the_last_was_cut(tmp_path: Path) -> None:
    first, second = Mirror(cut=100_000), Mirror(cut=200_000)
    async with mirrors(first, second) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert first.asked[0] == 0 < second.asked[0] <= 100_000 < first.asked[1]
        assert blobs.traffic.received == len(BLOB)  # nothing twice
    assert files_in(tmp_path) == []


async def test_one_mirror_that_cuts_is_asked_again(tmp_path: Path) -> None:
    only = Mirror(cut=150_000)
    async with mirrors(only) as sources, BlobClient() as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert only.asked == sorted(set(only.asked))
    assert 0 < only.asked[1] <= 150_000


async def test_a_mirror_without_ranges_starts_over() -> None:
    first, second = Mirror(cut=100_000), Mirror(knows_ranges=False)
    async with mirrors(first, second) as sources, BlobClient() as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert (first.asked, second.asked) == ([0], [0])


async def test_a_mirror_without_ranges_takes_nothing_away_before_it_has_sent_more(tmp_path: Path) -> None:
    much, little, rest = Mirror(cut=300_000), Mirror(knows_ranges=False, cut=100_000), Mirror()
    async with mirrors(much, little, rest) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert (much.asked, little.asked) == ([0], [0])
        assert 100_000 < rest.asked[0] <= 300_000
    assert files_in(tmp_path) == []


async def test_what_a_mirror_without_ranges_sent_is_gone_on_from(tmp_path: Path) -> None:
    little, much, rest = Mirror(cut=100_000), Mirror(knows_ranges=False, cut=300_000), Mirror()
    async with mirrors(little, much, rest) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert 100_000 < rest.asked[0] <= 300_000
    assert files_in(tmp_path) == []


async def test_a_liar_without_ranges_does_not_cost_the_part_of_others(tmp_path: Path) -> None:
    much, liar, rest = Mirror(cut=300_000), Mirror(bytes(1_000), knows_ranges=False), Mirror()
    async with mirrors(much, liar, rest) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert 100_000 < rest.asked[0] <= 300_000


async def test_a_mirror_that_cuts_for_ever_ends_by_itself() -> None:
    drip = Mirror(cut=70_000, blob=BLOB * 10)
    async with mirrors(drip) as sources, BlobClient() as blobs:
        with pytest.raises(BlobTruncated, match=r"stopped after \d+ of 4000000 bytes"):
            await blobs.fetch(sources, DIGEST, 10 * len(BLOB))
    assert len(drip.asked) == ATTEMPTS


async def test_what_a_liar_sent_is_thrown_away_and_the_liar_named(caplog: pytest.LogCaptureFixture) -> None:
    liar, honest = Mirror(blob=bytes(len(BLOB)), cut=100_000), Mirror()
    async with mirrors(liar, honest) as sources, BlobClient() as blobs:
        with caplog.at_level(logging.WARNING):
            assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert 0 < honest.asked[0] <= 100_000
    assert honest.asked[1:] == [0]
    assert caplog.messages == [f"{liar.url} sent wrong bytes of blob 0x{DIGEST.hex()[:8]}…"]


async def test_a_liar_alone_is_the_one_in_the_error() -> None:
    liar = Mirror(blob=bytes(len(BLOB)))
    async with mirrors(liar) as sources, BlobClient() as blobs:
        with pytest.raises(BlobMismatch) as failure:
            await blobs.fetch(sources, DIGEST, len(BLOB))
    assert failure.value.url == liar.url
    assert liar.asked == [0]


async def test_a_slow_liar_does_not_keep_us_from_the_blob(tmp_path: Path) -> None:
    """It sends wrong bytes at a pace that would take two minutes; the last one asked is honest."""
    liars = [Mirror(blob=bytes(len(BLOB)), piece=500, pause=0.15) for _ in range(3)]
    async with (
        mirrors(*liars, Mirror()) as sources,
        BlobClient(timeout=60, patience=0.3, partials=tmp_path) as blobs,
    ):
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert files_in(tmp_path) == []


async def test_the_time_for_one_blob_is_bounded(tmp_path: Path) -> None:
    slow = Mirror(piece=1_000, pause=0.05)
    async with mirrors(slow) as sources, BlobClient(timeout=3, partials=tmp_path) as blobs:
        with pytest.raises(BlobUnreachable, match="no answer within 3 s"):
            await blobs.fetch(sources, DIGEST, len(BLOB))
    (part,) = files_in(tmp_path)  # not in vain: the next attempt goes on here
    assert BLOB.startswith(part.read_bytes())
    async with mirrors(Mirror()) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert blobs.traffic.received < len(BLOB)


async def test_a_part_that_outlived_its_process_is_used_or_thrown_away(tmp_path: Path) -> None:
    part = tmp_path / DIGEST.hex()
    for left, asked in ((BLOB[:50_000], [50_000]), (bytes(50_000), [50_000, 0]), (BLOB + b"x", [0])):
        part.write_bytes(left)
        mirror = Mirror()
        async with mirrors(mirror) as sources, BlobClient(partials=tmp_path) as blobs:
            assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert mirror.asked == asked
        assert not part.exists()


async def test_a_part_longer_than_the_blob_is_thrown_away(tmp_path: Path) -> None:
    short, digest = BLOB[:1_000], blake2_256(BLOB[:1_000])
    (tmp_path / digest.hex()).write_bytes(BLOB[:2_000])
    store = BlobStore(tmp_path / "store")
    store.put(short)
    async with serve(store, "127.0.0.1", 0) as url, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch([Source(url)], digest, len(BLOB)) == short


DOWNLOAD = """
import asyncio, sys
from pathlib import Path
from miners.blobs.client import ATTEMPTS, BlobClient, Source

async def main(url, digest, size, partials):
    async with BlobClient(partials=Path(partials)) as blobs:
        await blobs.fetch([Source(url)], bytes.fromhex(digest), int(size))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_part_survives_kill_9(tmp_path: Path) -> None:
    slow = Mirror(piece=1_000, pause=0.05)
    async with mirrors(slow) as (source,):
        arguments = (source.url, DIGEST.hex(), str(len(BLOB)), str(tmp_path))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", DOWNLOAD, *arguments)
        part = tmp_path / DIGEST.hex()
        try:
            await asyncio.to_thread(eventually, lambda: size_of(part) > 10_000, "a part", 120)
        finally:
            process.kill()
            await process.wait()
    left = part.read_bytes()
    assert BLOB.startswith(left)
    mirror = Mirror()
    async with mirrors(mirror) as sources, BlobClient(partials=tmp_path) as blobs:
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert mirror.asked == [len(left)]


def test_old_parts_and_too_many_are_deleted_at_a_start(tmp_path: Path) -> None:
    now = time.time()
    for number in range(MOST_PARTIALS + 5):
        path = tmp_path / f"{number:03d}"
        path.touch()
        os.utime(path, (now - number, now - number))
    os.utime(tmp_path / "000", (now, now - PARTIAL_SECONDS - 1))
    Partials(tmp_path).clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{number:03d}" for number in range(1, MOST_PARTIALS + 1)
    ]


async def test_parts_are_as_few_while_the_program_runs(tmp_path: Path) -> None:
    """A server that cuts every blob must not fill the disk of a judge that runs for months."""
    async with mirrors(Mirror(cut=100_000)) as sources, BlobClient(partials=tmp_path) as blobs:
        for number in range(MOST_PARTIALS + 5):
            path = tmp_path / f"{number:03d}"
            path.touch()
            os.utime(path, (time.time() - PARTIAL_SECONDS - 1,) * 2)
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
        assert files_in(tmp_path) == []


async def test_sizes_are_checked_before_reading(tmp_path: Path) -> None:
    async with mirrors(Mirror()) as sources, BlobClient(partials=tmp_path) as blobs:
        with pytest.raises(BlobOversized, match="400000 bytes are announced, at most 399999 are accepted"):
            await blobs.fetch(sources, DIGEST, len(BLOB) - 1)
        assert blobs.traffic.received == 0
    assert files_in(tmp_path) == []


async def test_a_server_that_does_not_know_us_still_serves_strangers(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    for receiver, signer in ((ALICE, EVE), (EVE, MINER)):  # not registered; signed for another hotkey
        async with (
            serve(store, "127.0.0.1", 0, guard(Register(store))) as url,
            BlobClient(signer=signer) as blobs,
        ):
            assert await blobs.fetch([Source(url, receiver.hotkey)], DIGEST, len(BLOB)) == BLOB


async def test_the_same_blob_is_fetched_once_at_a_time(tmp_path: Path) -> None:
    mirror = Mirror(cut=200_000)
    async with mirrors(mirror) as sources, BlobClient(partials=tmp_path) as blobs:
        both = await asyncio.gather(*(blobs.fetch(sources, DIGEST, len(BLOB)) for _ in range(2)))
    assert both == [BLOB, BLOB]
    again = mirror.asked.index(0, 1)
    assert mirror.asked == [*sorted(mirror.asked[:again]), *sorted(mirror.asked[again:])]  # never two writers


async def test_a_server_that_knows_no_range_at_all_is_left() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, BlobClient() as blobs:
        with pytest.raises(BlobUnreachable, match="answered 416"):
            await blobs.fetch([Source(url)], DIGEST, len(BLOB))


async def test_who_did_not_answer_is_asked_last_for_a_while() -> None:
    silent, honest = Mirror(is_silent=True, cut=0), Mirror()
    async with mirrors(silent, honest) as sources, BlobClient(patience=0.1) as blobs:
        for _ in range(3):
            assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
            blobs._patience = 20.0  # the honest one comes first from now on, and may be slow
    assert (len(silent.asked), len(honest.asked)) == (1, 3)


async def test_who_answers_that_it_has_no_such_blob_is_not_away(tmp_path: Path) -> None:
    store, honest = BlobStore(tmp_path), Mirror()
    async with serve(store, "127.0.0.1", 0) as url, mirrors(honest) as others, BlobClient() as blobs:
        sources = [Source(url), *others]
        with pytest.raises(BlobError):
            await blobs.fetch(sources[:1], DIGEST, len(BLOB))
        store.put(BLOB)
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    assert honest.asked == []


async def test_a_disk_that_fails_costs_the_part_and_not_the_blob(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mirrors(Mirror()) as sources, BlobClient(partials=tmp_path / "gone") as blobs:
        (tmp_path / "gone").rmdir()
        assert await blobs.fetch(sources, DIGEST, len(BLOB)) == BLOB
    (line,) = caplog.messages
    assert line.startswith(f"a download cannot be kept in {tmp_path / 'gone'}")


async def test_nobody_who_has_it_is_an_error_with_a_reason() -> None:
    async with mirrors(Mirror(cut=0), Mirror(cut=0)) as sources, BlobClient() as blobs:
        with pytest.raises(BlobError, match="stopped after 0 of 400000 bytes"):
            await blobs.fetch(sources, DIGEST, len(BLOB))
