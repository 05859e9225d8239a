"""As few backers as possible for the same election: circles among voters and candidates are cancelled.

    a voter's parts behind A and B, where others link A and B already: move stake around the circle

             + d           - d            + d           - d
       voter ---- A -- other ---- C -- another ---- B ---- voter        until one part is nothing

Every voter's stake and all that is behind a candidate stay as they were, to the planck. What is left has no
circles, so there are fewer parts than voters and candidates: nearly every voter backs one candidate alone.
That is what is exposed, paid and slashed one by one. The state after any number of voters is a plain value.
Source: sp-npos-elections, reduce.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from runtime.pallets.election.phragmen import Voter, parts
from runtime.primitives.shapes import struct, u16, u32
from runtime.primitives.types import AccountId, Balance

NOBODY, SEVERAL = 0xFFFF, 0xFFFE
"""Instead of a candidate's index: the voter backs nobody elected, or more than one."""
FOR_A_VOTER, FOR_A_PART = 4, 2
"""Steps of looking at a voter and of splitting its stake: each about as long as one around a circle."""


@struct("pallet_election::Support")
class Support:
    """What stands behind an elected validator, in planck: all, its own, and that of each nominator."""

    stash: AccountId
    total: Balance
    own: Balance
    others: list[tuple[AccountId, Balance]]


@struct("pallet_election::Shared")
class Shared:
    """A voter, by its place in the snapshot, who backs several candidates; planck by candidate."""

    voter: u32
    parts: list[tuple[u16, Balance]]


@struct("pallet_election::Backing")
class Backing:
    """Whom voters back: `single` by place in the snapshot, as far as looked at, and those with several."""

    single: list[u16]
    shared: list[Shared]


def back(
    backing: Backing, voters: Sequence[Voter], scores: Sequence[int], budget: int
) -> tuple[Backing, int]:
    """Look at one voter more, and further ones while there is budget; return the steps that took too.

    `voters` are all of the snapshot; `scores` those of the finished tally.
    """
    single, forest = list(backing.single), _Forest(backing.shared)
    for voter in voters[len(single) :]:
        place, split = len(single), parts(voter, scores)
        single.append(NOBODY)
        for other, candidate in forest.add(place, split):
            single[other] = candidate
        forest.steps += FOR_A_VOTER + FOR_A_PART * len(split)
        if forest.steps >= budget:
            break
    return Backing(single, forest.listed()), forest.steps


def backed_by(backing: Backing, voters: Sequence[Voter]) -> Iterator[tuple[Voter, int, int]]:
    """Yield (voter, candidate, planck) for all that stands behind somebody."""
    shared = {each.voter: each.parts for each in backing.shared}
    for place, candidate in enumerate(backing.single):
        voter = voters[place]
        if candidate == SEVERAL:
            for one, value in shared[place]:
                yield voter, one, value
        elif candidate != NOBODY:
            yield voter, candidate, voter.stake


def behind(backing: Backing, voters: Sequence[Voter], candidates: int) -> list[Balance]:
    """Return how much stands behind each candidate."""
    sums = [0] * candidates
    for _, candidate, value in backed_by(backing, voters):
        sums[candidate] += value
    return sums


def supports(
    backing: Backing, voters: Sequence[Voter], candidates: Sequence[AccountId], elected: Sequence[int]
) -> list[Support]:
    """Return what stands behind everybody elected, in the order of `elected`."""
    own = dict.fromkeys(elected, 0)
    others: dict[int, list[tuple[AccountId, int]]] = {candidate: [] for candidate in elected}
    for voter, candidate, value in backed_by(backing, voters):
        if voter.who == candidates[candidate]:
            own[candidate] += value
        else:
            others[candidate].append((voter.who, value))
    return [
        Support(candidates[at], value + sum(part for _, part in others[at]), value, others[at])
        for at, value in own.items()
    ]


