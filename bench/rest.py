"""What a node costs that does nothing yet: start to the first RPC answer, and memory at rest.

    python -m bench.rest [--starts 7] [--blocks 300] [--json FILE]

Real processes and wall-clock time. The baselines of the same run are an interpreter that starts and ends, and
one that imports the web server the node stands on. Memory is read once the node answers, and again after so
many blocks of an idle development chain: 300 are ten minutes of slots of 2 s, which are shortened here.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

from bench.record import finish, parser, resident_mib

STARTS = 7
BLOCKS = 300
SLOT_MS = 200
DEADLINE = 60.0
"""seconds a start may take"""
PAUSE = 0.005
"""seconds between two questions to a node that does not listen yet"""
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Started:
    """A node that has answered once."""

    pid: int
    port: int
    seconds: float


def main() -> None:
    """Measure starts, then one longer run."""
    flags = parser(__doc__)
    flags.add_argument("--starts", type=int, default=STARTS, metavar="COUNT", help=f"[{STARTS}]")
    flags.add_argument("--blocks", type=int, default=BLOCKS, metavar="COUNT", help=f"[{BLOCKS}]")
    given = flags.parse_args()
    seconds, memory = [], []
    for _ in range(given.starts):
        with node("--dev") as started:
            seconds.append(started.seconds)
            memory.append(resident_mib(started.pid))
    figures: dict[str, object] = {
        "starts": given.starts,
        "interpreter_s": round(median(run("pass") for _ in range(given.starts)), 2),
        "web_server_s": round(median(run("import aiohttp.web") for _ in range(given.starts)), 2),
        "first_answer_s": round(median(seconds), 2),
        "slowest_first_answer_s": round(max(seconds), 2),
        "resident_mib": median(memory),
    }
    finish("rest", figures | after_blocks(given.blocks), given)


def after_blocks(count: int) -> dict[str, object]:
    """Return the memory of a node after so many blocks."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as directory:
        spec = json.loads(files("genesis").joinpath("dev.json").read_text())
        constants = spec["genesis"]["runtimeGenesis"]["config"]["constants"]
        constants["Babe"]["ExpectedBlockTime"] = SLOT_MS
        path = Path(directory) / "spec.json"
        path.write_text(json.dumps(spec))
        with node("--chain", str(path), "--alice", "--tmp") as started:
            while height(started.port) < count:
                time.sleep(SLOT_MS / 1000)
            return {"blocks": count, "resident_mib_after_blocks": resident_mib(started.pid)}


def run(program: str) -> float:
    """Return how long an interpreter takes for a program."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


@contextmanager
def node(*flags: str) -> Iterator[Started]:
    """Start a node, wait for its first answer, end it as an operator does."""
    port = free_port()
    command: Sequence[str] = (
        sys.executable, "-m", "chain", "node", *flags, "--rpc-port", str(port), "--no-prometheus",
    )  # fmt: skip
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while answer(port, "system_health") is None:
                assert process.poll() is None, f"the node ended with {process.returncode}"
                assert time.perf_counter() - began < DEADLINE, f"no answer within {DEADLINE} s"
                time.sleep(PAUSE)
            yield Started(process.pid, port, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE)


def answer(port: int, method: str) -> object:
    """Return what a node answers, None while it does not listen."""
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}", call, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            found: object = json.load(response)["result"]
    except urllib.error.URLError:
        return None
    return found


def height(port: int) -> int:
    """Return the number of the best block."""
    header = answer(port, "chain_getHeader")
    assert isinstance(header, dict), "the node has stopped answering"
    return int(header["number"], 16)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
