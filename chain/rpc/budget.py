"""What all connections together make the node hold: messages half received or not answered, answers not read.

Each limit of one connection times the number of connections would be gigabytes; so there is one for all of
them, and who holds most is cut off first.
"""

import logging
from typing import Protocol

log = logging.getLogger("rpc")

MAX_HELD = 64 * 1024 * 1024
"""bytes as they come and go; buffers and values made of them take two to three times as much"""


class Holder(Protocol):
    """A connection, as asyncio's transports are one."""

    def abort(self) -> None:
        """Cut it now."""


class Budget:
    """Counts bytes by connection and cuts the largest holder off when they are too many."""

    def __init__(self, limit: int = MAX_HELD) -> None:
        self._limit = limit
        self._held: dict[Holder, int] = {}
        self._total = 0

    def held(self, holder: Holder) -> int:
        """Return the bytes of one connection."""
        return self._held.get(holder, 0)

    def add(self, holder: Holder, size: int) -> None:
        """Note bytes that wait for a connection."""
        self._held[holder] = self._held.get(holder, 0) + size
        self._total += size
        while self._total > self._limit:
            largest = max(self._held, key=self._held.__getitem__)
            log.info("Disconnected a client: it holds %d bytes of the node's memory", self._held[largest])
            self.forget(largest)
            largest.abort()

    def drop(self, holder: Holder, size: int) -> None:
        """Note that bytes wait no longer; of a connection that was cut off none do."""
        left = self._held.get(holder, 0) - size
        if left > 0:
            self._held[holder] = left
            self._total -= size
        else:
            self.forget(holder)

    def forget(self, holder: Holder) -> None:
        """Note that a connection is gone."""
        self._total -= self._held.pop(holder, 0)
