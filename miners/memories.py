"""What a miner keeps for those who audit it: nobody else has its error feedback.

memories/00000007/ab/ab12…    round 7: the error feedback whose hash is `ef_digest` on the trail; the payload

It is there before the commit is on chain, and stays until no audit can ask for it any more; only judges are
given it. An empty error feedback is no file: everybody knows what it is.
"""

import asyncio
import hashlib
import logging
import shutil
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from chain.client import Chain
from miners.blobs.store import BlobStore, Quota

log = logging.getLogger("blobs")

FOLDER = "memories"
SPARE_ROUNDS = 2
"""kept beyond the subnet's audit_window: an audit is drawn near the end of its round, and is asked again"""
MEMORY_ROUNDS = 8
"""An error feedback that is older belongs to a model long gone, whose payloads may be gone, too: who comes
back later begins with an empty one, and any other fails the audit."""


class Memories:
    """The error feedback of the last rounds, and the payloads made with it."""

    def __init__(self, home: Path, quota: Quota | None = None) -> None:
        self._home = home / FOLDER
        self._quota = quota or Quota(1 << 62)
        self._lock = threading.Lock()
        self._home.mkdir(parents=True, exist_ok=True)
        paths = (path for path in self._home.iterdir() if path.name.isdecimal())
        self._rounds = {int(path.name): BlobStore(path, self._quota) for path in paths}

    @property
    def rounds(self) -> list[int]:
        """Return the rounds of which something is here, ascending."""
        return sorted(tuple(self._rounds))

    def find(self, digest: bytes) -> Path | None:
        """Return the file of an error feedback or payload that is here."""
        found = (store.find(digest) for store in tuple(self._rounds.values()))
        return next((path for path in found if path is not None), None)

    def keep(self, number: int, blob: bytes) -> bytes:
        """Keep the bytes of an error feedback or payload, and return their hash; they survive a crash.

        Raises: StoreFull, OSError.
        """
        with self._lock:
            if number not in self._rounds:
                self._rounds[number] = BlobStore(self._home / f"{number:08d}", self._quota)
            return self._rounds[number].put(blob)

    def forget_except(self, wanted: Iterable[int]) -> None:
        """Delete what is here of other rounds."""
        with self._lock:
            for number in set(self._rounds) - set(wanted):
                store = self._rounds.pop(number)
                for digest in store.digests():
                    store.remove(digest)
                shutil.rmtree(self._home / f"{number:08d}")


@cache
def empty_digest(parameters: int) -> bytes:
    """Return the digest of the error feedback that says nothing: so many zeros in float32."""
    hashed, left, zeros = hashlib.blake2b(digest_size=32), 4 * parameters, bytes(1 << 20)
    while left:
        part = min(left, len(zeros))
        hashed.update(memoryview(zeros)[:part])
        left -= part
    return hashed.digest()


def needed(rounds: Iterable[int], revealed: Iterable[int], oldest: int, open_: Iterable[int]) -> set[int]:
    """Return the rounds to keep: from the oldest that may be drawn on, those under audit, what they build on.

    A round builds on the last one before it that was `revealed`.
    """
    kept, sent = set(rounds), sorted(revealed)
    wanted = {each for each in kept if each >= oldest} | (kept & set(open_))
    firsts = {oldest} | wanted
    before = (max((each for each in sent if each < first), default=None) for first in firsts)
    return wanted | {each for each in before if each is not None and each in kept}


async def last_revealed(chain: Chain, netuid: int, miner: bytes, before: int) -> tuple[int, bytes] | None:
    """Return round and digest of the update that a miner revealed last, if it is not too long ago."""
    for number in range(before - 1, max(0, before - 1 - MEMORY_ROUNDS), -1):
        found = await chain.revealed(netuid, number, miner)
        if found is not None:
            return number, found[0]
    return None


async def tidy(memories: Memories, chain: Chain, netuid: int, current: int) -> None:
    """Delete what no audit can ask for any more."""
    window = (await chain.parameters(netuid)).get("audit_window", 0)
    oldest = current - window - SPARE_ROUNDS
    rounds = memories.rounds
    late = [each for each in rounds if each < oldest]
    if not late:
        return
    open_ = [each for each in late if await _is_open(chain, netuid, each)]
    sent = [each for each in rounds if await chain.has_revealed(netuid, each)]
    await asyncio.to_thread(memories.forget_except, needed(rounds, sent, oldest, open_))


async def _is_open(chain: Chain, netuid: int, number: int) -> bool:
    return await chain.query("Verification.Audits", netuid, number, chain.address) is not None
