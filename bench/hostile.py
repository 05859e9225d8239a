"""What hostile clients cost a node: slots missed, memory, and what an honest client waits meanwhile.

    python -m bench.hostile [--json FILE] [--seconds N] [--only NAME ...]

One `assay node` with the dev chain's slots of 2 s, in its own process, is left alone first and then attacked
in one way after the other (tests/e2e/attacks.py), on the same cores. A slot is missed when no block has it.
Every attack also checks the answers it gets. An honest client asks for the node's health four times a second.
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

from bench.record import finish, parser
from runtime.primitives.babe import PRE_DIGEST
from runtime.primitives.header import DigestItem, PreRuntime
from runtime.primitives.scale import codec
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
LOG = codec(DigestItem)


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
    finish("hostile", figures | {"all": _summary(figures)}, given)
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
    before, began = _resident(node.pid, "VmRSS"), time.time()
    Path(f"/proc/{node.pid}/clear_refs").write_text("5")  # the kernel's peak counts from here
    with Honest(node) as honest:
        counted = asyncio.run(_attack(node, name, seconds))
    ended = time.time()
    peak = _resident(node.pid, "VmHWM")
    due = [slot for slot in range(_slot(began) + 1, _slot(ended))]
    authored = _authored(node, due[0]) if due else set()
    missed = [slot for slot in due if slot not in authored]
    return {
        "seconds": round(ended - began, 1),
        "slots": len(due),
        "missed": len(missed),
        "rss_before_mib": before >> 20,
        "rss_peak_mib": peak >> 20,
        "rss_after_mib": _resident(node.pid, "VmRSS") >> 20,
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


def _slot(seconds: float) -> int:
    return int(seconds * 1000) // SLOT_MS


def _authored(node: NodeProcess, first: int) -> set[int]:
    """Return the slots of the best chain's blocks, from the head down to a slot."""
    found: set[int] = set()
    header = node.rpc("chain_getHeader")
    while int(header["number"], 16):
        found.add(_slot_of(header))
        if min(found) <= first:
            break
        header = node.rpc("chain_getHeader", header["parentHash"])
    return found


def _slot_of(header: dict[str, Any]) -> int:
    logs = [LOG.decode(bytes.fromhex(log[2:])) for log in header["digest"]["logs"]]
    claim = next(log for log in logs if isinstance(log, PreRuntime))
    return int(PRE_DIGEST.decode(claim._1).slot)


def _resident(pid: int, name: str) -> int:
    """Return a line of /proc/PID/status in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))


def _summary(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    resting = [figures["rest"], figures["rest_after"]]
    attacked = [each for name, each in figures.items() if name not in ("rest", "rest_after")]
    return {
        "slots_at_rest": sum(each["slots"] for each in resting),
        "missed_at_rest": sum(each["missed"] for each in resting),
        "slots_attacked": sum(each["slots"] for each in attacked),
        "missed_attacked": sum(each["missed"] for each in attacked),
        "most_growth_mib": max([each["rss_peak_mib"] - each["rss_before_mib"] for each in attacked]),
        "rss_peak_mib": max(each["rss_peak_mib"] for each in attacked),
    }


if __name__ == "__main__":
    sys.exit(main())
