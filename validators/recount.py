"""Published scores computed again, and measurements of several judges compared: pure, from the trail alone.

differences(sittings, first, last) -> where a judge published a score that its own rows do not give
deviations(sitting, stakes) -> how far each judge's measurements are from the median of all
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.pallets.verification.outcomes import LEAST_SCALE
from runtime.primitives.commitments import PPM, Score
from validators.scorebook import MOST_ROUNDS, Row, counted, is_aligned, scored
from validators.trail import Published, Sitting

Stakes = Mapping[bytes, int]
"""planck by hotkey of the judge; who has none has as good as no say"""


Kept = Mapping[tuple[int, bytes], tuple[Row, bool]]
"""Rows by round and hotkey of the judge, and whether each is void."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A score that does not follow from what its judge has published."""

    round: int
    judge: int  # uid
    uid: int  # of the miner
    published: int  # ppm
    computed: int  # ppm


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a measurement is from the median of all judges of the payload."""

    round: int
    judge: int
    uid: int
    what: str
    measured: int  # micro-nats, or ppm
    median: int
    off_ppm: int  # of the scale that a jury would hold it to


def differences(sittings: Mapping[int, Sitting], first: int, last: int) -> Iterator[Difference]:
    """Yield what does not follow in some rounds; the rounds before them must be there, too."""
    kept = {
        (number, each.hotkey): (sitting.joined(each), each.is_void)
        for number, sitting in sittings.items()
        for each in sitting.published
    }
    for number in range(first, last + 1):
        for published in sittings[number].published if number in sittings else ():
            yield from _of_row(kept, sittings[number], published)


def _of_row(kept: Kept, sitting: Sitting, published: Published) -> Iterator[Difference]:
    hotkeys = {score.uid: sitting.hotkeys.get(score.uid, b"") for score in published.scores}
    found = list[Difference]()
    for earlier in _memories(kept, sitting.number, published.hotkey):
        computed = scored(published.scores, hotkeys, earlier, sitting.numbers["ema_ppm"])
        pairs = zip(published.scores, computed, strict=True)
        differing = [
            Difference(sitting.number, published.judge, one.uid, one.score, other.score)
            for one, other in pairs
            if one.score != other.score
        ]
        if not differing:
            return
        found = found or differing
    yield from found


def _memories(kept: Kept, number: int, judge: bytes) -> Iterator[list[Row]]:
    """Yield what a judge may have remembered in a round: a jury's word on a late row may have come later."""
    rounds = range(number - 1, max(0, number - 1 - MOST_ROUNDS), -1)
    before = [(each, *kept[each, judge]) for each in rounds if (each, judge) in kept]
    void = [each for each, _, is_void in before if is_void]
    for known in range(len(void) + 1):  # the newest ones were not void yet
        yield [row for each, row, is_void in before if not is_void or each in void[:known]]


MEASURES: dict[str, Callable[[Score], int]] = {
    "loss before": lambda score: score.loss_before,
    "loss drop": lambda score: score.loss_before - score.loss_after,
    "alignment": lambda score: score.alignment,
}
"""What a jury measures again; the own drop is no jury's business, it moves nothing by itself."""


def deviations(sitting: Sitting, stakes: Stakes) -> Iterator[Deviation]:
    """Yield every measurement of a payload that several judges measured, with how far it is off.

    An alignment is held against those judges alone for whom the same payloads passed the gate.
    """
    given = dict[int, list[tuple[Published, Score]]]()
    for each in sitting.published:
        for score in each.scores:
            if score.loss_after != score.loss_before:
                given.setdefault(score.uid, []).append((each, score))
    passing = {
        each.judge: tuple(sorted(counted(each.scores)))
        for each in sitting.published
        if is_aligned(each.scores)
    }
    for uid, all_given in sorted(given.items()):
        alike = dict[tuple[int, ...], list[tuple[Published, Score]]]()
        for each, score in all_given:
            if each.judge in passing:
                alike.setdefault(passing[each.judge], []).append((each, score))
        for what, measure in MEASURES.items():
            for group in alike.values() if what == "alignment" else [all_given]:
                yield from _off(sitting.number, uid, what, measure, group, stakes)


def _off(
    number: int,
    uid: int,
    what: str,
    measure: Callable[[Score], int],
    group: Sequence[tuple[Published, Score]],
    stakes: Stakes,
) -> Iterator[Deviation]:
    if len(group) < 2:
        return
    middle = _median([(measure(score), stakes.get(each.hotkey, 0) + 1) for each, score in group])
    if what == "alignment":
        scale = max(abs(middle), PPM)
    else:
        before, drop = (
            _median([(MEASURES[name](score), stakes.get(each.hotkey, 0) + 1) for each, score in group])
            for name in ("loss before", "loss drop")
        )
        scale = max(1, abs(drop), before // LEAST_SCALE)
    for each, score in group:
        found = measure(score)
        yield Deviation(number, each.judge, uid, what, found, middle, abs(found - middle) * PPM // scale)


def _median(weighted: Sequence[tuple[int, int]]) -> int:
    """Return the lower weighted median of (number, weight)."""
    total, below = sum(weight for _, weight in weighted), 0
    for number, weight in sorted(weighted):
        below += weight
        if 2 * below >= total:
            return number
    raise AssertionError("a median needs numbers")
