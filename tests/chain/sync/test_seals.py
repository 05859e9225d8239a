"""An author that seals block after block for one slot: two are executed, the others once it takes them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.common.errors import ExcessBlock
from chain.common.faults import Fault
from chain.consensus.slots import claim, seal
from chain.network.messages import BLOCK_ANNOUNCE, BlockAnnounce, Channel
from chain.node import Node
from chain.sync.seals import EXECUTED, REMEMBERED, Seals
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import Hash
from tests.chain.chains import BOB, FIRST_SLOT, Chain
from tests.chain.network.lab import Lab, Scripted, play, status_of
from tests.sim.genesis import SLOT_MS, session_pair

Block = tuple[Header, list[bytes]]
SLOT = FIRST_SLOT + 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_the_first_two_of_an_author_and_slot_count_and_no_others(met: list[tuple[int, int]]) -> None:
    seals, counted = Seals(), dict[int, list[int]]()
    for slot, salt in met:
        known = counted.setdefault(slot, [])
        if salt not in known and len(known) < EXECUTED:
            known.append(salt)
        assert seals.admit(b"author", slot, Hash(bytes([salt]) * 32)) == (salt in known)


def test_the_slots_that_are_named_are_remembered() -> None:
    seals = Seals()
    blocks = [Hash(bytes([salt]) * 32) for salt in range(3)]
    for slot in range(REMEMBERED):
        assert [seals.admit(b"author", slot, block) for block in blocks] == [True, True, False]
    assert not seals.admit(b"author", 0, blocks[2])
    assert seals.admit(b"other", 1, blocks[2])  # and the one named longest ago is forgotten
    assert seals.admit(b"author", 1, blocks[2])


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[tuple[Chain, Chain]]:
    """A chain whose author makes whatever is asked for, and one that is to import it."""
    made = Chain(tmp_path / "source"), Chain(tmp_path / "victim")
    first = made[0].build(FIRST_SLOT)
    for chain in made:
        chain.clock.ms = (SLOT + 20) * 2_000
        chain.importer.import_foreign(*first)
    yield made
    for chain in made:
        chain.store.close()


def several(source: Chain, slot: int, count: int, parent: Hash | None = None) -> list[Block]:
    """Return blocks of one slot, which the source has all."""
    remarks = [source.remark(0, bytes([number])) for number in range(count)]
    blocks = [source.build(slot, (remark,), parent) for remark in remarks]
    for block in blocks:
        source.importer.import_foreign(*block)
    return blocks


def test_a_third_block_of_a_slot_is_executed_once_a_block_that_counts_is_built_on_it(
    chains: tuple[Chain, Chain],
) -> None:
    source, victim = chains
    blocks = several(source, SLOT, 5, source.store.best)
    for block in blocks[:2]:
        victim.importer.import_foreign(*block, ())
    third, fourth, fifth = blocks[2:]
    before = victim.snapshot()
    with pytest.raises(ExcessBlock):
        victim.importer.import_foreign(*third, ())
    assert victim.snapshot() == before
    child = source.build(SLOT + 1, (), third[0].hash())
    source.importer.import_foreign(*child)
    foreign = child[0].unsealed()[0]
    wrong = {
        "another's": (blocks[0][0],),
        "of a block that was left out": (source.build(SLOT + 2, (), child[0].hash())[0],),
        "sealed by somebody else": (foreign.sealed(seal(foreign, BOB)),),
    }
    for above in wrong.values():
        with pytest.raises(ExcessBlock):
            victim.importer.import_foreign(*third, above)
    assert victim.snapshot() == before
    assert victim.importer.import_foreign(*third, (child[0],)) == third[0].hash()
    assert victim.importer.import_foreign(*child, ()) == child[0].hash()
    assert victim.store.best == child[0].hash()
    # Its author may build on all of them: two of those count, and the blocks they are built on.
    above = [source.build(SLOT + 1, (), block[0].hash()) for block in (fourth, fifth)]
    victim.importer.import_foreign(*fourth, (above[0][0],))
    with pytest.raises(ExcessBlock):
        victim.importer.import_foreign(*fifth, (above[1][0],))
    source.importer.import_foreign(*above[1])
    last = source.build(SLOT + 2, (), above[1][0].hash())
    for block, rest in ((fifth, (above[1][0], last[0])), (above[1], (last[0],)), (last, ())):
        victim.importer.import_foreign(*block, rest)
    assert victim.store.header(last[0].hash()) is not None


def test_a_child_in_the_next_epoch_counts_too(chains: tuple[Chain, Chain]) -> None:
    source, victim = chains
    blocks = several(source, SLOT, 3, source.store.best)
    for block in blocks[:2]:
        victim.importer.import_foreign(*block, ())
    for chain in chains:
        chain.clock.ms = (FIRST_SLOT + 40) * 2_000
    child = source.build(FIRST_SLOT + 31, (), blocks[2][0].hash())
    for block, rest in ((blocks[2], (child[0],)), (child, ())):
        victim.importer.import_foreign(*block, rest)
    assert victim.store.best == child[0].hash()


def sealed_blocks(node: Node, count: int) -> list[Block] | None:
    """Return blocks of v3 for the slot that begins now, on the best block; None where it is not its turn."""
    pair, parent, slot = session_pair("v3"), node.tip.parent(), node.clock.wall_ms() // SLOT_MS
    ours = None if slot <= parent.slot else claim(pair, slot, node.tip.epoch(parent, slot))
    if ours is None:
        return None
    blocks = []
    for number in range(count):
        execution = node.tip.open_block(parent, parent.header.number + 1, Digest([ours]))
        body = execution.inherents({"timestamp": slot * SLOT_MS + number})
        for inherent in body:
            execution.apply(inherent)
        unsealed = execution.finish().header
        blocks.append((unsealed.sealed(seal(unsealed, pair)), body))
    return blocks


def executed(node: Node, blocks: list[Block]) -> list[int]:
    """Return which of these blocks a node has, and so has executed."""
    return [place for place, block in enumerate(blocks) if node.store.header(block[0].hash()) is not None]


async def all_final(lab: Lab, nodes: list[Node], height: int) -> None:
    """Wait until a height is final everywhere, on one chain."""
    await lab.until(lambda: all(node.store.finalized_number >= height for node in nodes), 60)
    assert len({node.store.hash_at(height) for node in nodes}) == 1


def test_whose_author_seals_ten_blocks_for_a_slot_others_go_on_with_one_chain() -> None:
    """Each node is told of other ones first, and of all: two are executed, and those that others vote for."""

    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate("abc")]
        await all_final(lab, nodes, 2)
        traitor = Scripted(lab, "x", nodes[0].store, status_of(nodes[0]))
        await lab.until(lambda: all("x" in node.network.peers() for node in nodes))
        await lab.until(lambda: sealed_blocks(nodes[0], 1) is not None)
        found = sealed_blocks(nodes[0], 10) or []
        for place, name in enumerate("abc"):
            for header, body in found[3 * place :] + found[: 3 * place]:
                message = BLOCK_ANNOUNCE.encode(BlockAnnounce(header, True, body))
                traitor.say(name, Channel.ANNOUNCES, message)
        await asyncio.sleep(0.3)
        counts = [executed(node, found) for node in nodes]
        assert counts == [[0, 1], [3, 4], [6, 7]]
        await asyncio.sleep(1.2)
        assert max(len(executed(node, found)) for node in nodes) <= EXECUTED + 2
        await all_final(lab, nodes, found[0][0].number + 3)
        assert lab.network.drops == []
        assert lab.cost("a", "x") > 4 * Fault.EXCESS_BLOCK.cost
        for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
            assert lab.cost(name, other) <= 2 * Fault.EXCESS_BLOCK.cost, "an honest node pays little"

    play(script, ("a", "b", "c", "x"), validators=4)
