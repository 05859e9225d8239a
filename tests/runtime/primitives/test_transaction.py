"""The refusals of the runtime: bytes and texts are Substrate's."""

import pytest

from runtime.primitives.scale import codec
from runtime.primitives.transaction import REASONS, Kind, TransactionRejected, ValidTransaction


@pytest.mark.parametrize(
    ("kind", "reason", "code", "encoded"),
    [
        ("invalid", "Call", 0, "0000"),
        ("invalid", "Payment", 0, "0001"),
        ("invalid", "Future", 0, "0002"),
        ("invalid", "Stale", 0, "0003"),
        ("invalid", "BadProof", 0, "0004"),
        ("invalid", "AncientBirthBlock", 0, "0005"),
        ("invalid", "ExhaustsResources", 0, "0006"),
        ("invalid", "Custom", 7, "000707"),
        ("invalid", "BadMandatory", 0, "0008"),
        ("invalid", "MandatoryValidation", 0, "0009"),
        ("invalid", "BadSigner", 0, "000a"),
        ("unknown", "CannotLookup", 0, "0100"),
        ("unknown", "NoUnsignedValidator", 0, "0101"),
        ("unknown", "Custom", 255, "0102ff"),
    ],
)
def test_a_refusal_encodes_as_substrate_does(kind: Kind, reason: str, code: int, encoded: str) -> None:
    assert TransactionRejected(kind, reason, code).encode().hex() == encoded


def test_the_table_above_names_every_reason() -> None:
    assert {kind: len(reasons) for kind, reasons in REASONS.items()} == {"invalid": 11, "unknown": 3}


def test_a_refusal_reads_as_a_sentence() -> None:
    assert str(TransactionRejected("invalid", "Stale")) == "Transaction is outdated"
    assert str(TransactionRejected("invalid", "Custom", 3)) == "Custom error: 3"
    free = TransactionRejected("invalid", "Custom", 3, "this uid has committed in this round")
    assert str(free) == "Custom error: 3 (this uid has committed in this round)"


@pytest.mark.parametrize(("reason", "code"), [("Unheard", 0), ("Custom", 256), ("CannotLookup", 0)])
def test_an_unknown_reason_is_our_bug(reason: str, code: int) -> None:
    with pytest.raises(AssertionError):
        TransactionRejected("invalid", reason, code)


def test_a_good_transaction_encodes_as_substrate_does() -> None:
    validity = ValidTransaction(5, [b"\x01"], [b"\x02\x03"], 64, True)
    assert codec(ValidTransaction).encode(validity).hex() == (
        "0500000000000000" + "040401" + "04080203" + "4000000000000000" + "01"
    )
