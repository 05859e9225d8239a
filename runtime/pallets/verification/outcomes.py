"""What follows from the reports of an audit, and from the votes of a jury."""

import enum
from collections.abc import Sequence

from runtime.pallets.verification.types import Measurement, Report, Verdict, Vote
from runtime.primitives.commitments import PPM, Score

LEAST_SCALE = 50
"""A loss is told apart to tolerance / 50 of itself at best: floats of another machine differ, too."""


class Outcome(enum.Enum):
    """What an audit that is over comes to."""

    Passed = 0
    Lapsed = 1
    Withheld = 2  # one judge's word
    Burnt = 3  # two judges agree that something is wrong, and not on what
    Slashed = 4


def outcome(reports: Sequence[Report]) -> Outcome:
    """Return what the reports come to when no more will follow: one judge alone never slashes."""
    if not reports:
        return Outcome.Lapsed
    if reports[-1].verdict is Verdict.Passed:
        return Outcome.Passed
    if len(reports) == 1:
        return Outcome.Withheld
    failed = all(report.verdict is Verdict.Failed for report in reports)
    return Outcome.Slashed if failed else Outcome.Burnt


def is_decided(reports: Sequence[Report], most: int) -> bool:
    """Say whether another judge's report would change nothing."""
    return len(reports) >= most or any(report.verdict is Verdict.Passed for report in reports)


def is_consistent(verdict: Verdict, overlap_ppm: int, least_ppm: int) -> bool:
    """Say whether an overlap goes with a verdict; a replay may fail for other reasons than its overlap."""
    if verdict is Verdict.Passed:
        return least_ppm <= overlap_ppm <= PPM
    return overlap_ppm == 0 if verdict is Verdict.Unavailable else overlap_ppm <= PPM


def suspects(ballots: Sequence[tuple[int, Sequence[Score]]]) -> list[int]:
    """Return the uids whose payloads failed the cheap checks, say those with more than half of the stake.

    `ballots` are (stake, scores). A payload that was not measured has equal losses and no score.
    """
    revealed = sum(stake for stake, _ in ballots)
    against: dict[int, int] = {}
    for stake, scores in ballots:
        for score in scores:
            if not score.score and score.loss_after == score.loss_before:
                against[score.uid] = against.get(score.uid, 0) + stake
    return sorted(uid for uid, stake in against.items() if 2 * stake > revealed)


def judgement(claimed: Measurement, votes: Sequence[Vote], jurors: int, tolerance_ppm: int) -> bool | None:
    """Say whether a jury finds a judge wrong; None where most are silent, or its middle is of two minds."""
    if 2 * len(votes) <= jurors:
        return None
    below, above = (misses(claimed, _middle(votes, up), tolerance_ppm) for up in (0, 1))
    if any(low and high for low, high in zip(below, above, strict=True)):
        return True
    return None if any((*below, *above)) else False


def verdict(
    claimed: Measurement,
    votes: Sequence[tuple[int, Measurement]],
    parties: tuple[int, int],
    electorate: int,
    tolerance_ppm: int,
) -> bool | None:
    """Say whether those with more than half of the stake find a judge wrong, or right; None where neither.

    `votes` are (stake, what was measured). `parties` are the stakes of who doubts and of who is doubted: they
    count for what both have said already.
    """
    against, behind = parties
    for stake, measured in votes:
        true = (measured.loss_before, measured.loss_before - measured.loss_after, measured.alignment)
        if any(misses(claimed, true, tolerance_ppm)):
            against += stake
        else:
            behind += stake
    if 2 * against > electorate:
        return True
    return False if 2 * behind > electorate else None


def misses(claimed: Measurement, true: tuple[int, int, int], tolerance_ppm: int) -> tuple[bool, bool, bool]:
    """Say whether loss before, loss drop and alignment are further from the truth than the tolerance.

    Losses are held to a part of the loss drop, since that is what a score is made of; an alignment to a part
    of itself, and of one where it is smaller.
    """
    before, drop, alignment = true
    loss_room = max(abs(drop), before // LEAST_SCALE) * tolerance_ppm
    alignment_room = max(abs(alignment), PPM) * tolerance_ppm
    return (
        abs(claimed.loss_before - before) * PPM > loss_room,
        abs(claimed.loss_before - claimed.loss_after - drop) * PPM > loss_room,
        abs(claimed.alignment - alignment) * PPM > alignment_room,
    )


def median(votes: Sequence[Vote]) -> Measurement:
    """Return the middle of what a jury measured, the lower of two, of each number by itself."""
    before, drop, alignment = _middle(votes, 0)
    return Measurement(before, max(0, before - drop), alignment)


def _middle(votes: Sequence[Vote], above: int) -> tuple[int, int, int]:
    """Return the middle of loss before, loss drop and alignment; of two the lower, or the one above."""
    measured, at = [vote.measured for vote in votes], (len(votes) - 1 + above) // 2
    return (
        sorted(each.loss_before for each in measured)[at],
        sorted(each.loss_before - each.loss_after for each in measured)[at],
        sorted(each.alignment for each in measured)[at],
    )
