"""What it costs to get a chain from a peer, beside importing it: CPU time of both nodes, in one process.

    python -m bench.sync --blocks 300

The same blocks are imported twice from the same database: handed to the importer one after the other, and
fetched by a node that joins late, in virtual time, so that nothing is measured but work. The first is the
floor; the ratio is what headers, requests, answers, checks and gossip add, on both sides.
"""

import logging
import time

from bench.record import finish, parser
from chain.common.notifications import Notifications
from chain.executor import Executor
from chain.storage.store import ChainStore
from chain.sync.download import CHUNK
from chain.sync.importer import Importer
from runtime.primitives.grandpa import changes_voters
from tests.chain.network.lab import Lab, grown, play
from tests.sim.database import MemoryDatabase
from tests.sim.env import EPOCH_MS, Life
from tests.sim.genesis import spec_of


class LateClock:
    """Shows a time after all blocks."""

    def __init__(self, seconds: float) -> None:
        self._ms = EPOCH_MS + round(seconds * 1000) + 60_000

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self._ms

    def monotonic(self) -> float:
        """Return seconds."""
        return self._ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


def direct(blocks: int) -> float:
    """Return the seconds that the importer alone takes."""
    tables, seconds = grown(blocks)
    source = ChainStore.on(MemoryDatabase(tables.copy(), Life()), spec_of((1,)).state())
    store = ChainStore.on(MemoryDatabase(type(tables)(), Life()), spec_of((1,)).state())
    importer = Importer(store, Executor(), Notifications(), LateClock(seconds))
    began = time.process_time()
    for number in range(1, blocks + 1):
        block = source.hash_at(number)
        assert block is not None
        header, body = source.header(block), source.body(block)
        assert header is not None
        assert body is not None
        importer.import_foreign(header, body)
        justification = source.justification(block)
        if justification is not None and (number % CHUNK == 0 or changes_voters(header)):
            importer.finalize(block, justification)
    return time.process_time() - began


def synced(blocks: int) -> float:
    """Return the seconds that two nodes take together when one joins late."""
    tables, seconds = grown(blocks)
    spent = [0.0]

    async def script(lab: Lab) -> None:
        lab.tables["a"] = tables.copy()
        lab.start("a")
        joiner = lab.start("b")
        began = time.process_time()
        await lab.until(lambda: joiner.store.finalized_number >= blocks, 600)
        spent[0] = time.process_time() - began

    play(script, ("a", "b"), seconds=seconds)
    return spent[0]


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--blocks", type=int, default=300, help="how long the chain is [300]")
    flags.add_argument("--rounds", type=int, default=5, help="of both in turn; the fastest count [5]")
    given = flags.parse_args()
    logging.disable(logging.CRITICAL)
    pairs = [(direct(given.blocks), synced(given.blocks)) for _ in range(given.rounds)]
    floor, whole = (min(each) for each in zip(*pairs, strict=True))
    figures = {
        "blocks": given.blocks,
        "importer_blocks_per_s": round(given.blocks / floor),
        "synced_blocks_per_s": round(given.blocks / whole),
        "ratio": round(whole / floor, 2),
    }
    finish("sync", figures, given)


if __name__ == "__main__":
    main()
