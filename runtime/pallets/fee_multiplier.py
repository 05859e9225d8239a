"""How the price of weight follows the fullness of blocks.

    next = previous * (1 + v d + (v d)^2 / 2),    d = (used - target) / limit

Everything is FixedU128 and rounds down where Substrate's does, so wallets can predict it exactly.
Source: pallet-transaction-payment, TargetedFeeAdjustment; Polkadot token economics, slow adjusting fees.
"""

from runtime.primitives.types import Weight

ONE = 10**18
"""FixedU128 one"""
MAX_FIXED = (1 << 128) - 1
TARGET_PERCENT = 25
"""of the weight normal extrinsics may use"""
ADJUSTMENT = 75 * ONE // 1_000_000
"""v: blocks always full raise the fee 11-fold in a day of 2 s blocks"""
MIN_MULTIPLIER = ONE // 10
"""Polkadot's floor: a price that fell to nothing in quiet weeks would take days to climb back under spam."""
MAX_MULTIPLIER = MAX_FIXED
_BILLION = 10**9


def next_multiplier(previous: int, used: Weight, limit: Weight) -> int:
    """Return the multiplier after a block whose normal extrinsics used so much of their limit."""
    weight, most = _scarcer(used, limit)
    target = _quarter(most)
    difference = min(abs(weight - target) * ONE // max(most, 1), MAX_FIXED)
    first = _times(ADJUSTMENT, difference)
    second = _times(_times(ADJUSTMENT, ADJUSTMENT) // 2, _times(difference, difference))
    if weight >= target:
        changed = previous + _times(first + second, previous)
    else:
        changed = previous - _times(max(first - second, 0), previous)
    return max(MIN_MULTIPLIER, min(changed, MAX_MULTIPLIER))


def _scarcer(used: Weight, limit: Weight) -> tuple[int, int]:
    """Return used weight and limit in the dimension that is fuller, compared in parts per billion."""
    time, proof = min(used.ref_time, limit.ref_time), min(used.proof_size, limit.proof_size)
    if time * _BILLION // max(limit.ref_time, 1) < proof * _BILLION // max(limit.proof_size, 1):
        return proof, limit.proof_size
    return time, limit.ref_time


def _quarter(most: int) -> int:
    """Return the target share, rounded to the nearest, halves down, as Perquintill multiplies."""
    whole, rest = divmod(most * TARGET_PERCENT, 100)
    return whole + (rest * 2 > 100)


def _times(left: int, right: int) -> int:
    """Multiply two FixedU128, rounded down, at most the largest there is."""
    return min(left * right // ONE, MAX_FIXED)
