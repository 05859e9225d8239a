"""What a round proves, by the definitions of the GRANDPA paper alone: slow, plain, and nothing of the node's.

A voter of weight w is w voters who vote alike. A set of votes is tolerant when at most f of them equivocate.
It has a supermajority for B when all but f voters vote for B or above, or equivocate; g is the highest such
block. B is possible when a tolerant set of votes that includes these has a supermajority for it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

Votes = list[tuple[int, int]]
"""voter and block, in the order cast"""


@dataclass(frozen=True)
class Tree:
    """Blocks 0, 1, ...; each but the first has a parent with a lower number."""

    parents: tuple[int, ...]  # of block 0, itself

    def chain(self, block: int) -> list[int]:
        """Return a block and everything below it."""
        found = [block]
        while found[-1]:
            found.append(self.parents[found[-1]])
        return found

    def height(self, block: int) -> int:
        """Return how many blocks lie below."""
        return len(self.chain(block)) - 1

    def above(self, base: int) -> list[int]:
        """Return a block and everything that descends from it."""
        return [block for block in range(len(self.parents)) if base in self.chain(block)]


@dataclass(frozen=True)
class Verdict:
    """What is known of a round."""

    ghost: int | None
    estimate: int | None
    finalized: int | None
    completable: bool


@dataclass(frozen=True)
class Model:
    """A round above a base, with one voter per unit of weight."""

    tree: Tree
    weights: tuple[int, ...]
    base: int

    @property
    def tolerated(self) -> int:
        """f: less than a third."""
        return (sum(self.weights) - 1) // 3

    def units(self, votes: Votes) -> list[set[int]]:
        """Return what each unit of weight has voted for."""
        cast = [{block for voter, block in votes if voter == each} for each in range(len(self.weights))]
        return [set(cast[voter]) for voter, weight in enumerate(self.weights) for _ in range(weight)]

    def supports(self, unit: set[int], block: int) -> bool:
        """Say whether a unit votes for a block or above, or equivocates."""
        return len(unit) > 1 or any(block in self.tree.chain(each) for each in unit)

    def has_supermajority(self, units: list[set[int]], block: int) -> bool:
        """Say whether all but f support a block."""
        return sum(self.supports(unit, block) for unit in units) >= len(units) - self.tolerated

    def is_possible(self, units: list[set[int]], block: int) -> bool:
        """Say whether votes may yet come that give a block its supermajority: build those best for it."""
        future = [unit or {block} for unit in units]
        equivocating = sum(len(unit) > 1 for unit in future)
        for index, unit in enumerate(future):
            if equivocating < self.tolerated and not self.supports(unit, block):
                future[index] = unit | {block}
                equivocating += 1
        return self.has_supermajority(future, block)

    def highest(self, blocks: list[int]) -> int | None:
        """Return the highest of these blocks."""
        return max(blocks, key=self.tree.height, default=None)

    def ghost(self, votes: Votes) -> int | None:
        """g: the highest block with a supermajority."""
        units = self.units(votes)
        return self.highest([b for b in self.tree.above(self.base) if self.has_supermajority(units, b)])

    def verdict(self, prevotes: Votes, precommits: Votes) -> Verdict:
        """Say what is known of the round."""
        ghost = self.ghost(prevotes)
        if ghost is None:
            return Verdict(None, None, None, False)
        units = self.units(precommits)
        if sum(map(bool, units)) < len(units) - self.tolerated:
            return Verdict(ghost, ghost, None, False)
        below = [block for block in self.tree.chain(ghost) if self.base in self.tree.chain(block)]
        estimate = self.highest([block for block in below if self.is_possible(units, block)])
        final = self.highest([block for block in below if self.has_supermajority(units, block)])
        children = [
            block for block in self.tree.above(ghost) if block != ghost and self.tree.parents[block] == ghost
        ]
        settled = estimate is not None and (
            estimate != ghost or not any(self.is_possible(units, child) for child in children)
        )
        return Verdict(ghost, estimate, final, settled)


@dataclass(frozen=True)
class Case:
    """A round to play: whose votes come in which order."""

    model: Model
    steps: tuple[tuple[bool, int, int], ...]  # is a precommit, voter, block


def cases(seed: int) -> Iterator[Case]:
    """Yield random rounds for ever; per phase, equivocators weigh at most f."""
    rng = random.Random(seed)
    while True:
        size = rng.randint(1, rng.choice((6, 14, 40)))
        straight = rng.choice((0.3, 0.7, 0.95))
        parents = [0] + [
            block - 1 if rng.random() < straight else rng.randrange(block) for block in range(1, size)
        ]
        weights = tuple(rng.randint(1, rng.choice((1, 3, 9))) for _ in range(rng.randint(1, 7)))
        model = Model(Tree(tuple(parents)), weights, rng.randrange(size) if rng.random() < 0.3 else 0)
        steps = [step for phase in (False, True) for step in _steps(rng, model, phase)]
        if rng.random() < 0.5:
            rng.shuffle(steps)
        yield Case(model, tuple(steps))


def _steps(rng: random.Random, model: Model, phase: bool) -> Iterator[tuple[bool, int, int]]:
    votable = model.tree.above(model.base)
    favourite = rng.choice(votable)
    left = model.tolerated
    for voter, weight in enumerate(model.weights):
        if rng.random() < 0.12:
            continue
        close = [block for block in votable if block in model.tree.chain(favourite)]
        yield phase, voter, rng.choice(close if rng.random() < 0.6 else votable)
        if weight <= left and rng.random() < 0.4:
            left -= weight
            yield phase, voter, rng.choice(votable)
            if rng.random() < 0.3:
                yield phase, voter, rng.choice(votable)
