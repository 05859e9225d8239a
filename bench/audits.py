"""What audits cost a block: 192 newcomers in one round, 64 judges, none of whom reports in time. One core.

    python -m bench.audits [--miners 192] [--judges 64] [--json FILE]

Blocks carry no transactions: what is measured are the hooks, on a state in memory. `plain` is the same chain
without audits, the baseline of the same run; `draw` are the blocks that draw, 128 updates each; `missed`
those that take the rows of silent judges and ask others. `report` is one call. All in CPU time.
"""

import time
from statistics import median
from typing import Any

from bench.record import finish, parser
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.types import AuditDrawn, AuditMissed, Verdict
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.types import AccountId
from tests.runtime.pallets.training_bench import DATA_ROOT, NETUID, OWNER, URL, Bench, marks

ENOUGH = 950_000
"""ppm; an overlap that passes"""
REPORTS = 20


def main() -> None:
    """Measure, print, and keep what was measured."""
    flags = parser(__doc__)
    flags.add_argument("--miners", type=int, default=192)
    flags.add_argument("--judges", type=int, default=64)
    given = flags.parse_args()
    plain, _, _, _ = run(given.judges, given.miners, audit_rate_ppm=0, newcomer_rounds=1)
    others, draw, missed, report = run(given.judges, given.miners, audit_rate_ppm=1, newcomer_rounds=1)
    figures = {
        "miners": given.miners,
        "judges": given.judges,
        "plain_median_ms": round(median(plain), 2),
        "plain_worst_ms": round(max(plain), 2),
        "audited_median_ms": round(median(others), 2),
        "draw_worst_ms": round(max(draw), 1),
        "draw_blocks": len(draw),
        "missed_worst_ms": round(max(missed), 1),
        "missed_blocks": len(missed),
        "report_ms": round(report, 3),
    }
    finish("audits", figures, given)


def run(
    judges: int, miners: int, *, audit_rate_ppm: int, newcomer_rounds: int
) -> tuple[list[float], list[float], list[float], float]:
    """Play a round, let its audits pass; return ms of other blocks, draws, misses, and a report."""
    bench = Bench(
        judges, miners, max_uids=judges + miners, max_permits=judges, audit_window=1,
        audit_rate_ppm=audit_rate_ppm, newcomer_rounds=newcomer_rounds,
    )  # fmt: skip
    start(bench)
    plain, draw, missed = list[float](), list[float](), list[float]()
    reports = list[float]()
    first = bench.number
    while bench.number < first + 5:
        took, events = step(bench)
        kinds = {type(event) for event in events}
        (missed if AuditMissed in kinds else draw if AuditDrawn in kinds else plain).append(took)
        if AuditDrawn in kinds and not reports:
            asked = [miner for (_, miner), _ in bench.runtime.verification.audits.under(NETUID)]
            few = asked[: min(REPORTS, len(asked) // 2)]  # the others are missed
            reports = [report(bench, miner) for miner in few]
    return plain, draw, missed, median(reports) if reports else 0.0


def start(bench: Bench) -> None:
    """Bring a round to the block before its audits are drawn."""
    bench.call(OWNER, "Training", "set_dataset", DATA_ROOT, URL)
    wait(bench, Phase.Train)
    everybody = range(len(bench.miners))
    bench.commit(*everybody)
    wait(bench, Phase.Reveal)
    bench.reveal(*everybody)
    wait(bench, Phase.ScoreCommit)
    scores = [marks(bench.uid(miner), 1_000) for miner in everybody]
    for judge in range(len(bench.judges)):
        bench.commit_scores(judge, scores)
    wait(bench, Phase.ScoreReveal)
    for judge in range(len(bench.judges)):
        bench.reveal_scores(judge, scores)


def wait(bench: Bench, phase: Phase) -> None:
    """Open blocks until the subnet is in a phase."""
    while bench.phase is not phase:
        step(bench)


def step(bench: Bench) -> tuple[float, list[Any]]:
    """Open a block; return how many ms its hooks took, and what they deposited."""
    bench.ext.close_block()
    began = time.process_time()
    bench.ext.open_block((pre_digest_item(SecondaryPlain(0, bench.ext.number + 1)),))
    return (time.process_time() - began) * 1_000, bench.ext.new_events()


def report(bench: Bench, who: AccountId) -> float:
    """Let the judge that was drawn report on a miner; return how many ms that took."""
    judge = bench.runtime.verification.audits[NETUID, 1, who].judge.uid
    began = time.process_time()
    bench.call(bench.judges[judge], "Verification", "report_audit", 1, who, Verdict.Passed, ENOUGH)
    return (time.process_time() - began) * 1_000


if __name__ == "__main__":
    main()
