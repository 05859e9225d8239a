"""The one door for blocks: what one chain builds another executes alike, and nothing else gets in."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chain.common.errors import BlockFlaw, InvalidBlock, UnknownBlock
from chain.consensus.slots import seal
from runtime.frame.executive import BlockFault, BlockRejected
from runtime.primitives.header import BABE_ENGINE, Digest, Header, PreRuntime, Seal
from runtime.primitives.types import Hash
from tests.chain.chains import ALICE, BOB, FIRST_SLOT, SLOT_MS, Chain, TurnedClock, justified

Block = tuple[Header, list[bytes]]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A chain at block 0."""
    made = Chain(tmp_path / "chain")
    yield made
    made.store.close()


def sealed(header: Header, **changes: object) -> Header:
    """Return a header with fields changed, sealed by its rightful author all the same."""
    unsealed, _ = header.unsealed()
    changed = replace(unsealed, **changes)  # type: ignore[arg-type]
    return changed.sealed(seal(changed, ALICE))


def with_pre_digest(header: Header, change: Callable[[bytearray], None]) -> Header:
    """Return a header whose pre-digest is changed, sealed again."""
    pre, *others = header.unsealed()[0].digest.logs
    assert isinstance(pre, PreRuntime)
    content = bytearray(pre._1)
    change(content)
    return sealed(header, digest=Digest([PreRuntime(BABE_ENGINE, bytes(content)), *others]))


