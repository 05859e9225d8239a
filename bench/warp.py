"""What it costs to join late: CPU time of the newcomer and of who serves it, by the length of the chain.

    python -m bench.warp --blocks 100 1000 4000

A node joins one with the whole chain, in virtual time and one process, so that nothing is measured but work:
by warp sync for every length, and by full sync for those up to --full. Voters change every 16 blocks here, as
often as nowhere else; a live chain has one change in 3,600.
"""

import logging
import time

from bench.record import finish, parser
from chain.sync.bootstrap import SyncMode
from tests.chain.network.lab import Lab, grown, play


def joined(blocks: int, mode: SyncMode) -> tuple[float, int]:
    """Return the seconds it takes two nodes together until the second is where the first is, and the sets."""
    tables, seconds = grown(blocks)
    found: list[tuple[float, int]] = []

    async def script(lab: Lab) -> None:
        lab.tables["a"] = tables.copy()
        lab.start("a")
        began = time.process_time()
        joiner = lab.start("b", sync=mode)
        await lab.until(lambda: joiner.store.finalized_number >= blocks, 100 + blocks)
        found.append((time.process_time() - began, joiner.importer.sets.current()[1]))

    play(script, ("a", "b"), seconds=seconds)
    return found[0]


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument(
        "--blocks", type=int, nargs="+", default=[100, 1_000, 4_000], help="lengths [100 1000 4000]"
    )
    flags.add_argument("--full", type=int, default=1_000, help="longest that is synced in full, too [1000]")
    flags.add_argument("--rounds", type=int, default=3, help="of each; the fastest counts [3]")
    given = flags.parse_args()
    logging.disable(logging.CRITICAL)
    figures: dict[str, object] = {}
    for blocks in given.blocks:
        runs = [joined(blocks, "warp") for _ in range(given.rounds)]
        seconds, sets = min(runs)
        line: dict[str, object] = {"sets": sets, "warp_s": round(seconds, 2)}
        if blocks <= given.full:
            line["full_s"] = round(min(joined(blocks, "full")[0] for _ in range(given.rounds)), 2)
        figures[f"blocks_{blocks}"] = line
    finish("warp", figures, given)


if __name__ == "__main__":
    main()
