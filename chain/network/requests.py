"""What every kind of request shares: who was asked what, and how much may be given to whom."""

from collections.abc import Callable
from dataclasses import dataclass

from chain.common.faults import Fault, PeerFault
from chain.env import Clock
from chain.network.peers import Bucket

NUMBER = 8
"""bytes of the number with which every request and every answer begins"""


class Requests:
    """The requests of one kind that wait for an answer: so many to one peer, each with a number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, set[int]] = {}
        self._count = 0

    def joined(self, peer: str) -> None:
        """Note a peer that can be asked."""
        self._open[peer] = set()

    def left(self, peer: str) -> None:
        """Forget a peer and what it was asked."""
        self._open.pop(peer, None)

    def ask(self, peer: str, send: Callable[[int], bool]) -> int | None:
        """Send a request with the next number; return that, None when the peer cannot be asked now."""
        waiting = self._open.get(peer)
        if waiting is None or len(waiting) >= self._most:
            return None
        self._count += 1
        if not send(self._count):
            return None
        waiting.add(self._count)
        return self._count

    def forget(self, peer: str, number: int) -> None:
        """Stop waiting for an answer; one that comes late is nobody's fault."""
        self._open.get(peer, set()).discard(number)

    def answered(self, peer: str, message: bytes) -> int | None:
        """Return the number with which an answer begins; None where it is not, or no longer, waited for.

        What follows the number is worth decoding only then.
        Raises: PeerFault when nobody was ever asked.
        """
        if len(message) < NUMBER:
            raise PeerFault(Fault.UNDECODABLE, f"{len(message)} bytes")
        number = int.from_bytes(message[:NUMBER], "little")
        if not 0 < number <= self._count:
            raise PeerFault(Fault.NOT_ASKED, f"request {number}")
        waiting = self._open[peer]
        if number not in waiting:
            return None
        waiting.remove(number)
        return number


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes that may be given away, or work that may be done."""

    rate: int  # per second
    burst: int  # at once


class Servings:
    """What peers make this node do: bounded for one of them and for all together."""

    def __init__(self, clock: Clock, one: Allowance, everybody: Allowance) -> None:
        self._clock = clock
        self._one, self._everybody = one, everybody
        self._all = Bucket(everybody.rate, everybody.burst, clock.monotonic())
        self._given: dict[str, Bucket] = {}

    def joined(self, peer: str) -> None:
        """Give a peer its share."""
        self._given[peer] = Bucket(self._one.rate, self._one.burst, self._clock.monotonic())

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._given.pop(peer, None)

    def room(self, peer: str) -> int:
        """Return how much there is for a peer now; 0 or less: nothing."""
        now, given = self._clock.monotonic(), self._given.get(peer)
        return 0 if given is None else int(min(given.left(now), self._all.left(now)))

    def turn(self, peer: str) -> int:
        """Return how much there is for a peer that leaves to others what it has used up of its own share.

        Whoever has asked for little goes first: the rest of what all share is there for nobody else.
        """
        now, given = self._clock.monotonic(), self._given.get(peer)
        if given is None:
            return 0
        used = 1 - given.left(now) / self._one.burst
        return int(min(given.left(now), self._all.left(now) - used * self._everybody.burst))

    def spend(self, peer: str, size: int) -> None:
        """Count what a peer was given, or what finding it was worth."""
        self._all.spend(size)
        self.fine(peer, size)

    def fine(self, peer: str, size: int) -> None:
        """Take something from a peer's own share only."""
        if peer in self._given:
            self._given[peer].spend(size)
