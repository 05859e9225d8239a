"""How the programs of this room start and stop: one line per failure, no traceback, Ctrl-C is a clean end."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chain.connection import Unreachable

UNREACHABLE = 3
"""exit code when no node answers"""
COMPUTE_THREADS = 2
"""for training, measuring and files; every further thread that has run torch keeps memory of its own"""


def set_up_logging() -> None:
    """Log to standard error: time and message."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    for library in ("aiohttp", "websocket"):
        logging.getLogger(library).setLevel(logging.WARNING)


def run_until_stopped(
    name: str, program: Coroutine[Any, Any, None], failures: tuple[type[Exception], ...]
) -> int:
    """Run a program, with its log, until it ends, fails or is told to stop, and return its exit code."""
    set_up_logging()
    try:
        asyncio.run(_until_stopped(program))
    except failures as problem:
        print(f"assay {name}: {' '.join(str(problem).split())}", file=sys.stderr)
        return UNREACHABLE if isinstance(problem, Unreachable) else 1
    return 0


async def _until_stopped(program: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(COMPUTE_THREADS, thread_name_prefix="compute"))
    running = asyncio.ensure_future(program)
    for stop in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(stop, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        _leave()


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


def _leave() -> None:
    """End now that the program has cleaned up: no thread can be told to stop training."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
