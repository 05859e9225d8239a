"""Session: who the validators are, and which session it is. Source: FRAME's pallet-session.

A session is a BABE epoch. Rotation of keys and of the validator set comes with the consensus work.
"""

from collections.abc import Mapping
from typing import Any

from runtime.frame.declare import event
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import struct, u32
from runtime.primitives.ss58 import accounts_of
from runtime.primitives.types import AccountId, Ed25519Public


@struct("assay_runtime::SessionKeys")
class SessionKeys:
    """The keys a validator's node holds."""

    babe: Ed25519Public
    grandpa: Ed25519Public


@event
class NewSession:
    """New session has happened."""

    session_index: u32


class Session(Pallet[NewSession, NoError]):
    """Validators by stash, in the order of the authority lists."""

    validators: Value[list[AccountId]] = storage(default=[])
    current_index: Value[u32] = storage(default=0)
    next_keys: Map[AccountId, SessionKeys] = storage(hasher=twox_64_concat)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write `keys`: [[stash, {"babe": 0x.., "grandpa": 0x..}], ...]."""
        listed = config.get("keys", [])
        stashes = accounts_of([stash for stash, _ in listed], "session.keys")
        for account, (_, keys) in zip(stashes, listed, strict=True):
            self.next_keys[account] = SessionKeys(
                bytes.fromhex(keys["babe"][2:]), bytes.fromhex(keys["grandpa"][2:])
            )
        self.validators.put(stashes)

    def rotate(self) -> None:
        """Begin the next session."""
        index = self.current_index.get() + 1
        self.current_index.put(index)
        self.deposit(NewSession(index))

    def validator_at(self, index: int) -> AccountId | None:
        """Return the stash of an authority."""
        listed = self.validators.get()
        return listed[index] if index < len(listed) else None
