"""Train and measure a stock Llama that is loaded from master weights.

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
from transformers import LlamaConfig, LlamaForCausalLM

from miners.layout import ModelConfig, layout
from miners.parameters import PPM, TrainingParameters
from miners.weights import Floats, MasterWeights

BETAS = (0.9, 0.95)
"""AdamW's, as in the published runs of small Llamas."""
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
    model = build(weights, choose_device(device)).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=BETAS, weight_decay=parameters.weight_decay_ppm / PPM
    )
    before = flatten(model)
    losses = [
        _step(
            model, optimiser, torch.from_numpy(batch), _rate(step, parameters), parameters.clip_norm_ppm / PPM
        )
        for step, batch in enumerate(batches)
    ]
    delta = flatten(model) - before
    if not np.isfinite(delta).all():
        raise TrainingDiverged(f"the weights are not finite after {len(losses)} steps")
    return Trained(delta, sum(losses) / max(1, len(losses)))


def loss(weights: MasterWeights, tokens: Tokens, device: str = "cpu") -> float:
    """Return the mean loss in nats per token over int64 [sequences, sequence + 1]; nan for a broken model."""
    place = choose_device(device)
    model = build(weights, place).eval()
    per_pass = max(1, TOKENS_PER_PASS // tokens.shape[1])
    total = 0.0
    with torch.inference_mode():
        for at in range(0, len(tokens), per_pass):
            part = torch.from_numpy(tokens[at : at + per_pass])
            total += float(cross_entropy(model, part.to(place), reduction="sum"))
    return total / tokens[:, 1:].size


def build(weights: MasterWeights, device: torch.device) -> LlamaForCausalLM:
    """Return a Llama holding these weights as float32."""
    model = LlamaForCausalLM(llama_config(weights.config))
    floats = torch.from_numpy(weights.floats())
    state = {one.name: floats[one.span].reshape(one.shape) for one in layout(weights.config)}
    model.load_state_dict(state, strict=True)
    return model.to(device)


def llama_config(config: ModelConfig) -> LlamaConfig:
    """Return the transformers configuration; the exported model is a stock one."""
    return LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.sequence,
        tie_word_embeddings=False,
        use_cache=False,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
    )


def flatten(model: LlamaForCausalLM) -> Floats:
    """Return every parameter in layout order as float32 [parameters]."""
    named = sorted(model.named_parameters())
    flat: Floats = torch.cat([one.detach().reshape(-1) for _, one in named]).cpu().numpy().copy()
    return flat


def cross_entropy(model: LlamaForCausalLM, tokens: Tensor, reduction: str = "mean") -> Tensor:
    """Return the next-token loss over int64 [batch, sequence + 1]."""
    logits = model(input_ids=tokens[:, :-1]).logits  # float32 [batch, sequence, vocabulary]
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction=reduction)


def _step(
    model: LlamaForCausalLM, optimiser: torch.optim.AdamW, batch: Tensor, rate: float, clip: float
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    value = cross_entropy(model, batch.to(model.device))
    if not torch.isfinite(value):
        raise TrainingDiverged("the loss is not a finite number")
    torch.autograd.backward(value)
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(value.detach())


def _rate(step: int, parameters: TrainingParameters) -> float:
    peak = parameters.learning_rate_ppm / PPM
    return peak * min(1.0, (step + 1) / (parameters.warmup_steps + 1))
