"""Serves blobs by hash, and takes them from those who have to hand them over.

    GET, HEAD /blob/<blake2b-256 of the bytes, 64 hex digits>    anybody; ranges, so that a cut costs little
    PUT       /blob/<…>                                          signed; 200 means that it survives a crash

Every refusal is one line of text: what, why, what to do.
"""

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from aiohttp import web

from chain.common.http_door import Door, address_of
from miners.blobs.errors import StoreFull
from miners.blobs.limits import Limits, Rates, Turns
from miners.blobs.receipts import HEADER as RECEIPT
from miners.blobs.receipts import BadReceipt, Owed, Witness, ignore
from miners.blobs.signing import BadRequest, Claim, Doorman, read
from miners.blobs.store import BlobStore, Unfinished

log = logging.getLogger("blobs")

PATH = re.compile(r"/blob/([0-9a-f]{64})")
CHUNK = 1 << 16
"""bytes read or written at once"""
DISK_THREADS = 4
CLOSE_SECONDS = 1.0
"""for transfers that run when the server stops"""
HEADERS = {
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Accept-Ranges": "bytes",
    "Cache-Control": "public, max-age=31536000, immutable",
}

T = TypeVar("T")


class Library(Protocol):
    """What is served."""

    def find(self, digest: bytes) -> Path | None:
        """Return the file of a blob that is here."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """A library, and the turns and rates of those who read from it; one may be for judges only."""

    library: Library
    turns: Turns
    rates: Rates
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """A blob that a server takes: how many bytes it has, where it goes, and whose receipt comes with it."""

    length: int
    store: BlobStore
    owed: Owed


class Callers(Protocol):
    """Who is registered, and what they may hand over."""

    async def stake(self, hotkey: bytes) -> int | None:
        """Return what a caller's turn is worth; None for one that is not registered."""
        ...

    async def expects(self, hotkey: bytes, digest: bytes) -> Expected:
        """Return what is known of a blob that a caller wants to hand over.

        Raises: BadRequest when it is not taken from this caller.
        """
        ...


@dataclass(frozen=True, slots=True)
class Guard:
    """How a server knows its callers, and who hears the receipts that come with blobs."""

    doorman: Doorman
    callers: Callers
    witness: Witness = ignore


@dataclass(slots=True)
class Traffic:
    """Bytes of blobs that passed, for those who measure."""

    received: int = 0
    sent: int = 0


