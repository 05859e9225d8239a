"""A real node in its own process, seen through its doors only: JSON-RPC, its log, its exit code."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

SLOT_MS = 500
"""A quarter of the dev chain's, so that tests wait less."""
DEADLINE = 60.0
"""seconds anything may take on a busy machine"""
PAUSE = 0.02
"""seconds between two looks"""
STANDS_STILL = "This node neither talks to peers nor authors, so its chain stands still: "

PORTS = range(20_000, 32_000)
"""none of those for outgoing connections, or for who asks for any"""
_next_port = PORTS.start + 61 * os.getpid() % len(PORTS)  # tests of other processes find others

T = TypeVar("T")


def assay(*arguments: str) -> list[str]:
    """Return the command line of the `assay` command of this checkout."""
    return [sys.executable, "-c", "import sys; from chain.cli import main; sys.exit(main())", *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an `assay` command to its end."""
    return subprocess.run(
        assay(*arguments),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def printed(*command: str, within: Path, given: str = "") -> dict[str, Any]:
    """Run a client's script in its directory, give it its input, and return the JSON it prints."""
    done = subprocess.run(
        command,
        cwd=within,
        input=given,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def eventually(look: Callable[[], T | None], what: str, deadline: float = DEADLINE) -> T:
    """Look until there is something; how long that takes is bounded."""
    until = time.monotonic() + deadline
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < until, f"{what} did not happen within {deadline} s"
        time.sleep(PAUSE)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many free neighbouring ports.

    Nobody else gets them meanwhile: they are none that the system gives away, and each call returns others.
    """
    global _next_port
    for _ in PORTS:
        base = _next_port if _next_port + count <= PORTS.stop else PORTS.start
        _next_port = base + count
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def write_spec(path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Write the dev chain's specification with short slots, changed further where asked."""
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    constants = spec["genesis"]["runtimeGenesis"]["config"]["constants"]
    constants["Babe"] |= {"EpochDuration": 20, "ExpectedBlockTime": SLOT_MS}
    constants["Timestamp"] |= {"MinimumPeriod": SLOT_MS // 2}
    if change is not None:
        change(spec)
    path.write_text(json.dumps(spec))
    return path


class NodeProcess:
    """One `assay node`; `start` waits until it answers."""

    def __init__(
        self, log: Path, *flags: str, port: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        command = assay("node", "--rpc-port", str(self.port), "--no-prometheus", *flags)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def rpc(self, method: str, *params: object) -> Any:
        """Call the node and return the result.

        Raises: Refused.
        """
        answer = self.post(
            json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        )
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def post(self, body: bytes) -> Any:
        """Send any bytes as a request and return the answer's JSON."""
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:
            return json.load(response)

    def number(self, block: str | None = None) -> int:
        """Return the height of a block, the best one by default."""
        return int(self.rpc("chain_getHeader", *([] if block is None else [block]))["number"], 16)

    def finalized(self) -> int:
        """Return the height of the last final block."""
        return self.number(self.rpc("chain_getFinalizedHead"))

    def is_up(self) -> bool:
        """Say whether the node answers; fails the test where it has ended instead."""
        code = self._process.poll()
        assert code is None, f"the node ended with {code}:\n{self.output()}"
        try:
            self.rpc("system_health")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def wait_up(self) -> "NodeProcess":
        """Wait until the node answers."""
        eventually(self.is_up, "an answer of the node")
        return self

    def wait_height(self, height: int) -> None:
        """Wait until the best block is this high."""
        eventually(lambda: self.number() >= height, f"block {height}")

    def output(self) -> str:
        """Return everything the node has printed."""
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send this process a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the process to end and return its exit code."""
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._process.kill()
        self.wait()

    def stop(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.kill()


class Refused(Exception):
    """The node answered with an error object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.error = error


@contextmanager
def running(log: Path, *flags: str) -> Iterator[NodeProcess]:
    """Run a node that answers, and end it."""
    node = NodeProcess(log, *flags)
    try:
        yield node.wait_up()
    finally:
        node.stop()


def flags_of(spec: Path, base: Path | None = None) -> Sequence[str]:
    """Return the flags of the one authority of a chain."""
    data = ["--tmp"] if base is None else ["--base-path", str(base)]
    return ["--chain", str(spec), "--alice", *data]
