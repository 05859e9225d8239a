"""One blob on its way: what has come so far, who sent which part, and a file that outlives this process."""

import hashlib
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from miners.blobs.errors import BlobMismatch, BlobOversized, BlobTruncated

log = logging.getLogger("blobs")

WORTH_KEEPING = 1 << 18
"""bytes; a shorter blob is fetched again after a crash"""
MOST_PARTIALS = 64
PARTIAL_SECONDS = 3_600
"""A part that nobody has continued for so long is deleted."""
EARLIER = "an earlier run of this program"
MIB = 1 << 20


class Partials:
    """The directory of parts; without one nothing outlives the process."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def clean(self) -> None:
        """Make the directory, and delete parts that are old or too many."""
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self.tidy()

    def tidy(self) -> None:
        """Delete parts that are old, or too many; one that still grows is not kept then.

        Raises: OSError.
        """
        assert self._directory is not None, "there is a directory for parts"
        aged = sorted((path.stat().st_mtime, path) for path in self._directory.iterdir())
        oldest = time.time() - PARTIAL_SECONDS
        for at, (changed, path) in enumerate(reversed(aged)):
            if at >= MOST_PARTIALS or changed < oldest:
                path.unlink(missing_ok=True)

    def path(self, digest: bytes) -> Path | None:
        """Return the file of a part."""
        return self._directory / digest.hex() if self._directory is not None else None


@dataclass(frozen=True, slots=True)
class _Part:
    content: bytearray
    hash: "hashlib.blake2b"
    pieces: list[tuple[int, str]]


class Download:
    """Grows until it is whole; a part that turns out wrong is thrown away and its sender named."""

    def __init__(self, digest: bytes, max_bytes: int, partials: Partials) -> None:
        self.digest = digest
        self._max_bytes = max_bytes
        self._partials = partials
        self._path = partials.path(digest)
        self._file: BinaryIO | None = None
        self._content = bytearray()
        self._hash = hashlib.blake2b(digest_size=32)
        self._pieces: list[tuple[int, str]] = []  # first byte, who sent it and what follows
        self._spoilt: list[tuple[bytes, list[tuple[int, str]]]] = []
        self._aside: _Part | None = None  # what others sent, while somebody sends from the first byte on
        self._promised: int | None = None  # bytes in all
        self.suspects: set[str] = set()  # who may have sent wrong bytes, for a second chance alone
        self._load()

    def __len__(self) -> int:
        return len(self._content)

    @property
    def missing(self) -> int:
        """Bytes that are still to come, as far as anybody has said."""
        return max(0, (self._promised or 0) - len(self))

    @property
    def so_far(self) -> str:
        """What has come, in words."""
        return f"{len(self)} of {self._promised} bytes"

    def progress(self, speed: float) -> str:
        """Return what has come and how fast (bytes per second), in words."""
        of = f" of {self._promised / MIB:.1f}" if self._promised else ""
        return f"0x{self.digest.hex()[:8]}…, {len(self) / MIB:.1f}{of} MiB, {speed / MIB:.1f} MiB/s"

    def prepare(self, url: str) -> None:
        """Get ready to ask a server; once a mixture was spoilt nothing is mixed any more."""
        self._take_back()
        if self._spoilt and any(sender != url for _, sender in self._pieces):
            self.reset()

    def begin(self, url: str, status: int, length: int | None, headers: Mapping[str, str]) -> None:
        """Prepare for what a server is about to send.

        Raises: BlobOversized, BlobTruncated.
        """
        if status == 200:
            self._lay_aside() if len(self) else self.reset()
        if status == 206:
            promised = f"bytes {len(self)}-"
            if not headers.get("Content-Range", "").startswith(promised):
                raise BlobTruncated(self.digest, url, f"sends another part than {promised}")
        self._promised = None if length is None else len(self) + length
        if self._promised is not None and self._promised > self._max_bytes:
            announced = f"{self._promised} bytes are announced, at most {self._max_bytes} are accepted"
            raise BlobOversized(self.digest, url, announced)
        if self._aside is None:
            self._begin_file()

    def add(self, chunk: bytes, url: str) -> None:
        """Take bytes.

        Raises: BlobOversized.
        """
        if len(self) + len(chunk) > self._max_bytes:
            self._give_up()
            most = f"sends more than the {self._max_bytes} bytes that are accepted"
            raise BlobOversized(self.digest, url, most)
        if not self._pieces or self._pieces[-1][1] != url:
            self._pieces.append((len(self), url))
        self._content += chunk
        self._hash.update(chunk)
        if self._file is not None:
            self._write(chunk)
        elif self._aside is not None and len(self) > len(self._aside.content):
            self._aside = None
            if self._path is not None:
                self._path.unlink(missing_ok=True)
            self._begin_file()

    def whole(self, url: str) -> bytes:
        """Return the blob.

        Raises: BlobMismatch; the part is thrown away, and `suspects` are who may have spoilt it.
        """
        found = self._hash.digest()
        if found == self.digest:
            blob = bytes(self._content)
            self.reset()
            self._blame(blob)
            return blob
        size, senders = len(self), list(dict.fromkeys(sender for _, sender in self._pieces))
        is_mixed = len(senders) > 1
        if is_mixed:
            self._spoilt.append((bytes(self._content), self._pieces))
        self.suspects = {sender for sender in senders if is_mixed} - {EARLIER}
        self._give_up()
        by = f" (sent by {', '.join(senders)})" if is_mixed else ""
        raise BlobMismatch(self.digest, url, f"the {size} bytes sent{by} hash to 0x{found.hex()[:8]}…")

    def reset(self) -> None:
        """Begin again, with nothing."""
        self._aside = None
        self._content = bytearray()
        self._hash = hashlib.blake2b(digest_size=32)
        self._pieces = []
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the part where it is."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _lay_aside(self) -> None:
        """Begin again, but keep what is here, in memory and on disk, until the new part is longer."""
        self.close()
        self._aside = _Part(self._content, self._hash, self._pieces)
        self._content, self._hash, self._pieces = bytearray(), hashlib.blake2b(digest_size=32), []

    def _take_back(self) -> None:
        if self._aside is not None:
            aside, self._aside = self._aside, None
            self._content, self._hash, self._pieces = aside.content, aside.hash, aside.pieces

    def _give_up(self) -> None:
        """Throw away what the last server sent, and what it went on from."""
        if self._aside is not None:
            self._take_back()
        else:
            self.reset()

    def _begin_file(self) -> None:
        if self._file is None and self._path is not None and (self._promised or 0) >= WORTH_KEEPING:
            self._write(bytes(self._content))

    def _write(self, content: bytes) -> None:
        """Add to the part on disk, or begin it; a disk that fails costs the part, not the blob."""
        assert self._path is not None, "there is a directory for parts"
        try:
            if self._file is None:
                self._partials.tidy()
                self._file = self._path.open("ab")
                content = content if not self._file.tell() else b""
            self._file.write(content)
            self._file.flush()
        except OSError as problem:
            log.warning("a download cannot be kept in %s: %s", self._path, problem)
            self.close()
            self._path = None

    def _load(self) -> None:
        """Continue where an earlier life of this process was ended."""
        if self._path is None:
            return
        with suppress(FileNotFoundError):
            found = self._path.read_bytes()
            if 0 < len(found) <= self._max_bytes:
                self._content += found
                self._hash.update(found)
                self._pieces.append((0, EARLIER))

    def _blame(self, blob: bytes) -> None:
        """Name who sent what is not in the blob, now that the blob is known."""
        for content, pieces in self._spoilt:
            ends = [start for start, _ in pieces[1:]] + [len(content)]
            for (start, sender), end in zip(pieces, ends, strict=True):
                if content[start:end] != blob[start:end]:
                    log.warning("%s sent wrong bytes of blob 0x%s…", sender, self.digest.hex()[:8])
