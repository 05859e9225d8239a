"""What a miner and a judge commit to before they reveal it; chain, miners and judges all compute it here.

    of a round      blake2_256(SCALE(tag, genesis hash, netuid, round, hotkey, salt, what is revealed))
    of weights      blake2_256(SCALE(hotkey, netuid, epoch, uids, values, salt, version_key))

The tag keeps the two kinds of a round apart and the genesis hash the chains; the hotkey makes a copied
commitment worthless, and the salt makes a guessed one useless.
"""

from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Fixed, i32, struct, u16, u32, u64
from runtime.primitives.types import AccountId, Hash, Ppm

UPDATE_TAG = "upd/1"
SCORE_TAG = "scr/1"
MAX_SCORES = 1_024
"""A judge scores each uid of a subnet at most once, and a subnet has no more uids."""
PPM = 1_000_000
"""Parts per million in one; a judge's scores share out at most this much."""
MAX_WEIGHT = 65_535
"""The weight in the model of a payload whose median score is the whole million; u16."""

Salt = Annotated[bytes, Fixed(32)]


@struct("pallet_verification::types::Score")
class Score:
    """What a judge thinks of one payload, and what it measured; losses and drops are micro-nats per token.

    Equal losses and no score say that the payload failed the cheap checks and was not measured.
    """

    uid: u16
    score: Ppm
    loss_before: u32  # on the hidden batch, without the payload
    loss_after: u32  # on the hidden batch, with it alone
    alignment: i32  # ppm: <payload, mean of the others> / <mean, mean>; 0 with fewer than 4 payloads
    own_drop: i32  # drop of the loss on the text the miner was assigned, less that on the hidden batch


Scores = Annotated[list[Score], Bounded(MAX_SCORES)]
Listed = Annotated[list[u16], Bounded(MAX_SCORES)]
"""One number for each uid that a row of weights names: the uids, or their values."""

UPDATE = codec(tuple[str, Hash, u16, u32, AccountId, Salt, Hash, u32, Hash])
SCORES = codec(tuple[str, Hash, u16, u32, AccountId, Salt, Scores])
WEIGHTS = codec(tuple[AccountId, u16, u32, Listed, Listed, Salt, u64])


def update_commitment(
    genesis: Hash,
    netuid: int,
    round: int,
    hotkey: AccountId,
    salt: bytes,
    digest: Hash,
    length: int,
    ef_digest: Hash,
) -> Hash:
    """Return what ModelUpdates.commit takes; `digest` is blake2-256 of the payload, `length` its bytes.

    Raises: EncodeError when a value is out of range.
    """
    opened = (UPDATE_TAG, genesis, netuid, round, hotkey, salt, digest, length, ef_digest)
    return Hash(blake2_256(UPDATE.encode(opened)))


def score_commitment(
    genesis: Hash, netuid: int, round: int, hotkey: AccountId, salt: bytes, scores: list[Score]
) -> Hash:
    """Return what Verification.commit_scores takes.

    Raises: EncodeError when a value is out of range.
    """
    return Hash(blake2_256(SCORES.encode((SCORE_TAG, genesis, netuid, round, hotkey, salt, scores))))


def weights_commitment(
    hotkey: AccountId,
    netuid: int,
    epoch: int,
    uids: list[int],
    values: list[int],
    salt: bytes,
    version_key: int,
) -> Hash:
    """Return what Weights.commit_weights takes; `epoch` is Incentive.EpochIndex of the subnet.

    Raises: EncodeError when a value is out of range.
    """
    return Hash(blake2_256(WEIGHTS.encode((hotkey, netuid, epoch, uids, values, salt, version_key))))
