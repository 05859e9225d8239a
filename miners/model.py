"""Train and measure a Llama that is loaded from master weights.

    train(weights, batches, parameters) -> Trained(delta, loss)      loss(weights, batches) -> nats per token

The same weights and batches give the same delta on one machine; across devices it agrees within tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from miners.layout import ModelConfig, layout
from miners.llama import logits
from miners.parameters import PPM, TrainingParameters
from miners.weights import Floats, MasterWeights

BETAS = (0.9, 0.95)
"""AdamW's, as in the published runs of small Llamas."""
EPSILON = 1e-8
"""AdamW's; added where a gradient may have been zero all the time"""
NO_NORM = 1e-6
"""added to a norm that is divided by"""
TOKENS_PER_PASS = 16_384
"""Tokens measured at once; bounds the memory of a measurement, not its value."""


class TrainingDiverged(ArithmeticError):
    """A step produced a number that is not finite; the round cannot be used."""


Tokens = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trained:
    """What one assignment produced."""

    delta: Floats  # float32 [parameters]: weights after - weights before
    loss: float  # nats per token, mean over the inner steps


def choose_device(wanted: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`.

    Raises: ValueError when it is not there.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {wanted!r}, must be auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch sees no GPU here; use --device cpu or auto")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def use_threads(count: int) -> None:
    """Let torch use this many CPU threads; on a shared machine more than one costs everybody time."""
    torch.set_num_threads(count)


def train(
    weights: MasterWeights, batches: Sequence[Tokens], parameters: TrainingParameters, device: str = "cpu"
) -> Trained:
    """Take one AdamW step per batch, int64 [batch, sequence + 1]; the optimiser starts fresh.

    Raises: TrainingDiverged.
    """
    model = build(weights, choose_device(device))
    gradient, learner = learn(model), AdamW(model.flat, parameters.weight_decay_ppm / PPM)
    before = flatten(model)
    losses = []
    for step, batch in enumerate(batches):
        value = cross_entropy(model, torch.from_numpy(batch).to(model.flat.device))
        if not torch.isfinite(value):
            raise TrainingDiverged("the loss is not a finite number")
        gradient.zero_()
        torch.autograd.backward(value)
        clip(gradient, parameters.clip_norm_ppm / PPM)
        learner.step(gradient, _rate(step, parameters))
        losses.append(float(value.detach()))
    delta = flatten(model) - before
    if not np.isfinite(delta).all():
        raise TrainingDiverged(f"the weights are not finite after {len(losses)} steps")
    return Trained(delta, sum(losses) / max(1, len(losses)))


def loss(weights: MasterWeights, tokens: Tokens, device: str = "cpu") -> float:
    """Return the mean loss in nats per token over int64 [sequences, sequence + 1]; nan for a broken model."""
    place = choose_device(device)
    model = build(weights, place)
    per_pass = max(1, TOKENS_PER_PASS // tokens.shape[1])
    total = 0.0
    with torch.inference_mode():
        for at in range(0, len(tokens), per_pass):
            part = torch.from_numpy(tokens[at : at + per_pass])
            total += float(cross_entropy(model, part.to(place), reduction="sum"))
    return total / tokens[:, 1:].size


@dataclass(frozen=True, slots=True)
class Model:
    """A Llama on a device: the flat vector that the protocol speaks about, and its tensors by name."""

    config: ModelConfig
    flat: Tensor  # float32 [parameters]
    named: dict[str, Tensor]  # views of it


def build(weights: MasterWeights, device: torch.device) -> Model:
    """Return a Llama holding these weights as float32."""
    flat = torch.tensor(weights.floats(), device=device)
    named = {one.name: flat[one.span].view(one.shape) for one in layout(weights.config)}
    return Model(weights.config, flat, named)


def learn(model: Model) -> Tensor:
    """Have a loss leave its gradient in the vector that is returned, float32 [parameters]."""
    gradient = torch.zeros_like(model.flat)
    for one in layout(model.config):
        tensor = model.named[one.name].requires_grad_()
        tensor.grad = gradient[one.span].view(one.shape)
    return gradient


def flatten(model: Model) -> Floats:
    """Return every parameter in layout order as float32 [parameters]."""
    flat: Floats = model.flat.cpu().numpy().copy()
    return flat


def cross_entropy(model: Model, tokens: Tensor, reduction: str = "mean") -> Tensor:
    """Return the next-token loss over int64 [batch, sequence + 1]."""
    guessed = logits(model.named, model.config, tokens[:, :-1])
    return functional.cross_entropy(guessed.flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)


def clip(gradient: Tensor, most: float) -> None:
    """Shorten a gradient to this norm."""
    gradient.mul_(torch.clamp(most / (gradient.norm() + NO_NORM), max=1.0))


class AdamW:
    """AdamW over one flat vector; torch's own loads a compiler, which costs a worker seconds at its start.

    Source: arXiv 1711.05101, algorithm 2.
    """

    def __init__(self, flat: Tensor, decay: float) -> None:
        self._flat = flat
        self._decay = decay
        self._mean = torch.zeros_like(flat)
        self._square = torch.zeros_like(flat)
        self._steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        """Take one step against a gradient."""
        self._steps += 1
        self._flat.mul_(1 - rate * self._decay)
        self._mean.lerp_(gradient, 1 - BETAS[0])
        self._square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        scale = (1 - BETAS[1] ** self._steps) ** 0.5
        spread = (self._square.sqrt() / scale).add_(EPSILON)
        self._flat.addcdiv_(self._mean, spread, value=-rate / (1 - BETAS[0] ** self._steps))


def _rate(step: int, parameters: TrainingParameters) -> float:
    peak = parameters.learning_rate_ppm / PPM
    return peak * min(1.0, (step + 1) / (parameters.warmup_steps + 1))
