"""Whole networks of the node in virtual time: how long after a block it is final, and what that costs.

    python -m bench.finality [--json FILE]

Times are of the virtual clock, from the moment a block is built until a node has made it final, over all
blocks and nodes; slots of 2 s, links of 20 to 250 ms and a tenth more by chance, everybody linked to all
up to 9 nodes and to 8 others above. CPU is of the whole network, per final block and node; executions, roots
and verdicts on signatures are shared between the nodes, so a node of its own needs those in addition.
"""

import logging
import statistics
import time

from bench.record import finish, parser
from tests.sim.world import Plan, World, run

WARM_UP = 9.0
"""seconds that do not count"""
SIZES = {4: 60.0, 21: 40.0, 100: 20.0}
"""seconds measured, by validators"""
TARGET = 2.5
"""seconds: the median at 21 validators"""


def measured(validators: int, seconds: float) -> dict[str, float]:
    """Return what a calm network of this size does."""
    spent, blocks = 0.0, 0

    async def script(world: World) -> None:
        nonlocal spent, blocks
        world.start()
        await world.wait(WARM_UP)
        world.witness.figures.latency.clear()
        before, began = world.final(), time.process_time()
        await world.wait(seconds)
        spent, blocks = time.process_time() - began, world.final() - before

    outcome = run(Plan(1, validators, (1,) * validators), script)
    assert outcome.broken == [], outcome.broken
    latency = sorted(outcome.figures.latency)
    return {
        "final_blocks": blocks,
        "median_s": round(statistics.median(latency), 2),
        "p95_s": round(latency[len(latency) * 95 // 100], 2),
        "most_s": round(latency[-1], 2),
        "cpu_ms_per_block": round(spent / blocks * 1000, 1),
        "cpu_ms_per_block_and_node": round(spent / blocks / validators * 1000, 2),
        "messages_per_block": round(outcome.figures.delivered / outcome.height),
    }


def main() -> None:
    """Measure every size and report."""
    given = parser(__doc__).parse_args()
    logging.disable(logging.CRITICAL)
    figures: dict[str, object] = {
        f"validators_{count}": measured(count, seconds) for count, seconds in SIZES.items()
    }
    finish("finality", {"target_median_s_at_21": TARGET, **figures}, given)


if __name__ == "__main__":
    main()
