"""How much all peers together may keep in this node's memory, in messages that wait or are half here."""

from collections.abc import Callable

MAX_MEMORY = 256 << 20
"""bytes, of all peers"""
MAX_MEMORY_PER_PEER = 16 << 20
"""bytes"""


class Memory:
    """What the peers hold in all; who holds most has to leave when it is too much."""

    def __init__(self, most: int = MAX_MEMORY, most_per_peer: int = MAX_MEMORY_PER_PEER) -> None:
        self.held = 0  # bytes
        self._most = most
        self._most_per_peer = most_per_peer
        self._shares: dict[Share, None] = {}

    def share(self, leave: Callable[[str], None]) -> "Share":
        """Return the account of one more peer; `leave` ends its connection."""
        share = Share(self, leave)
        self._shares[share] = None
        return share

    def grow(self, share: "Share") -> None:
        """Have somebody leave if this one's growth was too much."""
        if share.held > self._most_per_peer:
            share.leave(f"it holds {share.held >> 10} KiB of this node's memory")
        elif self.held > self._most:
            largest = max(self._shares, key=lambda each: each.held)
            largest.leave(f"it holds most, {largest.held >> 10} KiB, of the memory that peers share")

    def close(self, share: "Share") -> None:
        """Take back what a peer holds, and count no more of it: a frame may go on after the end."""
        if share in self._shares:
            del self._shares[share]
            self.held -= share.held

    def has(self, share: "Share") -> bool:
        """Say whether a peer is still there."""
        return share in self._shares


class Share:
    """What one peer holds."""

    def __init__(self, memory: Memory, leave: Callable[[str], None]) -> None:
        self.held = 0  # bytes
        self.leave = leave
        self._memory = memory

    def change(self, by: int) -> None:
        """Hold so many bytes more, or less."""
        if not self._memory.has(self):
            return
        self.held += by
        self._memory.held += by
        if by > 0:
            self._memory.grow(self)

    def close(self) -> None:
        """Hold nothing any more, and know of nobody."""
        self._memory.close(self)
        self.leave = _nobody


def _nobody(reason: str) -> None:
    """Tell nobody: who held something is gone."""
