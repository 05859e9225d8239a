"""A local network of real processes: who runs, with which key, in which directory."""

import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path

from chain.commands.seats import NETUID, Seat, take
from chain.env_real import RealDisk
from chain.keys.node import peer_id, read_node_key
from chain.spec import SpecError

SPEC_FILE = "chain.json"
KEY_FILE = "node.key"

STOP_SECONDS = 10
"""processes that have not ended this long after SIGTERM are killed"""
PR_SET_PDEATHSIG = 1
"""Linux: send this process a signal when its parent dies"""
WORKER_NICENESS = 5
"""torch must not cost a node its slots, nor go without CPU time beside a user's other programs"""
LATE_NICENESS = 7
"""of judges: miners load torch first, as a round opens once there are miners, and needs judges later"""
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}
"""for torch: one thread, and glibc hands back what a measurement has used (450 MiB a judge instead of 700)"""
PACE = {"tempo": 10, "train_window": 30, "score_commit_window": 20}
"""blocks. An epoch twice as often as the preset's, so that a round is paid soon; windows twice as long: six
programs with torch share few cores, and a phase ends once all are done"""
LOG_TAIL = 400
"""bytes of a dead process's last log line that are shown"""
PROGRAMS = {
    "provider": ("miners", "provider"),
    "judge": ("validators", "validator"),
    "miner": ("miners", "miner"),
}
"""room and name of what works, by role"""
READY = {
    "node": "Running JSON-RPC server",
    "provider": "data set 0x",
    "judge": "mirroring blobs at",
    "miner": "serving blobs at",
}
"""what a process logs once it does its work, by role"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports a local network takes: one of each kind for every validator's node, then the workers'."""

    rpc: int
    metrics: int
    peers: int
    provider: int
    workers: int  # first of the blob servers of judges and miners

    @classmethod
    def at(cls, base: int | None, validators: int = 1) -> "Ports":
        """Return the customary ports, or a block of them from a base on."""
        if base is None:
            return cls(9944, 9615, 30_333, 8100, 8101)
        provider = base + 3 * validators
        return cls(base, base + validators, base + 2 * validators, provider, provider + 1)

    def taken_by(self, validators: int, miners: int) -> list[int]:
        """Return every port of a network; a validator is a node and a judge."""
        nodes = [first + at for first in (self.rpc, self.metrics, self.peers) for at in range(validators)]
        return [*nodes, self.provider, *range(self.workers, self.workers + validators + miners)]

    def url(self, validator: int = 0) -> str:
        """Return where a validator's node serves RPC."""
        return f"ws://127.0.0.1:{self.rpc + validator}"


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the network."""

    name: str
    role: str  # node, provider, judge or miner
    arguments: tuple[str, ...]  # of the Python interpreter
    niceness: int = WORKER_NICENESS


@dataclass(slots=True)
class Network:
    """The processes, and where their logs go."""

    home: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _logged: dict[str, int] = field(default_factory=dict)  # bytes of its log that earlier lives wrote

    def start(self, member: Member) -> None:
        """Start a process in its own directory; it dies with us, however we die."""
        directory = self.home / member.name
        directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if member.role != "node":
            environment |= WORKER_ENVIRONMENT
        with self.log_of(member.name).open("ab") as log:
            self._logged[member.name] = log.tell()
            self.running[member.name] = subprocess.Popen(
                [sys.executable, *member.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the others in order
                preexec_fn=partial(_prepare, member.niceness),
            )  # fmt: skip

    def log_of(self, name: str) -> Path:
        """Return a process's log file."""
        return self.home / f"{name}.log"

    def has_settled(self, member: Member) -> bool:
        """Say whether a process does its work, or has ended."""
        return self.running[member.name].poll() is not None or self.is_ready(member)

    def is_ready(self, member: Member) -> bool:
        """Say whether a process has begun its work."""
        with self.log_of(member.name).open("rb") as log:
            log.seek(self._logged[member.name])
            return READY[member.role].encode() in log.read()

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

    def first_alive(self, names: Sequence[str]) -> str | None:
        """Return the first of these processes that runs."""
        return next((name for name in names if self.running[name].poll() is None), None)

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


def members(ports: Ports, validators: Sequence[str], miners: Sequence[str], home: Path) -> list[Member]:
    """Return the processes of a local network, the nodes first; each keeps its data below `home`."""

    def worker(name: str, role: str, key: str, at: int, port: int) -> Member:
        own = ("--key", key, "--directory", str(home / name), "--port", str(port), "--wait")
        is_late = role == "judge" and at > 0  # the first judge measures the loss before round 1
        niceness = LATE_NICENESS if is_late else WORKER_NICENESS
        return Member(name, role, ("-m", *PROGRAMS[role], "--url", ports.url(at), *own), niceness)

    names = [f"node-{name.lower()}" for name in validators]
    reached = [
        f"/ip4/127.0.0.1/tcp/{ports.peers + at}/p2p/{_peer(home, name)}" for at, name in enumerate(names)
    ]
    nodes = [
        Member(
            name, "node",
            ("-m", "chain", "node", "--chain", str(home / SPEC_FILE), f"--{validator.lower()}",
             "--base-path", str(home / name), "--state-pruning", "archive",
             "--rpc-port", str(ports.rpc + at), "--prometheus-port", str(ports.metrics + at),
             "--port", str(ports.peers + at), "--node-key-file", str(home / name / KEY_FILE),
             *(("--bootnodes", *others) if (others := reached[:at] + reached[at + 1 :]) else ())),
            niceness=0,
        )
        for at, (name, validator) in enumerate(zip(names, validators, strict=True))
    ]  # fmt: skip
    provider = worker("provider", "provider", "//Provider", 0, ports.provider)
    roles = [
        *((f"judge-{key.lower()}", "judge", key, at) for at, key in enumerate(validators)),
        *((key.lower(), "miner", key, at % len(validators)) for at, key in enumerate(miners)),
    ]
    workers = [
        worker(name, role, f"//{key}", at, ports.workers + place)
        for place, (name, role, key, at) in enumerate(roles)
    ]
    return [*nodes, provider, *workers]


def write_spec(home: Path, validators: Sequence[str], slot_ms: int) -> None:
    """Write the local chain with these validators; a chain that is there already must be the same.

    Raises: SpecError.
    """
    spec = json.loads(files("genesis").joinpath("local.json").read_text())
    config = spec["genesis"]["runtimeGenesis"]["config"]
    take(config, [Seat.of(name) for name in validators])
    config["subnets"][NETUID]["hyperparameters"] |= PACE
    config["constants"]["Babe"]["ExpectedBlockTime"] = slot_ms
    config["constants"]["Timestamp"]["MinimumPeriod"] = slot_ms // 2
    path, text = home / SPEC_FILE, json.dumps(spec, indent=1)
    if path.exists() and path.read_text() != text:
        raise SpecError(
            f"{home} holds a network with other validators or of another version: choose another directory"
        )
    RealDisk(home).replace(SPEC_FILE, text.encode())


def _peer(home: Path, name: str) -> str:
    """Return the peer id of a node, whose key is made here: the others must know it before it starts."""
    path = home / name / KEY_FILE
    if not path.exists():
        RealDisk(path.parent).replace(path.name, secrets.token_bytes(32).hex().encode())
    return peer_id(read_node_key(path).public)


def _prepare(niceness: int) -> None:
    """Ask Linux to end this process when its parent dies; elsewhere only an orderly stop does."""
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
