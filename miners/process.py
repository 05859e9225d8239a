"""How the programs of this room start and stop: one line per failure, no traceback, Ctrl-C is a clean end."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chain.commands.failure import printable
from chain.connection import Unreachable
from miners.seat import SeatLost

UNREACHABLE = 3
"""exit code when no node answers"""
SEAT_LOST = 4
"""exit code of a worker that must not be started again by itself: it would pay for another seat"""
INTERRUPTED = 130
"""exit code of what was stopped before its end"""
COMPUTE_THREADS = 2
"""for training, measuring and files; every further thread that has run torch keeps memory of its own"""


class OneLine(logging.Formatter):
    """Time and message in one line, whatever strangers have put into it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return printable(super().formatMessage(record))


def set_up_logging() -> None:
    """Log to standard error: time and message."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


def run_until_stopped(
    name: str, program: Coroutine[Any, Any, None], failures: tuple[type[Exception], ...], stopped: int = 0
) -> int:
    """Run a program, with its log, until it ends, fails or is told to stop, and return its exit code.

    One that has an end of its own names what being `stopped` before it is: half a result is none.
    """
    set_up_logging()
    try:
        asyncio.run(_until_stopped(program, stopped))
    except failures as problem:
        print(f"assay {name}: {' '.join(str(problem).split())}", file=sys.stderr)
        return _exit_code(problem)
    return 0


def _exit_code(problem: Exception) -> int:
    if isinstance(problem, SeatLost):
        return SEAT_LOST
    return UNREACHABLE if isinstance(problem, Unreachable) else 1


async def _until_stopped(program: Coroutine[Any, Any, None], stopped: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(COMPUTE_THREADS, thread_name_prefix="compute"))
    running = asyncio.ensure_future(program)
    for stop in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(stop, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        _leave(stopped)


async def together(*programs: Coroutine[Any, Any, None]) -> None:
    """Run programs side by side until one ends or fails; that failure is the one that is raised."""
    tasks = [asyncio.ensure_future(program) for program in programs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _leave(code: int) -> None:
    """End now that the program has cleaned up: no thread can be told to stop training."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
