"""The real clock, randomness and disk."""

import os
from pathlib import Path

import pytest

from chain.env import Locked
from chain.env_real import RealClock, RealDisk, RealRng


async def test_sleep_lasts_as_long_as_the_monotonic_clock_says() -> None:
    clock = RealClock()
    before, wall = clock.monotonic(), clock.wall_ms()
    await clock.sleep(0.02)
    assert clock.monotonic() - before >= 0.02
    assert wall > 1_700_000_000_000


def test_tokens_have_the_size_asked_for_and_differ() -> None:
    rng = RealRng()
    assert len(rng.token(32)) == 32
    assert rng.token(32) != rng.token(32)


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "keys" / "deep")
    assert disk.read("a") is None
    disk.replace("a", b"long content")
    disk.replace("a", b"short")
    assert disk.read("a") == b"short"
    assert disk.names() == ["a"]
    assert (disk.directory / "a").stat().st_mode & 0o777 == 0o600
    assert disk.directory.stat().st_mode & 0o777 == 0o700


def test_what_a_crash_left_half_written_is_not_there(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    disk.replace("b", b"old")
    (tmp_path / "b.tmp").write_bytes(b"hal")
    assert disk.names() == ["b"]
    assert disk.read("b") == b"old"
    disk.replace("b", b"new")
    assert os.listdir(tmp_path) == ["b"]


def test_a_new_directory_is_synced_with_the_file_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    RealDisk(tmp_path / "keys" / "deep").replace("a", b"x")
    assert set(synced) >= {tmp_path, tmp_path / "keys", tmp_path / "keys" / "deep"}


def test_one_holder_of_a_lock_at_a_time(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    lock = disk.lock("lock")
    with pytest.raises(Locked, match="is held by another process"):
        RealDisk(tmp_path).lock("lock")
    lock.release()
    RealDisk(tmp_path).lock("lock").release()
