"""From measured losses to what a judge publishes of them. Floats end here."""

import math
from dataclasses import dataclass

from runtime.primitives.commitments import Score

MICRO = 1_000_000
"""micro-nats per nat"""
MOST_LOSS = 100.0
"""nats per token; a broken model's loss is written as this"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Losses without and with one payload, in nats per token."""

    uid: int
    before: float  # on the hidden batch
    after: float
    own_before: float = 0.0  # on text that the miner was assigned; all 0 where it was not measured
    own_after: float = 0.0

    def entry(self) -> Score:
        """Return the integers that are published, without alignment and score."""
        before, after = micro_nats(self.before), micro_nats(self.after)
        own = micro_nats(self.own_before) - micro_nats(self.own_after)
        has_own = (self.own_before, self.own_after) != (0.0, 0.0)
        own_drop = own - (before - after) if has_own else 0
        return Score(self.uid, 0, before, after, alignment=0, own_drop=own_drop)


def micro_nats(nats: float) -> int:
    """Return a loss as an integer; what is not a number counts as the worst."""
    if not math.isfinite(nats):
        return round(MOST_LOSS * MICRO)
    return round(min(max(nats, 0.0), MOST_LOSS) * MICRO)
