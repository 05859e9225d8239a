"""Slots: every claim an honest author makes is accepted, every other header is refused for its reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chain.common.errors import BlockFlaw, InvalidBlock, SlotAhead
from chain.consensus.slots import (
    Epoch,
    SlotTimer,
    check_begun,
    claim,
    epoch_index_at,
    pre_hash,
    seal,
    slot_at,
    slot_start_ms,
    verify_header,
)
from chain.keys.pair import Keypair
from runtime.primitives.babe import (
    Primary,
    SecondaryPlain,
    SecondaryVRF,
    VrfSignature,
    pre_digest_item,
    pre_digest_of,
    secondary_author,
    vrf_input,
)
from runtime.primitives.header import BABE_ENGINE, Digest, Header, PreRuntime, Seal
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.primitives.vrf import prove

PAIRS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie")]
EPOCH = Epoch(4, [(pair.public, weight) for pair, weight in zip(PAIRS, (5, 3, 2), strict=True)], b"r" * 32)
WITH_PRIMARIES = replace(EPOCH, c=(1, 4))
SLOT = 1000


def author_of(slot: int) -> int:
    return secondary_author(EPOCH.authorities, EPOCH.randomness, slot)


def block_with(item: PreRuntime) -> Header:
    return Header(Hash(b"\1" * 32), 7, Hash(b"\2" * 32), Hash(b"\3" * 32), Digest([item]))


def sealed_block(item: PreRuntime, pair: Keypair) -> Header:
    header = block_with(item)
    return header.sealed(seal(header, pair))


def honest_block(slot: int = SLOT, epoch: Epoch = EPOCH) -> Header:
    pair = PAIRS[author_of(slot)]
    item = claim(pair, slot, epoch)
    assert item is not None
    return sealed_block(item, pair)


def secondary(slot: int, index: int, epoch: Epoch = EPOCH) -> PreRuntime:
    proof = prove(PAIRS[index].secret, vrf_input(epoch.randomness, slot, epoch.index))
    return pre_digest_item(SecondaryVRF(index, slot, VrfSignature.from_proof(proof)))


def flaw_of(header: Header, parent_slot: int = SLOT - 1, epoch: Epoch = EPOCH) -> BlockFlaw:
    with pytest.raises(InvalidBlock) as refused:
        verify_header(header, parent_slot, epoch)
    return refused.value.reason


def test_arithmetic() -> None:
    assert slot_at(11_999, 6000) == 1
    assert slot_start_ms(2, 6000) == 12_000
    assert [epoch_index_at(slot, 100, 30) for slot in (100, 129, 130, 220)] == [0, 0, 1, 4]


@pytest.mark.parametrize("slot", range(SLOT, SLOT + 20))
def test_exactly_one_authority_claims_a_slot_and_its_header_verifies(slot: int) -> None:
    claims = [claim(pair, slot, EPOCH) for pair in PAIRS]
    assert [item is not None for item in claims] == [index == author_of(slot) for index in range(3)]
    header = honest_block(slot)
    digest = verify_header(header, slot - 1, EPOCH)
    assert digest == pre_digest_of(header)
    assert isinstance(digest, SecondaryVRF)
    assert len(header.digest.logs[0]._1) == 109  # type: ignore[union-attr]


def test_who_is_no_authority_claims_nothing() -> None:
    assert claim(Keypair.from_suri("//Eve", "ed25519"), SLOT, EPOCH) is None


def test_a_block_of_the_next_slot_may_wait_and_later_ones_are_refused() -> None:
    check_begun(SLOT, SLOT)
    check_begun(SLOT, SLOT + 100)
    with pytest.raises(SlotAhead) as early:
        check_begun(SLOT, SLOT - 1)
    assert (early.value.slot, early.value.reason) == (SLOT, BlockFlaw.SLOT_AHEAD)
    with pytest.raises(InvalidBlock) as refused:
        check_begun(SLOT, SLOT - 2)
    assert refused.value.reason is BlockFlaw.SLOT_IN_FUTURE


def test_the_slot_follows_its_parents() -> None:
    assert flaw_of(honest_block(), parent_slot=SLOT) == BlockFlaw.SLOT_NOT_INCREASING
    assert flaw_of(honest_block(), parent_slot=SLOT + 5) == BlockFlaw.SLOT_NOT_INCREASING


def test_pre_digests_that_are_none() -> None:
    header = block_with(PreRuntime(b"aura", bytes(8)))
    assert flaw_of(header) == BlockFlaw.BAD_PRE_DIGEST
    assert flaw_of(block_with(PreRuntime(BABE_ENGINE, b"\3" + bytes(107)))) == BlockFlaw.BAD_PRE_DIGEST
    plain = pre_digest_item(SecondaryPlain(author_of(SLOT), SLOT))
    assert flaw_of(sealed_block(plain, PAIRS[author_of(SLOT)])) == BlockFlaw.BAD_PRE_DIGEST


def test_authors_without_the_slot() -> None:
    other = (author_of(SLOT) + 1) % 3
    assert flaw_of(sealed_block(secondary(SLOT, other), PAIRS[other])) == BlockFlaw.WRONG_AUTHOR
    unknown = pre_digest_item(SecondaryVRF(3, SLOT, VrfSignature(bytes(32), bytes(64))))
    assert flaw_of(sealed_block(unknown, PAIRS[0])) == BlockFlaw.WRONG_AUTHOR


@pytest.mark.parametrize(
    "epoch", [replace(EPOCH, index=5), replace(EPOCH, index=3)], ids=["next epoch", "epoch before"]
)
def test_a_vrf_output_belongs_to_its_epoch(epoch: Epoch) -> None:
    author = author_of(SLOT)
    assert flaw_of(sealed_block(secondary(SLOT, author, epoch), PAIRS[author])) == BlockFlaw.BAD_VRF


def test_a_vrf_output_belongs_to_its_slot_and_its_padding_is_zero() -> None:
    author = author_of(SLOT)
    good = pre_digest_of(block_with(secondary(SLOT, author)))
    other = pre_digest_of(block_with(secondary(SLOT + 1, author)))
    assert isinstance(good, SecondaryVRF)
    assert isinstance(other, SecondaryVRF)
    padded = VrfSignature(good.vrf_signature.pre_output, good.vrf_signature.proof[:-1] + b"\1")
    for signature in (other.vrf_signature, padded):
        item = pre_digest_item(SecondaryVRF(author, SLOT, signature))
        assert flaw_of(sealed_block(item, PAIRS[author])) == BlockFlaw.BAD_VRF


@pytest.mark.parametrize(
    "reseal",
    [
        lambda header: header,
        lambda header: header.sealed(seal(header, PAIRS[(author_of(SLOT) + 1) % 3])),
        lambda header: header.sealed(Seal(b"aura", seal(header, PAIRS[author_of(SLOT)])._1)),
        lambda header: header.sealed(Seal(BABE_ENGINE, seal(header, PAIRS[author_of(SLOT)])._1[:63])),
        lambda header: replace(header.sealed(seal(header, PAIRS[author_of(SLOT)])), number=8),
        lambda header: header.sealed(seal(header, PAIRS[author_of(SLOT)])).sealed(
            Seal(BABE_ENGINE, bytes(64))
        ),
    ],
    ids=["none", "other key", "other engine", "short", "other header", "two"],
)
def test_seals_that_are_none(reseal: Callable[[Header], Header]) -> None:
    assert flaw_of(reseal(honest_block().unsealed()[0])) == BlockFlaw.BAD_SEAL


def test_the_seal_signs_the_header_without_itself() -> None:
    header = honest_block()
    unsealed, found = header.unsealed()
    assert found == seal(unsealed, PAIRS[author_of(SLOT)])
    assert pre_hash(unsealed) == unsealed.hash()


def test_primary_slots_are_claimed_by_vrf_output_and_cannot_be_faked() -> None:
    primaries, both = 0, 0
    for slot in range(SLOT, SLOT + 60):
        claims = [(index, claim(pair, slot, WITH_PRIMARIES)) for index, pair in enumerate(PAIRS)]
        for index, item in claims:
            if item is None:
                continue
            header = sealed_block(item, PAIRS[index])
            digest = verify_header(header, slot - 1, WITH_PRIMARIES)
            primaries += isinstance(digest, Primary)
            both += isinstance(digest, Primary) and index != author_of(slot)
            if isinstance(digest, SecondaryVRF):
                fake = pre_digest_item(Primary(index, slot, digest.vrf_signature))
                refused = flaw_of(sealed_block(fake, PAIRS[index]), slot - 1, WITH_PRIMARIES)
                assert refused == BlockFlaw.WRONG_AUTHOR
            else:
                assert flaw_of(header, slot - 1, EPOCH) == BlockFlaw.WRONG_AUTHOR
    assert (primaries, both) == (8, 3)


class FakeClock:
    """Time passes only by sleeping, or by a jump the test asks for."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.jumps: list[int] = []

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        return self.now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000) + (self.jumps.pop(0) if self.jumps else 0)


async def test_the_timer_yields_each_slot_as_it_begins() -> None:
    clock = FakeClock(10_500)
    timer = SlotTimer(clock, 1000)
    seen = [(await anext(timer), clock.now_ms) for _ in range(3)]
    assert seen == [(11, 11_000), (12, 12_000), (13, 13_000)]


async def test_the_timer_skips_what_was_missed() -> None:
    clock = FakeClock(10_500)
    timer = SlotTimer(clock, 1000)
    assert await anext(timer) == 11
    clock.now_ms += 3_400
    assert await anext(timer) == 15
    assert clock.now_ms == 15_000
    clock.jumps = [60_000]
    assert await anext(timer) == 76


async def test_the_timer_never_yields_a_slot_twice_when_the_clock_steps_back() -> None:
    clock = FakeClock(10_500)
    timer = SlotTimer(clock, 1000)
    assert await anext(timer) == 11
    clock.now_ms -= 5_000
    assert await anext(timer) == 12
    assert clock.now_ms == 12_000


def test_a_zero_hash_is_no_header() -> None:
    assert flaw_of(Header(ZERO_HASH, 0, ZERO_HASH, ZERO_HASH, Digest([]))) == BlockFlaw.BAD_PRE_DIGEST
