"""How a call fails: DispatchError in code, sp_runtime::DispatchError on the wire."""

import enum
from typing import Annotated, Any, NoReturn

from runtime.primitives.shapes import Fixed, Variants, struct, u8, variant


class PalletError(enum.Enum):
    """Base of a pallet's errors: one member each, in wire order; the value is what a person is told."""


class NoError(PalletError):
    """For pallets that refuse nothing of their own."""


class SystemError_(PalletError):
    """Why dispatch itself refuses a call: the System pallet's errors. Source: frame_system::Error."""

    InvalidSpecName = "The name of specification does not match between the current and the new runtime."
    SpecVersionNeedsToIncrease = (
        "The specification version is not allowed to decrease between the current and the new runtime."
    )
    FailedToExtractRuntimeVersion = "Failed to extract the runtime version from the new runtime."
    NonDefaultComposite = "Suicide called when the account has non-default composite data."
    NonZeroRefCount = "There is a non-zero reference count preventing the account from being purged."
    CallFiltered = "The origin filter prevent the call to be dispatched."
    UpgradeInThePast = "The first block of a new runtime must be later than this one."
    NothingScheduled = "There is no scheduled upgrade."


class TokenError(enum.Enum):
    """What went wrong with a token. Source: sp_runtime::TokenError."""

    __scale_path__ = "sp_runtime::TokenError"

    FundsUnavailable = 0
    OnlyProvider = 1
    BelowMinimum = 2
    CannotCreate = 3
    UnknownAsset = 4
    Frozen = 5
    Unsupported = 6
    CannotCreateHold = 7
    NotExpendable = 8
    Blocked = 9


class ArithmeticError_(enum.Enum):
    """What went wrong with a number. Source: sp_arithmetic::ArithmeticError."""

    __scale_path__ = "sp_arithmetic::ArithmeticError"

    Underflow = 0
    Overflow = 1
    DivisionByZero = 2


class TransactionalError(enum.Enum):
    """What went wrong with a storage layer. Source: sp_runtime::TransactionalError."""

    __scale_path__ = "sp_runtime::TransactionalError"

    LimitReached = 0
    NoLayer = 1


class TrieError(enum.Enum):
    """What went wrong with a proof. Source: sp_runtime::proving_trie::TrieError."""

    __scale_path__ = "sp_runtime::proving_trie::TrieError"

    InvalidStateRoot = 0
    IncompleteDatabase = 1
    ValueAtIncompleteKey = 2
    DecoderError = 3
    InvalidHash = 4
    DuplicateKey = 5
    ExtraneousNode = 6
    ExtraneousValue = 7
    ExtraneousHashReference = 8
    InvalidChildReference = 9
    ValueMismatch = 10
    IncompleteProof = 11
    RootMismatch = 12
    DecodeError = 13


@struct("sp_runtime::ModuleError")
class ModuleError:
    """Which pallet refused, and why: the index of the error in its enum."""

    index: u8
    error: Annotated[bytes, Fixed(4)]


@variant
class Other:
    """Some error."""


@variant
class CannotLookup:
    """The address names no account."""


@variant
class BadOrigin:
    """The origin may not make this call."""


@variant
class Module:
    """A pallet refused."""

    _0: ModuleError


@variant
class ConsumerRemaining:
    """The account is still needed."""


@variant
class NoProviders:
    """Nothing provides for the account."""


@variant
class TooManyConsumers:
    """Too many things need the account."""


@variant
class Token:
    """Something about tokens."""

    _0: TokenError


@variant
class Arithmetic:
    """Something about numbers."""

    _0: ArithmeticError_


@variant
class Transactional:
    """Something about storage layers."""

    _0: TransactionalError


@variant
class Exhausted:
    """Resources are exhausted."""


@variant
class Corruption:
    """The state is corrupt."""


@variant
class Unavailable:
    """Something is not there."""


@variant
class RootNotAllowed:
    """Root may not make this call."""


@variant
class Trie:
    """Something about proofs."""

    _0: TrieError


DispatchErrorKind = Annotated[
    Other | CannotLookup | BadOrigin | Module | ConsumerRemaining | NoProviders | TooManyConsumers | Token
    | Arithmetic | Transactional | Exhausted | Corruption | Unavailable | RootNotAllowed | Trie,
    Variants("sp_runtime::DispatchError"),
]  # fmt: skip


class DispatchError(Exception):
    """A call is refused: with an error of its pallet, or one of those every pallet shares."""

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason


class RuntimeTrap(Exception):
    """The runtime broke over an extrinsic: our mistake, never the sender's; nothing has changed."""


MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises where code is wrong about its values; the same on every machine.

Failures of the machine (a database, memory, the depth of the stack) are none of them: they end the node.
"""


class InvalidDigest(Exception):
    """A pallet cannot use the block's digest: there is no such block."""


def refuse(reason: Any) -> NoReturn:
    """Fail the call.

    Raises: DispatchError.
    """
    raise DispatchError(reason)


def ensure(condition: bool, reason: Any) -> None:
    """Fail the call unless the condition holds.

    Raises: DispatchError.
    """
    if not condition:
        raise DispatchError(reason)


@variant
class Ok:
    """It went well."""

    _0: tuple[()] = ()


@variant
class Err:
    """It was refused."""

    _0: DispatchErrorKind


DispatchResult = Annotated[Ok | Err, Variants("Result")]
