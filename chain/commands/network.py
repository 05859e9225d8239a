"""A local network of real processes: who runs, with which key, in which directory."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS = 10
"""processes that have not ended this long after SIGTERM are killed"""
PR_SET_PDEATHSIG = 1
"""Linux: send this process a signal when its parent dies"""
NICENESS = 10
"""torch must not cost the node its slots"""
LOG_TAIL = 400
"""bytes of a dead process's last log line that are shown"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports a local network takes, from one base."""

    rpc: int
    metrics: int
    provider: int
    workers: int  # first of the blob servers of judges and miners

    @classmethod
    def at(cls, base: int | None, rpc: int = 9944, metrics: int = 9615) -> "Ports":
        """Return the customary ports, or a block of them from a base on."""
        if base is None:
            return cls(rpc, metrics, 8100, 8101)
        return cls(base, base + 1, base + 2, base + 3)

    def taken_by(self, workers: int) -> list[int]:
        """Return every port that a network with so many judges and miners takes."""
        return [self.rpc, self.metrics, self.provider, *range(self.workers, self.workers + workers)]


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the network."""

    name: str
    role: str  # node, provider, judge or miner
    arguments: tuple[str, ...]  # of the Python interpreter
    nice: bool = True


@dataclass(slots=True)
class Network:
    """The processes, and where their logs go."""

    home: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def start(self, member: Member) -> None:
        """Start a process in its own directory; it dies with us, however we die."""
        directory = self.home / member.name
        directory.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with self.log_of(member.name).open("ab") as log:
            self.running[member.name] = subprocess.Popen(
                [sys.executable, *member.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the others in order
                preexec_fn=_nice_orphan_less if member.nice else _orphan_less,
            )  # fmt: skip

    def log_of(self, name: str) -> Path:
        """Return a process's log file."""
        return self.home / f"{name}.log"

    def newly_dead(self) -> list[tuple[str, int, str]]:
        """Return (name, exit code, last log line) of processes that ended since the last call."""
        found = []
        for name, process in self.running.items():
            code = process.poll()
            if code is not None and name not in self._told:
                self._told.add(name)
                found.append((name, code, self.last_line(name)))
        return found

    def last_line(self, name: str) -> str:
        """Return the last line a process logged."""
        with self.log_of(name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """End every process, workers before the node, and wait for them; a second Ctrl-C changes nothing."""
        impatient = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, signal.SIG_IGN) for number in impatient]
        try:
            self._stop()
        finally:
            for number, handler in zip(impatient, before, strict=True):
                signal.signal(number, handler)

    def _stop(self) -> None:
        members = [process for process in reversed(self.running.values()) if process.poll() is None]
        for process in members:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in members:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def members(ports: Ports, judges: Sequence[str], miners: Sequence[str], home: Path) -> list[Member]:
    """Return the processes of a local network; each keeps its data below `home`."""
    url = ("--url", f"ws://127.0.0.1:{ports.rpc}")

    def worker(name: str, role: str, module: str, key: str, port: int) -> Member:
        own = ("--key", key, "--directory", str(home / name), "--port", str(port))
        return Member(name, role, ("-m", module, *url, *own))

    node = Member(
        "node", "node",
        ("-m", "chain", "node", "--chain", "local", "--alice", "--base-path", str(home / "node"),
         "--state-pruning", "archive",
         "--rpc-port", str(ports.rpc), "--prometheus-port", str(ports.metrics)),
        nice=False,
    )  # fmt: skip
    provider = worker("provider", "provider", "miners.provider", "//Provider", ports.provider)
    roles = [
        *((f"judge-{key.lower()}", "judge", "validators.validator", key) for key in judges),
        *((key.lower(), "miner", "miners.miner", key) for key in miners),
    ]
    workers = [
        worker(name, role, module, f"//{key}", ports.workers + at)
        for at, (name, role, module, key) in enumerate(roles)
    ]
    return [node, provider, *workers]


def _orphan_less() -> None:
    """Ask Linux to end this process when its parent dies; elsewhere only an orderly stop does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _nice_orphan_less() -> None:
    os.nice(NICENESS)
    _orphan_less()
