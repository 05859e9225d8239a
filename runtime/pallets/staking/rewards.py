"""How the payout of an era is split, as pure functions. Amounts are planck; every division rounds down.

    era payout    -> validators by points -> commission first -> the rest by exposure
    its dividends -> commission and own part at once -> the rest by exposure, with the era's payout

What rounding leaves is nobody's and stays where the money is.
"""

from runtime.pallets.staking.types import ExposurePage, PagedExposureMetadata, part
from runtime.primitives.types import AccountId, Balance

AUTHOR_POINTS = 20
"""Points for the author of a block, FRAME's."""


def validator_part(payout: Balance, points: int, total_points: int) -> Balance:
    """Return what a validator and its nominators earned together."""
    return payout * points // total_points if total_points else 0


def nominators_part(dividend: Balance, commission: int, overview: PagedExposureMetadata) -> Balance:
    """Return what of a judge's dividend its nominators get, who are exposed beside it."""
    rest = dividend - part(commission, dividend)
    return rest * (overview.total - overview.own) // overview.total


def page_payout(
    stash: AccountId,
    earned: Balance,
    shared: Balance,
    commission: int,
    overview: PagedExposureMetadata,
    page: ExposurePage,
    number: int,
) -> list[tuple[AccountId, Balance]]:
    """Return who gets what of one page: the validator first, then its nominators.

    The validator has its own stake on page 0; of its commission (ppb) it gets the share of each page, so
    that it gains by claiming all of them. What is `shared` is for the nominators of all pages alone.
    """
    taken = part(commission, earned)
    rest, own = earned - taken, overview.own if number == 0 else 0
    on_page = page.page_total + own
    mine = taken * on_page // overview.total + rest * own // overview.total
    backing = overview.total - overview.own
    theirs = (
        (each.who, rest * each.value // overview.total + shared * each.value // backing)
        for each in page.others
    )
    return [(stash, mine), *theirs]
