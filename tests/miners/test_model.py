"""A real Llama: loads master weights, learns, and does the same twice."""

import numpy as np
import pytest
import torch

from miners.aggregate import aggregate
from miners.compressor import Compressor
from miners.layout import ModelConfig, layout
from miners.model import (
    TrainingDiverged,
    build,
    choose_device,
    choose_precision,
    flatten,
    loss,
    train,
)
from miners.parameters import TrainingParameters
from miners.payload import compress, decode, encode, shape_of
from miners.weights import initial

SMALL = TrainingParameters(
    model=ModelConfig(hidden=32, layers=2, heads=2, feed_forward=48, sequence=32),
    inner_steps=8,
    batch_size=4,
    warmup_steps=1,
    learning_rate_ppm=5_000,
    chunk=512,
    top_k=64,
)
TEXT = b"def main() -> None:\n    for line in lines:\n        print(line)\n" * 40


def batches(count: int, seed: int) -> list[np.ndarray]:
    dice = np.random.default_rng(seed)
    tokens = np.frombuffer(TEXT, np.uint8).astype(np.int64)
    starts = dice.integers(0, len(tokens) - 33, (count, 4))
    return [np.stack([tokens[at : at + 33] for at in row]) for row in starts]


def test_the_layout_is_that_of_a_stock_llama() -> None:
    weights = initial(SMALL.model, b"assay")
    model = build(weights, torch.device("cpu"))
    named = {name: tuple(one.shape) for name, one in model.named_parameters()}
    assert named == {one.name: one.shape for one in layout(SMALL.model)}
    assert (flatten(model) == weights.floats()).all()


def test_training_twice_gives_the_same_delta_to_the_bit() -> None:
    weights = initial(SMALL.model, b"assay")
    one, other = (train(weights, batches(8, 1), SMALL) for _ in range(2))
    assert one.delta.tobytes() == other.delta.tobytes()
    assert one.loss == other.loss
    assert train(weights, batches(8, 2), SMALL).delta.tobytes() != one.delta.tobytes()


def test_the_first_loss_is_that_of_guessing() -> None:
    weights = initial(SMALL.model, b"assay")
    assert abs(loss(weights, np.concatenate(batches(8, 3))) - np.log(256)) < 0.1


def test_the_loss_does_not_depend_on_how_it_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, tokens = initial(SMALL.model, b"assay"), np.concatenate(batches(5, 3))
    whole = loss(weights, tokens)
    monkeypatch.setattr("miners.model.TOKENS_PER_PASS", 3 * 33)
    assert abs(loss(weights, tokens) - whole) < 1e-6


def test_rounds_of_two_miners_lower_the_loss_every_time() -> None:
    weights, hidden = initial(SMALL.model, b"assay"), np.concatenate(batches(8, 99))
    compressors = [Compressor(SMALL), Compressor(SMALL)]
    losses = [loss(weights, hidden)]
    for number in range(3):
        shape = shape_of(SMALL, weights.root())
        accepted = []
        for place, compressor in enumerate(compressors):
            trained = train(weights, batches(8, 10 * number + place), SMALL)
            blob = encode(compressor.compress(trained.delta, shape.base))
            accepted.append((decode(blob, shape), 1_000 + place))
        weights = aggregate(weights, accepted, SMALL)
        losses.append(loss(weights, hidden))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1


def test_a_step_into_nowhere_is_an_error_not_a_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = initial(SMALL.model, b"assay")
    monkeypatch.setattr("miners.model._rate", lambda step, parameters: 1e30)
    with pytest.raises(TrainingDiverged, match="the loss is not a finite number"):
        train(weights, batches(3, 1), SMALL)
    monkeypatch.setattr("miners.model._rate", lambda step, parameters: float("inf"))
    with pytest.raises(TrainingDiverged, match="the weights are not finite after 1 steps"):
        train(weights, batches(1, 1), SMALL)


def test_half_the_bits_lead_to_nearly_the_same_place() -> None:
    weights = initial(SMALL.model, b"assay")
    exact, rough = (train(weights, batches(8, 1), SMALL, precision=each) for each in ("fp32", "bf16"))
    shape = shape_of(SMALL, weights.root())
    kept = [compress(each.delta, shape).indices for each in (exact, rough)]
    assert len(np.intersect1d(*kept)) >= 0.9 * len(kept[0])
    assert exact.delta.tobytes() != rough.delta.tobytes()
    assert abs(exact.loss - rough.loss) < 0.01


def test_the_precision_is_that_of_the_device_unless_it_is_said() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) is choose_precision("fp32", cpu) is torch.float32
    assert choose_precision("bf16", cpu) is torch.bfloat16
    with pytest.raises(ValueError, match="precision is 'fp8', must be one of auto, fp32, bf16"):
        choose_precision("fp8", cpu)


def test_a_large_vocabulary_is_measured_in_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, tokens = initial(SMALL.model, b"assay"), np.concatenate(batches(5, 3))
    whole = loss(weights, tokens)
    monkeypatch.setattr("miners.model.LOGITS_PER_PASS", 256 * 3 * 33)
    assert abs(loss(weights, tokens) - whole) < 1e-6


def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="device is 'tpu', must be auto, cpu or cuda"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="torch sees no GPU here; use --device cpu or auto"):
        choose_device("cuda")
