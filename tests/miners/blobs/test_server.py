"""The blob server as strangers, miners and attackers see it: over real sockets."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession

from chain.common.http_door import address_of
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobRefused
from miners.blobs.limits import Limits
from miners.blobs.receipts import HEADER as RECEIPT
from miners.blobs.receipts import Owed
from miners.blobs.server import Traffic, serve
from miners.blobs.signing import NONCE, SIGNED_BY, TIMESTAMP, sign
from miners.blobs.store import BlobStore, Quota
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from tests.miners.blobs.people import (
    ALICE,
    BOB,
    EVE,
    MINER,
    OTHER,
    Hotkey,
    Register,
    guard,
    owed,
    receipt,
)  # fmt: skip

BLOB = bytes(range(256)) * 40
DIGEST = blake2_256(BLOB)
PATH = f"/blob/{DIGEST.hex()}"
SIGNED = receipt(MINER, BLOB)


@dataclass
class Judge:
    """A judge's server, what it has stored, and the chain's view it goes by."""

    url: str
    store: BlobStore
    register: Register
    traffic: Traffic
    heard: list[tuple[Owed, Receipt]]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def raw(self, request: bytes, *, rest: AsyncIterator[bytes] | None = None) -> bytes:
        """Send bytes, and return what is answered until the connection ends or falls silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            sending = asyncio.ensure_future(_send(writer, rest)) if rest else None
            answer = b""
            with suppress(ConnectionError):
                async with asyncio.timeout(20):
                    while chunk := await reader.read(65_536):
                        answer += chunk
            if sending:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            return answer
        finally:
            writer.close()

    async def put(
        self, blob: bytes, signer: Hotkey = MINER, path: str = PATH, **changed: str
    ) -> tuple[int, str]:
        """Sign and send a PUT, with some headers changed, and return status and reason."""
        digest = bytes.fromhex(path[6:])
        signed = sign(signer, ALICE.hotkey, "PUT", path, digest)
        headers = {**signed, RECEIPT: receipt(signer, BLOB, digest=digest), **changed}
        return await self.send("PUT", path, headers, blob)

    async def send(
        self, method: str, path: str, headers: dict[str, str], blob: bytes | None = None
    ) -> tuple[int, str]:
        async with (
            ClientSession() as session,
            session.request(method, self.url + path, data=blob, headers=headers) as response,
        ):
            return response.status, await response.text(errors="replace")


async def _send(writer: asyncio.StreamWriter, parts: AsyncIterator[bytes]) -> None:
    async for part in parts:
        writer.write(part)
        await writer.drain()


@asynccontextmanager
async def judging(
    home: Path, limits: Limits | None = None, quota: Quota | None = None
) -> AsyncIterator[Judge]:
    store, traffic = BlobStore(home / "judge", quota), Traffic()
    register = Register(store)
    register.revealed[MINER.hotkey, DIGEST] = len(BLOB)
    heard: list[tuple[Owed, Receipt]] = []
    known = guard(register, witness=lambda debt, told: heard.append((debt, told)))
    async with serve(store, "127.0.0.1", 0, known, limits, traffic) as url:
        yield Judge(url, store, register, traffic, heard)


@pytest.fixture
async def judge(tmp_path: Path) -> AsyncIterator[Judge]:
    async with judging(tmp_path) as made:
        yield made


async def test_a_miner_hands_its_payload_over(judge: Judge) -> None:
    async with BlobClient(signer=MINER) as blobs:
        target = Source(judge.url, ALICE.hotkey)
        await blobs.push(target, DIGEST, BLOB, SIGNED)
        await blobs.push(target, DIGEST, BLOB, SIGNED)  # it is there already
        assert judge.store.get(DIGEST) == BLOB
        assert await blobs.fetch([target], DIGEST, len(BLOB)) == BLOB
        assert (judge.traffic, blobs.traffic.sent) == (Traffic(len(BLOB), len(BLOB)), 2 * len(BLOB))


