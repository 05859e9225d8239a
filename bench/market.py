"""Random histories of a market: judges, miners, nominators, owners and root do anything to five subnets.

    python -m bench.market [--histories 200] [--moves 250] [--seed 0] [--json FILE]

After every block money is conserved to the planck, every row belongs to a neuron, every sealed row is opened
or missed once, and every pallet says that its state is sound. A history that breaks any of it ends the run.
"""

import time
from collections import Counter

from bench.record import finish, parser
from runtime.frame.errors import MISTAKES, RuntimeTrap
from tests.runtime.pallets.game import Game, random_moves


def main() -> None:
    """Play the histories and report."""
    flags = parser(__doc__)
    flags.add_argument("--histories", type=int, default=200, help="random histories to play [200]")
    flags.add_argument("--moves", type=int, default=250, help="calls and pauses in each [250]")
    flags.add_argument("--seed", type=int, default=0, help="of the first history [0]")
    given = flags.parse_args()
    began, blocks, done = time.process_time(), 0, Counter[str]()
    for seed in range(given.seed, given.seed + given.histories):
        game = Game(judges=1 + seed % 4)
        try:
            game.play(random_moves(seed, given.moves))
        except (*MISTAKES, RuntimeTrap) as broken:
            broken.add_note(f"the history of seed {seed} broke the market in block {game.ext.number}")
            raise
        blocks += game.ext.number
        done.update(game.done)
    figures = {
        "seed": given.seed,
        "histories": given.histories,
        "moves": given.histories * given.moves,
        "blocks": blocks,
        "broken": 0,
        "cpu_seconds": round(time.process_time() - began, 1),
        "happened": dict(sorted(done.items())),
    }
    finish("market", figures, given)


if __name__ == "__main__":
    main()
