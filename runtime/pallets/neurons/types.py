"""What is stored of a neuron, and the roster of a subnet."""

from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.shapes import Bounded, struct, u16
from runtime.primitives.types import AccountId, Balance, BlockNumber

Url = Annotated[str, Bounded(128)]


@struct("pallet_neurons::types::Neuron")
class Neuron:
    """A seat in a subnet."""

    hotkey: AccountId
    coldkey: AccountId
    registered_at: BlockNumber
    bond: Balance


@struct("pallet_neurons::types::Axon")
class Axon:
    """Where a neuron answers, and the version of the protocol it speaks there."""

    url: Url
    protocol: u16
    served_at: BlockNumber


@struct("pallet_neurons::types::BurnPrice")
class BurnPrice:
    """The registration price as it was right after the last registration."""

    price: Balance
    updated_at: BlockNumber


@struct("pallet_neurons::types::Identity")
class Identity:
    """What a neuron says about itself; nobody checks it."""

    name: Annotated[str, Bounded(64)]
    url: Url
    description: Annotated[str, Bounded(256)]


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody in a subnet at one moment: neurons by ascending uid, stakes by uid, the owner's uid."""

    listed: list[tuple[int, Neuron]]
    stakes: dict[int, Balance]
    owner_uid: int | None