async def test_a_long_blob_is_sent_only_where_it_is_wanted(judge: Judge) -> None:
    long = bytes(300_000)
    judge.register.revealed[MINER.hotkey, blake2_256(long)] = len(long)
    for signer, is_taken in ((OTHER, False), (MINER, True)):
        async with BlobClient(signer=signer) as blobs:
            try:
                signed = receipt(signer, long)
                await blobs.push(Source(judge.url, ALICE.hotkey), blake2_256(long), long, signed)
            except BlobRefused:
                assert not is_taken
        assert judge.traffic.received == (len(long) if is_taken else 0)


async def test_nothing_is_taken_from_strangers_and_neighbours(judge: Judge) -> None:
    assert await judge.send("PUT", PATH, {}, BLOB) == (
        401, "a blob is taken from a registered hotkey only: sign the request\n",
    )  # fmt: skip
    assert await judge.put(BLOB, EVE) == (
        403, f"hotkey 0x{EVE.hotkey.hex()} is not registered here: register it\n",
    )  # fmt: skip
    assert await judge.put(BLOB, OTHER) == (404, "not revealed\n")  # registered; the payload is another's
    assert judge.store.digests() == set()


async def test_a_request_works_once_for_one_server_and_one_blob(judge: Judge) -> None:
    signed = {**sign(MINER, ALICE.hotkey, "PUT", PATH, DIGEST), RECEIPT: SIGNED}
    for_bob = {**sign(MINER, BOB.hotkey, "PUT", PATH, DIGEST), RECEIPT: SIGNED}
    other = f"/blob/{bytes(32).hex()}"
    assert (await judge.send("PUT", PATH, for_bob, BLOB))[0] == 403
    assert (await judge.send("PUT", other, signed, BLOB))[0] == 401
    assert (await judge.send("GET", PATH, signed))[0] == 401
    assert (await judge.put(BLOB, **{SIGNED_BY: OTHER.hotkey.hex()}))[0] == 401
    assert (await judge.put(BLOB, **{TIMESTAMP: str(int(signed[TIMESTAMP]) - 60_000)}))[0] == 401
    assert (await judge.put(BLOB, **{TIMESTAMP: str(int(signed[TIMESTAMP]) + 60_000)}))[0] == 401
    assert (await judge.put(BLOB, **{NONCE: "00" * 16}))[0] == 401
    assert (await judge.put(BLOB, **{NONCE: "00"}))[0] == 400
    assert judge.store.digests() == set()
    assert await judge.send("PUT", PATH, signed, BLOB) == (200, f"blob 0x{DIGEST.hex()} is kept here\n")
    assert await judge.send("PUT", PATH, signed, BLOB) == (
        401, "this request was made before: sign a new one with another nonce\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "changed", "status", "said"),
    [
        (BLOB[:-1] + b"x", {}, 422, "the 10240 bytes hash to 0x"),
        (BLOB + b"x", {}, 413, "10241 bytes are announced, 10240 were revealed"),
        (BLOB[:-1], {}, 400, "10239 bytes are announced, 10240 were revealed"),
        (gzip.compress(BLOB), {"Content-Encoding": "gzip"}, 415, "blobs are taken as they are"),
    ],
)
async def test_wrong_bytes_are_not_kept(
    judge: Judge, body: bytes, changed: dict[str, str], status: int, said: str
) -> None:
    answered, reason = await judge.put(body, **changed)
    assert (answered, reason[: len(said)]) == (status, said)
    assert not [path for path in judge.store.path(DIGEST).parents[1].rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no Assay-Receipt came with it"),
        ("", "Assay-Receipt is not 264 lower-case hex digits"),
        (SIGNED[:-1], "Assay-Receipt is not 264 lower-case hex digits"),
        (SIGNED.upper(), "Assay-Receipt is not 264 lower-case hex digits"),
        (SIGNED[:-1] + "g", "Assay-Receipt is not 264 lower-case hex digits"),
        (receipt(MINER, BLOB[:-1]), "the receipt is for 0x"),
        (receipt(OTHER, BLOB), "the receipt is not signed by its miner for round 1"),
        (receipt(MINER, BLOB, number=2), "the receipt is not signed by its miner for round 1"),
    ],
)
async def test_nothing_is_taken_without_its_miners_receipt(judge: Judge, text: str | None, said: str) -> None:
    headers = sign(MINER, ALICE.hotkey, "PUT", PATH, DIGEST)
    status, reason = await judge.send(
        "PUT", PATH, headers if text is None else {**headers, RECEIPT: text}, BLOB
    )
    assert (status, reason[: len(said)]) == (400, said)
    assert (judge.heard, judge.store.digests(), judge.traffic.received) == ([], set(), 0)


