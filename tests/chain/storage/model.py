"""A store beside plain dicts, which say what each of its blocks must hold."""

import random
from collections.abc import Mapping
from pathlib import Path

from chain.storage.pruning import Pruning
from chain.storage.state import StateAt
from chain.storage.store import ChainStore
from runtime.frame.state import Changes
from runtime.primitives.header import Digest, DigestItem, Header, PreRuntime
from runtime.primitives.trie import EMPTY_ROOT, trie_root, verify_proof
from runtime.primitives.types import Hash

GENESIS = {b"a": b"1", b"ab": b"2", b"b\x00": b"x" * 40, b"b\x00\xff": b"", b"c" * 20: b"3"}
KEYS = [
    b"a",
    b"ab",
    b"abc",
    b"b",
    b"b\x00",
    b"b\x00\x00",
    b"b\x00\xff",
    b"b\x01",
    b"c" * 20,
    b"c" * 19 + b"d",
    b"",
]
Flat = dict[bytes, bytes]


def after(flat: Mapping[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> Flat:
    joined = {**flat, **changes}
    return {key: value for key, value in joined.items() if value is not None}


def make_header(
    store: ChainStore,
    parent: Hash,
    flat: Mapping[bytes, bytes],
    salt: int = 0,
    logs: tuple[DigestItem, ...] = (),
) -> Header:
    above = store.header(parent)
    assert above is not None
    digest = Digest([PreRuntime(b"TEST", salt.to_bytes(4, "little")), *logs])
    return Header(parent, above.number + 1, trie_root(flat), EMPTY_ROOT, digest)


class Chain:
    """A store, and what each of its blocks must hold."""

    def __init__(self, path: Path, **options: Pruning) -> None:
        self.path, self.options = path, options
        self.store = ChainStore.open(path, GENESIS, **options)
        self.flats: dict[Hash, Flat] = {self.store.genesis_hash: dict(GENESIS)}
        self.changes: dict[Hash, Changes] = {}
        self.salt = 0

    def add(
        self, parent: Hash, changes: Changes, *, best: bool = True, logs: tuple[DigestItem, ...] = ()
    ) -> Hash:
        flat = after(self.flats[parent], changes)
        self.salt += 1
        header = make_header(self.store, parent, flat, self.salt, logs)
        self.store.import_block(header, [b"body", bytes([self.salt % 256])], changes, best=best)
        block = header.hash()
        self.flats[block], self.changes[block] = flat, changes
        return block

    def reopen(self) -> None:
        self.store.close()
        self.store = ChainStore.open(self.path, GENESIS, **self.options)
        for block in self.store.unapplied():
            self.store.restore_layer(block, self.changes[block])

    def check(self, block: Hash, *, proofs: bool = True) -> None:
        state, flat = self.store.state_at(block), self.flats[block]
        assert {key: state.get(key) for key in KEYS} == {key: flat.get(key) for key in KEYS}
        check_keys(state, flat)
        assert state.root({}) == trie_root(flat)
        assert state.root({b"new": b"n", b"a": None}) == trie_root(after(flat, {b"new": b"n", b"a": None}))
        if proofs:
            assert verify_proof(trie_root(flat), state.prove(KEYS), KEYS) == {
                key: flat.get(key) for key in KEYS
            }
            assert state.closest_merkle_value(b"") == (trie_root(flat) if flat else None)


def check_keys(state: StateAt, flat: Mapping[bytes, bytes]) -> None:
    for prefix in (b"", b"a", b"b", b"b\x00", b"zz"):
        wanted = sorted(key for key in flat if key.startswith(prefix))
        assert list(state.keys(prefix)) == wanted
        for start in (b"a", b"b\x00", b"b\x00\x00"):
            assert list(state.keys(prefix, start)) == [key for key in wanted if key > start]


def random_changes(rng: random.Random) -> Changes:
    values = [None, b"", b"v", b"w" * 32, b"x" * 33, rng.randbytes(60)]
    return {key: rng.choice(values) for key in rng.sample(KEYS, rng.randrange(1, 6))}
