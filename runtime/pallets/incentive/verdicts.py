"""What the last epoch of each subnet decided about each neuron; what is zero has no entry."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from runtime.frame.storage import DoubleMap
from runtime.pallets.incentive.terms import EpochOutput, Row
from runtime.primitives.types import Balance


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The storage of scores, bonds, permits and earnings, by netuid and uid."""

    consensus: DoubleMap[int, int, int]
    incentives: DoubleMap[int, int, int]
    dividends: DoubleMap[int, int, int]
    emission: DoubleMap[int, int, Balance]
    last_pay: DoubleMap[int, int, Balance]  # emission of the last epoch that paid anybody
    bonds: DoubleMap[int, int, Row]
    permits: DoubleMap[int, int, bool]

    def store(self, netuid: int, uid: int, output: EpochOutput) -> None:
        """Write what an epoch decided about a neuron, but for what it is paid."""
        _put(self.consensus, netuid, uid, output.consensus[uid])
        _put(self.incentives, netuid, uid, output.incentive[uid])
        _put(self.dividends, netuid, uid, output.dividends[uid])
        self._put_bonds(netuid, uid, output.bonds[uid])
        if output.permit[uid]:
            self.permits[netuid, uid] = True
        else:
            del self.permits[netuid, uid]

    def store_emission(self, netuid: int, earned: Mapping[int, Balance]) -> None:
        """Write what everybody earned; an epoch that paid nobody says nothing about who is of use."""
        for uid, planck in earned.items():
            _put(self.emission, netuid, uid, planck)
            if any(earned.values()):
                _put(self.last_pay, netuid, uid, planck)

    def forget(self, netuid: int, uid: int) -> None:
        """Remove everything about a neuron, the bonds others have in it as well."""
        for by_uid in (self.consensus, self.incentives, self.dividends, self.emission, self.last_pay):
            del by_uid[netuid, uid]
        del self.permits[netuid, uid]
        del self.bonds[netuid, uid]
        for judge, row in self.bonds.under(netuid):
            kept = [entry for entry in row if entry[0] != uid]
            if len(kept) < len(row):
                self._put_bonds(netuid, judge, Row(kept))

    def check(self, seats: Collection[tuple[int, int]]) -> None:
        """Assert that all of it is about neurons that exist."""
        for by_uid in (self.consensus, self.incentives, self.dividends, self.emission, self.last_pay):
            assert all(place in seats and value for place, value in by_uid.items())
        assert all(place in seats and permit for place, permit in self.permits.items())
        for (netuid, uid), row in self.bonds.items():
            assert row, (netuid, uid)
            assert all((netuid, each) in seats for each in (uid, *(each for each, _ in row)))

    def _put_bonds(self, netuid: int, uid: int, row: Row) -> None:
        if row:
            self.bonds[netuid, uid] = row
        else:
            del self.bonds[netuid, uid]


def _put(by_uid: DoubleMap[int, int, int], netuid: int, uid: int, value: int) -> None:
    """Write what differs."""
    if value != by_uid[netuid, uid]:
        if value:
            by_uid[netuid, uid] = value
        else:
            del by_uid[netuid, uid]
