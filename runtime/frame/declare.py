"""The words a pallet is declared with: origins, call, event, constant, coupled, weights."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NewType, Protocol, TypeVar, dataclass_transform

from runtime.primitives.record import record
from runtime.primitives.shapes import variant
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import AccountId, Weight

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., "Pays | None"])

READ = 25_000_000
"""ps per storage read on reference hardware, Substrate's RocksDbWeight."""
WRITE = 100_000_000
"""ps per storage write on reference hardware, Substrate's RocksDbWeight."""


# Origins. The first parameter of a call says who may make it, and how it reads the caller.

Signed = NewType("Signed", AccountId)
"""Any account that signed the extrinsic."""


@dataclass(frozen=True, slots=True)
class Root:
    """The chain itself: sudo, later governance."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Nobody: inherents, and evidence whose bytes prove themselves."""


class CallFilter(Protocol):
    """What narrows an origin to some calls, and with them every call those carry."""

    def permits(self, runtime: Any, call: Any) -> bool:
        """Say whether the origin may make this call."""
        ...


@record
class SignedOrigin:
    """An account that signed, or is acted for; each filter must permit what it dispatches."""

    account: AccountId
    filters: tuple[CallFilter, ...] = ()


Origin = SignedOrigin | Root | Unsigned
"""A call with this first parameter takes every origin and decides for itself."""


class DispatchClass(enum.Enum):
    """How an extrinsic competes for a block's weight. Source: frame_support::dispatch::DispatchClass."""

    __scale_path__ = "frame_support::dispatch::DispatchClass"

    Normal = 0
    Operational = 1
    Mandatory = 2


class Pays(enum.Enum):
    """Whether the sender pays a fee. Source: frame_support::dispatch::Pays."""

    __scale_path__ = "frame_support::dispatch::Pays"

    Yes = 0
    No = 1


WeightOf = Weight | Callable[..., Weight]
ValidateUnsigned = Callable[..., ValidTransaction]
"""(pallet, source, *arguments): where a call that nobody signed belongs. Raises: TransactionRejected."""


@dataclass(frozen=True)
class CallMark:
    """What `@call` leaves on a method."""

    index: int
    weight: WeightOf
    dispatch_class: DispatchClass
    pays: Pays
    unsigned: ValidateUnsigned | None


def call(
    index: int,
    *,
    weight: WeightOf,
    dispatch_class: DispatchClass = DispatchClass.Normal,
    pays: Pays = Pays.Yes,
    unsigned: ValidateUnsigned | None = None,
) -> Callable[[F], F]:
    """Make a method a dispatchable call; the index is what users sign, so it never changes.

    `weight` may be a function (runtime, *arguments) -> Weight for calls that carry other calls; `unsigned` is
    the pallet's method that lets the call into blocks without a signature. What a call returns is who pays
    after all: `Pays.No` gives the fee back.
    """

    def mark(method: F) -> F:
        method.__call_mark__ = CallMark(index, weight, dispatch_class, pays, unsigned)  # type: ignore[attr-defined]
        return method

    return mark


def db(*, reads: int = 0, writes: int = 0) -> Weight:
    """Return the weight of so many storage reads and writes."""
    return Weight(reads * READ + writes * WRITE, 0)


@dataclass_transform(frozen_default=True)
def event(cls: type[T]) -> type[T]:
    """Declare an event; its docstring is what an explorer shows."""
    return variant(cls)


@dataclass(frozen=True)
class ConstantMark:
    """What `constant()` leaves in the class body."""

    default: Any


def constant(default: Any) -> Any:
    """Declare a constant: the default, unless the chain's genesis says otherwise."""
    return ConstantMark(default)


@dataclass(frozen=True)
class CoupledMark:
    """What `coupled()` leaves in the class body."""


def coupled() -> Any:
    """Declare a need of another pallet, typed by a Protocol; the runtime supplies it by this name."""
    return CoupledMark()
