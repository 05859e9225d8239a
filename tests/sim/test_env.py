"""Simulated machines: clocks that are wrong, disks that lose power, a database that is RocksDB's twin."""

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.common.errors import StorageError
from chain.env import Locked
from chain.storage.db import FLAT, HISTORY, META, RocksDatabase
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import EPOCH_MS, Files, Killed, Life, SimClock, SimDisk
from tests.sim.loop import VirtualLoop


def test_a_wrong_clock_shows_wrong_time_and_sleeps_right() -> None:
    loop, clock = VirtualLoop(), SimClock(random.Random(1))

    async def main() -> tuple[int, int, float]:
        clock.skew_ms = -5_000
        before = clock.wall_ms()
        await clock.sleep(2)
        return before, clock.wall_ms(), clock.monotonic()

    before, after, seconds = loop.run(main())
    assert before == EPOCH_MS - 5_000
    assert 2_000 <= after - before <= 2_002
    assert 2.0 <= seconds <= 2.002


@pytest.mark.parametrize(("torn", "left"), [(True, b"old"), (False, b"new")])
def test_power_is_lost_before_or_after_a_write(torn: bool, left: bytes) -> None:
    files = Files({"guard.db": b"old"})
    life = Life(fatal=0, torn=torn)
    disk = SimDisk(files, life)
    with pytest.raises(Killed):
        disk.replace("guard.db", b"new")
    disk.replace("guard.db", b"of a dead process")
    assert SimDisk(files, Life()).read("guard.db") == left


def test_a_lock_ends_with_whoever_holds_it() -> None:
    files, life = Files(), Life()
    SimDisk(files, life).lock("guard.lock")
    with pytest.raises(Locked):
        SimDisk(files, Life()).lock("guard.lock")
    life.alive = False
    SimDisk(files, Life()).lock("guard.lock").release()
    SimDisk(files, Life()).lock("guard.lock")


def test_a_full_disk_says_so() -> None:
    disk = SimDisk(Files({"a": b"1"}, broken="full"), Life())
    with pytest.raises(OSError, match="a: the disk is full"):
        disk.replace("a", b"2")
    assert disk.read("a") == b"1"


KEYS = st.binary(min_size=1, max_size=2)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("put", "delete", "clear", "write", "snapshot")),
        st.sampled_from((FLAT, HISTORY, META)),
        KEYS,
        st.binary(max_size=3),
    ),
    max_size=30,
)


def played(database: Any, steps: list[tuple[str, str, bytes, bytes]]) -> list[object]:
    """Do these steps and return all that can be read afterwards."""
    batch, snapshots = database.batch(), [database.snapshot()]
    for what, column, key, value in steps:
        if what == "put":
            batch.put(column, key, value)
        elif what == "delete":
            batch.delete(column, key)
        elif what == "clear":
            batch.clear(column)
        elif what == "write":
            database.write(batch)
            batch = database.batch()
        else:
            snapshots.append(database.snapshot())
    database.write(batch)
    every = sorted({key for _, _, key, _ in steps})
    seen: list[object] = [[database.get(column, key) for key in every] for column in (FLAT, HISTORY, META)]
    seen += [list(database.keys(column, b"")) for column in (FLAT, HISTORY)]
    for snapshot in snapshots:
        for column in (FLAT, HISTORY):
            seen += [snapshot.get(column, key) for key in every]
            seen += [snapshot.entry(column, key) for key in every]
            seen.append(snapshot.keys(column, b"\x10", 5))
        snapshot.release()
    return seen


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_the_database_in_memory_is_the_one_on_disk(steps: list[tuple[str, str, bytes, bytes]]) -> None:
    with TemporaryDirectory() as directory:
        real = RocksDatabase.open(Path(directory))
        try:
            expected = played(real, steps)
        finally:
            real.close()
    assert played(MemoryDatabase(Tables(), Life()), steps) == expected


@pytest.mark.parametrize(("torn", "left"), [(True, (None, None)), (False, (b"1", b"2"))])
def test_a_batch_is_written_whole_or_not_at_all(torn: bool, left: tuple[bytes | None, bytes | None]) -> None:
    tables = Tables()
    database = MemoryDatabase(tables, Life(fatal=0, torn=torn))
    batch = database.batch()
    batch.put(FLAT, b"a", b"1")
    batch.put(META, b"b", b"2")
    with pytest.raises(Killed):
        database.write(batch)
    again = MemoryDatabase(tables, Life())
    assert (again.get(FLAT, b"a"), again.get(META, b"b")) == left


def test_a_database_on_a_full_disk_refuses_and_a_closed_one_too() -> None:
    tables = Tables()
    database = MemoryDatabase(tables, Life())
    snapshot = database.snapshot()
    tables.broken = "full"
    with pytest.raises(StorageError, match="the disk is full"):
        database.write(database.batch())
    database.close()
    with pytest.raises(StorageError, match="closed"):
        database.get(FLAT, b"")
    with pytest.raises(StorageError, match="closed"):
        snapshot.get(FLAT, b"")


def test_a_killed_task_passes_every_handler_of_exceptions() -> None:
    async def work() -> None:
        try:
            SimDisk(Files(), Life(fatal=0)).replace("a", b"")
        except Exception:  # noqa: BLE001  the point of the test
            pytest.fail("a loss of power was caught")

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work())

    with pytest.raises(BaseExceptionGroup) as caught:
        VirtualLoop().run(main())
    assert caught.group_contains(Killed)
