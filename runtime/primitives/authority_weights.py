"""How stake becomes an authority's weight, so that in a set of four or more nobody can stop finality alone.

Each stash weighs its stake in whole ASY, at least 1; from four authorities on, nobody weighs more than the
weight that GRANDPA bears to miss. Source: docs/protocol.md, consensus rules for small networks.
"""

from collections.abc import Sequence

UNIT = 10**12
"""planck per unit of weight: one ASY"""
MAX_TOTAL = (1 << 63) - 1
"""Weights are u64 on the wire; half of that leaves every sum of two totals inside."""
CAPPED_FROM = 4
"""With three or fewer, somebody can always stop finality."""


def authority_weights(stakes: Sequence[int]) -> list[int]:
    """Return the weight of each authority from its stake in planck."""
    weights = _scaled(stakes)
    if len(weights) < CAPPED_FROM:
        return weights
    limit = _cap(weights)
    return [min(weight, limit) for weight in weights]


def tolerated(weights: Sequence[int]) -> int:
    """Return f, the weight that may fail: finality needs all but this. Source: the GRANDPA paper."""
    return (sum(weights) - 1) // 3 if weights else 0


def _scaled(stakes: Sequence[int]) -> list[int]:
    """Return whole units, at least 1; the unit doubles until the total fits."""
    unit = UNIT
    while True:
        weights = [max(1, stake // unit) for stake in stakes]
        if sum(weights) <= MAX_TOTAL:
            return weights
        unit *= 2


def _cap(weights: Sequence[int]) -> int:
    """Return the largest c with min(w_i, c) <= (sum_j min(w_j, c) - 1) // 3 for every i.

    At most two of four or more weigh more than it. With one above: 3 c + 1 <= c + others; with two above:
    3 c + 1 <= 2 c + others; with three above, any c of at least 1 does.
    """
    _, second, *others = sorted(weights, reverse=True)
    alone = (second + sum(others) - 1) // 2
    return alone if alone >= second else sum(others) - 1