async def test_a_receipt_for_other_bytes_is_heard_and_the_blob_refused(judge: Judge) -> None:
    other = b"other bytes"
    status, reason = await judge.put(BLOB, **{RECEIPT: receipt(MINER, other, digest=DIGEST)})
    assert (status, reason) == (422, f"its miner signs that the bytes hash to 0x{blake2_256(other).hex()}\n")
    ((debt, told),) = judge.heard
    assert (debt, told.digest, told.sent, told.length) == (
        owed(MINER.hotkey), DIGEST, blake2_256(other), len(other),
    )  # fmt: skip
    assert judge.store.digests() == set()


async def test_a_miner_serves_its_receipt_with_the_payload(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    store.put(b"not its own")
    async with (
        serve(store, "127.0.0.1", 0, receipts={DIGEST: SIGNED}.get) as url,
        ClientSession() as session,
    ):
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=5-9"})):
            async with session.request(method, url + PATH, headers=headers) as response:
                assert response.headers[RECEIPT] == SIGNED
        async with session.get(f"{url}/blob/{blake2_256(b'not its own').hex()}") as response:
            assert response.status == 200
            assert RECEIPT not in response.headers


def head(signer: Hotkey, *lines: str) -> bytes:
    signed = {**sign(signer, ALICE.hotkey, "PUT", PATH, DIGEST), RECEIPT: receipt(signer, BLOB)}
    told = [
        f"PUT {PATH} HTTP/1.1",
        "Host: judge",
        *lines,
        *(f"{name}: {text}" for name, text in signed.items()),
    ]
    return "\r\n".join(told).encode() + b"\r\n\r\n"


async def test_a_body_longer_than_it_says_is_cut_at_its_length(judge: Judge) -> None:
    for length in (len(BLOB), 5):
        answer = await judge.raw(head(MINER, f"Content-Length: {length}") + BLOB + b"x" * 100_000)
        assert b"400 Bad Request" in answer
        assert len(answer) < 600  # what was sent is not sent back
    assert judge.store.digests() <= {DIGEST}
    assert judge.traffic.received <= len(BLOB)


async def test_a_body_without_an_end_is_read_as_far_as_it_may_go(judge: Judge) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"1000\r\n" + bytes(0x1000) + b"\r\n"

    answer = await judge.raw(head(MINER, "Transfer-Encoding: chunked"), rest=endless())
    assert b"413" in answer.partition(b"\r\n")[0]
    assert b"more than the 10240 bytes that were revealed were sent" in answer
    assert judge.traffic.received < 200_000
    assert judge.store.digests() == set()


async def test_a_body_that_stops_or_crawls_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with judging(tmp_path, Limits(chunk_seconds=2, least_rate=1 << 20)) as judge:
        crawling = await judge.raw(head(MINER, f"Content-Length: {len(BLOB)}") + BLOB[:100])
        assert b"100 of 10240 bytes came within 2 s: send faster" in crawling
        reader, writer = await asyncio.open_connection("127.0.0.1", judge.port)
        writer.write(head(MINER, f"Content-Length: {len(BLOB)}") + BLOB[:100])
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert judge.store.digests() == set()
        assert await judge.put(BLOB) == (200, f"blob 0x{DIGEST.hex()} is kept here\n")
        assert caplog.messages == []


async def test_who_promises_much_and_sends_nothing_is_given_up_soon(tmp_path: Path) -> None:
    """A turn and room on the disk are held for as long; the whole blob might take three hours."""
    async with judging(tmp_path, Limits(chunk_seconds=0.2, least_rate=1)) as judge, asyncio.timeout(60):
        silent = await judge.raw(head(MINER, f"Content-Length: {len(BLOB)}"))
        assert b"0 of 10240 bytes came within 0 s: send faster" in silent


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    async with judging(tmp_path, quota=Quota(len(BLOB) - 1)) as judge:
        status, reason = await judge.put(BLOB)
        assert (status, reason.partition(" has ")[0]) == (507, "the quota of 0.00 GiB for blobs")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/blob/..%2f..%2f..%2fetc%2fpasswd", 400),
        ("/blob/../../../etc/passwd", 400),
        ("//etc/passwd", 404),
        (f"/blob/{DIGEST.hex()}/", 400),
        (f"/blob/{DIGEST.hex()}?x=1", 400),
        (f"/blob/{DIGEST.hex()}%00", 400),
        (f"/blob/{DIGEST.hex()[:-1]}\u00e9", 400),
        (f"http://judge/blob/{DIGEST.hex()}", 404),
        ("*", 404),
    ],
)
async def test_no_path_leads_elsewhere(judge: Judge, path: str, status: int) -> None:
    judge.store.put(BLOB)
    request = f"GET {path} HTTP/1.1\r\nHost: judge\r\nConnection: close\r\n\r\n".encode()
    answer = await judge.raw(request)
    assert int(answer.split(b" ")[1]) in (status, 400)
    assert b"root:" not in answer


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ("bytes=0-", 206, BLOB, "bytes 0-10239/10240"),
        ("bytes=10000-", 206, BLOB[10_000:], "bytes 10000-10239/10240"),
        ("bytes=5-9", 206, BLOB[5:10], "bytes 5-9/10240"),
        ("bytes=-7", 206, BLOB[-7:], "bytes 10233-10239/10240"),
        ("bytes=10239-99999", 206, BLOB[-1:], "bytes 10239-10239/10240"),
        ("bytes=10240-", 416, b"Range is not bytes=FIRST-LAST within 10240 bytes\n", None),
        ("bytes=9-5", 416, b"Range is not bytes=FIRST-LAST within 10240 bytes\n", None),
        ("bytes=0-1,3-4", 416, b"Range is not bytes=FIRST-LAST within 10240 bytes\n", None),
        ("lines=1-2", 416, b"Range is not bytes=FIRST-LAST within 10240 bytes\n", None),
    ],
)
async def test_parts_are_served(judge: Judge, asked: str, status: int, body: bytes, told: str | None) -> None:
    judge.store.put(BLOB)
    async with (
        ClientSession() as session,
        session.get(judge.url + PATH, headers={"Range": asked}) as response,
    ):
        found = response.status, await response.read(), response.headers.get("Content-Range")
    assert found == (status, body, told)


