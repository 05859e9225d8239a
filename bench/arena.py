"""Every attack on a training subnet, played out: what the model loses, who is paid, who is caught.

    python -m bench.arena [--only noise ...] [--seeds 3] [--rounds 10] [--size mini]
                          [--set NAME=NUMBER ...] [--json FILE]

Each attack is played by its part of ten miners, once where everybody is a newcomer, whose every update is
audited, and once where nobody is any more and one of twenty is. `honest` is what the others are compared to.

of       attackers, of how many miners
kept     progress of the model on public text, by that of ten honest miners with the same seed
share    of all that miners earned, percent, what the attackers earned; the part of it that has not vested
         is burnt where they are slashed
each     what one attacker earned, percent of what one honest miner did
audits   of attackers: failed / failed or passed (`audits_drawn` in the figures); neither are those that
         lapse without a report and those whose miner has lost its seat by then
false    audits of honest miners that failed
out      attackers that were slashed
ev       what one round of this attack brings beside its risk, percent of what an honest miner earns in it
         (see `expectation`)
missed   what is worse than it must be (`TRIALS`), failed audits of honest miners, and void rounds

kept, share and each are means over the seeds; audits, false and out are sums.

An attack that is a class in miners/attacks.py or bench/arena_servers.py is found by its name. A run that was
stopped goes on where it stood.
"""

import asyncio
import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from statistics import fmean
from typing import Any

from bench.arena_play import Cell, Game, Memo
from bench.lab import SIZES, Text, begin, changes, flags_of, key_of, say
from bench.record import finish, parser
from miners.attacks import Attack, every
from miners.files import write_whole
from miners.parameters import BOUNDS, TrainingParameters
from runtime.pallets.subnets.numbers import Hyperparameters

MINERS = 10
STAGES = {"newcomers": 10, "past": 0}
"""newcomer_rounds"""
NUMBERS = {"mini": {"inner_steps": 8, "warmup_steps": 2, "learning_rate_ppm": 5_000}}
"""What else than the defaults a small model learns by, so that it learns something in ten rounds."""
AUDIT_RATE_PPM = 50_000
AUDIT_WINDOW = 8
"""Rounds, and audits that a judge is asked for at a time: three have room for 17 newcomers."""
LEAST_OVERLAP_PPM = Hyperparameters().overlap_ppm
"""A replay that agrees with less of an update fails it; cells are played by the default."""
BLOCKS, REWARD, TO_MINERS, BOND, VESTING = 270, 1.0, 0.48, 100.0, 40
"""The live network's: blocks of a round, ASY a block, the miners' part of it, ASY of bond, vesting rounds."""


@dataclass(frozen=True)
class Trial:
    """How many of ten attack, and what must come of it; each number is the worst that is good enough."""

    attackers: int = 3
    kept: float = 0.9
    share: float | None = None  # percent
    each: float | None = None  # percent
    success: float | None = None
    caught: str = ""  # AT_ONCE: no replay of an attacker passes; OUT: all of them are slashed as newcomers
    ev: float | None = None
    miners: int = MINERS


AT_ONCE, OUT = "at once", "out"
BROKEN = Trial(4, share=2.0)
TRIALS = {
    "honest": Trial(0),
    **dict.fromkeys(("noise", "sign_flip", "sign_flip_10", "zero", "empty"), BROKEN),
    **dict.fromkeys(("scale_10", "scale_100"), BROKEN),
    **dict.fromkeys(("copy", "copy_most", "copy_third"), Trial(3, each=5.0)),
    **dict.fromkeys(("stale", "yesterday"), Trial(3, share=0.0)),
    "scale_2": Trial(3, ev=0.0, caught=AT_ONCE),
    "mean_yesterday": Trial(1, ev=0.0, caught=AT_ONCE),
    "ring": Trial(3, ev=0.0, caught=AT_ONCE),
    **dict.fromkeys(("lazy_25", "lazy_50", "lazy_75"), Trial(3, kept=0.0, ev=0.0, caught=AT_ONCE)),
    "label_flip": Trial(3),
    "backdoor": Trial(2, success=0.1, caught=AT_ONCE),
    "alie": Trial(4, kept=0.8),
    "ipm": Trial(4),
    "lonely": Trial(4),
    "sybil": Trial(8, kept=0.0, share=105.0 / MINERS, miners=MINERS - 1 + 8),
    **dict.fromkeys(("unassigned", "shuffled", "epochs", "faster"), Trial(3, kept=0.0, caught=AT_ONCE)),
    **dict.fromkeys(("forged_memory", "large_memory", "stale_memory"), Trial(3, kept=0.0, caught=OUT)),
}
"""What training.md asks; an attack that is not listed must leave nine tenths of the progress."""


