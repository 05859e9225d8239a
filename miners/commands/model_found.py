"""Name the model that a subnet begins with, as its owner; one made on a running chain has none before.

    assay model found --netuid 2                           print the root of the standard one, send nothing
    assay model found --netuid 2 --key //Owner             name it on chain
    assay model found --netuid 2 --key //Owner --model my-model
                                                           name another one, of the shape that the subnet has

No round opens before. Once one has, the model goes on from there. Everybody can compute the standard model;
any other one must lie with a judge: `assay model import my-model --into JUDGE`.
"""

from dataclasses import dataclass
from pathlib import Path

from miners.site import check_numbers


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob of the command."""

    netuid: int  # subnet whose model it is
    model: Path | None = None  # directory of another model; the standard one if not given
    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str | None = None  # secret URI of the subnet's owner; without one nothing is sent
    key_file: Path | None = None  # file with that secret in its first line; nobody else can see it there
    json: bool = False  # print JSON

    def __post_init__(self) -> None:
        check_numbers(self.netuid, 0, 1)
