"""The transport against a plain socket and against py-libp2p: two processes, loopback, one after the other.

    python -m bench.transport [--json FILE] [--rounds N] [--ahead]

Ours encrypts, keeps priorities and bounds; the plain socket puts a length before each message and does
nothing else; libp2p is TCP, Noise and yamux of PyPI's libp2p, in an environment of its own (`make libp2p`).
Ours and the plain socket take turns on the same event loop, and the best round of each counts. CPU time is
that of both ends together. On a machine that does other work --ahead measures the transport, not the others.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import uvloop

from bench.record import finish, parser
from bench.transport_ends import Session, ours, plain

ROOT = Path(__file__).resolve().parent.parent
LIBP2P = Path(__file__).parent / "libp2p"
LIBP2P_SECONDS = 300.0
LARGE, SMALL, ASKED = 64 << 10, 1 << 10, 200
"""bytes of a message"""
KINDS: dict[str, Callable[[list[str]], AbstractAsyncContextManager[Session]]] = {"ours": ours, "plain": plain}


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--rounds", type=int, default=5, help="of both in turn; the best counts [5]")
    flags.add_argument("--mib", type=int, default=256, help="of load in each round [256]")
    flags.add_argument(
        "--ahead", action="store_true", help="measure ahead of all other processes of the machine; needs root"
    )
    given = flags.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(given.rounds):
            for kind in KINDS:
                command = sys.executable, "-m", "bench.transport_ends", kind
                with serving(*command) as served, ahead(served, given.ahead):
                    rounds[kind].append(runner.run(measure(kind, served, given.mib << 20)))
    figures: dict[str, Any] = {kind: best(each) for kind, each in rounds.items()}
    mine, floor = figures["ours"], figures["plain"]
    figures["ratio"] = {name: round(mine[name] / floor[name], 2) for name in mine}
    figures["libp2p"] = libp2p(given.ahead)
    finish("transport", figures, given)


@dataclass(frozen=True)
class Served:
    """The end that serves."""

    where: list[str]
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return the CPU time of both ends so far."""
        return time.process_time() + sum(self.process.cpu_times()[:2])


async def measure(kind: str, served: Served, load: int) -> dict[str, float]:
    """Return what one connection carries, and how long it takes to get one."""
    connects = []
    for _ in range(10):
        began = time.perf_counter()
        async with KINDS[kind](served.where) as session:
            await session.ask(bytes(ASKED))
            connects.append(time.perf_counter() - began)
    async with KINDS[kind](served.where) as session:
        large, large_cpu = await _per_second(session, served, LARGE, load // LARGE)
        small, small_cpu = await _per_second(session, served, SMALL, load // 4 // SMALL)
        trips = [await _round_trip(session) for _ in range(2_000)]
    return {
        "mb_per_s_64_kib": large * LARGE / 1e6,
        "messages_per_s_1_kib": small,
        "cpu_us_64_kib": large_cpu,
        "cpu_us_1_kib": small_cpu,
        "round_trip_us_200_b": median(trips) * 1e6,
        "connect_ms": median(connects) * 1e3,
    }


async def _per_second(session: Session, served: Served, size: int, count: int) -> tuple[float, float]:
    """Return messages per second, and microseconds of CPU time of both ends together for each."""
    message, cpu = os.urandom(size), served.cpu_seconds()
    began = time.perf_counter()
    arrived = await session.push(message, count)
    spent = time.perf_counter() - began
    assert arrived == count, f"{arrived} of {count} messages arrived"
    return count / spent, (served.cpu_seconds() - cpu) / count * 1e6


async def _round_trip(session: Session) -> float:
    message = os.urandom(ASKED)
    began = time.perf_counter()
    echo = await session.ask(message)
    spent = time.perf_counter() - began
    assert echo == message
    return spent


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the best of each figure: the most per second, the least of a time."""
    choices = {name: max if "_per_s" in name else min for name in rounds[0]}
    return {name: round(choose(each[name] for each in rounds), 1) for name, choose in choices.items()}


@contextmanager
def ahead(served: Served, is_wanted: bool) -> Iterator[None]:
    """Have both ends, and what is started meanwhile, run whenever they can, whoever else would like to."""
    if is_wanted:
        for pid in (os.getpid(), served.process.pid):
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        if is_wanted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def serving(*command: str) -> Iterator[Served]:
    """Start the end that serves; say where it is."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        where = process.stdout.readline().split()
        if not where:
            raise SystemExit(f"{' '.join(command)} does not say where it is")
        yield Served(where, psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()


def libp2p(is_ahead: bool) -> dict[str, float] | str:
    """Return the same figures of py-libp2p, or why there are none."""
    python = LIBP2P / ".venv" / "bin" / "python"
    if not python.exists():
        return "not measured: not installed (make libp2p)"
    program = str(LIBP2P / "ends.py")
    with serving(str(python), program, "serve") as served:
        try:
            command = [str(python), program, "measure", *served.where]
            with ahead(served, is_ahead):
                done = subprocess.run(command, capture_output=True, text=True, timeout=LIBP2P_SECONDS)
        except subprocess.TimeoutExpired:
            return f"not measured: not finished within {LIBP2P_SECONDS:.0f} s"
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return f"not measured: it ended with {done.returncode}"
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
