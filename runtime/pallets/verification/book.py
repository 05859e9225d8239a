"""The book: what each judge gave in the rounds of an epoch, and the row of weights that comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.frame.storage import DoubleMap
from runtime.pallets.verification.couplings import RowsOf
from runtime.pallets.verification.types import Points, Tally


@dataclass(frozen=True, slots=True)
class Book:
    """The tallies of one subnet's judges since the epoch in block `since`."""

    netuid: int
    since: int
    tallies: DoubleMap[int, int, Tally]
    rows: RowsOf

    def add(self, judge: int, shares: Sequence[tuple[int, int]], now: int) -> None:
        """Add what a judge gave in a round, as (uid, points), unless its row of this epoch was dropped."""
        tally = self._tally(judge)
        if tally.dropped:
            return
        points = {entry.uid: entry.points for entry in tally.points}
        for uid, share in shares:
            if share:
                points[uid] = points.get(uid, 0) + share
        listed = [Points(uid, total) for uid, total in sorted(points.items())]
        self._put(judge, replace(tally, points=listed), now)

    def drop(self, judge: int) -> None:
        """Take a judge's row of this epoch away, and let none come until the next."""
        self.tallies[self.netuid, judge] = Tally(self.since, [], True)
        self.rows.drop_row(self.netuid, judge)

    def strike(self, uid: int, now: int) -> None:
        """Take away what a miner was given in this epoch."""
        for judge, tally in self.tallies.under(self.netuid):
            kept = [entry for entry in tally.points if entry.uid != uid]
            if tally.since == self.since and len(kept) < len(tally.points):
                self._put(judge, replace(tally, points=kept), now)

    def forget(self, uid: int) -> None:
        """Remove what a neuron that is leaving has given, and what it was given."""
        del self.tallies[self.netuid, uid]
        for judge, tally in self.tallies.under(self.netuid):
            kept = [entry for entry in tally.points if entry.uid != uid]
            if len(kept) < len(tally.points):
                self.tallies[self.netuid, judge] = replace(tally, points=kept)

    def _put(self, judge: int, tally: Tally, now: int) -> None:
        self.tallies[self.netuid, judge] = tally
        self.rows.put_row(self.netuid, judge, [(entry.uid, entry.points) for entry in tally.points], now)

    def _tally(self, judge: int) -> Tally:
        """Return the judge's tally of this epoch."""
        tally = self.tallies.get(self.netuid, judge)
        return tally if tally is not None and tally.since == self.since else Tally(self.since, [], False)
