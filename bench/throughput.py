"""From submission into sealed blocks: transfers per second through a node's RPC, anvil beside it.

    python -m bench.throughput [--transfers 20000] [--no-peer] [--json FILE]

Both get transfers signed beforehand, one a request and a hundred a request, from the same load generator on
the same cores, and blocks every two seconds. Seconds count from the first request until the block that holds
the last transfer is seen.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import transfers
from bench.load import Plan
from bench.peers import Running, address, anvil, anvil_program, cores, eth_key, eth_transfer, fund, load, node
from bench.record import finish, parser

SLOT_SECONDS = 2
SENDERS = 1_600
"""a hundred for each connection, so that an account keeps to one"""
BATCH = 100


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--transfers", type=int, default=20_000, metavar="COUNT", help="in each run [20000]")
    flags.add_argument("--no-peer", action="store_true", help="leave anvil out")
    given = flags.parse_args()
    finish("throughput", measure(given.transfers, with_peer=not given.no_peer), given)


def measure(count: int, *, with_peer: bool) -> dict[str, Any]:
    """Return the figures of all runs."""
    figures: dict[str, Any] = {
        "transfers": count,
        "cores": cores(),
        "slot_s": SLOT_SECONDS,
        "blocks": "as roomy as the program allows: the development chain's weights end a block at 1,000",
    }
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        for name, per_request in (("single", 1), ("batched", BATCH)):
            figures[f"assay_{name}"] = assay_run(Path(home), name, count, per_request)
        program = anvil_program() if with_peer else None
        if program is None:
            figures["anvil"] = "left out" if not with_peer else "does not install from npm here"
            return figures
        for name, per_request in (("single", 1), ("batched", BATCH)):
            figures[f"anvil_{name}"] = anvil_run(Path(home), program, name, count, per_request)
            ours, theirs = figures[f"assay_{name}"], figures[f"anvil_{name}"]
            figures[f"ratio_{name}"] = round(ours["transfers_per_second"] / theirs["transfers_per_second"], 2)
    return figures


def assay_run(home: Path, name: str, count: int, per_request: int) -> dict[str, Any]:
    """Load our node."""
    senders = [transfers.sender(number) for number in range(min(SENDERS, count))]
    state = transfers.genesis(senders, slot_ms=SLOT_SECONDS * 1000)
    made = transfers.rounds(senders, count, transfers.genesis_hash(state))
    requests = write(home / f"{name}.assay", "author_submitExtrinsic", made, per_request)
    spec = transfers.write(home / f"{name}.json", transfers.specification(state))
    with node(home / name, spec) as server:
        return loaded(server, Plan("assay", server.port, str(requests), per_request))


def anvil_run(home: Path, program: Path, name: str, count: int, per_request: int) -> dict[str, Any]:
    """Load anvil."""
    senders = [eth_key(number) for number in range(min(SENDERS, count))]
    to = [address(each) for each in senders]

    def made() -> Iterator[bytes]:
        for number in range(count):
            at = number % len(senders)
            yield eth_transfer(senders[at], number // len(senders), to[(at + 1) % len(senders)])

    requests = write(home / f"{name}.anvil", "eth_sendRawTransaction", made(), per_request)
    with anvil(program, SLOT_SECONDS) as server:
        fund(server, senders)
        return loaded(server, Plan("anvil", server.port, str(requests), per_request))


def write(path: Path, method: str, made: Iterator[bytes], per_request: int) -> Path:
    """Write the requests, one a line."""
    request: Callable[[int, bytes], dict[str, object]] = lambda number, extrinsic: {  # noqa: E731
        "jsonrpc": "2.0", "id": number, "method": method, "params": ["0x" + extrinsic.hex()],
    }  # fmt: skip
    requests = [request(number, extrinsic) for number, extrinsic in enumerate(made)]
    lines = [requests[at : at + per_request] for at in range(0, len(requests), per_request)]
    path.write_text("".join(json.dumps(line[0] if per_request == 1 else line) + "\n" for line in lines))
    return path


def loaded(server: Running, plan: Plan) -> dict[str, Any]:
    """Return the figures of one run."""
    before = server.cpu_seconds()
    seen = load(plan)
    spent = server.cpu_seconds() - before
    return {
        "transfers_per_second": round(seen["included"] / seen["seconds"]),
        "accepted_per_second": round(seen["included"] / seen["submit_seconds"]),
        "included": seen["included"],
        "refused": seen["refused"],
        "refusals": seen["refusals"],
        "cpu_us_per_transfer": round(1e6 * spent / seen["included"]),
        "largest_block": max(count for _, count in seen["blocks"]),
        "blocks": seen["blocks"],
    }


if __name__ == "__main__":
    main()
