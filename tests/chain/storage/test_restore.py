"""A chain that begins with the state of a later block: whole or not at all, whenever the power goes."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.common.errors import StateDiscarded, StorageError
from chain.storage.gap import Filled
from chain.storage.pruning import Pruning
from chain.storage.range_proof import verify_range
from chain.storage.restore import WHOLE, Restoration, Span, without
from chain.storage.store import ChainStore
from runtime.primitives.grandpa import CONSENSUS_LOG, Change, ScheduledChange, changes_voters
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.trie import trie_root
from runtime.primitives.types import Hash
from tests.chain.storage.model import GENESIS, Chain, Flat, random_changes
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Killed, Life

TARGET, LENGTH = 12, 20
"""heights: of the block that is restored, and of the chain"""
CHANGES = (4, 9)
"""heights at which voters change"""
FINAL = 16
NEW_VOTERS = Consensus(GRANDPA_ENGINE, CONSENSUS_LOG.encode(ScheduledChange(Change([(bytes(32), 1)], 0))))


@contextmanager
def grown(path: Path) -> Iterator[Chain]:
    """Yield a chain of some blocks, the upper ones not final."""
    chain, rng = Chain(path, states=Pruning.parse("archive-canonical")), random.Random(1)
    parent = chain.store.genesis_hash
    for number in range(1, LENGTH + 1):
        wide = {rng.randbytes(rng.randrange(1, 5)): rng.randbytes(rng.choice([3, 33])) for _ in range(12)}
        logs = (NEW_VOTERS,) if number in CHANGES else ()
        parent = chain.add(parent, {**random_changes(rng), **wide}, logs=logs)
        if number in CHANGES:
            chain.store.finalize(parent, b"proof %d" % number)
    final = chain.store.hash_at(FINAL)
    assert final is not None
    chain.store.finalize(final, b"proof %d" % FINAL)
    yield chain
    chain.store.close()


def header_at(store: ChainStore, number: int) -> Header:
    block = store.hash_at(number)
    header = None if block is None else store.header(block)
    assert header is not None
    return header


def fetch(source: ChainStore, restoration: Restoration, rng: random.Random) -> None:
    """Put proven ranges of the source's state, in any order, until nothing is missing."""
    target = restoration.target
    state = source.state_at(target.hash())
    while restoration.missing:
        span = rng.choice(restoration.missing)
        start = max(span.start, rng.choice([b"", rng.randbytes(1)]))
        if span.end is not None and start >= span.end:
            start = span.start
        found = state.prove_range(start, rng.choice([0, 100, 400]), span.end)
        verify_range(target.state_root, start, found)
        until = None if found.is_complete else found.entries[-1][0] + b"\x00"
        restoration.put(start, found.entries, until)


def proven(source: ChainStore) -> list[tuple[Header, bytes]]:
    headers = [header_at(source, number) for number in CHANGES]
    return [(header, b"proof %d" % header.number) for header in headers]


def restored(source: ChainStore, store: ChainStore, seed: int) -> None:
    """Bring a new store to the target, or on from wherever it stands."""
    if store.best_number == 0:
        fetch(source, store.restore(header_at(source, TARGET)), random.Random(seed))
        store.finish_restoration(b"proof of the target", proven(source))


def flat_of(store: ChainStore, block: Hash) -> Flat:
    state = store.state_at(block)
    return {key: value for key in state.keys(b"") if (value := state.get(key)) is not None}


def check_begun(source: Chain, store: ChainStore) -> None:
    """Compare a store at the target with the chain it was restored from."""
    header = header_at(source.store, TARGET)
    target = header.hash()
    assert (store.best, store.finalized, store.restoration) == (target, target, None)
    assert (store.best_number, store.finalized_number) == (TARGET, TARGET)
    assert store.header(target) == header
    assert store.justification(target) == b"proof of the target"
    assert flat_of(store, target) == source.flats[target]
    assert store.state_at(target).root({}) == header.state_root
    assert store.state_at(target).prove([b"a", b"zz"]) == source.store.state_at(target).prove([b"a", b"zz"])
    assert [store.set_end(number) for number in (0, 4, 5, 9, 10)] == [4, 4, 9, 9, None]
    for header, proof in proven(source.store):
        assert changes_voters(header)
        assert store.hash_at(header.number) == header.hash()
        assert store.justification(header.hash()) == proof
    assert store.gap.missing == (1, TARGET)
    assert store.gap.top == target
    with pytest.raises(StateDiscarded):
        store.state_at(store.genesis_hash)


