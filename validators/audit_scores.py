"""Every published score computed again, and who measured what otherwise than the others."""
# Reads top to bottom: run -> main -> gather -> audit -> text.

import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from chain.answers import account
from chain.client import Chain
from chain.commands.talk import table, there_is_no
from chain.common.hashes import ends
from chain.connection import NodeFailure
from miners.process import INTERRUPTED, run_until_stopped
from runtime.primitives import ss58
from runtime.primitives.commitments import PPM
from validators.commands.audit_scores import MOST_ROUNDS, Config
from validators.recount import Deviation, Difference, Stakes, deviations, differences
from validators.scorebook import MOST_ROUNDS as MEMORY
from validators.trail import Published, Sitting, read

MOST_LINES = 20
"""of a list for people; --json prints all"""
TITLES = (
    "judge", "<hotkey", "rounds", "scores", "as computed", "compared", "off", "contradicted", "worst", "<",
)  # fmt: skip


class NothingToAudit(Exception):
    """There are no such rounds."""


class Differs(Exception):
    """A score does not follow, or a measurement is too far off."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What came of one judge."""

    uid: int  # the last one it had
    hotkey: str
    rounds: int  # in which it published scores
    scores: int
    differing: int  # that its rows do not give
    compared: int  # measurements that others made, too
    off: int  # further from the median than the tolerance
    contradicted: int  # audits that it did not pass and the next judge did, since it took its seat
    worst: Deviation | None


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an audit."""

    netuid: int
    first: int
    last: int
    judges: list[Judge]
    differences: list[Difference]
    misjudged: list[Deviation]  # beyond the tolerance of their round, the worst first

    @property
    def is_good(self) -> bool:
        """Whether everything follows, and nothing is too far off."""
        return not self.differences and not self.misjudged


def run(config: Config) -> int:
    """Do it, and return the exit code."""
    failures = (Differs, NothingToAudit, NodeFailure, OSError)
    return run_until_stopped("audit scores", main(config), failures, INTERRUPTED)


async def main(config: Config) -> None:
    """Compute, compare, and print what came of it.

    Raises: Differs, NothingToAudit.
    """
    async with Chain.connect(config.url, "0x" + secrets.token_hex(32), gives_up=True) as chain:
        first, last, sittings, stakes = await gather(chain, config)
        contradicted = await contradictions(chain, config.netuid)
    report = audit(config.netuid, first, last, sittings, stakes, contradicted)
    print(json.dumps(asdict(report)) if config.json else text(report))
    if not report.is_good:
        raise Differs(_summary(report))


async def gather(chain: Chain, config: Config) -> tuple[int, int, dict[int, Sitting], Stakes]:
    """Return which rounds are looked at, what was published in them and before, and who has how much stake.

    Raises: NothingToAudit.
    """
    head = await chain.finalized_head()
    shown = await chain.rpc("subnet_metagraph", config.netuid, head.hash)
    if shown is None:
        raise NothingToAudit(there_is_no(config.netuid))
    newest = await chain.query("Training.CurrentRound", config.netuid, at=head)
    last = config.to or newest
    first = config.from_ or max(1, last - MEMORY + 1)
    if max(first, last) > newest:
        missing = f"subnet {config.netuid} has had no round {max(first, last)}"
        raise NothingToAudit(f"{missing}: the newest one is {newest}; see `assay rounds`")
    if last - first >= MOST_ROUNDS:
        raise NothingToAudit(f"rounds {first} to {last} are more than {MOST_ROUNDS}: give --from and --to")
    asked = range(max(1, first - MEMORY), last + 1)
    found = [await read(chain, config.netuid, number, head) for number in asked]
    stakes = {account(each["hotkey"]): int(each["stake"]) for each in shown["neurons"]}
    return first, last, {each.number: each for each in found if each is not None}, stakes


async def contradictions(chain: Chain, netuid: int) -> dict[bytes, int]:
    """Return how many reports of each judge, by hotkey, the next judge of an audit has contradicted."""
    head = await chain.finalized_head()
    hotkeys = {uid: account(key) for key, uid in await chain.query_map("Neurons.Uids", netuid, at=head)}
    counts = await chain.query_map("Verification.Contradicted", netuid, at=head)
    return {hotkeys[uid]: count for uid, count in counts}


def audit(
    netuid: int,
    first: int,
    last: int,
    sittings: dict[int, Sitting],
    stakes: Stakes,
    contradicted: Mapping[bytes, int],
) -> Report:
    """Compute everything again."""
    differing = list(differences(sittings, first, last))
    looked = [sittings[number] for number in range(first, last + 1) if number in sittings]
    compared = [each for sitting in looked for each in deviations(sitting, stakes)]
    limit = {sitting.number: sitting.numbers["tolerance_ppm"] for sitting in looked}
    off = [each for each in compared if each.off_ppm > limit[each.round]]
    off.sort(key=lambda each: -each.off_ppm)
    who = {(sitting.number, each.judge): each.hotkey for sitting in looked for each in sitting.published}
    by_judge = {hotkey: (list[Published](), list[Deviation]()) for hotkey in who.values()}
    for sitting in looked:
        for published in sitting.published:
            by_judge[published.hotkey][0].append(published)
    for deviation in compared:
        by_judge[who[deviation.round, deviation.judge]][1].append(deviation)
    wrong = Counter(who[each.round, each.judge] for each in differing)
    judges = [
        _judge(
            rows, wrong[hotkey], own, sum(each.off_ppm > limit[each.round] for each in own),
            contradicted.get(hotkey, 0),
        )
        for hotkey, (rows, own) in by_judge.items()
    ]  # fmt: skip
    return Report(netuid, first, last, sorted(judges, key=lambda each: each.uid), differing, off)


def _judge(
    rows: Sequence[Published], differing: int, own: Sequence[Deviation], off: int, contradicted: int
) -> Judge:
    scores, worst = (
        sum(len(each.scores) for each in rows),
        max(own, key=lambda one: one.off_ppm, default=None),
    )
    uid, hotkey = rows[-1].judge, ss58.encode(rows[-1].hotkey)
    return Judge(uid, hotkey, len(rows), scores, differing, len(own), off, contradicted, worst)


def text(report: Report) -> str:
    """Return it for people."""
    lines = [table(TITLES, [_row(each) for each in report.judges])]
    wrong = [
        f"round {each.round}: judge {each.judge} gave uid {each.uid} {each.published:,} ppm; what it has "
        f"published gives {each.computed:,}"
        for each in report.differences
    ]
    off = [
        f"round {each.round}: judge {each.judge} measured {_said(each)}: "
        f"assay audit challenge {report.netuid} {each.round} {each.judge} {each.uid}"
        for each in report.misjudged
    ]
    for title, listed in (("scores that do not follow", wrong), ("measurements beyond the tolerance", off)):
        if listed:
            lines += ["", f"{title}:", *_some(listed)]
    return "\n".join([*lines, "", _summary(report)])


def _row(judge: Judge) -> tuple[str, ...]:
    worst = judge.worst
    return (
        str(judge.uid),
        ends(judge.hotkey),
        str(judge.rounds),
        str(judge.scores),
        str(judge.scores - judge.differing),
        str(judge.compared),
        str(judge.off),
        str(judge.contradicted),
        "" if worst is None else f"{100 * worst.off_ppm / PPM:.2f} %",
        ""
        if worst is None or not worst.off_ppm
        else f"{worst.what} of uid {worst.uid} in round {worst.round}",
    )


def _said(each: Deviation) -> str:
    return (
        f"{each.what} of uid {each.uid} as {each.measured / PPM:.4f}, the median is {each.median / PPM:.4f}, "
        f"{100 * each.off_ppm / PPM:.1f} % off"
    )


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more} more: --json prints them"] if more > 0 else [])]


def _summary(report: Report) -> str:
    scores = sum(each.scores for each in report.judges)
    return (
        f"rounds {report.first} to {report.last} of subnet {report.netuid}: "
        f"{scores - len(report.differences)} of {scores} scores follow from what is published; "
        f"{len(report.misjudged)} measurements are further from the median than the tolerance"
    )
