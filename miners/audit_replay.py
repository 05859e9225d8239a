"""Every model of a subnet derived again, from the chain and the payloads alone."""
# Reads top to bottom: run -> main -> replay -> _begin -> _follow.

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from chain.connection import NodeFailure
from miners.blobs.errors import BlobError, StoreFull
from miners.commands.audit_replay import Config
from miners.joining import CannotJoin
from miners.process import INTERRUPTED, run_until_stopped
from miners.replica import Diverged
from miners.visit import Visitor, last_ended, visit
from miners.weights import RefusedWeights

BEGINNING = 0
"""The model before the first round."""

Tell = Callable[[str], None]


class Differs(Exception):
    """A model is not what the chain says, or could not be derived."""


@dataclass(slots=True)
class Report:
    """What came of a replay."""

    netuid: int
    first: int  # round asked for
    last: int
    began_after: int | None = None  # the round with whose model it began; 0: the first model
    is_whole: bool = False  # whether the last round was reached
    derived: int = 0  # rounds from the first one on whose root came out as attested
    void: int = 0  # rounds from the first one on that left the model as it was
    gaps: list[str] = field(default_factory=list)  # what could not be had, and what was begun with instead
    differs_in: int | None = None  # the first round that came out otherwise
    difference: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the last root was derived, and nothing differs."""
        return self.differs_in is None and self.is_whole


def run(config: Config) -> int:
    """Do it, and return the exit code."""
    failures = (Differs, CannotJoin, NodeFailure, OSError)
    return run_until_stopped("audit replay", main(config), failures, INTERRUPTED)


async def main(config: Config) -> None:
    """Replay, and print what came of it.

    Raises: Differs.
    """
    async with visit(config.url, config.netuid) as visitor:
        last = await last_ended(visitor)
        if config.to is not None and config.to > last:
            raise CannotJoin(f"round {config.to} of subnet {config.netuid} is not over: the last is {last}")
        if config.from_ > last:
            raise CannotJoin(f"subnet {config.netuid} has no round {config.from_} that is over")
        tell: Tell = (lambda _: None) if config.json else print
        report = await replay(visitor, config.from_, config.to or last, tell)
    if config.json:
        print(json.dumps(asdict(report)))
    if not report.is_good:
        raise Differs(_summary(report))
    tell(_summary(report))


async def replay(visitor: Visitor, first: int, last: int, tell: Tell) -> Report:
    """Derive the models after rounds `first` to `last`."""
    report = Report(visitor.netuid, first, last)
    checkpoints = await visitor.chain.checkpoints(visitor.netuid)
    before = [each for each in (BEGINNING, *sorted(checkpoints)) if each < first]
    later = [each for each in sorted(checkpoints) if first <= each < last]
    done = BEGINNING
    for start in (before[-1], *later):
        if start < done or not await _begin(visitor, start, checkpoints, report, tell):
            continue
        try:
            await _follow(visitor, start, checkpoints, report, tell)
        except BlobError as problem:
            _note(report, tell, f"round {visitor.replica.applied + 1} cannot be derived: {problem}")
        else:
            break
        done = visitor.replica.applied
    return report


async def _begin(
    visitor: Visitor, start: int, checkpoints: dict[int, bytes], report: Report, tell: Tell
) -> bool:
    """Take the model that a replay builds on; say no when it cannot be had."""
    visitor.replica.start_over()
    if start != BEGINNING:
        try:
            await visitor.replica.begin_from(start, checkpoints[start])
        except (BlobError, StoreFull, OSError, RefusedWeights) as problem:
            _note(report, tell, f"the checkpoint of round {start} cannot be had: {problem}")
            return False
        tell(f"beginning with the checkpoint of round {start}: 0x{checkpoints[start].hex()[:16]}…")
    return True


async def _follow(
    visitor: Visitor, start: int, checkpoints: dict[int, bytes], report: Report, tell: Tell
) -> None:
    """Derive one model after another, until one differs.

    Raises: BlobError.
    """
    replica = visitor.replica
    while replica.applied < report.last:
        number = replica.applied + 1
        try:
            step = await replica.step()
        except Diverged as problem:
            report.differs_in, report.difference = number, str(problem)
            return
        report.began_after = start if report.began_after is None else report.began_after
        root = replica.weights.root()
        if checkpoints.get(number, root) != root:
            named = f"the checkpoint names 0x{checkpoints[number].hex()[:8]}…, the round 0x{root.hex()[:8]}…"
            report.differs_in, report.difference = number, named
            return
        is_counted = number >= report.first
        if step is None:
            report.void += is_counted
            continue
        report.derived += is_counted
        way = "" if is_counted else f", on the way to round {report.first}"
        tell(f"round {number:05d} | {len(step.accepted):3d} payloads | 0x{root.hex()[:16]}… as attested{way}")
    report.is_whole = True


def _note(report: Report, tell: Tell, gap: str) -> None:
    report.gaps.append(gap)
    tell(gap)


def _summary(report: Report) -> str:
    rounds = f"rounds {report.first} to {report.last} of subnet {report.netuid}"
    if report.differs_in is not None:
        return f"{rounds}: the first difference is in round {report.differs_in}: {report.difference}"
    if report.began_after is None:
        return f"{rounds}: nothing could be derived: {'; '.join(report.gaps)}"
    begun = "the first model" if not report.began_after else f"the checkpoint of round {report.began_after}"
    void = f", {report.void} void" if report.void else ""
    gaps = f"; {report.gaps[-1]}" if report.gaps else ""
    models = "1 model" if report.derived == 1 else f"{report.derived} models"
    return f"{rounds}: {models} derived from {begun}, each root as attested{void}{gaps}"
