"""What subnets cost a block: 100 of them with 256 neurons each, 64 of whom judge. RocksDB, one core.

    python -m bench.subnets [--subnets 100] [--neurons 256] [--judges 64] [--tempo 120] [--json FILE]

Blocks carry no transactions: what is measured is what the chain does by itself, hooks and state root, as an
author does it. Every judge scores every miner. One tempo passes before anything is measured, so that bonds
are there. `spread` is how epochs lie by themselves, each subnet in a block of its own; `at_once` has netuids
that make all of them due in one block, the worst there is; `one_subnet` is the same chain with a single
subnet, the baseline of the same run. CPU time of the one thread that works.
"""

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.record import finish, parser
from chain.storage.store import ChainStore
from runtime.genesis import genesis_state
from runtime.pallets.incentive.messages import EpochRun
from runtime.pallets.weights import Weights
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import AccountId
from runtime.runtime import EXECUTIVE, AssayRuntime

ASY = 10**12
"""planck"""
SLOT_MS = 6_000
FIRST_SLOT = 1_000


@dataclass(frozen=True)
class World:
    """How many subnets, of which size."""

    netuids: Sequence[int]
    neurons: int
    judges: int
    tempo: int


@dataclass(frozen=True)
class Block:
    """What a block took, in ms, and how many epochs ran in it."""

    hooks_ms: float
    root_ms: float
    epochs: int

    @property
    def ms(self) -> float:
        """All of it."""
        return self.hooks_ms + self.root_ms


def account(number: int) -> AccountId:
    """Return an account nobody needs the key of."""
    return AccountId(blake2_256(number.to_bytes(4, "big")))


def hexed(who: bytes) -> str:
    """Return an account as a chain specification writes it."""
    return "0x" + who.hex()


def genesis(world: World) -> dict[str, Any]:
    """Return a chain on which the same people work in every subnet."""
    people = [hexed(account(number)) for number in range(world.neurons)]
    numbers = {
        "tempo": world.tempo, "max_uids": world.neurons, "max_permits": world.judges, "uid_bond": 0,
        "commit_reveal": 0, "freeze_window": 1,
    }  # fmt: skip
    section = {"kind": "Inference", "owner": people[0], "hyperparameters": numbers}
    return {
        "constants": {"Babe": {"EpochDuration": 10**6, "ExpectedBlockTime": SLOT_MS}},
        "balances": {"balances": [[who, 10**6 * ASY] for who in people]},
        "session": {"keys": [[people[0], {"babe": people[0], "grandpa": people[0]}]]},
        "staking": {"stakers": [[who, (1_000 + at) * ASY] for at, who in enumerate(people[: world.judges])]},
        "subnets": {netuid: section for netuid in world.netuids},
        "neurons": {netuid: [{"hotkey": who, "coldkey": who} for who in people] for netuid in world.netuids},
        "incentive": {netuid: list(range(world.judges)) for netuid in world.netuids},
    }


class Chain:
    """A chain on disk whose blocks carry the time and nothing else."""

    def __init__(self, world: World, path: Path) -> None:
        self.world = world
        state = genesis_state(genesis(world), "bench")
        self.store = ChainStore.open(path, state)
        self.slot = FIRST_SLOT

    def block(self, *, judging: bool = False) -> Block:
        """Add a block, and make it final; with `judging`, every judge scores every miner in all subnets."""
        state, above = self.store.state_at(self.store.best), self._head()
        self.slot += 1
        digest = Digest([pre_digest_item(SecondaryPlain(0, self.slot))])
        began = time.thread_time()
        execution = EXECUTIVE.open(state, above.number + 1, above.hash(), digest)
        body = execution.inherents({"timestamp": self.slot * SLOT_MS})
        for each in body:
            assert execution.apply(each) is None
        hooked = time.thread_time()
        if judging:
            assert isinstance(execution.runtime, AssayRuntime), "it has subnets"
            self._judge(execution.runtime.weights, above.number + 1)
        executed = execution.finish()
        done = time.thread_time()
        self.store.import_block(executed.header, body, executed.changes, best=True)
        self.store.finalize(executed.header.hash(), None)
        events = AssayRuntime.reading(self.store.state_at(self.store.best)).system.events.get()
        epochs = [record.event for record in events if isinstance(record.event, EpochRun)]
        assert all(epoch.paid >= epoch.emission * 999 // 1_000 for epoch in epochs), "an epoch paid nobody"
        return Block(1e3 * (hooked - began), 1e3 * (done - hooked), len(epochs))

    def _judge(self, weights: Weights, now: int) -> None:
        world = self.world
        miners = range(world.judges, world.neurons)
        for judge in range(world.judges):
            row = [(miner, 1 + blake2_256(bytes([judge % 7, miner % 256]))[0]) for miner in miners]
            for netuid in world.netuids:
                weights.put_row(netuid, judge, row, now)

    def _head(self) -> Header:
        header = self.store.header(self.store.best)
        assert header is not None, "the best block is stored"
        return header


def measured(world: World) -> dict[str, Any]:
    """Let two tempos pass and measure the second."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as directory:
        chain = Chain(world, Path(directory) / "db")
        run_epochs(chain)
        return figures(run_epochs(chain))


def run_epochs(chain: Chain) -> list[Block]:
    """Let the judges judge, then add blocks for a tempo: every subnet has its epoch."""
    chain.block(judging=True)
    blocks = [chain.block() for _ in range(chain.world.tempo - 1)]
    assert sum(block.epochs for block in blocks) == len(chain.world.netuids)
    return blocks


def figures(blocks: list[Block]) -> dict[str, Any]:
    """Return what the blocks with so many epochs took."""
    found: dict[str, Any] = {"blocks": len(blocks), "most_epochs": max(block.epochs for block in blocks)}
    for epochs in sorted({block.epochs for block in blocks}):
        chosen = [block for block in blocks if block.epochs == epochs]
        found[f"{epochs}_epochs"] = {
            "blocks": len(chosen),
            "median_ms": middle(block.ms for block in chosen),
            "median_root_ms": middle(block.root_ms for block in chosen),
            "largest_ms": round(max(block.ms for block in chosen), 1),
        }
    return found


def middle(values: Iterable[float]) -> float:
    """Return the median, short enough to read."""
    return round(median(values), 2)


def main() -> None:
    """Measure the three chains and report."""
    flags = parser(__doc__)
    flags.add_argument("--subnets", type=int, default=100, help="[100]")
    flags.add_argument("--neurons", type=int, default=256, help="in each subnet [256]")
    flags.add_argument("--judges", type=int, default=64, help="of the neurons [64]")
    flags.add_argument("--tempo", type=int, default=120, help="blocks, more than there are subnets [120]")
    given = flags.parse_args()
    sizes = given.neurons, given.judges, given.tempo
    worlds = {
        "one_subnet": World([1], *sizes),
        "spread": World(range(1, given.subnets + 1), *sizes),
        "at_once": World(range(given.tempo // 2, given.subnets * given.tempo, given.tempo), *sizes),
    }
    results = {name: measured(world) for name, world in worlds.items()}
    idle = [results[name]["0_epochs"]["median_ms"] for name in ("one_subnet", "spread")]
    finish(
        "subnets",
        {
            "subnets": given.subnets, "neurons": given.neurons, "judges": given.judges,
            "tempo": given.tempo, "slot_ms": SLOT_MS,
            "idle_block_against_one_subnet": round(idle[1] / idle[0], 2),
            **results,
        },
        given,
    )  # fmt: skip


if __name__ == "__main__":
    main()
