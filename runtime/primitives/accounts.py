"""Accounts nobody has a key to: those that pallets keep money in."""

from runtime.primitives.types import AccountId

PALLET_PREFIX = b"modl"
"""Type id of Substrate's PalletId."""
IDENTIFIER_SIZE = 8
ACCOUNT_SIZE = 32


def pallet_account(identifier: bytes) -> AccountId:
    """Return the account of a pallet: b"modl" + 8 bytes + zeros. Source: frame_support::PalletId."""
    assert len(identifier) == IDENTIFIER_SIZE, f"{identifier!r} must have {IDENTIFIER_SIZE} bytes"
    return AccountId((PALLET_PREFIX + identifier).ljust(ACCOUNT_SIZE, b"\0"))
