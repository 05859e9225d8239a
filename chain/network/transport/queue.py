"""What waits for one peer: by priority, cut into frames, and never more than so much.

A message of higher priority goes into the very next frame, whatever is on its way. When there is no room for
it, the newest of the lowest priority are given up, except for one whose first pieces have gone out.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from chain.network.transport.frames import HEAD, MAX_CONTENT, MAX_PIECES, MIN_PIECE, PRIORITIES

OVERHEAD = 128
"""bytes that a waiting message takes beside its own, counted like them"""


@dataclass(slots=True)
class _Lane:
    """The messages of one priority, the first one in part gone out."""

    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)  # channel, message
    sent: int = 0  # bytes of the first message
    size: int = 0  # bytes of all of them, with OVERHEAD

    def spare(self) -> int:
        """Return how many bytes may be given up."""
        return self.size - (_cost(self.waiting[0][1]) if self.sent else 0)


class SendQueue:
    """The messages that one peer has yet to be sent."""

    def __init__(self, most: int, hold: Callable[[int], None]) -> None:
        """Keep at most so many bytes; `hold` is told by how many they change."""
        self.size = 0  # bytes, with OVERHEAD
        self.shed = 0  # messages given up for those of higher priority
        self._most = most
        self._hold = hold
        self._lanes = [_Lane() for _ in range(max(PRIORITIES) + 1)]

    def put(self, channel: int, message: bytes) -> bool:
        """Add a message; False when there is no room for it."""
        priority, cost = PRIORITIES[channel], _cost(message)
        if self.size + cost > self._most and not self._make_room(priority, cost):
            return False
        lane = self._lanes[priority]
        lane.waiting.append((channel, message))
        lane.size += cost
        self._change(cost)
        return True

    def frame(self) -> bytes:
        """Take the content of the next frame out; empty when nothing waits."""
        parts: list[bytes | memoryview] = []
        room = MAX_CONTENT
        for lane in self._lanes:
            while lane.waiting:
                room -= HEAD.size
                channel, message = lane.waiting[0]
                left = len(message) - lane.sent
                if (left > room and room < MIN_PIECE) or len(parts) == 2 * MAX_PIECES:
                    return b"".join(parts)
                size = min(left, room)
                parts.append(HEAD.pack(channel, left - size, size))
                parts.append(message if size == len(message) else memoryview(message)[lane.sent :][:size])
                if size < left:
                    lane.sent += size
                    return b"".join(parts)
                room -= size
                self._done(lane)
        return b"".join(parts)

    def clear(self) -> None:
        """Forget everything."""
        for lane in self._lanes:
            lane.waiting.clear()
            lane.sent = lane.size = 0
        self._change(-self.size)

    def _make_room(self, priority: int, needed: int) -> bool:
        """Give up messages of lower priorities, the lowest first; none at all where that is not enough."""
        lower = self._lanes[priority + 1 :]
        if self.size - sum(lane.spare() for lane in lower) + needed > self._most:
            return False
        for lane in reversed(lower):
            while len(lane.waiting) > bool(lane.sent) and self.size + needed > self._most:
                cost = _cost(lane.waiting.pop()[1])
                lane.size -= cost
                self._change(-cost)
                self.shed += 1
        return True

    def _done(self, lane: _Lane) -> None:
        cost = _cost(lane.waiting.popleft()[1])
        lane.sent = 0
        lane.size -= cost
        self._change(-cost)

    def _change(self, by: int) -> None:
        self.size += by
        self._hold(by)


def _cost(message: bytes) -> int:
    return len(message) + OVERHEAD
