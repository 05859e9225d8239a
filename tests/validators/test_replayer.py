"""The process that replays: it stays for the next replay, and is replaced when it is gone."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from miners.compressor import Compressor
from tests.e2e.process import eventually
from tests.validators.test_replay import LEAST, SMALL, work
from validators.replay import Finding
from validators.replayer import Replayer
from validators.replaying import found, write


def laid_out(folder: Path) -> Path:
    """A folder with a round that an honest miner has worked in."""
    folder.mkdir()
    one = work(1, Compressor(SMALL))
    write(folder, "drawn", one.parameters, one.base, np.concatenate(one.batches))
    (folder / "drawn.payload").write_bytes(one.blob)
    return folder


def children() -> set[int]:
    """The processes that this one has started."""
    found = set[int]()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(each) for each in (task / "children").read_text().split()}
    return found


async def test_one_process_replays_until_it_fails_or_idles(tmp_path: Path) -> None:
    first, second, third = (laid_out(tmp_path / name) for name in ("first", "second", "third"))
    before = children()
    async with Replayer("cpu", 1) as replayer:
        await replayer.replay(first, LEAST)
        used = children() - before
        await replayer.replay(second, LEAST)
        assert children() - before == used
        with pytest.raises(OSError, match=r"^the replay failed: FileNotFoundError: .*no round to replay"):
            await replayer.replay(tmp_path, LEAST)
        assert children() == before
    async with Replayer("cpu", 1, idle_seconds=0) as replayer:
        await replayer.replay(third, LEAST)
        await asyncio.to_thread(eventually, lambda: children() == before, "the end of an idle process")
    assert [found(each) for each in (first, second, third)] == [Finding(1_000_000)] * 3
