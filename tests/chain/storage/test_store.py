"""The store against plain dicts: every block's state, whatever was imported, finalised or reopened since."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.common.errors import StateDiscarded, StorageError, UnknownBlock
from chain.storage import store as store_module
from chain.storage.db import META, RocksDatabase
from chain.storage.pruning import NAMED
from chain.storage.store import ChainStore
from runtime.frame.state import Changes
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import EMPTY_ROOT, trie_root, verify_proof
from runtime.primitives.types import ZERO_HASH, Hash
from tests.chain.storage.model import GENESIS, KEYS, Chain, after, check_keys, make_header, random_changes


def test_genesis_is_the_block_that_clients_expect(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS)
    header = Header(ZERO_HASH, 0, trie_root(GENESIS), EMPTY_ROOT, Digest([]))
    assert store.genesis_hash == store.best == store.finalized == store.hash_at(0) == header.hash()
    assert store.header(header.hash()) == header
    assert (store.body(header.hash()), store.justification(header.hash())) == ([], None)
    assert (store.best_number, store.finalized_number, store.leaves()) == (0, 0, [header.hash()])
    assert (store.unapplied(), store.children(header.hash()), store.hash_at(1)) == ([], [], None)
    store.close()


@given(st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_any_history_of_imports_finalisations_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng = random.Random(seed)
    chain = Chain(tmp_path_factory.mktemp("db"))
    for _ in range(25):
        store = chain.store
        living = [store.finalized, *store._tree]
        step = rng.random()
        if step < 0.7:
            chain.add(rng.choice(living[-4:]), random_changes(rng), best=rng.random() < 0.7)
        elif step < 0.9:
            block = rng.choice(living)
            before = store.finalized_number
            final = store.finalize(block, b"proof" + block)
            assert [store.hash_at(before + 1 + index) for index in range(len(final))] == final
            assert store.justification(block) == b"proof" + block
            assert store.finalized == block
        else:
            chain.reopen()
    check_everything(chain)
    chain.reopen()
    check_everything(chain)
    chain.store.close()


def check_everything(chain: Chain) -> None:
    store = chain.store
    for number in range(store.best_number + 1):
        block = store.hash_at(number)
        assert block is not None
        header = store.header(block)
        assert header is not None
        assert (header.number, header.hash()) == (number, block)
        if number:
            assert header.parent_hash == store.hash_at(number - 1)
            assert block in store.children(header.parent_hash)
        chain.check(block)
    assert store.hash_at(store.best_number) == store.best
    assert store.hash_at(store.best_number + 1) is None
    assert store.hash_at(store.finalized_number) == store.finalized
    for block in store._tree:
        chain.check(block)
    living = {store.hash_at(number) for number in range(store.finalized_number + 1)} | set(store._tree)
    for block in chain.flats:
        if block not in living:
            assert (store.header(block), store.body(block), store.children(block)) == (None, None, [])
            with pytest.raises(UnknownBlock):
                store.state_at(block)


def test_an_archive_reads_every_height_and_proves_it(tmp_path: Path) -> None:
    rng, chain = random.Random(7), Chain(tmp_path, states=NAMED["archive-canonical"])
    block = chain.store.genesis_hash
    for _ in range(90):
        block = chain.add(block, random_changes(rng))
        if rng.random() < 0.5:
            chain.store.finalize(block, None)
    assert chain.store.finalized_number > 2 * store_module.FAST_REWIND
    for each in list(chain.flats):
        chain.check(each)
    chain.reopen()
    for each in list(chain.flats):
        chain.check(each)
    chain.store.close()


def test_a_view_stays_as_it_was_while_the_chain_moves_on(tmp_path: Path) -> None:
    rng, chain = random.Random(3), Chain(tmp_path)
    block, views = chain.store.genesis_hash, []
    for _ in range(12):
        views.append((chain.store.state_at(block), chain.flats[block]))
        fork = chain.add(block, random_changes(rng), best=False)
        views.append((chain.store.state_at(fork), chain.flats[fork]))
        block = chain.add(block, random_changes(rng))
        chain.store.finalize(block, None)
    for state, flat in views:
        check_keys(state, flat)
        assert state.root({b"new": b"n"}) == trie_root(after(flat, {b"new": b"n"}))
        assert verify_proof(trie_root(flat), state.prove(KEYS), KEYS) == {key: flat.get(key) for key in KEYS}
    chain.store.close()


def test_a_started_iteration_is_not_disturbed(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    running = chain.store.state_at(chain.store.genesis_hash).keys(b"")
    first = next(running)
    block = chain.add(chain.store.genesis_hash, dict.fromkeys(GENESIS))
    chain.store.finalize(block, None)
    assert [first, *running] == sorted(GENESIS)
    chain.store.close()


def test_finality_takes_the_best_chain_along(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    store, genesis = chain.store, chain.store.genesis_hash
    first = chain.add(genesis, {b"a": b"first"})
    second = chain.add(first, {b"a": b"second"})
    third = chain.add(second, {b"a": b"third"})
    other = chain.add(first, {b"a": b"other"}, best=False)
    tip = chain.add(other, {b"a": b"tip"}, best=False)
    assert (store.best, sorted(store.leaves())) == (third, sorted([third, tip]))
    assert store.finalize(other, b"j") == [first, other]
    assert (store.best, store.best_number, store.finalized, store.leaves()) == (tip, 3, other, [tip])
    assert [store.hash_at(number) for number in range(5)] == [genesis, first, other, tip, None]
    assert (store.header(second), store.header(third)) == (None, None)
    assert store.finalize(first, b"late") == []
    assert store.justification(first) == b"late"
    for gone in (second, third):
        with pytest.raises(UnknownBlock):
            store.finalize(gone, None)
    store.close()


def test_a_shorter_best_chain_clears_the_heights_above(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    store, genesis = chain.store, chain.store.genesis_hash
    first = chain.add(genesis, {b"a": b"1"})
    chain.add(chain.add(first, {b"a": b"2"}), {b"a": b"3"})
    short = chain.add(genesis, {b"a": b"short"})
    assert (store.best, [store.hash_at(number) for number in range(4)]) == (
        short,
        [genesis, short, None, None],
    )
    store.close()


def test_long_waits_for_finality_run_the_disk_ahead_and_take_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_LAYERS", 20)
    monkeypatch.setattr(store_module, "KEPT_VIEWS", 1000)  # whatever is stale stays and shows
    rng, chain = random.Random(11), Chain(tmp_path)
    chains: list[list[Hash]] = []
    trunk = chain.add(chain.store.genesis_hash, random_changes(rng))
    chain.store.finalize(trunk, None)
    for length in (40, 41, 60):  # each fork becomes the best one, and too long, in its turn
        path = [chain.add(trunk, {b"fork %d" % length: b"begins"})]
        for _ in range(length - 1):
            path.append(chain.add(path[-1], random_changes(rng)))
        chains.append(path)
        for each in (*path[::9], chains[0][-1], chains[0][5], trunk):
            chain.check(each)
    chain.reopen()
    for path in chains:
        for each in path[::7]:
            chain.check(each)
    final = chains[1][30]
    assert chain.store.finalize(final, None) == chains[1][:31]
    assert chain.store.best == chains[1][-1]
    check_everything(chain)
    chain.reopen()
    check_everything(chain)
    chain.store.close()


def test_a_root_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain(tmp_path)
    store, changes = chain.store, {b"a": b"new", b"zz": b"9" * 50}
    flat = after(GENESIS, changes)
    assert store.state_at(store.genesis_hash).root(changes) == trie_root(flat)
    header = make_header(store, store.genesis_hash, flat)
    monkeypatch.setattr("chain.storage.state.update", None)  # a second computation would fail
    store.import_block(header, [], dict(changes), best=True)
    assert store.best == header.hash()
    store.close()


def test_a_caller_may_reuse_its_dict(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    changes: Changes = {b"a": b"new"}
    block = chain.add(chain.store.genesis_hash, changes)
    changes[b"a"] = b"changed afterwards"
    assert chain.store.state_at(block).get(b"a") == b"new"
    chain.store.close()


def test_a_fork_below_the_finalised_block_is_refused(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    genesis = chain.store.genesis_hash
    block = chain.add(genesis, {b"a": b"1"})
    chain.store.finalize(block, None)
    late = make_header(chain.store, genesis, after(GENESIS, {b"a": b"late"}))
    with pytest.raises(StateDiscarded):
        chain.store.import_block(late, [], {b"a": b"late"}, best=True)
    assert (chain.store.best, chain.store.leaves(), chain.store.header(late.hash())) == (block, [block], None)
    chain.store.close()


def test_a_wrong_block_changes_nothing(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    store, genesis = chain.store, chain.store.genesis_hash
    wrong_root = Header(genesis, 1, Hash(bytes(32)), EMPTY_ROOT, Digest([]))
    with pytest.raises(AssertionError, match="block 1 leads to root"):
        store.import_block(wrong_root, [], {}, best=True)
    wrong_number = Header(genesis, 2, trie_root(GENESIS), EMPTY_ROOT, Digest([]))
    with pytest.raises(AssertionError, match="block 2 follows block 0"):
        store.import_block(wrong_number, [], {}, best=True)
    orphan = Header(Hash(b"p" * 32), 1, trie_root(GENESIS), EMPTY_ROOT, Digest([]))
    with pytest.raises(UnknownBlock, match="not found in the database: 0x7070"):
        store.import_block(orphan, [], {}, best=True)
    assert (store.best, store.leaves(), store.header(wrong_root.hash())) == (genesis, [genesis], None)
    unknown = Hash(b"u" * 32)
    assert (store.header(unknown), store.body(unknown), store.hash_at(-1), store.hash_at(1 << 40)) == (
        None,
    ) * 4
    for ask in (
        store.state_at,
        lambda block: store.finalize(block, None),
        lambda block: store.restore_layer(block, {}),
    ):
        with pytest.raises(UnknownBlock):
            ask(unknown)
    store.close()


def test_unapplied_blocks_wait_for_their_state(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    first = chain.add(chain.store.genesis_hash, {b"a": b"1"})
    second = chain.add(first, {b"a": b"2"})
    chain.store.close()
    store = chain.store = ChainStore.open(tmp_path, GENESIS)
    assert (store.best, store.unapplied()) == (second, [first, second])
    for early in (store.state_at, lambda block: store.finalize(block, None)):
        with pytest.raises(StateDiscarded):
            early(second)
    with pytest.raises(StateDiscarded):
        store.restore_layer(second, {b"a": b"2"})
    with pytest.raises(AssertionError):
        store.restore_layer(first, {b"a": b"wrong"})
    store.restore_layer(first, {b"a": b"1"})
    assert store.unapplied() == [second]
    store.restore_layer(second, {b"a": b"2"})
    chain.check(second)
    assert store.finalize(second, None) == [first, second]
    store.close()


def test_a_directory_of_another_chain_is_refused(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS)
    genesis = store.genesis_hash
    store.close()
    with pytest.raises(StorageError, match="made for another chain, with genesis 0x" + genesis.hex()):
        ChainStore.open(tmp_path, {b"other": b"chain"})
    ChainStore.open(tmp_path, GENESIS).close()


def test_a_held_lock_is_one_clear_line(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS)
    with pytest.raises(StorageError) as refused:
        ChainStore.open(tmp_path, GENESIS)
    assert str(refused.value) == (
        f"the database at {tmp_path} is in use by another node: stop that one, or choose another base path"
    )
    store.close()


def test_another_layout_is_refused(tmp_path: Path) -> None:
    database = RocksDatabase.open(tmp_path)
    batch = database.batch()
    batch.put(META, b"schema", (9).to_bytes(4, "little"))
    database.write(batch)
    database.close()
    with pytest.raises(StorageError, match="has layout 9, this program reads layout 2"):
        ChainStore.open(tmp_path, GENESIS)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        ChainStore.open(tmp_path / "file", GENESIS)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS)
    state = store.state_at(store.genesis_hash)
    store.close()
    with pytest.raises(StorageError, match="closed"):
        state.get(b"a")


def test_an_old_reader_neither_sees_nor_spoils_a_newer_trie(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS, cache_bytes=2000)  # so small that every walk evicts
    chain = Chain.__new__(Chain)
    chain.store, chain.flats, chain.changes, chain.salt = store, {store.genesis_hash: dict(GENESIS)}, {}, 0
    rng, block, old = random.Random(1), store.genesis_hash, []
    for _ in range(15):
        old.append((store.state_at(block), chain.flats[block]))
        block = chain.add(block, random_changes(rng))
        store.finalize(block, None)
        for state, flat in old:
            assert state.root({b"q": b"1"}) == trie_root(after(flat, {b"q": b"1"}))
        chain.check(block)
    store.close()
