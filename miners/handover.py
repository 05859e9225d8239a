"""What a miner does with a revealed payload besides serving it: it gives every judge a copy.

A judge takes it once it has seen the reveal in a finalised block, so the first answers may be refusals.
"""

import asyncio
import logging
from collections.abc import Sequence

from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, BlobRefused

log = logging.getLogger("blobs")

HANDOVER_SECONDS = 20.0
"""for all judges together; whoever has no copy by then fetches one"""
RETRY_SECONDS = 1.0


async def hand_over(
    blobs: BlobClient,
    judges: Sequence[Source],
    digest: bytes,
    blob: bytes,
    seconds: float = HANDOVER_SECONDS,
) -> int:
    """Push a payload to every judge and return how many have it on disk."""
    reasons: dict[str, str] = {}
    pushes = [asyncio.create_task(_push(blobs, each, digest, blob, reasons)) for each in judges]
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
    blobs: BlobClient, judge: Source, digest: bytes, blob: bytes, reasons: dict[str, str]
) -> bool:
    """Push until the judge takes it; say no when it never will."""
    while True:
        try:
            await blobs.push(judge, digest, blob)
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
