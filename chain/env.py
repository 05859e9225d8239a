"""The only doors to the outside world: time, randomness and private files. A simulator replaces them."""

from typing import Protocol


class Clock(Protocol):
    """Wall time for slots, monotonic time for timers."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch; may step in either direction."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait for at least this many seconds."""


class Rng(Protocol):
    """Unpredictable bytes."""

    def token(self, size: int) -> bytes:
        """Return this many bytes."""


class Locked(Exception):
    """Another process holds the lock."""


class Lock(Protocol):
    """Held until released, or until the process dies."""

    def release(self) -> None:
        """Let others have it."""


class Disk(Protocol):
    """One directory of small private files; a write is on stable storage when it returns."""

    def names(self) -> list[str]:
        """Return the file names, sorted."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None when there is no such file."""

    def replace(self, name: str, content: bytes) -> None:
        """Write a whole file; after a crash it holds the old content or the new, nothing else."""

    def lock(self, name: str) -> Lock:
        """Take the lock that this file stands for.

        Raises: Locked.
        """
