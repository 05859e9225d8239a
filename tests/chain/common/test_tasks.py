"""Tasks that are watched do what they would do unwatched."""

import asyncio

import pytest

from chain.common.tasks import observed


class Watched:
    """What was seen of tasks."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.steps = 0

    def task_spawned(self, name: str) -> None:
        self.seen.append(f"{name} spawned")

    def task_polled(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.steps += 1

    def task_ended(self, name: str, reason: str) -> None:
        self.seen.append(f"{name} {reason}")


async def test_steps_are_counted_between_waits() -> None:
    watched, waits = Watched(), 3

    async def work() -> None:
        for _ in range(waits):
            await asyncio.sleep(0)

    await observed("a", work(), watched)
    assert (watched.seen, watched.steps) == (["a spawned", "a finished"], waits + 1)


async def test_problems_come_through_in_both_directions() -> None:
    watched, caught = Watched(), []

    async def work() -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError as problem:
            caught.append(problem)
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        await observed("a", work(), watched)
    assert (watched.seen, len(caught)) == (["a spawned", "a panic"], 1)


async def test_a_cancelled_task_cleans_up_and_counts_as_finished() -> None:
    watched, cleaned = Watched(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(observed("a", work(), watched))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
    assert watched.seen == ["a spawned", "a finished"]
