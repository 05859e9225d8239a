"""How long a newcomer waits and what it costs: a whole local network, timed from outside.

    python -m bench.first_light [--rounds 3] [--port-base 9800] [--json FILE]

Starts `assay up`, which starts four nodes, four judges, two miners and the data provider; all times count
from the start of that process. Block rates count finalised blocks over RPC. Memory is what a process has for
itself and its part of what it shares (PSS).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.record import finish, parser

PAUSE = 0.5
"""seconds between two looks at height and memory"""
MOST_SECONDS = 300.0
"""before the run is given up"""
MIB = 1 << 20
JOURNAL = Path("judge-alice", "rounds.jsonl")
"""where a judge writes down the held-out loss of every model"""


@dataclass
class Seen:
    """What has been observed so far; times are seconds since the start."""

    first_block: float | None = None
    first_round: float | None = None
    first_payout: float | None = None
    losses: list[float] = field(default_factory=list)  # nats per token, before round 1 and after each
    heights: list[tuple[float, int]] = field(default_factory=list)  # finalised
    memory: dict[str, int] = field(default_factory=dict)  # process -> most bytes resident


def main() -> None:
    """Run a network to its end and report."""
    flags = parser(__doc__)
    flags.add_argument("--rounds", type=int, default=3, help="training rounds to wait for [3]")
    flags.add_argument("--port-base", type=int, default=9800, metavar="PORT", help="first of 19 ports [9800]")
    given = flags.parse_args()
    finish("first_light", figures(run(given)), given)


def run(given: argparse.Namespace) -> Seen:
    """Watch a network from its start to its end."""
    seen, began = Seen(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home, network(given, home) as process:
        lines = threading.Thread(target=read_lines, args=(process, began, seen), daemon=True)
        lines.start()
        while process.poll() is None:
            look(process.pid, given.port_base, began, seen)
            if time.monotonic() - began > MOST_SECONDS:
                raise SystemExit(f"the network had not finished after {MOST_SECONDS:.0f} s: {seen}")
            time.sleep(PAUSE)
        lines.join()
        if process.returncode:
            raise SystemExit(f"assay up ended with code {process.returncode}")
        seen.losses = losses(Path(home, JOURNAL))
    return seen


@contextmanager
def network(given: argparse.Namespace, home: str) -> Iterator[subprocess.Popen[str]]:
    """Start `assay up`, and end it."""
    command = [sys.executable, "-m", "chain", "up", "--rounds", str(given.rounds), "--exit", "--json"]
    process = subprocess.Popen(
        [*command, "--port-base", str(given.port_base), "--keep", home],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def read_lines(process: subprocess.Popen[str], began: float, seen: Seen) -> None:
    """Note when the screen shows the first closed round and the first payout."""
    assert process.stdout is not None
    for raw in process.stdout:
        line, now = json.loads(raw), time.monotonic() - began
        if line["event"] == "round_closed":
            seen.first_round = seen.first_round or now
        if line["event"] == "epoch" and line["paid"] > 0:
            seen.first_payout = seen.first_payout or now


def losses(journal: Path) -> list[float]:
    """Return the held-out losses a judge published, in nats per token."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    return [round(each["held_out_loss"], 3) for each in entries if each["event"] == "model"]


def look(root: int, port: int, began: float, seen: Seen) -> None:
    """Note the heights and the memory of every process."""
    for name, resident in processes(root):
        seen.memory[name] = max(seen.memory.get(name, 0), resident)
    try:
        best = height(port, None)
        final = height(port, rpc(port, "chain_getFinalizedHead"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return  # not up yet, or gone already
    now = time.monotonic() - began
    if best:
        seen.first_block = seen.first_block or now
    if final:
        seen.heights.append((now, final))


def processes(root: int) -> Iterator[tuple[str, int]]:
    """Yield name and resident bytes of the processes of the network."""
    try:
        children = psutil.Process(root).children()
    except psutil.NoSuchProcess:
        return
    for child in children:
        try:
            name = name_of(child.cmdline())
            resident = child.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if name:
            yield name, resident


def name_of(command: list[str]) -> str | None:
    """Return what a process is in the network."""
    if "-m" not in command:
        return None
    room, program = command[command.index("-m") + 1 :][:2]
    if room == "chain":
        return f"node {Path(command[command.index('--base-path') + 1]).name.removeprefix('node-')}"
    role = "judge" if program == "validator" else program
    return role if role == "provider" else f"{role} {command[command.index('--key') + 1]}"


def rpc(port: int, method: str, *params: object) -> object:
    """Ask the node."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        found: object = json.load(answer)["result"]
    return found


def height(port: int, block: object) -> int:
    """Return a block's number, the best one's by default."""
    header = rpc(port, "chain_getHeader", *([] if block is None else [block]))
    assert isinstance(header, dict)
    return int(header["number"], 16)


def figures(seen: Seen) -> dict[str, object]:
    """Return what is published."""
    assert seen.first_block, "no block"
    assert seen.first_round, "no round closed"
    assert seen.first_payout, "nothing was paid"
    (start, first), (end, last) = seen.heights[0], seen.heights[-1]
    return {
        "first_block_s": round(seen.first_block, 1),
        "first_round_closed_s": round(seen.first_round, 1),
        "first_payout_s": round(seen.first_payout, 1),
        "finalised_blocks_per_second": round((last - first) / (end - start), 3),
        "finalised_blocks": last,
        "held_out_loss": seen.losses,
        "resident_mib": {name: round(seen.memory[name] / MIB) for name in sorted(seen.memory)},
    }


if __name__ == "__main__":
    main()
