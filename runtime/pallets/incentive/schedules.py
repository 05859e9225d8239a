"""Who is owed what vests: miners by their uids, who has left by coldkey. Amounts are planck.

Time is counted in rounds of the subnet that are over; nothing is paid here.
"""

from dataclasses import dataclass
from typing import TypeVar

from runtime.frame.storage import DoubleMap, Map, Value
from runtime.pallets.incentive.vesting import Vesting, cut, grant, joined, opened, outstanding, settle
from runtime.primitives.types import AccountId, Balance, Ppm

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Schedules:
    """The storage of everything that vests, and its sum."""

    of_uids: DoubleMap[int, int, Vesting]
    of_former: DoubleMap[int, AccountId, Vesting]
    rounds: Map[int, int]
    total: Value[Balance]

    def end_round(self, netuid: int) -> None:
        """Count a round that is over."""
        self.rounds[netuid] = self.rounds[netuid] + 1

    def held(self, netuid: int, uid: int) -> Balance:
        """Return what is left of a neuron's schedule."""
        vesting = self.of_uids.get(netuid, uid)
        return outstanding(vesting) if vesting else 0

    def grant(self, netuid: int, uid: int, amount: Balance, rounds: int) -> Balance:
        """Let an amount vest over so many rounds; return how much does: a multiple of them."""
        before = self.of_uids.get(netuid, uid) or opened(self.rounds[netuid])
        vesting, held = grant(before, amount, rounds)
        self._put(self.of_uids, netuid, uid, vesting)
        self._add(held)
        return held

    def settle(self, netuid: int, uid: int) -> Balance:
        """Take what has vested out of a neuron's schedule; return how much."""
        return self._settle(self.of_uids, netuid, uid, self.of_uids.get(netuid, uid))

    def settle_uids(self, netuid: int) -> list[tuple[int, Balance]]:
        """Take what has vested out of all neurons' schedules; return who gets how much."""
        return self._settle_all(self.of_uids, netuid)

    def settle_former(self, netuid: int) -> list[tuple[AccountId, Balance]]:
        """Take what has vested out of the schedules of those who have left; return who gets how much."""
        return self._settle_all(self.of_former, netuid)

    def cut(self, netuid: int, uid: int, part: Ppm, whole: int) -> Balance:
        """Take part / whole of a settled schedule away, rounded up; return how much."""
        before = self.of_uids.get(netuid, uid)
        if before is None:
            return 0
        after = cut(before, part, whole)
        lost = outstanding(before) - outstanding(after)
        self._put(self.of_uids, netuid, uid, after)
        self._add(-lost)
        return lost

    def leave(self, netuid: int, uid: int, coldkey: AccountId) -> Balance:
        """Let what vests under a uid go on under its coldkey; return what had vested of both."""
        if (netuid, uid) not in self.of_uids:
            return 0
        former = self.of_former.get(netuid, coldkey)
        vested = self.settle(netuid, uid) + self._settle(self.of_former, netuid, coldkey, former)
        left = self.of_uids.take(netuid, uid)
        if left is not None:
            former = self.of_former.get(netuid, coldkey) or opened(left.settled)
            self.of_former[netuid, coldkey] = joined(left, former)
        return vested

    def check(self) -> None:
        """Assert that schedules are sorted, not paid ahead of time, and add up."""
        listed = [*self.of_uids.items(), *self.of_former.items()]
        assert self.total.get() == sum(outstanding(vesting) for _, vesting in listed)
        for (netuid, _), vesting in listed:
            assert vesting.rates == sorted(vesting.rates)
            assert all(until > vesting.settled and rate for until, rate in vesting.rates)
            assert vesting.settled <= self.rounds[netuid]

    def _settle_all(self, schedules: DoubleMap[int, K, Vesting], netuid: int) -> list[tuple[K, Balance]]:
        return [(key, self._settle(schedules, netuid, key, each)) for key, each in schedules.under(netuid)]

    def _settle(
        self, schedules: DoubleMap[int, K, Vesting], netuid: int, key: K, before: Vesting | None
    ) -> Balance:
        round = self.rounds[netuid]
        if before is None or before.settled == round:
            return 0
        left, vested = settle(before, round)
        self._put(schedules, netuid, key, left)
        self._add(-vested)
        return vested

    def _put(self, schedules: DoubleMap[int, K, Vesting], netuid: int, key: K, vesting: Vesting) -> None:
        if vesting.rates:
            schedules[netuid, key] = vesting
        else:
            del schedules[netuid, key]

    def _add(self, amount: int) -> None:
        self.total.put(self.total.get() + amount)
