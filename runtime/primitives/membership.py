"""Who owned a session key: the proof that it belonged to a validator of a session, and what it leads to.

    trie of a session   key type ++ compact length ++ key -> index u32;  index u32 -> Identification

Source: sp_session; FRAME's pallet_session::historical (ProvingTrie, state version 0).
"""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from runtime.primitives.scale import codec
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY, KeyTypeId
from runtime.primitives.shapes import Bounded, struct, u32, u64
from runtime.primitives.trie import Proof, ProofError, prove, trie_root
from runtime.primitives.types import AccountId, Ed25519Public, Hash

MAX_PROOF_NODES = 64
"""A path through a set of a thousand validators has five nodes; nobody can grind keys for a longer one."""
VERSION = 0
"""of the trie: values stay in their nodes, however long"""


@struct("sp_session::MembershipProof")
class MembershipProof:
    """The path from the root of a session to a key, and on to who owned it."""

    session: u32
    trie_nodes: Annotated[list[bytes], Bounded(MAX_PROOF_NODES)]
    validator_count: u32


@struct("sp_runtime::OpaqueValue")
class OpaqueValue:
    """Bytes that whoever asked for them hands back unread."""

    _0: bytes


@struct("assay_runtime::Identification")
class Identification:
    """A validator of a session: its weight there, and the weight of the whole set."""

    stash: AccountId
    weight: u64
    total: u64


class Member(NamedTuple):
    """A validator of a session with the keys it had in it."""

    stash: AccountId
    babe: Ed25519Public
    grandpa: Ed25519Public
    weight: u64


MEMBERSHIP_PROOF = codec(MembershipProof)
_OWNED_KEY = codec(tuple[KeyTypeId, bytes])
_INDEX = codec(u32)
_IDENTIFICATION = codec(Identification)


def session_root(members: list[Member]) -> Hash:
    """Return the root that stands for a session's validators."""
    return trie_root(_entries(members), VERSION)


def prove_membership(session: int, members: list[Member], kind: bytes, key: bytes) -> MembershipProof | None:
    """Return the proof that a key belonged to one of a session's validators, None where it did not."""
    entries, owned = _entries(members), _OWNED_KEY.encode((kind, key))
    index = entries.get(owned)
    if index is None:
        return None
    return MembershipProof(session, prove(entries, (owned, index), VERSION), len(members))


def verify_membership(root: Hash, proof: MembershipProof, kind: bytes, key: bytes) -> Identification | None:
    """Return who owned a key in the session with this root, None where the proof does not show it."""
    try:
        found = _read(root, proof, _OWNED_KEY.encode((kind, key)))
    except ProofError:
        return None
    return found


def _entries(members: Iterable[Member]) -> dict[bytes, bytes]:
    listed = list(members)
    total = sum(member.weight for member in listed)
    entries = {}
    for at, member in enumerate(listed):
        index = _INDEX.encode(at)
        entries[_OWNED_KEY.encode((BABE_KEY, member.babe))] = index
        entries[_OWNED_KEY.encode((GRANDPA_KEY, member.grandpa))] = index
        entries[index] = _IDENTIFICATION.encode(Identification(member.stash, member.weight, total))
    return entries


def _read(root: Hash, proof: MembershipProof, owned: bytes) -> Identification | None:
    trie = Proof(proof.trie_nodes)
    index = trie.value(root, owned)
    found = None if index is None else trie.value(root, index)
    return None if found is None else _IDENTIFICATION.decode(found)
