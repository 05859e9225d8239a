"""A peer as this node knows it: where it stands, what it may still send, what it is worth."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from chain.network.messages import LIMITS, Channel, Status

HALF_LIFE = 139.0
"""seconds in which half of what a peer has lost comes back"""
FRUITLESS = 180.0
"""seconds in which a peer has done nothing but faults, after which another one is worth trying"""
BANNED = (1 << 31) * 71 // 100
"""the loss that ends it"""


class Bucket:
    """A share of something: some at once, then so much per second."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = self._burst
        self._since = now

    def left(self, now: float) -> float:
        """Return what is left."""
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        return self._left

    def spend(self, amount: float) -> None:
        """Take so much, more than is left if need be: later there is less."""
        self._left -= amount

    def take(self, now: float) -> bool:
        """Take one; False when none is left."""
        if self.left(now) < 1:
            return False
        self.spend(1)
        return True


class Reputation:
    """What a peer has lost, which time heals."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._since = 0.0

    def lose(self, cost: int, now: float) -> None:
        """Take something from it."""
        self._lost = self.lost(now) + cost
        self._since = now

    def lost(self, now: float) -> float:
        """Return what is lost now."""
        return self._lost * math.exp2((self._since - now) / HALF_LIFE)

    def is_banned(self, now: float) -> bool:
        """Say whether it is beyond the limit."""
        return self.lost(now) >= BANNED


@dataclass(slots=True)
class Peer:
    """One connected peer; `status` is None until it has told."""

    name: str
    since: float  # seconds, of the clock that never runs backwards
    status: Status | None = None
    greeted: float | None = None  # when it was told last where this node stands
    buckets: dict[Channel, Bucket] = field(default_factory=dict)
    faulty: tuple[float, float] | None = None  # first and last fault since it gave something good

    def may_send(self, channel: Channel, now: float) -> bool:
        """Count a message of the peer; False when it has sent more than its share."""
        bucket = self.buckets.get(channel)
        if bucket is None:
            limits = LIMITS[channel]
            bucket = self.buckets[channel] = Bucket(limits.rate, limits.burst, now)
        return bucket.take(now)

    def faulted(self, now: float) -> None:
        """Note a fault."""
        self.faulty = now if self.faulty is None else self.faulty[0], now

    @property
    def is_fruitless(self) -> bool:
        """Whether nothing good has come of it for long, though there were reasons to."""
        return self.faulty is not None and self.faulty[1] - self.faulty[0] >= FRUITLESS


class Reputations:
    """Of peers by name, also of those that are gone, as many as are kept."""

    def __init__(self, clock: Callable[[], float], kept: int) -> None:
        self._clock = clock
        self._kept = kept
        self._known: dict[str, Reputation] = {}  # least recently faulted first

    def lose(self, peer: str, cost: int) -> bool:
        """Take something from a peer; return whether that is the end of it."""
        reputation = self._known.pop(peer, None) or Reputation()
        self._known[peer] = reputation
        if len(self._known) > self._kept:
            del self._known[next(iter(self._known))]
        reputation.lose(cost, self._clock())
        return reputation.is_banned(self._clock())

    def is_banned(self, peer: str) -> bool:
        """Say whether a peer may not come back yet."""
        reputation = self._known.get(peer)
        return reputation is not None and reputation.is_banned(self._clock())

    def forget(self, peer: str) -> None:
        """Let a peer begin anew."""
        self._known.pop(peer, None)

    def of(self, peer: str) -> int:
        """Return what a peer has lost, rounded."""
        reputation = self._known.get(peer)
        return 0 if reputation is None else round(reputation.lost(self._clock()))
