"""How long a transaction lives.

Source: Polkadot specification, section 3.3.3.3 (mortality); sp_runtime::generic::Era.
"""

from typing import Annotated

from runtime.primitives.layout import EncodeError
from runtime.primitives.record import record
from runtime.primitives.scale import Codec, DecodeError, Input
from runtime.primitives.shapes import Special

MAX_PERIOD = 1 << 16
ERA_MARKER = Special("Era")


@record
class MortalEra:
    """Valid in a window of `period` blocks (a power of two) that begins at `phase`; period 0 is immortal."""

    period: int = 0
    phase: int = 0

    @classmethod
    def at(cls, period: int, current: int) -> "MortalEra":
        """Return the era of about `period` blocks that a transaction made at block `current` gets."""
        rounded = min(max(1 << max(period - 1, 0).bit_length(), 4), MAX_PERIOD)
        quantum = max(rounded >> 12, 1)
        return cls(rounded, current % rounded // quantum * quantum)

    def birth(self, current: int) -> int:
        """Return the first block of the window that contains `current`."""
        if not self.period:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase


IMMORTAL = MortalEra()
Era = Annotated[MortalEra, ERA_MARKER]


def _write(era: MortalEra, out: bytearray) -> None:
    if not era.period:
        out.append(0)
        return
    quantum = max(era.period >> 12, 1)
    if era.period & (era.period - 1) or not 4 <= era.period <= MAX_PERIOD or era.phase % quantum:
        raise EncodeError(f"{era} is no era")
    low = min(15, max(1, era.period.bit_length() - 2))
    out += (low | era.phase // quantum << 4).to_bytes(2, "little")


def _read(source: Input) -> MortalEra:
    first = source.take(1)[0]
    if first == 0:
        return IMMORTAL
    encoded = first | source.take(1)[0] << 8
    period = 2 << (encoded & 15)
    phase = (encoded >> 4) * max(period >> 12, 1)
    if period < 4 or phase >= period:
        raise DecodeError(f"era 0x{encoded:04x} has a phase outside its period")
    return MortalEra(period, phase)


ERA_CODEC: Codec[MortalEra] = Codec(_write, _read, 1)
