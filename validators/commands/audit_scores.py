"""Compute every published score again, from what judges have published alone, and compare measurements.

assay audit scores                      the last 64 rounds, every judge
assay audit scores --from 100 --to 150 --json

A score follows from the measurements that are published with it and from what its judge has published before.
Measurements of one payload by several judges are held against their median by stake. Exit code 0: all scores
follow, and no measurement is further off than the subnet's tolerance. 1: otherwise.
"""

from dataclasses import dataclass

from miners.site import check_numbers

MOST_ROUNDS = 1_024
"""looked at in one run"""


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob of the command."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    netuid: int = 1  # subnet to audit
    from_: int | None = None  # first round; 64 rounds up to the last one if not given
    to: int | None = None  # last round; the newest one if not given
    json: bool = False  # print JSON, one object at the end

    def __post_init__(self) -> None:
        check_numbers(self.netuid, 0, 1)
        if self.from_ is not None and self.from_ < 1:
            raise ValueError(f"--from is {self.from_}, must be 1 or more")
        if self.to is not None and self.to < (self.from_ or 1):
            raise ValueError(f"--to is {self.to}, must be --from ({self.from_ or 1}) or more")
        if self.from_ is not None and self.to is not None and self.to - self.from_ >= MOST_ROUNDS:
            raise ValueError(f"--from {self.from_} --to {self.to} are more than {MOST_ROUNDS} rounds")
