"""Vesting: what a miner of a training subnet has earned becomes its own over the rounds that follow.

    granted in round r over n rounds:   amount % n at once, then amount // n with each round up to r + n

Amounts are planck. Whole rates keep every sum exact, however many grants run side by side.
"""

from collections.abc import Iterable

from runtime.primitives.shapes import struct, u32, u128
from runtime.primitives.types import Balance


@struct("pallet_incentive::types::Vesting")
class Vesting:
    """What is not paid yet: rates by the round they last until, ascending; `settled` rounds are paid."""

    settled: u32
    rates: list[tuple[u32, u128]]


def opened(round: int) -> Vesting:
    """Return a schedule without grants."""
    return Vesting(round, [])


def outstanding(vesting: Vesting) -> Balance:
    """Return what is not paid yet."""
    return sum((until - vesting.settled) * rate for until, rate in vesting.rates)


def settle(vesting: Vesting, round: int) -> tuple[Vesting, Balance]:
    """Return what is left once so many rounds are paid, and how much that takes."""
    left = Vesting(round, [entry for entry in vesting.rates if entry[0] > round])
    return left, outstanding(vesting) - outstanding(left)


def grant(vesting: Vesting, amount: Balance, rounds: int) -> tuple[Vesting, Balance]:
    """Return a settled schedule with one grant more, and how much of the grant it holds."""
    rate = amount // rounds
    if not rate:
        return vesting, 0
    added = merged([*vesting.rates, (vesting.settled + rounds, rate)])
    return Vesting(vesting.settled, added), rate * rounds


def joined(one: Vesting, other: Vesting) -> Vesting:
    """Return two schedules as one; both are settled up to the same round."""
    assert one.settled == other.settled, f"settled up to rounds {one.settled} and {other.settled}"
    return Vesting(one.settled, merged([*one.rates, *other.rates]))


def cut(vesting: Vesting, part: int, whole: int) -> Vesting:
    """Return what a slash of part / whole leaves: of every rate the part is taken, rounded up."""
    kept = ((until, rate - -(-rate * part // whole)) for until, rate in vesting.rates)
    return Vesting(vesting.settled, [(until, rate) for until, rate in kept if rate])


def merged(rates: Iterable[tuple[int, Balance]]) -> list[tuple[int, Balance]]:
    """Return one rate for each last round, ascending."""
    sums: dict[int, Balance] = {}
    for until, rate in rates:
        sums[until] = sums.get(until, 0) + rate
    return sorted(sums.items())
