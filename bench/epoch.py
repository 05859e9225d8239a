"""How long a subnet's epoch takes, both functions, beside a plain model of the same in floating point.

    python -m bench.epoch [--sizes 256x64 1024x128 4096x512] [--passes 25] [--compare 5000] [--json FILE]

Sizes are miners x judges, dense and with 5 % of the scores: most judges score the same miners. Both sides
start from the rows as a chain stores them and end with what it stores; they take turns, in CPU time of the
one thread that works, and of each the best pass counts: what else the machine does only ever adds. The model
is numpy in float64 on dense matrices, as one writes it who need not agree with anybody to the last bit: what
exactness and sparse rows cost or save. The two must agree to 3 of 65,535.
`hash_ms` is the input's hash.

Then random subnets are compared with slow models of both functions; all must be equal in every unit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bench.record import finish, parser
from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import CONSENSUS, EpochInput, Hyperparameters, Row
from runtime.primitives.types import AccountId
from tests.runtime.pallets.incentive.differential import campaign

Floats = NDArray[np.float64]

SIZES = ["256x64", "1024x128", "4096x512"]
SHARES_OF_SCORES = {"dense": 1.0, "sparse": 0.05}
U16 = 65535
PASSES = 25
COMPARED = 5_000
WARM_UP = 3
"""epochs before the one that is measured, so that bonds are what they are in a running subnet"""
BLOCK, TEMPO = 100_000, 360
YOUNG = 0.01
"""of the miners came since the last epoch"""
AGREE = 3
"""of 65,535"""


def main() -> None:
    """Measure every size, density and function."""
    flags = parser(__doc__)
    flags.add_argument("--sizes", nargs="+", default=SIZES, metavar="MINERSxJUDGES")
    flags.add_argument("--passes", type=int, default=PASSES, help=f"epochs that are timed [{PASSES}]")
    flags.add_argument("--compare", type=int, default=COMPARED, help=f"random subnets [{COMPARED:,}]")
    flags.add_argument("--seed", type=int, default=0, help="of the random subnets [0]")
    given = flags.parse_args()
    figures: dict[str, object] = {}
    for size in given.sizes:
        miners, judges = map(int, size.split("x"))
        for density, share in SHARES_OF_SCORES.items():
            for name in CONSENSUS:
                epoch = subnet(name, miners, judges, share)
                figures[f"{name} {size} {density}"] = line = measure(epoch, given.passes)
                print(f"{name:7} {size:9} {density:7}", *(f"{key} {value}" for key, value in line.items()))
    figures["compared"] = {"seed": given.seed, **campaign(given.seed, given.compare)}
    finish("epoch", figures, given)


def subnet(name: str, miners: int, judges: int, share: float) -> EpochInput:
    """Return a subnet that has run for some epochs: judges, then miners, whose scores are noisy qualities."""
    chosen = np.random.default_rng(miners * judges)
    size = miners + judges if miners + judges <= 4096 else max(miners, judges)
    quality = chosen.lognormal(0.0, 1.0, size)
    stake = (chosen.pareto(1.5, judges) + 1) * 1e15
    epoch = EpochInput(
        consensus=name,
        block=BLOCK,
        tempo=TEMPO,
        last_epoch_block=BLOCK - TEMPO,
        stake=[int(each) for each in stake] + [0] * (size - judges),
        stash=[AccountId(uid.to_bytes(32, "little")) for uid in range(size)],
        last_update=[BLOCK - 1] * judges + [0] * (size - judges),
        registered=[BLOCK - 9 if uid >= judges and chosen.random() < YOUNG else 0 for uid in range(size)],
        permit=[uid < judges for uid in range(size)],
        weights=[],
        bonds=[Row()] * size,
        pending_commit=[0] * size,
        owner_uid=None,
        emission=10**15,
        hyperparameters=Hyperparameters(max_permits=judges, permit_floor_ppm=0),
    )
    known = (chosen.random(size) < share) ^ (chosen.random((judges, size)) < share * (1 - share) / 5)
    first = size - miners  # where there is no room for both, judges are judged too
    for _ in range(WARM_UP + 1):
        rows = [scored(chosen, quality, known[judge], first, judge) for judge in range(judges)]
        epoch = replace(epoch, weights=rows + [Row()] * (size - judges))
        bonds = run_epoch(epoch).bonds
        epoch, before = replace(epoch, bonds=bonds), epoch
    return before


def scored(
    chosen: np.random.Generator, quality: Floats, known: NDArray[np.bool_], first: int, judge: int
) -> Row:
    """Return a judge's row, its largest value 65,535."""
    uids = np.flatnonzero(known)
    uids = uids[(uids >= first) & (uids != judge)]
    seen = quality[uids] * chosen.lognormal(0.0, 0.1, len(uids))
    values = np.maximum(1, seen / seen.max(initial=1e-9) * U16).astype(int)
    return Row(zip(uids.tolist(), values.tolist(), strict=True))


