"""GRANDPA: wire forms, and which justifications prove finality."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.keys.pair import Keypair
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    EQUIVOCATION_PROOF,
    MESSAGE,
    SIGNED_MESSAGE,
    Change,
    Commit,
    EquivocationProof,
    Flaw,
    GrandpaJustification,
    JustificationError,
    Precommit,
    Prevote,
    PrimaryPropose,
    ScheduledChange,
    SignedMessage,
    SignedPrecommit,
    decode_justification,
    localized_payload,
    supermajority,
    verify_justification,
)
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "grandpa.json").read_text())
ROUND, SET_ID = 9, 3
VOTERS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave")]
EQUAL = [(pair.public, 1) for pair in VOTERS]
C0 = Hash(b"\xc0" * 32)

# One vote of //Alice in round 9 of set 3, as @polkadot/types encodes it.
ALICE_JUSTIFICATION = (
    "0900000000000000" + "c0" * 32 + "4d000000" + "04" + "c0" * 32 + "4d000000"
    "9a877bbd083ff68d2c06d26f691edb194aeffbe441d652b6101e0e11424269c4"
    "0ee0fda678a6471706cb4dfe02098c4dbbc6ecbff2ff22bede2ac0bca195d10a"
    "88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee" + "00"
)


def block(parent: Hash, number: int, salt: int = 0) -> Header:
    return Header(parent, number, ZERO_HASH, Hash(bytes([salt]) * 32), Digest([]))


def chain_of(length: int, parent: Header, salt: int = 0) -> list[Header]:
    headers = [parent]
    for _ in range(length):
        headers.append(block(headers[-1].hash(), headers[-1].number + 1, salt))
    return headers[1:]


def signed(voter: Keypair, header: Header, round_: int = ROUND, set_id: int = SET_ID) -> SignedPrecommit:
    vote = Precommit(header.hash(), header.number)
    return SignedPrecommit(vote, voter.sign(localized_payload(vote, round_, set_id)), voter.public)


def justification(
    target: Header, votes: list[SignedPrecommit], ancestry: list[Header] | None = None
) -> GrandpaJustification:
    return GrandpaJustification(ROUND, Commit(target.hash(), target.number, votes), ancestry or [])


def flaw_of(proof: GrandpaJustification, target: Header, authorities: list[tuple[bytes, int]]) -> Flaw | None:
    try:
        verify_justification(proof, authorities, SET_ID, (target.hash(), target.number))
    except JustificationError as problem:
        return problem.flaw
    return None


GENESIS = block(ZERO_HASH, 0)
MAIN = chain_of(5, GENESIS)
FORK = chain_of(3, MAIN[1], salt=1)


@pytest.mark.parametrize(
    ("message", "tag"),
    [(Prevote(C0, 77), "00"), (Precommit(C0, 77), "01"), (PrimaryPropose(C0, 77), "02")],
)
def test_message_wire_form(message: Prevote | Precommit | PrimaryPropose, tag: str) -> None:
    encoded = tag + "c0" * 32 + "4d000000"
    assert MESSAGE.encode(message).hex() == encoded
    payload = localized_payload(message, ROUND, SET_ID).hex()
    assert payload == encoded + "0900000000000000" + "0300000000000000"
    with_signature = SignedMessage(message, b"\x11" * 64, b"\x22" * 32)
    assert SIGNED_MESSAGE.encode(with_signature).hex() == encoded + "11" * 64 + "22" * 32
    assert SIGNED_MESSAGE.decode(SIGNED_MESSAGE.encode(with_signature)) == with_signature


def test_justification_wire_form_and_signature() -> None:
    proof = decode_justification(bytes.fromhex(ALICE_JUSTIFICATION))
    assert proof.encode().hex() == ALICE_JUSTIFICATION
    vote = Precommit(C0, 77)
    signature = VOTERS[0].sign(localized_payload(vote, ROUND, SET_ID))
    assert proof == GrandpaJustification(
        ROUND, Commit(C0, 77, [SignedPrecommit(vote, signature, VOTERS[0].public)]), []
    )
    verify_justification(proof, EQUAL[:1], SET_ID, (C0, 77))


def test_a_live_justification_of_five_voters_verifies() -> None:
    live = VECTORS["live_justification"]
    proof = decode_justification(bytes.fromhex(live["hex"]))
    assert proof.encode().hex() == live["hex"]
    assert (proof.round, len(proof.commit.precommits)) == (live["round"], 5)
    voters = [(signed.id, 1) for signed in proof.commit.precommits]
    target = Hash(bytes.fromhex(live["target_hash"])), live["target_number"]
    verify_justification(proof, voters, live["set_id"], target)
    with pytest.raises(JustificationError) as refused:
        verify_justification(proof, voters, live["set_id"] + 1, target)
    assert refused.value.flaw == Flaw.BAD_SIGNATURE


@pytest.mark.parametrize("vector", VECTORS["equivocation_proofs"], ids=lambda each: each["why"] or "valid")
def test_what_proves_that_somebody_voted_twice(vector: dict[str, str]) -> None:
    encoded = bytes.fromhex(vector["hex"])
    proof: EquivocationProof = EQUIVOCATION_PROOF.decode(encoded)
    assert EQUIVOCATION_PROOF.encode(proof) == encoded
    assert proof.is_valid() == vector["valid"]


@pytest.mark.parametrize("kind", [Prevote, Precommit])
def test_two_votes_of_a_voter_make_the_proof_against_it(kind: type[Prevote] | type[Precommit]) -> None:
    votes = [kind(each, 77) for each in (C0, Hash(b"\xc1" * 32))]
    first, second = (
        SignedMessage(vote, VOTERS[0].sign(localized_payload(vote, ROUND, SET_ID)), VOTERS[0].public)
        for vote in votes
    )
    assert EquivocationProof.of(SET_ID, ROUND, first, second).is_valid()
    assert not EquivocationProof.of(SET_ID, ROUND, first, first).is_valid()
    assert not EquivocationProof.of(SET_ID, ROUND + 1, first, second).is_valid()


def test_scheduled_change_wire_form() -> None:
    log = ScheduledChange(Change([(VOTERS[0].public, 1)], 0))
    encoded = "0104" + VOTERS[0].public.hex() + "0100000000000000" + "00000000"
    assert CONSENSUS_LOG.encode(log).hex() == encoded
    assert CONSENSUS_LOG.decode(bytes.fromhex(encoded)) == log


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(JustificationError) as refused:
        decode_justification(data)
    assert refused.value.flaw == Flaw.UNDECODABLE


@pytest.mark.parametrize(
    ("total", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (100, 67)]
)
def test_supermajority(total: int, needed: int) -> None:
    assert supermajority(total) == needed


def test_three_of_four_votes_finalise_and_two_do_not() -> None:
    target = MAIN[0]
    votes = [signed(voter, target) for voter in VOTERS]
    assert flaw_of(justification(target, votes[:3]), target, EQUAL) is None
    assert flaw_of(justification(target, votes[:2]), target, EQUAL) == Flaw.TOO_LITTLE_WEIGHT


def test_weights_decide_not_heads() -> None:
    target = MAIN[0]
    heavy = [(VOTERS[0].public, 67), *[(pair.public, 11) for pair in VOTERS[1:]]]
    assert flaw_of(justification(target, [signed(VOTERS[0], target)]), target, heavy) is None
    votes = [signed(voter, target) for voter in VOTERS[1:]]
    assert flaw_of(justification(target, votes), target, heavy) == Flaw.TOO_LITTLE_WEIGHT


def test_votes_for_descendants_count_for_their_ancestors() -> None:
    """Votes at 1, 3 and 5 finalise 1; the headers 2 to 5 show that they agree."""
    votes = [signed(VOTERS[0], MAIN[0]), signed(VOTERS[1], MAIN[2]), signed(VOTERS[2], MAIN[4])]
    proof = justification(MAIN[0], votes, MAIN[1:])
    assert flaw_of(proof, MAIN[0], EQUAL) is None
    later = justification(MAIN[2], votes, MAIN[1:])
    assert flaw_of(later, MAIN[2], EQUAL) == Flaw.TOO_LITTLE_WEIGHT


def test_a_commit_below_its_own_ghost_is_refused() -> None:
    votes = [signed(voter, MAIN[2]) for voter in VOTERS[:3]] + [signed(VOTERS[3], MAIN[0])]
    assert flaw_of(justification(MAIN[2], votes, MAIN[1:3]), MAIN[2], EQUAL) is None
    assert flaw_of(justification(MAIN[0], votes, MAIN[1:3]), MAIN[0], EQUAL) == Flaw.TOO_LITTLE_WEIGHT


def test_forks_meet_at_their_common_ancestor() -> None:
    votes = [
        signed(VOTERS[0], MAIN[1]),
        signed(VOTERS[1], MAIN[3]),
        signed(VOTERS[2], FORK[1]),
    ]
    assert flaw_of(justification(MAIN[1], votes, [*MAIN[2:4], *FORK[:2]]), MAIN[1], EQUAL) is None


@pytest.mark.parametrize(
    ("ancestry", "flaw"),
    [
        (MAIN[1:4], Flaw.UNUSED_HEADERS),
        ([*MAIN[1:3], MAIN[1]], Flaw.UNUSED_HEADERS),
        ([*MAIN[1:3], FORK[0]], Flaw.UNUSED_HEADERS),
        (MAIN[1:2], Flaw.BAD_ANCESTRY),
        ([], Flaw.BAD_ANCESTRY),
    ],
)
def test_ancestry_holds_exactly_the_headers_between_votes(ancestry: list[Header], flaw: Flaw) -> None:
    votes = [signed(voter, MAIN[0]) for voter in VOTERS[:2]] + [signed(VOTERS[2], MAIN[2])]
    assert flaw_of(justification(MAIN[0], votes, MAIN[1:3]), MAIN[0], EQUAL) is None
    assert flaw_of(justification(MAIN[0], votes, ancestry), MAIN[0], EQUAL) == flaw


def test_every_signature_is_checked_even_a_strangers() -> None:
    target = MAIN[0]
    votes = [signed(voter, target) for voter in VOTERS]
    for wrong in (
        replace(votes[3], signature=bytes([votes[3].signature[0] ^ 1]) + votes[3].signature[1:]),
        replace(votes[3], id=VOTERS[2].public),
        signed(VOTERS[3], target, round_=ROUND + 1),
        signed(VOTERS[3], target, set_id=SET_ID + 1),
        replace(signed(Keypair.from_suri("//Eve", "ed25519"), target), signature=votes[0].signature),
    ):
        assert flaw_of(justification(target, [*votes[:3], wrong]), target, EQUAL) == Flaw.BAD_SIGNATURE


def test_strangers_and_repetitions_add_no_weight() -> None:
    target = MAIN[0]
    eve = signed(Keypair.from_suri("//Eve", "ed25519"), target)
    votes = [signed(VOTERS[0], target), signed(VOTERS[1], target)]
    assert flaw_of(justification(target, [*votes, eve]), target, EQUAL) == Flaw.TOO_LITTLE_WEIGHT
    assert flaw_of(justification(target, [*votes, votes[0]]), target, EQUAL) == Flaw.TOO_LITTLE_WEIGHT
    assert flaw_of(justification(target, [*votes, eve, signed(VOTERS[2], target)]), target, EQUAL) is None


def test_an_equivocator_counts_once_for_every_block() -> None:
    votes = [
        signed(VOTERS[0], MAIN[1]),
        signed(VOTERS[1], MAIN[1]),
        signed(VOTERS[2], FORK[0]),
        signed(VOTERS[2], MAIN[2]),
    ]
    assert flaw_of(justification(MAIN[1], votes, [FORK[0], MAIN[2]]), MAIN[1], EQUAL) is None


def test_a_vote_with_another_height_than_its_block_is_refused() -> None:
    vote = Precommit(MAIN[2].hash(), MAIN[2].number + 1)
    lying = SignedPrecommit(vote, VOTERS[2].sign(localized_payload(vote, ROUND, SET_ID)), VOTERS[2].public)
    votes = [signed(VOTERS[0], MAIN[0]), signed(VOTERS[1], MAIN[0]), lying]
    assert flaw_of(justification(MAIN[0], votes, MAIN[1:3]), MAIN[0], EQUAL) == Flaw.BAD_NUMBER


def test_nobody_or_too_many_voted() -> None:
    target = MAIN[0]
    assert flaw_of(justification(target, []), target, EQUAL) == Flaw.NO_PRECOMMITS
    votes = [signed(VOTERS[0], target)] * 9
    assert flaw_of(justification(target, votes), target, EQUAL) == Flaw.TOO_MANY_PRECOMMITS


def test_a_proof_of_another_block_says_so() -> None:
    proof = justification(MAIN[0], [signed(voter, MAIN[0]) for voter in VOTERS])
    with pytest.raises(JustificationError) as refused:
        verify_justification(proof, EQUAL, SET_ID, (MAIN[0].hash(), 2))
    named = f"0x{MAIN[0].hash().hex()}"
    assert str(refused.value) == f"other target: it is for #1 ({named}), not for #2 ({named})"


@settings(max_examples=60)
@given(st.data())
def test_the_verdict_equals_a_count_by_hand(data: st.DataObject) -> None:
    """Random trees and votes, equivocators of at most f: final is the highest block with the weight."""
    tree = [GENESIS]
    for salt in range(1, 7):
        parent = data.draw(st.sampled_from(tree))
        tree.append(block(parent.hash(), parent.number + 1, salt))
    by_hash = {header.hash(): header for header in tree}

    def line(header: Header) -> list[Header]:
        up = [header]
        while up[-1].number:
            up.append(by_hash[up[-1].parent_hash])
        return up

    weight = {pair.public: data.draw(st.integers(1, 9)) for pair in VOTERS}
    total = sum(weight.values())
    cast: dict[bytes, list[Header]] = {}
    equivocating = 0
    for pair in VOTERS:
        targets = data.draw(st.lists(st.sampled_from(tree), max_size=2, unique_by=lambda each: each.hash()))
        if len(targets) == 2 and equivocating + weight[pair.public] > (total - 1) // 3:
            targets = targets[:1]
        equivocating += weight[pair.public] if len(targets) == 2 else 0
        cast[pair.public] = targets
    votes = [signed(pair, target) for pair in VOTERS for target in cast[pair.public]]
    if not votes:
        return
    base = min((vote.precommit for vote in votes), key=lambda vote: vote.target_number)
    between = {}
    for vote in votes:
        for each in line(by_hash[vote.precommit.target_hash]):
            if each.number > base.target_number:
                between[each.hash()] = each
    connected = all(by_hash[base.target_hash] in line(by_hash[vote.precommit.target_hash]) for vote in votes)

    def support(header: Header) -> int:
        return sum(
            weight[voter]
            for voter, targets in cast.items()
            if len(targets) == 2 or (targets and header in line(targets[0]))
        )

    candidates = [by_hash[base.target_hash], *between.values()]
    winners = [header for header in candidates if support(header) >= supermajority(total)]
    final = max(winners, key=lambda header: header.number, default=None)
    for header in tree:
        proof = justification(header, votes, list(between.values()))
        flaw = flaw_of(proof, header, list(weight.items()))
        if not connected:
            assert flaw is not None
        else:
            assert flaw == (None if header == final else Flaw.TOO_LITTLE_WEIGHT)
