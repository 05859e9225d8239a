"""What Subnets says: its events and errors."""

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.subnets.types import Kind
from runtime.primitives.shapes import u16, u128
from runtime.primitives.types import AccountId, BlockNumber


@event
class NetworkAdded:
    """A subnet was created."""

    netuid: u16
    kind: Kind
    owner: AccountId


@event
class HyperparameterScheduled:
    """A hyperparameter will change in block `at`."""

    netuid: u16
    parameter: Parameter
    value: u128
    at: BlockNumber


@event
class HyperparameterSet:
    """A scheduled hyperparameter came into force."""

    netuid: u16
    parameter: Parameter
    value: u128


@event
class OwnerSet:
    """A subnet has another owner."""

    netuid: u16
    owner: AccountId


@event
class NetworkPaused:
    """A subnet stands still; what it would have emitted is carried over."""

    netuid: u16


@event
class NetworkUnpaused:
    """A subnet works again."""

    netuid: u16


class Error(PalletError):
    """Why a call about a subnet is refused."""

    UnknownSubnet = "There is no subnet with this netuid; read Subnets.Networks for those there are."
    TooManySubnets = (
        "The chain has as many subnets as it allows; raise MaxSubnets in a runtime upgrade first."
    )
    NotOwner = "Only the subnet's owner or root may do this; sign with the owner's coldkey."
    OnlyRoot = "Root alone sets this hyperparameter: it weighs on others or on who may judge; ask root."
    OutOfBounds = "The value is out of bounds; choose one within those that docs/protocol.md lists."
    Contradiction = (
        "The values contradict each other; keep burn_min <= burn_max, top_k <= chunk, "
        "warmup_steps and inner_steps_start <= inner_steps, 2 * freeze_window <= tempo <= activity_cutoff, "
        "hidden a multiple of 2 * heads, and heads one of kv_heads."
    )
    FixedAtCreation = "A model keeps its shape; create another subnet for a model of another shape."
    Frozen = (
        "Nothing is scheduled in the freeze window before an epoch, nor in the epoch's block; send this "
        "again after it."
    )
    AlreadyPaused = "The subnet is paused already; nothing is left to do."
    NotPaused = "The subnet is not paused; nothing is left to do."
    Paused = "The subnet is paused; wait until root has unpaused it."


Event = (
    NetworkAdded | HyperparameterScheduled | HyperparameterSet | OwnerSet | NetworkPaused | NetworkUnpaused
)
