"""Where each tensor of the model lies in the one flat vector that the protocol speaks about.

The names are those of a stock `LlamaForCausalLM`, sorted; torch is not needed to know them. A tensor that a
model ties to another one has no place of its own. With a `lora_rank` the vector is that of an adapter, under
peft's names, and the model below it never changes.
"""

from dataclasses import dataclass, fields, replace
from math import prod

MAX_PARAMETERS = 1 << 31
"""More does not fit the arithmetic of one flat vector."""
BYTES = 0
"""The only tokenizer so far: a token is a byte."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a Llama; the defaults are the first subnet's."""

    vocabulary: int = 256  # tokens the model can tell apart; at least the tokenizer's
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    feed_forward: int = 352
    sequence: int = 128  # tokens
    kv_heads: int = 0  # heads of keys and values that groups of heads share; 0: as many as heads
    rope_theta: int = 10_000  # base of the rotary positions
    tie_embeddings: int = 0  # 1: the output layer is the input embedding
    norm_eps_e9: int = 1_000  # what the norms add under their root, in 10^-9
    tokenizer: int = BYTES
    lora_rank: int = 0  # 0: the whole model is trained; else an adapter of this rank

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            number = getattr(self, name)
            if not least <= number <= most:
                raise ValueError(f"{name} is {number}, must be {least} to {most}")
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of twice heads ({self.heads})")
        if self.heads % self.groups:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def shared(self) -> int:
        """Width of all keys together, and of all values."""
        return self.groups * (self.hidden // self.heads)

    def whole(self) -> "ModelConfig":
        """Return the shape of the model that an adapter belongs to."""
        return replace(self, lora_rank=0)


def differences(one: ModelConfig, other: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return the numbers in which two shapes differ, each as in the one and in the other."""
    pairs = {each.name: (getattr(one, each.name), getattr(other, each.name)) for each in fields(ModelConfig)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor's place."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Number of parameters."""
        return prod(self.shape)

    @property
    def span(self) -> slice:
        """Its part of the flat vector."""
        return slice(self.offset, self.offset + self.size)


def layout(config: ModelConfig) -> tuple[Tensor, ...]:
    """Return every tensor of the model, sorted by name, end to end.

    Raises: ValueError when the model is too large for one flat vector.
    """
    tensors: list[Tensor] = []
    offset = 0
    for name, shape in sorted(_shapes(config).items()):
        tensors.append(Tensor(name, shape, offset))
        offset += prod(shape)
    if offset > MAX_PARAMETERS:
        raise ValueError(f"the model has {offset} parameters, at most {MAX_PARAMETERS} are supported")
    return tuple(tensors)


def parameters_of(config: ModelConfig) -> int:
    """Return the number of parameters of the model."""
    last = layout(config)[-1]
    return last.offset + last.size


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    if config.lora_rank:
        return _adapter_shapes(config)
    square, wide = (config.hidden, config.hidden), (config.feed_forward, config.hidden)
    shared = (config.shared, config.hidden)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocabulary, config.hidden),
        "model.norm.weight": (config.hidden,),
    }
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocabulary, config.hidden)
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": square for part in "qo"}
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": shared for part in "kv"}
        shapes |= {f"{prefix}mlp.{part}_proj.weight": wide for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (config.hidden, config.feed_forward)
        shapes |= {f"{prefix}{norm}.weight": (config.hidden,) for norm in NORMS}
    return shapes


def _adapter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.layers):
        for part, width in (("q", config.hidden), ("v", config.shared)):
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{part}_proj.lora_"
            shapes[f"{prefix}A.weight"] = (config.lora_rank, config.hidden)
            shapes[f"{prefix}B.weight"] = (width, config.lora_rank)
    return shapes


NORMS = ("input_layernorm", "post_attention_layernorm")
LIMITS = {
    "vocabulary": (1, 1 << 20),
    "hidden": (1, 1 << 16),
    "layers": (1, 1 << 10),
    "heads": (1, 1 << 10),
    "feed_forward": (1, 1 << 18),
    "sequence": (1, 1 << 20),
    "kv_heads": (0, 1 << 10),
    "rope_theta": (1, 1 << 31),
    "tie_embeddings": (0, 1),
    "norm_eps_e9": (1, 10**9),
    "tokenizer": (BYTES, BYTES),
    "lora_rank": (0, 1_024),
}
"""Least and most of each number, so that a wrong subnet cannot ask for absurd memory."""
