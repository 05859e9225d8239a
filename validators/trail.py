"""What judges have published, read back from the chain: whose scores, of whom, in which round.

read(chain, netuid, number, at) -> Sitting    everything that was published in a round
Rows(chain, netuid).before(number)            the rows of one judge in the rounds before, newest first
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.answers import account
from chain.client import Chain, Head
from runtime.primitives.commitments import Score
from validators.scorebook import MOST_ROUNDS, Row


@dataclass(frozen=True, slots=True)
class Published:
    """The scores of one judge in one round."""

    judge: int  # uid
    hotkey: bytes
    scores: list[Score]
    is_void: bool  # a jury found them wrong


@dataclass(frozen=True, slots=True)
class Sitting:
    """What was published in a round."""

    number: int
    hotkeys: Mapping[int, bytes]  # of the miners that revealed, by the uid that they had
    numbers: Mapping[str, int]  # what the round was made of
    published: list[Published]

    def joined(self, published: Published) -> Row:
        """Return scores by hotkey of the miner."""
        return {self.hotkeys[score.uid]: score for score in published.scores if score.uid in self.hotkeys}


async def read(chain: Chain, netuid: int, number: int, at: Head) -> Sitting | None:
    """Return what was published in a round as of a block; None where there was no such round."""
    found = await chain.rpc("training_round", netuid, number, at.hash)
    return None if found is None else sitting_of(number, found)


def sitting_of(number: int, found: Mapping[str, Any]) -> Sitting:
    """Return what a node says about a round."""
    # Of two that held a uid one after the other, the later one is who is scored.
    hotkeys = {each["uid"]: account(each["update"]["miner"]) for each in found["updates"]}
    published = [
        Published(
            each["uid"], account(each["hotkey"]), [_score(one) for one in each["scores"]], each["isVoid"]
        )
        for each in found["judges"]
        if each["hotkey"] is not None and each["scores"] is not None
    ]
    numbers = {each["parameter"]: int(each["value"]) for each in found["numbers"]}
    return Sitting(number, hotkeys, numbers, published)


def _score(found: Mapping[str, int]) -> Score:
    return Score(
        found["uid"],
        found["score"],
        found["lossBefore"],
        found["lossAfter"],
        found["alignment"],
        found["ownDrop"],
    )


class Rows:
    """What this judge has published: its memory, which it reads back after a restart."""

    def __init__(self, chain: Chain, netuid: int) -> None:
        self._chain = chain
        self._netuid = netuid
        self._known = dict[int, tuple[int, Row] | None]()  # by round: uid of the judge, and its row

    async def before(self, number: int) -> list[Row]:
        """Return the rows of the rounds before one, newest first, without those that are void by now."""
        rounds = range(number - 1, max(0, number - 1 - MOST_ROUNDS), -1)
        self._known = {each: self._known[each] for each in rounds if each in self._known}
        head = await self._chain.finalized_head()
        for missing in [each for each in rounds if each not in self._known]:
            self._known[missing] = await self._own(missing, head)
        void = await self._chain.query_map("Verification.Voided", self._netuid, at=head)
        gone = {place for place, is_void in void if is_void}
        found = [(each, self._known[each]) for each in rounds]
        return [own[1] for each, own in found if own is not None and (each, own[0]) not in gone]

    async def _own(self, number: int, at: Head) -> tuple[int, Row] | None:
        sitting = await read(self._chain, self._netuid, number, at)
        for each in sitting.published if sitting else ():
            if each.hotkey == self._chain.hotkey:
                assert sitting is not None
                return each.judge, sitting.joined(each)
        return None
