"""What a round is made of: the numbers that its miners train with, and that their work is judged by.

They are those of the block in which it opened, for as long as anybody looks at it: an owner who changes one
neither splits those who are at work nor punishes afterwards who did as told.
"""

from typing import Annotated

from runtime.pallets.subnets.numbers import FIXED, Hyperparameters, Parameter
from runtime.pallets.subnets.types import Setting
from runtime.primitives.shapes import Bounded

MADE_OF = tuple(
    parameter
    for parameter in Parameter
    if parameter.name in FIXED
    or parameter.name
    in (
        "max_payload_bytes", "inner_steps", "batch_size", "learning_rate_ppm", "warmup_steps",
        "weight_decay_ppm", "clip_norm_ppm", "chunk", "top_k", "beta_ppm", "outer_learning_rate_ppm",
        "support_floor_ppm", "norm_clip_ppm", "evaluation_sequences", "overlap_ppm", "tolerance_ppm",
        "ema_ppm", "inner_optimizer",
    )
)  # fmt: skip
"""By ascending number: the shape of the model, how it is trained, how scores, audits and juries judge."""

ParameterSet = Annotated[list[Setting], Bounded(128)]
"""The numbers of a round, each under its name: nobody has to know an order, or how many there were then."""


def parameter_set(chosen: Hyperparameters) -> list[Setting]:
    """Return the numbers that a round opened now is made of."""
    return [Setting(parameter, getattr(chosen, parameter.name)) for parameter in MADE_OF]
