"""Who has dialled this node and not yet said who he is.

Honest ones take a moment and come seldom. Where there are too many, one is hung up on, of an address that has
most: any of them, so that a crowd does not outrun everybody who is far away. An address that dials again and
again has to wait before anything is computed for it.
"""

from collections import Counter
from collections.abc import Callable

from chain.env import Rng
from chain.network.discovery.addresses import is_loopback, network_of
from chain.network.peers import Bucket
from chain.network.transport.wire import Wire

MAX_HALF_OPEN = 32
MAX_HALF_OPEN_PER_IP = 8
HANDSHAKES_PER_SECOND = 2
HANDSHAKES_AT_ONCE = 16
"""of one address; the last three are for those from elsewhere than this machine"""
REMEMBERED = 4_096
"""addresses"""
IP6_PREFIX = 64
"""bits of an IPv6 address that one household has to itself"""


class HalfOpen:
    """Connections in the handshake."""

    def __init__(self, now: Callable[[], float], rng: Rng) -> None:
        """`now` returns seconds that never run backwards."""
        self._now = now
        self._rng = rng
        self._wires: dict[Wire, str] = {}  # and the address at the other end
        self._shares: dict[str, Bucket] = {}  # of handshakes, by address; who came last is last

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._wires)

    def add(self, wire: Wire) -> bool:
        """Note one more, for which another may have to go; False when its address comes too often."""
        ip = wire.ip
        is_here = is_loopback(ip)
        if not is_here and not self._may_come(network_of(ip, IP6_PREFIX)):
            return False
        counts = Counter(self._wires.values())
        if counts[ip] >= MAX_HALF_OPEN_PER_IP and not is_here:
            self._hang_up({ip})
        elif len(self._wires) >= MAX_HALF_OPEN:
            most = max(counts.values())
            self._hang_up({ip for ip, count in counts.items() if count == most})
        self._wires[wire] = ip
        return True

    def remove(self, wire: Wire) -> None:
        """Forget one: it is known now, or gone."""
        self._wires.pop(wire, None)

    def _may_come(self, address: str) -> bool:
        share = self._shares.pop(address, None)
        if share is None:
            share = Bucket(HANDSHAKES_PER_SECOND, HANDSHAKES_AT_ONCE, self._now())
        self._shares[address] = share
        if len(self._shares) > REMEMBERED:
            del self._shares[next(iter(self._shares))]
        return share.take(self._now())

    def _hang_up(self, ips: set[str]) -> None:
        wires = [wire for wire, ip in self._wires.items() if ip in ips]
        wire = wires[int.from_bytes(self._rng.token(4), "big") % len(wires)]
        del self._wires[wire]
        wire.abort("others wait")
