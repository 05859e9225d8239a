"""The epoch of a subnet: scores become emission. A pure function over whole numbers, without storage.

    permits -> capped stake -> voters and quorum -> score rows -> consensus -> bonds -> dividends -> emission

Stakes and rows are scaled to shares of 2^31 by largest remainder; everything after that is exact on those
integers, and only what is stored is rounded (down) to u16. Ties: the remainder of a split goes to the lower
uid, the last permit to the higher uid. What nobody has earned is carried over, never paid to somebody else.
Source: the order of steps is that of opentensor/subtensor:pallets/subtensor/src/epoch/run_epoch.rs, with the
stake-weighted median itself as the incentive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from runtime.pallets.incentive.shares import apportion, water_level
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import struct, u16, u32, u128
from runtime.primitives.types import AccountId, Hash

SHARES: Final = 1 << 31
"""The whole of the permit holders' stake, and of one row of scores."""
U16: Final = 65535
"""What is stored for a whole."""
PPM: Final = 1_000_000
FINE: Final = 64
"""Bits behind the point of one validator's part in the bonds of a miner."""
MAX_OWNER_CUT: Final = 100_000
"""ppm"""

Row = list[tuple[u16, u16]]
"""(uid, value) in ascending order of uid; absent and zero mean the same."""
Entries = dict[int, int]
"""uid -> value, never zero"""


@struct("assay_runtime::incentive::Hyperparameters")
class Hyperparameters:
    """The dials of a subnet that its epoch reads."""

    kappa_ppm: u32 = 500_000  # of the voting stake: a score needs strictly more
    max_permits: u16 = 64
    permit_floor_ppm: u32 = 10_000  # of the permit holders' stake: a permit needs as much
    stake_threshold: u128 = 0  # planck; less does not count
    stake_cap_ppm: u32 = 200_000  # of the permit holders' stake: one stash has no more
    activity_cutoff: u32 = 5_000  # blocks
    bonds_moving_average_ppm: u32 = 900_000  # of a bond stays from one epoch to the next
    bonds_penalty_ppm: u32 = PPM  # of what exceeds the consensus earns no bond
    owner_cut_ppm: u32 = 0  # of the emission
    miners_share_ppm: u32 = 600_000  # of what is left; validators have the rest


@struct("assay_runtime::incentive::EpochInput")
class EpochInput:
    """Everything an epoch depends on; lists have one element per uid."""

    consensus: str  # the function: "median"
    block: u32
    tempo: u32  # blocks
    last_epoch_block: u32  # 0 before the first epoch
    stake: list[u128]  # planck
    stash: list[AccountId]
    last_update: list[u32]  # block of the last row; 0 for none
    registered: list[u32]  # block
    permit: list[bool]  # as the last epoch left it
    weights: list[Row]
    bonds: list[Row]
    pending_commit: list[u32]  # block of the oldest commitment not yet revealed; 0 for none
    owner_uid: u16 | None
    emission: u128  # planck
    hyperparameters: Hyperparameters

    def hash(self) -> Hash:
        """Return what the epoch's event names, so that anyone can replay it."""
        return Hash(blake2_256(codec(EpochInput).encode(self)))


@struct("assay_runtime::incentive::EpochOutput")
class EpochOutput:
    """What an epoch stores and pays: sum(emission) + carried is the emission it was given."""

    consensus: list[u16]
    incentive: list[u16]
    dividends: list[u16]
    validator_trust: list[u16]
    permit: list[bool]
    bonds: list[Row]
    emission: list[u128]  # planck
    carried: u128  # planck


@dataclass(frozen=True, slots=True)
class Vote:
    """Who votes, in ascending order, and what they say; empty without a quorum."""

    shares: Entries  # voter -> share of all permit holders' capped stake
    rows: dict[int, Entries]  # voter -> its scores, which sum to SHARES or are none


