"""The path-keyed trie against roots rebuilt from scratch."""

import random
from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from chain.storage.trie import (
    Record,
    closest_merkle_value,
    prove,
    record_key,
    update,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.trie import (
    EMPTY_NODE,
    EMPTY_ROOT,
    encode_branch,
    encode_leaf,
    node_value,
    reference,
    trie_root,
    verify_proof,
)


class Model:
    """A state in two dicts."""

    def __init__(self) -> None:
        self.flat: dict[bytes, bytes] = {}
        self.records: dict[bytes, bytes] = {}

    def branch(self, path: str) -> Record | None:
        return self.records.get(record_key(path))

    def get(self, key: bytes) -> bytes | None:
        return self.flat.get(key)

    def first(self, prefix: str) -> bytes | None:
        return min((key for key in self.flat if key.hex().startswith(prefix)), default=None)

    def apply(self, changes: Mapping[bytes, bytes | None]) -> bytes:
        root, branches = update(self, changes)
        for path, branch in branches.items():
            self.records.pop(record_key(path), None)
            if branch is not None:
                self.records[record_key(path)] = branch
        for key, value in changes.items():
            self.flat.pop(key, None)
            if value is not None:
                self.flat[key] = value
        return root


def rebuilt(flat: Mapping[bytes, bytes]) -> Model:
    model = Model()
    model.apply(flat)
    return model


# Few distinct bytes, so that keys share prefixes, end inside each other and split in mid-byte.
keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=5).map(bytes)
values = st.one_of(
    st.sampled_from([b"", b"a", b"b" * 31, b"c" * 32, b"d" * 33, b"e" * 200]), st.binary(max_size=40)
)
edits = st.dictionaries(keys, st.none() | values, max_size=12)


@settings(max_examples=80)
@given(st.lists(edits, max_size=8))
def test_edits_give_the_root_and_records_of_a_fresh_build(batches: list[dict[bytes, bytes | None]]) -> None:
    model = Model()
    for changes in batches:
        root = model.apply(changes)
        assert root == trie_root(model.flat)
        assert model.records == rebuilt(model.flat).records


# Long keys as a map's are: most children are hashes, and branches meet right below a long shared prefix.
ACCOUNTS = [
    b"\xab" * 32 + bytes([high, low]) + bytes([high ^ low]) * 46 for high in (0, 1, 16) for low in range(9)
]
account_values = st.one_of(st.binary(min_size=80, max_size=80), st.sampled_from([b"", b"v" * 33]))
account_edits = st.dictionaries(st.sampled_from(ACCOUNTS), st.none() | account_values, max_size=9)


@settings(max_examples=120)
@given(st.dictionaries(keys, values, max_size=2), st.lists(account_edits, max_size=9))
def test_edits_of_accounts_give_the_root_and_records_of_a_fresh_build(
    others: dict[bytes, bytes], batches: list[dict[bytes, bytes | None]]
) -> None:
    model = rebuilt(others)
    for changes in batches:
        root = model.apply(changes)
        assert root == naive_root(model.flat) == trie_root(model.flat)
        assert model.records == rebuilt(model.flat).records


def test_thousands_of_edits_in_turn_lead_where_a_fresh_build_does() -> None:
    rng, model = random.Random(4), Model()
    accounts = [b"\xcd" * 32 + rng.randbytes(16) for _ in range(600)]
    for _ in range(60):
        chosen = rng.sample(accounts, rng.choice((1, 2, 40)))
        root = model.apply({key: rng.choice((None, b"short", rng.randbytes(80))) for key in chosen})
    assert root == naive_root(model.flat) == trie_root(model.flat)
    assert model.records == rebuilt(model.flat).records


@settings(max_examples=80)
@given(st.dictionaries(keys, values, max_size=20), st.lists(keys, max_size=6))
def test_proofs_show_values_and_absence(flat: dict[bytes, bytes], asked: list[bytes]) -> None:
    model = Model()
    root = model.apply(flat)
    proof = prove(model, asked)
    assert verify_proof(root, proof, asked) == {key: flat.get(key) for key in asked}
    assert proof == sorted(set(proof))


