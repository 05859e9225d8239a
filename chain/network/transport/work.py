"""How much of this node's time strangers take together: whoever dials it and is not known to its operator.

    a frame is handled -> the time that took is counted -> beyond the share of all its sender is read later

Then each goes on as if all had the same part of the share, so whoever asks for little waits little, and a
crowd of any size, coming and going as it likes, leaves the rest to the peers this node has chosen. Nothing is
dropped: what is not read, its sender keeps.
"""

from collections.abc import Callable

from chain.network.peers import Bucket

SHARE = 0.5
"""of the time; blocks, votes of reserved peers and answers to clients need the other half"""
AT_ONCE = 0.5
"""seconds; a fourth of a slot"""
PER_FRAME = 20e-6
"""seconds beside those that are measured: the socket, the timer"""
PER_HANDSHAKE = 1e-3
"""seconds that are over when somebody is known to be a stranger"""
LONGEST_PAUSE = 4.0
"""seconds; longer ones look like a dead connection to the other end"""


class Work:
    """The seconds spent on strangers."""

    def __init__(self, now: Callable[[], float], share: float = SHARE) -> None:
        """`now` returns seconds that never run backwards."""
        self.strangers = 0  # connected
        self._now = now
        self._share = share
        self._left = Bucket(share, AT_ONCE, now())

    def pause(self, seconds: float) -> float:
        """Count what a stranger has cost; return how many seconds it has to wait."""
        self._left.spend(seconds)
        if self._left.left(self._now()) >= 0:
            return 0.0
        return min(LONGEST_PAUSE, seconds * self.strangers / self._share)
