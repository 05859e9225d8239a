"""Where each tensor of the model lies in the one flat vector that the protocol speaks about.

The names are those of a stock `LlamaForCausalLM`, sorted; torch is not needed to know them.
"""

from dataclasses import dataclass
from math import prod

MAX_PARAMETERS = 1 << 31
"""More does not fit the arithmetic of one flat vector."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a byte-level Llama."""

    vocabulary: int = 256  # bytes
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    feed_forward: int = 352
    sequence: int = 128  # tokens

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            number = getattr(self, name)
            if not 1 <= number <= most:
                raise ValueError(f"{name} is {number}, must be 1 to {most}")
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of twice heads ({self.heads})")


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
    square, wide = (config.hidden, config.hidden), (config.feed_forward, config.hidden)
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (config.vocabulary, config.hidden),
        "model.embed_tokens.weight": (config.vocabulary, config.hidden),
        "model.norm.weight": (config.hidden,),
    }
    for layer in range(config.layers):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": square for part in "qkvo"}
        shapes |= {f"{prefix}mlp.{part}_proj.weight": wide for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (config.hidden, config.feed_forward)
        shapes |= {f"{prefix}{norm}.weight": (config.hidden,) for norm in NORMS}
    return shapes


NORMS = ("input_layernorm", "post_attention_layernorm")
LIMITS = {
    "vocabulary": 1 << 20,
    "hidden": 1 << 16,
    "layers": 1 << 10,
    "heads": 1 << 10,
    "feed_forward": 1 << 18,
    "sequence": 1 << 20,
}
"""Most of each number, so that a wrong subnet cannot ask for absurd memory."""
