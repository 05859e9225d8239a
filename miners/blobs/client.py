"""Fetches blobs by hash from whoever has them, and hands them over; trusts nothing but the hash.

    async with BlobClient(signer=chain) as blobs:
        blob = await blobs.fetch(sources, digest, max_bytes)

What a source sent before it was cut is kept (on disk, when it is much), and the next one continues it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from weakref import WeakValueDictionary

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from miners.blobs.addresses import BadAddress, PublicResolver, check
from miners.blobs.download import Download, Partials
from miners.blobs.errors import (
    BlobBusy,
    BlobError,
    BlobMismatch,
    BlobNotServed,
    BlobRefused,
    BlobTruncated,
    BlobUnreachable,
)
from miners.blobs.receipts import HEADER as RECEIPT
from miners.blobs.receipts import BadReceipt, Owed, Witness, ignore
from miners.blobs.server import Traffic
from miners.blobs.signing import Signer, sign

log = logging.getLogger("blobs")

TIMEOUT_SECONDS = 20
"""One blob, from connecting to the first server to the last byte; a round's shortest window is longer."""
PATIENCE_SECONDS = 2.0
"""for one server to answer or send on, while others wait to be asked"""
CONNECT_SECONDS = 5
READ_BYTES = 65_536
AWAY_SECONDS = 30.0
"""a server that did not answer is asked after the others for so long"""
ATTEMPTS = 4
"""Connections to a server, on average, for one blob: one that is cut while it is of use is asked again"""
MAX_SOURCES = 8
"""Servers asked for one blob before giving up."""
SHARE = 0.5
"""Of the time left: a server that would take longer is left for the next"""
PROGRESS_SECONDS = 5.0
"""between two lines about a long download"""
MUCH = 1 << 20
"""bytes; a download of so many has a line that says how fast it was"""
REASON_BYTES = 300
"""of a server's refusal that are read"""
BUSY = (429, 503)
"""What a server says to one who asks too much at a time."""
NOT_FOR_US = (401, 403)
"""What a server says to a signature it does not know how to take; it may still serve strangers."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a blob may be had; without the server's hotkey a request to it cannot be signed.

    From who owes a receipt, nothing is taken without one.
    """

    url: str
    hotkey: bytes | None = None
    owed: Owed | None = None


