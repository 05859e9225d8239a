"""What the trail costs: a reveal with its leaf, and a proof that needs no node. One core, CPU time.

    python -m bench.trail [--miners 192] [--voters 10] [--json FILE]

`leaf` is the part of a reveal that the mountain range takes, measured in the same calls; `append` is the bare
arithmetic on a list of a million leaves. A proof leads through so many changes of voters; all of them vote.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.record import finish, parser
from chain.checkpoints import Checkpoints
from chain.update_proof import StandingProof, Trusted, verify
from runtime.pallets.training.types import Phase
from runtime.primitives import mmr
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from tests.chain.sync.histories import History
from tests.fuzz.warp_targets import standing_proof
from tests.runtime.pallets.training_bench import Bench

LONG = 1_000_000
"""leaves of the list that is appended to"""
APPENDS = 4_096
CHANGES = (0, 24, 240)
"""of voters, on the way from genesis"""
BLOCKS = 3
"""blocks of each set"""


def main() -> None:
    """Measure, print, and keep what was measured."""
    flags = parser(__doc__)
    flags.add_argument("--miners", type=int, default=192)
    flags.add_argument("--voters", type=int, default=10)
    given = flags.parse_args()
    reveal, leaf = reveals(given.miners)
    figures: dict[str, Any] = {
        "miners": given.miners,
        "voters": given.voters,
        "reveal_us": round(reveal, 1),
        "leaf_us": round(leaf, 1),
        "leaf_share": round(leaf / reveal, 3),
        "append_us": round(appends(), 2),
        "proofs": [proof(changes, given.voters) for changes in CHANGES],
    }
    finish("trail", figures, given)


def reveals(miners: int) -> tuple[float, float]:
    """Return us of a reveal, and us of it that its leaf takes, the median of all miners."""
    bench = Bench(1, miners, max_uids=miners + 1)
    bench.start()
    everybody = range(miners)
    bench.commit(*everybody)
    while bench.phase is not Phase.Reveal:
        bench.step()
    updates = bench.runtime.model_updates
    append, spent = updates._append, list[float]()
    updates._append = lambda *arguments: spent.append(timed(lambda: append(*arguments)))
    whole = [timed(lambda miner=miner: bench.reveal(miner)) for miner in everybody]  # type: ignore[misc]
    return median(whole), median(spent)


def appends() -> float:
    """Return us of an append to a long list, the mean over enough for every height."""
    peaks = [Hash(blake2_256(bytes([at]))) for at in range(LONG.bit_count())]
    leaf = Hash(bytes(32))

    def run() -> None:
        nonlocal peaks
        for count in range(LONG, LONG + APPENDS):
            peaks, _ = mmr.append(peaks, count, leaf)

    return timed(run) / APPENDS


def proof(changes: int, voters: int) -> dict[str, Any]:
    """Return the size of a proof's file, and how long it takes to check."""
    sets = [[(at + each) % (2 * voters) for each in range(voters)] for at in range(changes + 1)]
    history = History(sets, length=BLOCKS)
    trusted = Trusted("bench", history.genesis, Checkpoints(()))
    text = standing_proof(history, leaves=1_000, at=617).to_json()
    took = min(timed(lambda: verify(StandingProof.from_json(text), trusted)) for _ in range(3))
    return {"changes": changes, "file_bytes": len(text), "check_ms": round(took / 1_000, 2)}


def timed(work: Callable[[], Any]) -> float:
    """Return us of CPU that something takes."""
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / 1_000


if __name__ == "__main__":
    main()
