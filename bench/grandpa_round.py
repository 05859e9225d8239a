"""The round against the definitions of the GRANDPA paper: random rounds, equivocators of at most f.

    python -m bench.grandpa_round [--rounds 20000] [--seed 0] [--json FILE]

After every vote the ghost, the estimate, the finalised block and completability must equal those of a model
that knows only the paper's definitions. Any difference ends the run with the round that showed it. Also says
what a vote costs the node in a set of 300 voters with 10,000 unfinalised blocks.
"""

import random
import time
from dataclasses import dataclass

from bench.record import finish, parser
from chain.consensus.grandpa.round import Round, VoterSet
from runtime.primitives.grandpa import Block, Precommit, Prevote, SignedMessage
from runtime.primitives.types import Hash
from tests.chain.consensus.grandpa.differential import campaign

VOTERS, BLOCKS = 300, 10_000


@dataclass(frozen=True)
class Line:
    """A chain without forks."""

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block."""
        number = int.from_bytes(block, "big")
        return (Hash((number - 1).to_bytes(32, "big")), number - 1) if number else None


def vote_us(spread: int) -> float:
    """Return microseconds per vote, state included, with votes spread over the highest blocks."""
    rng = random.Random(1)
    voters = VoterSet([(voter.to_bytes(32, "big"), 1) for voter in range(VOTERS)])
    round_ = Round(1, voters, (Hash(bytes(32)), 0), Line())
    votes = [
        SignedMessage(kind(Hash(number.to_bytes(32, "big")), number), bytes(64), public)
        for kind in (Prevote, Precommit)
        for public in voters.ids
        for number in [BLOCKS - rng.randrange(spread)]
    ]
    began = time.perf_counter()
    for vote in votes:
        round_.add(vote)
        assert round_.state is not None
    return (time.perf_counter() - began) / len(votes) * 1e6


def main() -> None:
    """Play the rounds and report."""
    flags = parser(__doc__)
    flags.add_argument("--rounds", type=int, default=20_000, help="random rounds to play [20000]")
    flags.add_argument("--seed", type=int, default=0, help="of the random rounds [0]")
    given = flags.parse_args()
    began = time.perf_counter()
    votes = campaign(given.seed, given.rounds)
    figures = {
        "seed": given.seed,
        "rounds": given.rounds,
        "votes": votes,
        "differences": 0,
        "seconds": round(time.perf_counter() - began, 1),
        "vote_us_one_target": round(vote_us(1), 1),
        "vote_us_targets_over_100_blocks": round(vote_us(100), 1),
        "vote_us_targets_over_10000_blocks": round(vote_us(BLOCKS), 1),
    }
    finish("grandpa_round", figures, given)


if __name__ == "__main__":
    main()
