"""Four validators on this machine under constant transfers: what becomes final, how late, at which cost.

    python -m bench.network_load --rate 1000 --seconds 30 [--to 1] [--json FILE]

Four `assay node` processes with slots of 2 s, connected over TCP and Noise, no judges; blocks may hold
thousands of transfers. Requests are made beforehand, signatures included, and sent at a constant rate,
whether or not the nodes keep up, spread over all four nodes or over the first few (--to). Latency counts from
the moment a transfer was due to be sent until the first node has its block final. What sending and watching
took of the same cores is among the figures.
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench import transfers
from bench.load import Connection, connect
from bench.observe import Door, missed, own_mib
from bench.record import finish, parser
from chain.commands.network import SPEC_FILE, Network, Ports, members

NAMES = ("Alice", "Bob", "Charlie", "Dave")
SLOT_MS = 2_000
TICK = 0.1
"""seconds between two requests to a node"""
POLL = 0.1
"""seconds between two looks at finality"""
SENDERS = 1_600
SETTLE_SECONDS = 60.0
"""for the last transfers to become final"""
START_SECONDS = 60.0
FIRST_BLOCKS = 3
"""final blocks before the load begins"""
SETTLE_PAUSE = 2.0
"""seconds between two looks at the pools, each of which costs every node some milliseconds"""
WAITING = re.compile(r"^substrate_ready_transactions_number\{.*\} ([\d.e+]+)$", re.MULTILINE)
BYTES = re.compile(
    r'^substrate_sub_libp2p_network_bytes_total\{.*direction="out".*\} ([\d.e+]+)$', re.MULTILINE
)


@dataclass
class Seen:
    """What happened; seconds count from the first transfer."""

    due: dict[bytes, float] = field(default_factory=dict)  # transfer -> when it had to be sent
    refused: list[str] = field(default_factory=list)
    final_at: dict[int, float] = field(default_factory=dict)  # height -> when it was first seen final
    late: float = 0.0  # the most that a request was sent after it was due
    cpu: float = 0.0  # seconds that sending and watching took


@dataclass(frozen=True, slots=True)
class Batch:
    """A request of many transfers, and when it has to be sent."""

    due: float
    transfers: list[bytes]
    body: bytes


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--rate", type=int, default=1_000, help="transfers per second [1000]")
    flags.add_argument("--seconds", type=int, default=30, help="how long they are offered [30]")
    flags.add_argument("--to", type=int, default=4, choices=range(1, 5), help="nodes they are sent to [4]")
    flags.add_argument("--port-base", type=int, default=9500, metavar="PORT", help="first of 12 ports [9500]")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        figures = measure(given, Path(home))
    finish("network_load", figures, given)


def measure(given: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Return the figures of one run."""
    count = given.rate * given.seconds
    senders = [transfers.sender(number) for number in range(SENDERS)]
    state = transfers.genesis(senders, slot_ms=SLOT_MS, validators=NAMES)
    transfers.write(home / SPEC_FILE, transfers.specification(state))
    made = list(transfers.rounds(senders, count, transfers.genesis_hash(state)))
    shares = [list(batches(given, at, made)) for at in range(given.to)]
    network, ports = Network(home), Ports.at(given.port_base, len(NAMES))
    doors = [Door(ports.rpc + at) for at in range(len(NAMES))]
    try:
        for member in members(ports, NAMES, [], home)[: len(NAMES)]:
            network.start(member)
        wait_for_blocks(doors)
        pids = [process.pid for process in network.running.values()]
        before, sent_before, first = cpu(pids), series(ports, BYTES), doors[0].final()[0]
        seen = asyncio.run(offer(ports, shares))
        spent = [late - early for early, late in zip(before, cpu(pids), strict=True)]
        sent = series(ports, BYTES) - sent_before
        memory = [own_mib(pid) for pid in pids]
        return figures_of(given, doors, first, seen) | {
            "cpu_cores_by_node": [round(each / max(seen.final_at.values()), 2) for each in spent],
            "cpu_ms_per_transfer_all_nodes": round(1000 * sum(spent) / count, 2),
            "cpu_ms_per_transfer_of_the_load": round(1000 * seen.cpu / count, 2),
            "bytes_between_nodes_per_transfer": round(sent / count),
            "memory_mib_by_node": [round(each) for each in memory],
        }
    finally:
        network.stop()


def wait_for_blocks(doors: list[Door]) -> None:
    """Wait until all nodes have made some blocks final together."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if min(door.final()[0] for door in doors) >= FIRST_BLOCKS:
                return
        except OSError as problem:
            if time.monotonic() > until:
                raise SystemExit(f"the nodes do not answer: {problem}") from problem
        if time.monotonic() > until:
            raise SystemExit(f"the nodes have made nothing final within {START_SECONDS:.0f} s")
        time.sleep(POLL)


def cpu(pids: list[int]) -> list[float]:
    """Return the CPU seconds of each process."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return [each.user + each.system for each in times]