def main() -> None:
    """Play every cell that has not been played, and print the table."""
    given = flags_of(parser(__doc__), "arena", "mini")
    given.add_argument("--only", action="append", metavar="NAME", help="attacks to play [all]")
    given.add_argument("--stage", action="append", choices=STAGES, help="[both]")
    given.add_argument("--rounds", type=int, default=10, help="of each cell [10]")
    given.add_argument(
        "--set", action="append", default=[], metavar="NAME=NUMBER",
        help="another number of the subnet's, such as inner_optimizer=1",
    )  # fmt: skip
    given.add_argument("--played", action="store_true", help="show what has been played, play no more")
    flags = given.parse_args()
    known = {attack.name: attack for attack in every()}  # what other modules have made of them, too
    if unknown := [name for name in flags.only or [] if name not in known]:
        raise SystemExit(f"there is no attack {unknown[0]}; there are {', '.join(known)}")
    wanted = flags.only or [*TRIALS, *(name for name in known if name not in TRIALS)]
    names = ["honest", *(name for name in wanted if name != "honest")]
    table = play(flags, begin(flags), {name: known[name] for name in names})
    show(table)
    finish(
        "arena",
        {
            "size": flags.size,
            "numbers": numbers_of(flags),
            "rounds": flags.rounds,
            "seeds": flags.seeds,
            "table": table,
        },
        flags,
    )


def play(given: Namespace, text: Text, attacks: dict[str, type[Attack]]) -> list[dict[str, Any]]:
    """Return a line for each attack and stage."""
    memo, found = Memo(), dict[tuple[str, str], list[dict[str, Any]]]()
    honest: dict[tuple[str, int], dict[str, Any]] = {}
    for seed in range(given.seeds):
        for (name, attack), stage in product(attacks.items(), given.stage or STAGES):
            story = played(given, text, memo, attack, stage, seed)
            if name == "honest" and story:
                honest[stage, seed] = story
            if story and (stage, seed) in honest:
                found.setdefault((name, stage), []).append(measures(name, story, honest[stage, seed]))
                say(f"seed {seed} {name} {stage}: kept {kept(story, honest[stage, seed]):.3f}")
    return [line(name, stage, seeds) for (name, stage), seeds in found.items()]


def played(
    given: Namespace, text: Text, memo: Memo, attack: type[Attack], stage: str, seed: int
) -> dict[str, Any] | None:
    """Return what happened in a cell, now or in an earlier run; nothing where it is only asked for."""
    trial = TRIALS.get(attack.name, Trial())
    rules = {
        "audit_rate_ppm": AUDIT_RATE_PPM,
        "newcomer_rounds": STAGES[stage],
        "audit_window": AUDIT_WINDOW,
    }
    parameters = TrainingParameters(model=SIZES[given.size], **numbers_of(given))
    cell = Cell(
        attack, trial.attackers, trial.miners, given.rounds, seed, parameters, given.device,
        given.precision, tuple(rules.items()),
    )  # fmt: skip
    settings = cell.settings | {"text": text.corpus.manifest.root().hex()}
    kept_in = given.state / f"{attack.name}-{stage}-{seed}-{key_of(settings)}.json"
    if given.played and not kept_in.exists():
        return None
    if not kept_in.exists():
        write_whole(kept_in, json.dumps(asdict(asyncio.run(Game(cell, text, memo).play()))).encode())
    story: dict[str, Any] = json.loads(kept_in.read_text())
    return story


def numbers_of(given: Namespace) -> dict[str, int]:
    """Return what the training is set to otherwise than by default."""
    return NUMBERS.get(given.size, {}) | changes(given.set, BOUNDS)


def kept(story: dict[str, Any], honest: dict[str, Any]) -> float:
    """Return the progress of a cell, by that of honest miners."""
    here, there = (each["losses"][0] - each["losses"][-1] for each in (story, honest))
    return float(here / there)