async def test_a_head_that_is_too_long_or_never_ends_is_cut(tmp_path: Path) -> None:
    async with judging(tmp_path) as judge:
        long = await judge.raw(b"GET /blob/" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n")
        assert long.startswith(b"HTTP/1.0 400")
        many = b"".join(b"X-%d: y\r\n" % number for number in range(200))
        assert (await judge.raw(b"GET / HTTP/1.1\r\n" + many + b"\r\n")).startswith(b"HTTP/1.0 400")

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"X: y\r\n"
            await asyncio.sleep(0.02)

    async with judging(tmp_path, Limits(head_seconds=0.3)) as judge:
        assert await judge.raw(b"GET / HTTP/1.1\r\n", rest=drip()) == b""


async def test_a_thousand_connections_do_not_keep_a_miner_out(tmp_path: Path) -> None:
    async with judging(tmp_path, Limits(connections=64)) as judge, AsyncExitStack() as opened:
        for _ in range(1_000):
            _, writer = await asyncio.open_connection("127.0.0.1", judge.port)
            opened.callback(writer.close)
            writer.write(b"GET /blob/")
        assert await judge.put(BLOB) == (200, f"blob 0x{DIGEST.hex()} is kept here\n")
        async with BlobClient(signer=MINER) as blobs:
            assert await blobs.fetch([Source(judge.url, ALICE.hotkey)], DIGEST, len(BLOB)) == BLOB


async def hold(judge: Judge, signer: Hotkey, opened: AsyncExitStack) -> asyncio.StreamReader:
    """Open a connection that stays, on which a hotkey has asked once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", judge.port)
    opened.callback(writer.close)
    lines = "".join(f"{name}: {text}\r\n" for name, text in sign(signer, ALICE.hotkey, "GET", PATH).items())
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: judge\r\n{lines}\r\n".encode())
    with suppress(ConnectionError):
        await reader.readline()
    return reader


async def test_one_hotkey_cannot_hold_all_connections(tmp_path: Path) -> None:
    async with (
        judging(tmp_path, Limits(connections=8, connections_per_signer=2)) as judge,
        AsyncExitStack() as opened,
    ):
        for _ in range(8):
            await hold(judge, OTHER, opened)
        assert await judge.put(BLOB) == (200, f"blob 0x{DIGEST.hex()} is kept here\n")


async def test_miners_together_cannot_shut_a_server_and_a_judge_stays_connected(tmp_path: Path) -> None:
    async with (
        judging(tmp_path, Limits(connections=8, connections_per_signer=8)) as judge,
        AsyncExitStack() as opened,
    ):
        kept = await hold(judge, ALICE, opened)
        for _ in range(20):
            await hold(judge, OTHER, opened)
        assert await judge.put(BLOB) == (200, f"blob 0x{DIGEST.hex()} is kept here\n")
        assert b"no blob" in await kept.readuntil(b" here\n")
        assert not kept.at_eof()


async def test_strangers_share_a_small_part_and_registered_callers_have_the_rest(tmp_path: Path) -> None:
    big = bytes(1 << 20)
    async with (
        judging(tmp_path, Limits(stranger_rate=1, address_transfers=2)) as judge,
        AsyncExitStack() as opened,
    ):
        digest = judge.store.put(big)
        request = f"GET /blob/{digest.hex()} HTTP/1.1\r\nHost: judge\r\n\r\n".encode()
        heads = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", judge.port)
            opened.callback(writer.close)
            writer.write(request)
            heads.append(await reader.readline())
        assert heads == [b"HTTP/1.1 200 OK\r\n"] * 2 + [b"HTTP/1.1 429 Too Many Requests\r\n"]
        async with BlobClient(signer=MINER) as blobs:
            assert await blobs.fetch([Source(judge.url, ALICE.hotkey)], digest, len(big)) == big


async def test_a_reader_that_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    async with judging(tmp_path, Limits(chunk_seconds=1, address_transfers=1)) as judge:
        path = f"/blob/{judge.store.put(bytes(32 << 20)).hex()}"
        reader, writer = await asyncio.open_connection("127.0.0.1", judge.port, limit=1)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: judge\r\n\r\n".encode())
        assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
        async with asyncio.timeout(20):
            while (await judge.send("GET", path, {"Range": "bytes=0-0"}))[0] != 206:
                pass  # its transfer runs: 429
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(32 << 20)
        writer.close()
        assert judge.traffic.sent < 32 << 20


async def crawl(reader: asyncio.StreamReader) -> None:
    """Take each chunk in time, and never all of it."""
    async with asyncio.timeout(20):
        while True:
            await reader.readexactly(1 << 16)
            await asyncio.sleep(0.02)


async def test_a_reader_that_crawls_is_cut_off(tmp_path: Path) -> None:
    async with judging(tmp_path, Limits(chunk_seconds=0.3, least_rate=64 << 20)) as judge:
        path = f"/blob/{judge.store.put(bytes(32 << 20)).hex()}"
        reader, writer = await asyncio.open_connection("127.0.0.1", judge.port, limit=1 << 16)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: judge\r\n\r\n".encode())
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await crawl(reader)
        writer.close()


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/64"),
        (("::1", 1, 0, 0), "::1"),
        (None, ""),
    ],
)
def test_one_host_is_one_address(peer: tuple[object, ...] | None, counted: str) -> None:
    class Ends(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peer

    assert address_of(Ends()) == counted


async def test_only_three_methods_are_known(judge: Judge) -> None:
    for method in ("POST", "DELETE", "OPTIONS", "TRACE"):
        assert (await judge.send(method, PATH, {}))[0] == 405
