"""Networks under faults: some seeds of every nemesis, as `make sim` plays them by the thousand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chain.consensus.author import Author
from tests.sim.nemesis import NEMESES
from tests.sim.storm import TWINS, storm

ROOT = Path(__file__).resolve().parents[2]
PRINT_TRACES = "from tests.sim.storm import storm\nfor seed in (3, 4): print(storm(seed).trace)"


@pytest.mark.parametrize("nemesis", [*NEMESES, TWINS, "partitions,crashes,twins", "loss,skew,churn"])
def test_four_validators_survive(nemesis: str) -> None:
    for seed in (1, 2):
        outcome = storm(seed, 4, nemesis)
        replay = f'make sim ARGS="--seed {seed} --validators 4 --nemesis {nemesis}"'
        assert outcome.broken == [], replay


def test_a_network_that_stops_authoring_is_noticed_though_most_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = Author.begin

    async def until_ten_seconds(self: Author, slot: int) -> None:
        if self._clock.monotonic() < 10:
            await begin(self, slot)

    monkeypatch.setattr(Author, "begin", until_ten_seconds)
    (broken,) = storm(5, 4, "offline,crashes").broken
    assert broken.endswith("no block in a long time with 2 of 4 nodes off")


@pytest.mark.parametrize("validators", [1, 2, 3, 7])
def test_networks_of_other_sizes_survive(validators: int) -> None:
    outcome = storm(validators, validators)
    assert outcome.broken == [], f'make sim ARGS="--seed {validators} --validators {validators}"'


def test_a_seed_is_the_same_run_on_every_machine() -> None:
    """Not even the order of sets, which Python draws anew in each process, may matter."""
    traces = [
        subprocess.run(
            [sys.executable, "-c", PRINT_TRACES],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert traces[0] == traces[1]
    assert len(set(traces[0].split())) == 2
