"""The transport against a plain socket and against py-libp2p: two processes, loopback, one after the other.

    python -m bench.transport [--json FILE] [--rounds N]

Ours encrypts, keeps priorities and bounds; the plain socket puts a length before each message and does
nothing else; libp2p is TCP, Noise and yamux of PyPI's libp2p, in an environment of its own (`make libp2p`).
Ours and the plain socket take turns on the same event loop, and the best round of each counts.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

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
    given = flags.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(given.rounds):
            for kind in KINDS:
                with serving(sys.executable, "-m", "bench.transport_ends", kind) as where:
                    rounds[kind].append(runner.run(measure(kind, where, given.mib << 20)))
    figures: dict[str, Any] = {kind: best(each) for kind, each in rounds.items()}
    mine, floor = figures["ours"], figures["plain"]
    figures["ratio"] = {name: round(mine[name] / floor[name], 2) for name in mine}
    figures["libp2p"] = libp2p()
    finish("transport", figures, given)


async def measure(kind: str, where: list[str], load: int) -> dict[str, float]:
    """Return what one connection carries, and how long it takes to get one."""
    connects = []
    for _ in range(10):
        began = time.perf_counter()
        async with KINDS[kind](where) as session:
            await session.ask(bytes(ASKED))
            connects.append(time.perf_counter() - began)
    async with KINDS[kind](where) as session:
        large = await _per_second(session, LARGE, load // LARGE)
        small = await _per_second(session, SMALL, load // 4 // SMALL)
        trips = [await _round_trip(session) for _ in range(2_000)]
    return {
        "mb_per_s_64_kib": large * LARGE / 1e6,
        "messages_per_s_1_kib": small,
        "round_trip_us_200_b": median(trips) * 1e6,
        "connect_ms": median(connects) * 1e3,
    }


async def _per_second(session: Session, size: int, count: int) -> float:
    message = os.urandom(size)
    began = time.perf_counter()
    arrived = await session.push(message, count)
    spent = time.perf_counter() - began
    assert arrived == count, f"{arrived} of {count} messages arrived"
    return count / spent


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
def serving(*command: str) -> Iterator[list[str]]:
    """Start the end that serves; say where it is."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        where = process.stdout.readline().split()
        if not where:
            raise SystemExit(f"{' '.join(command)} does not say where it is")
        yield where
    finally:
        process.kill()
        process.wait()


def libp2p() -> dict[str, float] | str:
    """Return the same figures of py-libp2p, or why there are none."""
    python = LIBP2P / ".venv" / "bin" / "python"
    if not python.exists():
        return "not measured: not installed (make libp2p)"
    program = str(LIBP2P / "ends.py")
    with serving(str(python), program, "serve") as where:
        try:
            command = [str(python), program, "measure", *where]
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
