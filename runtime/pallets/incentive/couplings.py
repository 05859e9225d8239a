"""What Incentive asks of other pallets."""

from typing import Protocol

from runtime.pallets.incentive.terms import Row
from runtime.pallets.neurons.types import Neuron, Roster
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.weights import WeightCommit
from runtime.primitives.types import AccountId, Balance


class SubnetsOf(Protocol):
    """Which subnets there are, what rules them, and whose epoch is due."""

    def netuids(self) -> list[int]:
        """Return all subnets, ascending."""
        ...

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force. Raises: DispatchError."""
        ...

    def is_training(self, netuid: int) -> bool:
        """Say whether the subnet trains a model."""
        ...

    def take_due(self, now: int, most: int) -> list[int]:
        """Take so many subnets whose epoch is due, those that have waited longest first."""
        ...


class NeuronsOf(Protocol):
    """Who is in a subnet, and with which stake."""

    def listed(self, netuid: int) -> list[tuple[int, Neuron]]:
        """Return all neurons, ascending by uid."""
        ...

    def neuron(self, netuid: int, uid: int) -> Neuron | None:
        """Return who holds a uid."""
        ...

    def roster(self, netuid: int) -> Roster:
        """Return everybody with their stakes."""
        ...

    def warn(self, netuid: int, roster: Roster) -> None:
        """Warn who may soon be replaced."""
        ...


class WeightsOf(Protocol):
    """What judges think."""

    def row(self, netuid: int, uid: int) -> Row:
        """Return a judge's row, ascending by uid."""
        ...

    def updated_at(self, netuid: int, uid: int) -> int:
        """Return the block in which a judge's row was set, zero for never."""
        ...

    def pending(self, netuid: int) -> dict[int, list[WeightCommit]]:
        """Return what each uid has sealed and can still open, oldest first."""
        ...

    def end_epoch(self, netuid: int, epoch: int) -> int:
        """Give up what had to be opened in this epoch; return how many hotkeys had sealed rows."""
        ...


class StakingOf(Protocol):
    """Who stands behind a judge."""

    def share_dividend(self, stash: AccountId, dividend: Balance, source: AccountId) -> Balance:
        """Take its nominators' part of a dividend into custody for their payout; return how much."""
        ...