def extended(source: Chain, store: ChainStore, above: int = TARGET) -> None:
    """Import the blocks above, check every state, and make final what is."""
    for number in range(above + 1, LENGTH + 1):
        block = source.store.hash_at(number)
        assert block is not None
        body = source.store.body(block)
        assert body is not None
        store.import_block(header_at(source.store, number), body, source.changes[block], best=True)
        assert flat_of(store, block) == source.flats[block]
    final = source.store.finalized
    assert store.finalize(final, b"proof") == [
        source.store.hash_at(each) for each in range(TARGET + 1, FINAL + 1)
    ]
    for number in range(TARGET, LENGTH + 1):
        block = store.hash_at(number)
        assert block is not None
        assert flat_of(store, block) == source.flats[block]
        assert store.state_at(block).root({}) == header_at(store, number).state_root


@pytest.mark.parametrize("mode", ["5", "256", "1000", "archive-canonical", "archive"])
def test_a_restored_chain_goes_on_like_any_other(tmp_path: Path, mode: str) -> None:
    with grown(tmp_path / "source") as source:
        store = ChainStore.open(tmp_path / "new", GENESIS, states=Pruning.parse(mode))
        restored(source.store, store, seed=1)
        check_begun(source, store)
        store.close()
        store = ChainStore.open(tmp_path / "new", GENESIS)
        check_begun(source, store)
        extended(source, store)
        final = store.state_at(store.finalized)
        found = final.prove_range(b"", 300, None)
        verify_range(header_at(store, FINAL).state_root, b"", found)
        gone = store.revert(LENGTH)
        assert (len(gone), store.best_number) == (LENGTH - FINAL, FINAL)
        assert flat_of(store, store.best) == source.flats[store.best]
        store.close()


def test_until_its_end_a_restoration_leaves_the_first_block(tmp_path: Path) -> None:
    with grown(tmp_path / "source") as source:
        store = ChainStore.open(tmp_path / "new", GENESIS)
        target = header_at(source.store, TARGET)
        restoration = store.restore(target)
        found = source.store.state_at(target.hash()).prove_range(b"", 200, None)
        until = found.entries[-1][0] + b"\x00"
        restoration.put(b"", found.entries, until)
        store.close()
        store = ChainStore.open(tmp_path / "new", GENESIS)
        assert store.restoration is not None
        assert (store.restoration.target, list(store.restoration.missing)) == (target, [Span(until, None)])
        assert (store.best, store.finalized) == (store.genesis_hash, store.genesis_hash)
        assert flat_of(store, store.genesis_hash) == GENESIS
        assert store.state_at(store.genesis_hash).root({b"x": b"y"}) == trie_root({**GENESIS, b"x": b"y"})
        assert store.restore(target) is store.restoration
        with pytest.raises(StorageError, match="what was restored is not the state of #12: start again"):
            store.finish_restoration(b"proof")
        assert (store.restoration, flat_of(store, store.genesis_hash)) == (None, GENESIS)
        store.restore(target).put(b"", found.entries, until)
        other = store.restore(header_at(source.store, FINAL))
        assert list(other.missing) == [WHOLE]
        store.abandon_restoration()
        assert store.restoration is None
        store.close()
        store = ChainStore.open(tmp_path / "new", GENESIS)
        first = source.store.hash_at(1)
        assert first is not None
        store.import_block(header_at(source.store, 1), [b"body"], source.changes[first], best=True)
        assert flat_of(store, first) == source.flats[first]
        with pytest.raises(StorageError, match="a chain that has blocks already is not restored"):
            store.restore(target)
        store.close()


def test_a_state_that_is_not_the_target_s_never_becomes_final(tmp_path: Path) -> None:
    with grown(tmp_path / "source") as source:
        store = ChainStore.open(tmp_path / "new", GENESIS)
        restoration = store.restore(header_at(source.store, TARGET))
        restoration.put(b"", [(b"a", b"another value")], None)
        with pytest.raises(StorageError, match="what was restored is not the state of #12"):
            store.finish_restoration(b"proof")
        assert store.finalized == store.genesis_hash
        store.close()


def memory(tables: Tables, life: Life) -> ChainStore:
    return ChainStore.on(MemoryDatabase(tables, life), GENESIS)


@pytest.mark.parametrize("torn", [False, True])
def test_the_power_may_go_at_every_write(tmp_path: Path, torn: bool) -> None:
    with grown(tmp_path / "source") as source:
        whole = Life()
        restored(source.store, memory(Tables(), whole), seed=3)
        assert whole.writes > 20
        for fatal in range(whole.writes):
            tables = Tables()
            with pytest.raises(Killed):
                restored(source.store, memory(tables, Life(fatal=fatal, torn=torn)), seed=3)
            store = memory(tables, Life())
            restored(source.store, store, seed=fatal)
            check_begun(source, store)


