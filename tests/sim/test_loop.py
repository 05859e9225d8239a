"""Virtual time: nobody waits, the order is that of the moments, waiting for ever does not go unnoticed."""

import asyncio
import time

import pytest

from tests.sim.loop import Deadlock, VirtualLoop


def test_an_hour_passes_at_once_and_in_order() -> None:
    loop, woken = VirtualLoop(), []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((seconds, loop.time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for seconds in (3600.0, 0.5, 60.0):
                tasks.create_task(sleeper(seconds))

    began = time.monotonic()
    loop.run(main())
    assert woken == [(0.5, 0.5), (60.0, 60.0), (3600.0, 3600.0)]
    assert time.monotonic() - began < 60


def test_what_is_due_at_one_moment_happens_in_the_order_it_was_asked_for() -> None:
    loop, seen = VirtualLoop(), []

    async def main() -> None:
        for number in range(5):
            loop.call_at(1.0, seen.append, number)
        loop.at(1.0, seen.append, 5)
        await asyncio.sleep(1.0)

    loop.run(main())
    assert seen == [0, 1, 2, 3, 4, 5]


def test_waiting_for_nothing_is_an_error_that_says_when() -> None:
    async def main() -> None:
        await asyncio.sleep(2.5)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"after 2\.500 s everybody waits for somebody else"):
        VirtualLoop().run(main())


def test_timeouts_and_cancelled_timers() -> None:
    loop = VirtualLoop()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        async with asyncio.timeout(50):
            await asyncio.sleep(1)
        return loop.time()

    assert loop.run(main()) == 4.0


def test_what_a_run_leaves_behind_is_cancelled() -> None:
    loop, ended = VirtualLoop(), []

    async def left_behind(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def main() -> None:
        tasks = [asyncio.create_task(left_behind(name)) for name in "abc"]
        await asyncio.sleep(1)
        assert len(tasks) == 3

    loop.run(main())
    assert ended == ["a", "b", "c"]


def test_a_callback_that_fails_ends_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        VirtualLoop().run(main())


def test_a_function_for_another_thread_runs_here() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 42)

    assert VirtualLoop().run(main()) == 42
