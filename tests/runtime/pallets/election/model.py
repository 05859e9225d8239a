"""Sequential Phragmen as the paper tells it, exact and slow: voters earn, and buy whom they vote for.

Every planck of stake earns 1 per unit of time. As soon as the voters of a candidate without a seat hold 1
together, they buy it the seat with all they have. Brill et al. 2017, section 3, "another formulation".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

Vote = tuple[int, Sequence[int]]
"""planck, and the candidates"""


@dataclass(frozen=True)
class Outcome:
    """Who is elected, when, who paid how much, and whether ever two could have been bought first."""

    seats: list[tuple[int, Fraction]]
    paid: list[dict[int, Fraction]]
    tied: bool


def elect(candidates: int, votes: Sequence[Vote], seats: int) -> Outcome:
    """Let time run until so many seats are bought, or nobody earns for whoever is left."""
    purse = [Fraction(0)] * len(votes)
    paid: list[dict[int, Fraction]] = [{} for _ in votes]
    now, bought, tied = Fraction(0), [], False
    for _ in range(seats):
        due = {}
        for candidate in set(range(candidates)) - {seat for seat, _ in bought}:
            backers = [at for at, (_, named) in enumerate(votes) if candidate in named]
            income = sum(votes[at][0] for at in backers)
            if income:
                due[candidate] = (1 - sum(purse[at] for at in backers)) / income
        if not due:
            break
        wait = min(due.values())
        first = sorted(candidate for candidate, when in due.items() if when == wait)
        tied = tied or len(first) > 1
        now += wait
        purse = [held + stake * wait for held, (stake, _) in zip(purse, votes, strict=True)]
        bought.append((first[0], now))
        for at, (_, named) in enumerate(votes):
            if first[0] in named:
                paid[at][first[0]], purse[at] = purse[at], Fraction(0)
    return Outcome(bought, paid, tied)


def is_justified(candidates: int, votes: Sequence[Vote], seats: int, elected: set[int]) -> bool:
    """Say whether proportional justified representation holds, by trying every group of voters.

    A group with a share of l/seats of all stake that agrees on l candidates has l of all it names elected.
    """
    everything = sum(stake for stake, _ in votes)
    for size in range(1, len(votes) + 1):
        for group in combinations(votes, size):
            agreed = set(range(candidates)).intersection(*(named for _, named in group))
            share = sum(stake for stake, _ in group) * seats // everything if everything else 0
            named = set().union(*(named for _, named in group))
            if len(named & elected) < min(share, len(agreed)):
                return False
    return True
