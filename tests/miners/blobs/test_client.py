"""Blobs: stored whole, served by hash, and never accepted when anything is wrong with them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, BlobMismatch, BlobOversized, BlobTruncated, BlobUnreachable
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from runtime.primitives.hashing import blake2_256

BLOB = bytes(range(256)) * 40
DIGEST = blake2_256(BLOB)
SHORT = f"0x{DIGEST.hex()[:8]}…"


@asynccontextmanager
async def answering(answer: bytes, linger: bool = False) -> AsyncIterator[str]:
    """A server that sends these bytes to everybody, then hangs up or says nothing more."""
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if linger:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        done.set()
        server.close()
        await server.wait_closed()


def http(body: bytes, promised: int | None = None, status: str = "200 OK", more: str = "") -> bytes:
    length = "" if promised is None else f"Content-Length: {promised}\r\n"
    return f"HTTP/1.1 {status}\r\n{length}{more}Connection: close\r\n\r\n".encode() + body


async def test_a_blob_is_served_and_fetched_by_hash(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    async with serve(store, "127.0.0.1", 0) as url, BlobClient() as blobs:
        assert await blobs.fetch([Source(url)], DIGEST, len(BLOB)) == BLOB
        assert await blobs.fetch([Source("http://127.0.0.1:1"), Source(f"{url}/")], DIGEST, len(BLOB)) == BLOB


async def test_the_server_knows_get_and_head_of_digests_alone(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    (tmp_path.parent / "secret").write_text("secret")
    async with serve(store, "127.0.0.1", 0) as url, ClientSession() as session:

        async def ask(method: str, path: str) -> tuple[int, str | None]:
            async with session.request(method, f"{url}{path}") as response:
                return response.status, response.headers.get("Content-Length")

        assert await ask("HEAD", f"/blob/{DIGEST.hex()}") == (200, str(len(BLOB)))
        assert (await ask("GET", f"/blob/{bytes(32).hex()}"))[0] == 404
        assert (await ask("GET", f"/blob/{DIGEST.hex().upper()}"))[0] == 400
        assert (await ask("GET", "/blob/..%2f..%2fsecret"))[0] == 400
        assert (await ask("GET", "/"))[0] == 404
        assert (await ask("PUT", f"/blob/{DIGEST.hex()}"))[0] == 405


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (http(BLOB[:-1] + b"\x00"), BlobMismatch, "the 10240 bytes sent hash to 0x"),
        (http(b"", 0), BlobMismatch, "the 0 bytes sent hash to 0x"),
        (http(b"", 10 << 30), BlobOversized, "10737418240 bytes are announced, at most 10240 are accepted"),
        (http(BLOB + b"\x00"), BlobOversized, "sends more than the 10240 bytes that are accepted"),
        (http(BLOB[:100], len(BLOB)), BlobTruncated, "stopped after 100 of 10240 bytes"),
        (http(b"gone", 4, "404 Not Found"), BlobUnreachable, "answered 404"),
        (http(b"", 0, "302 Found", "Location: http://127.0.0.1:1/\r\n"), BlobUnreachable, "answered 302"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BlobUnreachable, "ClientResponseError: "),
        (b"", BlobUnreachable, "ServerDisconnectedError: "),
    ],
)
async def test_a_wrong_answer_is_one_line_of_its_kind(
    answer: bytes, kind: type[BlobError], reason: str
) -> None:
    async with answering(answer) as url, BlobClient() as blobs:
        with pytest.raises(kind) as failure:
            await blobs.fetch([Source(url)], DIGEST, len(BLOB))
    text = str(failure.value)
    assert text.startswith(f"blob {SHORT} from {url}: {reason}")
    assert "\n" not in text


async def test_compressed_bytes_are_not_unpacked() -> None:
    bomb = http(BLOB, len(BLOB), more="Content-Encoding: gzip\r\n")
    async with answering(bomb) as url, BlobClient() as blobs:
        assert await blobs.fetch([Source(url)], DIGEST, len(BLOB)) == BLOB


@pytest.mark.parametrize("answer", [b"", http(BLOB[:100], len(BLOB))])
async def test_silence_ends_after_the_timeout(answer: bytes) -> None:
    async with answering(answer, linger=True) as url, BlobClient(timeout=0.2) as blobs:
        with pytest.raises(BlobUnreachable, match=r"no answer within 0\.2 s"):
            await blobs.fetch([Source(url)], DIGEST, len(BLOB))


@pytest.mark.parametrize(
    ("urls", "reason"),
    [
        ([], "from nowhere: nobody has announced an address for it"),
        (["file:///etc/passwd"], "from file:///etc/passwd: the address is not an http:// or https:// URL"),
        (["http://127.0.0.1:1"], "from http://127.0.0.1:1: ClientConnectorError: "),
        (["http://["], "from http://[: "),
    ],
)
async def test_an_address_nobody_answers_at_is_named(urls: list[str], reason: str) -> None:
    async with BlobClient() as blobs:
        with pytest.raises(BlobUnreachable) as failure:
            await blobs.fetch([Source(url) for url in urls], DIGEST, len(BLOB))
    assert str(failure.value).startswith(f"blob {SHORT} {reason}")


async def test_wrong_bytes_say_more_than_a_server_that_is_down() -> None:
    async with answering(http(b"lie", 3)) as liar, BlobClient() as blobs:
        with pytest.raises(BlobMismatch):
            await blobs.fetch([Source(liar), Source("http://127.0.0.1:1")], DIGEST, len(BLOB))


async def test_a_taken_port_is_an_os_error(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    async with serve(store, "127.0.0.1", 0) as url:
        with pytest.raises(OSError, match="address already in use"):
            await enter(lambda: serve(store, "127.0.0.1", int(url.rpartition(":")[2])).__aenter__())


async def enter(start: Callable[[], Awaitable[str]]) -> str:
    return await start()
