"""Our tries, the one in memory and the one on disk, against a naive builder and published vectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.storage.trie import prove
from runtime.primitives.trie import EMPTY_ROOT, ProofError, ordered_root, trie_root, verify_proof
from tests.chain.storage.test_trie import Model
from tests.differential import naive_trie
from tests.differential.campaigns import edit_sequence

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "live.json").read_text())
SEEDS = range(6)
"""of the short form; `make differential` makes 100,000 edits"""

# Few distinct bytes, so that keys share prefixes, end inside each other and split in mid-byte.
keys = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=6).map(bytes) | st.binary(
    max_size=40
)
contents = st.sampled_from([b"", b"a", b"b" * 31, b"c" * 32, b"d" * 33, b"e" * 70]) | st.binary(max_size=40)
states = st.dictionaries(keys, contents, max_size=40)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("version", [0, 1])
@settings(max_examples=100)
@given(pairs=states)
def test_roots_are_the_naive_ones(version: int, pairs: dict[bytes, bytes]) -> None:
    assert trie_root(pairs, version) == naive_trie.root(pairs, version)


@settings(max_examples=40)
@given(st.lists(contents, max_size=80), st.sampled_from([0, 1]))
def test_ordered_roots_are_the_naive_ones(items: list[bytes], version: int) -> None:
    assert ordered_root(items, version) == naive_trie.ordered_root(items, version)


def test_long_keys_have_long_headers() -> None:
    for length in (15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 300):
        pairs = {bytes([length % 251]) * length: b"v" * 33, bytes([length % 251]) * length + b"\x01": b""}
        assert trie_root(pairs) == naive_trie.root(pairs)


@pytest.mark.parametrize("seed", SEEDS)
def test_sequences_of_edits_have_the_naive_roots(seed: int) -> None:
    assert edit_sequence(seed, batches=12, largest=30) > 50


@settings(max_examples=60)
@given(states, st.lists(keys, min_size=1, max_size=8))
def test_proofs_convince_the_naive_verifier(flat: dict[bytes, bytes], asked: list[bytes]) -> None:
    model = Model()
    root, wanted = model.apply(flat), [*asked, *list(flat)[:4]]
    proof = prove(model, wanted)
    for key in wanted:
        assert naive_trie.proven(root, proof, key) == flat.get(key)


@settings(max_examples=60)
@given(states, st.lists(keys, min_size=1, max_size=8), st.sampled_from([0, 1]))
def test_naive_proofs_convince_our_verifier(
    flat: dict[bytes, bytes], asked: list[bytes], version: int
) -> None:
    proof, wanted = naive_trie.everything(flat, version), [*asked, *flat]
    root = trie_root(flat, version)
    assert verify_proof(root, proof, wanted) == {key: flat.get(key) for key in wanted}


@settings(max_examples=60)
@given(st.dictionaries(keys, contents, min_size=1, max_size=20), st.data())
def test_both_verifiers_refuse_what_lacks_a_part(flat: dict[bytes, bytes], data: st.DataObject) -> None:
    model = Model()
    root, key = model.apply(flat), data.draw(st.sampled_from(sorted(flat)))
    proof = prove(model, [key])
    missing = data.draw(st.sampled_from(proof))
    cut = [part for part in proof if part != missing]
    with pytest.raises(ProofError):
        verify_proof(root, cut, [key])
    with pytest.raises(naive_trie.Unproven):
        naive_trie.proven(root, cut, key)


def test_a_live_read_proof_is_understood() -> None:
    vector = VECTORS["read_proof"]
    proof, root = [unhex(part) for part in vector["proof"]], unhex(vector["state_root"])
    wanted = {unhex(key): unhex(value) for key, value in vector["keys"].items()}
    assert verify_proof(root, proof, wanted) == wanted
    assert {key: naive_trie.proven(root, proof, key) for key in wanted} == wanted


@pytest.mark.parametrize("network", VECTORS["genesis"], ids=lambda each: each["network"])
def test_genesis_states_of_live_networks_have_their_roots(network: dict[str, str]) -> None:
    """The runtime's code is known by its hash alone, so the nodes are made by the naive builder."""
    flat = {
        unhex(key): unhex(value) if isinstance(value, str) else naive_trie.Hashed(unhex(value["blake2b_256"]))
        for key, value in network["entries"]
    }
    root = unhex(network["state_root"])
    assert naive_trie.root(flat) == root != EMPTY_ROOT
    known = {key: value for key, value in flat.items() if not isinstance(value, naive_trie.Hashed)}
    absent = [key + b"\x00" for key in list(known)[:5]]
    shown = verify_proof(root, naive_trie.everything(flat), [*known, *absent])
    assert shown == known | dict.fromkeys(absent)
