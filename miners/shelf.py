"""What one worker keeps: payloads that entered the model, those revealed a few rounds ago, whole models.

blobs/ab/ab12…                  accepted: they are the model's history
recent/00000007/ab/ab12…        revealed in round 7: gone a few rounds later, unless kept
models/00000050-9c41…/          the model after round 50, for those who join
bases/00000000-1e03…/           the model that an adapter belongs to

When the quota is used up, the oldest round of `recent` makes room: what did not enter the model costs a
worker neither its history nor the newest payloads.
"""

import logging
import shutil
import threading
from pathlib import Path

from miners.blobs.store import BlobStore, Quota
from miners.models import Models

log = logging.getLogger("blobs")

KEPT, RECENT, MODELS, BASES = "blobs", "recent", "models", "bases"
RECENT_ROUNDS = 8
"""A payload that did not enter is served for so many rounds after its own, to whoever audits the round."""


class Shelf:
    """All payloads and models of a worker, under one quota."""

    def __init__(self, home: Path, quota: Quota | None = None) -> None:
        self._quota = quota or Quota(1 << 62)
        self._quota.make_room = self._forget_oldest
        self._lock = threading.RLock()  # of those that move and delete; rounds may begin meanwhile
        self._recent = home / RECENT
        self.kept = BlobStore(home / KEPT, self._quota)
        self.models = Models(home / MODELS, self._quota)
        self.bases = Models(home / BASES, self._quota)
        self._recent.mkdir(parents=True, exist_ok=True)
        rounds = (path for path in self._recent.iterdir() if path.name.isdecimal())  # not lost+found
        self._rounds = {int(path.name): BlobStore(path, self._quota) for path in rounds}

    @property
    def used(self) -> int:
        """Bytes on disk."""
        return self._quota.used

    def of(self, number: int) -> BlobStore:
        """Return the store of what was revealed in a round."""
        if number not in self._rounds:
            self._rounds[number] = BlobStore(self._recent / f"{number:08d}", self._quota)
        return self._rounds[number]

    def find(self, digest: bytes) -> Path | None:
        """Return the file of a payload, or of a node of a model, that is here."""
        found = (store.find(digest) for store in self._all())
        payload = next((path for path in found if path is not None), None)
        return payload or self.models.find(digest) or self.bases.find(digest)

    def get(self, digest: bytes) -> bytes | None:
        """Return a payload, or None when it is not here or damaged."""
        found = (store.get(digest) for store in self._all() if store.find(digest) is not None)
        return next((blob for blob in found if blob is not None), None)

    def keep(self, digest: bytes, blob: bytes) -> None:
        """Keep a payload for good.

        Raises: StoreFull, OSError.
        """
        with self._lock:
            for store in tuple(self._rounds.values()):
                if store.get(digest) is not None and self.kept.find(digest) is None:
                    store.move(digest, self.kept)
                store.remove(digest)
            self.kept.put(blob)

    def holds(self, digest: bytes) -> bool:
        """Say whether a payload is kept for good; a damaged file of it is deleted, so that nobody is sent it.

        Raises: OSError.
        """
        with self._lock:
            if self.kept.get(digest) is not None:
                return True
            if self.kept.find(digest) is not None:
                log.warning("payload 0x%s… was damaged on this disk", digest.hex()[:8])
                self.kept.remove(digest)
            return False

    def forget_before(self, number: int) -> None:
        """Delete what was revealed before a round and was not kept."""
        with self._lock:
            for old in [each for each in tuple(self._rounds) if each < number]:
                self._forget(old)

    def _forget_oldest(self) -> bool:
        """Delete the oldest round that is not the newest; say whether there was one."""
        with self._lock:
            oldest, *later = sorted(tuple(self._rounds)) or [0]
            if not later:
                return False
            log.warning("the payloads of round %d make room: give more disk with --blob-quota", oldest)
            self._forget(oldest)
            return True

    def _forget(self, number: int) -> None:
        store = self._rounds.pop(number)
        for digest in store.digests():
            store.remove(digest)
        shutil.rmtree(self._recent / f"{number:08d}")

    def _all(self) -> tuple[BlobStore, ...]:
        return (self.kept, *self._rounds.values())
