"""How fast blocks from elsewhere are imported: verified, executed, written and synced, one process.

    python -m bench.imports [--blocks 10] [--transfers 2000] [--empty 10000] [--json FILE]

A chain is built first, in a store of its own; then another store imports it through the one door for blocks,
knowing none of its signatures. Times are CPU time of the importing thread, and wall time beside it: a machine
that others use too stretches the second.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import transfers
from bench.peers import cores
from bench.record import finish, parser
from bench.transfers import Slot
from chain.common.notifications import Notifications
from chain.executor import Executor
from chain.signatures import Signatures
from chain.storage.db import RocksDatabase
from chain.storage.state import StateAt
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.frame.extrinsic import Format
from runtime.primitives import crypto
from runtime.primitives.header import Header
from runtime.runtime import EXECUTIVE

SLOT_MS = 2_000
FIRST_SLOT = 900_000_000
SENDERS = 2_000
PATIENCE = 30.0
"""seconds a worker may take to start"""
FINALISED = 16
"""blocks between two finalisations: what a node that catches up is told of at once"""

Block = tuple[Header, list[bytes]]


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--blocks", type=int, default=10, metavar="COUNT", help="full blocks [10]")
    flags.add_argument("--transfers", type=int, default=2_000, metavar="COUNT", help="in each [2000]")
    flags.add_argument("--empty", type=int, default=10_000, metavar="COUNT", help="empty blocks [10000]")
    given = flags.parse_args()
    finish("imports", measure(given.blocks, given.transfers, given.empty), given)


def measure(blocks: int, per_block: int, empty: int) -> dict[str, Any]:
    """Return the figures of full and of empty blocks."""
    figures: dict[str, Any] = {"cores": cores(), "blocks": blocks, "transfers_per_block": per_block}
    senders = [transfers.sender(number) for number in range(min(SENDERS, per_block))]
    state = transfers.genesis(senders, slot_ms=SLOT_MS)
    pending = transfers.rounds(senders, blocks * per_block, transfers.genesis_hash(state))
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        full = grow(Path(home) / "full", state, blocks, lambda: [next(pending) for _ in range(per_block)])
        figures |= imported_full(Path(home) / "full-import", state, full)
        bare = transfers.genesis([], slot_ms=SLOT_MS)
        hollow = grow(Path(home) / "empty", bare, empty, list)
        figures |= imported_empty(Path(home) / "empty-import", bare, hollow)
    return figures


class Clock:
    """Shows the slot of the newest block."""

    def __init__(self, blocks: int) -> None:
        self._ms = (FIRST_SLOT + blocks) * SLOT_MS

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self._ms

    def monotonic(self) -> float:
        """Return seconds."""
        return self._ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Nobody sleeps here."""


def grow(path: Path, state: dict[bytes, bytes], count: int, bodies: Callable[[], list[bytes]]) -> list[Block]:
    """Build a chain, a block in every slot."""
    store, executor, made = ChainStore.open(path, state), Executor(), []
    for number in range(count):
        parent = store.header(store.best)
        assert parent is not None, "the best block is stored"
        at = store.state_at(store.best)
        slot = FIRST_SLOT + number
        epoch = executor.epoch(at, parent.number, slot)
        header, body, changes = transfers.build(at, parent, Slot.of(slot, SLOT_MS, epoch), bodies())
        store.import_block(header, body, changes, best=True)
        made.append((header, body))
        if header.number % FINALISED == 0:
            store.finalize(header.hash(), None)
    store.close()
    return made


@dataclass
class Spent:
    """CPU and wall seconds."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens meanwhile."""
        cpu, wall = time.thread_time(), time.perf_counter()
        yield
        self.cpu += time.thread_time() - cpu
        self.wall += time.perf_counter() - wall


@contextmanager
def watched(owner: type, name: str, spent: Spent) -> Iterator[None]:
    """Count what a method takes."""
    original = getattr(owner, name)

    def timed(self: Any, *arguments: Any) -> Any:
        with spent.counting():
            return original(self, *arguments)

    setattr(owner, name, timed)
    yield
    setattr(owner, name, original)


def run(
    path: Path, state: dict[bytes, bytes], blocks: list[Block], signatures: Signatures
) -> tuple[Spent, Spent]:
    """Import a chain; return what imports and what finalisations took."""
    store = ChainStore.open(path, state)
    executor = Executor(signatures)
    importer = Importer(store, executor, Notifications(), Clock(len(blocks)))
    importing, finalising = Spent(), Spent()
    EXECUTIVE.format.forget()  # they were built in this very process
    for header, body in blocks:
        with importing.counting():
            importer.import_foreign(header, body)
        if header.number % FINALISED == 0:
            with finalising.counting():
                store.finalize(header.hash(), None)
    assert store.best == blocks[-1][0].hash(), "the chain was not imported"
    store.close()
    return importing, finalising


def imported_full(path: Path, state: dict[bytes, bytes], blocks: list[Block]) -> dict[str, Any]:
    """Return what full blocks cost, and where the time goes (in a second pass, which measuring slows)."""
    importing, finalising = run(path, state, blocks, Signatures())
    helped = with_a_worker(path.with_name("worker"), state, blocks)
    count = sum(len(body) - 1 for _, body in blocks)
    stages = {name: Spent() for name in ("signatures", "decoding", "state root", "synced write")}

    def verify(signature: crypto.MultiSignature, message: bytes, signer: Any) -> bool:
        with stages["signatures"].counting():
            return crypto.verify(signature, message, signer)

    with ExitStack() as watching:
        for owner, name, stage in (
            (Format, "read", "decoding"),
            (StateAt, "root", "state root"),
            (RocksDatabase, "write", "synced write"),
        ):
            watching.enter_context(watched(owner, name, stages[stage]))
        again, _ = run(path.with_name("stages"), state, blocks, Signatures(verify=verify))
    parts = {name: spent.cpu for name, spent in stages.items()}
    parts["execution and the rest"] = again.cpu - sum(parts.values())
    return {
        "transfers_per_second_cpu": round(count / importing.cpu),
        "transfers_per_second_wall": round(count / importing.wall),
        "transfers_per_second_wall_with_a_worker": round(count / helped.wall),
        "cpu_us_per_transfer": round(1e6 * importing.cpu / count, 1),
        "finalise_cpu_us_per_transfer": round(1e6 * finalising.cpu / count, 1),
        "stages_cpu_us_per_transfer": {name: round(1e6 * cpu / count, 1) for name, cpu in parts.items()},
    }


def with_a_worker(path: Path, state: dict[bytes, bytes], blocks: list[Block]) -> Spent:
    """Return what importing takes with one process more for the signatures (--signature-workers 1)."""
    signatures = Signatures(1)
    signatures.wait(PATIENCE)
    try:
        return run(path, state, blocks, signatures)[0]
    finally:
        signatures.close()


def imported_empty(path: Path, state: dict[bytes, bytes], blocks: list[Block]) -> dict[str, Any]:
    """Return what empty blocks cost, finality included."""
    importing, finalising = run(path, state, blocks, Signatures())
    return {
        "empty_blocks": len(blocks),
        "empty_blocks_seconds_cpu": round(importing.cpu + finalising.cpu, 2),
        "empty_blocks_seconds_wall": round(importing.wall + finalising.wall, 2),
        "empty_block_cpu_ms": round(1e3 * (importing.cpu + finalising.cpu) / len(blocks), 2),
    }


if __name__ == "__main__":
    main()
