"""What hostile peers cost a validator: slots, memory, finality, and how long an honest peer waits to get in.

    python -m bench.siege [--json FILE] [--seconds N] [--frames N] [--only NAME ...]

Four validators on hosts of their own (tests/e2e/hosts.py), one of them attacked in one way after the other by
a process on a further host (tests/e2e/sieges.py), from 1,024 addresses that no other attack has. Everybody
shares this machine's cores; the attacker is niced, since a real one brings its own. A slot is missed when no
block of the best chain has it, whoever's it was. An honest node without a name greets the attacked one twice
a second from an address of its own. Needs root.
"""

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.attacked import RESTING, Toll, summary
from bench.record import finish, parser, resident_mib
from tests.e2e.hosts import PATIENCE, PEER_PORT, HostNode, Network, missing, network
from tests.e2e.process import eventually
from tests.e2e.sieges import AT_THE_DOOR, LAND, ON_NEWCOMERS, SIEGES, sources
from tests.e2e.visitor import Visitor

SLOT_MS = 2_000
MOST_SECONDS = 900
ADDRESSES = 1_024
"""of each attack"""
GUIDES = 7
"""liars that a newcomer meets first"""
CROWD = 64
"""connections it has at once: as many as a node gives to those who dial it"""
FLOOD = 400
"""the same, where connections are the attack"""
SETTLE = 3.0
"""seconds after an attack that are not measured"""
NICENESS = 10
VICTIM = "Bob"
_BAN = re.compile(r"(?:Banned|Dropped) (\S+)")


def main() -> int:
    """Attack and print."""
    given = _arguments()
    if (lacking := missing()) is not None:
        print(f"needs {lacking}", file=sys.stderr)
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="assay-siege-") as temporary,
        network(given.home or Path(temporary), slot_ms=SLOT_MS) as net,
    ):
        figures = Siege(net).play(given)
    finish("siege", figures, given)
    return 0


def _arguments() -> Namespace:
    flags = parser(__doc__)
    flags.add_argument("--seconds", type=float, default=40, metavar="N", help="per attack [40]")
    flags.add_argument("--frames", type=int, default=1_000_000, metavar="N", help="hostile ones [1000000]")
    flags.add_argument("--rounds", type=int, default=1, metavar="N", help="of all attacks [1]")
    flags.add_argument("--only", nargs="*", metavar="NAME", help="these attacks")
    flags.add_argument("--home", type=Path, metavar="DIR", help="keep data and logs there")
    given = flags.parse_args()
    given.seconds = min(given.seconds, MOST_SECONDS)
    return given