def series(ports: Ports, wanted: "re.Pattern[str]") -> float:
    """Return the sum of a series over all nodes."""
    total = 0.0
    for at in range(len(NAMES)):
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.metrics + at}/metrics") as page:
            total += sum(float(value) for value in wanted.findall(page.read().decode()))
    return total


def batches(given: argparse.Namespace, at: int, made: list[bytes]) -> Iterator[Batch]:
    """Yield one node's share, a batch every so often; an account keeps to one node."""
    share = [each for number, each in enumerate(made) if number % SENDERS % given.to == at]
    per_tick = given.rate / given.to * TICK
    tick, done = 0, 0
    while done < len(share):
        tick += 1
        upto = min(len(share), round(tick * per_tick))
        if upto > done:
            yield Batch(tick * TICK, share[done:upto], body(share[done:upto]))
        done = upto


async def offer(ports: Ports, shares: list[list[Batch]]) -> Seen:
    """Send everything on time, and watch until it is final."""
    seen, began, cpu_before = Seen(), time.monotonic(), time.process_time()
    watching = asyncio.ensure_future(watch(ports.rpc, began, seen))
    lanes = [await connect(ports.rpc + at) for at in range(len(shares))]
    try:
        await asyncio.gather(*(drive(*each, began, seen) for each in zip(lanes, shares, strict=True)))
        seen.cpu = time.process_time() - cpu_before
        await settle(ports)
        await asyncio.sleep(2 * POLL)
    finally:
        watching.cancel()
    return seen


async def drive(lane: Connection, share: list[Batch], began: float, seen: Seen) -> None:
    """Send one node's share."""
    for batch in share:
        await asyncio.sleep(max(0.0, began + batch.due - time.monotonic()))
        seen.due |= dict.fromkeys(batch.transfers, batch.due)
        seen.late = max(seen.late, time.monotonic() - began - batch.due)
        answer = await lane.ask(batch.body)
        if b'"error"' in answer:
            seen.refused += [json.dumps(each["error"]) for each in json.loads(answer) if "error" in each]


def body(batch: list[bytes]) -> bytes:
    """Return a batch of submissions."""
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": "author_submitExtrinsic", "params": ["0x" + each.hex()]}
        for number, each in enumerate(batch)
    ]
    return json.dumps(requests).encode()


async def watch(port: int, began: float, seen: Seen) -> None:
    """Note when each height is first seen final."""
    lane, last = await connect(port), None
    while True:
        head = await ask(lane, "chain_getHeader", [await ask(lane, "chain_getFinalizedHead", [])])
        number, now = int(head["number"], 16), time.monotonic() - began
        for height in range(number if last is None else last + 1, number + 1):
            seen.final_at[height] = now
        last = number
        await asyncio.sleep(POLL)


async def ask(lane: Connection, method: str, params: list[object]) -> Any:
    """Return the result of a call."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.loads(await lane.ask(json.dumps(request).encode()))["result"]


async def settle(ports: Ports) -> None:
    """Wait until no node has a transaction left and what they have included is final."""
    door, until = Door(ports.rpc), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        if not await asyncio.to_thread(series, ports, WAITING):
            best = await asyncio.to_thread(door.height)
            if (await asyncio.to_thread(door.final))[0] >= best:
                return
        await asyncio.sleep(SETTLE_PAUSE)


def figures_of(given: argparse.Namespace, doors: list[Door], first: int, seen: Seen) -> dict[str, Any]:
    """Return what the chain says of the run."""
    last = max(seen.final_at)
    blocks = doors[0].many("chain_getBlock", [[each] for each in doors[0].hashes(first + 1, last)])
    waits, sizes, by_time = [], [], []
    for height, found in enumerate(blocks, first + 1):
        inside = [bytes.fromhex(each[2:]) for each in found["block"]["extrinsics"]]
        ours = [seen.due[each] for each in inside if each in seen.due]
        at = seen.final_at.get(height, seen.final_at[min(seen.final_at)])
        waits += [at - due for due in ours]
        sizes.append(len(ours))
        by_time += [at] * len(ours)
    waits.sort()
    heads = {door.hashes(last, last)[0] for door in doors}
    slots = doors[0].slots(first, last)
    steady = [at for at in by_time if at <= given.seconds]
    return {
        "offered_per_second": given.rate,
        "seconds": given.seconds,
        "sent_to_nodes": given.to,
        "offered": len(seen.due),
        "refused": len(seen.refused),
        "refusals": seen.refused[:3],
        "final": len(waits),
        "final_per_second_while_offered": round(len(steady) / given.seconds),
        "final_per_second_until_the_last": round(len(waits) / max(by_time)),
        "seconds_until_the_last_was_final": round(max(by_time), 1),
        "latency_to_finality_s": {
            "p50": round(waits[len(waits) // 2], 2),
            "p99": round(waits[len(waits) * 99 // 100], 2),
            "most": round(waits[-1], 2),
        },
        "largest_block": max(sizes),
        "slots": len(slots) + missed(slots),
        "slots_missed": missed(slots),
        "sent_late_by_at_most_s": round(seen.late, 2),
        "one_chain": len(heads) == 1,
    }


if __name__ == "__main__":
    main()
