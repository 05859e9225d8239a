"""What Training asks of other pallets."""

from collections.abc import Sequence
from typing import Protocol

from runtime.pallets.model_updates.types import Update
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.subnets.types import Network
from runtime.primitives.commitments import Score
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash


class SubnetsOf(Protocol):
    """Which subnets there are and what rules them."""

    def training_netuids(self) -> list[int]:
        """Return the subnets that train a model, ascending."""
        ...

    def network(self, netuid: int) -> Network:
        """Return kind and owner. Raises: DispatchError."""
        ...

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force. Raises: DispatchError."""
        ...

    def is_training(self, netuid: int) -> bool:
        """Say whether this is a training subnet."""
        ...

    def is_paused(self, netuid: int) -> bool:
        """Say whether the subnet stands still."""
        ...


class NeuronOf(Protocol):
    """Who holds a uid."""

    @property
    def hotkey(self) -> AccountId:
        """The key that acts."""
        ...

    @property
    def registered_at(self) -> BlockNumber:
        """The block it came in."""
        ...


class NeuronsOf(Protocol):
    """Who is in a subnet, and with which stake."""

    def uid_of(self, netuid: int, hotkey: AccountId) -> int | None:
        """Return the uid of a hotkey."""
        ...

    def neuron(self, netuid: int, uid: int) -> NeuronOf | None:
        """Return who holds a uid."""
        ...

    def listed(self, netuid: int) -> Sequence[tuple[int, NeuronOf]]:
        """Return everybody by ascending uid."""
        ...

    def stakes(self, netuid: int) -> dict[int, Balance]:
        """Return the stake behind every uid."""
        ...


class PermitsOf(Protocol):
    """Who may judge; and who counts rounds."""

    def end_round(self, netuid: int) -> None:
        """Count a round that is over: what miners have earned vests by rounds."""
        ...

    def permitted(self, netuid: int) -> list[int]:
        """Return the uids with a validator permit."""
        ...

    def is_permitted(self, netuid: int, uid: int) -> bool:
        """Say whether a uid has one."""
        ...


class BeaconOf(Protocol):
    """Randomness nobody chose, and who authored the block that brought it."""

    def beacon(self, domain: bytes) -> Hash:
        """Return the randomness of all blocks so far."""
        ...

    def author_index(self) -> int | None:
        """Return the author of this block."""
        ...

    def authority_weights(self) -> list[int]:
        """Return the weight of each author, by index."""
        ...


class UpdatesOf(Protocol):
    """What the miners did."""

    def committed(self, netuid: int, round: int) -> list[AccountId]:
        """Return who committed."""
        ...

    def revealed(self, netuid: int, round: int) -> list[Update]:
        """Return the revealed updates in the order of their commits."""
        ...

    def originals(self, netuid: int, round: int) -> list[Update]:
        """Return them without later copies."""
        ...

    def seat_of(self, netuid: int, round: int, miner: AccountId) -> int | None:
        """Return the uid that a miner committed under, while it sits there."""
        ...


class ScoresOf(Protocol):
    """What the judges did."""

    def committed(self, netuid: int, round: int) -> list[int]:
        """Return the uids that committed scores."""
        ...

    def revealed(self, netuid: int, round: int) -> list[tuple[int, list[Score]]]:
        """Return the revealed scores by judge."""
        ...

    def end_scoring(self, netuid: int, round: int) -> None:
        """Have the audits of a round drawn, whose scores are open."""
        ...

    def end_round(self, netuid: int, round: int) -> None:
        """Look at what had to be reported by the end of a round."""
        ...

    def let_go(self, netuid: int) -> None:
        """Give up what is open in a subnet that stands still."""
        ...

    def book(self, netuid: int, round: int, now: int) -> None:
        """Count the scores of a closed round towards the epoch."""
        ...
