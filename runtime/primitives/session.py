"""Session keys: what a validator's node signs with, and the proof that it can.

    proof = babe signature 64 | grandpa signature 64, each of b"POP_" ++ the stash that claims the keys

Source: sp_session, sp_core::proof_of_possession; polkadot-fellows/RFCs 48.
"""

from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.shapes import Fixed, struct
from runtime.primitives.types import AccountId, Ed25519Public

KeyTypeId = Annotated[bytes, Fixed(4, "sp_core::crypto::KeyTypeId")]

BABE_KEY = b"babe"
GRANDPA_KEY = b"gran"
STATEMENT = b"POP_"
"""What a statement of ownership begins with, so that no block or vote is one."""
SIGNATURE_SIZE = 64


@struct("assay_runtime::SessionKeys")
class SessionKeys:
    """The keys a validator's node holds."""

    babe: Ed25519Public
    grandpa: Ed25519Public

    def typed(self) -> list[tuple[KeyTypeId, bytes]]:
        """Return each public key with its type."""
        return [(BABE_KEY, self.babe), (GRANDPA_KEY, self.grandpa)]

    def proven(self, owner: AccountId, proof: bytes) -> bool:
        """Say whether every key signed that it is the owner's."""
        keys, statement = self.typed(), ownership_statement(owner)
        if len(proof) != len(keys) * SIGNATURE_SIZE:
            return False
        signatures = [proof[at : at + SIGNATURE_SIZE] for at in range(0, len(proof), SIGNATURE_SIZE)]
        return all(
            verify_ed25519(signature, statement, key)
            for signature, (_, key) in zip(signatures, keys, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A validator in office, or about to be."""

    stash: AccountId
    keys: SessionKeys
    weight: int


def ownership_statement(owner: AccountId) -> bytes:
    """Return what each session key signs to prove that it belongs to a stash."""
    return STATEMENT + owner
