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
from operator import mul
from typing import Final

from runtime.pallets.incentive.judgements import eligible, judgements, paid, without_cut
from runtime.pallets.incentive.shares import apportion, water_level
from runtime.pallets.incentive.terms import PPM, U16, EpochInput, EpochOutput, Row
from runtime.primitives.int64 import (
    EMPTY,
    Int64,
    Mask,
    Packed,
    Sparse,
    Wide,
    apportion_rows,
    bands,
    flags,
    fractions,
    integers,
    lesser,
    mixed,
    row_totals,
    rows_of,
    shifted,
    sparse,
    sums,
    supported,
    totals,
    union,
    wholes,
)
from runtime.primitives.types import AccountId

SHARES_BITS: Final = 31
SHARES: Final = 1 << SHARES_BITS
"""The whole of the permit holders' stake, and of one row of scores."""
FINE: Final = 64
"""Bits behind the point of one judge's part in the bonds of a miner."""


@dataclass(frozen=True, slots=True)
class Bonds:
    """Judges' moving averages of what they said."""

    places: Sparse
    amount: Wide  # by entry

    def where(self, kept: Mask) -> "Bonds":
        """Return these entries alone."""
        return self if kept.all() else Bonds(self.places.where(kept), [limb[kept] for limb in self.amount])


def median(epoch: EpochInput, weights: Packed, bonds: Packed) -> EpochOutput:
    """Run an epoch whose input was checked."""
    stake, size = eligible(epoch), len(epoch.stake)
    permit = _next_permits(epoch, stake)
    holders = epoch.permit if any(epoch.permit) else permit  # the first epoch of a subnet waits for nobody
    keeps = [held or holds for held, holds in zip(holders, permit, strict=True)]  # one epoch of grace
    votes = _votes(epoch, _capped(epoch, stake, holders))
    uids, shares = bands(weights, bonds), integers(votes)
    said = judgements(epoch, (sparse(weights, band) for band in uids), shares > 0)
    scores = [part.valued(apportion_rows(SHARES, part)) for part in said]
    consensus = _consensus(epoch, shares, scores)
    clipped = [lesser(part.value, consensus.take(part.column)) for part in scores]
    trust = sums(zip(clipped, (part.row for part in scores), strict=True), size)
    grown, stored = _bonds(epoch, bonds, uids, scores, clipped, keeps)
    incentive, dividends = consensus.tolist(), _dividends(shares, consensus, grown)
    cut, mined, judged = _emission(epoch, incentive, dividends)
    emission = paid(epoch, cut, mined, judged)
    return EpochOutput(
        consensus=(consensus * U16 >> SHARES_BITS).tolist(),
        incentive=_portions(incentive),
        dividends=_portions(dividends),
        validator_trust=(trust * U16 >> SHARES_BITS).tolist(),
        permit=permit,
        bonds=stored,
        emission=emission,
        carried=epoch.emission - sum(emission),
        validator_emission=judged,
    )


# Stake.


def _next_permits(epoch: EpochInput, stake: Sequence[int]) -> list[bool]:
    """Permit the most staked, as many as each hold the floor of what they hold together; and the owner.

    A stash has its second permit after the first of every other, so that its uids crowd nobody out.
    """
    permit = [i == epoch.owner_uid for i in range(len(stake))]
    ranked = sorted((i for i, each in enumerate(stake) if each), key=lambda i: (-stake[i], -i))
    turn: dict[int, int] = {}
    held: dict[AccountId, int] = {}
    for i in ranked:
        held[epoch.stash[i]] = turn[i] = held.get(epoch.stash[i], 0) + 1
    seated = sorted(ranked, key=lambda i: turn[i])[: epoch.hyperparameters.max_permits]
    together = 0
    for i in sorted(seated, key=lambda i: (-stake[i], -i)):
        together += stake[i]
        if stake[i] * PPM < together * epoch.hyperparameters.permit_floor_ppm:
            break
        permit[i] = True
    return permit