def measures(name: str, story: dict[str, Any], honest: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one seed."""
    trial, audits = TRIALS.get(name, Trial()), story["audits"]
    cheats = range(trial.miners - trial.attackers, trial.miners)
    paid = {int(miner): amount for miner, amount in story["paid"].items()}
    theirs, others = ([paid.get(each, 0) for each in some] for some in (cheats, range(cheats.start)))
    each = 100 * fmean(theirs) / max(1.0, fmean(others)) if theirs else 0.0
    looked = [overlap for kind, _, overlap, _ in story["overlaps"] if kind == "cheat"]
    failed = [
        bool(fault) or overlap < LEAST_OVERLAP_PPM
        for kind, _, overlap, fault in story["overlaps"]
        if kind == "cheat"
    ]
    return {
        "kept": round(kept(story, honest), 4),
        "share_percent": round(100 * sum(theirs) / max(1, sum(theirs) + sum(others)), 2),
        "each_percent": round(each, 2),
        "audits_drawn": sum(audits.get(f"cheat {kind}", 0) for kind in ("AuditFailed", "AuditPassed")),
        "audits_failed": audits.get("cheat AuditFailed", 0),
        "false_failures": audits.get("honest AuditFailed", 0),
        "honest_audits": audits.get("honest AuditPassed", 0) + audits.get("honest AuditFailed", 0),
        "slashed": len([who for who in story["slashed"] if int(who) in cheats]),
        "replays": len(failed),
        "replays_failed": sum(failed),
        "overlap_percent": round(max(looked) / 10_000, 2) if looked else None,
        "copies": story["copies"],
        "closed": story["closed"],
        "void": story["void"],
        "refused": story["refused"],
        "success": story["success"],
        "seconds": story["seconds"],
        "losses": story["losses"],
    }


def expectation(each_percent: float, failing: float) -> float:
    """Return what a round of cheating brings where every twentieth update is audited, percent of honest pay.

    An attacker gets what it is paid, and loses bond and unvested pay when its audit fails; once it is there
    for as long as pay vests, half of so many rounds' pay has not vested.
    """
    honest = BLOCKS * REWARD * TO_MINERS / MINERS  # ASY a round
    gain = honest * each_percent / 100
    risk = AUDIT_RATE_PPM / 1_000_000 * failing * (BOND + gain * VESTING / 2)
    return round(100 * (gain - risk) / honest, 1)


def line(name: str, stage: str, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a table says of an attack: means, the worst of all seeds, and what was missed."""
    trial = TRIALS.get(name, Trial())
    found = {
        "attack": name,
        "stage": stage,
        "attackers": trial.attackers,
        "miners": trial.miners,
        "kept": round(fmean(each["kept"] for each in seeds), 3),
        "kept_least": min(each["kept"] for each in seeds),
        "share_percent": round(fmean(each["share_percent"] for each in seeds), 2),
        "each_percent": round(fmean(each["each_percent"] for each in seeds), 2),
    }
    sums = ("audits_drawn", "audits_failed", "honest_audits", "false_failures", "slashed", "void")
    found |= {key: sum(each[key] for each in seeds) for key in (*sums, "replays", "replays_failed", "copies")}
    failing = found["replays_failed"] / found["replays"] if found["replays"] else None
    if failing is not None:
        found["ev_percent"] = expectation(found["each_percent"], failing)
    found["met"] = trial.attackers * len(seeds)
    successes = [each["success"] for each in seeds if each["success"] is not None]
    found["success"] = max(successes) if successes else None
    return found | {"missed": list(misses(trial, found)), "seeds": seeds}


def misses(trial: Trial, found: dict[str, Any]) -> Iterator[str]:
    """Yield what is worse than it must be."""
    if found["kept"] < trial.kept:
        yield f"kept {found['kept']} of {trial.kept}"
    if trial.share is not None and found["share_percent"] > trial.share:
        yield f"share {found['share_percent']} % of {trial.share} %"
    if trial.each is not None and found["each_percent"] > trial.each:
        yield f"each {found['each_percent']} % of {trial.each} %"
    if trial.success is not None and (found["success"] or 0) >= trial.success:
        yield f"success {found['success']} of {trial.success}"
    if trial.caught == AT_ONCE and found["replays_failed"] < found["replays"]:
        yield f"{found['replays'] - found['replays_failed']} of {found['replays']} replays passed"
    if trial.caught and found["stage"] == "newcomers" and found["slashed"] < found["met"]:
        yield f"{found['met'] - found['slashed']} of {found['met']} not slashed"
    if trial.ev is not None and found.get("ev_percent", -1) >= trial.ev:
        yield f"ev {found['ev_percent']} %"
    if found["false_failures"]:
        yield f"{found['false_failures']} honest audits failed"
    if found["void"]:
        yield f"{found['void']} rounds void"


def show(table: list[dict[str, Any]]) -> None:
    """Print the table for people."""
    print("attack         stage         of   kept  share    each    audits false out     ev  missed")
    for one in table:
        crowd, audits = f"{one['attackers']}/{one['miners']}", f"{one['audits_failed']}/{one['audits_drawn']}"
        named = f"{one['attack']:14} {one['stage']:10} {crowd:>5}"
        paid = f"{one['kept']:6.3f} {one['share_percent']:6.2f} {one['each_percent']:7.2f}"
        caught = f"{audits:>9} {one['false_failures']:5} {one['slashed']:3} {one.get('ev_percent', '')!s:>6}"
        print(f"{named} {paid} {caught}  {'; '.join(one['missed'])}")


if __name__ == "__main__":
    main()
