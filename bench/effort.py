"""Is a miner paid for what it does? Ten miners do from one to ten tenths of their steps; nobody audits.

    python -m bench.effort [--seeds 3] [--rounds 8] [--size small] [--set NAME=NUMBER ...] [--json FILE]

plain      they send what came of their steps
rescaled   they scale it up to what all steps would have given

The figures are rank correlations (Spearman) of the steps done: with the alignment that judges measure in a
round, with the loss drop, which is what is paid for where there are fewer than four payloads, with the score
of a round, which carries the rounds before in its moving average, and with the scores of four rounds in a
row, summed. Each is a mean over seeds and rounds, with its least. A seed that was stopped begins anew.
"""

import asyncio
import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from bench.arena_play import ROW, Cell, Game, Memo
from bench.lab import SIZES, Text, begin, changes, flags_of, key_of, say
from bench.record import finish, parser
from miners.attacks import Attack, Lazy
from miners.files import write_whole
from miners.parameters import BOUNDS, TrainingParameters

MINERS = 10
WAYS = ("plain", "rescaled")
RULES = (("audit_rate_ppm", 0),)
"""Nobody looks."""
TOGETHER = 4
"""rounds whose scores are summed"""
LEAST = {"score": 0.95, "four_rounds": 0.99}
"""What training.md asks for, of the means."""


class Slack(Lazy):
    """Does a part of its steps, and sends what came of them."""

    name = "slack"

    def __init__(self, part: float, is_rescaled: bool) -> None:
        self._part, self._is_rescaled = part, is_rescaled

    def text(self, batches: list[Any]) -> list[Any]:
        return batches[: max(1, round(self._part * len(batches)))]

    def training(self, delta: Any) -> Any:
        return delta / np.float32(self._part) if self._is_rescaled else delta


@dataclass(frozen=True)
class Graded(Cell):
    """A subnet in which everybody works as much as its number says."""

    is_rescaled: bool = False

    def mind(self, miner: int) -> Attack:
        return Slack((miner + 1) / self.miners, self.is_rescaled)


def main() -> None:
    """Play both ways with every seed, and report."""
    flags = flags_of(parser(__doc__), "effort", "small")
    flags.add_argument("--rounds", type=int, default=8, help="of each seed [8]")
    flags.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER",
        help="another number of the subnet's, such as inner_optimizer=1",
    )  # fmt: skip
    flags.add_argument("--way", action="append", choices=WAYS, help="[both]")
    given = flags.parse_args()
    text, memo = begin(given), Memo()
    found: dict[str, Any] = {name: getattr(given, name) for name in ("size", "rounds", "seeds", "set")}
    for way in given.way or WAYS:
        seeds = [correlations(rows(given, text, memo, way, seed)) for seed in range(given.seeds)]
        found[way] = summary(seeds) | {"raw": seeds}
        say(f"{way}: {summary(seeds)}")
    finish("effort", found, given)


def rows(given: Namespace, text: Text, memo: Memo, way: str, seed: int) -> list[dict[str, list[int]]]:
    """Return what judges published, by round and miner, now or in an earlier run."""
    parameters = TrainingParameters(model=SIZES[given.size], **changes(given.set, BOUNDS))
    cell = Graded(
        Slack, 0, MINERS, given.rounds, seed, parameters, given.device, given.precision, RULES,
        way == "rescaled",
    )  # fmt: skip
    settings = cell.settings | {"way": way, "text": text.corpus.manifest.root().hex()}
    kept = given.state / f"{way}-{seed}-{key_of(settings)}.json"
    if not kept.exists():
        write_whole(kept, json.dumps(asdict(asyncio.run(Game(cell, text, memo).play()))).encode())
        say(f"seed {seed} {way}: played")
    published: list[dict[str, list[int]]] = json.loads(kept.read_text())["rows"]
    return published


def correlations(published: Sequence[dict[str, list[int]]]) -> dict[str, list[float]]:
    """Return the rank correlations of a seed, round by round."""
    table = np.array([[row.get(str(each), [0] * len(ROW)) for each in range(MINERS)] for row in published])
    score, alignment, before, after, _ = np.moveaxis(table, 2, 0)  # int64 [rounds, miners]
    sums = [score[at : at + TOGETHER].sum(axis=0) for at in range(len(score) - TOGETHER + 1)]
    measured = {"alignment": alignment, "loss_drop": before - after, "score": score, "four_rounds": sums}
    return {name: [spearman(each) for each in values] for name, values in measured.items()}


def spearman(values: Sequence[int]) -> float:
    """Return the rank correlation of values with their places; equal values share their ranks' mean."""
    ranks = np.array([fmean([sum(v < w for v in values), sum(v <= w for v in values) - 1]) for w in values])
    if ranks.std() == 0:
        return 0.0
    return round(float(np.corrcoef(np.arange(len(values)), ranks)[0, 1]), 4)


def summary(seeds: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    """Return mean and least over seeds and rounds, and whether they are as good as they must be."""
    found: dict[str, Any] = {}
    for name in seeds[0]:
        values = [each for seed in seeds for each in seed[name]]
        found[name] = {"mean": round(fmean(values), 4), "least": min(values)} if values else None
        if name in LEAST and values:
            found[name]["is_met"] = found[name]["mean"] >= LEAST[name]
    return found


if __name__ == "__main__":
    main()
