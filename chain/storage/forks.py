"""The states of abandoned forks, which an archive keeps: what each block changed, over the history below.

One record per block; the path of a fork is followed by the parents of its headers.
"""

from collections.abc import Iterator
from heapq import merge

from chain.env import Batch, Database
from chain.storage.db import FORKS
from chain.storage.disk_chain import pack_changes, unpack_changes
from chain.storage.state import Disk, HistoryView, Overlay
from runtime.frame.state import Changes
from runtime.primitives.types import BlockNumber, Hash


def put_fork(batch: Batch, block: Hash, overlay: Overlay) -> None:
    """Keep what a block of an abandoned fork changed."""
    batch.put(FORKS, block, pack_changes(dict(overlay.changes)))


def fork_changes(database: Database, block: Hash) -> Changes | None:
    """Return what a block of an abandoned fork changed, where that was kept."""
    found = database.get(FORKS, block)
    return None if found is None else unpack_changes(found)


class ForkView(HistoryView):
    """The state of an abandoned block: its fork's changes over the final block that the fork left."""

    def __init__(self, fork: Overlay, disk: Disk, number: BlockNumber) -> None:
        super().__init__(disk, number)
        self._fork = fork

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        changes = self._fork.changes
        return changes[key] if key in changes else super().get(key)

    def scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, from the first that is not below `start`."""
        changes = self._fork.changes
        older = (key for key in super().scan(prefix, start) if key not in changes)
        yield from merge(older, (key for key in self._fork.keys(prefix, start) if changes[key] is not None))

    def differences(self) -> Changes:
        """Return what leads from the state on disk to this one.

        Raises: TrieTooFar.
        """
        return {**super().differences(), **self._fork.changes}
