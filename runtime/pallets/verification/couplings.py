"""What Verification asks of other pallets."""

from collections.abc import Sequence
from typing import Protocol

from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.model_updates.types import Update
from runtime.pallets.subnets.numbers import Hyperparameters, Parameter
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Ppm


class ChainOf(BlockNumberProvider, Protocol):
    """Names the chain and counts its blocks."""

    def genesis_hash(self) -> Hash:
        """Return the hash of block 0."""
        ...


class RoundsOf(Protocol):
    """Says who may act in a round now, and which round it is."""

    def admit_to_score_commit(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_COMMIT is open and its beacon drawn. Raises: DispatchError."""
        ...

    def admit_to_score_reveal(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_REVEAL of this round is open. Raises: DispatchError."""
        ...

    def round_number(self, netuid: int) -> int:
        """Return the round that is open, or was last."""
        ...

    def opened_at(self, netuid: int, round: int) -> BlockNumber:
        """Return the block in which a round opened."""
        ...

    def number(self, netuid: int, round: int, wanted: Parameter) -> int:
        """Return a number as it was when a round opened: nobody changes it afterwards to punish or spare."""
        ...


class SubnetsOf(Protocol):
    """What rules a subnet."""

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force. Raises: DispatchError."""
        ...


class NeuronOf(Protocol):
    """Who holds a uid."""

    @property
    def hotkey(self) -> AccountId:
        """The key that acts."""
        ...

    @property
    def coldkey(self) -> AccountId:
        """The key that owns."""
        ...

    @property
    def registered_at(self) -> BlockNumber:
        """The block it came in."""
        ...


class NeuronsOf(Protocol):
    """Who is in a subnet; and the doors for who does wrong."""

    def uid_of(self, netuid: int, hotkey: AccountId) -> int | None:
        """Return the uid of a hotkey."""
        ...

    def neuron(self, netuid: int, uid: int) -> NeuronOf | None:
        """Return who holds a uid."""
        ...

    def stakes(self, netuid: int) -> dict[int, Balance]:
        """Return the stake behind every uid."""
        ...

    def hold(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Keep a neuron from leaving; holds add up."""
        ...

    def release(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Take one hold back."""
        ...

    def held(self, netuid: int, uid: int) -> int:
        """Return how many holds there are."""
        ...

    def slash(self, netuid: int, uid: int, registered_at: BlockNumber, part_ppm: Ppm) -> Balance:
        """Burn a part of the bond and of what has not vested; return how much. The whole costs the seat."""
        ...

    def evict(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Take a seat away; the bond comes back."""
        ...


class UpdatesOf(Protocol):
    """What the miners revealed."""

    def has_revealed(self, netuid: int, round: int, miner: AccountId) -> bool:
        """Say whether a miner has revealed in a round."""
        ...

    def uids(self, netuid: int, round: int) -> frozenset[int]:
        """Return the uids that updates of a round were committed under."""
        ...

    def uid_of(self, netuid: int, round: int, miner: AccountId) -> int | None:
        """Return the uid that a miner committed under in a round, unless that has changed hands since."""
        ...

    def seat_of(self, netuid: int, round: int, miner: AccountId) -> int | None:
        """Return it, unless the seat has changed its hotkey."""
        ...

    def revealed(self, netuid: int, round: int) -> list[Update]:
        """Return the updates of a round, in the order of their commits."""
        ...

    def alike(self, netuid: int, round: int) -> list[list[Update]]:
        """Return the updates of a round, those with equal digests together, in the order of their commits."""
        ...


class PayOf(Protocol):
    """When a subnet was paid last, who may judge, and what has not vested."""

    def last_epoch_block(self, netuid: int) -> int:
        """Return the block of the last epoch."""
        ...

    def permitted(self, netuid: int) -> list[int]:
        """Return the uids with a validator permit."""
        ...

    def burn_vesting(self, netuid: int, uid: int, part_ppm: int) -> Balance:
        """Burn a part of what a neuron has earned and not got yet; return how much."""
        ...


class RowsOf(Protocol):
    """Where a judge's row of the epoch goes."""

    def put_row(self, netuid: int, uid: int, row: Sequence[tuple[int, int]], now: int) -> None:
        """Set the row of (uid, points); only their proportions are kept."""
        ...

    def drop_row(self, netuid: int, uid: int) -> None:
        """Take a row away, as if the judge had said nothing."""
        ...


class BeaconOf(Protocol):
    """Randomness nobody chose."""

    def beacon(self, domain: bytes) -> Hash:
        """Return the randomness of all blocks so far."""
        ...
