"""How fast the state on disk is: roots of 2,000 changed accounts, their commit, memory. RocksDB, one core.

    python -m bench.state [--keys 10000 100000 1000000] [--json FILE]

Each state is built in one process and measured in another, so that its memory counts nothing else. As in a
block, each account is read before it changes; the root is timed alone, in CPU time of the one thread that
works, so that other programs on the machine matter little. The baseline of the same run builds the same root
from all pairs of the state, which is what a node without stored branches does for each block.
"""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.record import finish, parser, resident_mib
from chain.storage.store import ChainStore
from runtime.frame.state import Changes
from runtime.primitives.hashing import blake2_128_concat, blake2_256, twox_128
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import EMPTY_ROOT, ordered_root, trie_root
from runtime.primitives.types import Hash

KEYS = [10_000, 100_000, 1_000_000]
CHANGED = 2_000
HOT_SET = 20_000
"""accounts"""
BUILD_STEP = 250_000
"""accounts per block while a state is built"""
WARM_UP = 15
PASSES = 7
"""blocks that are measured, of each kind"""
EXTRINSICS = 2_000
EXTRINSIC_BYTES = 145
"""a signed transfer"""
GENESIS = {b"bench": b"state"}
ACCOUNTS = twox_128(b"System") + twox_128(b"Account")

T = TypeVar("T")


@dataclass(frozen=True)
class Pass:
    """One block."""

    read_s: float
    root_s: float
    commit_s: float
    """wall clock: it waits for the disk twice"""


def main() -> None:
    """Measure every state."""
    flags = parser(__doc__)
    flags.add_argument(
        "--keys", type=int, nargs="+", default=KEYS, metavar="COUNT", help="sizes of the state"
    )
    given = flags.parse_args()
    states = {str(count): measure_state(count) for count in given.keys}
    figures: dict[str, object] = {"changed_keys": CHANGED, "hot_set": HOT_SET, "states": states}
    items = [random.Random(number).randbytes(EXTRINSIC_BYTES) for number in range(EXTRINSICS)]
    figures["extrinsics_root_us_per_item"] = per_key(timed(lambda: ordered_root(items)), EXTRINSICS)
    finish("state", figures, given)


def measure_state(count: int) -> dict[str, object]:
    """Build a state of so many accounts and measure it."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as directory:
        path = Path(directory) / "db"
        return apart(build, path, count) | apart(measure, path, count)


def apart(work: Callable[[Path, int], T], path: Path, count: int) -> T:
    """Run this in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, path, count).result()


def build(path: Path, count: int) -> dict[str, object]:
    """Write a state of so many accounts; time the root that is made from nothing but its pairs."""
    store = ChainStore.open(path, GENESIS)
    flat: dict[bytes, bytes] = dict(GENESIS)
    began = time.perf_counter()
    for first in range(0, count, BUILD_STEP):
        added: Changes = {
            account(number): balance(number) for number in range(first, min(first + BUILD_STEP, count))
        }
        grow(store, added)
        flat |= {key: value for key, value in added.items() if value is not None}
    built = time.perf_counter() - began
    header = store.header(store.best)
    store.close()
    began = time.thread_time()
    root = trie_root(flat)
    naive = time.thread_time() - began
    assert header is not None, "the best block is stored"
    assert root == header.state_root, "the stored trie and the rebuilt one disagree"
    return {"build_s": round(built, 1), "rebuild_ms": ms(naive), "rebuild_us_per_key": per_key(naive, count)}


def measure(path: Path, count: int) -> dict[str, object]:
    """Change a state block by block."""
    chosen = random.Random(count)
    store = ChainStore.open(path, GENESIS)
    at_rest = resident_mib()
    hot = chosen.sample(range(count), min(HOT_SET, count))
    turns = [hot[first : first + CHANGED] for first in range(0, len(hot), CHANGED)]

    def anywhere() -> Sequence[int]:
        return chosen.sample(range(count), CHANGED)

    cold = [change(store, anywhere(), chosen)]
    spread = [change(store, anywhere(), chosen) for _ in range(WARM_UP + PASSES)][-PASSES:]
    for each in turns:
        change(store, each, chosen)
    warm = [change(store, chosen.sample(hot, CHANGED), chosen) for _ in range(PASSES)]
    fresh = [
        change(store, range(count + CHANGED * step, count + CHANGED * (step + 1)), chosen)
        for step in range(PASSES)
    ]
    used = resident_mib()
    store.close()
    figures: dict[str, object] = {}
    for name, passes in {"cold": cold, "random": spread, "hot": warm, "inserts": fresh}.items():
        figures[f"{name}_root_ms"] = ms(median(each.root_s for each in passes))
        figures[f"{name}_root_us_per_key"] = per_key(median(each.root_s for each in passes), CHANGED)
        figures[f"{name}_read_ms"] = ms(median(each.read_s for each in passes))
        figures[f"{name}_commit_ms"] = ms(median(each.commit_s for each in passes))
    return figures | {"resident_mib_open": at_rest, "resident_mib_used": used}


def change(store: ChainStore, accounts: Sequence[int], chosen: random.Random) -> Pass:
    """Read these accounts, change them in a block, make it final."""
    state = store.state_at(store.best)
    changes: Changes = {account(number): chosen.randbytes(80) for number in accounts}
    began = time.thread_time()
    for key in changes:
        state.get(key)
    read = time.thread_time()
    state.root(changes)
    rooted = time.thread_time()
    start = time.perf_counter()
    grow(store, changes)
    return Pass(read - began, rooted - read, time.perf_counter() - start)


def grow(store: ChainStore, changes: Changes) -> None:
    """Add a final block with these changes."""
    above = store.header(store.best)
    assert above is not None, "the best block is stored"
    root = store.state_at(store.best).root(changes)
    header = Header(Hash(above.hash()), above.number + 1, root, EMPTY_ROOT, Digest([]))
    store.import_block(header, [], changes, best=True)
    store.finalize(header.hash(), None)


def account(number: int) -> bytes:
    """Return the key of an account."""
    return ACCOUNTS + blake2_128_concat(blake2_256(number.to_bytes(8, "little")))


def balance(number: int) -> bytes:
    """Return a value as long as an account's."""
    return number.to_bytes(80, "little")


def timed(work: Callable[[], object]) -> float:
    """Return the median CPU seconds of a call."""
    passes = []
    for _ in range(PASSES):
        began = time.thread_time()
        work()
        passes.append(time.thread_time() - began)
    return median(passes)


def ms(seconds: float) -> float:
    """Return milliseconds, short enough to read."""
    return round(1e3 * seconds, 1)


def per_key(seconds: float, count: int) -> float:
    """Return microseconds for each of so many."""
    return round(1e6 * seconds / count, 1)


if __name__ == "__main__":
    main()