def _capped(epoch: EpochInput, stake: Sequence[int], holders: Sequence[bool]) -> list[int]:
    """Return the permit holders' stake, planck, with no stash above its cap."""
    members: dict[AccountId, dict[int, int]] = {}
    for i, (each, held) in enumerate(zip(stake, holders, strict=True)):
        if each and held:
            members.setdefault(epoch.stash[i], {})[i] = each
    capped = [0] * len(stake)
    if not members:
        return capped
    numerator, denominator = epoch.hyperparameters.stake_cap_ppm, PPM
    if numerator * len(members) < 2 * PPM:
        numerator, denominator = 2, len(members)
    amounts = [sum(own.values()) for own in members.values()]
    level = water_level(amounts, numerator, denominator)
    for own, together in zip(members.values(), amounts, strict=True):
        parts = apportion(level, list(own.values())) if together > level else own.values()
        for i, part in zip(own, parts, strict=True):
            capped[i] = part
    return capped


# Votes.


def _votes(epoch: EpochInput, stake: Sequence[int]) -> list[int]:
    """Return each uid's share of all permit holders' capped stake if it voted; nobody's without a quorum."""
    shares = apportion(SHARES, stake)
    votes = [share if share and _revealed(epoch, i) else 0 for i, share in enumerate(shares)]
    return votes if 2 * sum(votes) >= SHARES else [0] * len(votes)


def _revealed(epoch: EpochInput, i: int) -> bool:
    """Whether a row is of this epoch: an epoch runs before the calls of its own block."""
    since = max(1, epoch.last_epoch_block)
    active = epoch.last_update[i] + epoch.hyperparameters.activity_cutoff >= epoch.block
    return epoch.last_update[i] >= since and active


def _consensus(epoch: EpochInput, shares: Int64, scores: Sequence[Sparse]) -> Int64:
    """Return for each uid the highest score that strictly more than kappa of the voting stake gave at least.

    The margin of one share per voter outweighs what rounding to shares can add, so a tie never wins.
    """
    voters = int((shares > 0).sum())
    needed = int(shares.sum()) * epoch.hyperparameters.kappa_ppm + voters * PPM
    return supported(scores, shares, max(1, -(-needed // PPM)), len(shares))


# Bonds and dividends.


def _bonds(
    epoch: EpochInput,
    bonds: Packed,
    uids: Sequence[Sequence[int]],
    scores: Sequence[Sparse],
    clipped: Sequence[Int64],
    keeps: Sequence[bool],
) -> tuple[list[Bonds], list[Row]]:
    """Return what is kept of the bonds plus what the scores earn, so new ones grow slowly; and as stored.

    Of the scores, what exceeds the consensus earns less by the penalty. Common factors of the dials are left
    out: all that counts is what part of a bond somebody has.
    """
    keep, penalty = epoch.hyperparameters.bonds_moving_average_ppm, epoch.hyperparameters.bonds_penalty_ppm
    by_keep, by_penalty = gcd(keep, PPM), gcd(penalty, PPM)
    full, lost = PPM // by_penalty, penalty // by_penalty
    whole = SHARES * full * (PPM // by_keep)
    by_old, by_new = keep // by_keep * SHARES * full, (PPM - keep) // by_keep * U16
    kept, grown, stored = flags(keeps), [], [EMPTY] * len(keeps)
    known = integers(epoch.registered) < max(1, epoch.last_epoch_block)
    for band, said, agreed in zip(uids, scores, clipped, strict=True):
        earning = said.valued(said.value * (full - lost) + agreed * lost)
        old = sparse(bonds, band)
        places, new = union(old.valued(old.value * known.take(old.column)), earning, band, len(keeps))
        amount = mixed(places.value, by_old, new, by_new, whole * U16)
        grown.append(Bonds(places, amount))
        parts = shifted(amount, SHARES_BITS) // (whole >> SHARES_BITS)
        for uid, row in rows_of(places.valued(parts * kept.take(places.row))):
            stored[uid] = row
    return grown, stored


def _dividends(shares: Int64, consensus: Int64, bonds: Sequence[Bonds]) -> list[int]:
    """Return each uid's claim on the validators' part: its stake times its part in the bonds of the paid."""
    size, judges, paid_for = len(shares), shares > 0, consensus > 0
    counted = [each.where(judges.take(each.places.row) & paid_for.take(each.places.column)) for each in bonds]
    divisors = wholes(totals(((each.amount, each.places.column) for each in counted), size), FINE)
    claims = [0] * size
    for each in counted:
        column = each.places.column
        parts = fractions(each.amount, divisors, column)
        for uid, claim in row_totals(parts, consensus.take(column), each.places.row).items():
            claims[uid] = claim
    return list(map(mul, shares.tolist(), claims))


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
