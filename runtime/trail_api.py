"""ModelUpdatesApi and TrainingApi: what happened in a round, how the model came about, and proofs of updates.

Everything is read from the state of one block. Lists have at most one element for each uid (1,024).
"""

from typing import Annotated, Final

from runtime.frame.storage import item_prefix
from runtime.native import Bound
from runtime.pallets.model_updates.types import Update, leaf_hash
from runtime.pallets.subnets.numbers import MOST_UIDS
from runtime.pallets.training.parameters import ParameterSet
from runtime.pallets.training.types import LineageEntry, Round
from runtime.pallets.verification.types import Audit
from runtime.primitives.commitments import Scores
from runtime.primitives.mmr import Hashes, is_proven
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct, u16, u32, u64
from runtime.primitives.types import AccountId, BlockNumber, Hash

MOST_STEPS: Final = 256
"""Rounds of a lineage that are looked at for one answer."""


@struct("assay_runtime::trail::UpdateProof")
class UpdateProof:
    """An update, and the path that shows that it is a leaf of the range with these peaks."""

    netuid: u16
    round: u32
    update: Update
    leaf: u64
    leaf_count: u64
    path: Hashes
    peaks: Hashes


PEAKS_KEY, LEAF_COUNT_KEY = item_prefix("ModelUpdates", "Peaks"), item_prefix("ModelUpdates", "LeafCount")
"""Where a state has what a proof must lead to."""
_PEAKS, _LEAF_COUNT = codec(Hashes), codec(u64)


def flaw(proof: UpdateProof, peaks: bytes | None, leaf_count: bytes | None) -> str | None:
    """Say why a proof does not show that its update is in the trail of a state with these values."""
    if peaks != _PEAKS.encode(proof.peaks) or leaf_count != _LEAF_COUNT.encode(proof.leaf_count):
        return "the state has another trail: the peaks or the number of updates differ"
    hashed = leaf_hash(proof.netuid, proof.round, proof.update)
    if proof.update.leaf != proof.leaf or not is_proven(
        hashed, proof.leaf, proof.leaf_count, proof.path, proof.peaks
    ):
        return "the path does not lead from the update to a peak"
    return None


@struct("assay_runtime::trail::RoundUpdate")
class RoundUpdate:
    """A revealed update, the seat it was committed under, what evidence and audits say of it."""

    uid: u16
    update: Update
    is_guilty: bool  # evidence was accepted
    audit: Audit | None  # while it is open


@struct("assay_runtime::trail::RoundJudge")
class RoundJudge:
    """What a judge did in a round: its scores once they are open, the root that it attested."""

    uid: u16
    hotkey: AccountId | None  # of who sealed scores
    scores: Scores | None
    is_void: bool  # a jury found the scores wrong
    root: Hash | None


@struct("assay_runtime::trail::RoundInfo")
class RoundInfo:
    """A round as of a block, with everything that was said in it; updates in the order of their commits."""

    netuid: u16
    round: u32
    block: BlockNumber
    state: Round
    commits: u32
    updates: Annotated[list[RoundUpdate], Bounded(MOST_UIDS)]
    judges: Annotated[list[RoundJudge], Bounded(MOST_UIDS)]
    checkpoint: bool
    numbers: ParameterSet  # what it is made of, under `state.parameters`


@struct("assay_runtime::trail::LineageStep")
class LineageStep:
    """How one round changed the model."""

    round: u32
    entry: LineageEntry
    checkpoint: bool


@struct("assay_runtime::trail::NumberedSet")
class NumberedSet:
    """A version of what rounds are made of."""

    version: u32
    numbers: ParameterSet


@struct("assay_runtime::trail::Lineage")
class Lineage:
    """The steps of the model in the rounds first to last; rounds that closed without one are left out."""

    netuid: u16
    block: BlockNumber
    first: u32
    last: u32
    steps: Annotated[list[LineageStep], Bounded(MOST_STEPS)]
    parameter_sets: Annotated[list[NumberedSet], Bounded(MOST_STEPS)]  # those that the steps name


class ModelUpdatesApi(Bound):
    """The mountain range over all updates."""

    def proof(self, leaf: u64) -> UpdateProof | None:
        """Return an update with the path that proves it; None where there is no such leaf."""
        updates = self.runtime.model_updates
        path = updates.path(leaf)
        if path is None:
            return None
        place = updates.leaves[leaf]
        update = updates.updates[place.netuid, place.round, place.miner]
        count, peaks = updates.leaf_count.get(), updates.peaks.get()
        return UpdateProof(place.netuid, place.round, update, leaf, count, path, peaks)

    def root(self) -> Hash:
        """Return the hash over how many updates there are and over the peaks."""
        return self.runtime.model_updates.root()


class TrainingApi(Bound):
    """Rounds of training subnets, and what came of them."""

    def round(self, netuid: u16, round: u32) -> RoundInfo | None:
        """Return a round; None where it has not begun or the subnet does not train."""
        state = self.runtime.training.rounds.get(netuid, round)
        if state is None:
            return None
        updates = self.runtime.model_updates
        return RoundInfo(
            netuid,
            round,
            self.runtime.system.number.get(),
            state,
            updates.commit_count[netuid, round],
            [self._update(netuid, round, update) for update in updates.revealed(netuid, round)],
            self._judges(netuid, round),
            (netuid, round) in self.runtime.training.checkpoints,
            self.runtime.training.numbers_of(netuid, round),
        )

    def lineage(self, netuid: u16, from_: u32, to: u32) -> Lineage:
        """Return the steps of these rounds, of the first 256 at most: `last` says how far it looked."""
        training = self.runtime.training
        last = min(to, from_ + MOST_STEPS - 1, training.current_round[netuid])
        steps = [
            LineageStep(number, entry, (netuid, number) in training.checkpoints)
            for number in range(from_, last + 1)
            if (entry := training.lineage.get(netuid, number)) is not None
        ]
        versions = sorted({step.entry.parameters for step in steps})
        sets = [NumberedSet(version, training.parameter_sets[netuid, version]) for version in versions]
        return Lineage(netuid, self.runtime.system.number.get(), from_, last, steps, sets)

    def _update(self, netuid: int, round: int, update: Update) -> RoundUpdate:
        updates, place = self.runtime.model_updates, (netuid, round, update.miner)
        audit = self.runtime.verification.audits.get(place)
        return RoundUpdate(updates.commits[place].uid, update, place in updates.guilty, audit)

    def _judges(self, netuid: int, round: int) -> list[RoundJudge]:
        training, verification = self.runtime.training, self.runtime.verification
        sealed = {uid: hotkey for (uid,), hotkey in verification.judges.under(netuid, round)}
        attested = {uid: root for (uid,), root in training.attestations.under(netuid, round)}
        return [
            RoundJudge(
                uid,
                sealed.get(uid),
                verification.scores.get((netuid, round, uid)),
                (netuid, round, uid) in verification.voided,
                attested.get(uid),
            )
            for uid in sorted({**sealed, **attested})
        ]
