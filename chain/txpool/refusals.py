"""Why the pool refuses a transaction, in the numbers and words that clients match.

Source: Substrate, sc_rpc_api::author::error.
"""

from chain.common.errors import SubmitError
from runtime.primitives.transaction import TransactionRejected, Undecodable
from runtime.primitives.types import Hash


def rejected(problem: TransactionRejected) -> SubmitError:
    """The runtime says no, or cannot say."""
    if problem.kind == "unknown":
        return SubmitError(1011, "Unknown Transaction Validity", problem.describe())
    return SubmitError(1010, "Invalid Transaction", problem.describe())


def undecodable(problem: Undecodable) -> SubmitError:
    """The runtime cannot read the bytes; a Wasm runtime traps there."""
    why = "Execution failed: Bad input data provided to validate_transaction"
    return SubmitError(1002, f"Verification Error: Runtime error: {why}: {problem.describe()}")


def banned() -> SubmitError:
    """The same bytes were found invalid a short while ago."""
    return SubmitError(1012, "Transaction is temporarily banned")


def already_imported(transaction: Hash) -> SubmitError:
    """The same bytes are in the pool."""
    return SubmitError(1013, "Transaction Already Imported", f"0x{transaction.hex()}")


def too_low_priority(old: int, new: int) -> SubmitError:
    """Another transaction holds the place and pays as much or more."""
    why = "The transaction has too low priority to replace another transaction already in the pool."
    return SubmitError(1014, f"Priority is too low: ({old} vs {new})", why)


def cycle() -> SubmitError:
    """The transaction waits for itself."""
    return SubmitError(1015, "Cycle Detected")


def immediately_dropped(limit: str) -> SubmitError:
    """The pool is full, and everything in it pays more."""
    return SubmitError(
        1016, "Immediately Dropped", f"The transaction couldn't enter the pool because of the {limit}"
    )


def no_tags() -> SubmitError:
    """The transaction provides nothing, so it could be included for ever."""
    why = "Transaction doesn't provide any tags, so the pool can't identify it"
    return SubmitError(1017, "No tags provided", why)