class BlobClient:
    """Fetches and pushes blobs. Use as `async with BlobClient() as blobs`."""

    def __init__(
        self,
        timeout: float = TIMEOUT_SECONDS,
        signer: Signer | None = None,
        partials: Path | None = None,
        public_only: bool = False,
        patience: float = PATIENCE_SECONDS,
        witness: Witness = ignore,
    ) -> None:
        """`public_only` refuses addresses of this machine and its networks; live chains want that.

        `witness` hears the receipts of those who owe them.
        """
        self._timeout = timeout
        self._signer = signer
        self._partials = Partials(partials)
        self._public_only = public_only
        self._patience = patience
        self._witness = witness
        self._session: ClientSession | None = None
        self._away: dict[str, float] = {}  # server: until when it is asked last, in time.monotonic()
        self._fetching: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self.traffic = Traffic()

    async def __aenter__(self) -> "BlobClient":
        self._partials.clean()
        self._session = ClientSession(
            connector=TCPConnector(resolver=PublicResolver() if self._public_only else None),
            timeout=ClientTimeout(total=None, connect=min(CONNECT_SECONDS, self._timeout)),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, sources: Sequence[Source], digest: bytes, max_bytes: int) -> bytes:
        """Return the blob, put together from the servers that have it: in this order, those away lately last.

        Raises: BlobError of the first server that sent wrong bytes, else of the last one asked.
        """
        if not sources:
            raise BlobUnreachable(digest, "nowhere", "nobody has announced an address for it")
        lock = self._fetching.setdefault(digest, asyncio.Lock())
        failures: list[BlobError] = []
        try:
            async with asyncio.timeout(self._timeout), lock:
                return await self._gather(self._in_order(sources), digest, max_bytes, failures)
        except TimeoutError as problem:
            late = BlobUnreachable(digest, sources[0].url, f"no answer within {self._timeout:g} s")
            raise _worst([*failures, late]) from problem

    async def push(self, target: Source, digest: bytes, blob: bytes, receipt: str | None = None) -> None:
        """Hand a blob over with its miner's receipt; when this returns, the server has it on its disk.

        Raises: BlobRefused with the server's reason, BlobUnreachable.
        """
        assert self._signer is not None, "only a hotkey can push"
        assert target.hotkey is not None, "a push is signed for somebody"
        headers = sign(self._signer, target.hotkey, "PUT", _path(digest), digest)
        if receipt is not None:
            headers[RECEIPT] = receipt
        try:
            async with asyncio.timeout(self._timeout):
                check(target.url, self._public_only)
                async with self._open().put(
                    _base(target) + _path(digest), data=blob, headers=headers,
                    allow_redirects=False, expect100=len(blob) > READ_BYTES,
                ) as response:  # fmt: skip
                    if response.status != 200:
                        reason = await _reason(response)
                        raise BlobRefused(digest, target.url, response.status, reason)
        except TimeoutError as problem:
            raise BlobUnreachable(digest, target.url, f"no answer within {self._timeout:g} s") from problem
        except (ClientError, OSError, ValueError) as problem:
            raise BlobUnreachable(digest, target.url, _named(problem)) from problem
        self.traffic.sent += len(blob)

    def _in_order(self, sources: Sequence[Source]) -> list[Source]:
        """Return whom to ask: a server that did not answer a moment ago costs patience, so it comes last."""
        now = time.monotonic()
        self._away = {url: until for url, until in self._away.items() if until > now}
        return sorted(sources, key=lambda each: each.url in self._away)[:MAX_SOURCES]

    async def _gather(
        self, sources: list[Source], digest: bytes, max_bytes: int, failures: list[BlobError]
    ) -> bytes:
        download = await asyncio.to_thread(Download, digest, max_bytes, self._partials)  # reads its part
        until = asyncio.get_running_loop().time() + self._timeout
        waiting, attempts = deque(sources), ATTEMPTS * len(sources)
        try:
            while waiting and attempts:
                attempts, source = attempts - 1, waiting.popleft()
                before = len(download)
                try:
                    await self._continue(download, source, until if waiting else None)
                    return download.whole(_base(source))
                except BlobMismatch as failure:
                    failures.append(failure)
                    waiting.extend(each for each in sources if _base(each) in download.suspects)
                except BlobError as failure:
                    failures.append(failure)
                    if len(download) > before:
                        waiting.append(source)  # it was of use
                    elif isinstance(failure, BlobUnreachable) and not isinstance(failure, BlobNotServed):
                        self._away[source.url] = time.monotonic() + AWAY_SECONDS
        finally:
            download.close()
        raise _worst(failures)

    async def _continue(self, download: Download, source: Source, until: float | None) -> None:
        """Have a server send what is missing, for as long as it is worth it where others wait."""
        url, digest = _base(source), download.digest
        try:
            check(url, self._public_only)
            hotkeys = [source.hotkey, None] if source.hotkey is not None and self._signer else [None]
            for hotkey in hotkeys:
                if await self._ask(download, url, hotkey, until, source.owed):
                    return
            raise BlobUnreachable(digest, url, "serves neither signed requests nor strangers")
        except TimeoutError as problem:
            raise BlobUnreachable(digest, url, "no answer in time") from problem
        except (ClientError, OSError, ValueError) as problem:
            raise BlobUnreachable(digest, url, _named(problem)) from problem

    async def _ask(
        self, download: Download, url: str, hotkey: bytes | None, until: float | None, owed: Owed | None
    ) -> bool:
        """Ask once; say no when the server does not take this signature."""
        path = _path(download.digest)
        download.prepare(url)
        headers = sign(self._signer, hotkey, "GET", path) if self._signer and hotkey else {}
        if len(download):
            headers["Range"] = f"bytes={len(download)}-"
        request = self._open().get(url + path, headers=headers, allow_redirects=False)
        response = await (asyncio.wait_for(request, self._patience) if until else request)
        async with response:
            if response.status in NOT_FOR_US:
                log.info("%s does not take our request: %s", url, await _reason(response))
                return False
            if response.status == 416 and len(download):  # what we hold is longer than the blob
                download.reset()
                return await self._ask(download, url, hotkey, until, owed)
            if response.status not in (200, 206):
                kind = BlobBusy if response.status in BUSY else BlobNotServed
                raise kind(download.digest, url, f"answered {response.status}")
            if owed is not None:
                self._check_receipt(response.headers.get(RECEIPT), download.digest, url, owed)
            download.begin(url, response.status, response.content_length, response.headers)
            await self._read(download, response, url, until)
        return True

    def _check_receipt(self, text: str | None, digest: bytes, url: str, owed: Owed) -> None:
        """Refuse bytes whose miner has not signed that they are the blob.

        Raises: BlobNotServed, BlobMismatch.
        """
        try:
            receipt = owed.read(text, digest)
        except BadReceipt as problem:
            raise BlobNotServed(digest, url, str(problem)) from problem
        self._witness(owed, receipt)
        if receipt.sent != digest:
            signed = f"its miner signs that the bytes hash to 0x{receipt.sent.hex()[:8]}…"
            raise BlobMismatch(digest, url, signed)

    async def _read(
        self, download: Download, response: ClientResponse, url: str, until: float | None
    ) -> None:
        loop = asyncio.get_running_loop()
        began, before, told = loop.time(), len(download), time.monotonic()
        try:
            while True:
                reading = response.content.read(READ_BYTES)
                chunk = await (asyncio.wait_for(reading, self._patience) if until else reading)
                if not chunk:
                    break
                download.add(chunk, url)
                self.traffic.received += len(chunk)
                taken = loop.time() - began
                speed = (len(download) - before) / max(taken, 1e-6)
                needed = download.missing / max(speed, 1e-6)  # seconds
                if until and taken > self._patience and needed > SHARE * (until - loop.time()):
                    raise BlobTruncated(download.digest, url, f"sends {speed:.0f} bytes per second: too slow")
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    log.info("⬇ %s: %s", url, download.progress(speed))
        except ClientError as problem:
            raise BlobTruncated(download.digest, url, f"stopped after {download.so_far}") from problem
        if len(download) - before >= MUCH:
            log.info("⬇ %s: %s", url, download.progress((len(download) - before) / (loop.time() - began)))

    def _open(self) -> ClientSession:
        assert self._session is not None, "BlobClient is used outside of `async with`"
        return self._session


def _base(source: Source) -> str:
    return source.url.rstrip("/")


def _path(digest: bytes) -> str:
    return f"/blob/{digest.hex()}"


def _worst(failures: list[BlobError]) -> BlobError:
    """Return the failure that says most: of a server that answered wrongly, else the last."""
    return next((one for one in failures if not isinstance(one, BlobUnreachable)), failures[-1])


def _named(problem: Exception) -> str:
    if isinstance(problem, ClientConnectorError) and isinstance(problem.os_error, BadAddress):
        problem = problem.os_error
    text = " ".join(str(problem).split())[:REASON_BYTES]
    return text if isinstance(problem, BadAddress) else f"{type(problem).__name__}: {text}"


async def _reason(response: ClientResponse) -> str:
    """Return the first line of a refusal, as far as it is text."""
    raw = await response.content.read(REASON_BYTES)
    line = raw.decode(errors="replace").partition("\n")[0]
    return "".join(each for each in line if each.isprintable()) or "no reason given"
