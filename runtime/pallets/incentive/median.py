"""The default epoch: the stake-weighted median of what judges say is what miners earn.

    permits -> capped stake -> voters and quorum -> score rows -> consensus -> bonds -> dividends -> emission

Stakes and rows are scaled to shares of 2^31 by largest remainder; everything after that is exact on those
integers, and only what is stored is rounded (down) to u16. Ties: the remainder of a split goes to the lower
uid, the last permit to the higher uid. What nobody has earned is carried over, never paid to somebody else.
Source: the order of steps is that of opentensor/subtensor:pallets/subtensor/src/epoch/run_epoch.rs, with the
stake-weighted median itself as the incentive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Final

from runtime.pallets.incentive.judgements import eligible, judgements, paid, without_cut
from runtime.pallets.incentive.shares import apportion, water_level
from runtime.pallets.incentive.terms import PPM, U16, EpochInput, EpochOutput, Row
from runtime.primitives.int64 import (
    Int64,
    Sparse,
    Wide,
    apportion_rows,
    blockwise,
    flags,
    fractions,
    integers,
    lesser,
    picked,
    plus,
    product,
    rows_of,
    shifted,
    sums,
    supported,
    totals,
    union,
    wholes,
    wide,
    widened,
)
from runtime.primitives.types import AccountId

SHARES_BITS: Final = 31
SHARES: Final = 1 << SHARES_BITS
"""The whole of the permit holders' stake, and of one row of scores."""
FINE: Final = 64
"""Bits behind the point of one judge's part in the bonds of a miner."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Each judge's moving averages of what it said."""

    places: Sparse
    amount: Wide  # parts of `whole`, by entry
    whole: int


def median(epoch: EpochInput, weights: Sparse, bonds: Sparse) -> EpochOutput:
    """Run an epoch whose input was checked."""
    size = len(epoch.stake)
    permit = _next_permits(epoch)
    holders = epoch.permit if any(epoch.permit) else permit  # the first epoch of a subnet waits for nobody
    votes = _votes(epoch, holders)
    said = judgements(epoch, weights, flags(share > 0 for share in votes))
    scores = said.valued(apportion_rows(SHARES, said, size))
    consensus = _consensus(epoch, votes, scores)
    clipped = lesser(scores.value, consensus[scores.column])
    grown = _bonds(epoch, bonds, scores, clipped)
    dividends = _dividends(votes, consensus, grown)
    keeps = [held or holds for held, holds in zip(holders, permit, strict=True)]  # one epoch of grace
    incentive = consensus.tolist()
    cut, mined, judged = _emission(epoch, incentive, dividends)
    emission = paid(epoch, cut, mined, judged)
    return EpochOutput(
        consensus=(consensus * U16 >> SHARES_BITS).tolist(),
        incentive=_portions(incentive),
        dividends=_portions(dividends),
        validator_trust=(sums(clipped, scores.row, size) * U16 >> SHARES_BITS).tolist(),
        permit=permit,
        bonds=_stored(grown, keeps),
        emission=emission,
        carried=epoch.emission - sum(emission),
        validator_emission=judged,
    )


# Stake.


def _next_permits(epoch: EpochInput) -> list[bool]:
    """Permit the most staked, as many as each hold the floor of what they hold together; and the owner."""
    stake = eligible(epoch)
    permit = [i == epoch.owner_uid for i in range(len(stake))]
    ranked = sorted((i for i in range(len(stake)) if stake[i]), key=lambda i: (-stake[i], -i))
    together = 0
    for i in ranked[: epoch.hyperparameters.max_permits]:
        together += stake[i]
        if stake[i] * PPM < together * epoch.hyperparameters.permit_floor_ppm:
            break
        permit[i] = True
    return permit


def _capped(epoch: EpochInput, holders: Sequence[bool]) -> list[int]:
    """Return the permit holders' stake, planck, with no stash above its cap."""
    stake = [each if held else 0 for each, held in zip(eligible(epoch), holders, strict=True)]
    members: dict[AccountId, list[int]] = {}
    for i, each in enumerate(stake):
        if each:
            members.setdefault(epoch.stash[i], []).append(i)
    if not members:
        return stake
    numerator, denominator = epoch.hyperparameters.stake_cap_ppm, PPM
    if numerator * len(members) < 2 * PPM:
        numerator, denominator = 2, len(members)
    groups = [members[stash] for stash in sorted(members)]
    level = water_level([sum(stake[i] for i in uids) for uids in groups], numerator, denominator)
    for uids in groups:
        parts = [stake[i] for i in uids]
        if sum(parts) > level:
            for i, part in zip(uids, apportion(level, parts), strict=True):
                stake[i] = part
    return stake


