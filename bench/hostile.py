"""What hostile clients cost a node: slots missed, memory, and what an honest client waits meanwhile.

    python -m bench.hostile [--json FILE] [--seconds N] [--only NAME ...]

One `assay node` with the dev chain's slots of 2 s, in its own process, is left alone first and then attacked
in one way after the other (tests/e2e/attacks.py), on the same cores. Every attack also checks the answers it
gets. An honest client asks for the node's health four times a second.
"""

import asyncio
import sys
import tempfile
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.attacked import Toll, summary
from bench.record import finish, parser
from runtime.primitives.types import Hash
from tests.e2e.attacks import ATTACKS
from tests.e2e.field import entered
from tests.e2e.process import NodeProcess, running

SLOT_MS = 2_000
MOST_SECONDS = 60
PAUSE = 0.25
"""seconds between two questions of the honest client"""
SETTLE = 2.0
"""seconds after an attack in which the node gets its breath back; not measured"""


def main() -> int:
    """Attack and print."""
    given = _arguments()
    names = [name for name in ATTACKS if not given.only or name in given.only]
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as home, running(Path(home) / "log", "--dev") as node:
        node.wait_height(2)
        figures["rest"] = _phase(node, None, given.seconds)
        for name in names:
            figures[name] = _phase(node, name, given.seconds)
            print(name, figures[name], file=sys.stderr, flush=True)
            time.sleep(SETTLE)
        figures["rest_after"] = _phase(node, None, given.seconds)
        bugs = [line for line in node.output().splitlines() if "Traceback" in line or "is a bug" in line]
    assert not bugs, bugs
    finish("hostile", figures | {"all": summary(figures)}, given)
    return 0


def _arguments() -> Namespace:
    flags = parser(__doc__)
    most = f"per attack, at most {MOST_SECONDS}"
    flags.add_argument("--seconds", type=float, default=20, metavar="N", help=most)
    flags.add_argument("--only", nargs="*", metavar="NAME", help="these attacks")
    given = flags.parse_args()
    given.seconds = min(given.seconds, MOST_SECONDS)
    return given


def _phase(node: NodeProcess, name: str | None, seconds: float) -> dict[str, Any]:
    """Measure a node while it is attacked, or left alone."""
    toll = Toll(node, SLOT_MS)
    with Honest(node) as honest:
        counted = asyncio.run(_attack(node, name, seconds))
    return {
        **toll.figures(),
        "honest_median_ms": round(median(honest.waits) * 1000, 1) if honest.waits else None,
        "honest_worst_ms": round(max(honest.waits) * 1000) if honest.waits else None,
        "honest_refused": honest.refused,
        **counted,
    }


async def _attack(node: NodeProcess, name: str | None, seconds: float) -> dict[str, int]:
    if name is None:
        await asyncio.sleep(seconds)
        return {}
    genesis = Hash(bytes.fromhex(node.rpc("chain_getBlockHash", 0)[2:]))
    async with entered(node.port, genesis, seconds) as here:
        return await ATTACKS[name](here)


@dataclass
class Honest:
    """A client in a thread of its own that asks for the health of a node now and then."""

    node: NodeProcess
    waits: list[float] = field(default_factory=list)
    refused: int = 0

    def __enter__(self) -> "Honest":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(PAUSE):
            began = time.monotonic()
            try:
                self.node.rpc("system_health")
            except OSError:  # refused: the connections are taken
                self.refused += 1
            else:
                self.waits.append(time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
