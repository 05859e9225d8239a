"""TransactionPayment: fees and tips. Source: FRAME's pallet-transaction-payment.

fee = base + length + multiplier * weight + tip; all of it goes to the block's author.
"""

from dataclasses import replace
from typing import Protocol

from runtime.frame.base import DispatchInfo
from runtime.frame.declare import Pays, constant, coupled, event
from runtime.frame.errors import DispatchError, NoError
from runtime.frame.extension import Extension, Standing, Submission
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Value, storage
from runtime.pallets.fee_multiplier import ONE, next_multiplier
from runtime.pallets.system import System
from runtime.primitives.shapes import Compact, struct, u8, u128
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import AccountId, Balance, Weight

BASE_FEE = 125_000_000
"""planck for the base weight of an extrinsic"""
LENGTH_FEE = 1_000_000
"""planck per byte"""
WEIGHT_FEE = 1
"""planck per picosecond of reference hardware"""
MAX_PRIORITY = (1 << 62) - 1
"""The most a tip can buy; what must be in the next blocks stands above it."""
MAX_BALANCE = (1 << 128) - 1
"""What the wire can say; a fee stops growing there."""


@struct("pallet_transaction_payment::types::InclusionFee")
class InclusionFee:
    """What inclusion costs, in planck."""

    base_fee: Balance
    len_fee: Balance
    adjusted_weight_fee: Balance


@struct("pallet_transaction_payment::types::FeeDetails")
class FeeDetails:
    """Inclusion fee (none for free calls) and tip, in planck."""

    inclusion_fee: InclusionFee | None
    tip: Balance

    def total(self) -> Balance:
        """Return what the sender pays."""
        fee = self.inclusion_fee
        inclusion = fee.base_fee + fee.len_fee + fee.adjusted_weight_fee if fee else 0
        return min(self.tip + inclusion, MAX_BALANCE)


@event
class TransactionFeePaid:
    """A transaction fee has been paid by who."""

    who: AccountId
    actual_fee: Balance
    tip: Balance


class FeeCurrency(Protocol):
    """What fees are paid in."""

    def usable(self, who: AccountId, *, keep_alive: bool = True) -> Balance:
        """Return what may leave the account."""
        ...

    def withdraw(self, who: AccountId, value: Balance) -> None:
        """Take money out of an account."""
        ...

    def pay_out(self, who: AccountId, value: Balance) -> None:
        """Put withdrawn money into an account."""
        ...

    def forget(self, value: Balance) -> None:
        """Destroy withdrawn money."""
        ...


class BlockAuthor(Protocol):
    """Who receives fees."""

    def author_of_block(self) -> AccountId | None:
        """Return the stash that authored the block."""
        ...


class TransactionPayment(Pallet[TransactionFeePaid, NoError]):
    """Fees of extrinsics."""

    system: System = coupled()
    currency: FeeCurrency = coupled()
    authorship: BlockAuthor = coupled()
    operational_fee_multiplier: u8 = constant(5)

    next_fee_multiplier: Value[u128] = storage(default=ONE)

    def details(self, info: DispatchInfo, length: int, tip: Balance) -> FeeDetails:
        """Return what an extrinsic costs; `length` in bytes."""
        if info.pays_fee is Pays.No:
            return FeeDetails(None, tip)
        return FeeDetails(InclusionFee(BASE_FEE, length * LENGTH_FEE, self._weight_fee(info.weight)), tip)

    def fee(self, info: DispatchInfo, length: int, tip: Balance) -> Balance:
        """Return the total of `details`, without making them: an extrinsic asks for it twice."""
        if info.pays_fee is Pays.No:
            return min(tip, MAX_BALANCE)
        inclusion = BASE_FEE + length * LENGTH_FEE + self._weight_fee(info.weight)
        return min(tip + inclusion, MAX_BALANCE)

    def _weight_fee(self, weight: Weight) -> Balance:
        return min(weight.ref_time * WEIGHT_FEE * self.next_fee_multiplier.get() // ONE, MAX_BALANCE)

    def on_finalize(self, now: int) -> None:
        """Let the price of weight follow how full this block is."""
        limits = self.system.block_weights
        limit = limits.per_class.normal.max_total or limits.max_block
        used = self.system.block_weight.get().normal
        self.next_fee_multiplier.put(next_multiplier(self.next_fee_multiplier.get(), used, limit))

    def hand_over(self, fee: Balance) -> None:
        """Give a withdrawn fee to the author, or destroy it where there is none."""
        author = self.authorship.author_of_block()
        if author is None:
            self.currency.forget(fee)
        else:
            self.currency.pay_out(author, fee)


class ChargeTransactionPayment(Extension):
    """Makes the sender pay, and a tip buy priority."""

    extra = Compact[Balance]
    payment: TransactionPayment
    system: System

    def check(self, submission: Submission, extra: Balance) -> None:
        """Refuse who cannot pay."""
        fee = self.payment.fee(submission.info, submission.length, extra)
        if fee and self.payment.currency.usable(submission.sender) < fee:
            raise TransactionRejected("invalid", "Payment")

    def rank(self, submission: Submission, extra: Balance, standing: Standing) -> None:
        """Rank by tip per share of the block."""
        priority = (extra + 1) * self._fitting(submission.info.weight, submission.length)
        standing.priority = min(priority, MAX_PRIORITY)

    def _fitting(self, weight: Weight, length: int) -> int:
        """Return how many such extrinsics a block could hold."""
        by_weight = self.system.block_weights.max_block.ref_time // max(weight.ref_time, 1_000_000)
        return max(1, min(by_weight, self.system.block_length.max.normal // length))

    def prepare(self, submission: Submission, extra: Balance) -> Balance:
        """Take the fee; return how much it was, as the call may change the price."""
        fee = self.payment.fee(submission.info, submission.length, extra)
        try:
            self.payment.currency.withdraw(submission.sender, fee)
        except DispatchError as refused:
            raise TransactionRejected("invalid", "Payment") from refused
        return fee

    def settle(self, submission: Submission, extra: Balance, prepared: Balance, pays: Pays) -> None:
        """Hand the fee over and say so; what is not due after all goes back."""
        fee = taken = prepared
        if pays is Pays.No:
            fee = self.payment.fee(replace(submission.info, pays_fee=pays), submission.length, extra)
            self.payment.currency.pay_out(submission.sender, taken - fee)
        if fee:
            self.payment.hand_over(fee)
        self.payment.deposit(TransactionFeePaid(submission.sender, fee, extra))
