"""The process that replays: it stays for the next replay, and is replaced when it is gone."""

import asyncio
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from miners.compressor import Compressor
from tests.e2e.process import eventually
from tests.validators.test_replay import LEAST, SMALL, work
from validators.replay import Finding
from validators.replayer import Replayer
from validators.replaying import attempt, found, write


def laid_out(folder: Path) -> Path:
    """A folder with a round that an honest miner has worked in."""
    folder.mkdir()
    one = work(1, Compressor(SMALL))
    write(folder, "drawn", one.parameters, one.base, np.concatenate(one.batches))
    (folder / "drawn.payload").write_bytes(one.blob)
    return folder


def impostor(path: Path, script: str) -> str:
    """A program that is started in place of the one that replays; it does this with its first job."""
    path.write_text(f"#!/bin/sh\nread job\n{script}\n")
    path.chmod(0o700)
    return str(path)


def children() -> set[psutil.Process]:
    """The processes that this one has started."""
    return set(psutil.Process().children())


async def test_one_process_replays_until_it_fails_or_idles(tmp_path: Path) -> None:
    first, second, third = (laid_out(tmp_path / name) for name in ("first", "second", "third"))
    before = children()
    async with Replayer("cpu", 1) as replayer:
        await replayer.replay(first, LEAST)
        used = children() - before
        assert len(used) == 1
        await replayer.replay(second, LEAST)
        assert children() - before == used
        with pytest.raises(OSError, match=r"^the replay failed: FileNotFoundError: .*no round to replay"):
            await replayer.replay(tmp_path, LEAST)
        assert not children() - before
    async with Replayer("cpu", 1, idle_seconds=0) as replayer:
        await replayer.replay(third, LEAST)
        await asyncio.to_thread(eventually, lambda: not children() - before, "an idle process's end", 120)
    assert [found(each) for each in (first, second, third)] == [Finding(1_000_000)] * 3


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "its process ended with 3"),
        ("printf '{\"problem\": nu'; kill -9 $$", "its process ended with -9"),
        (
            "head -c 200000 /dev/zero | tr '\\0' x; exec sleep 600",
            "its process says more than an answer holds",
        ),
        (
            "head -c 200000 /dev/zero | tr '\\0' x; echo; exec sleep 600",
            "its process says more than an answer holds",
        ),
    ],
    ids=["nothing", "half a line", "no end", "a long line"],
)
async def test_a_process_that_gives_no_answer_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    before = children()
    async with Replayer("cpu", 1) as replayer:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", impostor(tmp_path / "impostor", script))
            with pytest.raises(OSError) as failure:
                await replayer.replay(tmp_path, LEAST)
        assert str(failure.value) == f"the replay failed: {told}"
        assert not children() - before


@pytest.mark.parametrize("numbers", ["", "3", '{"hidden": "zz"}', '{"top_k": 1e999}', "[" * 100_000])
def test_damaged_numbers_are_told(tmp_path: Path, numbers: str) -> None:
    (tmp_path / "drawn.json").write_text(numbers)
    told = attempt(tmp_path, "cpu", LEAST)
    assert told is not None
    assert told.startswith(f"Damaged: {tmp_path}/drawn.json is damaged (")


def test_why_a_replay_failed_is_told_in_brief(tmp_path: Path) -> None:
    """A line longer than its reader takes would be no answer at all."""
    told = attempt(tmp_path / ("deep/" * 400), "cpu", LEAST)
    assert told is not None
    assert len(told) == 1_000
