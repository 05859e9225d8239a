"""Decoders of evidence: whose a key was, who sealed twice, and the reports that carry both."""

from dataclasses import replace
from functools import cache
from typing import Any

from runtime.frame.state import Overlay
from runtime.primitives.babe import EQUIVOCATION_PROOF, EquivocationProof
from runtime.primitives.grandpa import EquivocationProof as VoteEquivocation
from runtime.primitives.grandpa import Precommit, Prevote, SignedMessage, localized_payload
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Seal
from runtime.primitives.membership import (
    Member,
    MembershipProof,
    prove_membership,
    session_root,
    verify_membership,
)
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY, KeyTypeId
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import AccountId, Ed25519Public, Hash
from runtime.primitives.validity import TransactionSource
from runtime.runtime import EXECUTIVE, AssayRuntime
from tests.chain import chains
from tests.fuzz.chain import chain
from tests.fuzz.engine import Target


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [_membership(), _seals(), _reports()]


def _membership() -> Target:
    """Whatever the nodes, a key is its owner's or nobody's."""
    members = [
        Member(AccountId(blake2_256(b"s%d" % at)), blake2_256(b"b%d" % at), blake2_256(b"g%d" % at), at + 1)
        for at in range(40)
    ]
    owners = {(BABE_KEY, each.babe): each.stash for each in members}
    owners |= {(GRANDPA_KEY, each.grandpa): each.stash for each in members}
    root, form = session_root(members), codec(tuple[MembershipProof, KeyTypeId, Ed25519Public])
    seeds = []
    for kind, key in list(owners)[::9]:
        proof = prove_membership(4, members, kind, key)
        assert proof is not None
        seeds.append(form.encode((proof, kind, key)))

    def read(data: bytes) -> Any:
        proof, kind, key = value = form.decode(data)
        found = verify_membership(root, proof, kind, key)
        assert found is None or owners[kind, key] == found.stash
        return value

    def kind_of(value: Any) -> object:
        return verify_membership(root, *value) is None

    return Target("membership", read, (DecodeError,), tuple(seeds), form.encode, kind=kind_of)


@cache
def _double_seal() -> EquivocationProof:
    """Return two blocks of //Alice for the slot of the chain's last one."""
    header, _ = chain().blocks[-1]
    changed = replace(header.unsealed()[0], state_root=Hash(bytes(32)))
    slot = chains.FIRST_SLOT + len(chain().blocks) - 1
    other = changed.sealed(Seal(BABE_ENGINE, chains.ALICE.sign(changed.hash())))
    return EquivocationProof(chains.ALICE.public, slot, header, other)


def _seals() -> Target:
    """No mutation of two sealed headers is evidence of anything else."""
    known = _double_seal()

    def read(data: bytes) -> Any:
        proof = EQUIVOCATION_PROOF.decode(data)
        pair = [proof.first_header, proof.second_header]
        assert not proof.is_valid() or all(each in pair for each in (known.first_header, known.second_header))
        return proof

    return Target(
        "babe.equivocation", read, (DecodeError,), (EQUIVOCATION_PROOF.encode(known),),
        EQUIVOCATION_PROOF.encode, kind=lambda proof: proof.is_valid(),
    )  # fmt: skip


@cache
def _double_votes() -> tuple[VoteEquivocation, ...]:
    found = []
    for phase in (Prevote, Precommit):
        votes = []
        for at in (1, 2):
            vote = phase(Hash(bytes([at]) * 32), at)
            signature = chains.ALICE.sign(localized_payload(vote, 3, 0))
            votes.append(SignedMessage(vote, signature, chains.ALICE.public))
        found.append(VoteEquivocation.of(0, 3, *votes))
    return tuple(found)


def _reports() -> Target:
    """Unsigned reports as the node's own pool checks them; only true ones get in."""
    known = chain()
    check = EXECUTIVE.validation(known.state, known.blocks[-1][0]).check
    historical: Any = AssayRuntime(Overlay(known.state)).historical
    accused = [("Babe", BABE_KEY, _double_seal())]
    accused += [("Grandpa", GRANDPA_KEY, each) for each in _double_votes()]  # type: ignore[misc]
    seeds = []
    for pallet, kind, proof in accused:
        owned = historical.prove(kind, chains.ALICE.public)
        call = AssayRuntime.call(pallet, "report_equivocation_unsigned", proof, owned)
        seeds.append(EXECUTIVE.format.bare(call))

    def read(data: bytes) -> bytes:
        check(data, TransactionSource.Local)
        return data

    return Target(
        "offences.report", read, (TransactionRejected,), tuple(seeds), quick=1_500,
        why_loose="nodes that prove nothing are let pass",
    )  # fmt: skip
