"""Reads per second of a node's RPC: headers and storage, over HTTP and pipelined WebSocket, anvil beside it.

    python -m bench.reads [--requests 20000] [--no-peer] [--json FILE]

The same load generator asks both servers on the same cores: HTTP with 16 connections, each waiting for its
answer; one WebSocket with up to 256 questions under way.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from bench import transfers
from bench.load import Plan
from bench.peers import Running, anvil, anvil_program, cores, load, node
from bench.record import finish, parser
from runtime.frame.state import Overlay
from runtime.frame.testing import MemoryState
from runtime.primitives.types import AccountId
from runtime.runtime import AssayRuntime

SLOT_SECONDS = 2
HTTP, WEBSOCKET = "http", "websocket"


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--requests", type=int, default=20_000, metavar="COUNT", help="in each run [20000]")
    flags.add_argument("--no-peer", action="store_true", help="leave anvil out")
    given = flags.parse_args()
    finish("reads", measure(given.requests, with_peer=not given.no_peer), given)


def measure(count: int, *, with_peer: bool) -> dict[str, Any]:
    """Return the figures of all runs."""
    figures: dict[str, Any] = {"requests": count, "cores": cores()}
    sender = transfers.sender(0)
    state = transfers.genesis([sender])
    runtime = AssayRuntime(Overlay(MemoryState(state)))
    key = runtime.system.account.raw_key(AccountId(sender.public))
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        spec = transfers.write(Path(home) / "spec.json", transfers.specification(state))
        with node(Path(home) / "node", spec) as server:
            for name, method, params in (
                ("header", "chain_getHeader", []),
                ("storage", "state_getStorage", ["0x" + key.hex()]),
            ):
                figures |= asked("assay", server, Path(home), name, count, method, params)
        program = anvil_program() if with_peer else None
        if program is None:
            figures["anvil"] = "left out" if not with_peer else "does not install from npm here"
            return figures
        with anvil(program, SLOT_SECONDS) as server:
            figures |= asked(
                "anvil", server, Path(home), "header", count, "eth_getBlockByNumber", ["latest", False]
            )
    return figures


def asked(
    peer: str, server: Running, home: Path, name: str, count: int, method: str, params: list[Any]
) -> dict[str, Any]:
    """Return the figures of one question over both transports."""
    requests = home / f"{peer}.{name}"
    line = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    requests.write_text((json.dumps(line) + "\n") * count)
    figures = {}
    for transport in (HTTP, WEBSOCKET):
        before = server.cpu_seconds()
        seen = load(Plan(peer, server.port, str(requests), 1, transport=transport, reads=True))
        spent = server.cpu_seconds() - before
        assert not seen["refused"], seen["refusals"]
        figures[f"{peer}_{name}_{transport}_per_second"] = round(count / seen["submit_seconds"])
        figures[f"{peer}_{name}_{transport}_cpu_us"] = round(1e6 * spent / count, 1)
    return figures


if __name__ == "__main__":
    main()
