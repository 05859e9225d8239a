"""Who has dialled this node and not yet said who he is.

Honest ones take a moment. Where there are too many, the oldest is hung up on, of the address that has most.
"""

from collections import Counter

from chain.network.addresses import is_loopback
from chain.network.wire import Wire

MAX_HALF_OPEN = 32
MAX_HALF_OPEN_PER_IP = 8
"""from elsewhere than this machine"""


class HalfOpen:
    """Connections in the handshake, the oldest first."""

    def __init__(self) -> None:
        self._wires: dict[Wire, str] = {}  # and the address at the other end

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._wires)

    def add(self, wire: Wire) -> None:
        """Note one more; another one may have to go."""
        ip = wire.ip
        counts = Counter(self._wires.values())
        if counts[ip] >= MAX_HALF_OPEN_PER_IP and not is_loopback(ip):
            self._hang_up(ip)
        elif len(self._wires) >= MAX_HALF_OPEN:
            self._hang_up(counts.most_common(1)[0][0])
        self._wires[wire] = ip

    def remove(self, wire: Wire) -> None:
        """Forget one: it is known now, or gone."""
        self._wires.pop(wire, None)

    def _hang_up(self, ip: str) -> None:
        oldest = next(wire for wire, each in self._wires.items() if each == ip)
        del self._wires[oldest]
        oldest.abort("others wait")
