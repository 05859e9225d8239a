"""Networks of voters under a virtual clock: storms that must break nothing, and what finality takes.

    python -m bench.grandpa_network [--storms 200] [--json FILE]

A storm is a random network of 4 to 7 voters with as many byzantine twins as a third allows, under partitions,
loss and crashes for 70 s; every second one also changes voters every 7 blocks and crashes voters between
signing and saving. A broken rule, or finality that has not come back 90 s later, ends the run with its seed.
Times from block to finality are of the virtual clock, links of 20 to 250 ms; CPU is of one voter without its
signatures.
"""

import statistics
import time

from bench.record import finish, parser
from tests.chain.consensus.grandpa.network import Network
from tests.chain.consensus.grandpa.scenarios import storm

SLOT = 6.0
"""seconds"""


def finality(voters: int, blocks: int) -> dict[str, float]:
    """Return seconds from block to finality, and CPU per final block and voter."""
    network = Network(1, [1] * voters).start()
    network.produce(SLOT, SLOT * (blocks + 1) - 1, forks=0.0)
    began = time.process_time()
    network.run(SLOT * (blocks + 2))
    spent = time.process_time() - began
    assert network.final[1] == blocks
    return {
        "median_s": round(statistics.median(network.latency), 2),
        "most_s": round(max(network.latency), 2),
        "cpu_ms_per_block_and_voter": round(spent / blocks / voters * 1000, 1),
    }


def main() -> None:
    """Weather the storms and report."""
    flags = parser(__doc__)
    flags.add_argument("--storms", type=int, default=200, help="random networks [200]")
    given = flags.parse_args()
    began, final = time.perf_counter(), 0
    for seed in range(1_000, 1_000 + given.storms):
        options = {"change_every": 7, "crash_on_signing": 0.02} if seed % 2 else {}
        final += storm(seed, **options).final[1]
    figures = {
        "storms": given.storms,
        "final_blocks": final,
        "broken_or_stuck": 0,
        "seconds": round(time.perf_counter() - began, 1),
        "finality_4": finality(4, 30),
        "finality_21": finality(21, 15),
        "finality_100": finality(100, 4),
    }
    finish("grandpa_network", figures, given)


if __name__ == "__main__":
    main()