@asynccontextmanager
async def serve(
    library: Library,
    host: str,
    port: int,
    guard: Guard | None = None,
    limits: Limits | None = None,
    traffic: Traffic | None = None,
    receipts: Callable[[bytes], str | None] = lambda digest: None,
    private: Library | None = None,
) -> AsyncIterator[str]:
    """Serve blobs over HTTP; yields the base URL. Port 0 takes a free one; without a guard all are strangers.

    `receipts` tells what a miner has signed about a blob it serves. What is `private` is for judges, by turns
    and at a rate of its own: it keeps nobody from what is for all.

    Raises: OSError when the port is taken.
    """
    limits = limits or Limits()
    with ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="blobs") as disk:
        server = _Server(library, guard, limits, traffic or Traffic(), disk, receipts, private)
        server.door = Door(server.handle, limits.bounds())
        runner = web.ServerRunner(server.door, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            bound = runner.addresses[0]
            name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            yield f"http://{name}:{bound[1]}"
        finally:
            await runner.cleanup()


@dataclass(slots=True)
class _Server:
    library: Library
    guard: Guard | None
    limits: Limits
    traffic: Traffic
    disk: ThreadPoolExecutor
    receipts: Callable[[bytes], str | None]
    private: Library | None
    door: Door = field(init=False)
    rates: Rates = field(init=False)
    turns: Turns = field(init=False)
    desks: list[Desk] = field(init=False)

    def __post_init__(self) -> None:
        self.rates, self.turns = Rates(self.limits), Turns(self.limits)
        self.desks = [Desk(self.library, self.turns, self.rates)]
        if self.private is not None:
            few = replace(
                self.limits, rate=self.limits.private_rate, transfers=self.limits.private_transfers,
                signer_transfers=self.limits.private_signer_transfers,
            )  # fmt: skip
            self.desks.append(Desk(self.private, Turns(few), Rates(few), is_private=True))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except BadRequest as refused:
            log.debug("%s %s refused: %s", request.method, request.raw_path[:80], refused)
            response = web.Response(status=refused.status, text=f"{refused}\n")
            if refused.status == 405:
                response.headers["Allow"] = "GET, HEAD, PUT"
            if request.can_read_body:
                response.force_close()  # nobody reads what may still come
            return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD", "PUT"):
            raise BadRequest(405, "only GET, HEAD and PUT are served")
        matched = PATH.fullmatch(request.raw_path)
        if matched is None:
            status = 400 if request.raw_path.startswith("/blob/") else 404
            raise BadRequest(status, "only /blob/ and 64 lower-case hex digits are served")
        digest = bytes.fromhex(matched[1])
        claim = read(request.headers)
        if request.method == "PUT":
            return await self._take(request, digest, claim)
        found = ((desk, desk.library.find(digest)) for desk in self.desks)
        desk, path = next(((desk, path) for desk, path in found if path is not None), (None, None))
        signer, stake = await self._caller(request, claim)
        if desk is None or path is None:
            raise BadRequest(404, f"no blob 0x{digest.hex()} here")
        if desk.is_private and not stake:
            raise BadRequest(403, "this is for judges: sign with a hotkey that has a validator permit")
        async with self._turn(request, desk, signer, stake):
            return await self._send(request, path, desk, signer, self.receipts(digest))

    async def _caller(self, request: web.BaseRequest, claim: Claim | None) -> tuple[bytes | None, int]:
        """Return who asks to read, and what its turn is worth; None is one who is a stranger here.

        Raises: BadRequest.
        """
        if claim is None or self.guard is None:
            return None, 0
        self.guard.doorman.greet(claim)
        stake = await self.guard.callers.stake(claim.signer)
        if stake is None:
            return None, 0
        self.guard.doorman.admit(claim, request.method, request.raw_path)
        self.door.know(request, claim.signer, stake)
        return claim.signer, stake

    def _turn(
        self, request: web.BaseRequest, desk: Desk, signer: bytes | None, stake: int
    ) -> AbstractAsyncContextManager[None]:
        if signer is None:
            return desk.turns.stranger(address_of(request.transport))
        return desk.turns.signed(signer, stake)

    async def _send(
        self, request: web.BaseRequest, path: Path, desk: Desk, signer: bytes | None, receipt: str | None
    ) -> web.StreamResponse:
        try:
            file = await self._in_thread(_open, path)
        except OSError as problem:
            raise BadRequest(404, f"no blob 0x{path.name} here any more") from problem
        with file:
            size = os.fstat(file.fileno()).st_size
            first, after, is_part = _range_of(request, size)
            response = web.StreamResponse(status=206 if is_part else 200, headers=HEADERS)
            response.content_length = after - first
            if receipt is not None:
                response.headers[RECEIPT] = receipt
            if is_part:
                response.headers["Content-Range"] = f"bytes {first}-{after - 1}/{size}"
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            file.seek(first)
            try:
                async with asyncio.timeout(self._seconds(after - first)):
                    await self._stream(response, file, after - first, desk.rates, signer)
            except (TimeoutError, ConnectionError, OSError) as problem:
                log.debug("a transfer was cut: %s", problem)
                response.force_close()
                if request.transport is not None:
                    request.transport.abort()  # it takes nothing, or too slowly
        return response

    async def _stream(
        self, response: web.StreamResponse, file: BinaryIO, left: int, rates: Rates, signer: bytes | None
    ) -> None:
        """Send so many bytes of a file, at the rate that the caller may have.

        Raises: TimeoutError, ConnectionError, OSError.
        """
        while left:
            chunk: bytes = await self._in_thread(file.read, min(CHUNK, left))
            if not chunk:
                raise OSError("the file has become shorter")
            await rates.take(signer, len(chunk))
            await asyncio.wait_for(response.write(chunk), self.limits.chunk_seconds)
            left -= len(chunk)
            self.traffic.sent += len(chunk)

    def _seconds(self, size: int) -> float:
        """Return how long so many bytes may take."""
        return self.limits.chunk_seconds + size / self.limits.least_rate

    async def _take(self, request: web.BaseRequest, digest: bytes, claim: Claim | None) -> web.Response:
        if self.guard is None:
            raise BadRequest(405, "this server takes no blobs, it only serves them")
        if claim is None:
            raise BadRequest(401, "a blob is taken from a registered hotkey only: sign the request")
        self.guard.doorman.greet(claim)
        stake = await self.guard.callers.stake(claim.signer)
        if stake is None:
            raise BadRequest(403, f"hotkey 0x{claim.signer.hex()} is not registered here: register it")
        self.guard.doorman.admit(claim, "PUT", request.raw_path, digest)
        self.door.know(request, claim.signer, stake)
        expected = await self.guard.callers.expects(claim.signer, digest)
        self._check_receipt(request, digest, expected.owed, self.guard.witness)
        if self.library.find(digest) is not None:
            return _stored(request, digest)
        _check_head(request, expected.length)
        async with self.turns.signed(claim.signer, stake):
            try:
                with expected.store.writing(expected.length) as unfinished:
                    await self._receive(request, digest, expected.length, unfinished, claim.signer)
                    await self._in_thread(unfinished.finish, digest)
            except StoreFull as problem:
                raise BadRequest(507, str(problem)) from problem
            except ConnectionError as problem:
                raise BadRequest(400, "the connection ended before the body") from problem
            except OSError as problem:
                log.error("a blob could not be written: %s", problem)
                raise BadRequest(507, "this server's disk cannot be written: push to another") from problem
        return _stored(request, digest)

    def _check_receipt(self, request: web.BaseRequest, digest: bytes, owed: Owed, witness: Witness) -> None:
        """Refuse a blob whose miner has not signed that it hands over these bytes.

        Raises: BadRequest.
        """
        try:
            receipt = owed.read(request.headers.get(RECEIPT), digest)
        except BadReceipt as problem:
            raise BadRequest(400, f"{problem}: sign what you hand over, as docs/blobs.md says") from problem
        witness(owed, receipt)
        if receipt.sent != digest:
            raise BadRequest(422, f"its miner signs that the bytes hash to 0x{receipt.sent.hex()}")

    async def _receive(
        self, request: web.BaseRequest, digest: bytes, length: int, unfinished: Unfinished, signer: bytes
    ) -> None:
        """Write the body to a file, as far as it is what it must be.

        Raises: BadRequest, OSError.
        """
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        hashed, received = hashlib.blake2b(digest_size=32), 0
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._seconds(0)) as limit:
                while chunk := await request.content.readany():
                    received += len(chunk)
                    limit.reschedule(began + self._seconds(received))  # who stops sending ends there
                    self.traffic.received += len(chunk)
                    if received > length:
                        raise BadRequest(413, f"more than the {length} bytes that were revealed were sent")
                    hashed.update(chunk)
                    await self._in_thread(unfinished.file.write, chunk)
                    await self.rates.take(signer, len(chunk))
        except TimeoutError as problem:
            seconds = self._seconds(received)
            reason = f"{received} of {length} bytes came within {seconds:.0f} s: send faster"
            raise BadRequest(408, reason) from problem
        except web.RequestPayloadError as problem:
            raise BadRequest(400, f"the body ended after {received} of {length} bytes") from problem
        if received != length:
            raise BadRequest(400, f"{received} bytes were sent, {length} were revealed")
        if hashed.digest() != digest:
            raise BadRequest(422, f"the {length} bytes hash to 0x{hashed.hexdigest()}, not to their name")

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.disk, work, *arguments)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _check_head(request: web.BaseRequest, length: int) -> None:
    """Refuse a body by what its head says.

    Raises: BadRequest.
    """
    if "Content-Encoding" in request.headers:
        raise BadRequest(415, "blobs are taken as they are: send no Content-Encoding")
    if request.content_length is not None and request.content_length != length:
        status = 413 if request.content_length > length else 400
        raise BadRequest(status, f"{request.content_length} bytes are announced, {length} were revealed")


def _stored(request: web.BaseRequest, digest: bytes) -> web.Response:
    response = web.Response(text=f"blob 0x{digest.hex()} is kept here\n")
    if not request.content.is_eof():
        response.force_close()
    return response


def _range_of(request: web.BaseRequest, size: int) -> tuple[int, int, bool]:
    """Return first byte, byte after the last, and whether that is a part.

    Raises: BadRequest.
    """
    try:
        asked = request.http_range
    except ValueError as problem:
        raise BadRequest(416, f"Range is not bytes=FIRST-LAST within {size} bytes") from problem
    if asked.start is None and asked.stop is None:
        return 0, size, False
    first = asked.start or 0
    if first < 0:
        first = max(0, size + first)
    after = size if asked.stop is None else min(asked.stop, size)
    if first >= after:
        raise BadRequest(416, f"Range is not bytes=FIRST-LAST within {size} bytes")
    return first, after, True
