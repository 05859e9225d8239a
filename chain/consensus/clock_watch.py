"""Whether this machine's clock agrees with those of the other authors, judged by when their blocks arrive.

    before its slot begins      this clock is behind, by at least that much
    while its author may build  nothing can be said
    later than that             this clock is ahead, or the block was long under way: a slow network is no
                                wrong clock, so that only what is a whole slot late counts against it

The median of many blocks outvotes single authors whose clock is wrong, or who hold blocks back. Nobody stops
unless authors of more than half of the weight say so: those are the time of the chain, and of two equal
authors none may believe the other. What arrived long ago says nothing, so that a chain on which everybody had
stopped goes on.
"""

import enum
import logging
import math
from collections import deque
from dataclasses import dataclass, replace
from statistics import median_low

from chain.consensus.slots import BUILD_SHARE, slot_start_ms
from chain.env import Clock

log = logging.getLogger("babe")

WINDOW = 100
"""blocks that are judged by; older ones are forgotten"""
ENOUGH = 10
"""blocks below which nothing is said; as many are kept when the clock is set"""
MAX_AGE = 100
"""slots after which a block says nothing"""
WARN_MS = 500
"""ms; an operator may act on this"""
STEP_MS = 500
"""ms by which wall and monotonic time may drift apart between two looks before the clock counts as set"""
WHOLE = 1_000_000
"""the weight of all authorities, in millionths"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A block of another author, the author's share of the weight, and how far this clock is ahead by it."""

    author: bytes
    share: int  # ppm
    ahead_ms: int  # negative: behind
    seconds: float  # of the monotonic clock


class Verdict(enum.Enum):
    """What is known of the clock."""

    RIGHT = enum.auto()
    DOUBTFUL = enum.auto()
    WRONG = enum.auto()


class ClockWatch:
    """Keeps the last arrivals, and tells the operator when the verdict changes."""

    def __init__(self, clock: Clock, slot_ms: int) -> None:
        self._clock = clock
        self._slot_ms = slot_ms
        self._grace_ms = slot_ms // BUILD_SHARE
        self._arrivals: deque[Arrival] = deque(maxlen=WINDOW)
        self._offset_ms = self._offset()
        self._verdict = Verdict.RIGHT

    @property
    def ahead_ms(self) -> int | None:
        """How far this clock is ahead of the others (negative: behind), None when too little is known."""
        self._follow_clock()
        if len(self._arrivals) < ENOUGH:
            return None
        return median_low(arrival.ahead_ms for arrival in self._arrivals)

    def arrived(self, author: bytes, share: int, slot: int) -> None:
        """Note a block of another author (with a share of the weight in ppm) that is announced just now.

        An author has at most one block in a slot: who shows more, of slots to come, is heard once.
        """
        self._follow_clock()
        now = self._clock.monotonic()
        latest = (each.seconds for each in reversed(self._arrivals) if each.author == author)
        if (now - next(latest, -math.inf)) * 2000 < self._slot_ms:
            return
        late_ms = self._clock.wall_ms() - slot_start_ms(slot, self._slot_ms)
        ahead_ms = late_ms if late_ms < 0 else max(0, late_ms - self._grace_ms)
        self._arrivals.append(Arrival(author, share, ahead_ms, now))

    def may_author(self) -> bool:
        """Say whether the clock is good enough to author by; what changes is logged."""
        ahead_ms = self.ahead_ms or 0
        verdict = self._judge(ahead_ms)
        if verdict is not self._verdict:
            self._tell(verdict, ahead_ms)
            self._verdict = verdict
        return verdict is not Verdict.WRONG

    def _judge(self, ahead_ms: int) -> Verdict:
        if self._is_too_far(ahead_ms) and self._is_said_by_most():
            return Verdict.WRONG
        return Verdict.DOUBTFUL if abs(ahead_ms) >= WARN_MS else Verdict.RIGHT

    def _is_too_far(self, ahead_ms: int) -> bool:
        """Say whether blocks made by such a clock come too late, or are refused as of the future."""
        return ahead_ms < -self._grace_ms or ahead_ms > self._slot_ms

    def _is_said_by_most(self) -> bool:
        said = {each.author: each.share for each in self._arrivals if self._is_too_far(each.ahead_ms)}
        return 2 * sum(said.values()) > WHOLE

    def _tell(self, verdict: Verdict, ahead_ms: int) -> None:
        where = f"{abs(ahead_ms) / 1000:.1f} s {'behind' if ahead_ms < 0 else 'ahead of'}"
        if verdict is Verdict.WRONG:
            log.error(
                "⏰ This clock is %s the other authors': no block is authored until it is right; set it (is "
                "NTP running?)", where,
            )  # fmt: skip
        elif self._verdict is Verdict.WRONG:
            log.info("⏰ This clock agrees with the other authors' again: authoring goes on")
        elif verdict is Verdict.DOUBTFUL:
            log.warning("⏰ This clock is %s the other authors': set it (is NTP running?)", where)

    def _follow_clock(self) -> None:
        """Forget what is old; when the clock was set, judge the newest blocks by the clock as it is now."""
        now, offset_ms = self._clock.monotonic(), self._offset()
        while self._arrivals and (now - self._arrivals[0].seconds) * 1000 > MAX_AGE * self._slot_ms:
            self._arrivals.popleft()
        step_ms, self._offset_ms = offset_ms - self._offset_ms, offset_ms
        if abs(step_ms) < STEP_MS:
            return
        log.warning("⏰ The clock was set by %+.1f s", step_ms / 1000)
        newest = list(self._arrivals)[-ENOUGH:]
        self._arrivals.clear()
        self._arrivals.extend(replace(each, ahead_ms=each.ahead_ms + step_ms) for each in newest)

    def _offset(self) -> int:
        return self._clock.wall_ms() - round(self._clock.monotonic() * 1000)
