"""From what a judge has measured, now and before, to the scores that it publishes: integers alone.

    scored(measured, hotkeys, earlier, ema_ppm) -> the row to publish

The memory behind a score is the trail: `earlier` are the rows that this judge has published, newest first, by
hotkey. So nothing is lost with a judge's disk, and anybody computes every score again.

    worth of a payload   alignment, cut to 0..2; 0 where it fails the gate: the hidden loss rises, or hardly
                         falls where it falls much with most others
    standing             moving average of its miner's worths: each round keeps ema_ppm of what was
    score                share of all standings, of those that pass the gate, point where the others point,
                         and come from miners whose updates help on their own text more than on other text,
                         where that can be told: where most updates of the round come from such miners

With fewer than four payloads that pass the gate nobody points anywhere, and a score is a share of the loss
that was removed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from runtime.primitives.commitments import PPM, Score

LEAST_COUNTED = 4
"""Alignment with fewer payloads says too little."""
MOST_ROUNDS = 64
"""Rounds before, whose rows are read: 0.8 a round keeps less than a millionth of what is older."""
LOSS_NOISE_PPM = 2_000
"""A loss that rises by so much of itself has not risen: noise of an honest norm moves it by half of that."""
LEARNING_PPM = 10_000
"""Where most payloads remove so much of the loss or more, what they remove is five times what noise moves."""
IDLE_PPM = 100_000
"""There, who removes less than so much of the median has learnt nothing, however well it points: friends may
agree on noise. Threshold: honest payloads of a round removed a third of the median or more."""
MOST_WORTH = 2 * PPM
OWN_KEEPS_PPM = 950_000
"""Of the moving average of signs: whether updates help on their miner's own text more than on other text."""
OWN_BEGINS_PPM = 300_000
"""A miner that never helps its own text more is found out in its fourth round among old hands."""
OWN_LEAST_PPM = 100_000
"""At or below this average a miner has not trained on its own text, and scores nothing."""
OWN_WORKS_PPM = 500_000
"""Least median average of a round in which that holds. Signs that are right in three rounds of four come to
it. Of a young or a tiny model they are near chance, and chance keeps all averages of a round below it."""

Row = Mapping[bytes, Score]
"""What a judge published in one round, by the hotkey of the miner."""


def scored(
    measured: Sequence[Score], hotkeys: Mapping[int, bytes], earlier: Sequence[Row], ema_ppm: int
) -> list[Score]:
    """Return what was measured with its scores; `earlier` is newest first, `hotkeys` those of the uids."""
    if is_aligned(measured):
        now, past = _worths(measured), [(row, _worths(row.values())) for row in earlier]
        parts = _standings([_History.of(one, hotkeys[one.uid], now, past) for one in measured], ema_ppm)
    else:
        parts = [max(0, _drop(one)) for one in measured]
    total = sum(parts)
    return [
        replace(one, score=part * PPM // total if total else 0)
        for one, part in zip(measured, parts, strict=True)
    ]


def is_aligned(row: Iterable[Score]) -> bool:
    """Say whether so many payloads of a round pass the gate that they have an alignment."""
    return len(counted(row)) >= LEAST_COUNTED


def counted(row: Iterable[Score]) -> list[int]:
    """Return the uids whose payloads pass the gate: alignment is with their mean."""
    entering = [one for one in row if passes(one)]
    usual = _lower_median([_drop(one) for one in entering]) if entering else 0
    return [one.uid for one in entering if not _is_idle(one, usual)]


def passes(one: Score) -> bool:
    """Say whether the hidden loss was measured with a payload, and did not rise."""
    room = one.loss_before * LOSS_NOISE_PPM // PPM
    return one.loss_after != one.loss_before and one.loss_after <= one.loss_before + room


def _is_idle(one: Score, usual: int) -> bool:
    """Say whether a payload removes hardly anything of the loss where others remove `usual` micro-nats."""
    return usual * PPM >= one.loss_before * LEARNING_PPM and _drop(one) * PPM < usual * IDLE_PPM


def _drop(one: Score) -> int:
    return one.loss_before - one.loss_after


@dataclass(frozen=True, slots=True)
class _History:
    """What a judge has measured of a miner."""

    now: Score
    passes: bool  # now
    worths: list[int]  # ppm, of the rounds in which enough passed the gate, newest first
    own: int  # moving average of signs, ppm

    @classmethod
    def of(cls, now: Score, hotkey: bytes, worths: "_Worths", past: Sequence[tuple[Row, "_Worths"]]) -> Self:
        """Gather it; worths are those of this row, and of each row before."""
        before = [(row[hotkey], by_uid) for row, by_uid in past if hotkey in row]
        own = own_average([now, *(entry for entry, _ in before)])
        aligned = [(entry, by_uid) for entry, by_uid in before if len(by_uid) >= LEAST_COUNTED]
        earned = [by_uid.get(entry.uid, 0) for entry, by_uid in [(now, worths), *aligned]]
        return cls(now, now.uid in worths, earned, own)


_Worths = Mapping[int, int]
"""By uid, of the payloads of a row that pass the gate, ppm."""


def _worths(row: Iterable[Score]) -> _Worths:
    entries = {one.uid: one for one in row}
    return {uid: min(max(entries[uid].alignment, 0), MOST_WORTH) for uid in counted(entries.values())}


def _standings(histories: Sequence[_History], ema_ppm: int) -> list[int]:
    """Return what the shares of payloads are shares of."""
    can_tell = _lower_median([each.own for each in histories if each.passes]) >= OWN_WORKS_PPM
    return [
        average(each.worths, ema_ppm)
        if each.passes and each.now.alignment > 0 and (each.own > OWN_LEAST_PPM or not can_tell)
        else 0
        for each in histories
    ]


def _lower_median(numbers: Sequence[int]) -> int:
    return sorted(numbers)[(len(numbers) - 1) // 2]


def average(worths: Iterable[int], ema_ppm: int) -> int:
    """Return the moving average of worths (ppm), newest first, that began at 0; as ppm^3."""
    total, weight = 0, (PPM - ema_ppm) * PPM  # of PPM^2
    for worth in worths:
        total += weight * worth
        weight = weight * ema_ppm // PPM
    return total


def own_average(entries: Sequence[Score]) -> int:
    """Return the moving average (ppm) of the signs of `own_drop`; 0 was not measured. Newest first."""
    average_ppm = OWN_BEGINS_PPM
    for entry in reversed(entries):
        if entry.own_drop:
            sign = 1 if entry.own_drop > 0 else -1
            average_ppm = (average_ppm * OWN_KEEPS_PPM + sign * (PPM - OWN_KEEPS_PPM) * PPM) // PPM
    return average_ppm
