"""How a network of real nodes on hosts of their own takes cuts and kills, and how soon it is well again.

    python -m bench.hosts [--cuts 20] [--kills 20] [--seed 1] [--json FILE]

Four validators in four network namespaces (tests/e2e/hosts.py) know one of them. Cuts part them in two
halves, or take one or three off, for 5 to 60 s; kills end one of them at any moment, the one that all know
included, and start it again on what is left. After each: seconds until all have finalised what was the
highest head at its end, and whether all agree on every final block. Needs root.
"""

import random
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

from bench.record import finish, parser
from tests.e2e.hosts import PATIENCE, Network, missing, network
from tests.e2e.process import eventually

CUT_SECONDS = (5.0, 60.0)
PAUSE_SECONDS = (0.5, 4.0)
"""between two misfortunes"""


def main() -> int:
    """Play and print."""
    given = _arguments()
    if (lacking := missing()) is not None:
        print(f"needs {lacking}", file=sys.stderr)
        return 2
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="assay-hosts-") as home, network(Path(home)) as net:
        net.await_final(2)
        figures: dict[str, Any] = {"seed": given.seed}
        figures["cuts"] = _summary([_cut(net, rng) for _ in range(given.cuts)])
        figures["kills"] = _summary([_kill(net, rng) for _ in range(given.kills)])
        figures["blocks"] = net.agree()
        complaints = net.complaints()
    assert not complaints, complaints
    finish("hosts", figures, given)
    return 0


def _arguments() -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("--cuts", type=int, default=20, metavar="COUNT", help="[20]")
    flags.add_argument("--kills", type=int, default=20, metavar="COUNT", help="[20]")
    flags.add_argument("--seed", type=int, default=1, help="[1]")
    return flags.parse_args()


def _cut(net: Network, rng: random.Random) -> dict[str, Any]:
    """Part the hosts for a while; return how long, and how long they took to agree afterwards."""
    time.sleep(rng.uniform(*PAUSE_SECONDS))
    names = rng.sample(net.names, len(net.names))
    away = names[: rng.choice([1, 2, 2, 2, 3])]
    seconds = rng.uniform(*CUT_SECONDS)
    rest = [net.hosts[name] for name in names if name not in away]
    net.switch.cut([net.hosts[name] for name in away], rest)
    time.sleep(seconds)
    net.switch.heal()
    return _well(net, {"what": "+".join(sorted(away)), "lasted": round(seconds, 1)})


def _kill(net: Network, rng: random.Random) -> dict[str, Any]:
    """Kill a node at any moment, and start it again after another."""
    time.sleep(rng.uniform(*PAUSE_SECONDS))
    name = rng.choice(net.names)
    net.kill(name)
    gone = rng.uniform(0, PAUSE_SECONDS[1])
    time.sleep(gone)
    eventually(net.start(name).is_up, f"an answer of {name}", PATIENCE)
    return _well(net, {"what": name, "lasted": round(gone, 1)})


def _well(net: Network, case: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    net.await_final(max(node.number() for node in net.nodes.values()))
    case["final_after"] = round(time.monotonic() - began, 2)
    net.agree()
    print(case, file=sys.stderr, flush=True)
    return case


def _summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    waits = [case["final_after"] for case in cases]
    return {
        "count": len(cases),
        "median_seconds": median(waits) if waits else None,
        "worst_seconds": max(waits, default=None),
        "cases": cases,
    }


if __name__ == "__main__":
    sys.exit(main())
