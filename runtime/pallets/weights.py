"""Weights: what each judge thinks the neurons of a subnet are worth.

Judges of a training subnet score through its rounds, which put their rows here; judges of other subnets seal
their rows and open them later, or set them in the open where the subnet's `commit_reveal` is 0.

    epoch e                 commit_weights: only a hash is public
    epoch e + reveal_period reveal_weights: the row is public, and counts when this epoch ends

An epoch here is the number of epochs that the subnet has run (Incentive.EpochIndex). Who copies a row can
read it only after all rows that count together with it were sealed, so a copy counts `reveal_period` epochs
after the original. A row keeps proportions only: its largest value is stored as 65,535.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from runtime.frame.declare import Signed, call, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.subnets.numbers import BOUNDS, MOST_UIDS, Hyperparameters
from runtime.primitives.commitments import Listed, Salt, weights_commitment
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.pairs import Pairs
from runtime.primitives.shapes import Bounded, struct, u16, u32, u64
from runtime.primitives.types import AccountId, BlockNumber, Hash, Weight

U16_MAX = 65_535
BY_UID = (twox_64_concat, twox_64_concat)
BY_HOTKEY = (twox_64_concat, blake2_128_concat)
MOST_COMMITS = BOUNDS["reveal_period"].most + 2
"""One for each epoch until the reveal, that of the reveal, and the one after it, when it is too late."""

Row = Annotated[Pairs, Bounded(MOST_UIDS)]
"""(uid, weight) ascending by uid, no zeros, the largest weight 65,535."""


@struct("pallet_weights::types::WeightCommit")
class WeightCommit:
    """A sealed row; an epoch is the number of epochs that the subnet had run."""

    commitment: Hash
    epoch: u32
    reveal_epoch: u32
    committed_at: BlockNumber
    version: u64  # the least version_key in that block


@event
class WeightsSet:
    """A judge's row of weights is another one."""

    netuid: u16
    uid: u16


@event
class WeightsCommitted:
    """A judge sealed a row in `epoch`, to be opened in `reveal_epoch`: the epochs the subnet has run then."""

    netuid: u16
    hotkey: AccountId
    commitment: Hash
    epoch: u32
    reveal_epoch: u32


@event
class WeightsRevealed:
    """A judge opened the row it sealed in `epoch`; it is the judge's row now."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    epoch: u32


@event
class RevealMissed:
    """A row sealed in `epoch` was not opened in time, or its hotkey lost its uid; it counts for nothing."""

    netuid: u16
    hotkey: AccountId
    epoch: u32


class Error(PalletError):
    """Why a row of weights is refused."""

    ScoresComeFromRounds = "A training subnet is scored through its rounds; use Verification.commit_scores."
    NotRegistered = "The signer has no uid in this subnet; sign with a hotkey that is registered there."
    NoPermit = "The signer holds no validator permit; bond more stake and wait for the next epoch."
    LengthMismatch = "uids and values differ in length; give one value for each uid."
    DuplicateUid = "A uid is listed twice; list each uid once."
    UnknownUid = "A uid is held by no neuron; read the metagraph again and leave it out."
    SelfWeight = "The row weighs the signer's own uid; leave it out."
    AllZero = "No value is above zero; weigh at least one neuron."
    OldVersion = "version_key is below the subnet's weights_version; update the validator software."
    TooSoon = "The last row is too recent; wait for the subnet's weights_rate_limit (blocks)."
    CommitRevealEnabled = (
        "This subnet takes sealed rows only (commit_reveal is 1); use commit_weights, later reveal_weights."
    )
    CommitRevealDisabled = "This subnet takes rows in the open (commit_reveal is 0); use set_weights."
    AlreadyCommitted = (
        "This hotkey has sealed a row in this epoch, or one that opens with it; seal the next one after the "
        "epoch."
    )
    NotCommitted = (
        "This hotkey has sealed no row that is still to be opened; seal one with commit_weights, and open it "
        "reveal_period epochs later. A hotkey that replaced another starts anew."
    )
    CommitmentMismatch = (
        "No row that this hotkey has sealed hashes to this; reveal exactly the uids, values, salt and "
        "version_key that were sealed, for the epoch (Incentive.EpochIndex) they were sealed in."
    )
    TooEarly = "The row opens later; wait until Incentive.EpochIndex is the reveal_epoch of its commit."
    TooLate = "The epoch in which this row could be opened is over; open the next one in time."


class SubnetsOf(Protocol):
    """What is asked of the Subnets pallet."""

    def ensure_working(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force of a subnet that is not paused. Raises: DispatchError."""
        ...

    def is_training(self, netuid: int) -> bool:
        """Say whether the subnet trains a model."""
        ...


