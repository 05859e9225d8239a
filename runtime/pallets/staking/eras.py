"""Eras: when one begins, who is exposed to what on which page, and points. Amounts are planck."""

from collections.abc import Sequence

from runtime.pallets.staking.couplings import Support
from runtime.pallets.staking.types import (
    EraRewardPoints,
    ExposurePage,
    Forcing,
    IndividualExposure,
    PagedExposureMetadata,
)
from runtime.primitives.types import AccountId, Balance


def paged(support: Support, size: int) -> tuple[PagedExposureMetadata, list[ExposurePage]]:
    """Return a winner's exposure: the overview, and its nominators on pages of at most this size."""
    assert support.total == support.own + sum(value for _, value in support.others), support.stash.hex()
    listed = [IndividualExposure(who, value) for who, value in support.others]
    pages = [
        ExposurePage(sum(each.value for each in chunk), chunk)
        for chunk in (listed[start : start + size] for start in range(0, len(listed), size))
    ]
    return PagedExposureMetadata(support.total, support.own, len(listed), len(pages)), pages


def least_nominator(supports: Sequence[Support]) -> Balance:
    """Return the smallest stake of a nominator who backs a winner; zero without any."""
    stakes: dict[AccountId, Balance] = {}
    for support in supports:
        for who, value in support.others:
            stakes[who] = stakes.get(who, 0) + value
    return min(stakes.values(), default=0)


def begins_era(session: int, since: int | None, per_era: int, force: Forcing) -> bool:
    """Say whether an era should begin with a session, where the last one planned begins with `since`."""
    if since is None:
        return True
    return session - since >= per_era if force is Forcing.NotForcing else force is not Forcing.ForceNone


def with_points(
    points: EraRewardPoints, earned: Sequence[tuple[AccountId, int]], lost: int
) -> EraRewardPoints:
    """Return the reward points of an era with more of them; those `lost` are in the total alone."""
    individual = dict(points.individual)
    for who, more in earned:
        individual[who] = individual.get(who, 0) + more
    return EraRewardPoints(points.total + sum(more for _, more in earned) + lost, individual)
