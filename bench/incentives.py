"""What attacks on a subnet gain, under both functions of the epoch: the tables of docs/incentives.md.

    python -m bench.incentives [--draws 100] [--json FILE]

cabal    judges who give everything to a miner of their own that does no work: what they and it get of the
         emission, percent, by their stake; under one stash, and spread over many. `fair` is for honest ones.
seats    the same at 51 % of the stake, by the number of stashes it is spread over
pull     by how many percent a minority changes the incentive of one miner: `own` gives everything to its own,
         honest miner; `rival` scores a rival zero and all others honestly. There is no cap on stashes here.
error    what part of the incentive, percent, goes astray when all are honest and measure with noise
copier   the dividend of a judge who copies, for its stake, beside that of the honest: the consensus of this
         epoch's open rows, or, where rows are sealed, that of the epoch before, while qualities drift
registrations  what 256 uids cost, ASY, so many blocks after one another, with the live network's numbers
copies   what an artefact earns under k uids, once being 1: split as the chain does, and scored in full each

Judges measure a miner's quality times lognormal noise (10 % unless a table says otherwise), each its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from bench.attacks import U16, UNCAPPED, Floats, Market, Say, incentives, play, shares
from bench.record import finish, parser
from runtime.frame.testing import assert_ok
from runtime.pallets.incentive.terms import CONSENSUS
from runtime.pallets.subnets.numbers import ASY, Hyperparameters
from runtime.pallets.subnets.types import Kind
from tests.runtime.pallets.market import ALICE, BOB, market, text

STAKES = (0.2, 0.4, 0.45, 0.49, 0.5, 0.51, 0.6)
PULLING = (0.1, 0.2, 0.3, 0.4, 0.45, 0.49)
NOISES = (0.05, 0.1, 0.2)
DRIFTS = (0.0, 0.02, 0.1, 0.3)
SEATS = (1, 2, 3, 5, 10, 20)
COPIES = (1, 2, 4, 16, 64)
REGISTRATIONS = 256
PACES = (0, 20, 120)
"""blocks from one registration to the next"""
NOISE = 0.1
SPREAD = 0.5
"""of the logarithm of qualities"""
HONEST, MINERS = 20, 10
SPLIT = 20
"""stashes of a holder who spreads a stake"""
EPOCHS, SETTLED = 60, 30
"""that are run, and after how many of them bonds have settled"""
DRAWS = 100

Table = dict[str, dict[str, float]]
"""row -> column -> value"""


@dataclass(frozen=True)
class Draw:
    """One draw of qualities and of what judges measure."""

    seed: int
    judges: int
    miners: int = MINERS
    noise: float = NOISE
    drift: float = 0.0
    epochs: int = 1

    @cached_property
    def quality(self) -> Floats:
        """Return the miners' qualities by epoch."""
        chosen = np.random.default_rng([self.seed, 1])
        first = chosen.lognormal(0, SPREAD, self.miners)
        steps = chosen.lognormal(0, self.drift, (self.epochs, self.miners))
        drifted: Floats = first * np.cumprod(steps, axis=0) / steps[0]
        return drifted

    @cached_property
    def measured(self) -> Floats:
        """Return what each judge measures of each miner, by epoch."""
        chosen = np.random.default_rng([self.seed, 2])
        noise = chosen.lognormal(0, self.noise, (self.epochs, self.judges, self.miners))
        return self.quality[:, None, :] * noise


