"""Has rounds replayed in another process, which stays: torch takes longer to load than a replay may take.

async with Replayer("cpu", 1) as replayer:
    await replayer.replay(folder, least_ppm)        what lies in a folder: validators/replaying.py
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self

IDLE_SECONDS = 120.0
"""A process that has nothing to do gives its memory back."""


class Replayer:
    """Starts the process when it is needed, and ends it; one replay at a time."""

    def __init__(self, device: str, threads: int, idle_seconds: float = IDLE_SECONDS) -> None:
        """Start nothing yet."""
        self._flags = ("--device", device, "--threads", str(threads))
        self._idle_seconds = idle_seconds
        self._process: Process | None = None
        self._leave: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    async def replay(self, folder: Path, least_ppm: int) -> None:
        """Train what lies in a folder, and leave the finding there.

        Raises: OSError when that does not come to an end.
        """
        if self._leave is not None:
            self._leave.cancel()
        process, is_done = await self._started(), False
        try:
            said = await _ask(process, {"folder": str(folder), "least": least_ppm})
            if problem := json.loads(said)["problem"]:
                raise OSError(f"the replay failed: {problem}")
            is_done = True
        finally:
            if not is_done:  # what has failed, a GPU above all, may fail again in the same process
                await self.end()
        self._leave = asyncio.get_running_loop().call_later(self._idle_seconds, _dismiss, process)

    async def end(self) -> None:
        """End the process, whatever it does."""
        if self._leave is not None:
            self._leave.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()  # reads what is left: of a full pipe the end is never noticed

    async def _started(self) -> Process:
        """Return the process, a new one if the last is gone; Ctrl-C is not for it."""
        if self._process is None or self._process.returncode is not None or _is_dismissed(self._process):
            await self.end()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "validators.replaying", *self._flags,
                stdin=PIPE, stdout=PIPE, start_new_session=True,
            )  # fmt: skip
        return self._process


async def _ask(process: Process, job: dict[str, object]) -> bytes:
    """Return the answer to a job.

    Raises: OSError where the process ends without one, or says more than an answer holds.
    """
    assert process.stdin is not None, "it is a pipe"
    assert process.stdout is not None, "it is a pipe"
    process.stdin.write(json.dumps(job).encode() + b"\n")
    try:
        await process.stdin.drain()
        return await process.stdout.readuntil()
    except asyncio.LimitOverrunError as problem:
        raise OSError("the replay failed: its process says more than an answer holds") from problem
    except (asyncio.IncompleteReadError, ConnectionError) as problem:  # half a line is none
        code = await process.wait()
        raise OSError(f"the replay failed: its process ended with {code}") from problem


def _dismiss(process: Process) -> None:
    """Have a process end that nobody needs: it ends with its standard input."""
    assert process.stdin is not None, "it is a pipe"
    process.stdin.close()


def _is_dismissed(process: Process) -> bool:
    return process.stdin is not None and process.stdin.is_closing()
