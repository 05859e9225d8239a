"""Babe: slots, authorities with weights, and the chain's randomness.

Randomness of epoch n+1 = blake2_256(randomness of n ++ n+1 ++ VRF outputs of epoch n-1); it is announced,
with the authorities and what has changed of the configuration, in the first block of epoch n.
Source: Polkadot specification, chapter 5; FRAME's pallet-babe.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from runtime.frame.declare import Pays, Root, Signed, Unsigned, call, constant, coupled, db
from runtime.frame.errors import InvalidDigest, PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.traits import Digests
from runtime.pallets.equivocation import REPORT, Accusation, KeyOwners, OffenceReports
from runtime.primitives.babe import (
    CONSENSUS_LOG,
    PRE_DIGEST,
    AllowedSlots,
    Authorities,
    ConsensusLog,
    EquivocationProof,
    NextConfigData,
    NextConfigDescriptor,
    NextEpochData,
    OnDisabled,
    Primary,
    Randomness,
    SecondaryPlain,
    SecondaryVRF,
    VrfSignature,
    next_randomness,
)
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.header import BABE_ENGINE, Consensus, Digest, PreRuntime
from runtime.primitives.membership import MembershipProof
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.session import BABE_KEY, Authority
from runtime.primitives.shapes import Bounded, struct, u32, u64
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import ZERO_HASH, AccountId, Ed25519Public, Hash, Slot, Weight
from runtime.primitives.validity import TransactionSource
from runtime.primitives.vrf import proof_to_hash


@struct("sp_consensus_babe::BabeEpochConfiguration")
class BabeEpochConfiguration:
    """c = numerator / denominator, the share of slots with a primary author; and which slots there are."""

    c: tuple[u64, u64]
    allowed_slots: AllowedSlots


@struct("sp_consensus_babe::BabeConfiguration")
class BabeConfiguration:
    """What an author must know at genesis; slot_duration in ms, epoch_length in slots."""

    slot_duration: u64
    epoch_length: u64
    c: tuple[u64, u64]
    authorities: Authorities
    randomness: Randomness
    allowed_slots: AllowedSlots


@struct("sp_consensus_babe::Epoch")
class Epoch:
    """What an author must know of an epoch; duration in slots."""

    epoch_index: u64
    start_slot: Slot
    duration: u64
    authorities: Authorities
    randomness: Randomness
    config: BabeEpochConfiguration


class SessionRotation(Protocol):
    """Who is told that an epoch, which is a session, begins."""

    current_index: Value[u32]

    def rotate(self) -> Weight:
        """End the session and begin the next; return the weight used."""
        ...

    def is_disabled(self, index: int) -> bool:
        """Say whether an authority must not author."""
        ...


class SystemDigest(Digests, Protocol):
    """Where the block's digest is."""

    digest: Value[Digest]


CONFIG = BabeEpochConfiguration((0, 1), AllowedSlots.PrimaryAndSecondaryVRFSlots)
"""One stake-weighted leader in every slot."""


EQUIVOCATION = b"babe:equivocatio"
"""The kind of offence."""
TIME_SLOT = codec(Slot)
REPORT_TAG = codec(tuple[str, Ed25519Public, Slot])

MAX_SKIPPED = 100
"""Gaps between epochs remembered, as in Substrate: more than any offence is old when it is reported."""


class Error(PalletError):
    """Why a BABE call is refused."""

    InvalidEquivocationProof = "An equivocation proof provided as part of an equivocation report is invalid."
    InvalidKeyOwnershipProof = "A key ownership proof provided as part of an equivocation report is invalid."
    DuplicateOffenceReport = "A given equivocation report is valid but already previously reported."
    InvalidConfiguration = (
        "Submitted configuration is invalid: c is a share, and secondary slots carry a VRF."
    )


