"""The cheap checks on every payload: is it there, are these the bytes, is it a payload at all.

Addresses and bytes are the miners', so all of them together get so much time and memory, and no more.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from chain.client import Update
from miners.aggregate import aggregate
from miners.blobs.errors import BlobError
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, Payload, decode, shape_of
from miners.replica import Replica
from miners.weights import MasterWeights

log = logging.getLogger("validator")

WHOLE = 65_535
"""The weight of the only payload of an aggregate."""
FETCH_MEMORY = 256 << 20
"""bytes that all fetches together may hold"""
MOST_FETCHES = 64
"""at once"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An update this judge looked at; without a payload it is malformed or a copy, and scores nothing."""

    uid: int
    blob: bytes
    payload: Payload | None

    def applied_to(self, base: MasterWeights, parameters: TrainingParameters) -> MasterWeights:
        """Return the model as if this payload alone entered."""
        return base if self.payload is None else aggregate(base, [(self.payload, WHOLE)], parameters)


async def inspect(
    replica: Replica,
    number: int,
    updates: Sequence[Update],
    parameters: TrainingParameters,
    base: MasterWeights,
    seconds: float,
) -> list[Candidate]:
    """Return what can be judged, by uid; an update that is not served in time is left out: no score.

    The updates come in the order of their commits: the first of equal payloads is the original.
    """
    doors = asyncio.Semaphore(max(1, min(MOST_FETCHES, FETCH_MEMORY // parameters.max_payload_bytes)))
    first: dict[bytes, int | None] = {}
    found, fetching = list[Candidate](), dict[asyncio.Task[Candidate | None], int]()
    for update in updates:
        original = first.setdefault(update.digest, update.uid)
        if update.uid is None:
            continue
        if original != update.uid:
            log.warning("round %05d | uid %d | rejected: a copy of uid %s's", number, update.uid, original)
            found.append(Candidate(update.uid, b"", None))
            continue
        one = _inspect_one(replica, number, update, update.uid, parameters, base, doors)
        fetching[asyncio.create_task(one)] = update.uid
    if fetching:
        found += await _gathered(fetching, number, seconds)
    return sorted(found, key=lambda candidate: candidate.uid)


async def _gathered(
    fetching: dict["asyncio.Task[Candidate | None]", int], number: int, seconds: float
) -> list[Candidate]:
    try:
        done, late = await asyncio.wait(fetching, timeout=seconds)
    finally:
        for task in fetching:
            task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in late:
        log.warning(
            "round %05d | uid %d | no score: not served within %.1f s", number, fetching[task], seconds
        )
    return [candidate for task in done if (candidate := task.result()) is not None]


async def _inspect_one(
    replica: Replica,
    number: int,
    update: Update,
    uid: int,
    parameters: TrainingParameters,
    base: MasterWeights,
    doors: asyncio.Semaphore,
) -> Candidate | None:
    async with doors:
        try:
            blob = await replica.blob(update.miner, update.digest)
        except BlobError as problem:
            log.warning("round %05d | uid %d | no score: %s", number, uid, problem)
            return None
    if len(blob) != update.length:
        log.warning(
            "round %05d | uid %d | rejected: %d bytes, %d revealed", number, uid, len(blob), update.length
        )
        return Candidate(uid, blob, None)
    try:
        payload = await asyncio.to_thread(decode, blob, shape_of(parameters, base.root()))
    except MalformedPayload as problem:
        log.warning("round %05d | uid %d | rejected: %s", number, uid, problem)
        return Candidate(uid, blob, None)
    return Candidate(uid, blob, payload)
