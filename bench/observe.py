"""Looking at running nodes from outside: their RPC, the slots their blocks have, the memory of processes."""

import json
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.primitives.babe import PRE_DIGEST
from runtime.primitives.header import DigestItem, PreRuntime
from runtime.primitives.scale import codec

LOG = codec(DigestItem)
PATIENCE = 20.0
"""seconds for an answer"""
BATCH = 100
"""questions in one request; a node's limit"""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Door:
    """A node's JSON-RPC over HTTP."""

    port: int

    def call(self, method: str, *params: object) -> Any:
        """Return a result.

        Raises: OSError; RefusedError when the node refuses.
        """
        return _result(self._post(_request(0, method, params)))

    def many(self, method: str, calls: Iterable[Sequence[object]]) -> list[Any]:
        """Return the results of one method for each list of parameters, in their order.

        Raises: OSError; RefusedError when the node refuses one.
        """
        requests = [_request(at, method, params) for at, params in enumerate(calls)]
        found: list[Any] = []
        for at in range(0, len(requests), BATCH):
            answers = self._post(requests[at : at + BATCH])
            found += [_result(each) for each in sorted(answers, key=lambda one: int(one["id"]))]
        return found

    def height(self, block: str | None = None) -> int:
        """Return the number of a block, of the best one by default."""
        return int(self.call("chain_getHeader", *([] if block is None else [block]))["number"], 16)

    def final(self) -> tuple[int, str]:
        """Return number and hash of the last final block."""
        block = self.call("chain_getFinalizedHead")
        return self.height(block), block

    def hashes(self, first: int, last: int) -> list[str]:
        """Return the hashes of the best chain at these heights."""
        return self.many("chain_getBlockHash", [[number] for number in range(first, last + 1)])

    def slots(self, first: int, last: int) -> list[int]:
        """Return the slots of the blocks at these heights."""
        headers = self.many("chain_getHeader", [[block] for block in self.hashes(first, last)])
        return [slot_of(header) for header in headers]

    def _post(self, body: object) -> Any:
        made = urllib.request.Request(
            f"http://127.0.0.1:{self.port}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(made, timeout=PATIENCE) as answer:
            return json.load(answer)


class RefusedError(Exception):
    """The node answered with an error."""


def _request(number: int, method: str, params: Sequence[object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise RefusedError(json.dumps(answer["error"]))
    return answer["result"]


def slot_of(header: dict[str, Any]) -> int:
    """Return the slot of a header as RPC shows it."""
    logs = [LOG.decode(bytes.fromhex(log[2:])) for log in header["digest"]["logs"]]
    claim = next(log for log in logs if isinstance(log, PreRuntime))
    return int(PRE_DIGEST.decode(claim._1).slot)


def missed(slots: Sequence[int]) -> int:
    """Return how many slots between the first and the last of a chain's have no block."""
    return slots[-1] - slots[0] + 1 - len(slots) if slots else 0


def own_mib(pid: int) -> float:
    """Return what a process has for itself, and its part of what it shares (PSS), MiB; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line that fits points best, by least squares; 0 of fewer than two."""
    if len(points) < 2:
        return 0.0
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