class Babe(Pallet[None, Error]):
    """Slots, epochs, authorities and randomness."""

    system: SystemDigest = coupled()
    session: SessionRotation = coupled()
    historical: KeyOwners = coupled()
    offences: OffenceReports = coupled()

    epoch_duration: u64 = constant(30)
    expected_block_time: u64 = constant(2_000)
    max_authorities: u32 = constant(1024)

    epoch_index: Value[u64] = storage(default=0)
    authorities: Value[Authorities] = storage(default=[])
    next_authorities: Value[Authorities] = storage(default=[])
    genesis_slot: Value[Slot] = storage(default=0)
    current_slot: Value[Slot] = storage(default=0)
    randomness: Value[Randomness] = storage(default=bytes(32))
    next_randomness: Value[Randomness] = storage(default=bytes(32))
    segment_index: Value[u32] = storage(default=0)
    under_construction: Map[u32, Randomness] = storage(hasher=twox_64_concat)
    author_vrf_randomness: Value[Randomness | None] = storage(default=None)
    epoch_config: Value[BabeEpochConfiguration] = storage(default=CONFIG)
    next_epoch_config: Value[BabeEpochConfiguration] = storage()
    pending_epoch_config_change: Value[NextConfigDescriptor] = storage()
    skipped_epochs: Value[Annotated[list[tuple[u64, u32]], Bounded(MAX_SKIPPED)]] = storage(default=[])
    vrf_accumulator: Value[Hash] = storage(default=ZERO_HASH)
    author: Value[u32] = storage()

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write `epochConfig`: {"c": [1, 4], "allowed_slots": "PrimaryAndSecondaryVRFSlots"}.

        Without it no slot has a primary author.
        """
        if "epochConfig" in config:
            numerator, denominator = config["epochConfig"]["c"]
            allowed = AllowedSlots[config["epochConfig"]["allowed_slots"]]
            if not 0 <= numerator <= denominator or denominator == 0 or allowed is not CONFIG.allowed_slots:
                raise ValueError("babe.epochConfig: c is a share, and secondary slots carry a VRF")
            self.epoch_config.put(BabeEpochConfiguration((numerator, denominator), allowed))

    def validate_report(
        self, source: TransactionSource, proof: EquivocationProof, ownership: MembershipProof
    ) -> ValidTransaction:
        """Let a report in that nobody signed: right, new, from this node or in a block.

        Raises: TransactionRejected.
        """
        tag = REPORT_TAG.encode(("BabeEquivocation", proof.offender, proof.slot))
        return self.offences.admit(source, ownership.session, tag, lambda: self._accusation(proof, ownership))

    @call(0, weight=REPORT)
    def report_equivocation(
        self, who: Signed, equivocation_proof: EquivocationProof, key_owner_proof: MembershipProof
    ) -> Pays:
        """Report authority equivocation/misbehavior.

        This method will verify the equivocation proof and validate the given key ownership proof against the
        extracted offender. If both are valid, the offence will be reported, and the report is free.
        """
        return self._report(equivocation_proof, key_owner_proof, who)

    @call(1, weight=REPORT, unsigned=validate_report)
    def report_equivocation_unsigned(
        self, origin: Unsigned, equivocation_proof: EquivocationProof, key_owner_proof: MembershipProof
    ) -> Pays:
        """Report authority equivocation/misbehavior.

        This extrinsic must be called unsigned and it is expected that only block authors will call it
        (validated in `ValidateUnsigned`), as such if the block author is defined it will be defined as the
        equivocation reporter.
        """
        return self._report(equivocation_proof, key_owner_proof, None)

    def _report(
        self, proof: EquivocationProof, ownership: MembershipProof, reporter: AccountId | None
    ) -> Pays:
        fresh = self.offences.report(self._accusation(proof, ownership), reporter)
        ensure(fresh, Error.DuplicateOffenceReport)
        return Pays.No

    def _accusation(self, proof: EquivocationProof, ownership: MembershipProof) -> Accusation:
        ensure(proof.is_valid(), Error.InvalidEquivocationProof)
        offender = self.historical.check_proof(BABE_KEY, proof.offender, ownership)
        if offender is None or ownership.session != self.session_at(self.epoch_at(proof.slot)):
            refuse(Error.InvalidKeyOwnershipProof)
        return Accusation(EQUIVOCATION, TIME_SLOT.encode(proof.slot), ownership.session, offender)

    @call(2, weight=db(writes=1))
    def plan_config_change(self, origin: Root, config: NextConfigDescriptor) -> None:
        """Plan an epoch config change.

        It is recorded, and enacted on the next call to `enact_epoch_change`: announced when the next epoch
        begins, in force from the epoch after it on. A later one replaces it.
        """
        numerator, denominator = config.c
        ensure(denominator > 0 and numerator <= denominator, Error.InvalidConfiguration)
        ensure(config.allowed_slots is CONFIG.allowed_slots, Error.InvalidConfiguration)
        self.pending_epoch_config_change.put(config)

    def on_initialize(self, now: int) -> Weight:
        """Read the pre-digest: move slot and epoch on, gather the VRF output."""
        pre_digest = self._pre_digest()
        if pre_digest is None:
            self.author.kill()
            return db(reads=1)
        rotation = self._enter_slot(now, pre_digest.slot)
        author = pre_digest.authority_index
        if self.session.is_disabled(author):
            raise InvalidDigest(f"authority {author} is disabled and must not author")
        self.author.put(author)
        if not isinstance(pre_digest, SecondaryPlain):
            self._gather(_output(pre_digest.vrf_signature))
        return rotation + db(reads=7, writes=6)

    def _pre_digest(self) -> Primary | SecondaryPlain | SecondaryVRF | None:
        for log in self.system.digest.get().logs:
            if isinstance(log, PreRuntime) and log._0 == BABE_ENGINE:
                return _decode(log._1)
        return None

    def _enter_slot(self, now: int, slot: Slot) -> Weight:
        self.current_slot.put(slot)
        if now == 1:
            self.genesis_slot.put(slot)
            self._announce()
        epoch = self.epoch_at(slot)
        return self._enter_epoch(epoch) if epoch > self.epoch_index.get() else Weight()

    def _enter_epoch(self, epoch: int) -> Weight:
        """Begin an epoch; when some were skipped, what was announced for the first of them applies."""
        session = self.session.current_index.get() + 1
        if epoch > self.epoch_index.get() + 1:
            self.skipped_epochs.put([*self.skipped_epochs.get(), (epoch, session)][-MAX_SKIPPED:])
        self.epoch_index.put(epoch)
        self._change_randomness(epoch)
        return self.session.rotate() + db(reads=6, writes=8)

    def _change_randomness(self, epoch: int) -> None:
        segments = self.segment_index.get()
        gathered = [self.under_construction[segment] for segment in range(segments)]
        for segment in range(segments):
            del self.under_construction[segment]
        self.segment_index.kill()
        current = self.next_randomness.get()
        self.randomness.put(current)
        self.next_randomness.put(next_randomness(current, epoch + 1, gathered))

    def _change_config(self) -> None:
        """Let the announced configuration apply; announce what was planned since for the next epoch."""
        announced = self.next_epoch_config.find()
        if announced is not None:
            self.epoch_config.put(announced)
        pending = self.pending_epoch_config_change.find()
        if pending is not None:
            self.pending_epoch_config_change.kill()
            self.next_epoch_config.put(BabeEpochConfiguration(pending.c, pending.allowed_slots))
            self._log(NextConfigData(pending))

    def _announce(self) -> None:
        self._log(NextEpochData(self.next_authorities.get(), self.next_randomness.get()))

    def _log(self, message: ConsensusLog) -> None:
        self.system.deposit_log(Consensus(BABE_ENGINE, CONSENSUS_LOG.encode(message)))

    def _gather(self, output: bytes) -> None:
        segment = self.segment_index.get()
        self.under_construction[segment] = output[:32]
        self.segment_index.put(segment + 1)
        self.author_vrf_randomness.put(output[:32])
        self.vrf_accumulator.put(Hash(blake2_256(self.vrf_accumulator.get() + output)))

    # Sessions.

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Take the authorities of session 0, who are announced for session 1 too."""
        self.authorities.put(_authorities(validators))
        self.next_authorities.put(_authorities(validators))

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Let those announced author, and announce those queued."""
        self.authorities.put(_authorities(validators))
        self.next_authorities.put(_authorities(queued))
        self._announce()
        self._change_config()

    def on_disabled(self, index: int) -> None:
        """Tell the nodes who must not author until the epoch ends."""
        self._log(OnDisabled(index))

    # What others ask.

    def current(self) -> Slot | None:
        """Return the slot of the block under execution, if it says one."""
        return None if self.author.find() is None else self.current_slot.get()

    def slot_duration(self) -> int:
        """Return ms per slot."""
        return self.expected_block_time

    def epoch_at(self, slot: Slot) -> int:
        """Return the epoch a slot lies in."""
        return (slot - self.genesis_slot.get()) // self.epoch_duration

    def session_at(self, epoch: int) -> int:
        """Return the session an epoch was or will be: skipped epochs were none."""
        skipped = self.skipped_epochs.get()
        before = bisect_right(skipped, epoch, key=lambda gap: gap[0])
        if not before:
            return epoch
        entered, session = skipped[before - 1]
        return session + epoch - entered

    def author_index(self) -> int | None:
        """Return the index of the block's author among the authorities."""
        return self.author.find()

    def authority_weights(self) -> list[int]:
        """Return the weight of each authority of the epoch, by index."""
        return [weight for _, weight in self.authorities.get()]

    def beacon(self, domain: bytes) -> Hash:
        """Return randomness nobody knew before this block: all VRF outputs so far, by domain."""
        return Hash(blake2_256(domain + self.vrf_accumulator.get()))

    def configuration(self) -> BabeConfiguration:
        """Return what an author must know at genesis."""
        return BabeConfiguration(
            self.expected_block_time,
            self.epoch_duration,
            self.epoch_config.get().c,
            self.authorities.get(),
            self.randomness.get(),
            self.epoch_config.get().allowed_slots,
        )

    def current_epoch(self) -> Epoch:
        """Return the epoch of the last block."""
        return self._epoch(
            self.epoch_index.get(), self.authorities.get(), self.randomness.get(), self.epoch_config.get()
        )

    def next_epoch(self) -> Epoch:
        """Return what is announced for the epoch after it."""
        return self._epoch(
            self.epoch_index.get() + 1,
            self.next_authorities.get(),
            self.next_randomness.get(),
            self.next_epoch_config.find() or self.epoch_config.get(),
        )

    def _epoch(
        self, index: int, authorities: Authorities, randomness: Randomness, config: BabeEpochConfiguration
    ) -> Epoch:
        start = self.genesis_slot.get() + index * self.epoch_duration
        return Epoch(index, start, self.epoch_duration, authorities, randomness, config)


def _authorities(validators: Sequence[Authority]) -> Authorities:
    return [(each.keys.babe, each.weight) for each in validators]


def _decode(encoded: bytes) -> Primary | SecondaryPlain | SecondaryVRF:
    try:
        decoded: Primary | SecondaryPlain | SecondaryVRF = PRE_DIGEST.decode(encoded)
    except DecodeError as problem:
        raise InvalidDigest(f"the BABE pre-digest does not decode: {problem}") from problem
    return decoded


def _output(signature: VrfSignature) -> bytes:
    """Return the VRF output of a header whose proof the import queue has verified."""
    proof = signature.to_proof()
    if proof is None:
        raise InvalidDigest("the padding of the VRF proof is not zero")
    try:
        return proof_to_hash(proof)
    except ValueError as problem:
        raise InvalidDigest(f"the VRF proof has no output: {problem}") from problem
