"""What it costs to give a state away and to restore it, beside reading the database plainly: CPU time.

    python -m bench.state_sync --accounts 10000 100000

One database with so many accounts is read from its first key to its last, plainly and in proven ranges; the
ranges are then restored into another database by a process of its own, with memory of its own. The plain read
is the floor of everything here: the ratios say how many times as long the rest takes.
"""

import argparse
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.record import finish, parser, resident_mib
from chain.common.state_data import MAX_RANGE, StateRange, entry_size
from chain.storage.range_proof import verify_range
from chain.storage.state import StateAt
from chain.storage.store import ChainStore
from runtime.primitives.hashing import blake2_128, twox_128
from runtime.primitives.header import Digest, Header, decode_header
from runtime.primitives.scale import codec
from runtime.primitives.types import ZERO_HASH, Hash

RANGE = codec(StateRange)
OTHERS = 2_000
"""keys of other pallets beside the accounts"""
SOURCE = {b"source": b"1"}
"""the genesis state of both chains"""


def state_of(accounts: int) -> dict[bytes, bytes]:
    """Return the pairs of a state with so many accounts, as a chain keeps them."""
    rng = random.Random(accounts)
    prefix = twox_128(b"System") + twox_128(b"Account")
    state = {}
    for _ in range(accounts):
        account = rng.randbytes(32)
        state[prefix + blake2_128(account) + account] = rng.randbytes(80)
    for _ in range(OTHERS):
        state[twox_128(rng.randbytes(1)) + rng.randbytes(24)] = rng.randbytes(rng.choice([4, 16, 32, 100]))
    return state


def source(path: Path, state: dict[bytes, bytes]) -> tuple[ChainStore, StateAt, Header]:
    """Return a database with that state in its first block's place, and a header that has its root."""
    store = ChainStore.open(path, state)
    header = store.header(store.genesis_hash)
    assert header is not None
    return store, store.state_at(store.genesis_hash), Header(
        ZERO_HASH, 1, header.state_root, header.extrinsics_root, Digest([])
    )  # fmt: skip


def plainly(state: StateAt) -> tuple[int, int, float]:
    """Return keys, bytes and seconds of reading everything in order."""
    began, count, size = time.process_time(), 0, 0
    for key in state.keys(b""):
        value = state.get(key)
        assert value is not None
        count, size = count + 1, size + entry_size((key, value))
    return count, size, time.process_time() - began


def in_ranges(state: StateAt, root: Hash, file: Path) -> dict[str, float]:
    """Write all ranges to a file; return the seconds of each part, and the bytes of the proofs."""
    spent = {"prove": 0.0, "encode": 0.0, "verify": 0.0, "proof_bytes": 0.0, "ranges": 0.0}
    start = b""
    with file.open("wb") as output:
        while True:
            moments = [time.process_time()]
            found = state.prove_range(start, MAX_RANGE, None)
            moments.append(time.process_time())
            encoded = RANGE.encode(found)
            moments.append(time.process_time())
            verify_range(root, start, found)
            moments.append(time.process_time())
            for name, since, until in zip(("prove", "encode", "verify"), moments, moments[1:], strict=False):
                spent[name] += until - since
            spent["proof_bytes"] += sum(map(len, found.proof))
            spent["ranges"] += 1
            output.write(len(encoded).to_bytes(4, "little") + encoded)
            if found.is_complete:
                return spent
            start = found.entries[-1][0] + b"\x00"


def ranges(file: Path) -> Iterator[bytes]:
    """Yield the ranges of a file."""
    with file.open("rb") as content:
        while size := content.read(4):
            yield content.read(int.from_bytes(size, "little"))


def restore(file: Path, header: Header, path: Path) -> dict[str, float]:
    """Restore from a file; return the seconds that everything took, and the memory it took more."""
    store = ChainStore.open(path, SOURCE)
    before = peak = resident_mib()
    began, wall, start = time.process_time(), time.perf_counter(), b""
    restoration = store.restore(header)
    for encoded in ranges(file):
        found: StateRange = RANGE.decode(encoded)
        verify_range(header.state_root, start, found)
        until = None if found.is_complete else found.entries[-1][0] + b"\x00"
        restoration.put(start, found.entries, until)
        peak = max(peak, resident_mib())
        start = until or b""
    restored = time.process_time()
    store.finish_restoration(b"proof")
    ended = time.process_time()
    store.close()
    return {
        "restore_s": restored - began,
        "finish_ms": (ended - restored) * 1000,
        "wall_s": time.perf_counter() - wall,
        "mib_more": peak - before,
    }


def apart(file: Path, header: Header, path: Path) -> dict[str, float]:
    """Restore in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "bench.state_sync",
        "--restore",
        str(file),
        header.encode().hex(),
        str(path),
    ]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def measured(accounts: int, directory: Path) -> dict[str, object]:
    """Measure one size of state."""
    store, state, header = source(directory / "source", state_of(accounts))
    plainly(state)
    keys, size, plain = plainly(state)
    file = directory / "ranges"
    spent = in_ranges(state, header.state_root, file)
    store.close()
    restored = apart(file, header, directory / "restored")
    served, mib = spent["prove"] + spent["encode"], size / (1 << 20)
    return {
        "keys": keys,
        "mib": round(mib, 1),
        "plain_keys_per_s": round(keys / plain),
        "serve_keys_per_s": round(keys / served),
        "serve_mib_per_s": round(mib / served, 1),
        "serve_ratio": round(served / plain, 2),
        "prove_us_per_key": round(spent["prove"] / keys * 1e6, 1),
        "verify_us_per_key": round(spent["verify"] / keys * 1e6, 1),
        "restore_keys_per_s": round(keys / restored["restore_s"]),
        "restore_mib_per_s": round(mib / restored["restore_s"], 1),
        "restore_ratio": round(restored["restore_s"] / plain, 2),
        "finish_ms": round(restored["finish_ms"], 1),
        "restore_mib_more": round(restored["mib_more"]),
        "proof_share": round(spent["proof_bytes"] / size, 4),
        "ranges": round(spent["ranges"]),
    }


def main() -> None:
    """Measure and report."""
    logging.disable(logging.CRITICAL)
    if sys.argv[1:2] == ["--restore"]:
        file, header, path = sys.argv[2:]
        print(json.dumps(restore(Path(file), decode_header(bytes.fromhex(header)), Path(path))))
        return
    flags = parser(__doc__)
    flags.add_argument(
        "--accounts", type=int, nargs="+", default=[10_000, 100_000], metavar="N", help="[10000 100000]"
    )
    given: argparse.Namespace = flags.parse_args()
    figures = {}
    for accounts in given.accounts:
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as directory:
            figures[str(accounts)] = measured(accounts, Path(directory))
    finish("state_sync", figures, given)


if __name__ == "__main__":
    main()
