"""Whole networks of the node in virtual time: seeds per minute, and what broke.

    python -m bench.sim [--seeds 1000] [--from 0] [--validators 4] [--nemesis all] [--json FILE]
    python -m bench.sim --seed 1234 --validators 4          replays one seed and says more

A seed is a network of validators, real nodes all of them, that runs 6 s undisturbed, suffers 45 s of faults
drawn from the seed, and must then bring finality back to its head within 90 s; it is at least 61 s of virtual
time. `--nemesis` names what may happen, with commas; all: a few of everything, half the time with byzantine
twins. Every failure comes with the command that replays it. Ctrl-C ends a campaign early, with its figures.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Iterable

from bench.record import finish, parser, resident_mib
from tests.sim.storm import storm
from tests.sim.world import Outcome

PROGRESS = 10.0
"""seconds between two lines of progress"""
SHOWN = 5
"""failures printed as they come; all are in the figures"""


def replay(seed: int, given: argparse.Namespace) -> str:
    """Return the command that plays a seed again."""
    nemesis = "" if given.nemesis == "all" else f" --nemesis {given.nemesis}"
    return f'make sim ARGS="--seed {seed} --validators {given.validators}{nemesis}"'


def campaign(seeds: Iterable[int], given: argparse.Namespace) -> tuple[list[Outcome], float]:
    """Play seeds until they are through, or until Ctrl-C; return their outcomes and the CPU seconds."""
    outcomes: list[Outcome] = []
    began = told = time.process_time()
    try:
        for seed in seeds:
            outcome = storm(seed, given.validators, given.nemesis)
            outcomes.append(outcome)
            if outcome.broken and sum(bool(each.broken) for each in outcomes) <= SHOWN:
                print(f"seed {seed}: {outcome.broken[0]}\n  {replay(seed, given)}", file=sys.stderr)
            if time.process_time() - told > PROGRESS:
                told = time.process_time()
                print(f"{len(outcomes)} seeds, {failures(outcomes)} failed", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"stopped after {len(outcomes)} seeds", file=sys.stderr)
    return outcomes, time.process_time() - began


def failures(outcomes: list[Outcome]) -> int:
    """Return how many seeds broke something."""
    return sum(bool(outcome.broken) for outcome in outcomes)


def figures(outcomes: list[Outcome], spent: float, given: argparse.Namespace) -> dict[str, object]:
    """Return what a campaign amounts to."""
    recoveries = sorted(outcome.recovery for outcome in outcomes)
    return {
        "nemesis": given.nemesis,
        "seeds": len(outcomes),
        "seeds_per_minute": round(60 * len(outcomes) / spent, 1) if spent else 0,
        "simulated_s": round(sum(outcome.seconds for outcome in outcomes)),
        "simulated_s_per_seed": round(statistics.mean(outcome.seconds for outcome in outcomes), 1),
        "final_blocks": sum(outcome.height for outcome in outcomes),
        "blocks_with_forks": sum(outcome.blocks for outcome in outcomes),
        "votes": sum(outcome.figures.votes for outcome in outcomes),
        "voter_sets": sum(outcome.figures.sets for outcome in outcomes),
        "offences": sum(outcome.figures.offences for outcome in outcomes),
        "messages": sum(outcome.figures.delivered for outcome in outcomes),
        "recovery_median_s": round(statistics.median(recoveries), 1),
        "recovery_most_s": round(recoveries[-1], 1),
        "resident_mib": resident_mib(),
        "failed": failures(outcomes),
        "failures": {replay(each.seed, given): each.broken[0] for each in outcomes if each.broken},
    }


def recorded(given: argparse.Namespace) -> dict[str, object]:
    """Return the figures of other sizes, which a campaign leaves as they are."""
    if given.json is None or not given.json.exists():
        return {}
    found: dict[str, object] = json.loads(given.json.read_text())["figures"]
    return found


def main() -> None:
    """Play seeds and report."""
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, default=100, help="how many [100]")
    flags.add_argument("--from", type=int, default=0, dest="first", help="the first of them [0]")
    flags.add_argument("--seed", type=int, help="this one only")
    flags.add_argument("--validators", type=int, default=4, help="nodes with a key of their own [4]")
    flags.add_argument("--nemesis", default="all", help="what may happen, names with commas [all]")
    given = flags.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
    outcomes, spent = campaign(seeds, given)
    if not outcomes:
        return
    size = f"validators_{given.validators}"
    finish("sim", {**recorded(given), size: figures(outcomes, spent, given)}, given)
    if given.seed is not None:
        only = outcomes[0]
        print(f"trace {only.trace}, {only.height} blocks final", *only.broken, sep="\n", file=sys.stderr)
    if failures(outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
