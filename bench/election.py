"""The election of 100 validators by 5,000 nominators with 16 votes each: at once, and block by block.

    python -m bench.election [--nominators 5000] [--candidates 130] [--seats 100] [--json FILE]

The whole is compared with sequential Phragmen as it is usually written (sp-npos-elections' loops: each round
looks at every vote), in floats, on the same votes in the same run; both must elect the same. Block by block
is the whole runtime over a state in memory: candidates and voters are read from Staking. A cold node decodes
every page of the snapshot again in each block. CPU time, of a block the best of three runs.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.record import finish, parser
from runtime.frame.testing import Externalities
from runtime.pallets.election import pallet
from runtime.pallets.election.pallet import Done
from runtime.pallets.election.phragmen import MAX_VOTES, Page, Tally, Voter, parts, seat
from runtime.pallets.election.reduce import Backing, Support, back, supports
from runtime.pallets.staking.types import Staked
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId
from runtime.runtime import AssayRuntime

T = TypeVar("T")
ASY = 10**12
"""planck"""
SESSION = 100
"""slots, so that an election has the time"""
RUNS = 3
"""of everything measured by block; the machine may have other work"""
LEAST_SLOT = 2_000
"""ms; a quarter of it is for executing a block"""


@dataclass(frozen=True)
class Roll:
    """Who stands with how much, and who votes with how much for whom; planck."""

    candidates: dict[AccountId, int]
    nominators: dict[AccountId, tuple[int, list[AccountId]]]
    seats: int

    @classmethod
    def draw(cls, candidates: int, nominators: int, seats: int) -> "Roll":
        """Return the same roll every time: stakes over three orders of magnitude."""
        chance = random.Random(1)
        standing = {account(at): chance.randrange(10_000, 100_000) * ASY for at in range(candidates)}
        names = list(standing)
        voting = {
            account(candidates + at): (
                int(10 ** chance.uniform(2, 5)) * ASY,
                chance.sample(names, min(MAX_VOTES, candidates)),
            )
            for at in range(nominators)
        }
        return cls(standing, voting, seats)


def account(number: int) -> AccountId:
    """Return an account nobody needs the key of."""
    return AccountId(blake2_256(number.to_bytes(4, "big")))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what work returns, and its CPU time in seconds."""
    began = time.process_time()
    done = work()
    return done, time.process_time() - began


# At once.


def pages_of(roll: Roll) -> tuple[list[AccountId], list[Page]]:
    """Return the candidates, and all voters in pages as a snapshot has them."""
    names = sorted(roll.candidates)
    listed = [(who, stake, [who]) for who, stake in roll.candidates.items()]
    listed += [(who, stake, named) for who, (stake, named) in roll.nominators.items()]
    chunks = [listed[at : at + 512] for at in range(0, len(listed), 512)]
    return names, [Page.of(pallet.ballots(chunk, names)) for chunk in chunks]


def fill(names: list[AccountId], pages: list[Page], seats: int) -> Tally:
    """Fill the seats."""
    tally = Tally.begin(len(names), pages)
    for _ in range(seats):
        seated = seat(tally, pages)
        assert seated is not None, "there are fewer candidates than seats"
        tally, _ = seated
    return tally


def usual(candidates: int, voters: list[Voter], seats: int) -> list[int]:
    """Return the winners by loops over all votes in every round, in floats."""
    stakes, loads, elected = [0.0] * candidates, [0.0] * len(voters), []
    for voter in voters:
        for target in voter.targets:
            stakes[target] += voter.stake
    standing = [stake > 0 for stake in stakes]
    for _ in range(seats):
        scores = [1 / stake if stands else 0.0 for stake, stands in zip(stakes, standing, strict=True)]
        for voter, load in zip(voters, loads, strict=True):
            if load:
                for target in voter.targets:
                    if standing[target]:
                        scores[target] += voter.stake * load / stakes[target]
        winner = min((at for at in range(candidates) if standing[at]), key=lambda at: scores[at])
        standing[winner] = False
        elected.append(winner)
        for at, voter in enumerate(voters):
            if winner in voter.targets:
                loads[at] = scores[winner]
    return elected


def at_once(roll: Roll) -> tuple[dict[str, Any], list[Support]]:
    """Measure the whole election without a chain, and as it is usually written."""
    names, pages = pages_of(roll)
    tally, seats_s = timed(lambda: fill(names, pages, roll.seats))
    voters = pallet.everybody(pages)
    (backing, _), assign_s = timed(lambda: back(Backing([], []), voters, tally.scores, 1 << 60))
    found = supports(backing, voters, names, tally.elected())
    other, usual_s = timed(lambda: usual(len(names), voters, roll.seats))
    assert other == tally.elected(), "floats elect others"
    figures = {
        "seats_s": round(seats_s, 3),
        "assign_s": round(assign_s, 3),
        "usual_floats_s": round(usual_s, 3),
        "usual_to_ours": round(usual_s / seats_s, 1),
        "parts": sum(len(parts(voter, tally.scores)) for voter in voters),
        "parts_left": sum(len(support.others) + (support.own > 0) for support in found),
    }
    return figures, found


