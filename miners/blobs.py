"""Content-addressed blobs: a store on disk, a server for it, and a client that trusts nothing but the hash.

    GET /blob/<blake2b-256 of the bytes, 64 hex digits>       HEAD answers the length

A blob is served once it is in the store, so a miner puts its payload there only after the reveal.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web

from runtime.primitives.hashing import blake2_256

TIMEOUT_SECONDS = 20
"""One request, from connecting to the last byte; a round's shortest window is longer."""
CONNECT_SECONDS = 5
READ_BYTES = 65_536
MAX_URLS = 8
"""Servers asked for one blob before giving up."""
DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobError(Exception):
    """A blob could not be had; one line says why. The subclass is the kind of failure."""

    def __init__(self, digest: bytes, url: str, reason: str) -> None:
        super().__init__(f"blob 0x{digest.hex()[:8]}… from {url}: {reason}")
        self.digest = digest
        self.url = url


class BlobUnreachable(BlobError):
    """Nobody answered, or the answer was not the blob."""


class BlobOversized(BlobError):
    """The server sends more than may be accepted."""


class BlobTruncated(BlobError):
    """The server stopped before the length it promised."""


class BlobMismatch(BlobError):
    """The bytes do not have the hash they were asked by."""


class BlobStore:
    """A directory of blobs named by their hash. A blob is whole or absent, also after a power cut."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def put(self, blob: bytes) -> bytes:
        """Store a blob and return its digest; when this returns, the blob survives a crash."""
        digest = blake2_256(blob)
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            self._write(path, blob)
        return digest

    def put_all(self, blobs: Iterable[bytes]) -> None:
        """Store many blobs."""
        for blob in blobs:
            self.put(blob)

    def put_as(self, digest: bytes, blob: bytes) -> None:
        """Store bytes under a digest unchecked; `get` will not return them when they do not match."""
        path = self.path(digest)
        path.parent.mkdir(exist_ok=True)
        self._write(path, blob)

    def get(self, digest: bytes) -> bytes | None:
        """Return a blob, or None when it is not here or its file was damaged."""
        try:
            blob = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        return blob if blake2_256(blob) == digest else None

    def path(self, digest: bytes) -> Path:
        """Return where a blob lies."""
        name = digest.hex()
        return self._directory / name[:2] / name

    def _write(self, path: Path, blob: bytes) -> None:
        handle, written = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
        for directory in (path.parent, self._directory):
            _sync_directory(directory)


@asynccontextmanager
async def serve(store: BlobStore, host: str, port: int) -> AsyncIterator[str]:
    """Serve a store over HTTP; yields the base URL. Port 0 takes a free one.

    Raises: OSError when the port is taken.
    """
    runner = web.AppRunner(application(store), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def application(store: BlobStore) -> web.Application:
    """Return the HTTP application of a store."""

    async def get(request: web.Request) -> web.StreamResponse:
        name = request.match_info["digest"]
        if not DIGEST.fullmatch(name):
            raise web.HTTPBadRequest(text="a digest is 64 lower-case hex digits\n")
        path = store.path(bytes.fromhex(name))
        if not path.is_file():
            raise web.HTTPNotFound(text=f"no blob 0x{name} here\n")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    app = web.Application()
    app.router.add_get("/blob/{digest}", get)
    return app


class BlobClient:
    """Fetches blobs by hash. Use as `async with BlobClient() as blobs`."""

    def __init__(self, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = ClientTimeout(total=timeout, connect=min(CONNECT_SECONDS, timeout))
        self._session: ClientSession | None = None

    async def __aenter__(self) -> "BlobClient":
        self._session = ClientSession(timeout=self._timeout, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch(self, urls: Sequence[str], digest: bytes, max_bytes: int) -> bytes:
        """Return the blob from the first server that has it whole.

        Raises: BlobError of the first server that sent wrong bytes, else of the last one asked.
        """
        failures: list[BlobError] = []
        for url in urls[:MAX_URLS]:
            try:
                return await self._fetch(url.rstrip("/"), digest, max_bytes)
            except BlobError as failure:
                failures.append(failure)
        if not failures:
            raise BlobUnreachable(digest, "nowhere", "nobody has announced an address for it")
        raise next((one for one in failures if not isinstance(one, BlobUnreachable)), failures[-1])

    async def _fetch(self, url: str, digest: bytes, max_bytes: int) -> bytes:
        assert self._session is not None, "BlobClient is used outside of `async with`"
        if not url.startswith(("http://", "https://")):
            raise BlobUnreachable(digest, url, "the address is not an http:// or https:// URL")
        try:
            async with self._session.get(f"{url}/blob/{digest.hex()}", allow_redirects=False) as response:
                blob = await _read(response, url, digest, max_bytes)
        except TimeoutError as problem:
            raise BlobUnreachable(digest, url, f"no answer within {self._timeout.total} s") from problem
        except (ClientError, OSError, ValueError) as problem:
            raise BlobUnreachable(digest, url, f"{type(problem).__name__}: {problem}") from problem
        if blake2_256(blob) != digest:
            raise BlobMismatch(
                digest, url, f"the {len(blob)} bytes sent hash to 0x{blake2_256(blob).hex()[:8]}…"
            )
        return blob


async def _read(response: ClientResponse, url: str, digest: bytes, max_bytes: int) -> bytes:
    if response.status != 200:
        raise BlobUnreachable(digest, url, f"answered {response.status}")
    promised = response.content_length
    if promised is not None and promised > max_bytes:
        raise BlobOversized(digest, url, f"{promised} bytes are announced, at most {max_bytes} are accepted")
    blob = bytearray()
    try:
        async for part in response.content.iter_chunked(READ_BYTES):
            blob += part
            if len(blob) > max_bytes:
                raise BlobOversized(digest, url, f"sends more than the {max_bytes} bytes that are accepted")
    except ClientError as problem:
        raise BlobTruncated(digest, url, f"stopped after {len(blob)} of {promised} bytes") from problem
    return bytes(blob)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
