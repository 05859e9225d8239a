"""What is stored of a subnet."""

import enum

from runtime.pallets.subnets.numbers import Parameter
from runtime.primitives.shapes import struct, u128
from runtime.primitives.types import AccountId, BlockNumber


class Kind(enum.Enum):
    """What a subnet's miners are paid for."""

    __scale_path__ = "pallet_subnets::types::Kind"

    Training = 0
    Inference = 1


@struct("pallet_subnets::types::Network")
class Network:
    """What a subnet is, apart from its numbers."""

    kind: Kind
    owner: AccountId
    created_at: BlockNumber


@struct("pallet_subnets::types::Setting")
class Setting:
    """A hyperparameter and a value for it."""

    parameter: Parameter
    value: u128
