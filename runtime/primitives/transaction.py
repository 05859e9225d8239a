"""What the runtime says of a transaction before it runs.

Source: Substrate, sp_runtime::transaction_validity (variant order, texts and the encoding of the error).
"""

from typing import Annotated, Final, Literal

from runtime.primitives.scale import Codec, DecodeError, Input, codec, read_compact
from runtime.primitives.shapes import Case, Special, TaggedUnion, Variants, shape_of, struct, u64, variant
from runtime.primitives.validity import (
    Invalid,
    InvalidTransaction,
    TransactionValidityError,
    Unknown,
    UnknownTransaction,
)

Kind = Literal["invalid", "unknown"]

FOREVER: Final = 2**64 - 1
"""Longevity of a transaction without an era, blocks."""

EXTRINSIC_MARKER = Special("UncheckedExtrinsic")
UncheckedExtrinsic = Annotated[bytes, EXTRINSIC_MARKER]
"""A whole extrinsic, length prefix included, not decoded."""


def _cases(annotation: object) -> dict[str, Case]:
    shape = shape_of(annotation)
    assert isinstance(shape, TaggedUnion)
    return {case.name: case for case in shape.cases}


REASONS: Final[dict[Kind, dict[str, Case]]] = {
    "invalid": _cases(InvalidTransaction),
    "unknown": _cases(UnknownTransaction),
}
"""Every reason by name, in wire order; the documentation is its text."""


@struct("sp_runtime::transaction_validity::ValidTransaction")
class ValidTransaction:
    """Where a good transaction belongs in the pool; longevity is in blocks."""

    priority: u64
    requires: list[bytes]
    provides: list[bytes]
    longevity: u64
    propagate: bool


class TransactionRejected(Exception):
    """The runtime does not take this transaction; `code` numbers the Custom reasons only.

    An `early` one may be good at a later block just as it is.
    """

    def __init__(
        self, kind: Kind, reason: str, code: int = 0, text: str = "", *, early: bool = False
    ) -> None:
        assert reason in REASONS[kind], f"{reason} is no reason of {kind}"
        assert 0 <= code < 256, f"{code} is no u8"
        self.kind = kind
        self.reason = reason
        self.code = code
        self.early = early
        self.text = text or REASONS[kind][reason].docs
        super().__init__(self.describe())

    def describe(self) -> str:
        """Return the sentence a client shows; a Custom reason leads with its number."""
        if self.reason != "Custom":
            return self.text
        if self.text == REASONS[self.kind]["Custom"].docs:
            return f"Custom error: {self.code}"
        return f"Custom error: {self.code} ({self.text})"

    def error(self) -> TransactionValidityError:
        """Return the error as clients see it."""
        made = REASONS[self.kind][self.reason].cls
        reason = made(self.code) if self.reason == "Custom" else made()
        return Invalid(reason) if self.kind == "invalid" else Unknown(reason)

    def encode(self) -> bytes:
        """Return the SCALE bytes of the error."""
        return VALIDITY_ERROR.encode(self.error())


class Undecodable(TransactionRejected):
    """The bytes are no extrinsic of this runtime; clients may learn it as Call."""

    def __init__(self, why: str) -> None:
        super().__init__("invalid", "Call", text=f"The extrinsic does not decode: {why}")


VALIDITY_ERROR: Codec[TransactionValidityError] = codec(TransactionValidityError)


@variant
class Ok:
    """It may be in a block."""

    _0: ValidTransaction


@variant
class Err:
    """It may not."""

    _0: TransactionValidityError


TransactionValidity = Annotated[Ok | Err, Variants("Result")]


def unframed(extrinsic: bytes) -> Input:
    """Return the bytes behind an extrinsic's length prefix, which must be right.

    Raises: DecodeError.
    """
    source = Input(extrinsic)
    announced = read_compact(source)
    if announced != source.left():
        raise DecodeError(f"the length prefix says {announced} bytes, {source.left()} follow")
    return source


def _write_extrinsic(extrinsic: bytes, out: bytearray) -> None:
    out += extrinsic


def _read_extrinsic(source: Input) -> bytes:
    start = source.offset
    source.take(read_compact(source))
    return source.data[start : source.offset]


EXTRINSIC_CODEC: Codec[bytes] = Codec(_write_extrinsic, _read_extrinsic, 1)
