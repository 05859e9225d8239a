"""A whole local network for a long time: memory, forks, missed slots, rounds and payouts under constant load.

    python -m bench.soak --minutes 30 --rate 10 [--json FILE]

Starts the default `assay up`: four nodes, four judges, two miners, the data provider. Eight accounts that
nobody else uses send each other transfers, 12,000 quickly and then at a constant rate, each through one of
the four nodes, while the rounds go on. In the end every final height must have one hash on all nodes, every
transfer must be final, every round must have closed and been paid for, and no log may hold an error; else the
exit code is 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.observe import Door, RefusedError, missed, own_mib, slope
from bench.record import finish, parser
from bench.transfers import signed
from chain.keys.pair import Keypair
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_128_concat, twox_128
from runtime.primitives.types import AccountId, Hash

NODES = 4
PAID_WITHIN = 2
"""epochs; weights set in the last blocks of one count in the next"""
SENDERS = ("Eve", "Ferdie", "Miner3", "Miner4", "Miner5", "Miner6", "Miner7", "Miner8")
FIRST, FIRST_RATE = 12_000, 100.0
"""transfers that go ahead, and how many a second: caches of transactions are full before memory is judged"""
EVERY = 5.0
"""seconds between two samples"""
START_SECONDS = 180.0
"""for the first round to open"""
SETTLED = 1 / 3
"""of the time, after which memory should be flat"""
SETTLE_SECONDS = 30.0
"""for the last transfers to become final"""
ACCOUNTS = twox_128(b"System") + twox_128(b"Account")
"""of state keys; a value begins with the nonce, u32"""
ROOT = Path(__file__).resolve().parent.parent
WRONG = ("Traceback", "please report this", "is a bug", " ERROR ", "DISAGREES")
"""what no log may hold"""


@dataclass
class Seen:
    """What has been observed; seconds count from the start."""

    events: list[dict[str, Any]] = field(default_factory=list)  # the lines of the screen
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # process -> seconds, MiB
    cpu: dict[str, float] = field(default_factory=dict)  # process -> seconds used so far
    lags: list[int] = field(default_factory=list)  # best less final, of each node at each sample
    sent: int = 0
    refused: list[str] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the lines about one kind of event."""
        return [line for line in self.events if line["event"] == event]


def main() -> int:
    """Run, judge and report."""
    flags = parser(__doc__)
    flags.add_argument("--minutes", type=float, default=30, help="from the first round on [30]")
    flags.add_argument("--rate", type=float, default=10, help="transfers per second, all nodes together [10]")
    flags.add_argument("--port-base", type=int, default=9700, metavar="PORT", help="first of 19 ports [9700]")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-soak-") as home:
        figures, broken = soak(given, Path(home))
    finish("soak", figures, given)
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


