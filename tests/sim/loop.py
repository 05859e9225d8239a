"""An event loop without a clock: when nobody can go on, time jumps to the next timer.

    VirtualLoop().run(main())

One thread, no selector, no sleeping. Callbacks run in the order they were scheduled, timers in the order of
their moments, so that a run depends on nothing but what it is given. A run in which nobody can ever go on is
a Deadlock and no wait.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Deadlock(AssertionError):
    """Everybody waits, and no timer will wake anybody."""


class Runnable(Protocol):
    """Something the loop will do: asyncio.Handle, or a Call."""

    def cancelled(self) -> bool: ...
    def _run(self) -> None: ...


class Call:
    """A callback that nobody cancels."""

    __slots__ = ("_args", "_callback")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback = callback
        self._args = args

    def cancelled(self) -> bool:
        """Return False."""
        return False

    def _run(self) -> None:
        self._callback(*self._args)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs coroutines in virtual time, which begins at 0 s."""

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[Runnable] = deque()
        self._timers: list[tuple[float, int, Runnable]] = []
        self._count = 0
        self._tasks = 0
        self._running = False

    # What a simulator does.

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, then cancel what it has left behind.

        Raises: Deadlock, and what the coroutine raises.
        """
        asyncio._set_running_loop(self)
        self._running = True
        try:
            result: T = self.run_until_complete(self.create_task(work))
        finally:
            self._cancel_all()
            self._running = False
            asyncio._set_running_loop(None)
        return result

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Call something at a moment (s), for sure."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, Call(callback, args)))

    def _cancel_all(self) -> None:
        """Cancel every task, the oldest first, and let each wind up."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    # What asyncio asks of a loop.

    def run_until_complete(self, future: Any) -> Any:
        """Run until a future is done; return its result."""
        ready, timers = self._ready, self._timers
        while not future.done():
            if ready:
                handle = ready.popleft()
            elif timers:
                when, _, handle = heapq.heappop(timers)
                self._now = max(self._now, when)
            else:
                raise Deadlock(f"after {self._now:.3f} s everybody waits for somebody else")
            if not handle.cancelled():
                handle._run()
        return future.result()

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        """Run a callback after those that are ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run a callback after some seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a moment."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave a cancelled timer where it is; its turn comes and passes."""

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        """Return a task of this loop; its name says how many came before, so that names have an order."""
        self._tasks += 1
        return asyncio.Task(coro, loop=self, name=f"{self._tasks:09d} {name or ''}", context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Call a function at once: there are no threads here."""
        answer = self.create_future()
        try:
            answer.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001  as an executor hands over whatever it was
            answer.set_exception(problem)
        return answer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Stop the run: what nobody has caught is a bug."""
        problem = context.get("exception")
        if problem is not None:
            raise problem

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Say whether it runs."""
        return self._running

    def is_closed(self) -> bool:
        """Return False: there is nothing to close."""
        return False

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators are closed by whoever iterates."""
