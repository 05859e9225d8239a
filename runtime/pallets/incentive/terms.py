"""What an epoch is given and what it decides: whole numbers in lists, one element per uid."""

from typing import Final

from runtime.primitives.hashing import blake2_256
from runtime.primitives.pairs import Pairs
from runtime.primitives.scale import codec
from runtime.primitives.shapes import struct, u16, u32, u128
from runtime.primitives.types import AccountId, Hash

U16: Final = 65535
"""What is stored for a whole."""
PPM: Final = 1_000_000

CONSENSUS: Final = ("median", "yuma3")
"""The functions of an epoch, by the number that a subnet's hyperparameter `consensus` has."""

Row = Pairs
"""(uid, value) in ascending order of uid; absent and zero mean the same."""


@struct("assay_runtime::incentive::Hyperparameters")
class Hyperparameters:
    """The dials of a subnet that its epoch reads."""

    kappa_ppm: u32 = 500_000  # of the voting stake: a score needs strictly more; yuma3: as much
    max_permits: u16 = 64
    permit_floor_ppm: u32 = 10_000  # of the permit holders' stake: a permit needs as much; not in yuma3
    stake_threshold: u128 = 0  # planck; less does not count
    stake_cap_ppm: u32 = 200_000  # of the permit holders' stake: one stash has no more; not in yuma3
    activity_cutoff: u32 = 5_000  # blocks
    bonds_moving_average_ppm: u32 = 900_000  # of a bond stays from one epoch to the next
    bonds_penalty_ppm: u32 = PPM  # of what exceeds the consensus earns no bond
    owner_cut_ppm: u32 = 0  # of the emission
    miners_share_ppm: u32 = 600_000  # of what is left; validators have the rest; yuma3: half


@struct("assay_runtime::incentive::EpochInput")
class EpochInput:
    """Everything an epoch depends on; lists have one element per uid."""

    consensus: str  # the function: "median" or "yuma3"
    block: u32
    tempo: u32  # blocks
    last_epoch_block: u32  # 0 before the first epoch
    stake: list[u128]  # planck
    stash: list[AccountId]
    last_update: list[u32]  # block of the last row; 0 for none
    registered: list[u32]  # block
    permit: list[bool]  # as the last epoch left it
    weights: list[Row]
    bonds: list[Row]
    pending_commit: list[u32]  # block of the oldest commitment not yet revealed; 0 for none
    owner_uid: u16 | None
    emission: u128  # planck
    hyperparameters: Hyperparameters

    def hash(self) -> Hash:
        """Return what the epoch's event names, so that anyone can replay it."""
        return Hash(blake2_256(codec(EpochInput).encode(self)))


@struct("assay_runtime::incentive::EpochOutput")
class EpochOutput:
    """What an epoch stores and pays: sum(emission) + carried is the emission it was given."""

    consensus: list[u16]
    incentive: list[u16]
    dividends: list[u16]
    validator_trust: list[u16]
    permit: list[bool]
    bonds: list[Row]
    emission: list[u128]  # planck
    carried: u128  # planck
    validator_emission: list[u128]  # planck; so much of the emission is for judging
