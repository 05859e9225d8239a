"""Weights: what each judge thinks the neurons of a subnet are worth.

Judges of a training subnet score through its rounds, which put their rows here; judges of other subnets set
their rows themselves. A row keeps proportions only: its largest value is stored as 65,535.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from runtime.frame.declare import Signed, call, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.subnets import MOST_UIDS, Hyperparameters
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import Bounded, u16, u64
from runtime.primitives.types import AccountId, BlockNumber, Weight

U16_MAX = 65_535
BY_UID = (twox_64_concat, twox_64_concat)

Row = Annotated[list[tuple[u16, u16]], Bounded(MOST_UIDS)]
"""(uid, weight) ascending by uid, no zeros, the largest weight 65,535."""
Listed = Annotated[list[u16], Bounded(MOST_UIDS)]


@event
class WeightsSet:
    """A judge's row of weights is another one."""

    netuid: u16
    uid: u16


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


class Permits(Protocol):
    """What is asked of the Incentive pallet."""

    def is_permitted(self, netuid: int, uid: int) -> bool:
        """Say whether a neuron may judge."""
        ...


def set_weights_weight(runtime: Any, netuid: int, uids: list[int], values: list[int], key: int) -> Weight:
    """Return the weight of set_weights: each uid of the row is looked up."""
    return db(reads=7 + len(uids), writes=2)


class Weights(Pallet[WeightsSet, Error]):
    """The rows of weights, and when each was set."""

    system: BlockNumberProvider = coupled()
    subnets: SubnetsOf = coupled()
    neurons: NeuronsOf = coupled()
    permits: Permits = coupled()

    weights: DoubleMap[u16, u16, Row] = storage(default=[], hashers=BY_UID)
    last_update: DoubleMap[u16, u16, BlockNumber] = storage(default=0, hashers=BY_UID)

    @call(0, weight=set_weights_weight)
    def set_weights(self, who: Signed, netuid: u16, uids: Listed, values: Listed, version_key: u64) -> None:
        """Weigh the neurons of a subnet that is not scored through rounds, as a judge's hotkey."""
        chosen = self.subnets.ensure_working(netuid)
        ensure(not self.subnets.is_training(netuid), Error.ScoresComeFromRounds)
        uid = self.neurons.uid_of(netuid, AccountId(who))
        if uid is None:
            refuse(Error.NotRegistered)
        ensure(self.permits.is_permitted(netuid, uid), Error.NoPermit)
        ensure(version_key >= chosen.weights_version, Error.OldVersion)
        self._ensure_row(netuid, uid, uids, values)
        now = self.system.number.get()
        if (netuid, uid) in self.last_update:
            ensure(now >= self.last_update[netuid, uid] + chosen.weights_rate_limit, Error.TooSoon)
        self.put_row(netuid, uid, list(zip(uids, values, strict=True)), now)

    # What other pallets use.

    def put_row(self, netuid: int, uid: int, row: Sequence[tuple[int, int]], now: int) -> None:
        """Store a judge's row of (uid, any integer >= 0); an empty one values nobody."""
        self.weights[netuid, uid] = upscaled(row)
        self.last_update[netuid, uid] = now
        self.deposit(WeightsSet(netuid, uid))

    def row(self, netuid: int, uid: int) -> list[tuple[int, int]]:
        """Return a judge's row, ascending by uid."""
        return self.weights[netuid, uid]

    def updated_at(self, netuid: int, uid: int) -> int:
        """Return the block in which a judge's row was set, zero for never."""
        return self.last_update[netuid, uid]

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove the weights from and to a neuron that is leaving."""
        del self.weights[netuid, uid]
        del self.last_update[netuid, uid]
        for judge, row in self.weights.under(netuid):
            kept = [entry for entry in row if entry[0] != uid]
            if len(kept) < len(row):
                self.weights[netuid, judge] = kept

    def try_state(self) -> None:
        """Rows are sorted, without zeros, and speak of neurons that exist; each has its date."""
        for (netuid, uid), row in self.weights.items():
            uids = [entry[0] for entry in row]
            assert uids == sorted(set(uids))
            assert all(value > 0 for _, value in row)
            assert (netuid, uid) in self.last_update
            assert all(self.neurons.registered_at(netuid, each) is not None for each in [uid, *uids])

    def _ensure_row(self, netuid: int, uid: int, uids: list[int], values: list[int]) -> None:
        ensure(len(uids) == len(values), Error.LengthMismatch)
        ensure(any(values), Error.AllZero)
        ensure(len(uids) == len(set(uids)), Error.DuplicateUid)
        ensure(uid not in uids, Error.SelfWeight)
        known = all(self.neurons.registered_at(netuid, each) is not None for each in uids)
        ensure(known, Error.UnknownUid)


def upscaled(row: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a row ascending by uid with its largest value at 65,535, halves rounded up, zeros left out."""
    largest = max((value for _, value in row), default=0)
    if largest == 0:
        return []
    scaled = sorted((uid, (2 * value * U16_MAX + largest) // (2 * largest)) for uid, value in row)
    return [(uid, value) for uid, value in scaled if value]
