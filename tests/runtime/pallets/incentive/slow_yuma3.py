"""Yuma 3 without liquid alpha as its rules read, on dense matrices of Python's integers.

Written from the description of Bittensor's epoch alone, step by step (the numbers below are its steps), and
sharing nothing with the runtime but the types of what goes in and out. A fraction x is the integer x * 2^32.
"""

from runtime.pallets.incentive.terms import EpochInput, EpochOutput

Vector = list[int]
Matrix = list[list[int]]
WHOLE = 1 << 32


def mul(a: int, b: int) -> int:
    return (a * b) >> 32


def div(a: int, b: int) -> int:
    """Divide numbers that are not negative; anything by zero is zero."""
    return 0 if b == 0 else (a << 32) // b


def normalise(v: Vector) -> Vector:
    total = sum(v)
    return [div(x, total) for x in v] if total else v


def dial(ppm: int) -> int:
    """A dial of ours as the u16 that Bittensor has, and that as a fraction."""
    return div((ppm * 65535 // 1_000_000) << 32, 65535 << 32)


def to_u16(x: int) -> int:
    return min(65535, (x * 65535) >> 32)


def slow_yuma3(epoch: EpochInput) -> EpochOutput:
    n, t, dials = len(epoch.stake), epoch.block, epoch.hyperparameters
    uids = range(n)
    owner = epoch.owner_uid
    inactive = [epoch.last_update[i] + dials.activity_cutoff < t for i in uids]  # 1
    stake = _stake(epoch)  # 2
    new_permit = _permits(stake, dials.max_permits, owner)  # 3
    old_permit = [epoch.permit[i] or i == owner for i in uids]
    active = normalise([0 if inactive[i] or not old_permit[i] else stake[i] for i in uids])  # 4
    w = _weights(epoch, old_permit)  # 5
    c = _consensus(active, w, dial(dials.kappa_ppm))  # 6
    clipped = [[min(w[i][j], c[j]) for j in uids] for i in uids]  # 7
    trust = [sum(clipped[i]) for i in uids]  # 8
    incentive = normalise([sum(mul(active[i], clipped[i][j]) for i in uids) for j in uids])  # 9
    beta = dial(dials.bonds_penalty_ppm)
    for_bonds = [[w[i][j] + mul(beta, clipped[i][j] - w[i][j]) for j in uids] for i in uids]  # 10
    b = _old_bonds(epoch)  # 11
    kept = dials.bonds_moving_average_ppm * WHOLE // 1_000_000
    alpha = WHOLE - kept
    e = [[mul(WHOLE - alpha, b[i][j]) + mul(alpha, for_bonds[i][j]) for j in uids] for i in uids]  # 12b
    column = [sum(e[i][j] for i in uids) for j in uids]
    in_bonds = [sum(mul(div(e[i][j], column[j]), incentive[j]) for j in uids) for i in uids]
    dividends = normalise([mul(active[i], in_bonds[i]) for i in uids])
    cut, server, validator = _emission(epoch, incentive, dividends)
    paid = [server[i] + validator[i] + (cut if i == owner else 0) for i in uids]
    stored = [[(j, to_u16(e[i][j])) for j in uids if to_u16(e[i][j])] if new_permit[i] else [] for i in uids]
    return EpochOutput(  # 14
        consensus=[to_u16(x) for x in c],
        incentive=[to_u16(x) for x in incentive],
        dividends=[to_u16(x) for x in dividends],
        validator_trust=[to_u16(x) for x in trust],
        permit=new_permit,
        bonds=stored,
        emission=paid,
        carried=epoch.emission - sum(paid),
        validator_emission=validator,
    )


def _stake(epoch: EpochInput) -> Vector:
    """Step 2: in 2^-64 parts of the total, then cut to 2^-32."""
    least = epoch.hyperparameters.stake_threshold
    counted = [s if s >= least or i == epoch.owner_uid else 0 for i, s in enumerate(epoch.stake)]
    total = sum(counted)
    return [((s << 64) // total) >> 32 if total else 0 for s in counted]


def _permits(stake: Vector, k: int, owner: int | None) -> list[bool]:
    """Step 3: sort ascending and stable, drop all but the last k, and whoever has nothing."""
    ascending = sorted(range(len(stake)), key=lambda i: stake[i])
    dropped = ascending[: max(0, len(stake) - k)]
    return [i == owner or (stake[i] != 0 and i not in dropped) for i in range(len(stake))]


def _weights(epoch: EpochInput, old_permit: list[bool]) -> Matrix:
    n = len(epoch.stake)
    w = [[0] * n for _ in range(n)]
    for i in range(n):
        for j, value in epoch.weights[i]:
            itself = i == j and i != epoch.owner_uid
            outdated = epoch.last_update[i] <= epoch.registered[j]
            hidden = epoch.pending_commit[i] != 0 and epoch.pending_commit[i] < epoch.registered[j]
            if old_permit[i] and not itself and not outdated and not hidden:
                w[i][j] = value << 32
        w[i] = normalise(w[i])
    return w


def _consensus(active: Vector, w: Matrix, kappa: int) -> Vector:
    """Step 6: try every score that a voter gave."""
    voters = [i for i, s in enumerate(active) if s > 0]
    share = normalise([active[i] for i in voters])
    consensus = []
    for j in range(len(active)):
        given = [w[i][j] for i in voters]
        reached = [x for x in given if sum(s for s, y in zip(share, given, strict=True) if y >= x) >= kappa]
        consensus.append(max(reached) if reached else min(given, default=0))
    return consensus


def _old_bonds(epoch: EpochInput) -> Matrix:
    """Step 11: as fractions, without those to neurons that came since the last epoch."""
    n, last = len(epoch.stake), epoch.last_epoch_block
    since = last + 1 if last else max(0, epoch.block - epoch.tempo)
    b = [[0] * n for _ in range(n)]
    for i in range(n):
        for j, value in epoch.bonds[i]:
            if since > epoch.registered[j]:
                b[i][j] = div(value << 32, 65535 << 32)
    return b


def _emission(epoch: EpochInput, incentive: Vector, dividends: Vector) -> tuple[int, Vector, Vector]:
    """Step 13 on what the owner's cut leaves; where nothing was earned nothing is paid."""
    total = sum(incentive) + sum(dividends)
    none = [0] * len(incentive)
    if total == 0:
        return 0, none, none
    parts = 0 if epoch.owner_uid is None else epoch.hyperparameters.owner_cut_ppm
    cut, rest = _split(epoch.emission, parts)
    server = [(div(x, total) * rest) >> 32 for x in incentive]
    validator = [(div(x, total) * rest) >> 32 for x in dividends]
    return cut, server, validator


def _split(amount: int, ppm: int) -> tuple[int, int]:
    """The larger remainder is rounded up; of equals the first."""
    first, over = divmod(amount * ppm, 1_000_000)
    return (first + (2 * over >= 1_000_000), amount - first - (2 * over >= 1_000_000))
