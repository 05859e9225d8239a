"""A million mutated inputs for every decoder of foreign bytes: what tests/fuzz does briefly, at length.

    python -m bench.fuzz [--json FILE] [--inputs N] [--seed N] [--minutes N] [--only NAME ...]

One process at the lowest priority. A target whose inputs are slow (a key stretched, a block executed) takes
fewer; each figure says how many it took. Ends with code 1 and the input when a decoder breaks a rule.
"""

import json
import os
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from bench.record import finish, parser
from tests.fuzz.engine import Finding, campaign
from tests.fuzz.targets import all_targets, leave


def main() -> int:
    """Run the campaigns that fit the time, those that have run least first."""
    given = _arguments()
    os.nice(19)
    figures = _before(given.json)
    until = time.monotonic() + 60 * given.minutes
    names = [name for name in all_targets() if not given.only or name in given.only]
    for name in sorted(names, key=lambda name: figures.get(name, {}).get("inputs", 0)):
        target = all_targets()[name]
        if time.monotonic() > until:
            print(f"{name}: no time left", file=sys.stderr)
            continue
        try:
            report = campaign(target, min(given.inputs, target.long), given.seed)
        except Finding as finding:
            Path("finding.bin").write_bytes(finding.data)
            print(f"{finding}\nthe whole input is in finding.bin", file=sys.stderr)
            return 1
        figures[name] = {key: round(value, 3) for key, value in asdict(report).items()} | {"seed": given.seed}
        print(f"{name}: {report.inputs:,} inputs in {report.seconds:.0f} s", file=sys.stderr)
        if given.json:
            finish("fuzz", _ordered(figures), given)
    leave()
    finish("fuzz", _ordered(figures), given)
    return 0


def _arguments() -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="most inputs of one target")
    flags.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other inputs")
    flags.add_argument("--minutes", type=float, default=120, metavar="N", help="begin no target after this")
    flags.add_argument("--only", nargs="*", metavar="NAME", help="these targets")
    return flags.parse_args()


def _before(path: Path | None) -> dict[str, dict[str, float]]:
    """Return the figures recorded before, of the targets there still are."""
    if path is None or not path.exists():
        return {}
    recorded: dict[str, dict[str, float]] = json.loads(path.read_text())["figures"]
    return {name: figures for name, figures in recorded.items() if name in all_targets()}


def _ordered(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: figures[name] for name in all_targets() if name in figures}


if __name__ == "__main__":
    sys.exit(main())
