"""Full sync between two processes: blocks per second over TCP and Noise, beside an import from a file.

    python -m bench.full_sync --blocks 1000 [--json FILE]

One node has a chain of real blocks, with transfers, forks and justifications; another begins with nothing
and gets it by full sync: headers first, then bodies, each verified and executed. `assay import-blocks` of the
same file, in one process without a network, is beside it, the start of that process included.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench.crash_chain import TRANSFERS, make
from bench.observe import Door
from bench.record import finish, parser
from chain.keys.node import parse_node_key, peer_id
from tests.e2e.process import NodeProcess, eventually, free_ports

SEED = 7
NODE_KEY = "11" * 32
POLL = 0.05
"""seconds between two looks at the heights"""
MOST_SECONDS = 600.0


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--blocks", type=int, default=1_000, help="how long the chain is [1000]")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        figures = measure(Path(home), given.blocks)
    finish("full_sync", figures, given)


def measure(home: Path, blocks: int) -> dict[str, object]:
    """Return the figures of one run."""
    make(home / "chain", blocks, SEED)
    began = time.monotonic()
    command = [sys.executable, "-m", "chain", "import-blocks", "--binary", "--chain", "dev"]
    subprocess.run(
        [*command, "--base-path", str(home / "a"), str(home / "chain")], check=True, capture_output=True
    )
    imported = time.monotonic() - began
    port = free_ports(1)
    peer = peer_id(parse_node_key(NODE_KEY.encode(), "the benchmark").public)
    with ExitStack() as opened:
        source = NodeProcess(
            home / "a.log", "--chain", "dev", "--base-path", str(home / "a"), "--port", str(port),
            "--node-key", NODE_KEY,
        )  # fmt: skip
        opened.callback(source.stop)
        eventually(source.is_up, "an answer", MOST_SECONDS)
        target = source.number()
        joiner = NodeProcess(
            home / "b.log", "--chain", "dev", "--base-path", str(home / "b"),
            "--bootnodes", f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}",
        )  # fmt: skip
        opened.callback(joiner.stop)
        eventually(joiner.is_up, "an answer", MOST_SECONDS)
        seconds, done = follow(joiner, target)
        same = Door(source.port).hashes(target, target) == Door(joiner.port).hashes(target, target)
        spent = [sum(psutil.Process(node.pid).cpu_times()[:2]) for node in (source, joiner)]
    return {
        "blocks": target,
        "transfers_per_block": TRANSFERS,
        "blocks_per_second": round(done / seconds),
        "seconds": round(seconds, 2),
        "import_blocks_per_second": round(target / imported),
        "ratio_to_import": round((done / seconds) / (target / imported), 2),
        "cpu_s_of_source_and_joiner": [round(each, 2) for each in spent],
        "same_head": same,
    }


def follow(joiner: NodeProcess, target: int) -> tuple[float, int]:
    """Return the seconds from the first look at a height to the target, and how many blocks that were."""
    began, first = time.monotonic(), joiner.number()
    while joiner.number() < target:
        if time.monotonic() - began > MOST_SECONDS:
            raise SystemExit(f"at #{joiner.number()} of #{target} after {MOST_SECONDS:.0f} s")
        time.sleep(POLL)
    return time.monotonic() - began, target - first


if __name__ == "__main__":
    main()
