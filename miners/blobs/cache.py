"""Blobs on disk that can be had again from where they came: those used least recently make room."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from miners.blobs.errors import StoreFull
from miners.blobs.store import GIB, BlobStore, Quota

log = logging.getLogger("blobs")

CACHE_BYTES = 4 * GIB
"""A worker's shards of text; whoever names a new data set every round does not fill its disk."""
FREED_SHARE = 8
"""One part in so many is freed at a time: looking through the directory takes a while."""


class Cache:
    """Blobs below one directory, as far as they fit."""

    def __init__(self, directory: Path, most: int = CACHE_BYTES) -> None:
        """`most` is in bytes."""
        self._directory = directory
        self._quota = Quota(most, self._make_room)
        self._store = BlobStore(directory, self._quota)

    def get(self, digest: bytes) -> bytes | None:
        """Return a blob that is here, and note that it was of use."""
        blob = self._store.get(digest)
        if blob is not None:
            with suppress(OSError):
                os.utime(self._store.path(digest))
        return blob

    def put(self, blob: bytes) -> None:
        """Store a blob; one that is not taken is said, and fetched again next time."""
        try:
            self._store.put(blob)
        except StoreFull:  # not the quota of payloads, which has a flag
            log.warning(
                "a blob of %d bytes is not kept in %s, which takes %.2f GiB in all, and is fetched every "
                "time: its provider has to cut smaller ones",
                len(blob), self._directory, self._quota.most / GIB,
            )  # fmt: skip
        except OSError as problem:
            log.warning(
                "a blob is not kept in %s (%s), and is fetched every time: make room on that disk",
                self._directory, problem.strerror or problem,
            )  # fmt: skip

    def _make_room(self) -> bool:
        """Delete what was used least recently; say whether there was anything."""
        aged = sorted(
            (self._store.path(digest).stat().st_mtime_ns, digest) for digest in self._store.digests()
        )
        enough = self._quota.most - self._quota.most // FREED_SHARE
        for _, digest in aged:
            self._store.remove(digest)
            if self._quota.used <= enough:
                break
        return bool(aged)
