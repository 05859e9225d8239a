"""Trackers run beside a worker: what they are told, and that nothing they do harms it."""

import json
import logging
from pathlib import Path

import pytest

from miners.joining import CannotJoin
from miners.reports import Report
from miners.tracking import Run, ensure_installed, numbers, tracking

STAND_IN = """
import json
notes = open({path!r}, "w", buffering=1)
def note(called, /, *args, **more): print(json.dumps([called, args, more]), file=notes)
def init(**more): note("init", **more)
def log(*args, **more): note("log", *args, **more)
def finish(): note("finish")
print("words of the tracker")
"""
"""a module that writes down how it is called"""
RUN = Run("assay-local-1", "miner-5FpjvV2a", {"netuid": 1})


def install(monkeypatch: pytest.MonkeyPatch, home: Path, name: str, source: str) -> None:
    """Put a module where this process and its children find it."""
    (home / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("PYTHONPATH", str(home), prepend=":")


def test_only_numbers_are_tracked_and_money_in_asy() -> None:
    values = {
        "loss": 3.5, "rank": 2, "accepted": True, "why": None, "phase": "Closed", "rejected": {"6": "x"},
        "last_payout_planck": 9_410_000_000_000, "last_payout_block": 7, "withheld_since_round": 3,
    }  # fmt: skip
    assert numbers(values) == {"loss": 3.5, "rank": 2.0, "accepted": 1.0, "last_payout_asy": 9.41}


@pytest.mark.parametrize(("name", "more"), [("trackio", {}), ("wandb", {"id": RUN.name})])
async def test_each_round_reaches_the_tracker(
    name: str, more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    install(monkeypatch, tmp_path, name, STAND_IN.format(path=str(notes)))
    ensure_installed(name)
    async with tracking(name, RUN) as track:
        assert track is not None
        await track(Report("round", 7, "text", {"loss": 3.5}))
        await track(Report("slashed", 7, "text", {"burnt": 1}))
        await track(Report("round", 8, "text", {"loss": 3.25}))
    init = {"project": RUN.project, "name": RUN.name, "config": {"netuid": 1}, "resume": "allow", **more}
    assert [json.loads(line) for line in notes.read_text().splitlines()] == [
        ["init", [], init], ["log", [{"loss": 3.5}], {"step": 7}], ["log", [{"loss": 3.25}], {"step": 8}],
        ["finish", [], {}],
    ]  # fmt: skip


async def test_a_tracker_that_fails_is_told_once_and_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, tmp_path, "wandb", "raise SystemExit(3)")
    with caplog.at_level(logging.INFO, "tracking"):
        async with tracking("wandb", RUN) as track:
            assert track is not None
            await track._process.wait()
            for number in (1, 2):
                await track(Report("round", number, "text", {"loss": 3.5}))
    assert caplog.messages == ["wandb has ended; its words are above: rounds are not tracked any more"]


async def test_without_a_tracker_nothing_runs() -> None:
    async with tracking("none", RUN) as track:
        assert track is None
    ensure_installed("none")


def test_a_tracker_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()  # what a run of wandb leaves behind is no package
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CannotJoin) as refused:
        ensure_installed("wandb")
    assert str(refused.value) == (
        "--track wandb needs a package that is not here: pip install 'assay-chain[wandb]', or leave it out"
    )
