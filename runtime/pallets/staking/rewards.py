"""How the payout of an era is split, as pure functions. Amounts are planck; every division rounds down.

    era payout -> validators by points -> commission first -> the rest by exposure

What rounding leaves is nobody's and stays where the money is.
"""

from runtime.pallets.staking.types import ExposurePage, PagedExposureMetadata, part
from runtime.primitives.types import AccountId, Balance

AUTHOR_POINTS = 20
"""Points for the author of a block, FRAME's."""


def validator_part(payout: Balance, points: int, total_points: int) -> Balance:
    """Return what a validator and its nominators earned together."""
    return payout * points // total_points if total_points else 0


def page_payout(
    stash: AccountId,
    earned: Balance,
    commission: int,
    overview: PagedExposureMetadata,
    page: ExposurePage,
    number: int,
) -> list[tuple[AccountId, Balance]]:
    """Return who gets what of one page: the validator first, then its nominators.

    The validator has its own stake on page 0; of its commission (ppb) it gets the share of each page, so
    that it gains by claiming all of them.
    """
    taken = part(commission, earned)
    rest, own = earned - taken, overview.own if number == 0 else 0
    on_page = page.page_total + own
    mine = taken * on_page // overview.total + rest * own // overview.total
    return [(stash, mine), *((each.who, rest * each.value // overview.total) for each in page.others)]
