"""How far each payload points where the others point: what a miner is paid for when there are enough of them.

    alignments(row, payloads, norm_clip_ppm) -> ppm by uid
        <w_i, mean of the others> / <mean, mean>        the means are over those that pass the gate

Honest work on other text agrees where it matters, so the number grows with the work done, and noise agrees
with nothing. Who copies or opposes others is found elsewhere: by overlap, by the loss, by replay.

In the means each norm is cut to the median norm, as in the aggregate: nobody outweighs the others. What is
held against them, w_i, is cut to 2.25 times that, so that who works more than the median is paid for it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from miners.aggregate import clip_factor, median_square, norm_squared
from miners.parameters import PPM
from miners.payload import Payload
from runtime.primitives.commitments import Score
from validators.scorebook import counted, is_aligned

MOST = 2**31 - 1
"""An i32 holds it."""
OWN_CLIP_PPM = 2_250_000
"""Of the cut of the means: where a payload's own part is cut. Threshold: who does all its work has 2.1 to 2.2
times the norm of who does half of it (bench/effort.py), and is to be paid for that. A scaled update fails its
replay, which costs bond and unvested pay; at one replay in twenty, 2.4 times the pay is not worth it once."""

Doubles = NDArray[np.float64]


def alignments(row: Sequence[Score], payloads: Mapping[int, Payload], norm_clip_ppm: int) -> dict[int, int]:
    """Return the alignment (ppm, i32) of each of these payloads, by uid; 0 where too few pass the gate.

    `row` holds the losses of one judge, which say whose payloads pass; all of those must be given. Norms are
    cut to multiples of the median of those that pass. Sums are float64: machines agree to some parts in
    10^12, not to the bit.
    """
    if not is_aligned(row):
        return dict.fromkeys(payloads, 0)
    inside = frozenset(counted(row))
    squares = {uid: norm_squared(payload) for uid, payload in payloads.items()}
    median = median_square([squares[uid] for uid in inside])
    parts = {uid: _cut(payloads[uid], squares[uid], median, norm_clip_ppm) for uid in sorted(inside)}
    total: Doubles = np.zeros(payloads[min(inside)].shape.parameters)
    for uid, part in parts.items():
        total[payloads[uid].indices] += part
    mean_square = float(total @ total) / len(inside) ** 2
    found = dict[int, int]()
    for uid, payload in payloads.items():
        own = _cut(payload, squares[uid], median, norm_clip_ppm * OWN_CLIP_PPM // PPM)
        product, others = float(own @ total[payload.indices]), len(inside)
        if uid in inside:
            product, others = product - float(own @ parts[uid]), others - 1
        found[uid] = _ppm(product / others, mean_square)
    return found


def _cut(payload: Payload, square: int, median: int, multiple_ppm: int) -> Doubles:
    """Return a payload's values with its norm cut to a multiple of the median norm."""
    return payload.values().astype(np.float64) * (clip_factor(square, median, multiple_ppm) / PPM)


def _ppm(product: float, mean_square: float) -> int:
    return 0 if not mean_square else min(max(round(PPM * product / mean_square), -MOST), MOST)
