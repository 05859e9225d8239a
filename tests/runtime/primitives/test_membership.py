"""Key-ownership proofs: every key's verifies, and nothing else does."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.hashing import blake2_256
from runtime.primitives.membership import (
    MAX_PROOF_NODES,
    MEMBERSHIP_PROOF,
    Identification,
    Member,
    MembershipProof,
    prove_membership,
    session_root,
    verify_membership,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY
from runtime.primitives.trie import EMPTY_ROOT
from runtime.primitives.types import AccountId

KINDS = {BABE_KEY: "babe", GRANDPA_KEY: "grandpa"}


def members(count: int, salt: bytes = b"") -> list[Member]:
    """Return as many validators, each with keys and a weight of its own."""
    return [
        Member(
            AccountId(blake2_256(salt + b"stash%d" % at)),
            blake2_256(salt + b"babe%d" % at),
            blake2_256(salt + b"grandpa%d" % at),
            at + 1,
        )
        for at in range(count)
    ]


@given(st.integers(1, 60), st.binary(max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_the_proof_of_every_key_verifies(count: int, salt: bytes, session: int) -> None:
    listed = members(count, salt)
    root, total = session_root(listed), sum(member.weight for member in listed)
    for member in listed:
        for kind, name in KINDS.items():
            key = getattr(member, name)
            proof = prove_membership(session, listed, kind, key)
            assert proof is not None
            assert (proof.session, proof.validator_count) == (session, count)
            assert MEMBERSHIP_PROOF.decode(MEMBERSHIP_PROOF.encode(proof)) == proof
            assert len(proof.trie_nodes) <= 12
            assert verify_membership(root, proof, kind, key) == Identification(
                member.stash, member.weight, total
            )


@given(st.data(), st.integers(1, 30))
@settings(max_examples=150)
def test_a_proof_shows_nothing_but_its_key_under_its_root(data: st.DataObject, count: int) -> None:
    listed = members(count)
    owner = data.draw(st.sampled_from(listed))
    proof = prove_membership(3, listed, BABE_KEY, owner.babe)
    assert proof is not None
    root = session_root(listed)
    at = data.draw(st.integers(0, len(proof.trie_nodes) - 1))
    node = bytearray(proof.trie_nodes[at])
    node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
    changed = [*proof.trie_nodes[:at], bytes(node), *proof.trie_nodes[at + 1 :]]
    lacking = [*proof.trie_nodes[:at], *proof.trie_nodes[at + 1 :]]
    for nodes in (changed, lacking, []):
        assert verify_membership(root, replace(proof, trie_nodes=nodes), BABE_KEY, owner.babe) is None
    assert verify_membership(session_root(members(count, b"x")), proof, BABE_KEY, owner.babe) is None
    assert verify_membership(EMPTY_ROOT, proof, BABE_KEY, owner.babe) is None
    stranger = data.draw(st.binary(min_size=32, max_size=32))
    for kind, key in (
        (GRANDPA_KEY, owner.babe),
        (BABE_KEY, owner.grandpa),
        (BABE_KEY, stranger),
        (b"acco", owner.babe),
    ):
        assert verify_membership(root, proof, kind, key) is None
        assert prove_membership(3, listed, kind, key) is None


def test_superfluous_nodes_do_no_harm_and_too_many_do_not_decode() -> None:
    listed = members(5)
    proof = prove_membership(0, listed, GRANDPA_KEY, listed[4].grandpa)
    assert proof is not None
    more = [*proof.trie_nodes, b"", b"noise"]
    found = verify_membership(
        session_root(listed), replace(proof, trie_nodes=more), GRANDPA_KEY, listed[4].grandpa
    )
    assert found == Identification(listed[4].stash, 5, 15)
    try:
        MEMBERSHIP_PROOF.decode(
            MEMBERSHIP_PROOF.encode(replace(proof, trie_nodes=[])).replace(
                b"\0\0\0\0\0", b"\0\0\0\0" + bytes([0x05, 0x01]) + bytes(MAX_PROOF_NODES + 1), 1
            )
        )
    except DecodeError:
        return
    raise AssertionError("a proof of too many nodes decodes")


def test_nobody_owns_a_key_of_an_empty_session() -> None:
    assert session_root([]) == EMPTY_ROOT
    assert prove_membership(0, [], BABE_KEY, bytes(32)) is None
    assert verify_membership(EMPTY_ROOT, MembershipProof(0, [], 0), BABE_KEY, bytes(32)) is None
