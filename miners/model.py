"""Train and measure a stock Llama that is loaded from master weights.

    train(weights, batches, parameters) -> Trained(delta, loss)      loss(weights, text) -> nats per token

The same weights and batches give the same delta on one machine; across devices, precisions and numbers of
processes it agrees within tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from miners.layout import ModelConfig, layout
from miners.optimiser import InnerOptimiser
from miners.parameters import PPM, TrainingParameters
from miners.weights import Floats, MasterWeights

PRECISIONS = ("auto", "fp32", "bf16")
BILLION = 10**9
TIED = ("lm_head.weight",)
"""A second name of the input embedding, in a model that ties them."""
TOKENS_PER_PASS = 16_384
LOGITS_PER_PASS = 1 << 27
"""Tokens measured at once, and logits; they bound the memory of a measurement, not its value."""


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


def choose_precision(wanted: str, place: torch.device) -> torch.dtype:
    """Return what `auto`, `fp32` or `bf16` multiplies in; weights, sums and the optimiser stay float32.

    Raises: ValueError when the device cannot.
    """
    if wanted not in PRECISIONS:
        raise ValueError(f"precision is {wanted!r}, must be one of {', '.join(PRECISIONS)}")
    has_bf16 = place.type != "cuda" or torch.cuda.is_bf16_supported()
    if wanted == "bf16" and not has_bf16:
        raise ValueError("precision is bf16, but this GPU has none; use --precision fp32 or auto")
    by_itself = place.type == "cuda" and has_bf16
    return torch.bfloat16 if wanted == "bf16" or (wanted == "auto" and by_itself) else torch.float32


class Team(Protocol):
    """Processes that train one model together."""

    def divide(self, model: LlamaForCausalLM) -> None:
        """Leave each process a part of every parameter."""
        ...

    def part(self, batch: Tensor) -> tuple[Tensor, float]:
        """Return the sequences of this process, and what makes the mean of all parts that of the batch."""
        ...

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over the processes."""
        ...


def train(
    weights: MasterWeights,
    batches: Sequence[Tokens],
    parameters: TrainingParameters,
    device: str = "cpu",
    precision: str = "fp32",
    team: Team | None = None,
) -> Trained:
    """Take one step per batch, int64 [batch, sequence + 1]; the optimiser starts fresh.

    Raises: TrainingDiverged.
    """
    place = choose_device(device)
    model = build(weights, place).train()
    if team is not None:
        team.divide(model)
    optimiser = InnerOptimiser(trained_in(model), parameters)
    course = _Course(model, optimiser, parameters, choose_precision(precision, place), team)
    losses = [course.step(number, torch.from_numpy(batch).to(place)) for number, batch in enumerate(batches)]
    delta = flatten(model) - weights.floats()
    if not np.isfinite(delta).all():
        raise TrainingDiverged(f"the weights are not finite after {len(losses)} steps")
    return Trained(delta, sum(losses) / max(1, len(losses)))


def loss(weights: MasterWeights, tokens: Tokens, device: str = "cpu") -> float:
    """Return the mean loss in nats per token over int64 [sequences, sequence + 1]; nan for a broken model."""
    (found,) = losses(weights, [tokens], device)
    return found


