"""The programs under load, each in its own process: a node of ours, and anvil, Foundry's chain in Rust.

Anvil comes from npm (https://www.npmjs.com/package/@foundry-rs/anvil) into a cache beside the results. It
gets blocks as roomy as ours, and transfers signed outside of the timed part like ours.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from coincurve import PrivateKey
from eth_hash.auto import keccak

from bench.load import Plan

ANVIL = "@foundry-rs/anvil@1.7.1"
CACHE = Path(__file__).parent / ".cache"
INSTALL_SECONDS = 120.0
START_SECONDS = 30.0
LOAD_SECONDS = 600.0
PAUSE = 0.05
ROOT = Path(__file__).resolve().parent.parent
GAS_LIMIT = 10**12
"""of a block; a transfer takes 21,000"""
TRANSFER_GAS = 21_000
GAS_PRICE = 10**10
"""wei"""
CHAIN_ID = 31_337
RICH = 10**24
"""wei"""


class Running:
    """A server that answers JSON-RPC."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def rpc(self, method: str, *params: object) -> Any:
        """Call it."""
        return self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})["result"]

    def post(self, request: object) -> Any:
        """Send a request, or a batch of them."""
        url, body = f"http://127.0.0.1:{self.port}", json.dumps(request).encode()
        made = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(made, timeout=START_SECONDS) as answer:
            return json.load(answer)

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        started = psutil.Process(self.process.pid)  # anvil's is npm's wrapper
        times = [each.cpu_times() for each in (started, *started.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))


@contextmanager
def running(command: list[str], port: int, probe: str) -> Iterator[Running]:
    """Start a server, wait until it answers, and end it."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        made, until = Running(process, port), time.monotonic() + START_SECONDS
        while not _answers(made, probe):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} does not answer on port {port}")
            time.sleep(PAUSE)
        yield made
    finally:
        process.terminate()
        process.wait()


def _answers(server: Running, probe: str) -> bool:
    try:
        server.rpc(probe)
    except OSError:
        return False
    return True


@contextmanager
def node(home: Path, spec: Path) -> Iterator[Running]:
    """Run our node as //Alice."""
    port = free_port()
    flags = ["--chain", str(spec), "--alice", "--base-path", str(home), "--rpc-port", str(port)]
    command = [sys.executable, "-m", "chain", "node", *flags, "--no-prometheus", "--log", "warn"]
    with running(command, port, "system_health") as made:
        yield made


@contextmanager
def anvil(program: Path, seconds: int) -> Iterator[Running]:
    """Run anvil with a block every so many seconds."""
    port = free_port()
    flags = ["--port", str(port), "--block-time", str(seconds), "--gas-limit", str(GAS_LIMIT)]
    with running([str(program), *flags, "--silent"], port, "eth_blockNumber") as made:
        yield made


def anvil_program() -> Path | None:
    """Return anvil, installed from npm where it is not there yet; None where that is not possible."""
    program = CACHE / "node_modules" / ".bin" / "anvil"
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None:
        return None
    CACHE.mkdir(exist_ok=True)
    command = [npm, "install", "--prefix", str(CACHE), "--no-save", "--no-audit", "--no-fund", ANVIL]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return program if program.exists() else None


def fund(server: Running, keys: list[PrivateKey]) -> None:
    """Give every account of anvil's chain its ether."""
    for each in keys:
        server.rpc("anvil_setBalance", "0x" + address(each).hex(), hex(RICH))


def eth_key(number: int) -> PrivateKey:
    """Return the key of a sender."""
    return PrivateKey(keccak(b"sender %d" % number))


def address(key: PrivateKey) -> bytes:
    """Return an Ethereum address."""
    return bytes(keccak(key.public_key.format(compressed=False)[1:])[12:])


def eth_transfer(key: PrivateKey, nonce: int, to: bytes) -> bytes:
    """Return a signed transfer of one wei (EIP-155)."""
    fields: list[int | bytes] = [nonce, GAS_PRICE, TRANSFER_GAS, to, 1, b""]
    signature = key.sign_recoverable(keccak(rlp([*fields, CHAIN_ID, 0, 0])), hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return rlp([*fields, CHAIN_ID * 2 + 35 + signature[64], r, s])


def rlp(fields: list[int | bytes]) -> bytes:
    """Return a list of numbers and bytes as Ethereum encodes it."""
    encoded = b"".join(map(_rlp_item, fields))
    return _rlp_head(len(encoded), 0xC0) + encoded


def _rlp_item(field: int | bytes) -> bytes:
    raw = field.to_bytes((field.bit_length() + 7) // 8, "big") if isinstance(field, int) else field
    return raw if len(raw) == 1 and raw[0] < 0x80 else _rlp_head(len(raw), 0x80) + raw


def _rlp_head(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size


def load(plan: Plan) -> dict[str, Any]:
    """Run the load generator beside a server and return what it saw."""
    command = [sys.executable, "-m", "bench.load", json.dumps(vars(plan))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LOAD_SECONDS)
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr}")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