class NeuronsOf(Protocol):
    """What is asked of the Neurons pallet."""

    def uid_of(self, netuid: int, hotkey: AccountId) -> int | None:
        """Return the uid of a hotkey."""
        ...

    def registered_at(self, netuid: int, uid: int) -> int | None:
        """Return the block in which a uid was taken; None where nobody holds it."""
        ...


class EpochsOf(Protocol):
    """What is asked of the Incentive pallet."""

    def is_permitted(self, netuid: int, uid: int) -> bool:
        """Say whether a neuron may judge."""
        ...

    def epochs_run(self, netuid: int) -> int:
        """Return how many epochs the subnet has run."""
        ...


def set_weight(runtime: Any, netuid: int, uids: list[int], values: list[int], key: int) -> Weight:
    """Return the weight of set_weights: each uid of the row is looked up."""
    return db(reads=7 + len(uids), writes=2)


def reveal_weight(
    runtime: Any, netuid: int, uids: list[int], values: list[int], salt: bytes, key: int
) -> Weight:
    """Return the weight of reveal_weights: each uid of the row is looked up, each commit hashed."""
    return db(reads=7 + MOST_COMMITS + len(uids), writes=3)


class Weights(Pallet[WeightsSet | WeightsCommitted | WeightsRevealed | RevealMissed, Error]):
    """The rows of weights, when each was set, and what is sealed."""

    system: BlockNumberProvider = coupled()
    subnets: SubnetsOf = coupled()
    neurons: NeuronsOf = coupled()
    incentive: EpochsOf = coupled()

    weights: DoubleMap[u16, u16, Row] = storage(default=Pairs(), hashers=BY_UID)
    last_update: DoubleMap[u16, u16, BlockNumber] = storage(default=0, hashers=BY_UID)
    weight_commits: DoubleMap[u16, AccountId, Annotated[list[WeightCommit], Bounded(MOST_COMMITS)]] = storage(
        default=[], hashers=BY_HOTKEY
    )

    @call(0, weight=set_weight)
    def set_weights(self, who: Signed, netuid: u16, uids: Listed, values: Listed, version_key: u64) -> None:
        """Weigh the neurons of a subnet in the open, as a judge's hotkey, where `commit_reveal` is 0."""
        uid = self.check_set_weights(AccountId(who), netuid, uids, values, version_key)
        self.put_row(netuid, uid, list(zip(uids, values, strict=True)), self.system.number.get())

    @call(1, weight=db(reads=9, writes=1))
    def commit_weights(self, who: Signed, netuid: u16, commitment: Hash) -> None:
        """Seal a row of weights as a judge's hotkey, once per epoch; only this hotkey can open it."""
        hotkey = AccountId(who)
        chosen = self.check_commit_weights(hotkey, netuid, commitment)
        epoch, now = self.incentive.epochs_run(netuid), self.system.number.get()
        sealed = WeightCommit(commitment, epoch, epoch + chosen.reveal_period, now, chosen.weights_version)
        self.weight_commits[netuid, hotkey] = [*self.weight_commits[netuid, hotkey], sealed]
        self.deposit(WeightsCommitted(netuid, hotkey, commitment, epoch, sealed.reveal_epoch))

    @call(2, weight=reveal_weight)
    def reveal_weights(
        self, who: Signed, netuid: u16, uids: Listed, values: Listed, salt: Salt, version_key: u64
    ) -> None:
        """Open a sealed row; entries for uids that others have taken since are left out."""
        hotkey = AccountId(who)
        uid, sealed = self.check_reveal_weights(hotkey, netuid, uids, values, salt, version_key)
        row = [
            (each, value)
            for each, value in zip(uids, values, strict=True)
            if self._knew(netuid, each, sealed)
        ]
        left = [each for each in self.weight_commits[netuid, hotkey] if each != sealed]
        self._put_commits(netuid, hotkey, left)
        self._store(netuid, uid, row, self.system.number.get())
        self.deposit(WeightsRevealed(netuid, uid, hotkey, sealed.epoch))

    # What the calls refuse; anybody may ask before signing. All raise DispatchError.

    def check_set_weights(
        self, hotkey: AccountId, netuid: int, uids: list[int], values: list[int], version_key: int
    ) -> int:
        """Refuse what `set_weights` would refuse, and return the judge's uid."""
        chosen, uid = self._judge(hotkey, netuid)
        ensure(not chosen.commit_reveal, Error.CommitRevealEnabled)
        ensure(self.incentive.is_permitted(netuid, uid), Error.NoPermit)
        ensure(version_key >= chosen.weights_version, Error.OldVersion)
        _ensure_row(uid, uids, values)
        known = all(self.neurons.registered_at(netuid, each) is not None for each in uids)
        ensure(known, Error.UnknownUid)
        before = self.last_update.get(netuid, uid)
        free = before is None or self.system.number.get() >= before + chosen.weights_rate_limit
        ensure(free, Error.TooSoon)
        return uid

    def check_commit_weights(self, hotkey: AccountId, netuid: int, commitment: Hash) -> Hyperparameters:
        """Refuse what `commit_weights` would refuse, and return the subnet's numbers."""
        chosen, uid = self._judge(hotkey, netuid)
        ensure(bool(chosen.commit_reveal), Error.CommitRevealDisabled)
        ensure(self.incentive.is_permitted(netuid, uid), Error.NoPermit)
        now = self.incentive.epochs_run(netuid)
        due = now + chosen.reveal_period
        for sealed in self.weight_commits[netuid, hotkey]:
            # Two rows to open in one epoch would be a choice, made when those of others are public.
            ensure(now != sealed.epoch and due != sealed.reveal_epoch, Error.AlreadyCommitted)
        return chosen

    def check_reveal_weights(
        self,
        hotkey: AccountId,
        netuid: int,
        uids: list[int],
        values: list[int],
        salt: bytes,
        version_key: int,
    ) -> tuple[int, WeightCommit]:
        """Refuse what `reveal_weights` would refuse, and return the judge's uid and what it opens."""
        _, uid = self._judge(hotkey, netuid)
        _ensure_row(uid, uids, values)
        ensure(max(uids) < MOST_UIDS, Error.UnknownUid)
        commits, now = self.weight_commits[netuid, hotkey], self.incentive.epochs_run(netuid)
        ensure(bool(commits), Error.NotCommitted)

        def opens(sealed: WeightCommit) -> bool:
            # A commitment that came into a block just after the epoch it was made for is good, too.
            return sealed.commitment in (
                weights_commitment(hotkey, netuid, epoch, uids, values, salt, version_key)
                for epoch in (sealed.epoch, max(0, sealed.epoch - 1))
            )

        due_first = sorted(commits, key=lambda each: each.reveal_epoch != now)
        found = next(filter(opens, due_first), None) or refuse(Error.CommitmentMismatch)
        ensure(now >= found.reveal_epoch, Error.TooEarly)
        ensure(now <= found.reveal_epoch, Error.TooLate)
        ensure(version_key >= found.version, Error.OldVersion)
        return uid, found

    # What other pallets use.

    def put_row(self, netuid: int, uid: int, row: Sequence[tuple[int, int]], now: int) -> None:
        """Store a judge's row of (uid, any integer >= 0); an empty one values nobody."""
        self._store(netuid, uid, row, now)
        self.deposit(WeightsSet(netuid, uid))

    def drop_row(self, netuid: int, uid: int) -> None:
        """Take a judge's row away, as if it had never set one."""
        del self.weights[netuid, uid]
        del self.last_update[netuid, uid]

    def row(self, netuid: int, uid: int) -> Pairs:
        """Return a judge's row, ascending by uid."""
        return self.weights[netuid, uid]

    def updated_at(self, netuid: int, uid: int) -> int:
        """Return the block in which a judge's row was set, zero for never."""
        return self.last_update[netuid, uid]

    def pending(self, netuid: int) -> dict[int, list[WeightCommit]]:
        """Return what each judge has sealed and can still open, oldest first, ascending by uid."""
        now = self.incentive.epochs_run(netuid)
        found = {
            self.neurons.uid_of(netuid, hotkey): [each for each in commits if each.reveal_epoch >= now]
            for hotkey, commits in self.weight_commits.under(netuid)
        }
        return {uid: found[uid] for uid in sorted(uid for uid in found if uid is not None) if found[uid]}

    def end_epoch(self, netuid: int, epoch: int) -> int:
        """Give up what had to be opened in an epoch that ends; return how many hotkeys had sealed rows.

        It stays for one more epoch, so that who comes too late is told so.
        """
        hotkeys = 0
        for hotkey, commits in self.weight_commits.under(netuid):
            hotkeys += 1
            for sealed in commits:
                if sealed.reveal_epoch == epoch:
                    self.deposit(RevealMissed(netuid, hotkey, sealed.epoch))
            self._put_commits(netuid, hotkey, [each for each in commits if each.reveal_epoch >= epoch])
        return hotkeys

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove what a neuron that is leaving has sealed, and the weights from and to it."""
        self.forget_commits(netuid, hotkey)
        del self.weights[netuid, uid]
        del self.last_update[netuid, uid]
        for judge, row in self.weights.under(netuid):
            kept = [entry for entry in row if entry[0] != uid]
            if len(kept) < len(row):
                self.weights[netuid, judge] = Pairs(kept)

    def forget_commits(self, netuid: int, hotkey: AccountId) -> None:
        """Give up what a hotkey has sealed: it has no uid any more, and nobody else can open it."""
        now = self.incentive.epochs_run(netuid)
        for sealed in self.weight_commits.take(netuid, hotkey) or ():
            if sealed.reveal_epoch >= now:
                self.deposit(RevealMissed(netuid, hotkey, sealed.epoch))

    def try_state(self) -> None:
        """Rows are sorted, without zeros, and speak of neurons that exist; what is sealed can be opened."""
        for (netuid, uid), row in self.weights.items():
            uids = [entry[0] for entry in row]
            assert uids == sorted(set(uids))
            assert all(value > 0 for _, value in row)
            assert (netuid, uid) in self.last_update
            assert all(self.neurons.registered_at(netuid, each) is not None for each in [uid, *uids])
        for (netuid, uid), block in self.last_update.items():
            assert (netuid, uid) in self.weights
            assert block <= self.system.number.get()
        for (netuid, hotkey), commits in self.weight_commits.items():
            assert self.neurons.uid_of(netuid, hotkey) is not None
            assert not self.subnets.is_training(netuid)
            epochs, now = [sealed.epoch for sealed in commits], self.incentive.epochs_run(netuid)
            assert epochs == sorted(set(epochs))
            assert len(commits) == len({sealed.reveal_epoch for sealed in commits})
            assert epochs[-1] <= now
            assert all(sealed.epoch < sealed.reveal_epoch >= now - 1 for sealed in commits)

    # Helpers.

    def _judge(self, hotkey: AccountId, netuid: int) -> tuple[Hyperparameters, int]:
        chosen = self.subnets.ensure_working(netuid)
        ensure(not self.subnets.is_training(netuid), Error.ScoresComeFromRounds)
        uid = self.neurons.uid_of(netuid, hotkey)
        if uid is None:
            refuse(Error.NotRegistered)
        return chosen, uid

    def _knew(self, netuid: int, uid: int, sealed: WeightCommit) -> bool:
        """Say whether who holds a uid held it before the row was sealed."""
        since = self.neurons.registered_at(netuid, uid)
        return since is not None and since < sealed.committed_at

    def _store(self, netuid: int, uid: int, row: Sequence[tuple[int, int]], now: int) -> None:
        self.weights[netuid, uid] = Pairs(upscaled(row))
        self.last_update[netuid, uid] = now

    def _put_commits(self, netuid: int, hotkey: AccountId, commits: list[WeightCommit]) -> None:
        if commits:
            self.weight_commits[netuid, hotkey] = commits
        else:
            del self.weight_commits[netuid, hotkey]


def _ensure_row(uid: int, uids: list[int], values: list[int]) -> None:
    ensure(len(uids) == len(values), Error.LengthMismatch)
    ensure(any(values), Error.AllZero)
    ensure(len(uids) == len(set(uids)), Error.DuplicateUid)
    ensure(uid not in uids, Error.SelfWeight)


def upscaled(row: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a row ascending by uid with its largest value at 65,535, halves rounded up, zeros left out."""
    largest = max((value for _, value in row), default=0)
    if largest == 0:
        return []
    scaled = sorted((uid, (2 * value * U16_MAX + largest) // (2 * largest)) for uid, value in row)
    return [(uid, value) for uid, value in scaled if value]
