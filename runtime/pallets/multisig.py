"""Multisig: an account whose calls several signatories approve. Source: FRAME's pallet-multisig.

account = blake2_256("modlpy/utilisuba" ++ signatories, sorted ++ threshold): nobody registers it.
"""

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import Signed, SignedOrigin, call, constant, coupled, db, event
from runtime.frame.errors import DispatchError, DispatchResult, Err, Ok, PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, storage
from runtime.frame.traits import BlockNumberProvider, Reserves
from runtime.primitives.hashing import blake2_128_concat, blake2_256, twox_64_concat
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Fixed, struct, u16, u32
from runtime.primitives.types import AccountId, Balance, BlockNumber, Weight

MAX_SIGNATORIES = 100
DECODED_SIGNATORIES = 256
"""A longer list does not decode; one that only exceeds MAX_SIGNATORIES is refused by name."""
MULTI_PREFIX = b"modlpy/utilisuba"

Others = Annotated[list[AccountId], Bounded(DECODED_SIGNATORIES)]
CallHash = Annotated[bytes, Fixed(32)]
SIGNATORIES = codec(list[AccountId])


@struct("pallet_multisig::Timepoint")
class Timepoint:
    """Which extrinsic opened an operation."""

    height: BlockNumber
    index: u32


@struct("pallet_multisig::Multisig")
class Operation:
    """An open operation; `approvals` are sorted and include the depositor."""

    when: Timepoint
    deposit: Balance
    depositor: AccountId
    approvals: Annotated[list[AccountId], Bounded(MAX_SIGNATORIES)]


@event
class NewMultisig:
    """A new multisig operation has begun."""

    approving: AccountId
    multisig: AccountId
    call_hash: CallHash


@event
class MultisigApproval:
    """A multisig operation has been approved by someone."""

    approving: AccountId
    timepoint: Timepoint
    multisig: AccountId
    call_hash: CallHash


@event
class MultisigExecuted:
    """A multisig operation has been executed."""

    approving: AccountId
    timepoint: Timepoint
    multisig: AccountId
    call_hash: CallHash
    result: DispatchResult


@event
class MultisigCancelled:
    """A multisig operation has been cancelled."""

    cancelling: AccountId
    timepoint: Timepoint
    multisig: AccountId
    call_hash: CallHash


class Error(PalletError):
    """Why a multisig call is refused."""

    MinimumThreshold = "Threshold must be 2 or greater."
    AlreadyApproved = "Call is already approved by this signatory."
    NoApprovalsNeeded = "Call doesn't need any (more) approvals."
    TooFewSignatories = "There are too few signatories in the list."
    TooManySignatories = "There are too many signatories in the list."
    SignatoriesOutOfOrder = "The signatories were provided out of order; they should be ordered."
    SenderInSignatories = "The sender was contained in the other signatories; it shouldn't be."
    NotFound = "Multisig operation not found in storage."
    NotOwner = "Only the account that originally created the multisig is able to cancel it."
    NoTimepoint = "No timepoint was given, yet the multisig operation is already underway."
    WrongTimepoint = "A different timepoint was given to the multisig operation that is underway."
    UnexpectedTimepoint = "A timepoint was given, yet no multisig operation is underway."
    MaxWeightTooLow = "The maximum weight information provided was too low."
    AlreadyStored = "The data to be stored is already stored."


def _weight_one(runtime: Runtime, others: list[AccountId], inner: Call) -> Weight:
    return db(reads=1, writes=1) + runtime.info(inner).weight


def _weight_operate(
    runtime: Runtime, threshold: int, others: list[AccountId], timepoint: Any, what: Any, most: Weight
) -> Weight:
    return db(reads=2, writes=2) + most


