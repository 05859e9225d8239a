"""Sequential Phragmen: who is elected, and how much of each voter stands behind whom. Pure whole numbers.

Every seat costs 1, paid by the voters of who takes it. What a voter has paid per planck of its stake is its
load. The next seat goes to the candidate whose voters would then be loaded least, all alike:

    score(c) = (1 + sum over voters of c: stake * load) / sum over voters of c: stake

and that score is their load from then on. Equal scores: the lower index. A score is a fixed-point number,
rounded down, 1 = 2^192. The state after any number of seats is a plain value (Tally); loads are not kept:

Invariant: scores never fall from seat to seat, so a voter's load is the greatest score it voted for, and the
order of seats is that of (score, index). All voters together have paid one UNIT per seat, or a little less
by rounding; so what is charged to a candidate, and any score, stays below (seats + 1) * UNIT.

A seat costs time in proportion to the votes cast by its voters: sums are kept by candidate and raised when a
voter pays, never added up again.

Source: Brill, Freeman, Janson, Lackner 2017, "Phragmen's voting methods and justified representation";
sp-npos-elections, seq_phragmen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.shapes import Bounded, Uint, struct, u16
from runtime.primitives.types import AccountId, Balance

UNIT = 1 << 192
"""The price of a seat. No stake that fits a Balance makes a score coarser than 2^-64 of itself."""
MAX_VOTES = 16
"""Candidates of one voter, FRAME's MaxNominations."""

u256 = Annotated[int, Uint(32)]


@struct("pallet_election::Voter")
class Voter:
    """Who votes, with how much, for which candidates by index, each once, in ascending order."""

    who: AccountId
    stake: Balance
    targets: Annotated[list[u16], Bounded(MAX_VOTES)]


@dataclass(frozen=True, slots=True)
class Page:
    """Some voters, and by candidate those who vote for it."""

    voters: Sequence[Voter]
    supporters: dict[int, list[Voter]]

    @classmethod
    def of(cls, voters: Sequence[Voter]) -> "Page":
        """Return the page of these voters."""
        supporters: dict[int, list[Voter]] = {}
        for voter in voters:
            for target in voter.targets:
                supporters.setdefault(target, []).append(voter)
        return cls(voters, supporters)


@struct("pallet_election::Tally")
class Tally:
    """An election after some seats, by candidate.

    `stakes`: planck of its voters. `charges`: sum of stake * load of its voters, while it has no seat.
    `scores`: at which it took its seat; 0 while it has none.
    """

    stakes: list[Balance]
    charges: list[u256]
    scores: list[u256]

    @classmethod
    def begin(cls, candidates: int, pages: Iterable[Page]) -> "Tally":
        """Return an election without a seat taken."""
        stakes = [0] * candidates
        for page in pages:
            for candidate, voters in page.supporters.items():
                stakes[candidate] += sum(voter.stake for voter in voters)
        return cls(stakes, [0] * candidates, [0] * candidates)

    def elected(self) -> list[int]:
        """Return who has a seat, in the order of the seats."""
        seated = [(score, candidate) for candidate, score in enumerate(self.scores) if score]
        return [candidate for _, candidate in sorted(seated)]

    def next_seat(self) -> tuple[int, int] | None:
        """Return (score, candidate) of the next seat; None when nobody is left whom a voter backs."""
        standing = enumerate(zip(self.stakes, self.charges, self.scores, strict=True))
        asked = (
            ((UNIT + charge) // stake, at) for at, (stake, charge, score) in standing if stake and not score
        )
        return min(asked, default=None)


def seat(tally: Tally, pages: Iterable[Page]) -> tuple[Tally, int] | None:
    """Fill one more seat; say how many votes had to be looked at. None: nobody is left to elect."""
    found = tally.next_seat()
    if found is None:
        return None
    score, winner = found
    charges, scores, looked_at = list(tally.charges), list(tally.scores), 0
    for page in pages:
        for voter in page.supporters.get(winner, ()):
            targets = voter.targets
            looked_at += len(targets)
            paid = voter.stake * (score - max([scores[target] for target in targets]))
            for target in targets:
                charges[target] += paid
    charges[winner], scores[winner] = 0, score
    return Tally(tally.stakes, charges, scores), looked_at


def parts(voter: Voter, scores: Sequence[int]) -> list[tuple[int, int]]:
    """Split a voter's stake among its elected candidates by what it paid for each; planck by candidate.

    By largest remainder, ties to the lower index: the parts add up to the stake. Nobody elected: no parts.
    """
    seated = sorted([(scores[target], target) for target in voter.targets if scores[target]])
    if not seated:
        return []
    load, last = seated[-1][0], 0
    whole, remainders = {}, []
    for score, candidate in seated:
        whole[candidate], remainder = divmod(voter.stake * (score - last), load)
        remainders.append((-remainder, candidate))
        last = score
    left = voter.stake - sum(whole.values())
    for _, candidate in sorted(remainders)[:left]:
        whole[candidate] += 1
    return [(candidate, value) for candidate, value in whole.items() if value]
