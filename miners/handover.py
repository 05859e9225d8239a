"""What a miner does with a revealed payload besides serving it: it gives every judge a copy.

A judge takes it once it has seen the reveal in a finalised block, so the first answers may be refusals. The
next round does not wait: a judge that is gone costs no miner any time of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, BlobRefused
from miners.promise import Promise, Promises

log = logging.getLogger("blobs")

HANDOVER_SECONDS = 20.0
"""for all judges together; whoever has no copy by then fetches one"""
RETRY_SECONDS = 1.0


class Handover:
    """Hands over what has been revealed last, beside the work on the next round."""

    def __init__(
        self,
        blobs: BlobClient,
        promises: Promises,
        judges: Callable[[], Awaitable[Sequence[Source]]],
        receipts: Callable[[bytes], str | None],
        serving: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`judges` tells who is given a copy, `receipts` what is signed about it, `serving` what is shown."""
        self._blobs = blobs
        self._promises = promises
        self._judges = judges
        self._receipts = receipts
        self._serving = serving
        self._targets: Sequence[Source] = ()
        self._is_due = asyncio.Event()
        self._is_due.set()  # an earlier life of this miner may have left one

    async def look(self) -> None:
        """Find out who the judges are, before there is something to hand over."""
        self._targets = await self._judges()

    def begin(self) -> None:
        """Say that a promise was fulfilled; it overtakes the one before, which judges can fetch."""
        self._is_due.set()

    async def follow(self) -> None:
        """Hand over every payload, for ever; one that a crash interrupts is handed over by the next life."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            found = await asyncio.to_thread(self._promises.due)
            if found is None:
                continue
            handing = asyncio.create_task(self._give(*found))
            newer = asyncio.create_task(self._is_due.wait())
            try:
                await asyncio.wait((handing, newer), return_when=asyncio.FIRST_COMPLETED)
                if handing.done():
                    handing.result()
                    await asyncio.to_thread(self._promises.settle, found[0])
            finally:
                handing.cancel()
                newer.cancel()
                await asyncio.gather(handing, newer, return_exceptions=True)

    async def _give(self, promise: Promise, blob: bytes) -> None:
        targets, digest = self._targets or await self._judges(), bytes.fromhex(promise.digest)
        kept = await hand_over(self._blobs, targets, digest, self._serving(blob), self._receipts(digest))
        log.info("round %05d | %d of %d judges keep a copy", promise.round, kept, len(targets))


async def hand_over(
    blobs: BlobClient,
    judges: Sequence[Source],
    digest: bytes,
    blob: bytes,
    receipt: str | None,
    seconds: float = HANDOVER_SECONDS,
) -> int:
    """Push a payload to every judge and return how many have it on disk."""
    reasons: dict[str, str] = {}
    pushes = [asyncio.create_task(_push(blobs, each, digest, blob, receipt, reasons)) for each in judges]
    if not pushes:
        return 0
    try:
        done, late = await asyncio.wait(pushes, timeout=seconds)
    finally:
        for push in pushes:
            push.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for reason in reasons.values():
        log.warning("a judge has no copy yet: %s", reason)
    return sum(push.result() for push in done)


async def _push(
    blobs: BlobClient,
    judge: Source,
    digest: bytes,
    blob: bytes,
    receipt: str | None,
    reasons: dict[str, str],
) -> bool:
    """Push until the judge takes it; say no when it never will."""
    while True:
        try:
            await blobs.push(judge, digest, blob, receipt)
        except BlobRefused as refused:
            reasons[judge.url] = str(refused)
            if not refused.is_for_now:
                return False
        except BlobError as problem:
            reasons[judge.url] = str(problem)
        else:
            reasons.pop(judge.url, None)
            return True
        await asyncio.sleep(RETRY_SECONDS)
