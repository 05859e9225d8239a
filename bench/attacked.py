"""What a node pays while it is attacked: slots without a block, and memory.

A slot is missed when no block of the best chain has it, whoever's it was.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.record import resident_mib
from runtime.primitives.babe import PRE_DIGEST
from runtime.primitives.header import DigestItem, PreRuntime
from runtime.primitives.scale import codec
from tests.e2e.process import NodeProcess

RESTING = ("rest", "rest_after")
"""phases without an attack"""
_LOG = codec(DigestItem)


class Toll:
    """What the time between its making and `figures` has cost a node."""

    def __init__(self, node: NodeProcess, slot_ms: int) -> None:
        self._node = node
        self._slot_ms = slot_ms
        self._began = time.time()
        self._before = resident_mib(node.pid)
        Path(f"/proc/{node.pid}/clear_refs").write_text("5")  # the kernel's peak counts from here

    def figures(self) -> dict[str, Any]:
        """Return how long it was, the slots, and the memory before, at most and after."""
        ended = time.time()
        peak, after = resident_mib(self._node.pid, peak=True), resident_mib(self._node.pid)
        slots, missed = self._slots(ended)
        return {
            "seconds": round(ended - self._began, 1),
            "slots": slots,
            "missed": missed,
            "rss_before_mib": self._before,
            "rss_peak_mib": peak,
            "rss_after_mib": after,
        }

    def _slots(self, ended: float) -> tuple[int, int]:
        """Return how many slots there were, and how many have no block."""
        due = range(self._slot(self._began) + 1, self._slot(ended))
        time.sleep(2 * self._slot_ms / 1000)  # what is on its way arrives
        found: set[int] = set()
        header = self._node.rpc("chain_getHeader")
        while int(header["number"], 16) and (not found or not due or min(found) > due[0]):
            found.add(_slot_of(header))
            header = self._node.rpc("chain_getHeader", header["parentHash"])
        return len(due), sum(slot not in found for slot in due)

    def _slot(self, seconds: float) -> int:
        return int(seconds * 1000) // self._slot_ms


def _slot_of(header: dict[str, Any]) -> int:
    logs = [_LOG.decode(bytes.fromhex(log[2:])) for log in header["digest"]["logs"]]
    claim = next(log for log in logs if isinstance(log, PreRuntime))
    return int(PRE_DIGEST.decode(claim._1).slot)


def summary(figures: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what all attacks together have cost, beside rest."""
    resting = [figures[name] for name in RESTING]
    attacked = [each for name, each in figures.items() if name not in RESTING]
    return {
        "slots_at_rest": sum(each["slots"] for each in resting),
        "missed_at_rest": sum(each["missed"] for each in resting),
        "slots_attacked": sum(each["slots"] for each in attacked),
        "missed_attacked": sum(each["missed"] for each in attacked),
        "most_growth_mib": max(
            (each["rss_peak_mib"] - each["rss_before_mib"] for each in attacked), default=0
        ),
        "rss_peak_mib": max((each["rss_peak_mib"] for each in attacked), default=0),
    }
