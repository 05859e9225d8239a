"""Turn the accepted payloads into the next model, in integers alone: every order gives the same root.

    aggregate(weights, [(payload, weight)], parameters) -> MasterWeights

Reads top to bottom: aggregate -> clip_factors -> merge -> apply. Source: the chain's protocol of a round.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt

import numpy as np

from miners.parameters import PPM, TrainingParameters
from miners.payload import Payload
from miners.rounding import Int64s, divide_half_even
from miners.weights import FRACTION_BITS, MasterWeights
from runtime.primitives.commitments import MAX_WEIGHT

VALUE_BITS = 30
"""Levels become Q30; a level below 4 then stays below 2^32."""
MAX_PAYLOADS = 4_096
"""2^12 payloads of weight below 2^16 and values below 2^32 keep every sum below 2^60."""

Weighted = tuple[Payload, int]


def aggregate(
    weights: MasterWeights, accepted: Sequence[Weighted], parameters: TrainingParameters
) -> MasterWeights:
    """Return the model after one round; a payload of weight 0 does not enter."""
    entering = [(payload, weight) for payload, weight in accepted if weight]
    _check(entering, len(weights.words))
    if not entering:
        return weights
    factors = clip_factors([payload for payload, _ in entering], parameters.norm_clip_ppm)
    mean = merge(entering, factors, len(weights.words), parameters.support_floor_ppm)
    return apply(weights, mean, parameters.outer_learning_rate_ppm)


def clip_factors(payloads: Sequence[Payload], multiple_ppm: int) -> list[int]:
    """Return the factor (ppm, at most 1) that cuts each norm to a multiple of the median norm."""
    squares = [norm_squared(payload) for payload in payloads]
    median = median_square(squares)
    return [clip_factor(square, median, multiple_ppm) for square in squares]


def median_square(squares: Sequence[int]) -> int:
    """Return the median of squared norms, of an even count the lower one."""
    return sorted(squares)[(len(squares) - 1) // 2]


def clip_factor(square: int, median: int, multiple_ppm: int) -> int:
    """Return the factor (ppm, at most 1) that cuts a norm to a multiple of the median; both are squares."""
    limit = multiple_ppm**2 * median  # ppm^2 of a squared Q30 norm
    return PPM if square == 0 else min(PPM, isqrt(limit // square))


def norm_squared(payload: Payload) -> int:
    """Return the exact squared norm in Q60."""
    levels = q30_levels(payload)
    counts = np.zeros_like(levels)
    np.add.at(counts, (payload.chunk_of(), payload.high.astype(np.int64)), 1)
    pairs = zip(levels.reshape(-1).tolist(), counts.reshape(-1).tolist(), strict=True)
    return sum(count * level * level for level, count in pairs)


def q30_levels(payload: Payload) -> Int64s:
    """Return the levels as Q30 integers [chunks, 2], exactly rounded half to even from bfloat16."""
    bits = payload.levels.astype(np.int64)
    exponent = (bits >> 7) & 0xFF
    mantissa = (bits & 0x7F) + np.where(exponent > 0, 128, 0)
    shift = np.maximum(exponent, 1) - (127 + 7 - VALUE_BITS)  # value = mantissa * 2^shift in Q30
    larger = mantissa << np.maximum(shift, 0)
    smaller = divide_half_even(mantissa, np.int64(1) << np.clip(-shift, 0, VALUE_BITS))
    chosen: Int64s = np.where(shift >= 0, larger, smaller)
    return chosen


def merge(entering: Sequence[Weighted], factors: Sequence[int], parameters: int, floor_ppm: int) -> Int64s:
    """Return the support-floored weighted mean, Q30 int64 [parameters].

    Each parameter divides by the weight of those who sent it, but never by less than a share of all weight:
    so nobody owns a parameter alone.
    """
    total = np.zeros(parameters, dtype=np.int64)
    support = np.zeros(parameters, dtype=np.int64)
    for (payload, weight), factor in zip(entering, factors, strict=True):
        levels = divide_half_even(q30_levels(payload) * factor, PPM)  # below 2^32 * 2^20
        values = levels[payload.chunk_of(), payload.high.astype(np.int64)]
        total[payload.indices] += np.where(payload.negative, -values, values) * weight
        support[payload.indices] += weight
    floor = -(-floor_ppm * sum(weight for _, weight in entering) // PPM)
    return divide_half_even(total, np.maximum(support, max(1, floor)))


def apply(weights: MasterWeights, mean: Int64s, learning_rate_ppm: int) -> MasterWeights:
    """Return weights + rate * mean: Q30 becomes Q24 once, here, and the addition saturates."""
    step = divide_half_even(mean * learning_rate_ppm, PPM << (VALUE_BITS - FRACTION_BITS))
    limits = np.iinfo(np.int32)
    words = np.clip(weights.words.astype(np.int64) + step, limits.min, limits.max).astype(np.int32)
    return replace(weights, words=words)


def _check(entering: Sequence[Weighted], parameters: int) -> None:
    if len(entering) > MAX_PAYLOADS:
        raise ValueError(f"{len(entering)} payloads enter, at most {MAX_PAYLOADS} may")
    for payload, weight in entering:
        if not 0 < weight <= MAX_WEIGHT:
            raise ValueError(f"weight {weight} is not a u16")
        if payload.shape.parameters != parameters:
            raise ValueError(
                f"a payload of {payload.shape.parameters} parameters meets a model of {parameters}"
            )