def measure(epoch: EpochInput, passes: int) -> dict[str, object]:
    """Time an epoch and the model of it in turn."""
    ours, floats, hashes = run_epoch(epoch), float_epoch(epoch), []
    for mine, theirs in zip((ours.incentive, ours.dividends), floats, strict=True):
        apart = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
        assert apart <= AGREE, f"the model is {apart} of 65,535 away"
    ways: tuple[Callable[[EpochInput], object], ...] = (run_epoch, float_epoch)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(passes):
        for taken, function in zip(times, ways, strict=True):
            taken.append(timed(partial(function, epoch)))
        hashes.append(timed(epoch.hash))
    mine_ms, floats_ms = (1e3 * min(taken) for taken in times)
    scores = sum(map(len, epoch.weights))
    return {
        "scores": scores,
        "ms": round(mine_ms, 2),
        "float_ms": round(floats_ms, 2),
        "ratio": round(mine_ms / floats_ms, 2),
        "ns_per_score": round(1e6 * mine_ms / scores),
        "hash_ms": round(1e3 * min(hashes), 2),
    }


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


# The model.


def float_epoch(epoch: EpochInput) -> tuple[list[int], list[int]]:
    """Return incentives and dividends as u16: the steps of an epoch, in floats and on dense matrices."""
    dials = epoch.hyperparameters
    stake = np.array(epoch.stake, float) * np.array(epoch.permit)
    judges = np.flatnonzero(stake)
    share = stake[judges] / stake.sum()
    if epoch.consensus == "median":
        share = capped(share, max(dials.stake_cap_ppm / 1e6, 2 / len(judges)))
    registered = np.array(epoch.registered)
    weights = dense(epoch.weights, judges) * (registered < np.array(epoch.last_update)[judges, None])
    weights[np.arange(len(judges)), judges] = 0
    weights = normalised(weights, axis=1)
    consensus = weighted_median(weights, share, dials.kappa_ppm / 1e6)
    clipped = np.minimum(weights, consensus)
    incentive = normalised(consensus if epoch.consensus == "median" else share @ clipped)
    keep, penalty = dials.bonds_moving_average_ppm / 1e6, dials.bonds_penalty_ppm / 1e6
    bonds = dense(epoch.bonds, judges) / U16 * (registered < epoch.last_epoch_block)
    bonds = keep * bonds + (1 - keep) * (weights + penalty * (clipped - weights))
    earned = normalised(share * (normalised(bonds, axis=0) @ incentive))
    dividends = np.zeros(len(stake))
    dividends[judges] = earned
    stored = np.floor(bonds * U16).astype(np.uint16)
    for row in stored:  # what the chain would store
        held = np.flatnonzero(row)
        np.stack((held, row[held]), axis=1).astype("<u2").tobytes()
    return (incentive * U16).astype(int).tolist(), (dividends * U16).astype(int).tolist()


def dense(rows: Sequence[Row], judges: NDArray[np.int64]) -> Floats:
    """Return the judges' rows as a matrix."""
    matrix = np.zeros((len(judges), len(rows)))
    for place, judge in enumerate(judges):
        pairs = np.frombuffer(rows[judge].packed, "<u2").reshape(-1, 2)
        matrix[place, pairs[:, 0]] = pairs[:, 1]
    return matrix


def normalised(numbers: Floats, axis: int | None = None) -> Floats:
    """Return parts of the sum; of nothing, nothing."""
    total = numbers.sum(axis=axis, keepdims=True)
    parts: Floats = np.divide(numbers, total, out=np.zeros_like(numbers), where=total > 0)
    return parts


def capped(share: Floats, most: float) -> Floats:
    """Return shares of which none is more than so much of their sum."""
    for _ in share:
        level = most * share.sum()
        if share.max() <= level * (1 + 1e-12):
            break
        large = share > level
        share = np.where(large, most * share[~large].sum() / (1 - most * large.sum()), share)
    cut: Floats = share / share.sum()
    return cut


def weighted_median(weights: Floats, share: Floats, kappa: float) -> Floats:
    """Return for each column the highest value that more than kappa of the share gave or exceeded."""
    order = np.argsort(-weights, axis=0)
    support = np.cumsum(share[order], axis=0)
    place = (support <= kappa * share.sum()).sum(axis=0)
    ranked = np.take_along_axis(weights, order, axis=0)
    middle: Floats = ranked[np.minimum(place, len(share) - 1), np.arange(weights.shape[1])]
    return middle


if __name__ == "__main__":
    main()