class Multisig(Pallet[NewMultisig | MultisigApproval | MultisigExecuted | MultisigCancelled, Error]):
    """Open operations, and the deposits of those who opened them."""

    system: BlockNumberProvider = coupled()
    currency: Reserves = coupled()
    deposit_base: Balance = constant(200_000_000_000)
    deposit_factor: Balance = constant(50_000_000_000)
    max_signatories: u32 = constant(MAX_SIGNATORIES)

    multisigs: DoubleMap[AccountId, CallHash, Operation] = storage(
        hashers=(twox_64_concat, blake2_128_concat)
    )

    @call(0, weight=_weight_one)
    def as_multi_threshold_1(self, who: Signed, other_signatories: Others, call: RuntimeCall) -> None:
        """Immediately dispatch a multi-signature call using a single approval from the caller."""
        signatories = self._signatories(who, other_signatories)
        self.host.dispatch(call, SignedOrigin(multi_account(signatories, 1)))

    @call(1, weight=_weight_operate)
    def as_multi(
        self,
        who: Signed,
        threshold: u16,
        other_signatories: Others,
        maybe_timepoint: Timepoint | None,
        call: RuntimeCall,
        max_weight: Weight,
    ) -> None:
        """Register approval for a dispatch from a composite account; dispatch it if that suffices."""
        account = self._account(who, threshold, other_signatories)
        call_hash = blake2_256(self.host.codecs.of(RuntimeCall).encode(call))
        operation = self._underway(account, call_hash, maybe_timepoint)
        if operation is None:
            self._begin(who, threshold, account, call_hash)
            return
        needed = len(operation.approvals) < threshold
        fresh = needed and who not in operation.approvals
        if len(operation.approvals) + fresh < threshold:
            self._approve(who, account, call_hash, operation)
            return
        weight = self.host.info(call).weight
        ensure(
            weight.ref_time <= max_weight.ref_time and weight.proof_size <= max_weight.proof_size,
            Error.MaxWeightTooLow,
        )
        self._execute(who, account, call_hash, operation, call)

    @call(2, weight=_weight_operate)
    def approve_as_multi(
        self,
        who: Signed,
        threshold: u16,
        other_signatories: Others,
        maybe_timepoint: Timepoint | None,
        call_hash: CallHash,
        max_weight: Weight,
    ) -> None:
        """Register approval for a dispatch to be made from a composite account, by the call's hash."""
        account = self._account(who, threshold, other_signatories)
        operation = self._underway(account, call_hash, maybe_timepoint)
        if operation is None:
            self._begin(who, threshold, account, call_hash)
            return
        ensure(len(operation.approvals) < threshold, Error.AlreadyApproved)
        self._approve(who, account, call_hash, operation)

    @call(3, weight=db(reads=2, writes=2))
    def cancel_as_multi(
        self,
        who: Signed,
        threshold: u16,
        other_signatories: Others,
        timepoint: Timepoint,
        call_hash: CallHash,
    ) -> None:
        """Cancel an on-going multisig transaction; its deposit comes back."""
        account = self._account(who, threshold, other_signatories)
        operation = self.multisigs.get(account, call_hash)
        if operation is None:
            refuse(Error.NotFound)
        ensure(operation.when == timepoint, Error.WrongTimepoint)
        ensure(operation.depositor == who, Error.NotOwner)
        self._close(account, call_hash, operation)
        self.deposit(MultisigCancelled(who, timepoint, account, call_hash))

    def _account(self, who: AccountId, threshold: int, others: list[AccountId]) -> AccountId:
        ensure(threshold >= 2, Error.MinimumThreshold)
        return multi_account(self._signatories(who, others), threshold)

    def _signatories(self, who: AccountId, others: list[AccountId]) -> list[AccountId]:
        """Return all signatories, sorted."""
        ensure(bool(others), Error.TooFewSignatories)
        ensure(len(others) < self.max_signatories, Error.TooManySignatories)
        for earlier, later in pairwise(others):
            ensure(earlier < later, Error.SignatoriesOutOfOrder)
        ensure(who not in others, Error.SenderInSignatories)
        return sorted([*others, who])

    def _underway(
        self, account: AccountId, call_hash: bytes, timepoint: Timepoint | None
    ) -> Operation | None:
        """Return the operation that is open, if the caller knows of it."""
        operation = self.multisigs.get(account, call_hash)
        if operation is None:
            ensure(timepoint is None, Error.UnexpectedTimepoint)
            return None
        ensure(timepoint is not None, Error.NoTimepoint)
        ensure(operation.when == timepoint, Error.WrongTimepoint)
        return operation

    def _begin(self, who: AccountId, threshold: int, account: AccountId, call_hash: bytes) -> None:
        deposit = self.deposit_base + self.deposit_factor * threshold
        self.currency.reserve(who, deposit)
        self.multisigs[account, call_hash] = Operation(self.timepoint(), deposit, who, [who])
        self.deposit(NewMultisig(who, account, call_hash))

    def _approve(self, who: AccountId, account: AccountId, call_hash: bytes, operation: Operation) -> None:
        ensure(who not in operation.approvals, Error.AlreadyApproved)
        at = bisect_left(operation.approvals, who)
        approvals = [*operation.approvals[:at], who, *operation.approvals[at:]]
        self.multisigs[account, call_hash] = replace(operation, approvals=approvals)
        self.deposit(MultisigApproval(who, operation.when, account, call_hash))

    def _execute(
        self, who: AccountId, account: AccountId, call_hash: bytes, operation: Operation, inner: Call
    ) -> None:
        self._close(account, call_hash, operation)  # first: the call may come back here
        result: Ok | Err = Ok()
        try:
            self.host.dispatch(inner, SignedOrigin(account))
        except DispatchError as refused:
            result = Err(self.host.error_kind(refused))
        self.deposit(MultisigExecuted(who, operation.when, account, call_hash, result))

    def _close(self, account: AccountId, call_hash: bytes, operation: Operation) -> None:
        del self.multisigs[account, call_hash]
        self.currency.unreserve(operation.depositor, operation.deposit)

    def timepoint(self) -> Timepoint:
        """Return which extrinsic runs."""
        return Timepoint(self.system.number.get(), self.host.extrinsic_index or 0)

    def try_state(self) -> None:
        """Approvals are sorted, without doubles, the depositor's among them; deposits are set aside."""
        owed: dict[AccountId, Balance] = {}
        for _, operation in self.multisigs.items():
            approvals = operation.approvals
            assert approvals == sorted(frozenset(approvals)), "approvals are out of order"
            assert operation.depositor in approvals, operation.depositor.hex()
            assert len(approvals) <= self.max_signatories, "more approvals than signatories"
            owed[operation.depositor] = owed.get(operation.depositor, 0) + operation.deposit
        for who, deposits in owed.items():
            assert self.currency.reserved(who) >= deposits, who.hex()


def multi_account(signatories: list[AccountId], threshold: int) -> AccountId:
    """Return the composite account of signatories, which must be sorted."""
    return AccountId(
        blake2_256(MULTI_PREFIX + SIGNATORIES.encode(signatories) + threshold.to_bytes(2, "little"))
    )