def soak(given: argparse.Namespace, home: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the figures, and what was promised and not kept."""
    seen, over, began = Seen(), threading.Event(), time.monotonic()
    doors = [Door(given.port_base + at) for at in range(NODES)]
    with network(given, home) as process:
        threading.Thread(target=read_lines, args=(process, seen), daemon=True).start()
        wait_for_a_round(process, seen)
        first, _ = doors[0].final()
        load = threading.Thread(target=send, args=(doors, given.rate, seen, over))
        load.start()
        until = time.monotonic() + 60 * given.minutes
        try:
            while time.monotonic() < until:
                if process.poll() is not None:
                    raise SystemExit(f"assay up ended with code {process.returncode}")
                sample(process.pid, doors, time.monotonic() - began, seen)
                time.sleep(EVERY)
        finally:
            over.set()
            load.join()
        figures, broken = judge(doors, first, seen)
    broken += [f"in a log: {line}" for line in wrong_lines(home)]
    return {"minutes": given.minutes, "rate_per_second": given.rate, **figures, "broken": broken}, broken


@contextmanager
def network(given: argparse.Namespace, home: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `assay up`, and end it as Ctrl-C does."""
    command = [sys.executable, "-m", "chain", "up", "--json", "--keep", str(home)]
    process = subprocess.Popen(
        [*command, "--port-base", str(given.port_base)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def read_lines(process: subprocess.Popen[str], seen: Seen) -> None:
    """Keep every line of the screen."""
    assert process.stdout is not None
    for raw in process.stdout:
        seen.events.append(json.loads(raw))


def wait_for_a_round(process: subprocess.Popen[str], seen: Seen) -> None:
    """Wait until the first round is open."""
    until = time.monotonic() + START_SECONDS
    while not seen.of("round_opened"):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"no round has opened: {[line['text'] for line in seen.events][-5:]}")
        time.sleep(1.0)


def send(doors: list[Door], rate: float, seen: Seen, over: threading.Event) -> None:
    """Send transfers at a constant rate, each account through a node of its own."""
    keys = [Keypair.from_suri(f"//{name}", "sr25519") for name in SENDERS]
    genesis = Hash(bytes.fromhex(doors[0].call("chain_getBlockHash", 0)[2:]))
    nonces: list[int | None] = [None] * len(keys)
    began, number = time.monotonic(), 0
    while not over.wait(max(0.0, began + due(number, rate) - time.monotonic())):
        at = number % len(keys)
        door, key = doors[at % len(doors)], keys[at]
        number += 1
        try:
            if nonces[at] is None:
                nonces[at] = door.call("system_accountNextIndex", ss58.encode(key.public))
            to = AccountId(keys[(at + 1) % len(keys)].public)
            door.call("author_submitExtrinsic", "0x" + signed(key, nonces[at] or 0, to, genesis).hex())
        except (OSError, RefusedError) as problem:
            seen.refused.append(f"{SENDERS[at]}: {problem}")
            nonces[at] = None
        else:
            seen.sent += 1
            nonces[at] = (nonces[at] or 0) + 1


def due(number: int, rate: float) -> float:
    """Return when a transfer is to be sent, seconds after the first."""
    ahead = min(number, FIRST)
    return ahead / FIRST_RATE + (number - ahead) / rate


def sample(root: int, doors: list[Door], now: float, seen: Seen) -> None:
    """Note memory and CPU time of every process, and how far finality is behind."""
    for child in psutil.Process(root).children():
        try:
            name, used = name_of(child.cmdline()), child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seen.memory.setdefault(name, []).append((now, own_mib(child.pid)))
        seen.cpu[name] = used.user + used.system
    for door in doors:
        seen.lags.append(door.height() - door.final()[0])


def name_of(command: list[str]) -> str:
    """Return a process's name in the network: that of its directory."""
    flag = "--base-path" if "--base-path" in command else "--directory"
    return Path(command[command.index(flag) + 1]).name if flag in command else command[-1]


def judge(doors: list[Door], first: int, seen: Seen) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of a run, and what was promised and not kept."""
    included = wait_for_inclusion(doors[0], seen.sent)
    last = min(door.final()[0] for door in doors)
    chains = [door.hashes(1, last) for door in doors]
    forked = [number for number, hashes in enumerate(zip(*chains, strict=True), 1) if len(set(hashes)) > 1]
    slots = doors[0].slots(first, last)
    lost = missed(slots)
    closed, void = seen.of("round_closed"), seen.of("round_voided")
    unpaid = unpaid_rounds(seen.events)
    broken = [
        *(f"two blocks are final at #{number}" for number in forked),
        *(line["text"] for line in (*void, *seen.of("ended"))),
        *(f"round {number} is not paid" for number in unpaid),
        *([f"{seen.sent - included} transfers are lost"] if included != seen.sent else []),
    ]
    told = [*closed, *seen.of("round_measured")]
    losses = [line["loss"] for line in sorted(told, key=lambda line: int(line["round"])) if line["loss"]]
    return {
        "final_blocks": last - first + 1,
        "forks": len(forked),
        "slots": len(slots) + lost,
        "slots_missed": lost,
        "slots_missed_percent": round(100 * lost / max(1, len(slots) + lost), 2),
        "blocks_behind_finality_median": median(seen.lags),
        "blocks_behind_finality_most": max(seen.lags),
        "transfers_sent": seen.sent,
        "transfers_refused": len(seen.refused),
        "refusals": seen.refused[:3],
        "transfers_included": included,
        "rounds_closed": len(closed),
        "rounds_void": len(void),
        "updates_accepted": sum(int(line["accepted"]) for line in closed),
        "held_out_loss_first_and_last": [losses[0], losses[-1]] if losses else [],
        "epochs_paid": sum(bool(line["paid"]) for line in seen.of("epoch")),
        "rounds_unpaid": len(unpaid),
        "memory_mib": {name: memory_of(points) for name, points in sorted(seen.memory.items())},
        "memory_together_mib": round(sum(points[-1][1] for points in seen.memory.values())),
        "cpu_seconds": {name: round(seconds) for name, seconds in sorted(seen.cpu.items())},
    }, broken


def wait_for_inclusion(door: Door, sent: int) -> int:
    """Return how many transfers are final, which is all of them after a while."""
    accounts = [Keypair.from_suri(f"//{name}", "sr25519").public for name in SENDERS]
    keys = [["0x" + (ACCOUNTS + blake2_128_concat(public)).hex()] for public in accounts]
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        _, block = door.final()
        found = door.many("state_getStorage", [[*key, block] for key in keys])
        included = sum(int.from_bytes(bytes.fromhex(value[2:10]), "little") for value in found)
        if included == sent or time.monotonic() > until:
            return included
        time.sleep(1.0)


def unpaid_rounds(events: list[dict[str, Any]]) -> list[int]:
    """Return the rounds that neither of the two epochs after their end has paid; the last may still be."""
    told = [line for line in events if line["event"] in ("round_closed", "epoch")]
    unpaid = []
    for at, line in enumerate(told):
        if line["event"] == "round_closed":
            epochs = [each for each in told[at:] if each["event"] == "epoch"][:PAID_WITHIN]
            if len(epochs) == PAID_WITHIN and not any(each["payments"] for each in epochs):
                unpaid.append(int(line["round"]))
    return unpaid


def memory_of(points: list[tuple[float, float]]) -> dict[str, float]:
    """Return what a process took at first and in the end, and how it grew once settled, MiB per hour."""
    settled = points[int(len(points) * SETTLED) :]
    third = max(1, len(settled) // 3)
    return {
        "settled": round(median(mib for _, mib in settled[:third]), 1),
        "end": round(median(mib for _, mib in settled[-third:]), 1),
        "mib_per_hour": round(3600 * slope(settled), 1),
    }


def wrong_lines(home: Path) -> list[str]:
    """Return what stands in the logs and must not."""
    lines = [line for log in sorted(home.glob("*.log")) for line in log.read_text().splitlines()]
    return [line for line in lines if any(word in line for word in WRONG)]


if __name__ == "__main__":
    sys.exit(main())
