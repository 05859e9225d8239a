"""The cheap checks on every payload: is it there, are these the bytes, is it a payload, and new.

Addresses and bytes are the miners', so all of them together get so much time and memory, and no more.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

from chain.client import Update
from miners.aggregate import aggregate, norm_squared
from miners.blobs.errors import BlobError
from miners.compressor import fading_ppm
from miners.parameters import PPM, TrainingParameters
from miners.payload import MalformedPayload, Payload, PayloadShape, decode, shape_of
from miners.replica import Replica
from miners.weights import MasterWeights
from runtime.primitives.commitments import MAX_WEIGHT
from validators.overlap import Sent, copies

log = logging.getLogger("validator")

FETCH_MEMORY = 256 << 20
"""bytes that all fetches together may hold"""
MOST_FETCHES = 64
"""at once"""
MOST_NORM = 5
"""An update may have so many times the median norm of its round; full work has twice the norm of half.

More where error feedback adds up more, to 1 / (1 - beta): with a beta of 0.95 an honest update had eight
times the norm of one that begins anew after 24 rounds, with 0.8 three times.
"""
LEAST_COMPARED = 4
"""Among fewer updates one miner could make the others' look large."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An update this judge looked at; without a payload it is malformed or a copy, and scores nothing."""

    uid: int
    update: Update
    blob: bytes
    payload: Payload | None

    @property
    def miner(self) -> bytes:
        """The hotkey."""
        return self.update.miner

    def applied_to(self, base: MasterWeights, parameters: TrainingParameters) -> MasterWeights:
        """Return the model as if this payload alone entered."""
        return base if self.payload is None else aggregate(base, [(self.payload, MAX_WEIGHT)], parameters)

    def sent(self, number: int) -> Sent:
        """Return what is remembered of its payload in later rounds."""
        assert self.payload is not None
        place = (number, self.update.commit_height, self.update.commit_index)
        return Sent.of(self.payload, self.miner, place)


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
            found.append(Candidate(update.uid, update, b"", None))
            continue
        one = _inspect_one(replica, number, update, update.uid, parameters, base, doors)
        fetching[asyncio.create_task(one)] = update.uid
    if fetching:
        found += await _gathered(fetching, number, seconds)
    return sorted(found, key=lambda candidate: candidate.uid)


def screened(
    number: int,
    candidates: Sequence[Candidate],
    earlier: Sequence[Sent],
    shape: PayloadShape,
    beacon: bytes,
    beta_ppm: int,
) -> list[Candidate]:
    """Take the payload from those that are far larger than the others', or repeat an earlier one.

    Repeated is what somebody, or their own miner, has committed before.
    """
    return _without_copies(number, _without_giants(number, candidates, beta_ppm), earlier, shape, beacon)


def _without_giants(number: int, candidates: Sequence[Candidate], beta_ppm: int) -> list[Candidate]:
    most = max(MOST_NORM, PPM // fading_ppm(beta_ppm))
    squares = {each.uid: norm_squared(each.payload) for each in candidates if each.payload is not None}
    if len(squares) < LEAST_COMPARED:
        return list(candidates)
    median = sorted(squares.values())[len(squares) // 2]  # the upper one: half of them make nobody a giant
    giants = {uid for uid, square in squares.items() if square > most**2 * median}
    for uid in sorted(giants):
        times = isqrt(squares[uid] // max(1, median))
        log.warning("round %05d | uid %d | rejected: %d times as large as the median", number, uid, times)
    return [replace(each, payload=None) if each.uid in giants else each for each in candidates]


def _without_copies(
    number: int, candidates: Sequence[Candidate], earlier: Sequence[Sent], shape: PayloadShape, beacon: bytes
) -> list[Candidate]:
    able = [each for each in candidates if each.payload is not None]
    ordered = sorted(able, key=lambda each: (each.update.commit_height, each.update.commit_index))
    found = copies([each.sent(number) for each in ordered], earlier, shape, beacon)
    original = {each.uid: copy for each, copy in zip(ordered, found, strict=True) if copy is not None}
    uids = {each.miner: f"uid {each.uid}" for each in able}
    for uid, copy in original.items():
        who = uids.get(copy.original.miner, f"0x{copy.original.miner.hex()[:8]}…")
        log.warning(
            "round %05d | uid %d | rejected: %d %% of its positions are those of %s in round %d",
            number, uid, copy.overlap_ppm // 10_000, who, copy.original.place[0],
        )  # fmt: skip
    return [replace(each, payload=None) if each.uid in original else each for each in candidates]


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
            blob = await replica.blob(
                update.miner, update.digest, parameters.max_payload_bytes, owed_in=number
            )
        except BlobError as problem:
            log.warning("round %05d | uid %d | no score: %s", number, uid, problem)
            return None
    if len(blob) != update.length:
        log.warning(
            "round %05d | uid %d | rejected: %d bytes, %d revealed", number, uid, len(blob), update.length
        )
        return Candidate(uid, update, blob, None)
    try:
        payload = await asyncio.to_thread(decode, blob, shape_of(parameters, base.root()))
    except MalformedPayload as problem:
        log.warning("round %05d | uid %d | rejected: %s", number, uid, problem)
        return Candidate(uid, update, blob, None)
    return Candidate(uid, update, blob, payload)
