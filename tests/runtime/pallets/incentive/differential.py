"""The epoch beside slow models of both its functions: random subnets, the same outcome in every unit."""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Final

from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import EpochInput, Hyperparameters, Row
from tests.runtime.pallets.incentive.networks import stash
from tests.runtime.pallets.incentive.slow_median import slow_median
from tests.runtime.pallets.incentive.slow_yuma3 import slow_yuma3

MODELS: Final = {"median": slow_median, "yuma3": slow_yuma3}
SIZES: Final = (1, 2, 3, 4, 5, 8, 13, 40)
"""neurons"""


def campaign(seed: int, epochs: int) -> Counter[str]:
    """Run so many random subnets through both functions and their models, each for two epochs.

    Returns how many epochs were compared by function, and how many of them paid somebody.
    """
    seen: Counter[str] = Counter()
    for number in range(epochs):
        first = random_epoch(Random(f"{seed}/{number}"))
        for name, model in MODELS.items():
            epoch = replace(first, consensus=name)
            for _ in range(2):
                outcome = run_epoch(epoch)
                assert outcome == model(epoch), f"seed {seed}, subnet {number}: {epoch}"
                seen[name] += 1
                seen[f"{name} paid"] += any(outcome.emission)
                epoch = replace(epoch, permit=outcome.permit, bonds=outcome.bonds)
    return seen


def random_epoch(chosen: Random) -> EpochInput:
    """Return a subnet: mostly one that works, with some of everything that can be amiss."""
    size = chosen.choice(SIZES)
    judges = chosen.randint(1, min(size, 6))
    dense = chosen.choice((0.2, 0.8, 1.0))
    block, last = chosen.choice(((30, 0), (100, 80), (10_000, 9_640), (10_000, 1)))
    moments = (0, last, max(0, last - 1), last + 1, block - 4, block - 1)
    alike = chosen.random() < 0.3
    largest = chosen.choice((3, 1_000, 10**21, (1 << 128) // size - 1))

    def moment(usual: int) -> int:
        return chosen.choice(moments) if chosen.random() < 0.1 else usual

    def stake(uid: int) -> int:
        judge = chosen.random() < (0.95 if uid < judges else 0.05)
        return judge * (largest if alike else chosen.randint(0, largest))

    return EpochInput(
        consensus="median",
        block=block,
        tempo=chosen.choice((20, 360)),
        last_epoch_block=last,
        stake=[stake(uid) for uid in range(size)],
        stash=[stash(chosen.randrange(size) if chosen.random() < 0.3 else uid) for uid in range(size)],
        last_update=[moment(block - 2) for _ in range(size)],
        registered=[moment(0) for _ in range(size)],
        permit=[(uid < judges) ^ (chosen.random() < 0.05) for uid in range(size)],
        weights=[random_row(chosen, size, dense) for _ in range(size)],
        bonds=[random_row(chosen, size, dense) for _ in range(size)],
        pending_commit=[moment(0) for _ in range(size)],
        owner_uid=chosen.choice((None, None, chosen.randrange(size))),
        emission=chosen.choice((0, 1, 7, 10**12, chosen.randrange(10**21), 1 << 126)),
        hyperparameters=random_dials(chosen),
    )


def random_row(chosen: Random, size: int, dense: float) -> Row:
    """Return a row; some are equal, some empty, some have zeros."""
    largest = chosen.choice((0, 1, 3, *[65_535] * 6))
    return [(j, chosen.randint(0, largest)) for j in range(size) if chosen.random() < dense]


def random_dials(chosen: Random) -> Hyperparameters:
    """Return dials anywhere within their bounds, those at the edge more often."""

    def ppm(*usual: int) -> int:
        return chosen.choice((*usual, chosen.randint(min(usual), max(usual))))

    return Hyperparameters(
        kappa_ppm=ppm(*[500_000] * 8, 1_000_000),
        max_permits=chosen.choice((1, 3, 64)),
        permit_floor_ppm=chosen.choice((0, 10_000)),
        stake_threshold=chosen.choice((0, 0, 0, 2, 10**20)),
        stake_cap_ppm=ppm(1, 200_000, 1_000_000),
        activity_cutoff=chosen.choice((3, 20, 5_000, 5_000)),
        bonds_moving_average_ppm=ppm(0, 900_000, 1_000_000),
        bonds_penalty_ppm=ppm(0, 1_000_000, 1_000_000),
        owner_cut_ppm=ppm(0, 100_000),
        miners_share_ppm=ppm(0, 600_000, 1_000_000),
    )
