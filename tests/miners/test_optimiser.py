"""Muon moves matrices in all directions alike; the rest is AdamW's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from miners.layout import ModelConfig, layout
from miners.model import Trained, train
from miners.optimiser import LIKE_ADAMW, InnerOptimiser, orthogonal
from miners.parameters import ADAMW, MUON, TrainingParameters
from miners.payload import compress, encode, shape_of
from miners.weights import initial
from validators.replay import Work, audit

SMALL = TrainingParameters(
    model=ModelConfig(hidden=32, layers=2, heads=2, feed_forward=48, sequence=32), inner_steps=8,
    batch_size=4, warmup_steps=1, learning_rate_ppm=5_000, chunk=512, top_k=64, inner_optimizer=MUON,
)  # fmt: skip
TEXT = np.frombuffer(b"def main() -> None:\n    for line in lines:\n        print(line)\n" * 40, np.uint8)
BASE = initial(SMALL.model, b"assay")


def batches(count: int) -> list[np.ndarray]:
    starts = np.random.default_rng(1).integers(0, len(TEXT) - 33, (count, 4))
    return [np.stack([TEXT[at : at + 33] for at in row]).astype(np.int64) for row in starts]


def trained(**changed: int) -> Trained:
    numbers = replace(SMALL, **changed)
    return train(BASE, batches(numbers.inner_steps), numbers)


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_all_directions_count_alike(shape: tuple[int, int]) -> None:
    generator, short = torch.Generator().manual_seed(7), min(shape)
    u, v = (torch.linalg.qr(torch.randn(side, short, generator=generator)).Q for side in shape)
    made = u.T @ orthogonal(u * torch.logspace(0, -1, short) @ v.T) @ v
    values = made.diagonal()
    assert (values > 0.6).all()
    assert (values < 1.3).all()
    assert (made - torch.diag(values)).abs().max() < 1e-3
    assert orthogonal(torch.zeros(shape)).count_nonzero() == 0


def test_a_step_of_muon_is_about_as_long_as_one_of_adamw() -> None:
    rate = 0.001
    numbers = {"inner_steps": 1, "warmup_steps": 0, "weight_decay_ppm": 0, "learning_rate_ppm": 1_000}
    muon, adamw = (trained(inner_optimizer=each, **numbers).delta for each in (MUON, ADAMW))
    for one in layout(SMALL.model):
        if len(one.shape) == 2:
            step = float(np.sqrt(np.mean(np.square(muon[one.span]))))
            assert 0.5 * LIKE_ADAMW * rate < step < 1.2 * LIKE_ADAMW * rate, one.name
        else:
            assert muon[one.span].tobytes() == adamw[one.span].tobytes(), one.name


def test_a_round_of_muon_comes_out_twice_and_passes_its_audit_in_either_precision() -> None:
    shape = shape_of(SMALL, BASE.root())
    rounded = train(BASE, batches(8), SMALL, precision="bf16")
    assert trained().delta.tobytes() == trained().delta.tobytes() != rounded.delta.tobytes()
    nothing = np.zeros(len(BASE.words), dtype=np.float32)
    for made, least in ((trained(), 1_000_000), (rounded, 900_000)):
        sent = Work(SMALL, BASE, batches(8), encode(compress(made.delta, shape)), nothing)
        assert audit(sent, None, train).overlap_ppm >= least
        other = replace(sent, parameters=replace(SMALL, inner_optimizer=ADAMW))
        assert audit(other, None, train).overlap_ppm < 500_000


@pytest.mark.parametrize("kind", [ADAMW, MUON])
def test_one_that_is_told_what_another_knew_goes_on_as_that_one(kind: int) -> None:
    numbers = replace(SMALL, inner_optimizer=kind)
    one, other = ([torch.nn.Parameter(torch.ones(shape)) for shape in ((4, 3), (5,))] for _ in range(2))
    first, second = InnerOptimiser(one, numbers), InnerOptimiser(other, numbers)
    _moved(first, one, 1.0)
    second.load(first.state())
    for mine, its in zip(other, one, strict=True):
        mine.data.copy_(its.data)
    _moved(first, one, 2.0)
    _moved(second, other, 2.0)
    assert all(torch.equal(mine, its) for mine, its in zip(other, one, strict=True))
    assert all(each.grad is None for each in one)


def _moved(optimiser: InnerOptimiser, trained: list[torch.nn.Parameter], slope: float) -> None:
    for each in trained:
        each.grad = torch.linspace(-1, slope, each.numel()).reshape(each.shape)
    optimiser.step(0.01)
