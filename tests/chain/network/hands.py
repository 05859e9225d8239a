"""A clock that a test sets."""

from dataclasses import dataclass

EPOCH_MS = 1_800_000_000_000


@dataclass
class Hands:
    """Both clocks of a machine; sleeping sets them on."""

    seconds: float = 0.0

    def wall_ms(self) -> int:
        """Return ms since the Unix epoch."""
        return EPOCH_MS + int(self.seconds * 1000)

    def monotonic(self) -> float:
        """Return seconds."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.seconds += seconds
