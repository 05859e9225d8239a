"""Roots and proofs of blocks far below the head, with and without undo records."""

import random
from pathlib import Path

import pytest

from chain.common.errors import TrieTooFar
from chain.storage import state as state_module
from chain.storage import store as store_module
from chain.storage.pruning import NAMED, Pruner
from tests.chain.storage.model import Chain, random_changes


def grown(path: Path, blocks: int) -> Chain:
    """Return a chain of final blocks."""
    rng, chain = random.Random(11), Chain(path, states=NAMED["archive-canonical"])
    block = chain.store.genesis_hash
    for _ in range(blocks):
        block = chain.add(block, random_changes(rng))
        chain.store.finalize(block, None)
    return chain


@pytest.mark.parametrize("has_undo", [True, False])
def test_every_height_is_proven_from_what_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_undo: bool
) -> None:
    chain = grown(tmp_path, 40)
    monkeypatch.setattr(store_module, "FAST_REWIND", 0)
    monkeypatch.setattr(Pruner, "has_undo", lambda *_: has_undo)
    for block in list(chain.flats):
        chain.check(block)
    chain.store.close()


@pytest.mark.parametrize(
    ("has_undo", "limit"), [(True, "MAX_REWOUND_KEYS"), (False, "MAX_REWOUND_KEYS"), (False, "MAX_SCANNED")]
)
def test_a_proof_that_costs_too_much_is_refused_and_the_state_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_undo: bool, limit: str
) -> None:
    chain = grown(tmp_path, 40)
    for module in (state_module, store_module):
        monkeypatch.setattr(module, limit, 3, raising=False)
    monkeypatch.setattr(Pruner, "has_undo", lambda *_: has_undo)
    genesis = chain.store.genesis_hash
    state, flat = chain.store.state_at(genesis), chain.flats[genesis]
    with pytest.raises(TrieTooFar, match="Too much has changed since that block"):
        state.prove([b"a"])
    assert {key: state.get(key) for key in state.keys(b"")} == flat
    chain.store.close()


def test_a_state_is_proven_as_it_was_while_the_disk_moves_on(tmp_path: Path) -> None:
    chain = grown(tmp_path, 40)
    genesis = chain.store.genesis_hash
    state = chain.store.state_at(genesis)
    chain.store.finalize(chain.add(chain.store.best, {b"a": b"later", b"abc": None}), None)
    assert state.prove([b"a", b"b"]) == chain.store.state_at(genesis).prove([b"a", b"b"])
    chain.check(genesis)
    chain.store.close()