def test_the_gap_is_filled_downwards_and_remembered(tmp_path: Path) -> None:
    with grown(tmp_path / "source") as source:
        tables = Tables()
        store = memory(tables, Life())
        restored(source.store, store, seed=1)
        extended(source, store)
        blocks = []
        for number in range(TARGET, 0, -1):
            header = header_at(source.store, number)
            blocks.append((header, source.store.body(header.hash()) or []))
        with pytest.raises(AssertionError, match="the blocks of a gap are linked"):
            store.gap.fill(blocks[1:2])
        for place, block in enumerate(blocks):
            assert store.gap.missing == store.gap.wanted == (1, TARGET - place)
            assert store.gap.top == block[0].hash()
            store.gap.fill([block])
            store = memory(tables, Life())
            for each in store.unapplied():
                store.restore_layer(each, source.changes[each])
        assert (store.gap.missing, store.gap.wanted, store.gap.top) == (None, None, None)
        for number in range(LENGTH + 1):
            block = store.hash_at(number)
            assert block is not None
            assert block == source.store.hash_at(number)
            assert store.body(block) == source.store.body(block)
        assert [store.set_end(number) for number in (0, 4, 5, 9, 10)] == [4, 4, 9, 9, None]


def test_what_is_written_into_the_gap_aside_is_not_known_before_the_loop_is_told(tmp_path: Path) -> None:
    """A thread writes; what the loop knows of sets and the gap changes only in its own hands."""
    with grown(tmp_path / "source") as source:
        store = memory(Tables(), Life())
        restored(source.store, store, seed=1)
        headers = [header_at(source.store, number) for number in range(TARGET, 0, -1)]
        filled = store.gap.write([(each, source.store.body(each.hash()) or []) for each in headers])
        assert store.gap.missing == (1, TARGET)
        assert filled == Filled(None, [9, 4], range(1, TARGET + 1))
        extended(source, store)
        store.gap.follow(filled)
        assert store.gap.missing is None
        assert store.set_ends_above(0) == source.store.set_ends_above(0)


def test_pruning_wants_no_more_of_the_gap_than_it_keeps(tmp_path: Path) -> None:
    with grown(tmp_path / "source") as source:
        store = ChainStore.open(tmp_path / "new", GENESIS, blocks=Pruning.parse("5"))
        restored(source.store, store, seed=1)
        assert (store.gap.missing, store.gap.wanted) == ((1, TARGET), (TARGET - 5, TARGET))
        extended(source, store)
        assert store.gap.wanted == (FINAL - 5, TARGET)
        header = header_at(source.store, TARGET)
        store.gap.fill([(header, [b"body"])])
        assert store.body(header.hash()) == [b"body"]
        assert store.gap.missing == (1, TARGET - 1)
        store.close()


def test_what_pruning_came_to_while_it_was_written_is_forgotten(tmp_path: Path) -> None:
    """It would stay for ever: pruning never looks below where it has been."""
    with grown(tmp_path / "source") as source:
        store = ChainStore.open(tmp_path / "new", GENESIS, blocks=Pruning.parse("5"))
        restored(source.store, store, seed=1)
        headers = [header_at(source.store, number) for number in range(TARGET, TARGET - 6, -1)]
        filled = store.gap.write([(each, source.store.body(each.hash()) or []) for each in headers])
        extended(source, store)
        store.gap.follow(filled)
        kept = [each.number for each in headers if store.body(each.hash()) is not None]
        assert kept == [TARGET, FINAL - 5] == list(range(TARGET, FINAL - 6, -1))
        assert store.gap.wanted is None
        store.close()


SPANS = st.tuples(st.integers(0, 9), st.integers(0, 10)).map(
    lambda pair: Span(bytes([pair[0]]), bytes([pair[1]]) if pair[0] < pair[1] < 10 else None)
)


@given(st.lists(SPANS, max_size=6))
@settings(max_examples=200)
def test_what_is_put_is_missing_no_more(gone: list[Span]) -> None:
    left = [WHOLE]
    for span in gone:
        left = without(left, span)

    def holds(span: Span, key: bytes) -> bool:
        return span.start <= key and (span.end is None or key < span.end)

    for key in [b"", *(bytes([each]) for each in range(12))]:
        assert sum(holds(span, key) for span in left) == (not any(holds(span, key) for span in gone))
    ends: Mapping[bytes, bytes | None] = {span.start: span.end for span in left}
    assert list(ends) == sorted(ends)
