"""Verification: what the judges of a training subnet think of each payload; sealed first, then opened.

    commit_scores (SCORE_COMMIT)  ->  reveal_scores (SCORE_REVEAL)  ->  book, when the round has closed

Sealing keeps judges from copying each other. A payload that a judge leaves out of its list is an abstention.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from runtime.frame.declare import Pays, Signed, call, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, NMap, storage
from runtime.pallets.incentive.shares import apportion
from runtime.pallets.model_updates import Update
from runtime.primitives.commitments import PPM, Salt, Score, Scores, score_commitment
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import struct, u16, u32, u64
from runtime.primitives.types import AccountId, BlockNumber, Hash, Weight

BY_NUMBER = (twox_64_concat, twox_64_concat, twox_64_concat)
"""Netuids, rounds and uids are the chain's own numbers."""


class ChainOf(Protocol):
    """Names the chain."""

    def genesis_hash(self) -> Hash:
        """Return the hash of block 0."""
        ...


class RoundsOf(Protocol):
    """Says who may act in a round now. Both raise DispatchError."""

    def admit_to_score_commit(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_COMMIT of this round is open and its beacon drawn."""
        ...

    def admit_to_score_reveal(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_REVEAL of this round is open."""
        ...


class NeuronOf(Protocol):
    """Who holds a uid."""

    @property
    def hotkey(self) -> AccountId:
        """The key that acts."""
        ...


class NeuronsOf(Protocol):
    """Who is in a subnet."""

    def uid_of(self, netuid: int, hotkey: AccountId) -> int | None:
        """Return the uid of a hotkey."""
        ...

    def neuron(self, netuid: int, uid: int) -> NeuronOf | None:
        """Return who holds a uid."""
        ...


class UpdatesOf(Protocol):
    """What the miners revealed."""

    def has_revealed(self, netuid: int, round: int, miner: AccountId) -> bool:
        """Say whether a miner has revealed in a round."""
        ...

    def alike(self, netuid: int, round: int) -> list[list[Update]]:
        """Return the updates of a round, those with equal digests together, in the order of their commits."""
        ...


class EpochsOf(Protocol):
    """When a subnet was paid last."""

    def last_epoch_block(self, netuid: int) -> int:
        """Return the block of the last epoch."""
        ...


class RowsOf(Protocol):
    """Where a judge's row of the epoch goes."""

    def put_row(self, netuid: int, uid: int, row: Sequence[tuple[int, int]], now: int) -> None:
        """Set the row of (uid, points); only their proportions are kept."""
        ...


@struct("pallet_verification::types::Points")
class Points:
    """What a judge gave a uid in this epoch."""

    uid: u16
    points: u64


@struct("pallet_verification::types::Tally")
class Tally:
    """A judge's running sum since the epoch in block `since`."""

    since: BlockNumber
    points: list[Points]


@event
class ScoresCommitted:
    """A judge sealed its scores of a round."""

    netuid: u16
    round: u32
    judge: u16
    commitment: Hash


@event
class ScoresRevealed:
    """A judge opened its scores of a round."""

    netuid: u16
    round: u32
    judge: u16
    scores: Scores


class Error(PalletError):
    """Why scores are refused."""

    AlreadyCommitted = "This judge has committed scores in this round: one commitment counts, now reveal it."
    AlreadyRevealed = "This judge has revealed its scores of this round: nothing is left to do."
    NotCommitted = "Nothing to reveal: this judge sealed no scores in SCORE_COMMIT; score the next round."
    CommitmentMismatch = "Scores and salt do not hash to the commitment: reveal exactly what was committed."
    DuplicateUid = "A uid is scored twice: list each uid once."
    OwnUid = "A judge cannot score itself: leave its own uid out."
    UnknownUpdate = "A scored uid revealed no update in this round: score only ModelUpdates.Updates of it."
    TooMuch = "The scores sum to more than 1,000,000 ppm: normalise them."


def reveal_weight(runtime: Any, netuid: int, round: int, scores: list[Score], salt: bytes) -> Weight:
    """Return the weight of opening so many scores: each is looked up."""
    return db(reads=12 + 2 * len(scores), writes=1)


class Verification(Pallet[ScoresCommitted | ScoresRevealed, Error]):
    """Scores of updates by the judges of training subnets."""

    system: ChainOf = coupled()
    training: RoundsOf = coupled()
    neurons: NeuronsOf = coupled()
    model_updates: UpdatesOf = coupled()
    incentive: EpochsOf = coupled()
    weights: RowsOf = coupled()

    score_commits: NMap[tuple[u16, u32, u16], Hash] = storage(hashers=BY_NUMBER)
    scores: NMap[tuple[u16, u32, u16], Scores] = storage(hashers=BY_NUMBER)
    judges: NMap[tuple[u16, u32, u16], AccountId] = storage(hashers=BY_NUMBER)
    tallies: DoubleMap[u16, u16, Tally] = storage(hasher=twox_64_concat)

    @call(0, weight=db(reads=12, writes=2), pays=Pays.No)
    def commit_scores(self, who: Signed, netuid: u16, round: u32, commitment: Hash) -> None:
        """Seal the scores of this round; free, once per round."""
        judge = self.check_commit_scores(who, netuid, round, commitment)
        self.score_commits[netuid, round, judge] = commitment
        self.judges[netuid, round, judge] = who
        self.deposit(ScoresCommitted(netuid, round, judge, commitment))

    @call(1, weight=reveal_weight, pays=Pays.No)
    def reveal_scores(self, who: Signed, netuid: u16, round: u32, scores: Scores, salt: Salt) -> None:
        """Open the scores that were sealed; free, once per round."""
        judge = self.check_reveal_scores(who, netuid, round, scores, salt)
        self.scores[netuid, round, judge] = scores
        self.deposit(ScoresRevealed(netuid, round, judge, scores))

    def check_commit_scores(self, who: AccountId, netuid: int, round: int, commitment: Hash) -> int:
        """Refuse what `commit_scores` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        judge = self.training.admit_to_score_commit(who, netuid, round)
        ensure((netuid, round, judge) not in self.score_commits, Error.AlreadyCommitted)
        return judge

    def check_reveal_scores(
        self, who: AccountId, netuid: int, round: int, scores: list[Score], salt: bytes
    ) -> int:
        """Refuse what `reveal_scores` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        judge = self.training.admit_to_score_reveal(who, netuid, round)
        ensure((netuid, round, judge) not in self.scores, Error.AlreadyRevealed)
        sealed = self.score_commits.get((netuid, round, judge)) or refuse(Error.NotCommitted)
        opened = score_commitment(self.system.genesis_hash(), netuid, round, who, salt, scores)
        ensure(opened == sealed, Error.CommitmentMismatch)
        self._check_scores(netuid, round, judge, scores)
        return judge

    def _check_scores(self, netuid: int, round: int, judge: int, scores: list[Score]) -> None:
        uids = [score.uid for score in scores]
        ensure(len(frozenset(uids)) == len(uids), Error.DuplicateUid)
        ensure(judge not in uids, Error.OwnUid)
        ensure(sum(score.score for score in scores) <= PPM, Error.TooMuch)
        for uid in uids:
            neuron = self.neurons.neuron(netuid, uid)
            revealed = neuron is not None and self.model_updates.has_revealed(netuid, round, neuron.hotkey)
            ensure(revealed, Error.UnknownUpdate)

    # What Training uses.

    def committed(self, netuid: int, round: int) -> list[int]:
        """Return the judges that sealed scores in a round and still hold their uid, ascending."""
        signers = self.judges.under(netuid, round)
        return sorted(judge for (judge,), hotkey in signers if self._holds(netuid, judge, hotkey))

    def revealed(self, netuid: int, round: int) -> list[tuple[int, list[Score]]]:
        """Return (judge, scores) of those among them that revealed, by ascending judge."""
        return [
            (judge, scores)
            for judge in self.committed(netuid, round)
            if (scores := self.scores.get((netuid, round, judge))) is not None
        ]

    def _holds(self, netuid: int, uid: int, hotkey: AccountId) -> bool:
        neuron = self.neurons.neuron(netuid, uid)
        return neuron is not None and neuron.hotkey == hotkey

    def book(self, netuid: int, round: int, now: int) -> None:
        """Add a closed round's scores to each judge's row of the current subnet epoch.

        Identical payloads are one piece of work: those who revealed it share the score of the first of them.
        """
        since = self.incentive.last_epoch_block(netuid)
        groups = self._groups(netuid, round)
        for judge, scores in self.revealed(netuid, round):
            tally = self.tallies.get(netuid, judge)
            current = tally.points if tally and tally.since == since else []
            points = {entry.uid: entry.points for entry in current}
            given = {score.uid: score.score for score in scores}
            for group in groups:
                shares = apportion(given.get(group[0], 0), [1] * len(group))
                for uid, share in zip(group, shares, strict=True):
                    if share:
                        points[uid] = points.get(uid, 0) + share
            row = sorted(points.items())
            self.tallies[netuid, judge] = Tally(since, [Points(uid, total) for uid, total in row])
            self.weights.put_row(netuid, judge, row, now)

    def _groups(self, netuid: int, round: int) -> list[list[int]]:
        """Return the uids of who revealed the same payload, the first to commit first.

        Where that one has left the subnet, nobody earns anything with its payload.
        """
        found = []
        for alike in self.model_updates.alike(netuid, round):
            uids = [self.neurons.uid_of(netuid, update.miner) for update in alike]
            if uids[0] is not None:
                found.append([uid for uid in uids if uid is not None])
        return found

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove what a neuron that is leaving has given in this epoch, and what it was given."""
        del self.tallies[netuid, uid]
        for judge, tally in self.tallies.under(netuid):
            kept = [entry for entry in tally.points if entry.uid != uid]
            if len(kept) < len(tally.points):
                self.tallies[netuid, judge] = Tally(tally.since, kept)

    def try_state(self) -> None:
        """Only sealed scores are opened; lists keep their bounds; tallies name those who are there, once."""
        for (netuid, round, judge), scores in self.scores.under():
            assert (netuid, round, judge) in self.score_commits
            assert judge not in [score.uid for score in scores]
            assert sum(score.score for score in scores) <= PPM
        for (netuid, judge), tally in self.tallies.items():
            uids = [entry.uid for entry in tally.points]
            assert len(frozenset(uids)) == len(uids)
            assert all(self.neurons.neuron(netuid, uid) is not None for uid in [judge, *uids])
