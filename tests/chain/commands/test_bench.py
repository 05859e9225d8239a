"""assay bench: what there is, and that it is run with its own flags."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chain.cli import main


def test_measurements_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"runtime", "loss_gap", "siege"} <= set(listed)
    assert not {"record", "lab", "table"} & set(listed), "no measurement"
    assert all(listed.values()), "each says what it measures"
    assert main(["bench"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(listed)


def test_a_measurement_is_run_with_its_own_flags(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chain", "bench", "sim", "--help"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "--seeds" in done.stdout


def test_an_unknown_one_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "../chain/cli"]) == 2
    told = capsys.readouterr().err
    assert told == "assay: there is no measurement ../chain/cli: `assay bench` lists them\n"
