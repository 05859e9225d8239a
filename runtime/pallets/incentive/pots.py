"""The pots: where what was minted for the subnets waits until somebody has earned it. Amounts are planck.

    minted = consensus pot + unallocated + pots + carried over + vesting + paid + burned

`unallocated` is split among the pots only in blocks that need one of them, so that idle subnets cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.frame.storage import Map, Value
from runtime.primitives.types import Balance

MOST_HALVINGS = 128
"""No reward of u128 survives more."""


@dataclass(frozen=True, slots=True)
class Pots:
    """The storage of everything minted and not yet paid, and of the sums that must agree with it."""

    minted: Value[Balance]
    to_consensus: Value[Balance]
    paid: Value[Balance]
    burned: Value[Balance]
    unallocated: Value[Balance]
    vesting: Value[Balance]
    pots: Map[int, Balance]
    carried_over: Map[int, Balance]

    def mint(self, reward: Balance, to_consensus: Balance) -> None:
        """Count a block's reward."""
        self.minted.put(self.minted.get() + reward)
        self.to_consensus.put(self.to_consensus.get() + to_consensus)
        self.unallocated.put(self.unallocated.get() + reward - to_consensus)

    def allocate(self, parts: Mapping[int, Balance]) -> None:
        """Put parts of what is unallocated into the pots; without a subnet that has a share it waits."""
        for netuid, part in parts.items():
            if part:
                self.pots[netuid] = self.pots[netuid] + part
        if parts:
            self.unallocated.put(self.unallocated.get() - sum(parts.values()))

    def waiting(self, netuid: int) -> Balance:
        """Return what is allocated to a subnet and neither earned nor vesting."""
        return self.pots[netuid] + self.carried_over[netuid]

    def close(self, netuid: int, carried: Balance) -> None:
        """Empty the pot of a subnet after its epoch, but for what nobody has earned."""
        del self.pots[netuid]
        self.carried_over[netuid] = carried

    def carry(self, netuid: int, amount: Balance) -> None:
        """Keep for a subnet's next epoch what could not be paid."""
        self.carried_over[netuid] = self.carried_over[netuid] + amount

    def note_paid(self, amount: Balance) -> None:
        """Count what has left for good."""
        self.paid.put(self.paid.get() + amount)

    def note_burned(self, amount: Balance) -> None:
        """Count what a slash destroyed."""
        self.burned.put(self.burned.get() + amount)

    def owed(self) -> Balance:
        """Return what was minted for subnets and has neither been paid nor burned."""
        return self.minted.get() - self.to_consensus.get() - self.paid.get() - self.burned.get()

    def carried(self) -> Balance:
        """Return everything minted for subnets that waits somewhere."""
        waiting = self.unallocated.get() + self.vesting.get()
        return waiting + sum(self.pots.values()) + sum(self.carried_over.values())

    def check(self) -> None:
        """Assert that no planck was lost or made."""
        owed, carried = self.owed(), self.carried()
        assert owed == carried, f"{owed} planck minted for subnets and not paid, {carried} waiting"


def reward_of(block: int, first: Balance, interval: int) -> Balance:
    """Return the reward of a block: halved every interval."""
    return first >> min(block // interval, MOST_HALVINGS)
