"""What Neurons says: its events and errors."""

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.pallets.neurons.types import Url
from runtime.primitives.shapes import u16, u128
from runtime.primitives.types import AccountId, BlockNumber


@event
class NeuronRegistered:
    """A hotkey took a uid."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    burned: u128


@event
class NeuronDeregistered:
    """A neuron left or was replaced; its bond is free again."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    bond: u128


@event
class PruneWarning:
    """From block `prunable_at` on, a newcomer to the full subnet may replace this neuron."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    prunable_at: BlockNumber


@event
class NeuronSlashed:
    """A neuron has done wrong: this much of its bond, and of what had not vested, was burnt."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    bond: u128
    vesting: u128


@event
class AxonServed:
    """A neuron announced where it answers."""

    netuid: u16
    hotkey: AccountId
    url: Url


@event
class HotkeySwapped:
    """A neuron goes on under another hotkey, with uid, bond and history."""

    netuid: u16
    uid: u16
    old: AccountId
    new: AccountId


@event
class IdentitySet:
    """A neuron said who it is."""

    netuid: u16
    hotkey: AccountId


class Error(PalletError):
    """Why a call about neurons is refused."""

    AlreadyRegistered = "The hotkey has a uid in this subnet already; register another hotkey."
    HotkeyOfAnother = "The hotkey belongs to another coldkey, which registered it first; make a new hotkey."
    PriceTooHigh = "The registration price is above max_price; wait until it has fallen or raise max_price."
    CannotAfford = (
        "The coldkey's free balance does not cover price and bond; fund it or wait for a lower price."
    )
    SubnetFull = (
        "All uids are taken, and every neuron is immune, the owner's or under audit; try again when an "
        "immunity period has ended, which Neurons.Neurons and immunity_period tell."
    )
    NotRegistered = "The hotkey has no uid in this subnet; register it with Neurons.burned_register."
    NotColdkey = "The neuron belongs to another coldkey; sign with the coldkey that registered it."
    InvalidUrl = (
        "The url must be http:// or https:// with a host, maybe a port, printable ASCII without spaces; "
        "correct it."
    )
    ServedTooSoon = (
        "The endpoint was changed a moment ago; wait for the subnet's serving_rate_limit (blocks)."
    )
    PrivateAddress = (
        "The url's host is no public address: nobody could reach it from elsewhere; serve a public address "
        "or a full domain name."
    )
    SwappedTooSoon = (
        "The hotkey was swapped a moment ago; wait as long as the longest round of the subnet (its windows)."
    )
    UnderAudit = "The neuron's work is being audited; give it up when the audit has ended."


Event = (
    NeuronRegistered
    | NeuronDeregistered
    | AxonServed
    | HotkeySwapped
    | IdentitySet
    | PruneWarning
    | NeuronSlashed
)
