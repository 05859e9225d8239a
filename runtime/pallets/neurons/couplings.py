"""What Neurons asks of other pallets."""

from collections.abc import Sequence
from typing import Protocol

from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.subnets.types import Network
from runtime.primitives.types import AccountId, Balance


class SubnetsOf(Protocol):
    """What is asked of the Subnets pallet."""

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force. Raises: DispatchError."""
        ...

    def ensure_working(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force of a subnet that is not paused. Raises: DispatchError."""
        ...

    def network(self, netuid: int) -> Network:
        """Return kind and owner. Raises: DispatchError."""
        ...

    def netuids(self) -> list[int]:
        """Return all subnets, ascending."""
        ...

    def next_epoch(self, netuid: int, now: int) -> int:
        """Return the block of the first epoch after `now`."""
        ...


class Stakes(Protocol):
    """What is asked of the Staking pallet."""

    def stake_of(self, stash: AccountId) -> Balance:
        """Return the stake behind a stash."""
        ...


class Earnings(Protocol):
    """What is asked of the Incentive pallet."""

    def last_paid(self, netuid: int, uids: Sequence[int]) -> dict[int, Balance]:
        """Return what neurons earned in the last epoch that paid any of them."""
        ...

    def burn_vesting(self, netuid: int, uid: int, part_ppm: int) -> Balance:
        """Burn a part of what a neuron has earned and not got yet; return how much."""
        ...


class Hygiene(Protocol):
    """A pallet that keeps something under a uid."""

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove everything about a neuron that is leaving."""
        ...


class Sealed(Protocol):
    """What is asked of the Weights pallet."""

    def forget_commits(self, netuid: int, hotkey: AccountId) -> None:
        """Give up what a hotkey has sealed, because nobody can open it any more."""
        ...
