"""Two real processes train as one miner, and one of them is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from miners.crew import crew
from miners.model import train
from miners.payload import compress, decode, encode, shape_of
from tests.e2e.process import eventually, free_ports
from tests.miners import crew_work
from tests.miners.crew_work import MODEL, SMALL, batches

SECONDS = 180.0
"""for a process to do what takes it a few, on a machine that does other things"""


def test_one_process_is_no_crew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with crew("cpu") as alone:
        assert alone is None


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1))}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", crew_work.__name__, str(tmp_path)],
            env=os.environ | places | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    yield started
    for each in started:
        each.kill()
        each.communicate()


def test_two_make_the_payload_of_one_and_none_when_one_is_lost(
    tmp_path: Path, ranks: list[subprocess.Popen[str]]
) -> None:
    first = tmp_path / "0.npy"
    eventually(first.exists, "the update of two processes", deadline=SECONDS)
    shape = shape_of(SMALL, MODEL.root())
    alone = compress(train(MODEL, batches(SMALL.inner_steps), SMALL).delta, shape)
    blob = encode(compress(np.load(first), shape))
    together = decode(blob, shape)
    overlap = len(np.intersect1d(alone.indices, together.indices)) / len(alone.indices)
    assert overlap >= 0.99
    assert abs(len(blob) - len(encode(alone))) <= 0.01 * len(blob)

    ranks[1].kill()  # in the middle of the second training
    _, told = ranks[0].communicate(timeout=SECONDS)
    assert ranks[0].returncode == 1
    last = told.strip().splitlines()[-1]
    assert last.startswith("assay miner: another process of this miner is lost (")
    assert last.endswith("): nothing was committed; start them all again")
    assert not (tmp_path / "1.npy").exists()
