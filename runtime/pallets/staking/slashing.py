"""What an offence costs whom, as pure functions. Amounts are planck, fractions parts per billion.

Of several offences of one validator in one era only the gravest counts: each takes what it adds.
Source: FRAME's pallet-staking, slashing.rs, without spans.
"""

from collections.abc import Sequence

from runtime.pallets.staking.types import ExposurePage, PagedExposureMetadata, UnappliedSlash, part
from runtime.primitives.types import AccountId, Balance


def slash_of(
    validator: AccountId,
    overview: PagedExposureMetadata,
    pages: Sequence[ExposurePage],
    fraction: int,
    prior: int,
) -> UnappliedSlash:
    """Return what a validator and its nominators lose beyond what a prior fraction took already."""
    own = _beyond(overview.own, fraction, prior)
    others = [(each.who, _beyond(each.value, fraction, prior)) for page in pages for each in page.others]
    return UnappliedSlash(validator, own, [each for each in others if each[1]], [], 0)


def _beyond(value: Balance, fraction: int, prior: int) -> Balance:
    return part(fraction, value) - part(prior, value)


def reporters_parts(payout: Balance, reporters: Sequence[AccountId]) -> list[tuple[AccountId, Balance]]:
    """Split the reporters' payout evenly; the first of them get the odd planck."""
    if not reporters:
        return []
    each, odd = divmod(payout, len(reporters))
    return [(who, each + (at < odd)) for at, who in enumerate(reporters)]


def application_era(offence_era: int, active_era: int, deferral: int) -> int:
    """Return the era at whose start a deferred slash is applied.

    Its offence era plus the deferral, as in FRAME, but never before an era that is still to come: a late
    report can be cancelled, too.
    """
    return max(offence_era + deferral, active_era + 1)


def era_of_session(bonded_eras: Sequence[tuple[int, int]], session: int) -> int | None:
    """Return the era a session lay in, by (era, first session) ascending; None for one before them all."""
    found = [era for era, start in bonded_eras if start <= session]
    return found[-1] if found else None


def check_durations(deferral: int, bonding: int, history: int) -> None:
    """Check that stake outlasts the deferral of its slash, and exposures the time to report; all in eras.

    Raises: ValueError.
    """
    if deferral >= bonding:
        raise ValueError(
            f"Staking.SlashDeferDuration {deferral} must be less than BondingDuration {bonding}: "
            "stake would be free before its slash"
        )
    if bonding > history:
        raise ValueError(f"Staking.BondingDuration {bonding} must not exceed HistoryDepth {history}")
