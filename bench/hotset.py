"""Whether a transfer costs more on a large state: hot accounts and random ones, on states of three sizes.

    python -m bench.hotset [--accounts 10000,100000,1000000] [--hot 20000] [--json FILE]

Blocks of transfers are executed on the best state, their root computed and the block stored and finalised,
on RocksDB. Senders and receivers are drawn from the hot accounts, or from all. Signatures are left out: they
cost the same everywhere. CPU time of the one thread.
"""

import random
import tempfile
from pathlib import Path
from typing import Any

from bench import transfers
from bench.imports import FIRST_SLOT, SLOT_MS, Spent, watched
from bench.record import finish, parser
from bench.transfers import Slot
from chain.executor import Executor
from chain.storage.state import StateAt
from chain.storage.store import ChainStore
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.types import AccountId
from runtime.runtime import EXECUTIVE, AssayRuntime

SIGNATURE = Sr25519(bytes(64))
"""stands for one that was verified before"""
WARM_BLOCKS = 2
"""blocks before those that count"""


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--accounts", default="10000,100000,1000000", metavar="COUNTS", help="sizes of state")
    flags.add_argument("--hot", type=int, default=20_000, metavar="COUNT", help="hot accounts [20000]")
    flags.add_argument("--transfers", type=int, default=2_000, metavar="COUNT", help="in a block [2000]")
    flags.add_argument("--blocks", type=int, default=8, metavar="COUNT", help="that count [8]")
    given = flags.parse_args()
    sizes = [int(each) for each in given.accounts.split(",")]
    finish("hotset", measure(sizes, given.hot, given.transfers, given.blocks), given)


def measure(sizes: list[int], hot: int, per_block: int, blocks: int) -> dict[str, Any]:
    """Return what a transfer costs on each state, and how far the costs are apart."""
    costs: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        for accounts in sizes:
            path = Path(home) / str(accounts)
            store = ChainStore.open(path, transfers.genesis([], others=accounts, slot_ms=SLOT_MS))
            found: dict[str, float] = {}
            for name, drawn in (("hot", min(hot, accounts)), ("random", accounts)):
                found |= cost(store, name, drawn, per_block, blocks)
            costs[str(accounts)] = found
            store.close()
    smallest = costs[str(sizes[0])]
    return {
        "hot_accounts": hot,
        "transfers_per_block": per_block,
        "cpu_us_per_transfer": costs,
        "hot_ratio": round(max(each["hot"] for each in costs.values()) / smallest["hot"], 2),
        "random_ratio": round(max(each["random"] for each in costs.values()) / smallest["random"], 2),
    }


def cost(store: ChainStore, name: str, drawn: int, per_block: int, blocks: int) -> dict[str, float]:
    """Return microseconds per transfer between accounts drawn from so many, and the root's share."""
    chosen, nonces = random.Random(drawn), dict[AccountId, int]()
    spent, root = Spent(), Spent()
    for number in range(WARM_BLOCKS + blocks):
        body = [unsigned(store, chosen, drawn, nonces) for _ in range(per_block)]
        if number < WARM_BLOCKS:
            block(store, body)
            continue
        with watched(StateAt, "root", root), spent.counting():
            block(store, body)
    count = per_block * blocks
    return {
        name: round(1e6 * spent.cpu / count, 1),
        f"{name}_root": round(1e6 * root.cpu / count, 1),
    }


def block(store: ChainStore, body: list[bytes]) -> None:
    """Build, store and finalise a block."""
    parent = store.header(store.best)
    assert parent is not None, "the best block is stored"
    at, slot = store.state_at(store.best), FIRST_SLOT + parent.number
    epoch = Executor().epoch(at, parent.number, slot)
    made = transfers.build(at, parent, Slot.of(slot, SLOT_MS, epoch), body, lambda *claim: True)
    store.import_block(*made, best=True)
    store.finalize(made[0].hash(), None)


def unsigned(store: ChainStore, chosen: random.Random, drawn: int, nonces: dict[AccountId, int]) -> bytes:
    """Return a transfer between two drawn accounts, with a signature that says nothing."""
    sender, receiver = (transfers.account(chosen.randrange(drawn)) for _ in range(2))
    if sender not in nonces:
        runtime = AssayRuntime.reading(store.state_at(store.best))
        nonces[sender] = runtime.system.account[sender].nonce
    call = AssayRuntime.call("Balances", "transfer_keep_alive", receiver, transfers.ONE_ASY)
    extra = ((), (), (), (), IMMORTAL, nonces[sender], (), 0, MetadataHashMode.Disabled, ())
    nonces[sender] += 1
    return EXECUTIVE.format.signed(call, sender, SIGNATURE, extra)


if __name__ == "__main__":
    main()
