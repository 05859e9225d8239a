"""Whose slot it is, claiming it, and checking another's claim. Source: Polkadot specification, chapter 5."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from chain.common.errors import BlockFlaw, InvalidBlock, SlotAhead
from chain.env import Clock
from chain.keys.pair import Keypair
from runtime.primitives import vrf
from runtime.primitives.babe import (
    PreDigestError,
    Primary,
    SecondaryPlain,
    SecondaryVRF,
    VrfSignature,
    WeightedAuthority,
    is_primary,
    pre_digest_item,
    pre_digest_of,
    primary_threshold,
    secondary_author,
    vrf_input,
)
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Header, PreRuntime, Seal

SLOTS_AHEAD = 1
"""A header this far ahead may wait until it is due; one further ahead is refused."""
BUILD_SHARE = 3
"""Building ends a third into the slot, so that the block arrives within it."""
_SEAL_SIZE = 64


@dataclass(frozen=True, slots=True)
class Epoch:
    """What decides the authors of one epoch."""

    index: int
    authorities: Sequence[WeightedAuthority]
    randomness: bytes
    c: tuple[int, int] = (0, 1)  # share of slots with a primary author

    def index_of(self, public: bytes) -> int | None:
        """Return the index of an authority, or None."""
        return next((index for index, (key, _) in enumerate(self.authorities) if key == public), None)

    def threshold(self, index: int) -> int:
        """Return below which VRF output an authority is a slot's primary author."""
        total = sum(weight for _, weight in self.authorities)
        return primary_threshold(self.c, self.authorities[index][1], total)


def slot_at(wall_ms: int, slot_ms: int) -> int:
    """Return the slot of a moment."""
    return wall_ms // slot_ms


def slot_start_ms(slot: int, slot_ms: int) -> int:
    """Return when a slot begins, in milliseconds since the Unix epoch."""
    return slot * slot_ms


def pre_digest_slot(header: Header) -> int:
    """Return the slot a header claims, 0 where its pre-digest is malformed (the verification says so)."""
    try:
        return pre_digest_of(header).slot
    except ValueError:
        return 0


def epoch_index_at(slot: int, genesis_slot: int, session_slots: int) -> int:
    """Return the epoch of a slot; block 1 is in the genesis slot."""
    return (slot - genesis_slot) // session_slots


def claim(keypair: Keypair, slot: int, epoch: Epoch) -> PreRuntime | None:
    """Return the pre-digest by which this key authors a slot, or None when it is not its turn."""
    index = epoch.index_of(keypair.public)
    if index is None:
        return None
    threshold = epoch.threshold(index)
    is_turn = secondary_author(epoch.authorities, epoch.randomness, slot) == index
    if not threshold and not is_turn:  # without primary slots most proofs would be for nothing
        return None
    proof = vrf.prove(keypair.secret, vrf_input(epoch.randomness, slot, epoch.index))
    signature = VrfSignature.from_proof(proof)
    if is_primary(vrf.proof_to_hash(proof), threshold):
        return pre_digest_item(Primary(index, slot, signature))
    return pre_digest_item(SecondaryVRF(index, slot, signature)) if is_turn else None


def pre_hash(header: Header) -> bytes:
    """Return what an author signs: the hash of the header without its seal."""
    return blake2_256(header.encode())


def seal(header: Header, keypair: Keypair) -> Seal:
    """Return the author's signature over an unsealed header; signing twice is the guard's concern."""
    return Seal(BABE_ENGINE, keypair.sign(pre_hash(header)))


def verify_header(header: Header, parent_slot: int, epoch: Epoch) -> Primary | SecondaryVRF:
    """Return the pre-digest of a header whose author has the slot and sealed it; genesis has slot 0.

    Whether the slot has begun is another question: a header that is early is good all the same.
    Raises: InvalidBlock.
    """
    try:
        digest = pre_digest_of(header)
    except PreDigestError as problem:
        raise InvalidBlock(BlockFlaw.BAD_PRE_DIGEST, str(problem)) from problem
    if isinstance(digest, SecondaryPlain):
        raise InvalidBlock(BlockFlaw.BAD_PRE_DIGEST, "every block carries a VRF output, this one has none")
    if digest.slot <= parent_slot:
        detail = f"slot {digest.slot} does not follow its parent's, {parent_slot}"
        raise InvalidBlock(BlockFlaw.SLOT_NOT_INCREASING, detail)
    if digest.authority_index >= len(epoch.authorities):
        detail = f"authority {digest.authority_index} of {len(epoch.authorities)}"
        raise InvalidBlock(BlockFlaw.WRONG_AUTHOR, detail)
    public = epoch.authorities[digest.authority_index][0]
    _check_seal(header, public)
    _check_claim(digest, public, epoch)
    return digest


def check_begun(slot: int, now_slot: int) -> None:
    """Refuse a block of a slot that has not begun.

    Raises: SlotAhead of the next slot's, InvalidBlock of a later one's.
    """
    if slot > now_slot + SLOTS_AHEAD:
        raise InvalidBlock(BlockFlaw.SLOT_IN_FUTURE, f"slot {slot}, it is slot {now_slot}")
    if slot > now_slot:
        raise SlotAhead(slot)


def _check_seal(header: Header, public: bytes) -> None:
    unsealed, found = header.unsealed()
    if found is None or found._0 != BABE_ENGINE or len(found._1) != _SEAL_SIZE:
        raise InvalidBlock(BlockFlaw.BAD_SEAL, "the last digest item is no BABE seal of 64 bytes")
    if not verify_ed25519(found._1, pre_hash(unsealed), public):
        raise InvalidBlock(BlockFlaw.BAD_SEAL, f"not signed by 0x{public.hex()}")


def _check_claim(digest: Primary | SecondaryVRF, public: bytes, epoch: Epoch) -> None:
    index, slot = digest.authority_index, digest.slot
    turn = secondary_author(epoch.authorities, epoch.randomness, slot)
    if isinstance(digest, SecondaryVRF) and index != turn:
        detail = f"slot {slot} of epoch {epoch.index} is authority {turn}'s, not {index}'s"
        raise InvalidBlock(BlockFlaw.WRONG_AUTHOR, detail)
    proof = digest.vrf_signature.to_proof()
    output = proof and vrf.verify(public, vrf_input(epoch.randomness, slot, epoch.index), proof)
    if not output:
        raise InvalidBlock(BlockFlaw.BAD_VRF, f"of authority {index} for slot {slot} of epoch {epoch.index}")
    if isinstance(digest, Primary) and not is_primary(output, epoch.threshold(index)):
        raise InvalidBlock(BlockFlaw.WRONG_AUTHOR, f"authority {index} did not win slot {slot}")


class SlotTimer:
    """Yields each slot as it begins: never one twice, never an old one, whatever the clock does."""

    def __init__(self, clock: Clock, slot_ms: int) -> None:
        self._clock = clock
        self._slot_ms = slot_ms
        self._last = -1

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        due = max(self._last, slot_at(self._clock.wall_ms(), self._slot_ms)) + 1
        while (left_ms := slot_start_ms(due, self._slot_ms) - self._clock.wall_ms()) > 0:
            await self._clock.sleep(min(left_ms, self._slot_ms) / 1000)
        self._last = slot_at(self._clock.wall_ms(), self._slot_ms)
        return self._last