def shared_prefix(texts: Iterable[str]) -> str:
    lowest, *_, highest = sorted([*texts] * 2)
    same = [position for position in range(len(lowest) + 1) if highest.startswith(lowest[:position])]
    return lowest[: same[-1]]


def naive_node(leaves: Mapping[str, bytes], depth: int) -> bytes:
    """Return the node at the top of some leaves whose path has `depth` nibbles, by the definition."""
    full = shared_prefix(leaves)
    if len(leaves) == 1:
        return encode_leaf(full[depth:], node_value(leaves[full]))
    children = {}
    for nibble in "0123456789abcdef":
        below = {key: value for key, value in leaves.items() if key.startswith(full + nibble)}
        if below:
            children[int(nibble, 16)] = reference(naive_node(below, len(full) + 1))
    own = leaves.get(full)
    bitmap = sum(1 << nibble for nibble in children)
    value = None if own is None else node_value(own)
    return encode_branch(full[depth:], value, bitmap, children.values())


def naive_root(flat: Mapping[bytes, bytes]) -> bytes:
    leaves = {key.hex(): value for key, value in flat.items()}
    return blake2_256(naive_node(leaves, 0)) if leaves else EMPTY_ROOT


def naive_merkle_value(flat: Mapping[bytes, bytes], key: bytes) -> bytes | None:
    leaves = {each.hex(): value for each, value in flat.items()}
    below = {each: value for each, value in leaves.items() if each.startswith(key.hex())}
    if not below:
        return None
    top = shared_prefix(below)
    shared = [len(shared_prefix([top, each])) for each in leaves if each not in below]
    node = naive_node(below, max(shared) + 1 if shared else 0)
    return blake2_256(node) if not shared or len(node) > 31 else node


@settings(max_examples=80)
@given(st.dictionaries(keys, values, max_size=20), st.lists(keys, max_size=8))
def test_the_merkle_value_is_that_of_the_node_above_all_descendants(
    flat: dict[bytes, bytes], asked: list[bytes]
) -> None:
    model = rebuilt(flat)
    for key in [*asked, *flat, b""]:
        assert closest_merkle_value(model, key) == naive_merkle_value(flat, key)


def test_an_update_changes_nothing_by_itself() -> None:
    model = rebuilt({bytes([high, low]): b"v" * low for high in range(8) for low in range(40)})
    before = dict(model.records)
    update(model, {bytes([0, low]): b"new" for low in range(0, 60, 3)} | {bytes([1, 1]): None})
    assert model.records == before


def test_no_changes_give_the_same_root() -> None:
    for flat in ({}, {b"a": b"1"}, {b"a": b"1", b"b": b"2"}):
        assert update(rebuilt(flat), {})[0] == trie_root(flat)


def test_deleting_everything_leaves_no_record() -> None:
    flat = {bytes([index // 16, index % 7, index]): b"x" * index for index in range(200)}
    model = rebuilt(flat)
    assert model.apply(dict.fromkeys(flat)) == EMPTY_ROOT
    assert model.records == {}


def test_a_split_makes_one_branch_and_a_collapse_takes_it_back() -> None:
    model = rebuilt({b"\x12\x34": b"1", b"\x12\x35": b"2"})
    before = dict(model.records)
    assert set(before) == {record_key("")}
    model.apply({b"\x12\xff": b"3"})
    assert set(model.records) == {record_key(""), record_key("123")}
    model.apply({b"\x12\xff": None})
    assert model.records == before


def test_the_proof_of_an_empty_state_is_its_only_node() -> None:
    assert prove(Model(), [b"a"]) == [EMPTY_NODE]
    assert verify_proof(EMPTY_ROOT, [EMPTY_NODE], [b"a"]) == {b"a": None}


def test_paths_of_either_parity_have_their_own_records() -> None:
    paths = [f"{number:0{size}x}" if size else "" for size in range(4) for number in range(16**size)]
    assert len({record_key(path) for path in paths}) == len(paths)
