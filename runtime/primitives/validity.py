"""Why a transaction may not be in a block, as clients see it; the docstrings are the texts they match.

Source: Substrate, sp_runtime::transaction_validity.
"""

import enum
from typing import Annotated

from runtime.primitives.shapes import Variants, u8, variant


class TransactionSource(enum.Enum):
    """Where a transaction comes from."""

    __scale_path__ = "sp_runtime::transaction_validity::TransactionSource"

    InBlock = 0
    Local = 1
    External = 2


@variant
class Call:
    """Transaction call is not expected"""


@variant
class Payment:
    """Inability to pay some fees (e.g. account balance too low)"""


@variant
class Future:
    """Transaction will be valid in the future"""


@variant
class Stale:
    """Transaction is outdated"""


@variant
class BadProof:
    """Transaction has a bad signature"""


@variant
class AncientBirthBlock:
    """Transaction has an ancient birth block"""


@variant
class ExhaustsResources:
    """Transaction would exhaust the block limits"""


@variant
class Custom:
    """InvalidTransaction custom error"""

    _0: u8


@variant
class BadMandatory:
    """A call was labelled as mandatory, but resulted in an Error."""


@variant
class MandatoryValidation:
    """Transaction dispatch is mandatory; transactions must not be validated."""


@variant
class BadSigner:
    """Invalid signing address"""


InvalidTransaction = Annotated[
    Call | Payment | Future | Stale | BadProof | AncientBirthBlock | ExhaustsResources | Custom
    | BadMandatory | MandatoryValidation | BadSigner,
    Variants("sp_runtime::transaction_validity::InvalidTransaction"),
]  # fmt: skip


@variant
class CannotLookup:
    """Could not lookup information required to validate the transaction"""


@variant
class NoUnsignedValidator:
    """Could not find an unsigned validator for the unsigned transaction"""


@variant
class Custom_:
    """UnknownTransaction custom error"""

    _0: u8


UnknownTransaction = Annotated[
    CannotLookup | NoUnsignedValidator | Custom_,
    Variants("sp_runtime::transaction_validity::UnknownTransaction"),
]


@variant
class Invalid:
    """It can never be in a block as things are."""

    _0: InvalidTransaction


@variant
class Unknown:
    """Whether it can be in a block cannot be told."""

    _0: UnknownTransaction


TransactionValidityError = Annotated[
    Invalid | Unknown, Variants("sp_runtime::transaction_validity::TransactionValidityError")
]
