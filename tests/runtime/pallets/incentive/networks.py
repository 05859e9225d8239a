"""Small subnets for the tests of the epoch."""

from dataclasses import replace
from typing import Any

from runtime.pallets.incentive.terms import EpochInput, Hyperparameters
from runtime.primitives.types import AccountId

WHOLE = 65535


def network(stake: list[int], weights: dict[int, dict[int, int]], **changes: Any) -> EpochInput:
    """Return block 100 of a subnet whose staked neurons hold permits; the rows given were revealed at 90."""
    size = len(stake)
    usual = EpochInput(
        consensus="median",
        block=100,
        tempo=20,
        last_epoch_block=80,
        stake=stake,
        stash=[stash(i) for i in range(size)],
        last_update=[90 if i in weights else 0 for i in range(size)],
        registered=[0] * size,
        permit=[each > 0 for each in stake],
        weights=[sorted(weights.get(i, {}).items()) for i in range(size)],
        bonds=[[] for _ in stake],
        pending_commit=[0] * size,
        owner_uid=None,
        emission=1200,
        hyperparameters=Hyperparameters(),
    )
    return replace(usual, **changes)


def stash(number: int) -> AccountId:
    return AccountId(number.to_bytes(32, "little"))
