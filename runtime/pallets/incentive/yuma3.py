"""Bittensor's epoch, bit for bit, so that who comes from there can compare: Yuma 3 without liquid alpha.

Every fraction is a whole number of 2^-32 parts, and every product and quotient is rounded down, one by one,
as its I32F32 does. Two things are ours: the owner's cut comes off before, and where nothing is earned nothing
is paid. Permits count from the next epoch on, so a new subnet's first epoch pays nobody.
Source: opentensor/subtensor:pallets/subtensor/src/epoch/run_epoch.rs and math.rs.
"""

from collections.abc import Sequence
from typing import Final

from runtime.pallets.incentive.judgements import eligible, judgements, paid, without_cut
from runtime.pallets.incentive.terms import PPM, U16, EpochInput, EpochOutput, Row
from runtime.primitives.int64 import (
    EMPTY,
    Int64,
    Packed,
    Sparse,
    bands,
    divided,
    flags,
    integers,
    lesser,
    multiplied,
    rows_of,
    sparse,
    sums,
    supported,
    union,
)

BITS: Final = 32
ONE: Final = 1 << BITS


def yuma3(epoch: EpochInput, weights: Packed, bonds: Packed) -> EpochOutput:
    """Run an epoch whose input was checked."""
    dials, size = epoch.hyperparameters, len(epoch.stake)
    stake = _stake(epoch)
    permit = _next_permits(epoch, stake)
    holders = [held or i == epoch.owner_uid for i, held in enumerate(epoch.permit)]
    active = _active_stake(epoch, stake, holders)
    uids = bands(weights, bonds)
    said = judgements(epoch, (sparse(weights, band) for band in uids), flags(holders))
    scores = [part.valued(_row_shares(part, size)) for part in said]
    consensus = _consensus(active, scores, _fraction(dials.kappa_ppm))
    clipped = [part.valued(lesser(part.value, consensus.take(part.column))) for part in scores]
    incentive = _incentive(active, clipped)
    grown = _bonds(epoch, bonds, uids, scores, clipped)
    dividends = _dividends(active, grown, incentive)
    cut, mined, judged = _emission(epoch, incentive, dividends)
    emission = paid(epoch, cut, mined, judged)
    return EpochOutput(
        consensus=_stored(consensus),
        incentive=_stored(incentive),
        dividends=_stored(dividends),
        validator_trust=_stored(sums(((part.value, part.row) for part in clipped), size)),
        permit=permit,
        bonds=_stored_bonds(grown, permit),
        emission=emission,
        carried=epoch.emission - sum(emission),
        validator_emission=judged,
    )


def _fraction(ppm: int) -> int:
    """Return a dial, which Bittensor keeps as u16."""
    return (ppm * U16 // PPM << BITS) // U16


def _stored(fractions: Int64) -> list[int]:
    stored: list[int] = (fractions * U16 >> BITS).tolist()
    return stored


def _normalised(numbers: Int64) -> Int64:
    whole = int(numbers.sum())
    return divided(numbers, whole) if whole else numbers


# Stake.


def _stake(epoch: EpochInput) -> list[int]:
    stake = eligible(epoch)
    whole = sum(stake)
    return [(each << BITS) // whole for each in stake] if whole else stake


def _next_permits(epoch: EpochInput, stake: Sequence[int]) -> list[bool]:
    """Permit the most staked, of equals the higher uid, and the owner."""
    ranked = sorted((i for i, each in enumerate(stake) if each), key=lambda i: (-stake[i], -i))
    permit = [i == epoch.owner_uid for i in range(len(stake))]
    for i in ranked[: epoch.hyperparameters.max_permits]:
        permit[i] = True
    return permit


def _active_stake(epoch: EpochInput, stake: Sequence[int], holders: Sequence[bool]) -> Int64:
    """Return each uid's part of what permit holders have that set weights within the activity cutoff."""
    least = epoch.block - epoch.hyperparameters.activity_cutoff
    return _normalised(
        integers(
            each if held and updated >= least else 0
            for each, held, updated in zip(stake, holders, epoch.last_update, strict=True)
        )
    )


# Scores, bonds, dividends.


def _row_shares(said: Sparse, size: int) -> Int64:
    whole = sums([(said.value, said.row)], size)
    return (said.value << BITS) // whole.take(said.row)


def _consensus(active: Int64, scores: Sequence[Sparse], kappa: int) -> Int64:
    """Return for each uid the highest score that kappa of the active stake gave or exceeded.

    Rounding may leave less than kappa altogether: then it is the lowest score, a missing one being zero.
    """
    voters = active > 0
    share = _normalised(active)
    if int(share.sum()) < kappa:
        share, kappa = voters * integers([1]), max(1, int(voters.sum()))
    return supported([part.where(voters.take(part.row)) for part in scores], share, kappa, len(active))


def _incentive(active: Int64, clipped: Sequence[Sparse]) -> Int64:
    ranks = ((multiplied(active.take(part.row), part.value), part.column) for part in clipped)
    return _normalised(sums(ranks, len(active)))


def _bonds(
    epoch: EpochInput,
    bonds: Packed,
    uids: Sequence[Sequence[int]],
    scores: Sequence[Sparse],
    clipped: Sequence[Sparse],
) -> list[Sparse]:
    """Return the moving averages of what judges said: something between that and what was agreed on."""
    penalty = _fraction(epoch.hyperparameters.bonds_penalty_ppm)
    keep = epoch.hyperparameters.bonds_moving_average_ppm * ONE // PPM
    last = epoch.last_epoch_block
    since = last + 1 if last else epoch.block - epoch.tempo
    known = integers(epoch.registered) < max(0, since)

    def mean(band: Sequence[int], said: Sparse, agreed: Sparse) -> Sparse:
        earning = said.valued(said.value + multiplied(agreed.value - said.value, penalty))
        old = sparse(bonds, band)
        places, new = union(old.valued(old.value * known.take(old.column)), earning, band, len(known))
        grown = multiplied((places.value << BITS) // U16, keep) + multiplied(new, ONE - keep)
        return places.valued(grown).where(grown > 0)

    return list(map(mean, uids, scores, clipped))


def _stored_bonds(bonds: Sequence[Sparse], permit: Sequence[bool]) -> list[Row]:
    holders, rows = flags(permit), [EMPTY] * len(permit)
    for part in bonds:
        for uid, row in rows_of(part.valued((part.value * U16 >> BITS) * holders.take(part.row))):
            rows[uid] = row
    return rows


def _dividends(active: Int64, bonds: Sequence[Sparse], incentive: Int64) -> Int64:
    size = len(active)
    together = sums(((part.value, part.column) for part in bonds), size)

    def earned(part: Sparse) -> tuple[Int64, Int64]:
        share = divided(part.value, together.take(part.column))
        return multiplied(share, incentive.take(part.column)), part.row

    return _normalised(multiplied(active, sums(map(earned, bonds), size)))


# Emission.


def _emission(epoch: EpochInput, incentive: Int64, dividends: Int64) -> tuple[int, list[int], list[int]]:
    """Return, planck, what the owner, each miner and each judge gets."""
    whole = int(incentive.sum()) + int(dividends.sum())
    if not whole:
        return 0, [0] * len(incentive), [0] * len(incentive)
    cut, rest = without_cut(epoch)
    mined, judged = (
        [part * rest >> BITS for part in divided(parts, whole).tolist()] for parts in (incentive, dividends)
    )
    return cut, mined, judged