# Block by block.


class Chain:
    """The whole runtime with such a roll in Staking; a block is open, a session begins with the next."""

    def __init__(self, roll: Roll) -> None:
        hexed = {who: "0x" + who.hex() for who in (*roll.candidates, *roll.nominators)}
        purses = [[hexed[who], stake + ASY] for who, stake in roll.candidates.items()]
        purses += [[hexed[who], stake + ASY] for who, (stake, _) in roll.nominators.items()]
        keys = [[hexed[who], {"babe": hexed[who], "grandpa": hexed[who]}] for who in roll.candidates]
        stakers = [[hexed[who], stake] for who, stake in roll.candidates.items()]
        genesis = {
            "constants": {"Babe": {"EpochDuration": SESSION}},
            "balances": {"balances": purses},
            "session": {"keys": keys},
            "staking": {"validator_count": roll.seats, "stakers": stakers},
        }
        self.ext = Externalities(AssayRuntime, genesis=genesis)
        self.ext.number = 0
        self.open()
        for who, (stake, named) in roll.nominators.items():
            self.ext.dispatch(who, "Staking", "bond", stake, Staked())
            self.ext.dispatch(who, "Staking", "nominate", named)

    def open(self) -> None:
        """Open the next block."""
        self.ext.open_block((pre_digest_item(SecondaryPlain(0, 1_000 + self.ext.number)),))

    def block(self) -> float:
        """Close the block, and open the next with what its hooks do; return ms of the latter."""
        self.ext.close_block()
        _, seconds = timed(self.open)
        return seconds * 1_000

    def weight_ms(self) -> float:
        """Return what the open block's hooks say they weigh."""
        used: int = self.ext.runtime.system.block_weight.get().mandatory.ref_time
        return used / 10**9


def by_block(roll: Roll, right: list[Support], cold: bool) -> dict[str, Any]:
    """Measure every block of an election, the best of some runs each, and taking the result."""
    runs = [one_run(roll, right, cold) for _ in range(RUNS)]
    times = [min(of_block) for of_block in zip(*(run.times for run in runs), strict=True)]
    return {
        "blocks": len(times),
        "largest_ms": round(max(times), 1),
        "largest_weight_ms": round(max(runs[0].weights), 1),
        "all_ms": round(sum(times), 1),
        "take_ms": round(min(run.take for run in runs), 1),
    }


@dataclass(frozen=True)
class Run:
    """CPU time and weight of each block, and the time to take the result, in ms."""

    times: list[float]
    weights: list[float]
    take: float


def one_run(roll: Roll, right: list[Support], cold: bool) -> Run:
    """Hold an election over blocks; it must elect the same."""
    chain = Chain(roll)
    chain.ext.runtime.election.start()
    times, weights = [], []
    while not isinstance(chain.ext.runtime.election.current_phase.get(), Done):
        if cold:
            pallet._PAGES.clear()
        times.append(chain.block())
        weights.append(chain.weight_ms())
    taken, elect_s = timed(chain.ext.runtime.election.elect)
    assert [(each.stash, each.total) for each in taken] == [(each.stash, each.total) for each in right]
    return Run(times, weights, elect_s * 1_000)


def rotation(roll: Roll) -> dict[str, Any]:
    """Measure the block that begins a session: it takes the result and exposes the stakers."""
    chain = Chain(roll)
    chain.ext.runtime.election.start()
    while chain.ext.runtime.session.current_index.get() == 0:
        milliseconds = chain.block()
    return {
        "take_and_expose_ms": round(milliseconds, 1),
        "take_and_expose_weight_ms": round(chain.weight_ms(), 1),
    }


def main() -> None:
    """Hold the elections and report."""
    flags = parser(__doc__)
    flags.add_argument("--nominators", type=int, default=5_000, help="with up to 16 votes each [5000]")
    flags.add_argument(
        "--candidates", type=int, default=130, help="who stand, with a vote for themselves [130]"
    )
    flags.add_argument("--seats", type=int, default=100, help="validators to elect [100]")
    given = flags.parse_args()
    roll = Roll.draw(given.candidates, given.nominators, given.seats)
    figures, right = at_once(roll)
    sizes = {"seats": given.seats, "candidates": given.candidates, "nominators": given.nominators}
    measured = {
        **sizes,
        "votes": sum(len(named) for _, named in roll.nominators.values()) + given.candidates,
        "quarter_of_a_slot_ms": LEAST_SLOT // 4,
        **figures,
        "warm": by_block(roll, right, cold=False),
        "cold": by_block(roll, right, cold=True),
        **rotation(roll),
    }
    finish("election", measured, given)


if __name__ == "__main__":
    main()
