"""Who signs twice is reported: once, by each node that saw it, and by none for its own keys."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.common.errors import SubmitError
from chain.keys.pair import Keypair
from chain.service.reports import Reports
from chain.service.tip import Tip
from chain.txpool.pool import Pool
from runtime.pallets.offences import Offence
from runtime.primitives.grandpa import EquivocationProof, Precommit, SignedMessage, localized_payload
from runtime.primitives.types import Hash
from runtime.primitives.validity import TransactionSource
from runtime.runtime import AssayRuntime
from tests.chain.chains import ALICE, BOB, FIRST_SLOT, Chain

EPOCH = 30
"""slots"""


class Observer:
    """A chain with a pool and reports, wired as a node does it."""

    def __init__(self, chain: Chain, *own: Keypair) -> None:
        self.chain = chain
        tip = Tip(chain.store, chain.executor, lambda *_: Hash(bytes(32)), lambda: False)
        self.pool = Pool(tip.validate, chain.clock.monotonic)
        owned = {pair.public for pair in own}
        self.reports = Reports(chain.store, chain.executor, self.pool.submit, owned.__contains__)
        chain.feed.listen(self._imported, lambda note: None)

    def _imported(self, note: Any) -> None:
        retracted = [(block, self.chain.store.body(block) or []) for block in note.retracted]
        for block in note.enacted:
            self.pool.on_imported(block, self.chain.store.body(block) or [], retracted)
            retracted = []
        self.reports.imported(note)

    async def waiting(self) -> list[bytes]:
        """Let the reports be made and return what waits in the pool."""
        running = asyncio.create_task(self.reports.run())
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
        return self.pool.ready()

    def happened(self) -> list[Any]:
        """Return the offences the best block tells."""
        runtime = AssayRuntime.reading(self.chain.store.state_at(self.chain.store.best))
        events = [record.event for record in runtime.system.events.get()]
        return [event for event in events if isinstance(event, Offence)]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    """A chain of two blocks."""
    made = Chain(tmp_path / "chain")
    made.grow(FIRST_SLOT)
    made.grow(FIRST_SLOT + 1)
    yield made
    made.store.close()


def twins(chain: Chain, slot: int, parent: Hash | None = None) -> list[Hash]:
    """Import two blocks of one slot."""
    parent = parent or chain.store.best
    return [chain.grow(slot, extrinsics, parent) for extrinsics in ((), (chain.remark(0),))]


def votes_of(voter: Keypair, round_: int = 5, set_id: int = 0) -> EquivocationProof:
    """Return the proof that a voter voted twice."""
    votes = []
    for target in (Precommit(Hash(bytes(32)), 1), Precommit(Hash(b"\1" * 32), 1)):
        signature = voter.sign(localized_payload(target, round_, set_id))
        votes.append(SignedMessage(target, signature, voter.public))
    return EquivocationProof.of(set_id, round_, *votes)


async def test_two_blocks_of_one_slot_are_reported_once_and_the_pool_forgets_it_then(chain: Chain) -> None:
    observer, slot = Observer(chain), FIRST_SLOT + 2
    twins(chain, slot)
    assert chain.store.best_number == 3, "blocks that equivocate are imported"
    (report,) = await observer.waiting()
    assert observer.pool.propagated() == [], "each node makes its own"
    chain.grow(slot + 1, (report,))
    assert observer.happened() == [Offence(b"babe:equivocatio", slot.to_bytes(8, "little"))]
    chain.grow(slot + 2)
    twins(chain, slot + 3)
    assert len(await observer.waiting()) == 1, "the next deed; the first is neither there nor made again"


async def test_a_third_block_of_the_slot_adds_nothing(chain: Chain) -> None:
    observer, parent = Observer(chain), chain.store.best
    twins(chain, FIRST_SLOT + 2, parent)
    first = await observer.waiting()
    chain.grow(FIRST_SLOT + 2, (chain.remark(0, b"third"),), parent)
    assert await observer.waiting() == first
    assert len(first) == 1


async def test_every_node_reports_and_the_chain_takes_one(chain: Chain, tmp_path: Path) -> None:
    other = Chain(tmp_path / "other", chain.clock)
    observers = [Observer(chain), Observer(other)]
    blocks = [chain.store.hash_at(number) for number in (1, 2)] + twins(chain, FIRST_SLOT + 2)
    for block in [*blocks[:2], *reversed(blocks[2:])]:
        assert block is not None
        header = chain.store.header(block)
        assert header is not None
        other.importer.import_foreign(header, chain.store.body(block) or [])
    (one,), (two,) = [await observer.waiting() for observer in observers]
    assert one != two, "the headers came in another order"
    winner = chain.store.best
    header, body = chain.build(FIRST_SLOT + 3, (one,), winner)
    chain.clock.ms += 10_000
    for each in (chain, other):
        each.importer.import_foreign(header, body)
    for observer in observers:
        assert not {one, two} & set(await observer.waiting())
    with pytest.raises(SubmitError, match="outdated"):
        observers[0].pool.submit(two, TransactionSource.Local)
    other.store.close()


async def test_a_restart_forgets_no_block_that_is_not_final(chain: Chain) -> None:
    first, second = (chain.build(FIRST_SLOT + 2, extrinsics) for extrinsics in ((), (chain.remark(0),)))
    chain.clock.ms += 10_000
    chain.importer.import_foreign(*first)
    observer = Observer(chain)
    chain.importer.import_foreign(*second)
    assert len(await observer.waiting()) == 1


async def test_no_node_accuses_its_own_key_but_its_operator_learns_it(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(chain, ALICE)
    twins(chain, FIRST_SLOT + 2)
    observer.reports.voted_twice(votes_of(ALICE))
    assert await observer.waiting() == []
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all("this node's own key" in error for error in errors)


async def test_two_votes_of_one_round_are_reported_once(chain: Chain) -> None:
    observer = Observer(chain)
    for _ in range(3):
        observer.reports.voted_twice(votes_of(ALICE))
    (report,) = await observer.waiting()
    observer.reports.voted_twice(votes_of(ALICE, 6))
    assert len(await observer.waiting()) == 2
    chain.grow(FIRST_SLOT + 2, (report,))
    time_slot = (0).to_bytes(8, "little") + (5).to_bytes(8, "little")
    assert observer.happened() == [Offence(b"grandpa:equivoca", time_slot)]


@pytest.mark.parametrize(
    "proof", [votes_of(BOB), votes_of(ALICE, set_id=7)], ids=["a stranger", "another set"]
)
async def test_votes_that_count_nowhere_are_not_reported(
    chain: Chain, proof: EquivocationProof, caplog: pytest.LogCaptureFixture
) -> None:
    observer = Observer(chain)
    observer.reports.voted_twice(proof)
    assert await observer.waiting() == []
    assert "no state shows whose the key was" in caplog.text


async def test_a_deed_of_a_session_the_best_chain_has_not_reached_waits_for_it(chain: Chain) -> None:
    observer, fork = Observer(chain), chain.store.hash_at(1)
    assert fork is not None
    chain.grow(FIRST_SLOT + 2)
    chain.grow(FIRST_SLOT + 3)
    best = chain.store.best
    twins(chain, FIRST_SLOT + EPOCH, fork)
    assert chain.store.best == best
    assert await observer.waiting() == []
    chain.grow(FIRST_SLOT + EPOCH + 1)
    (report,) = await observer.waiting()
    chain.grow(FIRST_SLOT + EPOCH + 2, (report,))
    assert len(observer.happened()) == 1


async def test_forks_may_count_sessions_differently(chain: Chain) -> None:
    """One twin lies on a fork that skipped an epoch: there its slot is of an earlier session."""
    observer, fork, slot = Observer(chain), chain.store.best, FIRST_SLOT + 2 * EPOCH
    for number in (1, 2, 3):
        chain.grow(FIRST_SLOT + number * EPOCH)
    best = chain.store.best
    chain.grow(slot, (), fork)
    assert chain.store.best == best
    (report,) = await observer.waiting()
    chain.grow(FIRST_SLOT + 3 * EPOCH + 1, (report,))
    assert observer.happened() == [Offence(b"babe:equivocatio", slot.to_bytes(8, "little"))]


async def test_clients_cannot_submit_the_report(chain: Chain) -> None:
    observer = Observer(chain)
    twins(chain, FIRST_SLOT + 2)
    (report,) = await observer.waiting()
    assert Observer(chain).pool.ready() == []
    with pytest.raises(SubmitError) as refused:
        Observer(chain).pool.submit(report)
    assert (refused.value.code, refused.value.message, refused.value.data) == (
        1010,
        "Invalid Transaction",
        "Transaction call is not expected",
    )


async def test_what_a_lost_fork_held_comes_back_into_the_pool(chain: Chain) -> None:
    """A report may have been in a block that the best chain leaves: then it is due again."""
    observer = Observer(chain)
    twins(chain, FIRST_SLOT + 2)
    (report,) = await observer.waiting()
    left, parent = chain.grow(FIRST_SLOT + 3, (report,)), chain.store.best
    assert observer.pool.ready() == []
    header = chain.store.header(parent)
    assert header is not None
    for slot in (4, 5):
        parent = chain.grow(FIRST_SLOT + slot, (), header.parent_hash if slot == 4 else parent)
    assert chain.store.best == parent
    assert left not in (parent, header.parent_hash)
    assert observer.pool.ready() == [report]


def test_the_executor_asks_whose_a_key_is(chain: Chain) -> None:
    state = chain.store.state_at(chain.store.best)
    owned = chain.executor.key_ownership(state, "Grandpa", 0, ALICE.public)
    assert owned is not None
    assert (owned.session, owned.validator_count) == (0, 1)
    assert chain.executor.key_ownership(state, "Grandpa", 0, BOB.public) is None
