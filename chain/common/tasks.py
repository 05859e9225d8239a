"""Tasks whose work can be seen from outside, and work that would hold the loop for too long."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class TaskObserver(Protocol):
    """Counts what tasks do; seconds are wall-clock."""

    def task_spawned(self, name: str) -> None: ...
    def task_polled(self, name: str, seconds: float) -> None: ...
    def task_ended(self, name: str, reason: str) -> None: ...


async def aside(work: Callable[[], T]) -> T:
    """Do work in a thread; who is cancelled waits for its end, so that it outlives nothing that it uses."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    finally:
        if not running.done():
            await asyncio.wait([running])


async def observed(name: str, work: Coroutine[Any, Any, None], observer: TaskObserver) -> None:
    """Do the work, counting every step of it; being cancelled counts as finished."""
    observer.task_spawned(name)
    reason = "panic"
    try:
        await _Steps(name, work, observer)
        reason = "finished"
    except asyncio.CancelledError:
        reason = "finished"
        raise
    finally:
        observer.task_ended(name, reason)


class _Steps(Generator[Any, Any, None]):
    """A coroutine as `await` drives it, with a stopwatch between two of its waits."""

    def __init__(self, name: str, work: Coroutine[Any, Any, None], observer: TaskObserver) -> None:
        self._name = name
        self._work = work
        self._observer = observer

    def __await__(self) -> "_Steps":
        return self

    def send(self, value: Any) -> Any:
        """Go on to the next wait."""
        began = time.perf_counter()
        try:
            return self._work.send(value)
        finally:
            self._observer.task_polled(self._name, time.perf_counter() - began)

    def throw(self, *problem: Any) -> Any:
        """Go on with a problem to the next wait."""
        began = time.perf_counter()
        try:
            return self._work.throw(*problem)
        finally:
            self._observer.task_polled(self._name, time.perf_counter() - began)
