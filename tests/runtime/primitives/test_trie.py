"""Roots against published vectors, nodes at their size limits, and proofs that lie."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.hashing import blake2_256
from runtime.primitives.trie import (
    EMPTY_ROOT,
    MAX_PROOF_BYTES,
    Node,
    NodeValue,
    ProofError,
    decode_node,
    encode_branch,
    encode_leaf,
    node_value,
    ordered_root,
    reference,
    trie_root,
    verify_proof,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "trie.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("case", VECTORS["trie_root"], ids=lambda case: case["name"])
def test_roots_of_both_versions(case: dict[str, object]) -> None:
    pairs = {unhex(key): unhex(value) for key, value in case["pairs"]}  # type: ignore[attr-defined]
    assert [trie_root(pairs, version).hex() for version in (0, 1)] == [case["root_v0"], case["root_v1"]]


@pytest.mark.parametrize("case", VECTORS["ordered_root"])
def test_ordered_roots(case: dict[str, object]) -> None:
    items = [unhex(each) for each in case["items"]]  # type: ignore[attr-defined]
    assert [ordered_root(items, version).hex() for version in (0, 1)] == [case["root_v0"], case["root_v1"]]


def test_ordered_root_of_many_is_the_root_over_compact_indices() -> None:
    items = [bytes([index % 251]) * (index % 50) for index in range(300)]
    keys = [
        bytes([index << 2]) if index < 64 else (index << 2 | 1).to_bytes(2, "little") for index in range(300)
    ]
    assert ordered_root(items) == trie_root(dict(zip(keys, items, strict=True)), 0)


def test_a_root_does_not_depend_on_the_order_of_insertion() -> None:
    pairs = {bytes([index * 7 % 256, index]): bytes([index]) for index in range(100)}
    assert trie_root(pairs) == trie_root(dict(reversed(pairs.items())))


values = st.none() | st.builds(node_value, st.binary(max_size=70), st.sampled_from([0, 1]))
nibbles = st.text("0123456789abcdef", max_size=600)


@given(nibbles, values, st.lists(st.none() | st.binary(min_size=1, max_size=60), min_size=16, max_size=16))
@settings(max_examples=150)
def test_nodes_round_trip(partial: str, value: NodeValue | None, inlined: list[bytes | None]) -> None:
    children = tuple(None if child is None else reference(child) for child in inlined)
    bitmap = sum(1 << slot for slot, child in enumerate(children) if child)
    if bitmap:
        node = encode_branch(partial, value, bitmap, filter(None, children))
        assert decode_node(node) == Node(partial, value, bitmap, children)
    elif value is not None:
        assert decode_node(encode_leaf(partial, value)) == Node(partial, value, 0, ())


@pytest.mark.parametrize(
    ("count", "inline", "hashed"),
    [
        (14, "4e", "2e"),
        (30, "5e", "3e"),
        (31, "5f", "3f00"),
        (62, "7e", "3f1f"),
        (63, "7f00", "3f20"),
        (63 + 254, "7ffe", "3fff1f"),
        (63 + 255, "7fff00", "3fff20"),
    ],
)
def test_headers_at_their_limits(count: int, inline: str, hashed: str) -> None:
    packed = "01" * (count % 2) + "11" * (count // 2)
    assert encode_leaf("1" * count, NodeValue(b"\x00", False)).hex() == inline + packed + "00"
    assert encode_leaf("1" * count, NodeValue(bytes(32), True)).hex() == hashed + packed + "00" * 32


def test_a_branch_with_a_hashed_value_escapes_at_fifteen() -> None:
    child = reference(b"\x41\x01\x00")
    for count, head in ((14, "1e"), (15, "1f00"), (16, "1f01")):
        node = encode_branch("0" * count, NodeValue(bytes(32), True), 4, [child])
        assert node.hex() == head + "00" * ((count + 1) // 2) + "0400" + "00" * 32 + child.hex()


def test_the_thirty_third_byte_leaves_the_node() -> None:
    assert node_value(b"a" * 32) == NodeValue(b"\x80" + b"a" * 32, False)
    assert node_value(b"a" * 33) == NodeValue(blake2_256(b"a" * 33), True)
    assert node_value(b"a" * 33, 0) == NodeValue(b"\x84" + b"a" * 33, False)


def test_a_node_of_32_bytes_is_referred_to_by_hash() -> None:
    assert reference(b"n" * 31) == b"\x7c" + b"n" * 31
    assert reference(b"n" * 32) == b"\x80" + blake2_256(b"n" * 32)


@pytest.mark.parametrize(
    "node",
    [
        "",  # nothing
        "00",  # the empty node has no place inside a trie
        "08",  # reserved header
        "42",  # partial key missing
        "4110",  # padding not zero
        "4101040000",  # a byte left over
        "4101fe",  # compact length cut
        "7fffff",  # endless partial key
        "800000",  # branch without children
        "80010000",  # child of no bytes
        "80010084" + "00" * 33,  # child longer than a hash
        "2101" + "00" * 31,  # hash of a value cut
    ],
)
def test_malformed_nodes_are_refused(node: str) -> None:
    with pytest.raises(ProofError):
        decode_node(bytes.fromhex(node))


@given(st.binary(max_size=120))
@settings(max_examples=300)
def test_any_bytes_decode_to_their_own_encoding_or_are_refused(data: bytes) -> None:
    try:
        node = decode_node(data)
    except ProofError:
        return
    if node.children:
        assert encode_branch(node.partial, node.value, node.bitmap, filter(None, node.children)) == data
    else:
        assert node.value is not None
        assert encode_leaf(node.partial, node.value) == data


LONG = b"v" * 100
LEAF_A = encode_leaf("2" * 10, node_value(LONG))
LEAF_B = encode_leaf("3" * 70, node_value(b"short"))
ROOT_NODE = encode_branch("0", None, 0b11, [reference(LEAF_A), reference(LEAF_B)])
ROOT = blake2_256(ROOT_NODE)
KEY_A, KEY_B = bytes.fromhex("00" + "2" * 10), bytes.fromhex("01" + "3" * 70)
ABSENT = bytes.fromhex("00" + "2" * 8 + "44")


def test_a_proof_shows_values_and_absence_from_hand_made_nodes() -> None:
    assert trie_root({KEY_A: LONG, KEY_B: b"short"}) == ROOT
    parts = [LONG, LEAF_B, ROOT_NODE, LEAF_A, b"a node of nobody"]
    wanted = {KEY_A: LONG, KEY_B: b"short", ABSENT: None, b"": None, b"\x05": None, b"\x10": None}
    assert verify_proof(ROOT, parts, wanted) == wanted


@pytest.mark.parametrize("missing", [LONG, LEAF_A, ROOT_NODE])
def test_a_part_that_is_missing_or_changed_is_refused(missing: bytes) -> None:
    parts = [LONG, LEAF_A, LEAF_B, ROOT_NODE]
    cut = [part for part in parts if part != missing]
    flipped = [bytes([part[0] ^ 1]) + part[1:] if part == missing else part for part in parts]
    for proof in (cut, flipped):
        with pytest.raises(ProofError, match="lacks the part with hash 0x" + blake2_256(missing).hex()):
            verify_proof(ROOT, proof, [KEY_A])


def test_a_proof_for_another_root_is_refused() -> None:
    with pytest.raises(ProofError):
        verify_proof(bytes(32), [LONG, LEAF_A, LEAF_B, ROOT_NODE], [KEY_A])


def test_nothing_is_proven_absent_by_an_empty_state_only() -> None:
    assert verify_proof(EMPTY_ROOT, [], [b"a"]) == {b"a": None}
    with pytest.raises(ProofError):
        verify_proof(ROOT, [], [b"a"])


def test_an_oversized_proof_is_refused_unread() -> None:
    with pytest.raises(ProofError, match="at most"):
        verify_proof(ROOT, [bytes(MAX_PROOF_BYTES), b"x"], [KEY_A])
