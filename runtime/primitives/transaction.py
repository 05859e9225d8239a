"""What the runtime says of a transaction before it runs.

Source: Substrate, sp_runtime::transaction_validity (variant order, texts and the encoding of the error).
"""

from typing import Final, Literal

from runtime.primitives.shapes import struct, u64

Kind = Literal["invalid", "unknown"]

FOREVER: Final = 2**64 - 1
"""Longevity of a transaction without an era, blocks."""

INVALID: Final = {
    "Call": "Transaction call is not expected",
    "Payment": "Inability to pay some fees (e.g. account balance too low)",
    "Future": "Transaction will be valid in the future",
    "Stale": "Transaction is outdated",
    "BadProof": "Transaction has a bad signature",
    "AncientBirthBlock": "Transaction has an ancient birth block",
    "ExhaustsResources": "Transaction would exhaust the block limits",
    "Custom": "InvalidTransaction custom error",
    "BadMandatory": "A call was labelled as mandatory, but resulted in an Error.",
    "MandatoryValidation": "Transaction dispatch is mandatory; transactions must not be validated.",
    "BadSigner": "Invalid signing address",
}
"""Variant and text, in wire order: clients match the texts."""

UNKNOWN: Final = {
    "CannotLookup": "Could not lookup information required to validate the transaction",
    "NoUnsignedValidator": "Could not find an unsigned validator for the unsigned transaction",
    "Custom": "UnknownTransaction custom error",
}

REASONS: Final[dict[Kind, dict[str, str]]] = {"invalid": INVALID, "unknown": UNKNOWN}


@struct("sp_runtime::transaction_validity::ValidTransaction")
class ValidTransaction:
    """Where a good transaction belongs in the pool; longevity is in blocks."""

    priority: u64
    requires: list[bytes]
    provides: list[bytes]
    longevity: u64
    propagate: bool


class TransactionRejected(Exception):
    """The runtime does not take this transaction; `code` numbers the Custom reasons only."""

    def __init__(self, kind: Kind, reason: str, code: int = 0, text: str = "") -> None:
        assert reason in REASONS[kind], f"{reason} is no reason of {kind}"
        assert 0 <= code < 256, f"{code} is no u8"
        self.kind = kind
        self.reason = reason
        self.code = code
        self.text = text or REASONS[kind][reason]
        super().__init__(self.describe())

    def describe(self) -> str:
        """Return the sentence a client shows; a Custom reason leads with its number."""
        if self.reason != "Custom":
            return self.text
        if self.text == REASONS[self.kind]["Custom"]:
            return f"Custom error: {self.code}"
        return f"Custom error: {self.code} ({self.text})"

    def encode(self) -> bytes:
        """Return the SCALE bytes of the TransactionValidityError."""
        reasons = REASONS[self.kind]
        head = bytes([list(REASONS).index(self.kind), list(reasons).index(self.reason)])
        return head + bytes([self.code]) if self.reason == "Custom" else head
