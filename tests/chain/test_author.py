"""Authoring on a clock that a test turns: never twice in a slot, never in a slot that is over."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.common.errors import StorageError
from chain.consensus.author import Author, Parent
from chain.consensus.clock_watch import ClockWatch
from chain.consensus.guard import Guard
from chain.consensus.guard_records import SlotRecord
from chain.consensus.slots import Epoch, pre_digest_slot
from chain.env_real import RealDisk
from runtime.frame.executive import Execution
from runtime.frame.state import Changes
from runtime.frame.testing import MemoryState
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import u32
from runtime.primitives.types import BlockNumber, Hash
from runtime.runtime import EXECUTIVE, AssayRuntime
from tests.chain.chains import ALICE, FIRST_SLOT, SLOT_MS, Chain, Waiting, justified


class Authored:
    """What an author sees of a chain; ends the test's wait once enough blocks are there."""

    def __init__(self, chain: Chain, wanted: int) -> None:
        self.chain = chain
        self.wanted = wanted
        self.done = asyncio.Event()
        self.late_ms = 0  # how long whatever comes before building takes
        self.asked = 0
        self.asked_often = asyncio.Event()

    def parent(self) -> Parent:
        """Return the best block."""
        header = self.chain.store.header(self.chain.store.best)
        assert header is not None
        slot = pre_digest_slot(header) if header.number else 0
        return Parent(header, slot, header.number - self.chain.store.finalized_number)

    def hears(self) -> bool:
        """Say that there is nobody else."""
        return True

    def epoch(self, parent: Parent, slot: int) -> Epoch:
        """Return the epoch, after a while."""
        self.chain.clock.ms += self.late_ms
        self.asked += 1
        if self.asked == 4:
            self.asked_often.set()
        state = self.chain.store.state_at(parent.header.hash())
        return self.chain.executor.epoch(state, parent.header.number, slot)

    def open_block(self, parent: Parent, number: BlockNumber, digest: Digest) -> Execution:
        """Start a block; that takes a while too."""
        block = parent.header.hash()
        self.chain.clock.ms += 30
        return self.chain.executor.open(self.chain.store.state_at(block), number, block, digest)

    def justification(self) -> bytes | None:
        """Return the proof of the newest finality."""
        return self.chain.store.justification(self.chain.store.finalized)

    def accept(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        """Import a block through the door for foreign ones, which believes nothing."""
        block = self.chain.importer.import_foreign(header, body)
        if self.chain.store.best_number >= self.wanted:
            self.done.set()
        return block


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A chain at block 0."""
    made = Chain(tmp_path / "chain")
    yield made
    made.store.close()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guard that knows Alice."""
    made = Guard.open(RealDisk(tmp_path / "guard"))
    made.admit_author(ALICE.public)
    yield made
    made.close()


def author_of(authored: Authored, guard: Guard, pool: Waiting) -> Author:
    """Return an author with Alice's key."""
    clock = authored.chain.clock
    watch = ClockWatch(clock, SLOT_MS)
    return Author(authored, pool, [ALICE], guard, clock, watch, SLOT_MS, lambda seconds, count, ended: None)


async def run_until_done(author: Author, done: asyncio.Event) -> None:
    """Let an author work."""
    running = asyncio.create_task(author.run())
    try:
        async with asyncio.timeout(60):
            waiting = asyncio.create_task(done.wait())
            await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            await running
    finally:
        running.cancel()


async def test_one_block_per_slot_with_what_waits(chain: Chain, guard: Guard) -> None:
    authored = Authored(chain, wanted=3)
    good, stale = chain.remark(0), chain.remark(5)
    pool = Waiting(good, stale)
    await run_until_done(author_of(authored, guard, pool), authored.done)
    headers = [chain.store.header(chain.store.hash_at(number) or Hash(bytes(32))) for number in (1, 2, 3)]
    slots = [pre_digest_slot(header) for header in headers if header]
    assert slots == [slots[0], slots[0] + 1, slots[0] + 2]
    assert slots[0] == FIRST_SLOT + 1
    first = chain.store.body(chain.store.hash_at(1) or Hash(bytes(32)))
    assert first is not None
    assert first[1:] == [good]
    assert Hash(blake2_256(stale)) in pool.reported


async def test_the_next_block_notes_what_has_become_final(chain: Chain, guard: Guard) -> None:
    authored = Authored(chain, wanted=2)
    await run_until_done(author_of(authored, guard, Waiting()), authored.done)
    final = chain.store.hash_at(1) or Hash(bytes(32))
    header = chain.store.header(final)
    assert header is not None
    proof = justified(header, 1)
    chain.importer.finalize(final, proof.encode())
    head = chain.store.best_number
    again = Authored(chain, wanted=head + 2)
    await run_until_done(author_of(again, guard, Waiting()), again.done)
    hashes = [chain.store.hash_at(number) or final for number in (head + 1, head + 2)]
    first, second = (chain.store.body(block) or [] for block in hashes)
    note = EXECUTIVE.format.bare(AssayRuntime.call("Grandpa", "note_finality", proof))
    assert first[1:] == [note]
    assert len(second) == 1


async def test_a_slot_that_passes_before_building_is_missed(
    chain: Chain, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    authored = Authored(chain, wanted=1)
    authored.late_ms = SLOT_MS + 1
    caplog.set_level(logging.WARNING)
    running = asyncio.create_task(author_of(authored, guard, Waiting()).run())
    async with asyncio.timeout(60):
        await authored.asked_often.wait()
    assert chain.store.best_number == 0
    assert caplog.messages[0] == (f"slot {FIRST_SLOT + 1} is missed: it was over before building could begin")
    authored.late_ms = 0
    async with asyncio.timeout(60):
        await authored.done.wait()  # and then it goes on
    running.cancel()


async def test_a_clock_set_back_never_seals_a_slot_again(chain: Chain, guard: Guard) -> None:
    authored = Authored(chain, wanted=2)
    await run_until_done(author_of(authored, guard, Waiting()), authored.done)
    sealed = guard.last_slot(ALICE.public)
    assert sealed is not None
    chain.clock.ms -= 10 * SLOT_MS  # a restart finds the clock in the past
    again = Authored(chain, wanted=3)
    await run_until_done(author_of(again, guard, Waiting()), again.done)
    head = chain.store.header(chain.store.best)
    assert head is not None
    assert pre_digest_slot(head) > sealed.slot


async def test_the_guards_refusal_skips_the_slot(
    chain: Chain, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    guard.sign_seal(ALICE, FIRST_SLOT + 2, Hash(bytes(32)))  # some other block of slot 2 is sealed already
    authored = Authored(chain, wanted=1)
    await run_until_done(author_of(authored, guard, Waiting()), authored.done)
    first = chain.store.header(chain.store.hash_at(1) or Hash(bytes(32)))
    assert first is not None
    assert pre_digest_slot(first) == FIRST_SLOT + 3
    refusals = [message for message in caplog.messages if "is not sealed" in message]
    assert len(refusals) == 2


async def test_a_disabled_validator_goes_on_and_says_why(
    tmp_path: Path, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    disabled = AssayRuntime.reading(MemoryState()).session.disabled_validators.key
    chain = Chain(tmp_path / "chain", also={disabled: codec(list[u32]).encode([0])})
    authored = Authored(chain, wanted=1)
    running = asyncio.create_task(author_of(authored, guard, Waiting()).run())
    async with asyncio.timeout(60):
        await authored.asked_often.wait()
    assert not running.done()
    running.cancel()
    said = f"slot {FIRST_SLOT + 1} is not authored: authority 0 is disabled and must not author"
    assert next(message for message in caplog.messages if "authored" in message) == said
    assert guard.last_slot(ALICE.public) == SlotRecord()
    chain.store.close()


class Unplugged(Waiting):
    """A queue whose transaction comes just after the disk has gone."""

    def __init__(self, chain: Chain, extrinsic: bytes) -> None:
        super().__init__(extrinsic)
        self.chain = chain

    def best_first(self) -> Iterator[tuple[Hash, bytes]]:
        """Take the disk away, then yield what waits."""
        self.chain.store.close()
        yield from super().best_first()


async def test_a_storage_failure_stops_the_author(chain: Chain, guard: Guard) -> None:
    pool = Unplugged(chain, chain.remark(0))
    author = author_of(Authored(chain, wanted=1), guard, pool)
    with pytest.raises(StorageError, match="the database is closed"):
        async with asyncio.timeout(60):
            await author.run()
    assert pool.reported == []
