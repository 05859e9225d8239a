"""What is kept of each era: who was exposed to what, its points, and what of its payout is unclaimed.

Amounts are planck. An era is kept for the history depth; then it is removed a few entries at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.frame.storage import DoubleMap, Map, NMap, Value
from runtime.pallets.staking.couplings import Support
from runtime.pallets.staking.eras import paged, with_points
from runtime.pallets.staking.rewards import nominators_part, page_payout, validator_part
from runtime.pallets.staking.slashing import slash_of
from runtime.pallets.staking.types import (
    EraRewardPoints,
    ExposurePage,
    PagedExposureMetadata,
    UnappliedSlash,
    ValidatorPrefs,
)
from runtime.primitives.types import AccountId, Balance

PRUNED_AT_ONCE = 64
"""Entries of an expired era removed in one block."""


@dataclass(frozen=True, slots=True)
class History:
    """The storage of all eras that are kept."""

    oldest: Value[int]
    starts: Map[int, int]
    overviews: DoubleMap[int, AccountId, PagedExposureMetadata]
    pages: NMap[tuple[int, AccountId, int], ExposurePage]
    prefs: DoubleMap[int, AccountId, ValidatorPrefs]
    claimed: DoubleMap[int, AccountId, list[int]]
    payouts: Map[int, Balance]
    unclaimed: Map[int, Balance]
    dividends: DoubleMap[int, AccountId, Balance]
    points: Map[int, EraRewardPoints]
    stakes: Map[int, Balance]
    validator_slashes: DoubleMap[int, AccountId, tuple[int, Balance]]
    nominator_slashes: DoubleMap[int, AccountId, Balance]

    def open(
        self,
        era: int,
        start: int,
        chosen: Sequence[Support],
        prefs: Map[AccountId, ValidatorPrefs],
        page_size: int,
    ) -> int:
        """Write down who is exposed to what in an era that begins with session `start`; return entries."""
        self.starts[era] = start
        self.stakes[era] = sum(support.total for support in chosen)
        entries = 2
        for support in chosen:
            overview, pages = paged(support, page_size)
            self.overviews[era, support.stash] = overview
            for number, page in enumerate(pages):
                self.pages[era, support.stash, number] = page
            self.prefs[era, support.stash] = prefs[support.stash]
            entries += 2 + len(pages)
        return entries

    def add_points(self, era: int, earned: Sequence[tuple[AccountId, int]], lost: int) -> None:
        """Add reward points."""
        self.points[era] = with_points(self.points[era], earned, lost)

    def close(self, era: int, payout: Balance) -> None:
        """Fix what an era pays besides dividends; the share of lost points is for a later one."""
        points = self.points[era]
        self.payouts[era] = payout
        claimable = payout * sum(points.individual.values()) // points.total if payout else 0
        self.unclaimed[era] = self.unclaimed[era] + claimable

    def share(self, era: int, stash: AccountId, dividend: Balance) -> Balance:
        """Note what of a judge's dividend is its nominators', to be claimed with the era; return how much."""
        overview = self.overviews.get(era, stash)
        if overview is None:
            return 0
        shared = nominators_part(dividend, self.prefs[era, stash].commission, overview)
        if shared:
            self.dividends[era, stash] = self.dividends[era, stash] + shared
            self.unclaimed[era] = self.unclaimed[era] + shared
        return shared

    def owed(self) -> Balance:
        """Return what is unclaimed of all eras."""
        return sum(self.unclaimed.values())

    def claim(self, era: int, stash: AccountId, number: int) -> list[tuple[AccountId, Balance]]:
        """Mark a page as claimed; return who gets what, nothing if the validator has earned nothing."""
        self.claimed[era, stash] = sorted([*self.claimed[era, stash], number])
        points, payout = self.points[era], self.payouts[era]
        earned = validator_part(payout, points.individual.get(stash, 0), points.total)
        shared = self.dividends[era, stash]
        if not earned and not shared:
            return []
        page = self.pages.get((era, stash, number)) or ExposurePage(0, [])
        commission = self.prefs[era, stash].commission
        return page_payout(stash, earned, shared, commission, self.overviews[era, stash], page, number)

    def note_paid(self, era: int, paid: Balance) -> None:
        """Count what was paid of an era."""
        self.unclaimed[era] = self.unclaimed[era] - paid

    def punish(self, era: int, stash: AccountId, fraction: int) -> UnappliedSlash | None:
        """Note a slash by era and staker; return what it takes beyond what was noted, if it does."""
        before, own_before = self.validator_slashes.get(era, stash) or (0, 0)
        if fraction <= before:
            return None
        slash = slash_of(stash, self.overviews[era, stash], self._exposed(era, stash), fraction, before)
        self.validator_slashes[era, stash] = (fraction, own_before + slash.own)
        for who, value in slash.others:
            self.nominator_slashes[era, who] = value + (self.nominator_slashes.get(era, who) or 0)
        return slash

    def _exposed(self, era: int, stash: AccountId) -> list[ExposurePage]:
        """Return all pages of a validator's nominators."""
        count = self.overviews[era, stash].page_count
        return [self.pages[era, stash, number] for number in range(count)]

    def prune(self, kept_from: int, limit: int = PRUNED_AT_ONCE) -> int:
        """Remove some entries of the oldest era, if it is not to be kept; return how many."""
        era = self.oldest.get()
        if era >= kept_from:
            return 0
        removed = self.pages.clear(era, limit=limit)
        for by_validator in (
            self.overviews,
            self.prefs,
            self.claimed,
            self.dividends,
            self.validator_slashes,
            self.nominator_slashes,
        ):
            removed += by_validator.clear(era, limit=limit - removed)
        if removed < limit:
            for by_era in (self.starts, self.payouts, self.unclaimed, self.points, self.stakes):
                del by_era[era]
            self.oldest.put(era + 1)
        return removed

    def check(self) -> None:
        """Assert that exposures add up and no era owes more than it pays."""
        shared: dict[int, Balance] = {}
        for (era, _), dividend in self.dividends.items():
            shared[era] = shared.get(era, 0) + dividend
        for era, unclaimed in self.unclaimed.items():
            payout, dividends = self.payouts.get(era), shared.get(era, 0)
            assert unclaimed >= 0, f"era {era}"
            assert unclaimed <= (payout or 0) + dividends or era == self.oldest.get(), f"era {era}"
            assert unclaimed == dividends or payout is not None, f"era {era}"
        for (era, stash), overview in self.overviews.items():
            if era > self.oldest.get():  # the oldest may be on its way out
                pages = self._exposed(era, stash)
                assert overview.total == overview.own + sum(page.page_total for page in pages)
                assert overview.nominator_count == sum(len(page.others) for page in pages)
