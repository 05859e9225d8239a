"""Integer aggregation: equal to a model in plain Python integers, in every order, with any threads."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miners.aggregate import Weighted, aggregate, clip_factors, norm_squared, q30_levels
from miners.layout import ModelConfig, parameters_of
from miners.parameters import PPM, TrainingParameters
from miners.payload import Payload, PayloadShape, compress, decode, encode, shape_of
from miners.weights import MasterWeights, initial

TINY = ModelConfig(vocabulary=8, hidden=4, layers=1, heads=1, feed_forward=4, sequence=4)
COUNT = parameters_of(TINY)
BASE = bytes(32)
LIMIT = 1 << 31

PARAMETERS = st.builds(
    TrainingParameters,
    model=st.just(TINY),
    chunk=st.just(32),
    top_k=st.integers(1, 32),
    outer_learning_rate_ppm=st.integers(1, 4 * PPM),
    support_floor_ppm=st.integers(0, PPM),
    norm_clip_ppm=st.integers(1, 3 * PPM),
)
VECTORS = st.tuples(st.integers(0, 1 << 32), st.sampled_from([1e-7, 1e-3, 0.5, 40.0]))
WEIGHTED = st.lists(st.tuples(VECTORS, st.integers(0, 65_535)), max_size=5)


def payload_of(parameters: TrainingParameters, seed: int, scale: float) -> Payload:
    numbers = np.random.default_rng(seed).standard_normal(COUNT).astype(np.float32) * np.float32(scale)
    return compress(numbers, shape_of(parameters, BASE))


def base_model(seed: int) -> MasterWeights:
    words = np.random.default_rng(seed).integers(-LIMIT, LIMIT, COUNT).astype(np.int32)  # near the rails too
    return MasterWeights(TINY, words)


def in_python_integers(
    weights: MasterWeights, accepted: list[Weighted], parameters: TrainingParameters
) -> list[int]:
    """The rules of a round, one number at a time, with unbounded integers and exact fractions."""
    entering = [(payload, weight) for payload, weight in accepted if weight > 0]
    if not entering:
        return [int(word) for word in weights.words]
    decoded = []
    for payload, weight in entering:
        floats = [Fraction(float(value)) for value in payload.values()]
        values = [round(abs(value) * 2**30) * (-1 if value < 0 else 1) for value in floats]
        decoded.append((payload.indices.tolist(), values, weight))
    squares = [sum(value * value for value in values) for _, values, _ in decoded]
    median = sorted(squares)[(len(squares) - 1) // 2]
    everyone = sum(weight for _, _, weight in decoded)
    floor = max(1, -(-parameters.support_floor_ppm * everyone // PPM))
    total, support = [0] * COUNT, [0] * COUNT
    for (indices, values, weight), square in zip(decoded, squares, strict=True):
        factor = PPM if square == 0 else min(PPM, isqrt(parameters.norm_clip_ppm**2 * median // square))
        for index, value in zip(indices, values, strict=True):
            total[index] += weight * round(Fraction(value * factor, PPM))
            support[index] += weight
    words = []
    for index in range(COUNT):
        mean = round(Fraction(total[index], max(support[index], floor)))
        step = round(Fraction(mean * parameters.outer_learning_rate_ppm, PPM * 64))
        words.append(max(-LIMIT, min(LIMIT - 1, int(weights.words[index]) + step)))
    return words


@settings(max_examples=60)
@given(PARAMETERS, WEIGHTED, st.integers(0, 100))
def test_equals_plain_python_integers(
    parameters: TrainingParameters, drawn: list[tuple[tuple[int, float], int]], seed: int
) -> None:
    accepted = [(payload_of(parameters, *numbers), weight) for numbers, weight in drawn]
    weights = base_model(seed)
    expected = in_python_integers(weights, accepted, parameters)
    assert aggregate(weights, accepted, parameters).words.tolist() == expected


@settings(max_examples=20)
@given(PARAMETERS, WEIGHTED, st.randoms(use_true_random=False))
def test_every_order_gives_the_same_root(  # type: ignore[no-untyped-def]
    parameters: TrainingParameters, drawn: list[tuple[tuple[int, float], int]], dice
) -> None:
    accepted = [(payload_of(parameters, *numbers), weight) for numbers, weight in drawn]
    shuffled = dice.sample(accepted, len(accepted))
    weights = base_model(1)
    one, other = (aggregate(weights, order, parameters).root() for order in (accepted, shuffled))
    assert one == other


def test_the_number_of_threads_changes_nothing() -> None:
    parameters = TrainingParameters()
    shape = shape_of(parameters, BASE)
    weights = initial(parameters.model, b"assay")
    blobs = [
        encode(
            compress(np.random.default_rng(seed).standard_normal(shape.parameters).astype(np.float32), shape)
        )
        for seed in range(3)
    ]
    before, roots = torch.get_num_threads(), set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        roots.add(aggregate(weights, [(decode(blob, shape), 7) for blob in blobs], parameters).root())
    torch.set_num_threads(before)
    assert len(roots) == 1


def test_levels_become_q30_exactly() -> None:
    shape = PayloadShape(BASE, 16, 16, 1, 1 << 10)
    bits = np.array([0x0000, 0x0001, 0x2F80, 0x3000, 0x3040, 0x3080, 0x3F80, 0x407F], dtype=np.uint16)
    levels = np.stack([np.zeros_like(bits), bits], axis=1)
    payload = Payload(shape, np.zeros(1, np.int64), np.zeros(1, np.bool_), np.ones(1, np.bool_), levels)
    # 2^-32, 2^-31 (a half: to even), 1.5 * 2^-31, 2^-30, 1.0, the largest level
    assert q30_levels(payload)[:, 1].tolist() == [0, 0, 0, 0, 1, 1, 1 << 30, 255 << 24]


def test_a_loud_payload_is_cut_to_the_median_norm() -> None:
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=8)
    quiet, other, loud = (
        payload_of(parameters, seed, scale) for seed, scale in ((1, 0.01), (1, 0.01), (1, 1.0))
    )
    factors = clip_factors([quiet, other, loud], PPM)
    assert factors[:2] == [PPM, PPM]
    assert factors[2] == isqrt(PPM**2 * norm_squared(quiet) // norm_squared(loud))
    assert 9_900 < factors[2] < 10_100


def test_a_lonely_parameter_is_divided_by_the_floor() -> None:
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=1, support_floor_ppm=500_000)
    weights = MasterWeights(TINY, np.zeros(COUNT, dtype=np.int32))
    shape = shape_of(parameters, BASE)
    first, second = np.zeros((2, COUNT), dtype=np.float32)
    first[::32], second[1::32] = 1.0, 1.0
    accepted = [(compress(first, shape), 1), (compress(second, shape), 3)]
    words = aggregate(weights, accepted, parameters).words
    assert (words[0], words[1]) == (
        (1 << 24) // 2,
        1 << 24,
    )  # 1 of 4 divides by the floor 2; 3 of 4 by itself


def test_nothing_accepted_leaves_the_model_alone() -> None:
    weights = base_model(3)
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=8)
    assert aggregate(weights, [], parameters).root() == weights.root()
    silent = [(payload_of(parameters, 1, 1.0), 0)]
    assert aggregate(weights, silent, parameters).root() == weights.root()


@pytest.mark.parametrize("weight", [-1, 65_536])
def test_a_weight_that_is_no_u16_is_refused(weight: int) -> None:
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=8)
    with pytest.raises(ValueError, match=f"weight {weight} is not a u16"):
        aggregate(base_model(3), [(payload_of(parameters, 1, 1.0), weight)], parameters)


def test_a_payload_of_another_model_is_refused() -> None:
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=8)
    foreign = compress(np.ones(64, dtype=np.float32), PayloadShape(BASE, 64, 32, 8, 1 << 10))
    with pytest.raises(ValueError, match=f"a payload of 64 parameters meets a model of {COUNT}"):
        aggregate(base_model(3), [(foreign, 1)], parameters)
