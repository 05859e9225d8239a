"""Who sent what somebody had sent before: by where the values of payloads stand.

    copies(current, earlier, shape, beacon) -> for each of `current` the Copy that it is, or None

Training on other text keeps other values; so payloads that share many positions are one piece of work, and
the later commit is the copy. A miner's own earlier updates count, too: a stale update is no work of this
round. All positions are compared while that is cheap; of more, those of some chunks that the beacon draws
after everybody has revealed.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from miners.parameters import PPM
from miners.payload import Indices, Payload, PayloadShape

COPY_PPM = 400_000
"""An update that shares so much with one committed before is a copy of it, ppm of its positions."""
MOST_USUAL_PPM = 900_000
"""Where updates of a round share much, a copy shares twice as much as is usual; this much is never usual."""
EARLIER_ROUNDS = 3
"""Updates of so many rounds before are compared, too."""
MOST_BITS = 1 << 28
"""Positions that are marked for all payloads together: 32 MiB, and at most 18 ms for each payload."""
LEAST_CHUNKS = 16
"""However many the payloads are: enough to tell a copy from chance."""

Bitmap = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Where the values of an update stand, and when it was committed."""

    miner: bytes
    place: tuple[int, int, int]  # round, height and index of the commit
    indices: NDArray[np.uint32 | np.uint64]  # [values], ascending

    @classmethod
    def of(cls, payload: Payload, miner: bytes, place: tuple[int, int, int]) -> "Sent":
        """Return what is remembered of a payload."""
        kind = np.uint32 if payload.shape.parameters < 1 << 32 else np.uint64
        return cls(miner, place, payload.indices.astype(kind))


@dataclass(frozen=True, slots=True)
class Copy:
    """What an update repeats most of."""

    original: Sent
    overlap_ppm: int  # of its positions


def copies(
    current: Sequence[Sent], earlier: Sequence[Sent], shape: PayloadShape, beacon: bytes
) -> list[Copy | None]:
    """Say what each update of a round repeats, if anything; `current` is in the order of the commits."""
    everyone, first = [*earlier, *current], len(earlier)
    rows = [shares.tolist() for shares in overlaps(everyone, first, shape, beacon)]
    with_all = _with_all([row[first:] for row in rows])
    found = list[Copy | None]()
    for row, shares in zip(rows, with_all, strict=True):
        suspect = [(share, at) for at, share in enumerate(row) if share >= COPY_PPM]
        guilty = [(share, at) for share, at in suspect if at < first or share >= _least(share, shares)]
        share, at = max(guilty, default=(0, 0))
        found.append(Copy(everyone[at], share) if guilty else None)
    return found


def _with_all(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return what each update of a round shares with every other, ascending; given is with earlier ones."""
    found = [list(row) for row in rows]
    for row in rows:
        for at, share in enumerate(row):
            found[at].append(share)
    return [sorted(shares) for shares in found]


def _least(share: int, shares: Sequence[int]) -> int:
    """Return what makes a copy: of a young model all change much the same positions.

    Usual is the upper median of what the update shares with others than the suspected original: noise that
    many of them send shares nothing with anybody, and must not make copies of honest updates.
    """
    middle, own = (len(shares) - 1) // 2, bisect_left(shares, share)
    usual = shares[middle + (middle >= own)] if len(shares) > 1 else 0
    return min(MOST_USUAL_PPM, max(COPY_PPM, 2 * usual))


def overlaps(
    payloads: Sequence[Sent], first: int, shape: PayloadShape, beacon: bytes
) -> Iterator[NDArray[np.int64]]:
    """Yield for each from the `first` on which part (ppm) of its positions each one before it shares."""
    if not payloads:
        return
    chosen = _chunks(shape, len(payloads), beacon)
    marked = np.stack([_bitmap(one, chosen, shape) for one in payloads])
    for at in range(first, len(payloads)):
        shared = np.bitwise_count(marked[:at] & marked[at]).sum(axis=1, dtype=np.int64)
        yield shared * PPM // max(1, int(np.bitwise_count(marked[at]).sum(dtype=np.int64)))


def _chunks(shape: PayloadShape, payloads: int, beacon: bytes) -> Indices:
    """Return which chunks are compared, ascending: all, or so many as the beacon draws."""
    most = max(LEAST_CHUNKS, MOST_BITS // (max(1, payloads) * shape.chunk))
    if shape.chunks <= most:
        return np.arange(shape.chunks, dtype=np.int64)
    lots = np.frombuffer(shake_256(b"assay/overlap/1" + beacon).digest(8 * shape.chunks), "<u8")
    return np.sort(np.argpartition(lots, most)[:most])


def _bitmap(one: Sent, chosen: Indices, shape: PayloadShape) -> Bitmap:
    """Mark where a payload has values, in the chosen chunks alone."""
    slots = np.full(shape.chunks, -1, dtype=np.int64)
    slots[chosen] = np.arange(len(chosen))
    indices = one.indices.astype(np.int64)
    slot = slots[indices // shape.chunk]
    is_seen = slot >= 0
    marks = np.zeros(-(-len(chosen) * shape.chunk // 64) * 64, dtype=np.bool_)
    marks[slot[is_seen] * shape.chunk + indices[is_seen] % shape.chunk] = True
    return np.packbits(marks).view(np.uint64)
