"""Numbers of each round for an experiment tracker, trackio or wandb, which runs in a process of its own.

    async with tracking("trackio", Run("assay-local-1", "miner-5FpjvV", {...})) as track:
        await track(report)

Only that process imports the tracker, and only when --track asks for it: it takes seconds and memory, asks
the network, and must neither hold up nor end a worker.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

from chain.amounts import PLANCK
from miners.joining import CannotJoin
from miners.reports import Report

log = logging.getLogger("tracking")

NONE = "none"
MOST_WAITING = 1 << 20
"""bytes of lines that wait for a tracker that is slow; further ones are left out"""
GOODBYE_SECONDS = 20.0
"""for a tracker to send what it has, when the worker ends"""
NOT_TRACKED = frozenset({"last_payout_block", "withheld_since_round"})
"""numbers that are none to draw a curve of"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a tracker calls the work of one worker; the same name goes on with the same run."""

    project: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)


def ensure_installed(tracker: str) -> None:
    """Refuse a tracker that is not there.

    Raises: CannotJoin.
    """
    found = None if tracker == NONE else find_spec(tracker)
    if tracker != NONE and (found is None or found.origin is None):  # wandb leaves a directory of its name
        wanted = f"pip install 'assay-chain[{tracker}]'"
        raise CannotJoin(f"--track {tracker} needs a package that is not here: {wanted}, or leave it out")


class Tracker:
    """The process of a tracker."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        assert process.stdin is not None, "started with a pipe"
        self._stdin = process.stdin
        self._is_told = False

    async def __call__(self, report: Report) -> None:
        """Hand on the numbers of a round."""
        if report.event == "round":
            self.write({"step": report.round, "values": numbers(report.values)})

    def write(self, line: dict[str, Any]) -> None:
        """Hand a line over, unless nobody reads."""
        waiting = self._stdin.transport.get_write_buffer_size()
        if self._process.returncode is None and waiting < MOST_WAITING:
            self._stdin.write(json.dumps(line).encode() + b"\n")
        elif not self._is_told:
            self._is_told = True
            why = "does not keep up" if self._process.returncode is None else "has ended; its words are above"
            log.warning("%s %s: rounds are not tracked any more", self._name, why)

    async def close(self) -> None:
        """Let it send what it has."""
        with suppress(ConnectionError):
            self._stdin.close()
            await self._stdin.wait_closed()
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            log.warning("%s took too long to end, and was stopped", self._name)
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def tracking(name: str, run: Run) -> AsyncIterator[Tracker | None]:
    """Run a tracker while the block runs; None when none is wanted."""
    if name == NONE:
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "miners.tracker", name,
        stdin=asyncio.subprocess.PIPE, stdout=sys.stderr, start_new_session=True,  # Ctrl-C reaches us alone
    )  # fmt: skip
    tracker = Tracker(name, process)
    tracker.write(asdict(run))
    try:
        yield tracker
    finally:
        await tracker.close()


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """Return what can be drawn; what is paid in ASY."""
    found = {
        key: each for key, each in values.items() if isinstance(each, int | float) and key not in NOT_TRACKED
    }
    return {
        key.replace("_planck", "_asy"): each / PLANCK if key.endswith("_planck") else float(each)
        for key, each in found.items()
    }
