"""The epoch of a subnet: scores become emission. A pure function over whole numbers, without storage.

Two functions do it, and a subnet chooses: `median`, ours, and `yuma3`, which decides as Bittensor does. The
time of both grows with the number of scores and bonds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from runtime.pallets.incentive.median import median
from runtime.pallets.incentive.terms import PPM, EpochInput, EpochOutput
from runtime.pallets.incentive.yuma3 import yuma3
from runtime.primitives.int64 import MOST_ROWS, Packed, packed

MAX_OWNER_CUT: Final = 100_000
"""ppm"""
FUNCTIONS: Final[Mapping[str, Callable[[EpochInput, Packed, Packed], EpochOutput]]] = {
    "median": median,
    "yuma3": yuma3,
}
"""By the names that `EpochInput.consensus` may have."""


def run_epoch(epoch: EpochInput) -> EpochOutput:
    """Turn the scores of one epoch into permits, bonds and emission.

    Raises: ValueError for an input no pallet should build.
    """
    _check(epoch)
    return FUNCTIONS[epoch.consensus](epoch, packed(epoch.weights), packed(epoch.bonds))


def _check(epoch: EpochInput) -> None:
    if epoch.consensus not in FUNCTIONS:
        known = " and ".join(f'"{name}"' for name in FUNCTIONS)
        raise ValueError(f'there is no consensus function "{epoch.consensus}"; this runtime has {known}')
    size = len(epoch.stake)
    if size > MOST_ROWS:
        raise ValueError(f"{size} uids; an epoch takes {MOST_ROWS}")
    columns: tuple[Sequence[object], ...] = (
        epoch.stash, epoch.last_update, epoch.registered, epoch.permit,
        epoch.weights, epoch.bonds, epoch.pending_commit,
    )  # fmt: skip
    if any(len(column) != size for column in columns):
        raise ValueError(f"every list needs one element for each of {size} uids")
    if epoch.owner_uid is not None and epoch.owner_uid >= size:
        raise ValueError(f"the owner has a uid beyond {size - 1}")
    if min([*epoch.stake, epoch.emission]) < 0:
        raise ValueError("no stake and no emission is below zero")
    dials = epoch.hyperparameters
    if not PPM <= 2 * dials.kappa_ppm <= 2 * PPM:
        raise ValueError(f"kappa is {dials.kappa_ppm} ppm; at least half of the stake has to support a score")
    shares = (dials.miners_share_ppm, dials.bonds_moving_average_ppm, dials.bonds_penalty_ppm)
    if dials.owner_cut_ppm > MAX_OWNER_CUT or max(shares) > PPM:
        raise ValueError(f"a share exceeds its bound: {dials}")
