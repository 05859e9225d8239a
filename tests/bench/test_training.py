"""The training benches at their smallest: they count bytes and ranks right, and go on where they stopped."""

import json
import sys
from pathlib import Path

import pytest

from bench import effort, loss_gap
from bench.lab import changes
from bench.loss_gap import AROUND, BASE, Run

FLAT = ["--set", "inner_steps=2", "--set", "inner_steps_start=0", "--set", "warmup_rounds=0"]
"""Rounds of two steps each."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Text enough for a tiny model."""
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(40):
        (folder / f"part{number}.py").write_text(
            "".join(f"x{each} = {each * number}\n" for each in range(60))
        )
    return folder


def ran(
    module: object, monkeypatch: pytest.MonkeyPatch, arguments: list[str], tmp_path: Path
) -> dict[str, object]:
    """Run a bench as a command, and return its figures."""
    written = tmp_path / "figures.json"
    flags = ["--size", "tiny", "--seeds", "1", "--state", str(tmp_path / "state"), "--json", str(written)]
    monkeypatch.setattr(sys, "argv", ["bench", *flags, *arguments])
    module.main()  # type: ignore[attr-defined]
    found: dict[str, object] = json.loads(written.read_text())["figures"]
    return found


def test_bytes_and_loss_are_those_of_the_rounds(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--text", str(source), "--steps", "6", "--warm", "2", "--workers", "2", "--held-out", "4"]
    arguments += [*FLAT, "--set", "chunk=1024", "--set", "top_k=32"]
    found = ran(loss_gap, monkeypatch, arguments, tmp_path)
    (raw,) = found["raw"]  # type: ignore[misc]
    assert (raw["sync"]["steps"], raw["sync"]["blob_bytes"]) == (6, 6 * 4 * found["parameters"])  # type: ignore[operator]
    assert [raw[way]["steps"] for way in ("scratch", "warm")] == [6, 4]
    assert [raw[way]["rounds"] for way in ("scratch", "warm")] == [3, 2]
    for way in ("scratch", "warm"):
        assert raw[way]["bytes_up"] == raw[way]["blob_bytes"] + AROUND * raw[way]["rounds"]
    again = ran(loss_gap, monkeypatch, arguments, tmp_path)
    assert again == found  # nothing was run again: the seconds are the same, too


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--text", str(source), "--steps", "6", "--warm", "2", "--workers", "2", "--held-out", "4"]
    arguments += ["--only", "scratch", *FLAT]
    monkeypatch.setattr(loss_gap, "MEASURED_ROUNDS", 1)
    whole = ran(loss_gap, monkeypatch, arguments, tmp_path)["raw"]
    once = loss_gap._round
    calls = []

    def stopping(*given: object) -> object:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(None)
        return once(*given)  # type: ignore[arg-type]

    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(loss_gap, "_round", stopping)
    with pytest.raises(KeyboardInterrupt):
        ran(loss_gap, monkeypatch, arguments, other)
    monkeypatch.setattr(loss_gap, "_round", once)
    resumed = ran(loss_gap, monkeypatch, arguments, other)["raw"]
    for each in (*whole, *resumed):  # type: ignore[misc]
        for way in ("sync", "scratch"):
            each[way].pop("seconds")
    assert resumed == whole


def test_a_number_that_is_not_known_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"--set knows inner_steps, .*, not speed"):
        changes(["speed=3"], BASE)
    assert changes(["top_k=7"], BASE) == {"top_k": 7}
    assert set(BASE) >= {"beta_ppm", "floor_ppm"}
    assert Run(curve=[(1, 2.0), (2, 1.5)]).loss == 1.5


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([1, 2, 3, 4], 1.0),
        ([4, 3, 2, 1], -1.0),
        ([5, 5, 5, 5], 0.0),
        ([1, 3, 2, 4], 0.8),
        ([0, 0, 1, 2], 0.9487),
    ],
)
def test_ranks_are_correlated(values: list[int], rank: float) -> None:
    assert effort.spearman(values) == rank


def test_the_rank_of_pay_is_taken_round_by_round() -> None:
    rising = {str(each): [each, 10 * each, 100, 100 - each, 0] for each in range(effort.MINERS)}
    falling = {str(each): [-each, each, 100, 100 + each, 0] for each in range(effort.MINERS)}
    found = effort.correlations([rising, rising, rising, falling])
    assert found["score"] == [1.0, 1.0, 1.0, -1.0]
    assert found["alignment"] == [1.0] * 4
    assert found["loss_drop"] == [1.0, 1.0, 1.0, -1.0]
    assert found["four_rounds"] == [1.0]
    assert effort.summary([found])["score"] == {"mean": 0.5, "least": -1.0, "is_met": False}