class Siege:
    """A network, an attacker's host and an honest one beside it."""

    def __init__(
        self, net: Network, addresses: int = ADDRESSES, crowd: int = CROWD, flood: int = FLOOD
    ) -> None:
        self.net = net
        self.victim: HostNode = net.nodes[VICTIM]
        self._attacker, self._honest = net.switch.add(), net.switch.add()
        net.switch.lend(self._attacker, LAND)
        self._addresses = addresses
        self._turns = itertools.count()
        self._crowd, self._flood = crowd, flood
        self._genesis: str = self.victim.rpc("chain_getBlockHash", 0)

    def play(self, given: Namespace) -> dict[str, Any]:
        """Measure rest, every attack and rest again."""
        self.net.await_final(2)
        figures: dict[str, Any] = {"rest": self.phase(None, given.seconds)}
        memory: list[int] = [resident_mib(self.victim.pid)]
        for turn in range(given.rounds):
            for name in [name for name in SIEGES if not given.only or name in given.only]:
                found = self.phase(name, given.seconds, given.frames)
                if name == "eclipse":
                    found["seconds_to_three_peers_after_restart"] = self._restart()
                figures[f"{name}_{turn + 1}" if turn else name] = found
                print(name, found, file=sys.stderr, flush=True)
                time.sleep(SETTLE)
            memory.append(resident_mib(self.victim.pid))
        figures["rest_after"] = self.phase(None, given.seconds)
        newcomers = {
            f"{mode}_{name or 'rest'}": self.newcomer(mode, name)
            for mode in ("fast", "warp")
            for name in (None, *ON_NEWCOMERS)
            if not given.only or name is None or name in given.only
        }
        self.net.agree()
        complaints = self.net.complaints()
        assert not complaints, complaints
        return (
            figures | {"newcomers": newcomers} | {"all": _summary(figures) | {"rss_after_rounds_mib": memory}}
        )

    def phase(self, name: str | None, seconds: float, frames: int = 1 << 40) -> dict[str, Any]:
        """Measure the attacked validator while an attack lasts, or while there is none."""
        pid = self.victim.pid
        toll, said, processor = (
            Toll(self.victim, self.net.slot_ms),
            len(self.victim.output()),
            _processor(pid),
        )
        with Visitor(self._honest, self.victim.host, self._genesis) as honest:
            counted, cost = self._attack(name, seconds, frames)
        spent = _processor(pid) - processor
        bans = Counter(_BAN.findall(self.victim.output()[said:]))
        paid = toll.figures()
        return {
            **paid,
            "final_lag": self.victim.number() - self.victim.finalized(),
            "peers": self.victim.rpc("system_health")["peers"],
            "cpu_share": round(spent / paid["seconds"], 2),
            "attacker_cpu_share": round(cost / paid["seconds"], 2),
            "honest_median_ms": round(median(honest.waits) * 1000) if honest.waits else None,
            "honest_worst_ms": round(max(honest.waits) * 1000) if honest.waits else None,
            "honest_visits": len(honest.waits),
            "honest_refused": honest.refused,
            "identities_banned": len(bans),
            **counted,
        }

    def newcomer(self, mode: str, name: str | None) -> dict[str, Any]:
        """Measure how a node comes to the chain that meets liars before anybody honest, or nobody else."""
        with self.net.joined(f"{mode}-{name}", "--sync", mode, alone=True) as node, ExitStack() as opened:
            eventually(node.is_up, "an answer", PATIENCE)
            toll = resident_mib(node.pid)
            if name is not None:
                raid = opened.enter_context(self._raid(name, node, MOST_SECONDS, 1 << 40, GUIDES))
                opened.callback(raid.kill)
                eventually(lambda: node.rpc("system_health")["peers"] >= GUIDES // 2, "liars", PATIENCE)
            final, began = self.victim.finalized(), time.monotonic()
            node.rpc("system_addReservedPeer", self.net.address("Alice"))
            eventually(lambda: node.finalized() >= final, "the honest state", MOST_SECONDS)
            seconds = round(time.monotonic() - began, 1)
            reached = node.finalized()  # what lies below may still be missing
            eventually(lambda: self.victim.finalized() >= reached, "the same height", PATIENCE)
            assert node.rpc("chain_getBlockHash", reached) == self.victim.rpc("chain_getBlockHash", reached)
            return {
                "seconds": seconds,
                "final": final,
                "rss_before_mib": toll,
                "rss_peak_mib": resident_mib(node.pid, peak=True),
                "identities_banned": len(set(_BAN.findall(node.output()))),
            }

    def _restart(self) -> float:
        """Start the attacked validator again, with the addresses it has been told of."""
        self.net.kill(VICTIM)
        self.victim = self.net.start(VICTIM)
        eventually(self.victim.is_up, "an answer", PATIENCE)
        began = time.monotonic()
        eventually(lambda: self.victim.rpc("system_health")["peers"] >= 3, "three peers", PATIENCE)
        return round(time.monotonic() - began, 1)

    def _attack(self, name: str | None, seconds: float, frames: int) -> tuple[dict[str, int], float]:
        """Have a process attack; return what it counted, and its processor seconds."""
        if name is None:
            time.sleep(seconds)
            return {}, 0.0
        by_frames = name == "frames"
        process = self._raid(
            name,
            self.victim,
            MOST_SECONDS if by_frames else seconds,
            frames if by_frames else 1 << 40,
            self._flood if name in AT_THE_DOOR else self._crowd,
        )
        assert process.stdout is not None
        printed, peak = b"", 0.0
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak = _processor(process.pid)
            time.sleep(0.2)
        printed = process.stdout.read()
        process.stdout.close()
        assert process.returncode == 0, f"the attacker of {name!r} ended with {process.returncode}"
        counted: dict[str, int] = json.loads(printed)
        assert counted.get("entered", 0) > 0 or name in AT_THE_DOOR, f"nobody got in: {counted}"
        return counted, peak

    def _raid(
        self, name: str, node: HostNode, seconds: float, most: int, crowd: int
    ) -> subprocess.Popen[bytes]:
        """Start an attack as a process."""
        order = {
            "attack": name, "host": node.host.address, "port": PEER_PORT, "genesis": self._genesis,
            "sources": sources(next(self._turns), self._addresses), "seconds": seconds, "most": most,
            "crowd": crowd, "seed": 1, "honest": self.victim.host.address,
        }  # fmt: skip
        with self._attacker.inside():
            return subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.sieges", json.dumps(order)],
                stdout=subprocess.PIPE,
                preexec_fn=lambda: os.nice(NICENESS),
            )


def _processor(pid: int) -> float:
    """Return the processor seconds of a process and its children."""
    process = psutil.Process(pid)
    spent = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            spent += times.user + times.system
    return spent


def _summary(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    attacked = [each for name, each in figures.items() if name not in RESTING]
    return summary(figures) | {
        "honest_worst_ms": max((each["honest_worst_ms"] or 0 for each in attacked), default=0),
        "hostile_frames": sum(each.get("frames", 0) for each in attacked),
        "identities_banned": sum(each["identities_banned"] for each in attacked),
    }


if __name__ == "__main__":
    sys.exit(main())
