"""A process to be killed: restores a state range by range and says what it has written.

    python crash_restorer.py DIRECTORY

The state is the same in every run; where an earlier run was killed, this one goes on. It waits to be killed
before it has put much: else a slow killer would find everything done.
"""

import random
import signal
import sys
from pathlib import Path

from chain.storage.range_proof import prove_range
from chain.storage.restore import HeldSnapshot
from chain.storage.state import Cache, Disk, View
from chain.storage.store import ChainStore
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import EMPTY_ROOT, trie_root
from runtime.primitives.types import ZERO_HASH

GENESIS = {b"genesis": b"state"}
MOST = 8
"""ranges that one run puts"""
_RNG = random.Random(7)
STATE = {_RNG.randbytes(_RNG.randrange(1, 40)): _RNG.randbytes(_RNG.choice([2, 40, 300])) for _ in range(900)}
TARGET = Header(ZERO_HASH, 77, trie_root(STATE), EMPTY_ROOT, Digest([]))


def main(directory: str) -> None:
    """Restore until killed; a printed line is an acknowledgement."""
    store = ChainStore.open(Path(directory), GENESIS)
    view, restoration = View((), Disk(HeldSnapshot(STATE), Cache(1 << 22))), store.restore(TARGET)
    put = 0
    while restoration.missing:
        if put == MOST:
            signal.pause()
        span = restoration.missing[-1 if len(restoration.missing) % 2 else 0]
        middle = span.start + b"\x80" if len(restoration.missing) < 3 else span.start
        start = middle if span.end is None or middle < span.end else span.start
        found = prove_range(view, start, 6_000, span.end)
        until = None if found.is_complete else found.entries[-1][0] + b"\x00"
        restoration.put(start, found.entries, until)
        print("put", start.hex() or "-", "-" if until is None else until.hex(), flush=True)
        put += 1
    store.finish_restoration(b"proof")
    print("finished", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
