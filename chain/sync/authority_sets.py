"""Who votes above the last final block, and where on a fork voters change.

The block that schedules a change is the last one its voters finalise: its state has the next set. A forced
change, root's way out when too many voters are gone for good, is in force once the best chain reaches its
height, final or not; what was scheduled below that height never comes into force by itself.
Source: paritytech/polkadot-sdk substrate/client/consensus/grandpa/src/authorities.rs.
"""

from dataclasses import dataclass

from chain.executor import Executor
from chain.storage.store import ChainStore
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import CONSENSUS_LOG, ForcedChange, ScheduledChange
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.types import Hash

MAX_KNOWN = 4096
"""unfinalised blocks whose announcements are remembered; of an older one they are read again"""


@dataclass(frozen=True, slots=True)
class Announced:
    """Heights at which voters change on one chain, lowest first; below the final block they do not matter."""

    scheduled: tuple[int, ...] = ()
    forced: tuple[int, ...] = ()

    def with_header(self, header: Header) -> "Announced":
        """Return this with what one more header announces; its runtime wrote that, so it decodes."""
        logs = header.digest.logs
        for log in [log._1 for log in logs if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE]:
            match CONSENSUS_LOG.decode(log):
                case ScheduledChange(change):
                    return Announced((*self.scheduled, header.number + change.delay), self.forced)
                case ForcedChange(_, change):
                    return Announced(self.scheduled, (*self.forced, header.number + change.delay))
        return self


class AuthoritySets:
    """Reads what headers announce; each header once."""

    def __init__(self, store: ChainStore, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._known: dict[Hash, Announced] = {}  # oldest first
        self._current: tuple[Hash, tuple[Authorities, int]] | None = None

    def current(self) -> tuple[Authorities, int]:
        """Return who votes above the last final block, and the number of that set.

        Raises: RuntimeMissing.
        """
        block = self._decides()
        if self._current is None or self._current[0] != block:
            self._current = block, self._executor.grandpa_set(self._store.state_at(block))
        return self._current[1]

    def next_change(self, block: Hash) -> int | None:
        """Return the lowest unfinalised height, up to a block and on its chain, at which voters change."""
        header = self._store.header(block)
        if header is None:
            return None
        announced = self._announced(block)
        in_force = [height for height in announced.forced if height <= header.number]
        floor = max([self._store.finalized_number, *in_force])
        pending = [height for height in announced.scheduled if floor < height <= header.number]
        return min(pending, default=None)

    def _decides(self) -> Hash:
        """Return the block whose state has the voters."""
        best = self._store.best_number
        in_force = [height for height in self._announced(self._store.best).forced if height <= best]
        if not in_force or in_force[-1] <= self._store.finalized_number:
            return self._store.finalized
        found = self._store.hash_at(in_force[-1])
        assert found is not None, "every height of the best chain has its block"
        return found

    def _announced(self, block: Hash) -> Announced:
        """Return what the unfinalised headers up to a block announce."""
        unread: list[tuple[Hash, Header]] = []
        known = Announced()
        while (header := self._store.header(block)) and header.number > self._store.finalized_number:
            if block in self._known:
                known = self._known[block]
                break
            unread.append((block, header))
            block = header.parent_hash
        for each, header in reversed(unread):
            known = self._known[each] = known.with_header(header)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return known
