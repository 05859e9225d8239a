"""Whole numbers split exactly: largest remainder and water-filling; nothing is lost, ties go by position."""

from collections.abc import Sequence


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total by weights to the last unit: largest remainders round up, of equals the earlier.

    Without any weight nobody gets anything.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts, rest = [0] * len(weights), [0] * len(weights)
    for i, weight in enumerate(weights):
        if weight:
            parts[i], rest[i] = divmod(total * weight, whole)
    missing = total - sum(parts)
    if missing:
        for i in sorted(filter(rest.__getitem__, range(len(rest))), key=rest.__getitem__, reverse=True)[
            :missing
        ]:
            parts[i] += 1
    return parts


def water_level(amounts: Sequence[int], numerator: int, denominator: int) -> int:
    """Return the highest cap under which no capped amount exceeds this fraction of the capped sum.

    The fraction times the count of amounts must be at least 1. Amounts up to the level stay whole.
    """
    descending = sorted(amounts, reverse=True)
    rest = sum(descending)
    for capped, amount in enumerate(descending):
        # With the `capped` largest at the level c: c = fraction * (capped * c + rest).
        share = denominator - capped * numerator
        assert share > 0, "the fraction leaves no room"
        if amount * share <= numerator * rest:
            return numerator * rest // share
        rest -= amount
    return 0
