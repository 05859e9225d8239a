"""A process to be killed: imports and finalises blocks for ever and says what it has been acknowledged.

    python crash_writer.py DIRECTORY

Block n is the same in every run, so whoever opens the directory afterwards can rebuild its state.
"""

import random
import sys
from pathlib import Path

from chain.storage.store import ChainStore
from runtime.frame.state import Changes
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import EMPTY_ROOT
from runtime.primitives.types import Hash

GENESIS = {index.to_bytes(2, "big") * 8: bytes([index % 251]) * (index % 70) for index in range(400)}
LAG = 3
"""blocks between the best and the finalised one"""


def changes_of(number: int) -> Changes:
    """Return what block `number` changes: updates, insertions and deletions."""
    rng = random.Random(number)
    keys = [rng.randrange(800).to_bytes(2, "big") * 8 for _ in range(60)]
    return {key: rng.choice([None, rng.randbytes(20), rng.randbytes(50)]) for key in keys}


def body_of(number: int) -> list[bytes]:
    """Return the extrinsics of block `number`."""
    return [number.to_bytes(4, "big"), bytes(number % 300)]


def rebuild(store: ChainStore) -> None:
    """Execute again what was not final."""
    for block in store.unapplied():
        header = store.header(block)
        assert header is not None
        store.restore_layer(block, changes_of(header.number))


def extend(store: ChainStore) -> Hash:
    """Add the next block to the best one."""
    number = store.best_number + 1
    changes = changes_of(number)
    root = store.state_at(store.best).root(changes)
    header = Header(store.best, number, root, EMPTY_ROOT, Digest([]))
    store.import_block(header, body_of(number), changes, best=True)
    return header.hash()


def main(directory: str) -> None:
    """Write until killed; a printed line is an acknowledgement."""
    store = ChainStore.open(Path(directory), GENESIS)
    rebuild(store)
    while True:
        print("imported", extend(store).hex(), flush=True)
        final = store.hash_at(max(0, store.best_number - LAG))
        assert final is not None
        store.finalize(final, b"final" + final)
        print("finalized", final.hex(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
