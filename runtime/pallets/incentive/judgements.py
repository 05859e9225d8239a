"""What both functions of an epoch do alike: which scores count, what is stored, who is paid first."""

from collections.abc import Iterable, Sequence

from runtime.pallets.incentive.shares import apportion
from runtime.pallets.incentive.terms import PPM, EpochInput
from runtime.primitives.int64 import Mask, Sparse, integers


def eligible(epoch: EpochInput) -> list[int]:
    """Return each uid's stake, planck, where it is enough to count."""
    least = epoch.hyperparameters.stake_threshold
    return [stake if stake >= least or i == epoch.owner_uid else 0 for i, stake in enumerate(epoch.stake)]


def judgements(epoch: EpochInput, weights: Iterable[Sparse], judges: Mask) -> list[Sparse]:
    """Return the judges' scores, without those of themselves and of neurons younger than the judgement."""
    registered = integers(epoch.registered)
    since = judges * integers(
        min(updated, committed + 1) if committed else updated
        for updated, committed in zip(epoch.last_update, epoch.pending_commit, strict=True)
    )

    def counted(said: Sparse) -> Sparse:
        others = said.row != said.column
        if epoch.owner_uid is not None:
            others |= said.row == epoch.owner_uid
        return said.where(others & (said.value > 0) & (registered.take(said.column) < since.take(said.row)))

    return list(map(counted, weights))


def without_cut(epoch: EpochInput) -> tuple[int, int]:
    """Return the owner's cut of the emission, planck, and the rest."""
    cut = 0 if epoch.owner_uid is None else epoch.hyperparameters.owner_cut_ppm
    owner, rest = apportion(epoch.emission, [cut, PPM - cut])
    return owner, rest


def paid(epoch: EpochInput, cut: int, mined: Sequence[int], judged: Sequence[int]) -> list[int]:
    """Return what each uid is paid, planck."""
    emission = [miner + judge for miner, judge in zip(mined, judged, strict=True)]
    if epoch.owner_uid is not None:
        emission[epoch.owner_uid] += cut
    return emission