# Votes.


def _votes(epoch: EpochInput, holders: Sequence[bool]) -> list[int]:
    """Return each uid's share of all permit holders' capped stake if it voted; nobody's without a quorum."""
    shares = apportion(SHARES, _capped(epoch, holders))
    votes = [share if share and _revealed(epoch, i) else 0 for i, share in enumerate(shares)]
    return votes if 2 * sum(votes) >= SHARES else [0] * len(votes)


def _revealed(epoch: EpochInput, i: int) -> bool:
    """Whether a row is of this epoch: an epoch runs before the calls of its own block."""
    since = max(1, epoch.last_epoch_block)
    active = epoch.last_update[i] + epoch.hyperparameters.activity_cutoff >= epoch.block
    return epoch.last_update[i] >= since and active


def _consensus(epoch: EpochInput, votes: Sequence[int], scores: Sparse) -> Int64:
    """Return for each uid the highest score that strictly more than kappa of the voting stake gave at least.

    The margin of one share per voter outweighs what rounding to shares can add, so a tie never wins.
    """
    voters = sum(share > 0 for share in votes)
    needed = sum(votes) * epoch.hyperparameters.kappa_ppm + voters * PPM
    return supported(scores, integers(votes), max(1, -(-needed // PPM)), len(votes))


# Bonds and dividends.


def _bonds(epoch: EpochInput, bonds: Sparse, scores: Sparse, clipped: Int64) -> Bonds:
    """Return what of the bonds is kept, plus what the scores earn: a new one takes time to grow.

    Of the scores, what exceeds the consensus earns less by the penalty. Common factors of the dials are left
    out: all that counts is what part of a bond somebody has.
    """
    keep, penalty = epoch.hyperparameters.bonds_moving_average_ppm, epoch.hyperparameters.bonds_penalty_ppm
    by_keep, by_penalty = gcd(keep, PPM), gcd(penalty, PPM)
    full = PPM // by_penalty
    earning = scores.value * full - (scores.value - clipped) * (penalty // by_penalty)
    known = integers(epoch.registered)[bonds.column] < max(1, epoch.last_epoch_block)
    old, new = union(bonds.valued(bonds.value * known), scores.valued(earning), len(epoch.stake))
    whole = SHARES * full * (PPM // by_keep)
    most = whole * U16
    by_old, by_new = wide(keep // by_keep * SHARES * full), wide((PPM - keep) // by_keep * U16)

    def mean(block: slice) -> Wide:
        kept = product([old.value[block]], by_old, most)
        fresh = product(widened(new.value[block], SHARES * full), by_new, most)
        return plus(kept, fresh, most)

    return Bonds(old, blockwise(len(old.value), mean), whole)


def _stored(bonds: Bonds, keeps: Sequence[bool]) -> list[Row]:
    amount = shifted(bonds.amount, SHARES_BITS) // (bonds.whole >> SHARES_BITS)
    kept = flags(keeps)[bonds.places.row] & (amount > 0)
    return rows_of(bonds.places.valued(amount).where(kept), len(keeps))


def _dividends(votes: Sequence[int], consensus: Int64, bonds: Bonds) -> list[int]:
    """Return each uid's claim on the validators' part: its stake times its part in the bonds of the paid."""
    size = len(votes)
    counts = flags(share > 0 for share in votes)[bonds.places.row] & (consensus[bonds.places.column] > 0)
    places = bonds.places.where(counts)
    amount = picked(bonds.amount, counts)
    together = wholes(totals(amount, places.column, size), FINE)

    def earned(block: slice) -> Wide:
        column = places.column[block]
        parts = fractions([limb[block] for limb in amount], together, column)
        return product(parts, [consensus[column]], SHARES << FINE + 1)

    claims = totals(blockwise(len(places.column), earned), places.row, size)
    return [share * claim for share, claim in zip(votes, claims, strict=True)]


# Emission.


def _emission(
    epoch: EpochInput, consensus: Sequence[int], dividends: Sequence[int]
) -> tuple[int, list[int], list[int]]:
    """Return, planck, what the owner, each miner and each judge gets; a part nobody earned is not paid."""
    if not any(consensus):
        return 0, [0] * len(consensus), [0] * len(consensus)
    share = epoch.hyperparameters.miners_share_ppm
    cut, rest = without_cut(epoch)
    miners, judges = apportion(rest, [share, PPM - share])
    return cut, apportion(miners, consensus), apportion(judges, dividends)


def _portions(amounts: Sequence[int]) -> list[int]:
    """Return each amount's part of their sum, of 65,535, rounded down."""
    whole = sum(amounts)
    return [amount * U16 // whole for amount in amounts] if whole else [0] * len(amounts)
