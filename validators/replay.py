"""A miner's round trained once more: does what it sent come out of what it was assigned?

    audit(drawn, before) -> Finding        `before` is the round whose payload the miner revealed last

The drawn round is trained from the model, the text and the error feedback it started with. The error feedback
is what nobody but the miner has, so the round before is trained as well, and must leave what the miner says.
"""
# Reads top to bottom: audit -> _audit_both -> agreement.

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miners.compressor import added_up, fading_ppm
from miners.model import Tokens, Trained
from miners.parameters import PPM, TrainingParameters
from miners.payload import MalformedPayload, Payload, compress, decode, shape_of
from miners.weights import Floats, MasterWeights

LEVEL_FACTOR = 1.1
"""A level may be so much larger or smaller than the replay's. Threshold: a level is the mean of many values;
honest ones were within 1.02 across precisions, a learning rate of 1.2 moves all of them by more than this."""
MOST_SIZE = 1.02
"""A payload's norm may be so many times the replay's. Threshold: honest ones were within 1.0004 across
precisions; whoever scales up all of its levels by less than `LEVEL_FACTOR` is paid for it otherwise."""
MOST_DRIFT = 0.1
"""Of its own norm: how far an error feedback may be from the replay's. Threshold: see bench/results."""
LONGEST_MEMORY = 2.0
"""An error feedback may have so many times the norm of all that beta lets add up. Threshold: updates of later
rounds are smaller or larger than the replayed one, hardly ever twice as large in every round."""
LEAST_NORM = 1e-30

Train = Callable[[MasterWeights, Sequence[Tokens], TrainingParameters], Trained]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One round of one miner: what it was given, and what it sent."""

    parameters: TrainingParameters  # those of the round
    base: MasterWeights
    batches: Sequence[Tokens]  # int64 [batch, sequence + 1] each
    blob: bytes  # its payload, as it was revealed
    memory: Floats  # float32 [parameters]: error feedback before compressing

    def payload(self) -> Payload:
        """Return what was sent. Raises: MalformedPayload."""
        return decode(self.blob, shape_of(self.parameters, self.base.root()))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a replay has shown: how much agrees, and what is wrong whatever agrees."""

    overlap_ppm: int  # the lowest of all comparisons
    fault: str = ""  # one line
    drift_ppm: int = 0  # of the error feedback, in parts of its norm

    def passes(self, least_ppm: int) -> bool:
        """Say whether the work was done."""
        return not self.fault and self.overlap_ppm >= least_ppm


FROM_NOWHERE = Finding(0, "it began with error feedback, and revealed nothing that could have left it")


def audit(drawn: Work, before: Work | None, train: Train) -> Finding:
    """Replay a round; `before` is needed where the round began with error feedback.

    Raises: TrainingDiverged, which is no fault of the miner.
    """
    try:
        sent = drawn.payload()
        if not drawn.memory.any():
            total = _total(drawn, drawn.memory, _delta(drawn, train))
            return Finding(agreement(sent, total), _inflated(sent, [total]))
        if before is None:
            return FROM_NOWHERE
        sent_before = before.payload()
    except MalformedPayload as problem:
        return Finding(0, f"its payload is malformed: {problem}")
    if not np.isfinite(drawn.memory).all() or not np.isfinite(before.memory).all():
        return Finding(0, "its error feedback is not finite")
    return _audit_both(drawn, sent, before, sent_before, train)


def _audit_both(drawn: Work, sent: Payload, before: Work, sent_before: Payload, train: Train) -> Finding:
    earlier = _delta(before, train)
    for work in (before, drawn):
        most = longest_memory(earlier, work.parameters.beta_ppm)
        if (norm := _norm(work.memory)) > most:
            return Finding(0, f"its error feedback has norm {norm:.4g}, at most {most:.4g} can be honest")
    total = _total(before, before.memory, earlier)
    overlaps = [agreement(sent_before, total)]
    left = total  # nobody needs it any more
    left[sent_before.indices] -= sent_before.values()
    drift = _norm(drawn.memory - left) / max(_norm(left), LEAST_NORM)
    drift_ppm = round(min(drift, 1_000.0) * PPM)
    if drift > MOST_DRIFT:
        fault = f"its error feedback is {drift:.2f} of its norm away from what the round before leaves"
        return Finding(overlaps[0], fault, drift_ppm)
    later = _delta(drawn, train)
    totals = [_total(drawn, memory, later) for memory in (drawn.memory, left)]
    overlaps += [agreement(sent, each) for each in totals]
    return Finding(min(overlaps), _inflated(sent, totals), drift_ppm)


def longest_memory(delta: Floats, beta_ppm: int) -> float:
    """Return the largest norm that an honest error feedback can have, where updates are like this one."""
    return LONGEST_MEMORY * _norm(delta) * PPM / fading_ppm(beta_ppm)


def agreement(sent: Payload, total: Floats) -> int:
    """Return which part (ppm) of a payload's values a replay would have sent: index, sign and size."""
    own = compress(total, sent.shape)
    at = np.minimum(np.searchsorted(own.indices, sent.indices), len(own.indices) - 1)
    values, chunk, flag = total[sent.indices], sent.chunk_of(), sent.high.astype(np.int64)
    claimed, true = levels_of(sent), levels_of(own)
    agrees = (own.indices[at] == sent.indices) & (np.signbit(values) == sent.negative)
    agrees &= _is_near(claimed[chunk, flag], true[chunk, flag])
    agrees &= (own.high[at] == sent.high) | _is_near(np.abs(values), true.mean(axis=1)[chunk])
    return int(agrees.sum()) * PPM // len(agrees)


def _inflated(sent: Payload, totals: Sequence[Floats]) -> str:
    """Say so where a payload is larger than what a replay would have sent, of all that it comes to.

    Of the error feedback that the round before leaves, too: else a larger one would make it larger.
    """
    least = min(_norm(compress(total, sent.shape).values()) for total in totals)
    times = _norm(sent.values()) / max(least, LEAST_NORM)
    return f"its values are {times:.3f} times as large as a replay's" if times > MOST_SIZE else ""


def levels_of(payload: Payload) -> Floats:
    """Return low and high level of every chunk, float32 [chunks, 2]."""
    levels: Floats = (payload.levels.astype(np.uint32) << 16).view(np.float32)
    return levels


def _is_near(one: Floats, other: Floats) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = (one <= other * LEVEL_FACTOR) & (other <= one * LEVEL_FACTOR)
    return near


def _delta(work: Work, train: Train) -> Floats:
    return train(work.base, work.batches, work.parameters).delta


def _total(work: Work, memory: Floats, delta: Floats) -> Floats:
    """Return what the miner compressed."""
    return added_up(memory, delta, work.parameters.beta_ppm)


def _norm(vector: Floats) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))
