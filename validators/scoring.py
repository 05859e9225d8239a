"""From measured losses to integer scores. Floats end here.

With fewer than four payloads the score is the loss drop, cut at zero and shared out to a million; alignment
with the others' updates comes with the replay audits, which are what makes it safe to pay for.
"""

import math
from dataclasses import dataclass

from runtime.primitives.commitments import PPM, Score

MICRO = 1_000_000
"""micro-nats per nat"""
MOST_LOSS = 100.0
"""nats per token; a broken model's loss is written as this"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Loss on the hidden batch without and with one payload, in nats per token."""

    uid: int
    before: float
    after: float


def score(measured: list[Measured]) -> list[Score]:
    """Return each payload's share of all loss removed, in ppm, with the raw measurements."""
    rows = [(one.uid, _micro_nats(one.before), _micro_nats(one.after)) for one in measured]
    drops = [max(0, before - after) for _, before, after in rows]
    total = sum(drops)
    return [
        Score(uid, drop * PPM // total if total else 0, before, after)
        for (uid, before, after), drop in zip(rows, drops, strict=True)
    ]


def _micro_nats(nats: float) -> int:
    """Return a loss as an integer; what is not a number counts as the worst."""
    if not math.isfinite(nats):
        return round(MOST_LOSS * MICRO)
    return round(min(max(nats, 0.0), MOST_LOSS) * MICRO)
