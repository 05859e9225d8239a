"""The doors of chain/env.py in a simulation: a clock that may be wrong, seeded randomness, a disk in memory.

A `Life` is one run of a node from start to crash. A dead one changes nothing any more: what its tasks do
while they wind up reaches neither disk nor network. `Life.fatal` makes it die inside a write, before or after
the write is done, as a loss of power would.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from chain.env import Locked

EPOCH_MS = 1_800_000_000_000
"""Wall time at 0 s of virtual time, ms since the Unix epoch."""
OVERSLEPT = 0.002
"""seconds that a sleeper may wake too late: a busy machine, and another order of events in each seed"""


class Killed(BaseException):
    """The machine has lost its power; no handler of the node's may catch this."""


@dataclass(eq=False)
class Life:
    """One run of a node."""

    alive: bool = True
    writes: int = 0
    fatal: int | None = None  # this many more writes, and the power is gone
    torn: bool = False  # whether the fatal write is lost

    def write(self) -> bool:
        """Say whether a write happens.

        Raises: Killed before the one that is lost.
        """
        if not self.alive:
            return False
        self.writes += 1
        if self.fatal is not None and self.writes > self.fatal:
            self.alive = False
            if self.torn:
                raise Killed
        return True

    def written(self) -> None:
        """Die after a write, if that is due.

        Raises: Killed.
        """
        if self.fatal is not None and self.writes > self.fatal:
            raise Killed


class SimClock:
    """The clocks of one machine."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.skew_ms = 0

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch, as this machine believes."""
        return EPOCH_MS + self.skew_ms + int(asyncio.get_running_loop().time() * 1000)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait for at least this many seconds."""
        await asyncio.sleep(max(0.0, seconds) + self._rng.random() * OVERSLEPT)


class SimRng:
    """Bytes that depend on the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token(self, size: int) -> bytes:
        """Return this many bytes."""
        return self._rng.randbytes(size)


class SimLock:
    """Held by one life; it ends with it."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.held = True

    def release(self) -> None:
        """Let others have it."""
        self.held = False


@dataclass
class Files:
    """What a directory holds, whoever runs."""

    content: dict[str, bytes] = field(default_factory=dict)
    locks: dict[str, SimLock] = field(default_factory=dict)
    broken: str | None = None  # "full" or "read-only": why nothing can be written

    def copy(self) -> Mapping[str, bytes]:
        """Return the files as they are."""
        return dict(self.content)


class SimDisk:
    """One life's view of a directory of small files; a write that returned survives every crash."""

    def __init__(self, files: Files, life: Life) -> None:
        self._files = files
        self._life = life

    def names(self) -> list[str]:
        """Return the file names, sorted."""
        return sorted(self._files.content)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None when there is no such file."""
        return self._files.content.get(name)

    def replace(self, name: str, content: bytes) -> None:
        """Write a whole file.

        Raises: OSError when the disk takes nothing; Killed.
        """
        if self._files.broken is not None:
            raise OSError(f"{name}: the disk is {self._files.broken}")
        if self._life.write():
            self._files.content[name] = content
            self._life.written()

    def lock(self, name: str) -> SimLock:
        """Take the lock that a file stands for.

        Raises: Locked.
        """
        holder = self._files.locks.get(name)
        if holder is not None and holder.held and holder.life.alive:
            raise Locked(f"{name} is held by another process")
        self._files.locks[name] = SimLock(self._life)
        return self._files.locks[name]
