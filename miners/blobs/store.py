"""A directory of blobs named by their hash. A blob is whole or absent, also after a power cut."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from miners.blobs.errors import StoreFull
from miners.files import sync_directory
from runtime.primitives.hashing import blake2_256

UNFINISHED = "."
"""Names of files that are being written begin with it; a start removes what a kill left."""
GIB = 1 << 30


class Quota:
    """Disk that several stores share: bytes in use, and at most."""

    def __init__(self, most: int, make_room: Callable[[], bool] = lambda: False) -> None:
        """`most` is in bytes; `make_room` deletes what may go, and says whether it has found something."""
        self.most = most
        self.used = 0
        self.make_room = make_room
        self.lock = threading.RLock()  # held while a count and what it counts change together

    def reserve(self, size: int) -> None:
        """Set so many bytes aside.

        Raises: StoreFull.
        """
        while not self._took(size):
            if size > self.most or not self.make_room():
                raise StoreFull(
                    f"the quota of {self.most / GIB:.2f} GiB for blobs has no room for {size} bytes more "
                    f"({self.used / GIB:.2f} GiB in use): give more disk with --blob-quota"
                )

    def release(self, size: int) -> None:
        """Give so many bytes back."""
        with self.lock:
            self.used -= size

    def _took(self, size: int) -> bool:
        with self.lock:
            if self.used + size > self.most:
                return False
            self.used += size
            return True


class BlobStore:
    """Blobs below one directory."""

    def __init__(self, directory: Path, quota: Quota | None = None) -> None:
        self._directory = directory
        self._quota = quota or Quota(1 << 62)
        directory.mkdir(parents=True, exist_ok=True)
        for path in _files(directory):
            if path.name.startswith(UNFINISHED):
                path.unlink(missing_ok=True)
            elif quota is not None:
                quota.used += path.stat().st_size  # what is there is there

    def put(self, blob: bytes) -> bytes:
        """Store a blob and return its digest; when this returns, the blob survives a crash.

        Raises: StoreFull, OSError.
        """
        digest = blake2_256(blob)
        if self.get(digest) is None:  # not there, or damaged
            self.put_as(digest, blob)
        return digest

    def put_all(self, blobs: Iterable[bytes]) -> None:
        """Store many blobs."""
        for blob in blobs:
            self.put(blob)

    def put_as(self, digest: bytes, blob: bytes) -> None:
        """Store bytes under a digest unchecked; `get` will not return them when they do not match.

        Raises: StoreFull, OSError.
        """
        with self.writing(len(blob)) as unfinished:
            unfinished.file.write(blob)
            unfinished.finish(digest)

    def writing(self, size: int) -> "Unfinished":
        """Return a file for a blob that arrives bit by bit, of at most `size` bytes.

        Raises: StoreFull, OSError.
        """
        return Unfinished(self, self._quota, size)

    def get(self, digest: bytes) -> bytes | None:
        """Return a blob, or None when it is not here or its file was damaged."""
        try:
            blob = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        return blob if blake2_256(blob) == digest else None

    def find(self, digest: bytes) -> Path | None:
        """Return the file of a blob that is here."""
        path = self.path(digest)
        return path if path.is_file() else None

    def digests(self) -> set[bytes]:
        """Return what is here."""
        return {bytes.fromhex(path.name) for path in _files(self._directory) if path.name[:1] != UNFINISHED}

    def move(self, digest: bytes, to: "BlobStore") -> None:
        """Give a blob that is here to another store; no moment finds it in neither."""
        path = self.path(digest)
        size = path.stat().st_size
        to.take(path, digest)
        self._quota.release(size)

    def remove(self, digest: bytes) -> None:
        """Forget a blob that may be here."""
        path = self.path(digest)
        with suppress(FileNotFoundError), self._quota.lock:
            size = path.stat().st_size
            path.unlink()
            self._quota.release(size)

    def path(self, digest: bytes) -> Path:
        """Return where a blob lies."""
        name = digest.hex()
        return self._directory / name[:2] / name

    def take(self, written: Path, digest: bytes) -> None:
        """Make a synced file the blob of this digest; when this returns, it survives a crash."""
        path, size = self.path(digest), written.stat().st_size
        path.parent.mkdir(exist_ok=True)
        with self._quota.lock:  # two that write one blob count it once
            before = path.stat().st_size if path.exists() else 0
            os.replace(written, path)
            self._quota.used += size - before
        for directory in (path.parent, self._directory):
            sync_directory(directory)

    def unfinished(self) -> tuple[int, str]:
        """Return handle and name of a new file for a blob that is not whole yet."""
        return tempfile.mkstemp(dir=self._directory, prefix=UNFINISHED)


class Unfinished:
    """A blob that is being written; it is gone unless it is finished. Use as `with store.writing(size)`."""

    def __init__(self, store: BlobStore, quota: Quota, size: int) -> None:
        self._store = store
        self._quota = quota
        self._size = size  # bytes, at most
        handle, name = store.unfinished()
        try:
            quota.reserve(size)
        except StoreFull:
            os.close(handle)
            os.unlink(name)
            raise
        self._path = Path(name)
        self.file: BinaryIO = os.fdopen(handle, "wb")

    def finish(self, digest: bytes) -> None:
        """Keep what was written under its digest; when this returns, it survives a crash."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._store.take(self._path, digest)

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(self, *problem: object) -> None:
        self.file.close()
        self._quota.release(self._size)
        self._path.unlink(missing_ok=True)


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())
