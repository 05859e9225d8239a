"""Networks of voters under a virtual clock: storms that must break nothing.

    python -m bench.grandpa_network [--storms 200] [--json FILE]

A storm is a random network of 4 to 7 voters with as many byzantine twins as a third allows, under partitions,
loss and crashes for 70 s; every second one also changes voters every 7 blocks and crashes voters between
signing and saving. A broken rule, or finality that has not come back 90 s later, ends the run with its seed.
"""

import time

from bench.record import finish, parser
from tests.chain.consensus.grandpa.scenarios import storm


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
    }
    finish("grandpa_network", figures, given)


if __name__ == "__main__":
    main()