def test_another_store_reaches_the_same_states(chain: Chain, tmp_path: Path) -> None:
    blocks = []
    for number in range(40):  # past an epoch of 30 slots, with a gap
        slot = FIRST_SLOT + number + (3 if number > 20 else 0)
        extrinsics = (chain.remark(number // 2),) if number % 2 else ()
        blocks.append(chain.build(slot, extrinsics))
        chain.clock.ms = slot * SLOT_MS
        chain.importer.import_foreign(*blocks[-1])
    other = Chain(tmp_path / "other", chain.clock)
    for header, body in blocks:
        assert other.importer.import_foreign(header, body) == header.hash()
        assert other.store.state_at(header.hash()).root({}) == header.state_root
    assert other.snapshot() == chain.snapshot()
    assert other.store.best_number == 40
    other.store.close()


async def test_a_known_block_is_not_imported_again(chain: Chain) -> None:
    block = chain.build(FIRST_SLOT)
    first = chain.importer.import_foreign(*block)
    notes = chain.feed.imports()
    assert chain.importer.import_foreign(*block) == first
    chain.feed.close()
    assert [note async for note in notes] == []
    assert chain.store.best == first


FLAWS: dict[str, tuple[Callable[[Block], Block], BlockFlaw]] = {
    "seal": (lambda block: (_flip_seal(block[0]), block[1]), BlockFlaw.BAD_SEAL),
    "no seal": (lambda block: (block[0].unsealed()[0], block[1]), BlockFlaw.BAD_SEAL),
    "another's seal": (
        lambda block: (block[0].unsealed()[0].sealed(seal(block[0].unsealed()[0], BOB)), block[1]),
        BlockFlaw.BAD_SEAL,
    ),
    "header changed under the seal": (
        lambda block: (replace(block[0], state_root=Hash(bytes(32))), block[1]),
        BlockFlaw.BAD_SEAL,
    ),
    "vrf output": (lambda block: (with_pre_digest(block[0], _flip(13)), block[1]), BlockFlaw.BAD_VRF),
    "vrf proof": (lambda block: (with_pre_digest(block[0], _flip(60)), block[1]), BlockFlaw.BAD_VRF),
    "slot of its parent": (
        lambda block: (with_pre_digest(block[0], _flip(5)), block[1]),
        BlockFlaw.SLOT_NOT_INCREASING,
    ),
    "slot of another proof": (
        lambda block: (with_pre_digest(block[0], _flip(5, 3)), block[1]),
        BlockFlaw.BAD_VRF,
    ),
    "authority that is none": (
        lambda block: (with_pre_digest(block[0], _flip(1)), block[1]),
        BlockFlaw.WRONG_AUTHOR,
    ),
    "cut pre-digest": (
        lambda block: (with_pre_digest(block[0], lambda content: content.__delitem__(-1)), block[1]),
        BlockFlaw.BAD_PRE_DIGEST,
    ),
    "no pre-digest": (
        lambda block: (sealed(block[0], digest=Digest([])), block[1]),
        BlockFlaw.BAD_PRE_DIGEST,
    ),
}


def _flip(position: int, bits: int = 1) -> Callable[[bytearray], None]:
    def flip(content: bytearray) -> None:
        content[position] ^= bits

    return flip


def _flip_seal(header: Header) -> Header:
    unsealed, found = header.unsealed()
    assert found is not None
    return unsealed.sealed(Seal(BABE_ENGINE, bytes([found._1[0] ^ 1]) + found._1[1:]))


def test_a_header_that_is_not_its_authors_is_refused(chain: Chain) -> None:
    chain.grow(FIRST_SLOT)
    chain.clock.ms += 2 * SLOT_MS
    block = chain.build(FIRST_SLOT + 1)
    before, found = chain.snapshot(), {}
    for name, (tamper, _) in FLAWS.items():
        with pytest.raises(InvalidBlock) as refused:
            chain.importer.import_foreign(*tamper(block))
        found[name] = refused.value.reason
        assert chain.snapshot() == before, name
    assert found == {name: flaw for name, (_, flaw) in FLAWS.items()}
    assert chain.importer.import_foreign(*block) == block[0].hash()  # the honest one is welcome


FAULTS: dict[str, tuple[Callable[[Block], Block], BlockFault]] = {
    "state root": (
        lambda block: (sealed(block[0], state_root=Hash(bytes(32))), block[1]),
        BlockFault.STATE_ROOT,
    ),
    "extrinsics root": (
        lambda block: (sealed(block[0], extrinsics_root=Hash(bytes(32))), block[1]),
        BlockFault.EXTRINSICS_ROOT,
    ),
    "number too high": (lambda block: (sealed(block[0], number=7), block[1]), BlockFault.NUMBER),
    "number too low": (lambda block: (sealed(block[0], number=1), block[1]), BlockFault.NUMBER),
    "extrinsic missing": (lambda block: (block[0], block[1][:-1]), BlockFault.EXTRINSICS_ROOT),
    "inherent missing": (lambda block: (block[0], block[1][1:]), BlockFault.INHERENT),
    "empty body": (lambda block: (block[0], []), BlockFault.INHERENT),
    "inherent twice": (lambda block: (block[0], [block[1][0], *block[1]]), BlockFault.INHERENT),
    "inherent last": (lambda block: (block[0], block[1][::-1]), BlockFault.INHERENT),
    "extrinsic twice": (lambda block: (block[0], [*block[1], block[1][1]]), BlockFault.REFUSED),
    "extrinsic changed": (
        lambda block: (block[0], [block[1][0], block[1][1][:-1] + b"!"]),
        BlockFault.REFUSED,
    ),
    "garbage": (lambda block: (block[0], [*block[1], b"\xff" * 40]), BlockFault.UNDECODABLE),
    "nothing": (lambda block: (block[0], [*block[1], b""]), BlockFault.UNDECODABLE),
    "foreign digest item": (
        lambda block: (
            sealed(block[0], digest=Digest([*block[0].unsealed()[0].digest.logs, Seal(b"FRNK", b"x")])),
            block[1],
        ),
        BlockFault.DIGEST,
    ),
}


def test_a_block_that_does_not_execute_as_it_says_is_refused(chain: Chain) -> None:
    chain.grow(FIRST_SLOT)
    chain.clock.ms += 2 * SLOT_MS
    block = chain.build(FIRST_SLOT + 1, (chain.remark(0),))
    before, found = chain.snapshot(), {}
    for name, (tamper, _) in FAULTS.items():
        with pytest.raises(BlockRejected) as refused:
            chain.importer.import_foreign(*tamper(block))
        found[name] = refused.value.fault
        assert chain.snapshot() == before, name
    assert found == {name: fault for name, (_, fault) in FAULTS.items()}
    assert chain.importer.import_foreign(*block) == block[0].hash()


def test_a_block_from_the_future_is_refused(chain: Chain) -> None:
    chain.grow(FIRST_SLOT)
    with pytest.raises(InvalidBlock) as refused:
        chain.importer.import_foreign(*chain.build(FIRST_SLOT + 5))
    assert refused.value.reason is BlockFlaw.SLOT_IN_FUTURE


def test_a_block_without_its_parent_is_refused(chain: Chain, tmp_path: Path) -> None:
    other = Chain(tmp_path / "other", chain.clock)
    other.grow(FIRST_SLOT)
    orphan = other.build(FIRST_SLOT + 1)
    other.store.close()
    with pytest.raises(UnknownBlock):
        chain.importer.import_foreign(*orphan)


def test_the_longer_fork_wins_and_a_tie_keeps_the_first(chain: Chain) -> None:
    chain.clock.ms += 10 * SLOT_MS
    root = chain.grow(FIRST_SLOT)
    first = chain.grow(FIRST_SLOT + 1, parent=root)
    second = chain.grow(FIRST_SLOT + 2, parent=root)
    assert chain.store.best == first
    assert sorted(chain.store.leaves()) == sorted([first, second])
    third = chain.grow(FIRST_SLOT + 3, parent=second)
    assert chain.store.best == third
    assert [chain.store.hash_at(number) for number in range(1, 4)] == [root, second, third]


async def test_a_reorganisation_names_what_leaves_and_joins(chain: Chain) -> None:
    chain.clock.ms += 10 * SLOT_MS
    root = chain.grow(FIRST_SLOT)
    left = chain.grow(FIRST_SLOT + 1, parent=root)
    notes = chain.feed.imports()
    right = chain.grow(FIRST_SLOT + 2, parent=root)
    head = chain.grow(FIRST_SLOT + 3, parent=right)
    chain.feed.close()
    seen = [(note.hash, note.is_new_best, note.retracted, note.enacted) async for note in notes]
    assert seen == [(right, False, (), ()), (head, True, (left,), (right, head))]


async def test_finality_of_another_fork_names_what_leaves_and_joins(
    chain: Chain,
) -> None:
    """The abandoned blocks are gone from the store, and their transactions must find a block again."""
    chain.clock.ms += 10 * SLOT_MS
    root = chain.grow(FIRST_SLOT)
    right = chain.grow(FIRST_SLOT + 1, parent=root)
    above = chain.grow(FIRST_SLOT + 2, parent=right)
    left = chain.grow(FIRST_SLOT + 3, parent=root)
    lost = chain.grow(FIRST_SLOT + 4, parent=left)
    best = chain.grow(FIRST_SLOT + 5, parent=lost)
    bodies = [(block, chain.store.body(block)) for block in (left, lost, best)]
    assert chain.store.best == best
    notes = chain.feed.finality()
    header = chain.store.header(right)
    assert header is not None
    assert chain.importer.finalize(right, justified(header, 1).encode()) == [root, right]
    chain.feed.close()
    seen = [(note.finalized, list(note.retracted), note.enacted) async for note in notes]
    assert seen == [((root, right), bodies, (right, above))]
    assert (chain.store.best, chain.store.header(lost)) == (above, None)


def test_recovery_executes_unfinalised_blocks_whatever_the_clock_says(tmp_path: Path) -> None:
    first = Chain(tmp_path / "chain")
    blocks = [first.grow(FIRST_SLOT + number) for number in range(3)]
    roots = [first.store.state_at(block).root({}) for block in blocks]
    first.store.close()
    again = Chain(tmp_path / "chain", TurnedClock(ms=1_000))  # set back by decades
    assert again.importer.recover() == 3
    assert [again.store.state_at(block).root({}) for block in blocks] == roots
    assert again.importer.recover() == 0
    again.store.close()
