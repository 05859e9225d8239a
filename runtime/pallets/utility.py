"""Utility: several calls in one. Source: FRAME's pallet-utility."""

from dataclasses import replace
from typing import Annotated

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import Origin, Root, SignedOrigin, Unsigned, call, db, event
from runtime.frame.errors import BadOrigin, DispatchError, DispatchErrorKind, PalletError, refuse
from runtime.frame.pallet import Pallet
from runtime.primitives.hashing import blake2_256
from runtime.primitives.shapes import Bounded, u16, u32
from runtime.primitives.types import AccountId, Weight

BATCH_LIMIT = 512
"""Calls in one batch; more do not fit a block."""
Batch = Annotated[list[RuntimeCall], Bounded(BATCH_LIMIT)]


@event
class BatchInterrupted:
    """Batch of dispatches did not complete fully. Index of first failing dispatch given."""

    index: u32
    error: DispatchErrorKind


@event
class BatchCompleted:
    """Batch of dispatches completed fully with no error."""


@event
class BatchCompletedWithErrors:
    """Batch of dispatches completed but has errors."""


@event
class ItemCompleted:
    """A single item within a Batch of dispatches has completed with no error."""


@event
class ItemFailed:
    """A single item within a Batch of dispatches has completed with error."""

    error: DispatchErrorKind


class Error(PalletError):
    """Why a utility call is refused."""

    TooManyCalls = "Too many calls batched."


ITEM = db(reads=1)
"""Dispatching one call and saying how it went; calls that weigh nothing still take this long."""


def _weight_of_all(runtime: Runtime, calls: list[Call]) -> Weight:
    return sum((runtime.info(each).weight + ITEM for each in calls), db(reads=1))


def _weight_of_inner(runtime: Runtime, index: int, inner: Call) -> Weight:
    return db(reads=1) + runtime.info(inner).weight


class Utility(
    Pallet[BatchInterrupted | BatchCompleted | BatchCompletedWithErrors | ItemCompleted | ItemFailed, Error]
):
    """Batches and derivative accounts."""

    @call(0, weight=_weight_of_all)
    def batch(self, origin: Origin, calls: Batch) -> None:
        """Send a batch of dispatch calls; the first failing one ends it, those before it stay."""
        _refuse_nobody(origin)
        for index, each in enumerate(calls):
            try:
                self.host.dispatch(each, origin)
            except DispatchError as refused:
                self.deposit(BatchInterrupted(index, self.host.error_kind(refused)))
                return
            self.deposit(ItemCompleted())
        self.deposit(BatchCompleted())

    @call(1, weight=_weight_of_inner)
    def as_derivative(self, sender: SignedOrigin, index: u16, call: RuntimeCall) -> None:
        """Send a call through an indexed pseudonym of the sender."""
        self.host.dispatch(call, replace(sender, account=derivative_account(sender.account, index)))

    @call(2, weight=_weight_of_all)
    def batch_all(self, origin: Origin, calls: Batch) -> None:
        """Send a batch of dispatch calls and atomically execute them."""
        _refuse_nobody(origin)
        for each in calls:
            self.host.dispatch(each, origin)
            self.deposit(ItemCompleted())
        self.deposit(BatchCompleted())

    @call(4, weight=_weight_of_all)
    def force_batch(self, origin: Origin, calls: Batch) -> None:
        """Send a batch of dispatch calls; unlike batch, it allows errors and won't interrupt."""
        _refuse_nobody(origin)
        failed = False
        for each in calls:
            try:
                self.host.dispatch(each, origin)
            except DispatchError as refused:
                failed = True
                self.deposit(ItemFailed(self.host.error_kind(refused)))
            else:
                self.deposit(ItemCompleted())
        self.deposit(BatchCompletedWithErrors() if failed else BatchCompleted())


def derivative_account(who: AccountId, index: int) -> AccountId:
    """Return the pseudonym of an account. Source: pallet-utility's derivative_account_id."""
    return AccountId(blake2_256(b"modlpy/utilisuba" + who + index.to_bytes(2, "little")))


def _refuse_nobody(origin: SignedOrigin | Root | Unsigned) -> None:
    if isinstance(origin, Unsigned):
        refuse(BadOrigin())
