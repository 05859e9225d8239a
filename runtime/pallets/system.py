"""System: block numbers and hashes, accounts, and the event log.

Source: FRAME's frame_system; names and layouts are what clients look up.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from runtime.frame.base import DispatchInfo, EventRecords
from runtime.frame.declare import DispatchClass, Root, Signed, call, constant, db, event
from runtime.frame.errors import (
    ConsumerRemaining,
    DispatchError,
    DispatchErrorKind,
    NoProviders,
    SystemError_,
    ensure,
)
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.header import Digest, DigestItem, RuntimeEnvironmentUpdated
from runtime.primitives.manifest import CODE_KEY, MAX_BYTES, Manifest, ManifestError
from runtime.primitives.scale import write_compact
from runtime.primitives.shapes import Bounded, Compact, struct, u16, u32, u64
from runtime.primitives.trie import MAX_KEY
from runtime.primitives.types import ZERO_HASH, AccountId, AccountInfo, BlockNumber, Hash, Nonce, Weight
from runtime.primitives.version import RuntimeVersion

Key = Annotated[bytes, Bounded(MAX_KEY)]

MILLISECOND = 1_000_000_000
"""ps"""


@struct("frame_support::dispatch::PerDispatchClass")
class WeightPerClass:
    """Weight used in this block by class."""

    normal: Weight = Weight()
    operational: Weight = Weight()
    mandatory: Weight = Weight()

    def plus(self, weight: Weight, of: DispatchClass) -> "WeightPerClass":
        """Return the same with more weight used by a class."""
        match of:
            case DispatchClass.Normal:
                return WeightPerClass(self.normal + weight, self.operational, self.mandatory)
            case DispatchClass.Operational:
                return WeightPerClass(self.normal, self.operational + weight, self.mandatory)
            case DispatchClass.Mandatory:
                return WeightPerClass(self.normal, self.operational, self.mandatory + weight)


@struct("frame_system::limits::WeightsPerClass")
class ClassLimits:
    """What one class of extrinsics may use."""

    base_extrinsic: Weight
    max_extrinsic: Weight | None
    max_total: Weight | None
    reserved: Weight | None


@struct("frame_support::dispatch::PerDispatchClassLimits")
class LimitsPerClass:
    """Limits by class."""

    normal: ClassLimits
    operational: ClassLimits
    mandatory: ClassLimits


@struct("frame_system::limits::BlockWeights")
class BlockWeights:
    """What a block may use."""

    base_block: Weight
    max_block: Weight
    per_class: LimitsPerClass


@struct("frame_support::dispatch::PerDispatchClassLength")
class LengthPerClass:
    """Bytes by class."""

    normal: u32
    operational: u32
    mandatory: u32


@struct("frame_system::limits::BlockLength")
class BlockLength:
    """How many bytes of extrinsics a block may carry."""

    max: LengthPerClass


@struct("sp_weights::RuntimeDbWeight")
class RuntimeDbWeight:
    """ps per storage read and write."""

    read: u64
    write: u64


@struct("frame_system::LastRuntimeUpgradeInfo")
class LastRuntimeUpgradeInfo:
    """Which runtime wrote the state."""

    spec_version: Compact[u32]
    spec_name: str


Code = Annotated[bytes, Bounded(MAX_BYTES)]
"""A manifest; see runtime/primitives/manifest.py."""


@struct("assay_system::UpgradeSchedule")
class UpgradeSchedule:
    """The first block that another runtime executes, and the manifest that names that runtime."""

    at: BlockNumber
    code: Code


MAX_ITEMS = 1024
"""Storage items root may write in one call."""
MAX_BLOCK = Weight(500 * MILLISECOND, 5 << 20)
"""A quarter of a 2 s slot: importing must leave time for the rest of the slot."""
BASE_EXTRINSIC = Weight(125_000_000, 0)
"""ps to decode, verify and book-keep one extrinsic."""
NORMAL_LIMIT = Weight(MAX_BLOCK.ref_time * 3 // 4, MAX_BLOCK.proof_size * 3 // 4)
DEFAULT_WEIGHTS = BlockWeights(
    Weight(5 * MILLISECOND, 0),
    MAX_BLOCK,
    LimitsPerClass(
        ClassLimits(BASE_EXTRINSIC, NORMAL_LIMIT, NORMAL_LIMIT, Weight()),
        ClassLimits(BASE_EXTRINSIC, MAX_BLOCK, MAX_BLOCK, Weight()),
        ClassLimits(BASE_EXTRINSIC, None, None, None),
    ),
)
MIB = 1 << 20
DEFAULT_LENGTH = BlockLength(LengthPerClass(5 * MIB * 3 // 4, 5 * MIB, 5 * MIB))


@event
class ExtrinsicSuccess:
    """An extrinsic completed successfully."""

    dispatch_info: DispatchInfo


@event
class ExtrinsicFailed:
    """An extrinsic failed; its fee was paid all the same."""

    dispatch_error: DispatchErrorKind
    dispatch_info: DispatchInfo


@event
class CodeUpdated:
    """`:code` was updated."""


@event
class NewAccount:
    """A new account was created."""

    account: AccountId


@event
class KilledAccount:
    """An account was reaped."""

    account: AccountId


@event
class Remarked:
    """On-chain remark happened."""

    sender: AccountId
    hash: Hash


@event
class UpgradeScheduled:
    """Another runtime will execute the blocks from a height on."""

    at: BlockNumber
    spec_version: u32


@event
class UpgradeCancelled:
    """The runtime stays."""


class System(
    Pallet[
        ExtrinsicSuccess
        | ExtrinsicFailed
        | CodeUpdated
        | NewAccount
        | KilledAccount
        | Remarked
        | UpgradeScheduled
        | UpgradeCancelled,
        SystemError_,
    ]
):
    """Block numbers, hashes, accounts and events; the schedule of the next runtime.

    There is no `set_code`: it switches in the next block, and nodes here need notice to install a runtime.
    """

    block_weights: BlockWeights = constant(DEFAULT_WEIGHTS)
    block_length: BlockLength = constant(DEFAULT_LENGTH)
    block_hash_count: BlockNumber = constant(4096)
    db_weight: RuntimeDbWeight = constant(RuntimeDbWeight(25_000_000, 100_000_000))
    version: RuntimeVersion = constant(RuntimeVersion("", "", 0, 0, 0, [], 0, 0))
    ss58_prefix: u16 = constant(42)

    account: Map[AccountId, AccountInfo] = storage(default=AccountInfo())
    extrinsic_count: Value[u32] = storage(default=0, tally=True)
    block_weight: Value[WeightPerClass] = storage(default=WeightPerClass(), tally=True)
    all_extrinsics_len: Value[u32] = storage(default=0, tally=True)
    block_hash: Map[BlockNumber, Hash] = storage(default=ZERO_HASH, hasher=twox_64_concat)
    number: Value[BlockNumber] = storage(default=0)
    parent_hash: Value[Hash] = storage(default=ZERO_HASH)
    digest: Value[Digest] = storage(default=Digest([]))
    events: Value[EventRecords] = storage(default=[])
    event_count: Value[u32] = storage(default=0)
    last_runtime_upgrade: Value[LastRuntimeUpgradeInfo] = storage()
    scheduled_upgrade: Value[UpgradeSchedule] = storage()

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Note which runtime writes the state."""
        self._note_runtime()

    @call(0, weight=db())
    def remark(self, who: Signed, remark: bytes) -> None:
        """Make some on-chain remark."""

    @call(4, weight=db(writes=1))
    def set_storage(
        self, origin: Root, items: Annotated[list[tuple[Key, bytes]], Bounded(MAX_ITEMS)]
    ) -> None:
        """Set some items of storage."""
        for key, value in items:
            self.host.overlay.put(key, value)

    @call(5, weight=db(writes=1))
    def kill_storage(self, origin: Root, keys: Annotated[list[bytes], Bounded(MAX_ITEMS)]) -> None:
        """Kill some items from storage."""
        for key in keys:
            self.host.overlay.put(key, None)

    @call(7, weight=db())
    def remark_with_event(self, who: Signed, remark: bytes) -> None:
        """Make some on-chain remark and emit event."""
        self.deposit(Remarked(who, Hash(blake2_256(remark))))

    @call(12, weight=db(reads=1, writes=1))
    def schedule_upgrade(self, origin: Root, at: BlockNumber, code: Code) -> None:
        """Have the blocks from `at` on executed by the runtime that a manifest names, not by this one.

        Replaces what was scheduled before. Nodes that lack the runtime stop before that block.
        """
        ensure(at > self.number.get(), SystemError_.UpgradeInThePast)
        manifest = self._upgrade(code)
        self.scheduled_upgrade.put(UpgradeSchedule(at, code))
        self.deposit(UpgradeScheduled(at, manifest.spec_version))

    @call(13, weight=db(reads=1, writes=1))
    def cancel_upgrade(self, origin: Root) -> None:
        """Keep this runtime: forget the upgrade that is scheduled."""
        ensure(self.scheduled_upgrade.exists(), SystemError_.NothingScheduled)
        self.scheduled_upgrade.kill()
        self.deposit(UpgradeCancelled())

    def _upgrade(self, code: bytes) -> Manifest:
        """Return the manifest of an upgrade: of the same chain, and newer. Raises: DispatchError."""
        try:
            manifest = Manifest.decode(code)
            current = Manifest.decode(self.host.overlay.get(CODE_KEY) or b"")
        except ManifestError as problem:
            raise DispatchError(SystemError_.FailedToExtractRuntimeVersion) from problem
        same = (manifest.spec_name, manifest.preset) == (current.spec_name, current.preset)
        ensure(same, SystemError_.InvalidSpecName)
        is_newer = manifest.spec_version > current.spec_version
        is_newer = is_newer and manifest.transaction_version >= current.transaction_version
        ensure(is_newer, SystemError_.SpecVersionNeedsToIncrease)
        return manifest

    def on_finalize(self, now: int) -> None:
        """Write the scheduled `:code` in the last block before its height: the next block is its first."""
        scheduled = self.scheduled_upgrade.find()
        if scheduled is not None and now + 1 >= scheduled.at:
            self.host.overlay.put(CODE_KEY, scheduled.code)
            self.scheduled_upgrade.kill()
            self.deposit_log(RuntimeEnvironmentUpdated())
            self.deposit(CodeUpdated())

    def _note_runtime(self) -> None:
        info = LastRuntimeUpgradeInfo(self.version.spec_version, self.version.spec_name)
        self.last_runtime_upgrade.put(info)

    # The executive's side.

    def begin_upgrade(self) -> int | None:
        """Return the spec_version that wrote the state when it was another one, and note this one."""
        last = self.last_runtime_upgrade.find()
        if last is not None and last.spec_version == self.version.spec_version:
            return None
        self._note_runtime()
        return 0 if last is None else last.spec_version

    def initialize(self, number: BlockNumber, parent: Hash, digest: Digest) -> None:
        """Open block `number`."""
        self.number.put(number)
        self.parent_hash.put(parent)
        self.digest.put(digest)
        self.block_hash[number - 1] = parent
        expired = number - 1 - self.block_hash_count
        if expired > 0:  # the genesis hash stays: clients and commitments are bound to it
            del self.block_hash[expired]
        self.block_weight.put(WeightPerClass())
        self.all_extrinsics_len.kill()
        self.extrinsic_count.kill()
        self.note_weight(self.block_weights.base_block, DispatchClass.Mandatory)

    def note_weight(self, weight: Weight, dispatch_class: DispatchClass) -> None:
        """Count weight that was used."""
        if weight.ref_time or weight.proof_size:
            self.block_weight.put(self.block_weight.get().plus(weight, dispatch_class))

    def note_applied(self, info: DispatchInfo, error: DispatchErrorKind | None) -> None:
        """Close an extrinsic with its last event."""
        self.deposit(ExtrinsicSuccess(info) if error is None else ExtrinsicFailed(error, info))
        self.extrinsic_count.put(self.extrinsic_count.get() + 1)

    def deposit_log(self, log: DigestItem) -> None:
        """Append to the digest of the block under construction."""
        self.digest.put(Digest([*self.digest.get().logs, log]))

    def finish(self, events: list[bytes]) -> tuple[BlockNumber, Hash, Digest]:
        """Store the events and return number, parent and digest of the header."""
        written = bytearray()
        write_compact(len(events), written)
        self.host.overlay.put(self.events.key, bytes(written) + b"".join(events))
        self.event_count.put(len(events))
        self.extrinsic_count.kill()
        return self.number.get(), self.parent_hash.get(), self.digest.get()

    def genesis_hash(self) -> Hash:
        """Return the hash of block 0."""
        return self.block_hash[0]

    # Reference counts of accounts, for the pallets that keep something under one.

    def next_nonce(self, who: AccountId) -> Nonce:
        """Return the nonce the account's next transaction must carry."""
        return self.account[who].nonce

    def use_nonce(self, who: AccountId, nonce: Nonce) -> bool:
        """Count a transaction of the account, if it is the next one."""
        info = self.account[who]
        if nonce != info.nonce:
            return False
        self.account[who] = info.with_nonce(nonce + 1)
        return True

    def add_provider(self, who: AccountId) -> None:
        """Say that something keeps the account alive."""
        info = self.account[who]
        if info.providers == 0 and info.sufficients == 0:
            self.deposit(NewAccount(who))
        self.account[who] = info.with_providers(info.providers + 1)

    def remove_provider(self, who: AccountId) -> None:
        """Take back `add_provider`; the last one reaps the account.

        Raises: DispatchError(ConsumerRemaining) while something needs the account.
        """
        info = self.account[who]
        if info.providers > 1 or (info.providers and info.sufficients):
            self.account[who] = info.with_providers(info.providers - 1)
            return
        if info.consumers:
            raise DispatchError(ConsumerRemaining())
        del self.account[who]
        self.deposit(KilledAccount(who))

    def add_consumer(self, who: AccountId) -> None:
        """Say that something needs the account to stay.

        Raises: DispatchError(NoProviders) when the account does not exist.
        """
        info = self.account[who]
        if not info.providers:
            raise DispatchError(NoProviders())
        self.account[who] = replace(info, consumers=info.consumers + 1)

    def remove_consumer(self, who: AccountId) -> None:
        """Take back `add_consumer`."""
        info = self.account[who]
        self.account[who] = replace(info, consumers=info.consumers - 1)
