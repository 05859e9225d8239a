"""The hashes below a checkpoint come whole and right, whoever is asked, whenever the power fails."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.checkpoints import Checkpoint, CheckpointError, Checkpoints
from chain.common.block_data import BlockData, Fields
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.storage.backbone import PART, BackboneRecord
from chain.sync.backbone import Backbone
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash
from tests.chain.sync.test_ascent import LoopClock
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Killed, Life
from tests.sim.loop import VirtualLoop

LENGTH = 2 * PART + 300


def grow(salt: int) -> list[Header]:
    """Return a chain from genesis on."""
    chain = [Header(ZERO_HASH, 0, Hash(bytes([salt]) * 32), ZERO_HASH, Digest([]))]
    for number in range(1, LENGTH + 1):
        chain.append(Header(chain[-1].hash(), number, ZERO_HASH, ZERO_HASH, Digest([])))
    return chain


CHAIN = grow(0)
HASHES = [header.hash() for header in CHAIN]
PLACES = {block: number for number, block in enumerate(HASHES)}
OTHER = grow(1)


@dataclass
class Peers:
    """Peers with the chain, and some that answer otherwise. Satisfies chain.sync.backbone.Peers."""

    kinds: dict[str, str]
    blamed: list[tuple[str, Fault]] = field(default_factory=list)

    def finals(self) -> dict[str, int]:
        return dict.fromkeys(self.kinds, LENGTH)

    claims = finals

    def has_from(self, peer: str, number: int) -> bool:
        return self.kinds[peer] != "gapped"

    def thank(self, peer: str) -> None:
        """Do nothing."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        self.blamed.append((peer, reason))

    async def blocks(
        self, peer: str, start: Hash | int, count: int, fields: Fields, *, descending: bool = False
    ) -> list[BlockData] | None:
        await asyncio.sleep(0.05)
        assert isinstance(start, bytes)
        assert descending
        if self.kinds[peer] == "silent":
            return None
        if self.kinds[peer] in ("empty", "gapped"):
            return []
        chain = OTHER if self.kinds[peer] == "other" else CHAIN
        top = PLACES[Hash(start)]
        headers = chain[max(0, top - count + 1) : top + 1][::-1]
        if self.kinds[peer] == "mixed up":
            headers[3:5] = headers[4:2:-1]
        return [BlockData(header, None, None) for header in headers]


@dataclass
class Store:
    """A chain that has come so far."""

    finalized_number: int = 0
    chain: list[Header] = field(default_factory=lambda: CHAIN)

    @property
    def finalized(self) -> Hash:
        return self.chain[self.finalized_number].hash()


def run(record: BackboneRecord, peers: Peers, store: Store, number: int = LENGTH) -> None:
    """Go down to the end."""

    async def script() -> None:
        async with asyncio.timeout(600):
            await Backbone(Checkpoint(number, HASHES[LENGTH], 1), store, record, peers, LoopClock()).run()

    VirtualLoop().run(script())


def test_every_height_below_is_known_and_liars_pay() -> None:
    record = BackboneRecord(MemoryDatabase(Tables(), Life()))
    peers = Peers({"a": "honest", "b": "other", "c": "mixed up", "d": "empty", "e": "silent", "f": "gapped"})
    run(record, peers, Store())
    assert [record.hash_at(number) for number in range(1, LENGTH + 1)] == HASHES[1:]
    assert record.hash_at(LENGTH + 1) is None
    wrong = {("b", Fault.WRONG_BLOCKS), ("c", Fault.WRONG_BLOCKS), ("d", Fault.USELESS)}
    assert set(peers.blamed) == wrong
    checkpoints = Checkpoints([Checkpoint(LENGTH, HASHES[LENGTH], 1)])
    assert not checkpoints.contradict(5, OTHER[5].hash())
    checkpoints.follow(record.hash_at)
    assert checkpoints.contradict(5, OTHER[5].hash())
    assert not checkpoints.contradict(5, HASHES[5])
    assert not checkpoints.contradict(LENGTH + 1, OTHER[5].hash())


def test_a_kill_at_any_write_costs_nothing() -> None:
    tables, lowest, peers = Tables(), list[int](), Peers({"a": "honest"})
    for attempt in range(100):
        try:
            life = Life(fatal=3, torn=bool(attempt % 2))
            run(BackboneRecord(MemoryDatabase(tables, life)), peers, Store())
        except Killed:
            standing = BackboneRecord(MemoryDatabase(tables, Life())).standing
            assert standing is not None
            lowest.append(standing.lowest)
            continue
        break
    record = BackboneRecord(MemoryDatabase(tables, Life()))
    assert lowest == sorted(set(lowest), reverse=True)
    assert len(lowest) > 3
    assert [record.hash_at(number) for number in range(1, LENGTH + 1)] == HASHES[1:]
    record.clear()
    assert (record.standing, record.hash_at(5)) == (None, None)
    assert BackboneRecord(MemoryDatabase(tables, Life())).standing is None


def test_it_ends_at_what_is_final_here() -> None:
    record = BackboneRecord(MemoryDatabase(Tables(), Life()))
    run(record, Peers({"a": "honest"}), Store(2_000))
    assert record.hash_at(2_000) is None
    assert record.hash_at(2_001) == HASHES[2_001]


def test_a_checkpoint_of_another_chain_ends_the_node() -> None:
    record = BackboneRecord(MemoryDatabase(Tables(), Life()))
    with pytest.raises(SyncRefused, match=r"belongs to another chain than the one here"):
        run(record, Peers({"a": "honest"}), Store(2_000, OTHER))


def test_a_checkpoint_of_another_height_ends_the_node() -> None:
    record = BackboneRecord(MemoryDatabase(Tables(), Life()))
    with pytest.raises(SyncRefused, match="take it as `assay checkpoint` prints it"):
        run(record, Peers({"a": "honest"}), Store(), LENGTH - 1)


@given(st.integers(1, 2**32 - 1), st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_a_checkpoint_is_read_as_it_is_written(number: int, block: bytes, set_id: int) -> None:
    checkpoint = Checkpoint(number, Hash(block), set_id)
    assert Checkpoint.parse(str(checkpoint)) == checkpoint
    assert Checkpoint.from_json(checkpoint.to_json()) == checkpoint


BLOCK = "0x" + "11" * 32
NO_CHECKPOINTS = (
    "", "5", "5:0x11:1", f"0:{BLOCK}:1", f"{2**32}:{BLOCK}:1", f"5:{BLOCK}:{2**64}", f"-5:{BLOCK}:1",
    f"5:{BLOCK[2:]}:1", f"5:0x{'1g' * 32}:1", f"5:{BLOCK}:1:2", f"٣:{BLOCK}:1",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused_with_a_line(text: str) -> None:
    with pytest.raises(CheckpointError, match="must be NUMBER:0xHASH:SETID"):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "listed", [None, [], 5, {"number": 5}, {"number": 5, "hash": "0x", "setId": 1, "x": 1}]
)
def test_what_a_specification_must_not_list_is_refused_with_a_line(listed: object) -> None:
    with pytest.raises(CheckpointError, match="must have number, hash and setId"):
        Checkpoint.from_json(listed)


def test_two_that_contradict_each_other_are_refused() -> None:
    one, other = Checkpoint(5, HASHES[5], 1), Checkpoint(5, HASHES[6], 1)
    with pytest.raises(CheckpointError, match="two checkpoints contradict each other"):
        Checkpoints([one, other])
    assert Checkpoints([one, one, Checkpoint(7, HASHES[7], 2)]).newest == Checkpoint(7, HASHES[7], 2)
