"""Range proofs against plain dicts: every honest range is accepted, and nothing that is not true."""

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.common.state_data import MAX_ENTRIES, MAX_KEY, MAX_NODES, NOTHING, Entry, StateRange
from chain.storage.range_proof import Shown, prove_range, verify_range
from chain.storage.restore import HeldSnapshot
from chain.storage.state import Cache, Disk, View
from runtime.primitives.trie import EMPTY_ROOT, ProofError, trie_root
from runtime.primitives.types import Hash

KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x1F, 0xFF]), max_size=4).map(bytes)
VALUES = st.sampled_from([0, 1, 31, 32, 33, 70]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
STATES = st.dictionaries(KEYS, VALUES, max_size=24)
LIMITS = st.sampled_from([0, 20, 60, 150, 10_000])


def view(state: Mapping[bytes, bytes]) -> View:
    return View((), Disk(HeldSnapshot(state), Cache(1 << 20)))


def entries(state: Mapping[bytes, bytes], start: bytes) -> list[Entry]:
    return sorted((key, value) for key, value in state.items() if key >= start)


def is_true(state: Mapping[bytes, bytes], start: bytes, claim: StateRange) -> bool:
    """Say whether a claim about a state holds, without any proof."""
    wanted = entries(state, start)
    is_all = len(claim.entries) == len(wanted)
    return claim.entries == wanted[: len(claim.entries)] and claim.is_complete == is_all


def accepted(root: Hash, start: bytes, claim: StateRange) -> Shown | None:
    try:
        return verify_range(root, start, claim)
    except ProofError:
        return None


@given(STATES, KEYS, LIMITS)
@settings(max_examples=400, deadline=None)
def test_every_honest_range_is_accepted(state: dict[bytes, bytes], start: bytes, limit: int) -> None:
    found = prove_range(view(state), start, limit)
    assert is_true(state, start, found)
    assert found.entries or found.is_complete
    shown = verify_range(trie_root(state), start, found)
    rest = [key for key, _ in entries(state, start)[len(found.entries) :]]
    marks = [mark.key for mark in shown.beyond]
    assert bool(marks) == bool(rest) == (not found.is_complete)
    assert marks == sorted(marks)
    for mark, above in pairwise([*marks, None]):
        assert mark is not None
        assert any(mark <= key and (above is None or key < above) for key in rest)
    places = [mark.place for mark in shown.beyond]
    assert places == sorted(places)
    assert all(0 < place < 1 for place in places)
    assert shown.place == (places[0] if places else 1.0)


@given(STATES, LIMITS)
@settings(max_examples=100, deadline=None)
def test_ranges_in_a_row_are_the_state(state: dict[bytes, bytes], limit: int) -> None:
    root, reader, found, start, last = trie_root(state), view(state), list[Entry](), b"", -1.0
    while True:
        part = prove_range(reader, start, limit)
        place = verify_range(root, start, part).place
        assert place > last
        found, last = found + part.entries, place
        if part.is_complete:
            break
        start = part.entries[-1][0] + b"\x00"
    assert found == sorted(state.items())


@given(STATES, KEYS, KEYS)
@settings(max_examples=200, deadline=None)
def test_a_range_ends_with_the_first_key_beyond_its_end(
    state: dict[bytes, bytes], start: bytes, end: bytes
) -> None:
    found = prove_range(view(state), start, 10_000, end)
    wanted = entries(state, start)
    below = [entry for entry in wanted if entry[0] < end]
    assert found.entries == wanted[: len(below) + 1]
    assert verify_range(trie_root(state), start, found)


def altered(claim: StateRange, rng: random.Random, other: StateRange) -> StateRange:
    """Return a claim with one thing changed."""
    held, proof = list(claim.entries), list(claim.proof)
    match rng.randrange(10):
        case 0 if held:
            del held[rng.randrange(len(held))]
        case 1:
            held.insert(rng.randrange(len(held) + 1), (rng.randbytes(rng.randrange(3)), rng.randbytes(2)))
        case 2 if held:
            place = rng.randrange(len(held))
            held[place] = held[place][0], rng.choice([b"", b"x", rng.randbytes(33)])
        case 3 if len(held) > 1:
            place = rng.randrange(len(held) - 1)
            held[place : place + 2] = held[place + 1], held[place]
        case 4 if proof:
            del proof[rng.randrange(len(proof))]
        case 5:
            proof.insert(rng.randrange(len(proof) + 1), rng.choice([b"", b"\x00", *proof, *other.proof]))
        case 6 if any(proof):
            place = rng.choice([each for each, node in enumerate(proof) if node])
            spot = rng.randrange(len(proof[place]))
            proof[place] = proof[place][:spot] + rng.randbytes(1) + proof[place][spot + 1 :]
        case 7:
            return replace(claim, is_complete=not claim.is_complete)
        case 8:
            proof = list(other.proof)
        case _:
            held = list(other.entries)
    return StateRange(held, proof, claim.is_complete)


@given(STATES, KEYS, KEYS, LIMITS, LIMITS, st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_nothing_false_is_accepted(
    state: dict[bytes, bytes], start: bytes, another: bytes, limit: int, more: int, rng: random.Random
) -> None:
    reader, root = view(state), trie_root(state)
    claim, other = prove_range(reader, start, limit), prove_range(reader, another, more)
    for _ in range(6):
        false = altered(claim, rng, other)
        if accepted(root, start, false):
            assert is_true(state, start, false)
        claim = rng.choice([claim, false])


@given(STATES.filter(bool), KEYS, LIMITS, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_every_kind_of_lie_is_refused(
    state: dict[bytes, bytes], start: bytes, limit: int, rng: random.Random
) -> None:
    claim, root = prove_range(view(state), start, limit), trie_root(state)
    for place, (key, value) in enumerate(claim.entries):
        before, after = claim.entries[:place], claim.entries[place + 1 :]
        assert not accepted(root, start, replace(claim, entries=[*before, (key, value + b"x"), *after]))
        assert not accepted(
            root, start, replace(claim, entries=[*before, (key, value), (key, value), *after])
        )
        assert after == [] or not accepted(root, start, replace(claim, entries=[*before, *after]))
        assert after == [] or not accepted(
            root, start, replace(claim, entries=[*before, *after, (key, value)])
        )
    unknown = rng.randbytes(5)
    added = sorted([*claim.entries, (unknown, b"1")])
    assert unknown in state or not accepted(root, start, replace(claim, entries=added))
    for place, node in enumerate(claim.proof):
        without = [*claim.proof[:place], *claim.proof[place + 1 :]]
        assert not accepted(root, start, replace(claim, proof=without))
        assert not accepted(root, start, replace(claim, proof=[*without, node, node]))
    assert not accepted(root, start, replace(claim, proof=[*claim.proof, b"\x00"]))
    assert not accepted(root, start, replace(claim, is_complete=not claim.is_complete))
    assert not accepted(Hash(bytes(32)), start, claim)
    assert not accepted(root, start, NOTHING)


def test_an_empty_state_has_one_range() -> None:
    empty = StateRange([], [], is_complete=True)
    assert prove_range(view({}), b"any", 100) == empty
    assert verify_range(EMPTY_ROOT, b"any", empty) == Shown(1.0, [])
    for false in (
        StateRange([(b"z", b"")], [], is_complete=True),
        StateRange([], [b"\x00"], is_complete=True),
        NOTHING,
    ):
        assert not accepted(EMPTY_ROOT, b"", false)


def test_the_longest_keys_lie_below_each_other() -> None:
    """Every prefix of one key, so that the trie is as deep as it gets."""
    state = {bytes(size): bytes([size % 256]) * 40 for size in range(MAX_KEY + 1)}
    root, reader = trie_root(state), view(state)
    for start in (b"", bytes(100), bytes(MAX_KEY), bytes(MAX_KEY) + b"\x00"):
        for limit in (0, 5_000, 1 << 20):
            found = prove_range(reader, start, limit)
            verify_range(root, start, found)
            assert is_true(state, start, found)
            assert len(found.proof) <= MAX_NODES


def test_what_no_range_has_is_refused_before_anything_is_hashed() -> None:
    root = trie_root({b"a": b"1"})
    many = [(place.to_bytes(3, "big"), b"") for place in range(MAX_ENTRIES + 1)]
    for false, why in (
        (StateRange(many, [], is_complete=True), "16385 entries and 0 nodes are more than a range has"),
        (StateRange([], [b""] * (MAX_NODES + 1), is_complete=True), "0 entries and 1021 nodes are more"),
        (StateRange([(bytes(MAX_KEY + 1), b"")], [], is_complete=True), "a key of more than 255 bytes"),
        (NOTHING, "nothing is given, and more is said to follow"),
    ):
        with pytest.raises(ProofError, match=why):
            verify_range(root, b"", false)