class _Forest:
    """Those who back several candidates, as trees: a candidate hangs by one of its voters from another.

    Invariant: no two candidates are linked in two ways.
    """

    def __init__(self, shared: Iterable[Shared]) -> None:
        self.steps = 0
        self._parts = {each.voter: dict(each.parts) for each in shared}
        self._root: dict[int, int] = {}
        self._above: dict[int, tuple[int, int]] = {}
        self._plant()

    def listed(self) -> list[Shared]:
        """Return those who back several."""
        return [Shared(voter, list(backed.items())) for voter, backed in self._parts.items()]

    def add(self, voter: int, split: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Take a voter in; return (voter, candidate) for it, and for those left with one of several."""
        kept: dict[int, int] = {}
        settled: list[tuple[int, int]] = []
        for candidate, value in split:
            root = self._root.get(candidate, candidate)
            linked = [each for each in kept if self._root.get(each, each) == root]
            kept[candidate] = value
            if linked:
                settled += self._cancel(kept, linked[0], candidate)
        if len(kept) > 1:
            self._parts[voter] = kept
            self._plant()
            return [*settled, (voter, SEVERAL)]
        return [*settled, *((voter, candidate) for candidate in kept)]

    def _cancel(self, kept: dict[int, int], one: int, other: int) -> list[tuple[int, int]]:
        """Break the circle voter, one, ..., other, voter; by a part of this voter's if that is possible."""
        path = self._path(one, other)
        down, up = [(kept, other), *path[::2]], [(kept, one), *path[1::2]]
        least_down = min([backed[candidate] for backed, candidate in down])
        least_up = min([backed[candidate] for backed, candidate in up])
        if least_down != kept[other] and (least_up == kept[one] or least_up < least_down):
            down, up, least_down = up, down, least_up
        for backed, candidate in up:
            backed[candidate] += least_down
        emptied = False
        for backed, candidate in down:
            backed[candidate] -= least_down
            if not backed[candidate]:
                del backed[candidate]
                emptied = emptied or backed is not kept
        return self._settle() if emptied else []

    def _settle(self) -> list[tuple[int, int]]:
        """Let those go who back only one by now."""
        alone = [voter for voter, backed in self._parts.items() if len(backed) == 1]
        settled = [(voter, candidate) for voter in alone for candidate in self._parts.pop(voter)]
        self._plant()
        return settled

    def _path(self, one: int, other: int) -> list[tuple[dict[int, int], int]]:
        """Return the parts on the way from a candidate to another of its tree: two of each voter on it."""
        first: list[tuple[int, int]] = []
        passed = {one: 0}
        at = one
        while at in self._above:
            voter, higher = self._above[at]
            first += (voter, at), (voter, higher)
            passed[higher] = len(first)
            at = higher
        last: list[tuple[int, int]] = []
        at = other
        while at not in passed:
            voter, higher = self._above[at]
            last += (voter, at), (voter, higher)
            at = higher
        del first[passed[at] :]
        if first and last and first[-1] == last[-1]:  # one voter links both ways: not by way of the top
            del first[-1], last[-1]
        self.steps += len(first) + len(last)
        return [(self._parts[voter], candidate) for voter, candidate in (*first, *reversed(last))]

    def _plant(self) -> None:
        """Hang every linked candidate from a root."""
        voters: dict[int, list[int]] = {}
        for voter, backed in self._parts.items():
            for candidate in backed:
                voters.setdefault(candidate, []).append(voter)
        self._root, self._above = {}, {}
        for root in voters:
            if root in self._root:
                continue
            self._root[root] = root
            waiting = deque([root])
            while waiting:
                at = waiting.popleft()
                for voter in voters[at]:
                    for candidate in self._parts[voter]:
                        if candidate not in self._root:
                            self._root[candidate], self._above[candidate] = root, (voter, at)
                            waiting.append(candidate)
        self.steps += 2 * len(self._root)
