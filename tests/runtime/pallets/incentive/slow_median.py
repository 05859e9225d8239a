"""The median epoch in plain Python, one number at a time: what the chain's own must equal in every unit.

It shares types with the runtime and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from runtime.pallets.incentive.terms import EpochInput, EpochOutput, Row
from runtime.primitives.types import AccountId

SHARES: Final = 1 << 31
"""The whole of the permit holders' stake, and of one row of scores."""
U16: Final = 65535
"""What is stored for a whole."""
PPM: Final = 1_000_000
FINE: Final = 64
"""Bits behind the point of one validator's part in the bonds of a miner."""
Entries = dict[int, int]
"""uid -> value, never zero"""


@dataclass(frozen=True, slots=True)
class Vote:
    """Who votes, in ascending order, and what they say; empty without a quorum."""

    shares: Entries  # voter -> share of all permit holders' capped stake
    rows: dict[int, Entries]  # voter -> its scores, which sum to SHARES or are none


def slow_median(epoch: EpochInput) -> EpochOutput:
    """Turn the scores of one epoch into permits, bonds and emission."""
    permit = _next_permits(epoch)
    holders = epoch.permit if any(epoch.permit) else permit  # the first epoch of a subnet waits for nobody
    vote = _vote(epoch, holders)
    consensus = _consensus(epoch, vote)
    clipped = {i: _clip(row, consensus) for i, row in vote.rows.items()}
    bonds = _bonds(epoch, vote, clipped)
    dividends = _dividends(epoch, vote, consensus, bonds)
    cut, mined, judged = _emission(epoch, consensus, dividends)
    emission = [miner + judge for miner, judge in zip(mined, judged, strict=True)]
    if epoch.owner_uid is not None:
        emission[epoch.owner_uid] += cut
    keeps = [held or holds for held, holds in zip(holders, permit, strict=True)]  # one epoch of grace
    return EpochOutput(
        consensus=[score * U16 // SHARES for score in consensus],
        incentive=_portions(consensus),
        dividends=_portions(dividends),
        validator_trust=[sum(clipped.get(i, {}).values()) * U16 // SHARES for i in range(len(epoch.stake))],
        permit=permit,
        bonds=[_stored(row) if kept else [] for row, kept in zip(bonds, keeps, strict=True)],
        emission=emission,
        carried=epoch.emission - sum(emission),
        validator_emission=judged,
    )


# Stake.


def _eligible(epoch: EpochInput) -> list[int]:
    """Return each uid's stake, planck, where it is enough to count."""
    least = epoch.hyperparameters.stake_threshold
    return [stake if stake >= least or i == epoch.owner_uid else 0 for i, stake in enumerate(epoch.stake)]


def _next_permits(epoch: EpochInput) -> list[bool]:
    """Permit the most staked, as many as each hold the floor of what they hold together; and the owner.

    A stash has its second permit after the first of every other.
    """
    stake, dials = _eligible(epoch), epoch.hyperparameters

    def before(i: int) -> int:
        others = (j for j, other in enumerate(epoch.stash) if other == epoch.stash[i])
        return sum((stake[j], j) > (stake[i], i) for j in others)

    staked = [i for i, each in enumerate(stake) if each]
    seated = sorted(staked, key=lambda i: (before(i), -stake[i], -i))[: dials.max_permits]
    for count in range(len(seated), -1, -1):
        chosen = {*sorted(seated, key=lambda i: (stake[i], i), reverse=True)[:count]}
        together = sum(stake[i] for i in chosen)
        if all(stake[i] * PPM >= together * dials.permit_floor_ppm for i in chosen):
            break
    return [i in chosen or i == epoch.owner_uid for i in range(len(stake))]


def _capped(epoch: EpochInput, holders: Sequence[bool]) -> list[int]:
    """Return the permit holders' stake, planck, with no stash above its cap."""
    stake = [each if held else 0 for each, held in zip(_eligible(epoch), holders, strict=True)]
    whole: dict[AccountId, int] = {}
    for stash, each in zip(epoch.stash, stake, strict=True):
        if each:
            whole[stash] = whole.get(stash, 0) + each
    if not whole:
        return stake
    cap = max(Fraction(epoch.hyperparameters.stake_cap_ppm, PPM), Fraction(2, len(whole)))
    level = _level(list(whole.values()), cap)
    capped = [0] * len(stake)
    for stash, together in whole.items():
        own = [each if other == stash else 0 for other, each in zip(epoch.stash, stake, strict=True)]
        for i, part in enumerate(apportion(min(level, together), own)):
            capped[i] += part
    return capped


def _level(amounts: Sequence[int], cap: Fraction) -> int:
    """Return the highest level at which nobody has more than the cap allows of what all have: by halving."""
    low, high = 0, max(amounts)
    while low < high:
        level = (low + high + 1) // 2
        if level <= cap * sum(min(amount, level) for amount in amounts):
            low = level
        else:
            high = level - 1
    return low


# Votes.


def _vote(epoch: EpochInput, holders: Sequence[bool]) -> Vote:
    """Return who voted since the last epoch, provided they hold half of the permit holders' stake."""
    shares = apportion(SHARES, _capped(epoch, holders))
    voters = [i for i, share in enumerate(shares) if share and _revealed(epoch, i)]
    if 2 * sum(shares[i] for i in voters) < SHARES or not voters:
        return Vote({}, {})
    return Vote({i: shares[i] for i in voters}, {i: _scores(epoch, i) for i in voters})


def _revealed(epoch: EpochInput, i: int) -> bool:
    """Whether a row is of this epoch: an epoch runs before the calls of its own block."""
    since = max(1, epoch.last_epoch_block)
    active = epoch.last_update[i] + epoch.hyperparameters.activity_cutoff >= epoch.block
    return epoch.last_update[i] >= since and active


def _scores(epoch: EpochInput, i: int) -> Entries:
    """Return a voter's row as shares, without itself and without neurons younger than what it judged."""
    judged = epoch.last_update[i]
    if epoch.pending_commit[i]:
        judged = min(judged, epoch.pending_commit[i] + 1)
    row = [
        (j, value)
        for j, value in epoch.weights[i]
        if value and epoch.registered[j] < judged and (j != i or i == epoch.owner_uid)
    ]
    parts = apportion(SHARES, [value for _, value in row])
    return {j: part for (j, _), part in zip(row, parts, strict=True) if part}


def _consensus(epoch: EpochInput, vote: Vote) -> list[int]:
    """Return for each uid the highest score that strictly more than kappa of the voting stake gave at least.

    The margin of one share per voter outweighs what rounding to shares can add, so a tie never wins.
    """
    columns: list[list[tuple[int, int]]] = [[] for _ in epoch.stake]
    for i, row in vote.rows.items():
        for j, score in row.items():
            columns[j].append((score, vote.shares[i]))
    kappa = epoch.hyperparameters.kappa_ppm
    needed = sum(vote.shares.values()) * kappa + len(vote.rows) * PPM
    return [_supported(column, needed) for column in columns]


def _supported(column: list[tuple[int, int]], needed: int) -> int:
    support = 0
    for score, share in sorted(column, reverse=True):
        support += share
        if support * PPM >= needed:
            return score
    return 0


def _clip(row: Entries, consensus: Sequence[int]) -> Entries:
    """Return a row with nothing above the consensus."""
    return {j: min(score, consensus[j]) for j, score in row.items() if consensus[j]}


# Bonds and dividends.


def _bonds(epoch: EpochInput, vote: Vote, clipped: dict[int, Entries]) -> list[Entries]:
    """Return each uid's moving averages of what it said, in parts of SHARES * PPM * PPM * U16."""
    keep = epoch.hyperparameters.bonds_moving_average_ppm
    penalty = epoch.hyperparameters.bonds_penalty_ppm
    bonds = []
    for i, row in enumerate(epoch.bonds):
        mean = {
            j: keep * value * SHARES * PPM
            for j, value in row
            if keep * value and epoch.registered[j] < max(1, epoch.last_epoch_block)
        }
        for j, score in vote.rows.get(i, {}).items():
            earning = score * PPM - penalty * (score - clipped[i].get(j, 0))
            if fresh := (PPM - keep) * earning * U16:
                mean[j] = mean.get(j, 0) + fresh
        bonds.append(mean)
    return bonds


def _stored(row: Entries) -> Row:
    whole = SHARES * PPM * PPM
    return [(j, row[j] // whole) for j in sorted(row) if row[j] >= whole]


def _dividends(epoch: EpochInput, vote: Vote, consensus: Sequence[int], bonds: list[Entries]) -> list[int]:
    """Return each uid's claim on the validators' part: its stake times its part in the bonds of the paid."""
    sums = [0] * len(consensus)
    for i in vote.rows:
        for j, bond in bonds[i].items():
            sums[j] += bond
    claims = [0] * len(epoch.stake)
    for i, share in vote.shares.items():
        claims[i] = share * sum(
            consensus[j] * ((bond << FINE) // sums[j]) for j, bond in bonds[i].items() if consensus[j]
        )
    return claims


# Emission.


def _emission(
    epoch: EpochInput, consensus: list[int], dividends: list[int]
) -> tuple[int, list[int], list[int]]:
    """Return, planck, what the owner, each miner and each judge gets; a part nobody earned is not paid."""
    if not any(consensus):
        return 0, [0] * len(consensus), [0] * len(consensus)
    dials = epoch.hyperparameters
    cut = 0 if epoch.owner_uid is None else dials.owner_cut_ppm
    owner, rest = apportion(epoch.emission, [cut, PPM - cut])
    miners, validators = apportion(rest, [dials.miners_share_ppm, PPM - dials.miners_share_ppm])
    return owner, apportion(miners, consensus), apportion(validators, dividends)


def _portions(amounts: Sequence[int]) -> list[int]:
    """Return each amount's part of their sum, of 65,535, rounded down."""
    whole = sum(amounts)
    return [amount * U16 // whole for amount in amounts] if whole else [0] * len(amounts)


# Splitting.


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total by weights to the last unit: largest remainders round up, of equals the earlier.

    Without any weight nobody gets anything.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    if missing:
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
        for i in by_remainder[:missing]:
            parts[i] += 1
    return parts
