"""What a worker notes of each round while it works; `miners/reporter.py` makes a line of it in the end."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from chain.verdicts import Cause, cause_of
from miners.metrics import WorkerMetrics
from runtime.primitives.commitments import Score

log = logging.getLogger("round")

KEPT_ROUNDS = 8
"""pages that are not told yet; a node may be away for a while"""


@dataclass(frozen=True, slots=True)
class Training:
    """How a miner trained: seconds of work, loss in nats per token."""

    tokens: int
    seconds: float
    loss: float

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True)
class Judging:
    """How a judge judged: seconds from the first payload to the last measurement."""

    seconds: float
    scores: tuple[Score, ...]
    unfetched: int

    def rejected(self) -> dict[int, Cause]:
        """Return the uids that got nothing, and why."""
        causes = {
            each.uid: cause_of(each.score, each.loss_before, each.loss_after, each.alignment)
            for each in self.scores
        }
        return {uid: cause for uid, cause in causes.items() if cause is not None}


@dataclass(slots=True)
class Page:
    """One round."""

    training: Training | None = None
    payload_bytes: int | None = None  # of what was revealed
    judging: Judging | None = None
    held_out_loss: float | None = None  # of the model after the round, nats per token
    lost: str = ""  # why this worker's part came to nothing
    is_done: bool = False  # this worker does nothing more in the round


@dataclass(slots=True)
class Diary:
    """The rounds a worker takes part in; numbers go to the metrics at once."""

    metrics: WorkerMetrics
    pages: dict[int, Page] = field(default_factory=dict)
    gone: str = ""  # why this worker has no seat any more, as far as its chain's events were read

    def begin(self, number: int) -> None:
        """Turn to a round."""
        self._page(number)

    def trained(self, number: int, tokens: int, seconds: float, loss: float) -> None:
        """Note a training."""
        done = Training(tokens, seconds, loss)
        self._page(number).training = done
        self.metrics.trained(done.speed, loss)

    def revealed(self, number: int, size: int) -> None:
        """Note that an update of so many bytes is out."""
        self._page(number).payload_bytes = size
        self.metrics.update_ended("revealed")
        self.metrics.published(size)

    def lost(self, number: int, why: object) -> None:
        """Note that a round brings a miner nothing."""
        self.failed(number, why)
        self.metrics.update_ended("lost")

    def failed(self, number: int, why: object) -> None:
        """Note why a worker's part of a round comes to nothing; it is told at once."""
        log.warning("round %05d | lost: %s", number, why)
        self._page(number).lost = str(why)

    def judged(self, number: int, seconds: float, scores: Sequence[Score], unfetched: int) -> None:
        """Note how a round's updates were judged."""
        done = Judging(seconds, tuple(scores), unfetched)
        self._page(number).judging = done
        self.metrics.updates_verified(seconds, [(each.uid, each.score) for each in scores], unfetched)
        for cause in [*done.rejected().values(), *[Cause.Unfetched] * unfetched]:
            self.metrics.rejected(cause)

    def measured(self, number: int, loss: float) -> None:
        """Note the held-out loss of the model after a round."""
        if number in self.pages:
            self.pages[number].held_out_loss = loss
        self.metrics.model_measured(loss)

    def done(self, number: int) -> None:
        """Note that this worker is through with a round."""
        self._page(number).is_done = True

    def _page(self, number: int) -> Page:
        page = self.pages.setdefault(number, Page())
        for old in sorted(self.pages)[:-KEPT_ROUNDS]:
            del self.pages[old]
        return page
