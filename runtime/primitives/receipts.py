"""What a miner signs about the bytes of a payload that it hands out, so that two faces of it are evidence.

    signed   SCALE("dlv/1", genesis hash, netuid, round, hotkey, digest, blake2-256 of the bytes, length)

`digest` is what the payload was asked by. A miner that sends other bytes either signs so, which anybody may
show to the chain, or its receipt does not fit them and the receiver takes nothing. Tag and genesis hash keep
this from passing for anything else that a hotkey signs.
"""

from runtime.primitives.crypto import verify_sr25519
from runtime.primitives.scale import codec
from runtime.primitives.shapes import struct, u16, u32
from runtime.primitives.types import AccountId, Hash, Signature64

DELIVERY_TAG = "dlv/1"

_STATEMENT = codec(tuple[str, Hash, u16, u32, AccountId, Hash, Hash, u32])


@struct("pallet_model_updates::types::Receipt")
class Receipt:
    """What a miner says it sent for a digest: the hash and the length in bytes, and its sr25519 signature."""

    digest: Hash
    sent: Hash
    length: u32
    signature: Signature64

    def is_signed_by(self, hotkey: AccountId, genesis: Hash, netuid: int, round: int) -> bool:
        """Say whether the signature is this hotkey's, for this round of this chain."""
        signed = statement(genesis, netuid, round, hotkey, self.digest, self.sent, self.length)
        return verify_sr25519(self.signature, signed, hotkey)


RECEIPT = codec(Receipt)


def statement(
    genesis: Hash, netuid: int, round: int, hotkey: AccountId, digest: Hash, sent: Hash, length: int
) -> bytes:
    """Return the bytes that a miner signs.

    Raises: EncodeError when a value is out of range.
    """
    return _STATEMENT.encode((DELIVERY_TAG, genesis, netuid, round, hotkey, digest, sent, length))
