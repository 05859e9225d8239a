"""A Llama in torch alone: logits from named tensors. A worker that loads a library of models starts slower.

The numbers are those of a stock `LlamaForCausalLM` with the same tensors, under the same names.
Source: arXiv 2302.13971; rotary embedding 2104.09864, RMSNorm 1910.07467, SwiGLU 2002.05202.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from miners.layout import ModelConfig

EPSILON = 1e-6
"""added to the mean square of a norm"""
ROPE_BASE = 10_000.0
"""of the wave lengths that positions turn with"""

Named = Mapping[str, Tensor]
Turns = tuple[Tensor, Tensor]
"""Cosine and sine, float32 [sequence, hidden / heads]."""


def logits(named: Named, config: ModelConfig, tokens: Tensor) -> Tensor:
    """Return float32 [batch, sequence, vocabulary] for tokens, int64 [batch, sequence]."""
    state = functional.embedding(tokens, named["model.embed_tokens.weight"])  # [batch, sequence, hidden]
    turns = _turns(config, tokens.shape[1], state.device)
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}."
        entering = _norm(state, named[f"{prefix}input_layernorm.weight"])
        state = state + _attention(named, f"{prefix}self_attn.", config, entering, turns)
        entering = _norm(state, named[f"{prefix}post_attention_layernorm.weight"])
        state = state + _feed_forward(named, f"{prefix}mlp.", entering)
    return functional.linear(_norm(state, named["model.norm.weight"]), named["lm_head.weight"])


def _attention(named: Named, prefix: str, config: ModelConfig, state: Tensor, turns: Turns) -> Tensor:
    batch, sequence, _ = state.shape
    query, key, value = (
        functional.linear(state, named[f"{prefix}{part}_proj.weight"])
        .view(batch, sequence, config.heads, -1)
        .transpose(1, 2)  # [batch, heads, sequence, hidden / heads]
        for part in "qkv"
    )
    seen = functional.scaled_dot_product_attention(
        _turned(query, turns), _turned(key, turns), value, is_causal=True
    )
    joined = seen.transpose(1, 2).reshape(batch, sequence, -1)
    return functional.linear(joined, named[f"{prefix}o_proj.weight"])


def _feed_forward(named: Named, prefix: str, state: Tensor) -> Tensor:
    gate = functional.silu(functional.linear(state, named[f"{prefix}gate_proj.weight"]))
    wide = gate * functional.linear(state, named[f"{prefix}up_proj.weight"])
    return functional.linear(wide, named[f"{prefix}down_proj.weight"])


def _norm(state: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(state, weight.shape, weight, EPSILON)


def _turns(config: ModelConfig, sequence: int, device: torch.device) -> Turns:
    width = config.hidden // config.heads
    waves = 1.0 / ROPE_BASE ** (torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angles = torch.arange(sequence, dtype=torch.float32, device=device)[:, None] * waves
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def _turned(state: Tensor, turns: Turns) -> Tensor:
    """Turn each pair of a head's first and second half by its position."""
    cosine, sine = turns
    first, second = state.chunk(2, dim=-1)
    return state * cosine + torch.cat((-second, first), dim=-1) * sine