def main() -> None:
    """Make every table."""
    flags = parser(__doc__)
    flags.add_argument("--draws", type=int, default=DRAWS, help=f"of qualities and noise [{DRAWS}]")
    given = flags.parse_args()
    tables = {
        "cabal": cabal(),
        "seats": seats(),
        "pull": pulls(given.draws),
        "error": errors(given.draws),
        "copier": copiers(max(1, given.draws // 20)),
        "registrations": registrations(),
        "copies": copies(),
    }
    for name, table in tables.items():
        show(name, table)
    finish("incentives", {"draws": given.draws, **tables}, given)


def show(name: str, table: Table) -> None:
    """Print a table for people."""
    columns = list(next(iter(table.values())))
    width = max(len(row) for row in table)
    print(f"\n{name:{width}}  " + "  ".join(columns))
    for row, line in table.items():
        print(f"{row:{width}}  " + "  ".join(f"{line[key]:>{len(key)}}" for key in columns))


# Cabals.


def cabal() -> Table:
    """Return the cabal's part of the emission, percent."""
    table: Table = {}
    for stake in STAKES:
        fair = {"fair median": 40 * stake, "fair yuma3": 50 * stake}
        table[f"{stake:.2f}"] = fair | {
            "yuma3": taken("yuma3", stake, 1),
            "median, one stash": taken("median", stake, 1),
            f"median, {SPLIT} stashes": taken("median", stake, SPLIT),
        }
    return rounded(table, 1)


def seats() -> Table:
    """Return what 51 % of the stake takes under the cap, percent of the emission."""
    return rounded({f"{count} stashes": {"median": taken("median", 0.51, count)} for count in SEATS}, 1)


def taken(function: str, stake: float, stashes: int) -> float:
    """Return what part of the emission, percent, a cabal gets with a miner that does nothing."""
    draw = Draw(0, HONEST, epochs=EPOCHS)
    stakes = [(1 - stake) / HONEST] * HONEST + [stake / stashes] * stashes
    own = np.zeros(MINERS + 1)
    own[-1] = 1.0

    def say(epoch: int, judge: int) -> Floats:
        return np.append(draw.measured[epoch - 1, judge], 0.0) if judge < HONEST else own

    playing = Market(stakes, MINERS + 1)
    outcomes = play(function, playing, say, EPOCHS)[SETTLED:]
    return 100 * shares(outcomes, range(HONEST, HONEST + stashes)) + 100 * shares(
        outcomes, [playing.size - 1]
    )


def pulls(draws: int) -> Table:
    """Return by how much a minority changes a miner's incentive, percent, at each stake and noise."""
    table: Table = {}
    for noise, stake in [*((NOISE, each) for each in PULLING), *((each, 0.4) for each in NOISES)]:
        table[f"stake {stake:.2f}, noise {noise:.0%}"] = {
            f"{function} {aim}": pulled(function, stake, noise, aim, draws)
            for function in CONSENSUS
            for aim in ("own", "rival")
        }
    return rounded(table, 1)


def pulled(function: str, stake: float, noise: float, aim: str, draws: int) -> float:
    """Return by how much, percent, the last judge changes the mean incentive of the miners it aims at."""
    stakes = [(1 - stake) / HONEST] * HONEST + [stake]
    playing = Market(stakes, MINERS, dials={"stake_cap_ppm": UNCAPPED})
    before = after = 0.0
    for seed in range(draws):
        draw, aimed = Draw(seed, HONEST + 1, noise=noise), seed % MINERS
        at = np.arange(MINERS) == aimed
        unfair = draw.measured[0].copy()
        unfair[HONEST, ~at if aim == "own" else at] = 0.0
        before += incentives(play(function, playing, honest(draw), 1), playing.judges)[aimed]
        after += incentives(play(function, playing, says(unfair), 1), playing.judges)[aimed]
    return 100 * (after / before - 1)


def says(rows: Floats) -> Say:
    """Return judges who say this in every epoch."""
    return lambda _, judge: rows[judge]


def errors(draws: int) -> Table:
    """Return what part of the incentive honest judges give to the wrong miners, percent."""
    table: Table = {}
    for noise in NOISES:
        playing = Market([1 / HONEST] * HONEST, MINERS)
        table[f"noise {noise:.0%}"] = {
            function: fmean(
                missed(function, playing, Draw(seed, HONEST, noise=noise)) for seed in range(draws)
            )
            for function in CONSENSUS
        }
    return rounded(table, 2)


def missed(function: str, playing: Market, draw: Draw) -> float:
    """Return half of the distance between what was earned and what was paid, percent."""
    told = incentives(play(function, playing, honest(draw), 1), playing.judges)
    return 50 * float(np.abs(told - draw.quality[0] / draw.quality[0].sum()).sum())


def honest(draw: Draw) -> Say:
    """Return judges who say what they measure."""
    return lambda epoch, judge: draw.measured[epoch - 1, judge]


# Copiers.


def copiers(draws: int) -> Table:
    """Return a copier's dividend for its stake, beside that of the honest."""
    table: Table = {}
    for drift in DRIFTS:
        table[f"drift {drift:.0%}"] = {
            f"{function}, {'sealed' if lag else 'open'}": fmean(
                copied(function, drift, lag, seed) for seed in range(draws)
            )
            for function in CONSENSUS
            for lag in (0, 1)
        }
    return rounded(table, 3)


def copied(function: str, drift: float, lag: int, seed: int) -> float:
    """Return the dividend of one who says what the consensus of `HONEST` equals was `lag` epochs ago."""
    draw = Draw(seed, HONEST, drift=drift, epochs=EPOCHS)
    alone = play(function, Market([1 / HONEST] * HONEST, MINERS), honest(draw), EPOCHS)
    known = [np.array(outcome.consensus[HONEST:], float) / U16 for outcome in alone]

    def say(epoch: int, judge: int) -> Floats:
        return draw.measured[epoch - 1, judge] if judge < HONEST else known[max(0, epoch - 1 - lag)]

    outcomes = play(function, Market([1 / (HONEST + 1)] * (HONEST + 1), MINERS), say, EPOCHS)[SETTLED:]
    told = np.array([outcome.dividends[: HONEST + 1] for outcome in outcomes], float).mean(axis=0)
    return float(told[-1] / told[:-1].mean())


# Many uids.


def registrations() -> Table:
    """Return what 256 registrations cost a coldkey, ASY, by the blocks between them."""
    return rounded({f"every {pace} blocks": registered(pace) for pace in PACES}, 0)


def registered(pace: int) -> dict[str, float]:
    """Register in the real pallet, with the live network's numbers but room for all and no epoch between."""
    live = Hyperparameters()
    roomy = {"max_uids": 1024, "tempo": 50_400, "activity_cutoff": 50_400}
    subnet = {"kind": Kind.Inference.name, "owner": text(ALICE), "hyperparameters": roomy}
    fortune = 10**32
    rich = {"balances": [[text(who), fortune] for who in (ALICE, BOB)]}
    ext = market(subnets={1: subnet}, neurons={}, incentive={}, balances=rich)
    prices = []
    for number in range(REGISTRATIONS):
        hotkey = number.to_bytes(32, "big")
        prices.append(ext.runtime.neurons.price(1))
        assert_ok(ext, ALICE, "Neurons", "burned_register", 1, hotkey, prices[-1])
        ext.run_to_block(ext.runtime.system.number.get() + pace)
    bonds = REGISTRATIONS * live.uid_bond
    return {
        "burned": sum(prices) / ASY,
        "first": prices[0] / ASY,
        "last": prices[-1] / ASY,
        "bonds, refundable": bonds / ASY,
    }


def copies() -> Table:
    """Return what an artefact earns under k uids, as a multiple of what it earns under one."""
    rules: dict[str, Callable[[int], float]] = {"split": lambda count: 1 / count, "in full": lambda _: 1.0}
    once = earned(1, 1.0)
    table: Table = {
        f"{count} uids": {rule: earned(count, part(count)) / once for rule, part in rules.items()}
        for count in COPIES
    }
    return rounded(table, 3)


def earned(count: int, part: float) -> float:
    """Return what part of the emission goes to so many uids, each scored so much of a mean quality."""
    draw = Draw(0, HONEST)

    def say(_: int, judge: int) -> Floats:
        return np.append(draw.measured[0, judge], [part] * count)

    playing = Market([1 / HONEST] * HONEST, MINERS + count)
    return shares(play("median", playing, say, 1), range(playing.size - count, playing.size))


def rounded(table: Table, digits: int) -> Table:
    """Return a table that is short enough to read."""
    return {row: {key: short(value, digits) for key, value in line.items()} for row, line in table.items()}


def short(value: float, digits: int) -> float:
    """Return a number without digits that say nothing."""
    return round(value, digits) if digits else round(value)


if __name__ == "__main__":
    main()
