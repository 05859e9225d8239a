"""Subnets under attack: what judges say, epoch after epoch, and what both functions make of it.

A market has judges with stake, miners with a quality, and noise: what a judge measures of a miner is its
quality times a lognormal factor of its own. Everything goes through `run_epoch`, whose permits and bonds are
carried from epoch to epoch as the chain does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import EpochInput, EpochOutput, Hyperparameters, Row
from runtime.primitives.types import AccountId

Floats = NDArray[np.float64]

U16 = 65535
EMISSION = 10**15
"""planck in an epoch"""
TEMPO = 360
WHOLE = 10**21
"""planck: all stake in a market"""
UNCAPPED = 1_000_000


@dataclass(frozen=True)
class Market:
    """Judges are the first uids, miners the rest."""

    stakes: Sequence[float]  # of the judges; their sum is one
    miners: int
    stashes: Sequence[int] = ()  # of the judges, by number; without, everybody has one's own
    dials: Mapping[str, int] = field(default_factory=dict)

    @property
    def judges(self) -> int:
        """Return how many judge."""
        return len(self.stakes)

    @property
    def size(self) -> int:
        """Return how many neurons there are."""
        return self.judges + self.miners


Say = Callable[[int, int], Floats]
"""(epoch, judge) -> the score of each miner; all zero for no row"""


def play(function: str, market: Market, say: Say, epochs: int) -> list[EpochOutput]:
    """Run epochs; return what each decided."""
    stashes = market.stashes or range(market.judges)
    bonds, permit, outcomes = [Row()] * market.size, [True] * market.judges + [False] * market.miners, []
    for number in range(1, epochs + 1):
        now = number * TEMPO
        outcome = run_epoch(
            EpochInput(
                consensus=function,
                block=now,
                tempo=TEMPO,
                last_epoch_block=now - TEMPO,
                stake=[round(each * WHOLE) for each in market.stakes] + [0] * market.miners,
                stash=[
                    AccountId(number.to_bytes(32, "big"))
                    for number in (*stashes, *range(1 << 16, (1 << 16) + market.miners))
                ],
                last_update=[now - 1] * market.size,
                registered=[0] * market.size,
                permit=permit,
                weights=[
                    row_of(say(number, uid), market.judges) if uid < market.judges else Row()
                    for uid in range(market.size)
                ],
                bonds=bonds,
                pending_commit=[0] * market.size,
                owner_uid=None,
                emission=EMISSION,
                hyperparameters=Hyperparameters(permit_floor_ppm=0, **market.dials),
            )
        )
        bonds, permit = outcome.bonds, outcome.permit
        outcomes.append(outcome)
    return outcomes


def row_of(scores: Floats, first: int) -> Row:
    """Return a judge's row as the chain stores it: the largest value 65,535, no zeros."""
    if not scores.any():
        return Row()
    values = np.rint(scores / scores.max() * U16).astype(int).tolist()
    return Row((first + miner, value) for miner, value in enumerate(values) if value)


def shares(outcomes: Sequence[EpochOutput], uids: Sequence[int]) -> float:
    """Return what part of the emission of these epochs went to these neurons."""
    paid = sum(outcome.emission[uid] for outcome in outcomes for uid in uids)
    return paid / (EMISSION * len(outcomes))


def incentives(outcomes: Sequence[EpochOutput], judges: int) -> Floats:
    """Return the mean part of the miners' incentive that each miner had."""
    told = np.array([outcome.incentive[judges:] for outcome in outcomes], float)
    parts: Floats = (told / np.maximum(1, told.sum(axis=1, keepdims=True))).mean(axis=0)
    return parts
