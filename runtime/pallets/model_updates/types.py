"""What the trail is made of: stored values, evidence, events and errors."""

from typing import Annotated

from runtime.frame.declare import event
from runtime.frame.errors import PalletError
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Variants, struct, u16, u32, u64, u128, variant
from runtime.primitives.types import AccountId, BlockNumber, Hash


@struct("pallet_model_updates::types::Commit")
class Commit:
    """A sealed update: its block, its position among the commits of the round, its seat and whose that is."""

    commitment: Hash
    height: BlockNumber
    index: u32
    uid: u16
    coldkey: AccountId


@struct("pallet_model_updates::types::Update")
class Update:
    """A revealed update; length in bytes, height and index of its commit, its place in the mountain range."""

    miner: AccountId
    base_root: Hash
    digest: Hash
    length: u32
    ef_digest: Hash
    commit_height: BlockNumber
    commit_index: u32
    leaf: u64


@struct("pallet_model_updates::types::Leaf")
class Leaf:
    """Where the update of a leaf is stored."""

    netuid: u16
    round: u32
    miner: AccountId


_LEAF = codec(tuple[u16, u32, Update])


def leaf_hash(netuid: int, round: int, update: Update) -> Hash:
    """Return an update's node in the mountain range: blake2_256(0x00 || SCALE(netuid, round, update))."""
    return Hash(blake2_256(b"\x00" + _LEAF.encode((netuid, round, update))))


# Evidence.


@variant
class Delivery:
    """The miner says that it sent other bytes than those it revealed the digest of."""

    receipt: Receipt


@variant
class DoublePublication:
    """The miner says that it published two payloads in one round."""

    first: Receipt
    second: Receipt


Evidence = Annotated[Delivery | DoublePublication, Variants("pallet_model_updates::types::Evidence")]


# Events.


@event
class UpdateCommitted:
    """A miner committed to its update of a round."""

    netuid: u16
    round: u32
    miner: AccountId
    commitment: Hash


@event
class UpdateRevealed:
    """A miner revealed which payload it had committed to."""

    netuid: u16
    round: u32
    miner: AccountId
    digest: Hash
    length: u32


@event
class EvidenceAccepted:
    """A miner's own signature showed that it cheated; `slashed` planck were burnt, and its seat is free."""

    netuid: u16
    round: u32
    miner: AccountId
    uid: u16
    reporter: AccountId
    slashed: u128


class Error(PalletError):
    """Why an update, or evidence against one, is refused."""

    AlreadyCommitted = (
        "This hotkey has committed in this round: one commitment counts, wait for the next round."
    )
    AlreadyRevealed = "This hotkey has revealed its update of this round: nothing is left to do."
    NotCommitted = (
        "Nothing to reveal: this hotkey did not commit in TRAIN, or has left its seat since; commit in the "
        "next round."
    )
    CommitmentMismatch = (
        "Digest, length, ef_digest and salt do not hash to the commitment: reveal exactly what was committed."
    )
    PayloadTooLarge = "The payload is longer than the subnet's max_payload_bytes: compress harder."
    EmptyPayload = "A payload has at least one byte: reveal the length of the real blob."
    UnknownCommit = (
        "The accused committed to nothing in this round: name the subnet, the round and the hotkey that the "
        "receipt was signed for."
    )
    NotRevealed = (
        "The accused revealed no digest in this round, so no delivery can differ from it: only two receipts "
        "for different digests are evidence."
    )
    OtherDigest = (
        "The receipt is for another digest than the accused revealed: submit it as DoublePublication, with a "
        "receipt for another digest of the round."
    )
    FaithfulDelivery = "By the receipt the bytes hash to the digest they were asked by: it accuses nobody."
    SameDigest = "Both receipts are for one digest: a double publication needs two different ones."
    BadReceipt = (
        "A receipt is not signed by the accused for this chain, subnet and round: submit what it has signed."
    )
    AlreadyAccepted = "Evidence against this hotkey was accepted for this round: nothing is left to do."
    SeatGone = "Who held the seat of the accused has left the subnet: nothing is left to slash."
