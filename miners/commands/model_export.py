"""Write the model after a round to a directory that transformers loads with no code of ours.

    assay model export --to my-model                    the newest one
    assay model export --to my-model --round 120        as it was; judges keep two checkpoints, archives all

`AutoModelForCausalLM.from_pretrained("my-model")` and `AutoTokenizer.from_pretrained("my-model")` read it,
and `assay model import my-model` gives back the very model, root included.
"""

from dataclasses import dataclass
from pathlib import Path

from miners.site import check_numbers


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob of the command."""

    to: Path  # directory to write; it must be empty or not there yet
    url: str = "ws://127.0.0.1:9944"  # node to talk to
    netuid: int = 1  # subnet whose model it is
    round: int | None = None  # after which round: the last one if not given, 0 for the first model
    json: bool = False  # print JSON

    def __post_init__(self) -> None:
        check_numbers(self.netuid, 0, 1)
        if self.round is not None and self.round < 0:
            raise ValueError(f"--round is {self.round}, must be 0 or more")
