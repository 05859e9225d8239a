"""What every miner and judge of a training subnet must agree on; the chain supplies it.

Plain integers, so that they can be chain storage: the subnet's hyper-parameters under the same names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from chain.client import Round
from miners.layout import ModelConfig

PPM = 1_000_000
"""Parts per million in one."""
ADAMW, MUON = 0, 1
"""Inner optimisers."""


class OutOfRange(ValueError):
    """A number that this program cannot work with; says which."""


@dataclass(frozen=True, slots=True)
class TrainingParameters:
    """The consensus values of one training subnet; whoever trains otherwise fails the replay audit.

    The defaults suit the default model: held-out loss fell in every one of 12 rounds from scratch, in 7 of 7
    runs with 1, 2 and 4 miners. With beta 0.95 or twice the learning rate it rose now and then.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    inner_steps: int = 20  # optimiser steps per round (H)
    batch_size: int = 4  # sequences per step
    learning_rate_ppm: int = 2_000  # peak of the inner AdamW
    warmup_steps: int = 8  # steps of linear rise; the optimiser starts fresh every round
    weight_decay_ppm: int = 100_000  # AdamW, decoupled
    clip_norm_ppm: int = 1_000_000  # inner gradients are clipped to this norm
    chunk: int = 4_096  # parameters per top-k chunk
    top_k: int = 128  # values kept per full chunk
    beta_ppm: int = 800_000  # what the error feedback keeps from round to round
    outer_learning_rate_ppm: int = 1_000_000  # factor on the aggregate
    support_floor_ppm: int = 500_000  # least share of all weight that divides one parameter's sum
    norm_clip_ppm: int = 1_000_000  # a payload's norm is cut to this multiple of the median norm
    inner_optimizer: int = ADAMW  # or MUON
    evaluation_sequences: int = 64  # hidden sequences a judge measures on
    max_payload_bytes: int = 65_536  # a larger blob is refused before it is read

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            number = getattr(self, name)
            if not least <= number <= most:
                raise OutOfRange(f"{name} is {number}, must be {least} to {most}")
        if self.top_k > self.chunk:
            raise OutOfRange(f"top_k is {self.top_k}, must be at most chunk ({self.chunk})")
        if self.warmup_steps > self.inner_steps:
            raise OutOfRange(
                f"warmup_steps is {self.warmup_steps}, must be at most inner_steps ({self.inner_steps})"
            )

    def in_round(self, inner_steps: int) -> "TrainingParameters":
        """Return what holds in a round of so many steps; the learning rate has risen by then."""
        return replace(self, inner_steps=inner_steps, warmup_steps=min(self.warmup_steps, inner_steps))

    @classmethod
    def of(cls, current: Round) -> "TrainingParameters":
        """Return what a round is made of.

        Raises: OutOfRange.
        """
        return cls.from_integers(current.parameters).in_round(current.inner_steps)

    @classmethod
    def from_integers(cls, numbers: Mapping[str, int]) -> "TrainingParameters":
        """Build from the chain's flat name -> integer map; names that are not ours are left alone.

        Raises: OutOfRange; ValueError for a shape that no model can have.
        """
        shape = {one.name: numbers[one.name] for one in fields(ModelConfig) if one.name in numbers}
        ours = {one.name: numbers[one.name] for one in fields(cls) if one.name in numbers}
        return cls(model=ModelConfig(**shape), **ours)

    def to_integers(self) -> dict[str, int]:
        """Return the flat map, in the order of the declarations."""
        shape = {one.name: getattr(self.model, one.name) for one in fields(ModelConfig)}
        return shape | {one.name: getattr(self, one.name) for one in fields(self) if one.name != "model"}


BOUNDS = {
    "inner_steps": (1, 1_000),
    "batch_size": (1, 4_096),
    "learning_rate_ppm": (1, PPM),
    "warmup_steps": (0, 1_000),
    "weight_decay_ppm": (0, PPM),
    "clip_norm_ppm": (1, 1_000 * PPM),
    "chunk": (16, 65_536),
    "top_k": (1, 65_536),
    "beta_ppm": (0, PPM),
    "outer_learning_rate_ppm": (1, 4 * PPM),
    "support_floor_ppm": (0, PPM),
    "norm_clip_ppm": (1, 100 * PPM),
    "inner_optimizer": (ADAMW, MUON),
    "evaluation_sequences": (1, 65_536),
    "max_payload_bytes": (128, 1 << 30),
}
"""Least and most of each value; beyond, the integer arithmetic or the machines of others give way."""
