"""Signed extensions: what every signed extrinsic carries and is checked by, beside its call.

Source: FRAME's SignedExtension; the order of a runtime's list is wire format.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runtime.frame.base import Call, DispatchInfo, Runtime
from runtime.frame.declare import Pays
from runtime.primitives.record import record
from runtime.primitives.shapes import shape_of
from runtime.primitives.types import AccountId

UNIT: Any = tuple[()]
"""The type of an extension that adds no bytes."""


@record
class Submission:
    """A signed extrinsic as the extensions see it; `length` is in bytes."""

    sender: AccountId
    call: Call
    info: DispatchInfo
    length: int


@dataclass(slots=True)
class Standing:
    """What the extensions found out about a transaction, for the pool."""

    priority: int
    requires: list[bytes]
    provides: list[bytes]
    longevity: int


class Extension:
    """One signed extension, bound to a block like a pallet.

    `extra` travels in the extrinsic; `implicit` is only signed. Both name their types.
    """

    extra: ClassVar[Any] = UNIT
    implicit: ClassVar[Any] = UNIT

    def __init__(self, **couplings: Any) -> None:
        self.couplings: Mapping[str, Any] = couplings
        self.runtime: Runtime

    @property
    def name(self) -> str:
        """Return the identifier clients know."""
        return type(self).__name__

    def bind(self, runtime: Runtime) -> Self:
        """Return this extension bound to a block."""
        bound = type(self)(**self.couplings)
        bound.runtime = runtime
        for need, pallet in self.couplings.items():
            setattr(bound, need, runtime.bound(pallet))
        return bound

    def implied(self, extra: Any) -> Any:
        """Return the value that is signed but not sent.

        Raises: TransactionRejected when it cannot be known any more.
        """
        return ()

    def check(self, submission: Submission, extra: Any) -> None:
        """Check without changing anything, for the pool and in a block.

        Raises: TransactionRejected.
        """

    def rank(self, submission: Submission, extra: Any, standing: Standing) -> None:
        """Add to the transaction's standing in the pool; `check` has passed just before."""

    def prepare(self, submission: Submission, extra: Any) -> Any:
        """Make the changes that stay even if the call fails; `check` has passed just before.

        Returns what `settle` is told of it.
        """

    def validate_unsigned(self, info: DispatchInfo, length: int) -> None:
        """Check what nobody signed, without changing anything; `length` is in bytes.

        Raises: TransactionRejected.
        """

    def prepare_unsigned(self, info: DispatchInfo, length: int) -> None:
        """Make the changes that stay even if a call that nobody signed fails."""

    def settle(self, submission: Submission, extra: Any, prepared: Any, pays: Pays) -> None:
        """Run after the call, which may have said that its fee is not due."""


def adds_bytes(annotation: Any) -> bool:
    """Say whether an extension's type has an encoding at all."""
    return shape_of(annotation) != shape_of(UNIT)
