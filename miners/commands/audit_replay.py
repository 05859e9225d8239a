"""Derive every model of a subnet again, from the chain and the payloads alone, and say where one differs.

    assay audit replay                  every round, or from the oldest checkpoint that can be had
    assay audit replay --from 100 --to 150 --json

Exit code 0: every root is as the chain attests. 1: one differs, or nothing could be derived.
"""

from dataclasses import dataclass

from miners.site import check_numbers


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob of the command."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    netuid: int = 1  # subnet to audit
    from_: int = 1  # first round to count; it takes the model before it, derived on the way
    to: int | None = None  # last round; the last one that is over if not given
    json: bool = False  # print JSON, one object at the end

    def __post_init__(self) -> None:
        check_numbers(self.netuid, 0, 1)
        if self.from_ < 1:
            raise ValueError(f"--from is {self.from_}, must be 1 or more")
        if self.to is not None and self.to < self.from_:
            raise ValueError(f"--to is {self.to}, must be --from ({self.from_}) or more")
