"""Check a Llama that transformers saved, and print what a subnet needs to begin with it.

    assay model import my-model                         root and hyperparameters, for a chain specification
    assay model import my-model --into judge            and a judge that works in `judge` serves it to joiners

float32, float16 and bfloat16 weights are taken, one file or several. A weight of 127 or more, one that is not
finite, and whatever is no plain Llama is refused.
"""

from dataclasses import dataclass, field
from pathlib import Path

from miners.config import POSITIONAL


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob of the command."""

    directory: Path = field(metadata=POSITIONAL)  # with config.json and model.safetensors
    into: Path | None = None  # directory of a judge, which then serves the model to those who join
    json: bool = False  # print JSON
