"""Alignment of real payloads: exact against a plain model, indifferent to order, silent about noise."""

from functools import cache

import numpy as np

from miners.aggregate import clip_factors
from miners.layout import parameters_of
from miners.parameters import PPM
from miners.payload import Payload, compress, shape_of
from runtime.primitives.commitments import Score
from tests.miners.test_replica import SMALL
from validators.alignment import OWN_CLIP_PPM, alignments

SHAPE = shape_of(SMALL, bytes(32))
COUNT = parameters_of(SMALL.model)
BEFORE = 5_000_000


@cache
def common() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32) / 100


def sent(seed: int, work: float = 1.0, scale: float = 1.0) -> Payload:
    noise = np.random.default_rng(100 + seed).standard_normal(COUNT, dtype=np.float32) / 200
    mixed = (common() * work + noise) * scale
    return compress(mixed.astype(np.float32), SHAPE)


def row(*uids: int, failing: tuple[int, ...] = ()) -> list[Score]:
    return [Score(uid, 0, BEFORE, BEFORE + (BEFORE if uid in failing else -9), 0, 0) for uid in uids]


def dense(payload: Payload, factor: int = PPM) -> np.ndarray:
    vector = np.zeros(COUNT)
    vector[payload.indices] = payload.values().astype(np.float64) * factor / PPM
    return vector


def test_it_is_what_the_formula_says_for_those_inside_and_outside() -> None:
    payloads = {uid: sent(uid, scale=scale) for uid, scale in enumerate((1.1, 1.2, 1.3, 2.4, 9.0, 1.6), 1)}
    found = alignments(row(*range(1, 7), failing=(6,)), payloads, PPM)
    inside = [1, 2, 3, 4, 5]
    factors = clip_factors([payloads[uid] for uid in inside], PPM)
    vectors = {uid: dense(payloads[uid], factor) for uid, factor in zip(inside, factors, strict=True)}
    mean = np.mean(list(vectors.values()), axis=0)
    median = sorted(np.linalg.norm(dense(payloads[uid])) for uid in inside)[2]
    own = {uid: dense(payloads[uid]) for uid in payloads}
    for vector in own.values():
        vector *= min(1.0, OWN_CLIP_PPM / PPM * median / np.linalg.norm(vector))
    for uid in inside:
        others = np.mean([vectors[each] for each in inside if each != uid], axis=0)
        assert abs(found[uid] - PPM * (own[uid] @ others) / (mean @ mean)) <= 10
    assert abs(found[6] - PPM * (own[6] @ mean) / (mean @ mean)) <= 10


def test_more_work_points_further_and_opposites_point_away() -> None:
    payloads = {uid: sent(uid, work=uid / 4) for uid in range(5)}
    payloads[9] = compress(-common(), SHAPE)
    found = alignments(row(0, 1, 2, 3, 4, failing=(9,)), payloads, PPM)
    assert [found[uid] for uid in range(5)] == sorted(found[uid] for uid in range(5))
    assert abs(found[0]) < found[4] / 5
    assert found[9] < -PPM // 2


def test_who_is_larger_than_the_median_is_paid_more_and_moves_the_mean_no_more() -> None:
    payloads = {uid: sent(uid) for uid in range(1, 6)}
    plain, larger, most, loud = (
        alignments(row(*range(1, 6)), {**payloads, 3: sent(3, scale=scale)}, PPM)
        for scale in (1, 1.5, 2.25, 100)
    )
    for found, factor in ((larger, 1.5), (most, 2.25), (loud, 2.25)):
        assert abs(found[3] / plain[3] - factor) < 0.02
        assert all(abs(found[uid] - plain[uid]) < PPM // 50 for uid in plain if uid != 3)


def test_order_changes_nothing() -> None:
    payloads = {uid: sent(uid) for uid in range(1, 6)}
    mixed = {uid: payloads[uid] for uid in (4, 2, 5, 1, 3)}
    straight, turned = row(*range(1, 6)), list(reversed(row(*range(1, 6))))
    assert alignments(turned, mixed, PPM) == alignments(straight, payloads, PPM)


def test_a_loud_minority_of_opposites_does_not_turn_the_mean() -> None:
    payloads = {uid: sent(uid) for uid in range(6)} | {uid: sent(uid, scale=-10) for uid in range(6, 10)}
    found = alignments(row(*range(10)), payloads, PPM)
    assert all(found[uid] > 0 for uid in range(6))
    assert all(found[uid] < 0 for uid in range(6, 10))


def test_with_three_that_pass_nothing_is_said() -> None:
    payloads = {uid: sent(uid) for uid in range(1, 5)}
    assert alignments(row(1, 2, 3, 4, failing=(4,)), payloads, PPM) == dict.fromkeys(range(1, 5), 0)


def test_payloads_of_zeros_align_with_nothing() -> None:
    zeros = compress(np.zeros(COUNT, dtype=np.float32), SHAPE)
    assert alignments(row(1, 2, 3, 4), dict.fromkeys((1, 2, 3, 4), zeros), PPM) == dict.fromkeys(
        (1, 2, 3, 4), 0
    )