def losses(weights: MasterWeights, texts: Sequence[Tokens], device: str = "cpu") -> list[float]:
    """Return the mean loss over each of several texts; the model is built once."""
    place = choose_device(device)
    model = build(weights, place).eval()
    tokens_per_pass = min(TOKENS_PER_PASS, LOGITS_PER_PASS // weights.config.vocabulary)
    with torch.inference_mode():
        return [_mean_loss(model, tokens, place, tokens_per_pass) for tokens in texts]


def _mean_loss(model: LlamaForCausalLM, tokens: Tokens, place: torch.device, tokens_per_pass: int) -> float:
    per_pass, total = max(1, tokens_per_pass // tokens.shape[1]), 0.0
    for at in range(0, len(tokens), per_pass):
        part = torch.from_numpy(tokens[at : at + per_pass])
        total += float(cross_entropy(model, part.to(place), reduction="sum"))
    return total / tokens[:, 1:].size


def build(weights: MasterWeights, device: torch.device) -> LlamaForCausalLM:
    """Return a Llama holding these weights as float32; of an adapter, peft's model around the one below it.

    Raises: ValueError for an adapter alone.
    """
    if weights.config.lora_rank:
        if weights.base is None:
            raise ValueError("an adapter needs the model it belongs to")
        below = build(weights.base, device)
        return import_module("miners.adapter").adapted(below, weights.config, state_of(weights))
    model = LlamaForCausalLM(llama_config(weights.config))
    missing, unknown = model.load_state_dict(state_of(weights), strict=False)
    assert not unknown, f"the layout names {unknown}"
    assert set(missing) <= set(TIED if weights.config.tie_embeddings else ()), f"the layout lacks {missing}"
    return model.to(device)


def state_of(weights: MasterWeights) -> dict[str, Tensor]:
    """Return the weights as float32 tensors by name."""
    floats = torch.from_numpy(weights.floats())
    return {one.name: floats[one.span].reshape(one.shape) for one in layout(weights.config)}


def trained_in(model: LlamaForCausalLM) -> list[torch.nn.Parameter]:
    """Return the parameters that training changes, in layout order."""
    return [one for _, one in sorted(model.named_parameters()) if one.requires_grad]


def llama_config(config: ModelConfig) -> LlamaConfig:
    """Return the transformers configuration; the exported model is a stock one."""
    return LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.groups,
        max_position_embeddings=config.sequence,
        rms_norm_eps=config.norm_eps_e9 / BILLION,
        rope_parameters={"rope_type": "default", "rope_theta": float(config.rope_theta)},
        tie_word_embeddings=bool(config.tie_embeddings),
        use_cache=False,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
    )


def flatten(model: LlamaForCausalLM) -> Floats:
    """Return what is trained in layout order as float32 [parameters]; divided tensors are put together."""
    found = (one.detach() for one in trained_in(model))
    whole = [one.full_tensor() if isinstance(one, DTensor) else one for one in found]
    flat: Floats = torch.cat([one.reshape(-1) for one in whole]).cpu().numpy().copy()
    return flat


def cross_entropy(model: LlamaForCausalLM, tokens: Tensor, reduction: str = "mean") -> Tensor:
    """Return the next-token loss over int64 [batch, sequence + 1]."""
    logits = model(input_ids=tokens[:, :-1]).logits  # float32 [batch, sequence, vocabulary]
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)


@dataclass(frozen=True, slots=True)
class _Course:
    """One assignment on its way."""

    model: LlamaForCausalLM
    optimiser: InnerOptimiser
    parameters: TrainingParameters
    precision: torch.dtype
    team: Team | None

    def step(self, number: int, batch: Tensor) -> float:
        """Take a step, and return the loss before it.

        Raises: TrainingDiverged.
        """
        value, shown = self._losses(batch)
        if not torch.isfinite(shown):
            raise TrainingDiverged("the loss is not a finite number")
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(trained_in(self.model), self.parameters.clip_norm_ppm / PPM)
        self.optimiser.step(_rate(number, self.parameters))
        return float(shown)

    def _losses(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return what this process differentiates, and the mean loss of the batch."""
        part, weight = (batch, 1.0) if self.team is None else self.team.part(batch)
        low = self.precision is not torch.float32
        with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=low):
            value = cross_entropy(self.model, part)
        if self.team is None:
            return value, value.detach()
        value = value * weight
        return value, self.team.mean(value.detach())


def _rate(step: int, parameters: TrainingParameters) -> float:
    peak = parameters.learning_rate_ppm / PPM
    return peak * min(1.0, (step + 1) / (parameters.warmup_steps + 1))
