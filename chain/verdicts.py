"""What became of the updates of a round, and why, in words: read off what `training_round` answers.

A judge says why only by its numbers, so the causes here are what the numbers allow to say.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runtime.primitives.commitments import MAX_WEIGHT, PPM

VOID_REASONS = {
    "NoCommits": "no miner committed",
    "NoReveals": "no miner revealed",
    "NoBeacon": "too few authors for a beacon",
    "NoScores": "no judge opened scores",
    "NothingAccepted": "no update was accepted",
    "NoMajority": "judges did not agree on one model",
    "Paused": "the subnet was paused",
}
"""What Training's reasons mean."""

Json = Mapping[str, Any]
"""what the node answers"""


class Cause(Enum):
    """Why a judge gave an update nothing; the value is its label among the metrics."""

    CheapChecks = "cheap_checks"
    NoGain = "no_gain"
    Against = "against"
    Record = "record"
    Unfetched = "unfetched"

    @property
    def words(self) -> str:
        """Say it to a person."""
        return _WORDS[self]


_WORDS = {
    Cause.CheapChecks: "failed the cheap checks",
    Cause.NoGain: "does not lower the loss",
    Cause.Against: "works against the other updates",
    Cause.Record: "gains too little, now or in the rounds before",
    Cause.Unfetched: "could not be fetched or measured in time",
}


def cause_of(score: int, before: int, after: int, alignment: int) -> Cause | None:
    """Return why a row of a judge gives nothing; None when it gives something. Losses are micro-nats."""
    if score:
        return None
    if before == after:
        return Cause.CheapChecks
    if after > before:
        return Cause.NoGain
    return Cause.Against if alignment < 0 else Cause.Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one update; `ppm` is its weight in the model, 0 when it did not enter."""

    uid: int
    miner: str  # address
    length: int  # bytes
    ppm: int
    rank: int  # 1 is the best of `of`; equal weights share it
    of: int
    judges: int  # that opened scores
    causes: tuple[tuple[Cause, int], ...]  # of those that gave nothing, the most frequent first
    is_guilty: bool  # evidence against it was accepted

    @property
    def why(self) -> str:
        """Say why it did not enter; nothing when it did."""
        if self.ppm:
            return ""
        if self.is_guilty:
            return "its miner signed for other bytes than it revealed"
        if not self.judges:
            return "no judge opened scores"
        said = [f"{cause.words} ({self._share(count)})" for cause, count in self.causes]
        in_favour = self.judges - sum(count for _, count in self.causes)
        if in_favour:
            said.insert(0, f"{in_favour} of {self.judges} judges gave it a score, not with half of the stake")
        return "; ".join(said)

    def _share(self, count: int) -> str:
        if count < self.judges:
            return f"{count} of {self.judges} judges"
        return f"all {count} judges" if count > 1 else "the only judge"


def outcomes(found: Json) -> list[Outcome]:
    """Return what became of each update, the best first."""
    weights = {each["hotkey"]: each["weight"] * PPM // MAX_WEIGHT for each in found["state"]["accepted"]}
    rows = [each["scores"] for each in found["judges"] if each["scores"] is not None]
    updates = [(weights.get(each["update"]["miner"], 0), each) for each in found["updates"]]
    made = [
        Outcome(
            uid=each["uid"],
            miner=each["update"]["miner"],
            length=each["update"]["length"],
            ppm=ppm,
            rank=1 + sum(1 for other, _ in updates if other > ppm),
            of=len(updates),
            judges=len(rows),
            causes=_causes(each["uid"], rows),
            is_guilty=each["isGuilty"],
        )
        for ppm, each in updates
    ]
    return sorted(made, key=lambda one: (one.rank, one.uid))


def _causes(uid: int, rows: list[list[Json]]) -> tuple[tuple[Cause, int], ...]:
    """Return why judges gave a uid nothing, and how many of them."""
    counted: Counter[Cause] = Counter()
    for row in rows:
        own = next((each for each in row if each["uid"] == uid), None)
        cause = (
            Cause.Unfetched
            if own is None
            else cause_of(own["score"], own["lossBefore"], own["lossAfter"], own["alignment"])
        )
        if cause is not None:
            counted[cause] += 1
    return tuple(counted.most_common())