def run_epoch(epoch: EpochInput) -> EpochOutput:
    """Turn the scores of one epoch into permits, bonds and emission.

    Raises: ValueError for an input no pallet should build.
    """
    _check(epoch)
    permit = _next_permits(epoch)
    holders = epoch.permit if any(epoch.permit) else permit  # the first epoch of a subnet waits for nobody
    vote = _vote(epoch, holders)
    consensus = _consensus(epoch, vote)
    clipped = {i: _clip(row, consensus) for i, row in vote.rows.items()}
    bonds = _bonds(epoch, vote, clipped)
    dividends = _dividends(epoch, vote, consensus, bonds)
    emission = _emission(epoch, consensus, dividends)
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
    )


def _check(epoch: EpochInput) -> None:
    if epoch.consensus != "median":
        raise ValueError(f'there is no consensus function "{epoch.consensus}"; this runtime has "median"')
    size = len(epoch.stake)
    columns: tuple[Sequence[object], ...] = (
        epoch.stash, epoch.last_update, epoch.registered, epoch.permit,
        epoch.weights, epoch.bonds, epoch.pending_commit,
    )  # fmt: skip
    if any(len(column) != size for column in columns):
        raise ValueError(f"every list needs one element for each of {size} uids")
    for row in (*epoch.weights, *epoch.bonds):
        uids = [uid for uid, _ in row]
        if any(before >= after for before, after in pairwise(uids)):
            raise ValueError("a row is not in ascending order of uid")
        if uids and not 0 <= uids[0] <= uids[-1] < size:
            raise ValueError(f"a row names a uid beyond {size - 1}")
    if epoch.owner_uid is not None and epoch.owner_uid >= size:
        raise ValueError(f"the owner has a uid beyond {size - 1}")
    dials = epoch.hyperparameters
    if not PPM <= 2 * dials.kappa_ppm <= 2 * PPM:
        raise ValueError(f"kappa is {dials.kappa_ppm} ppm; at least half of the stake has to support a score")
    shares = (dials.miners_share_ppm, dials.bonds_moving_average_ppm, dials.bonds_penalty_ppm)
    if dials.owner_cut_ppm > MAX_OWNER_CUT or max(shares) > PPM:
        raise ValueError(f"a share exceeds its bound: {dials}")


# Stake.


def _eligible(epoch: EpochInput) -> list[int]:
    """Return each uid's stake, planck, where it is enough to count."""
    least = epoch.hyperparameters.stake_threshold
    return [stake if stake >= least or i == epoch.owner_uid else 0 for i, stake in enumerate(epoch.stake)]


def _next_permits(epoch: EpochInput) -> list[bool]:
    """Permit the most staked, as many as each hold the floor of what they hold together; and the owner."""
    stake = _eligible(epoch)
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
    stake = [each if held else 0 for each, held in zip(_eligible(epoch), holders, strict=True)]
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
        for i, part in zip(uids, apportion(min(level, sum(parts)), parts), strict=True):
            stake[i] = part
    return stake


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


def _emission(epoch: EpochInput, consensus: list[int], dividends: list[int]) -> list[int]:
    """Return what each uid is paid, planck; a part that nobody has earned is not paid at all."""
    paid = [0] * len(epoch.stake)
    if not any(consensus):
        return paid
    dials = epoch.hyperparameters
    cut = 0 if epoch.owner_uid is None else dials.owner_cut_ppm
    owner, rest = apportion(epoch.emission, [cut, PPM - cut])
    miners, validators = apportion(rest, [dials.miners_share_ppm, PPM - dials.miners_share_ppm])
    if epoch.owner_uid is not None:
        paid[epoch.owner_uid] = owner
    earned = zip(apportion(miners, consensus), apportion(validators, dividends), strict=True)
    return [before + mined + judged for before, (mined, judged) in zip(paid, earned, strict=True)]


def _portions(amounts: Sequence[int]) -> list[int]:
    """Return each amount's part of their sum, of 65,535, rounded down."""
    whole = sum(amounts)
    return [amount * U16 // whole for amount in amounts] if whole else [0] * len(amounts)
