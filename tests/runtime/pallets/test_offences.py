"""From two signatures to one slash: reports that are right, reports that are not, and what they cost whom."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from runtime.apis import answer
from runtime.frame.declare import Pays
from runtime.pallets import babe, grandpa
from runtime.pallets.offences import MIN_FRACTION, WHOLE, Offence, slash_fraction
from runtime.pallets.staking.messages import SlashReported
from runtime.pallets.system import ExtrinsicSuccess
from runtime.pallets.transaction_payment import TransactionFeePaid
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.grandpa import Message, Precommit, Prevote
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Seal
from runtime.primitives.membership import MEMBERSHIP_PROOF, MembershipProof, OpaqueValue
from runtime.primitives.scale import codec
from runtime.primitives.session import BABE_KEY
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.types import Slot
from runtime.primitives.validity import TransactionSource
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import Chain, Key
from tests.runtime.pallets.accusations import (
    BABE,
    GRANDPA,
    SESSION,
    STAKE,
    VALIDATORS,
    accused,
    double_seal,
    double_vote,
    network,
    next_session,
    other,
    ownership,
    report,
    sealed,
    unsigned,
)

LOCAL, EXTERNAL, IN_BLOCK = TransactionSource.Local, TransactionSource.External, TransactionSource.InBlock
ALONE = 562_500_000
"""(3 * 1/4)^2 of the stake, parts per billion"""
LOSS = STAKE * 9 // 16


def ready() -> Chain:
    """Return a chain some sessions old, in the middle of a session."""
    chain = network()
    next_session(chain, 3)
    chain.build()
    return chain


def deed(chain: Chain, who: Key, kind: str) -> Any:
    """Return the proof of what a validator did now."""
    if kind == "babe":
        return double_seal(who, chain.slot)
    return double_vote(who, set_id=chain.runtime.grandpa.current_set_id.get())


def offences(block: Any) -> list[Any]:
    """Return what a block says about offences."""
    return [each.event for each in block.events if isinstance(each.event, Offence | SlashReported)]


def apply_slashes(chain: Chain) -> None:
    """Go on until everything that was deferred is applied, and once more."""
    next_session(chain, 6)
    chain.runtime.try_state()


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("kind", ["babe", "grandpa"])
def test_who_signs_twice_is_disabled_at_once_and_slashed_in_the_next_era(kind: str, signed: bool) -> None:
    chain = ready()
    who, reporter, author = accused(chain), accused(chain, 2), accused(chain, 0)
    proof = deed(chain, who, kind)
    owned = ownership(chain, proof)
    before = {each.name: chain.free(each) for each in VALIDATORS}
    encoded = chain.sign(reporter, report(proof, owned)) if signed else unsigned(proof, owned)
    block = chain.build(encoded)
    assert block.errors[-1] is None
    assert before == {each.name: chain.free(each) for each in VALIDATORS}, "a right report is free"
    era = chain.runtime.staking.active_era.get().index
    time_slot = (proof.slot if kind == "babe" else proof.set_id).to_bytes(8, "little")
    time_slot += b"" if kind == "babe" else (3).to_bytes(8, "little")
    name = {"babe": b"babe:equivocatio", "grandpa": b"grandpa:equivoca"}[kind]
    assert offences(block) == [SlashReported(who.account, ALONE, era), Offence(name, time_slot)]
    runtime = chain.runtime
    assert runtime.session.is_disabled(1)
    assert who.account not in runtime.staking.validators
    runtime.try_state()
    apply_slashes(chain)
    rewarded = reporter if signed else author
    changed = {each.name: chain.free(each) - before[each.name] for each in VALIDATORS}
    assert changed == {each.name: 0 for each in VALIDATORS} | {who.name: -LOSS, rewarded.name: LOSS // 10}


def test_a_right_report_gives_the_fee_back_but_not_the_tip() -> None:
    chain = ready()
    proof, reporter, author = deed(chain, accused(chain), "babe"), accused(chain, 2), accused(chain, 0)
    before = chain.free(reporter), chain.free(author)
    block = chain.build(chain.sign(reporter, report(proof, ownership(chain, proof)), tip=7))
    assert (chain.free(reporter), chain.free(author)) == (before[0] - 7, before[1] + 7)
    paid = [each.event for each in block.events if isinstance(each.event, TransactionFeePaid)]
    assert paid == [TransactionFeePaid(reporter.account, 7, 7)]
    assert isinstance(block.events[-1].event, ExtrinsicSuccess)
    assert block.events[-1].event.dispatch_info.pays_fee is Pays.No


def test_everybody_reports_both_kinds_and_the_slash_is_taken_once() -> None:
    chain = ready()
    who = accused(chain)
    before = chain.free(who)
    for kind in ("babe", "grandpa"):
        proof = deed(chain, who, kind)
        owned = ownership(chain, proof)
        first = chain.build(unsigned(proof, owned))
        assert [type(each) for each in offences(first)] == [SlashReported, Offence]
        others = [each for each in VALIDATORS if each is not who]
        again = chain.build(*(chain.sign(each, report(proof, owned)) for each in others))
        duplicate = (babe if kind == "babe" else grandpa).Error.DuplicateOffenceReport
        assert [error and error.reason for error in again.errors[1:]] == [duplicate] * 3
        assert offences(again) == []
        for source in (LOCAL, IN_BLOCK):
            assert refusal(chain, unsigned(proof, owned), source) == "Stale"
    apply_slashes(chain)
    assert chain.free(who) == before - LOSS
    assert dict(chain.runtime.staking.unapplied_slashes.items()) == {}


def test_a_second_offender_of_a_time_slot_raises_what_the_first_one_loses() -> None:
    chain = ready()
    three = [accused(chain, place) for place in (1, 2, 3)]
    before = {who.name: chain.free(who) for who in three}
    blocks = []
    for who in three:
        proof = deed(chain, who, "grandpa")
        blocks.append(chain.build(unsigned(proof, ownership(chain, proof))))
    era = chain.runtime.staking.active_era.get().index
    one, two, last = (who.account for who in three)
    assert offences(blocks[0])[:-1] == [SlashReported(one, ALONE, era)]
    assert offences(blocks[1])[:-1] == [SlashReported(one, WHOLE, era), SlashReported(two, WHOLE, era)]
    assert offences(blocks[2])[:-1] == [SlashReported(last, WHOLE, era)]
    apply_slashes(chain)
    lost = {who.name: before[who.name] - chain.free(who) for who in three}
    assert lost == {who.name: STAKE for who in three}


def test_two_accidents_in_different_slots_are_not_one_attack() -> None:
    chain = ready()
    fractions = []
    for place in (1, 2):
        proof = double_vote(accused(chain, place), place, chain.runtime.grandpa.current_set_id.get())
        fractions += offences(chain.build(unsigned(proof, ownership(chain, proof))))[:-1]
    assert [each.fraction for each in fractions] == [ALONE, ALONE]


def test_no_report_disables_so_many_that_finality_stops() -> None:
    chain = ready()
    for place in (1, 2, 3):
        proof = deed(chain, accused(chain, place), "babe")
        chain.build(unsigned(proof, ownership(chain, proof)))
    assert chain.runtime.session.disabled_validators.get() == [1]


# Reports that are not right.


def refusal(chain: Chain, encoded: bytes, source: TransactionSource) -> str:
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, encoded, source=source)
    return refused.value.reason


def reseal(header: Any, signer: Key) -> Any:
    unsealed = header.unsealed()[0]
    return unsealed.sealed(Seal(BABE_ENGINE, signer.sign(unsealed.hash())))


def sealed_again(signer: Key, header: Any) -> Any:
    """Return the same block with another seal that is as good: whoever has the key can make many."""
    unsealed, seal = header.unsealed()
    message, public = unsealed.hash(), signer.account
    digest = hashlib.sha512(blake2_256(signer.name.encode())).digest()
    secret = bytes([digest[0] & 248, *digest[1:31], digest[31] & 127 | 64])
    nonce = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"another nonce").digest())
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(point + public + message).digest())
    scalar = bindings.crypto_core_ed25519_scalar_add(
        nonce,
        bindings.crypto_core_ed25519_scalar_mul(
            challenge, bindings.crypto_core_ed25519_scalar_reduce(secret + bytes(32))
        ),
    )
    assert verify_ed25519(point + scalar, message, public)
    assert point + scalar != seal._1
    return unsealed.sealed(replace(seal, _1=point + scalar))


BABE_ERROR, GRANDPA_ERROR = babe.Error, grandpa.Error


def forged(chain: Chain) -> list[tuple[str, Any, MembershipProof, Any]]:
    """Return accusations of who sits at place 1, each with what is wrong with it and the error it gets."""
    who, bystander = accused(chain), accused(chain, 2)
    seal = double_seal(who, chain.slot)
    owned = ownership(chain, seal)
    first, second = seal.first_header, seal.second_header
    signer, slot = BABE[who.name], chain.slot
    reindexed, resealed = sealed(signer, slot, b"b", index=2), reseal(second, BABE[bystander.name])
    bad, unowned = BABE_ERROR.InvalidEquivocationProof, BABE_ERROR.InvalidKeyOwnershipProof
    cases: list[tuple[str, Any, MembershipProof, Any]] = [
        ("one block twice", other(seal, second_header=first), owned, bad),
        ("one block, two seals", other(seal, second_header=sealed_again(signer, first)), owned, bad),
        ("forged by a bystander", other(seal, second_header=resealed), owned, bad),
        ("another slot", other(seal, second_header=sealed(signer, slot + 1, b"b")), owned, bad),
        ("another slot than it says", other(seal, slot=slot + 1), owned, bad),
        ("another authority index", other(seal, second_header=reindexed), owned, bad),
        ("no seal", other(seal, second_header=second.unsealed()[0]), owned, bad),
        ("a seal of another engine",
         other(seal, second_header=second.unsealed()[0].sealed(replace(second.digest.logs[-1], _0=b"FRNK"))),
         owned, bad),
        ("no pre-digest", other(seal, second_header=bare(signer, second)), owned, bad),
        ("of the voting key", double_seal_by(GRANDPA[who.name], slot), owned, unowned),
        ("of nobody here", double_seal_by(Key("nobody"), slot), owned, unowned),
        ("with another's ownership", seal, ownership(chain, double_seal(bystander, slot)), unowned),
        ("of a slot before the session", double_seal(who, slot - SESSION), owned, unowned),
        ("of a slot after the session", double_seal(who, slot + SESSION), owned, unowned),
        ("of a slot before genesis", double_seal(who, 1), owned, unowned),
        ("of the last slot there is", double_seal(who, 2**64 - 1), owned, unowned),
        ("with another session", seal, replace(owned, session=owned.session - 1), unowned),
        ("with another count", seal, replace(owned, validator_count=5), unowned),
        ("without nodes", seal, replace(owned, trie_nodes=[]), unowned),
    ]  # fmt: skip
    set_id = chain.runtime.grandpa.current_set_id.get()
    votes = double_vote(who, set_id=set_id)
    owned = ownership(chain, votes)
    ballot = votes.equivocation
    bad, unowned = GRANDPA_ERROR.InvalidEquivocationProof, GRANDPA_ERROR.InvalidKeyOwnershipProof
    stranger = replace(ballot, identity=GRANDPA[bystander.name].account)
    later, fourth = replace(ballot, round_number=4), double_vote(who, 4, set_id).equivocation
    return [
        *cases,
        ("one vote twice", replace(votes, equivocation=replace(ballot, second=ballot.first)), owned, bad),
        ("another's votes", replace(votes, equivocation=stranger), owned, bad),
        ("votes of different rounds",
         replace(votes, equivocation=replace(ballot, second=fourth.second)), owned, bad),
        ("another round than signed", replace(votes, equivocation=later), owned, bad),
        ("another set than signed", replace(votes, set_id=set_id + 1), owned, bad),
        ("a prevote and a precommit", mixed(who, set_id), owned, bad),
        ("votes of a set to come", double_vote(who, set_id=set_id + 1), owned, bad),
        ("votes of the set before", double_vote(who, set_id=set_id - 1), owned, bad),
        ("votes of no set ever", double_vote(who, set_id=2**64 - 1), owned, bad),
        ("votes with the author's key", votes, ownership(chain, seal), unowned),
        ("votes with another's ownership", votes,
         ownership(chain, double_vote(bystander, set_id=set_id)), unowned),
    ]  # fmt: skip


def double_seal_by(signer: Key, slot: int) -> Any:
    first, second = (sealed(signer, slot, what) for what in (b"a", b"b"))
    return babe.EquivocationProof(signer.account, slot, first, second)


def bare(signer: Key, header: Any) -> Any:
    return reseal(replace(header, digest=replace(header.digest, logs=[header.digest.logs[-1]])), signer)


def mixed(who: Key, set_id: int) -> Any:
    """Return a proof whose second vote is of the other phase, signed as what it is."""
    votes = double_vote(who, set_id=set_id)
    prevotes = double_vote(who, set_id=set_id, kind=Prevote).equivocation
    vote, signature = prevotes.second
    said: Message = Precommit(vote.target_hash, vote.target_number)
    return replace(votes, equivocation=replace(votes.equivocation, second=(said, signature)))


SHARED = ready()
FORGED = forged(SHARED)


@pytest.mark.parametrize("case", FORGED, ids=[name for name, *_ in FORGED])
def test_a_false_report_is_refused_and_costs_only_who_made_it(case: Any) -> None:
    _, proof, owned, error = case
    execution = SHARED.open()
    for inherent in execution.inherents({"timestamp": (SHARED.slot + 1) * 2_000}):
        execution.apply(inherent)
    runtime: Any = execution.runtime
    who, liar = accused(SHARED), accused(SHARED, 3)
    for source in (LOCAL, IN_BLOCK):
        assert refusal(SHARED, unsigned(proof, owned), source) == "BadProof"
    with pytest.raises(TransactionRejected, match="bad signature"):
        execution.apply(unsigned(proof, owned))
    ledger, paid = runtime.staking.ledger[who.account], SHARED.sign(liar, report(proof, owned))
    funds = runtime.balances.free(liar.account)
    refused = execution.apply(paid)
    assert refused is not None
    assert refused.reason == error
    assert runtime.balances.free(liar.account) == funds - SHARED.fee(paid)
    assert runtime.staking.ledger[who.account] == ledger
    assert (list(runtime.offences.reports.keys()), runtime.session.disabled_validators.get()) == ([], [])
    assert list(runtime.staking.unapplied_slashes.items()) == []


def test_clients_cannot_report_without_a_signature() -> None:
    proof = double_seal(accused(SHARED), SHARED.slot)
    encoded = unsigned(proof, ownership(SHARED, proof))
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(SHARED.state, SHARED.head, encoded, source=EXTERNAL)
    assert refused.value.describe() == "Transaction call is not expected"
    assert refused.value.encode() == b"\0\0"


def test_a_right_report_waits_in_the_pool_before_everything_else_and_stays_at_home() -> None:
    for proof in (double_seal(accused(SHARED), SHARED.slot), deed(SHARED, accused(SHARED), "grandpa")):
        encoded = unsigned(proof, ownership(SHARED, proof))
        valid = EXECUTIVE.validate(SHARED.state, SHARED.head, encoded, source=LOCAL)
        (tag,) = valid.provides
        assert valid == ValidTransaction(2**64 - 1, [], [tag], 2 * 2 * SESSION, propagate=False)
    assert tag.startswith(b"\x4cGrandpaEquivocation" + proof.equivocation.identity)


def test_a_session_that_has_not_begun_here_is_not_held_against_the_report() -> None:
    proof = double_seal(accused(SHARED), SHARED.slot)
    owned = ownership(SHARED, proof)
    encoded = unsigned(proof, replace(owned, session=owned.session + 1))
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(SHARED.state, SHARED.head, encoded, source=LOCAL)
    assert (refused.value.reason, refused.value.early) == ("Future", True)


def test_what_no_bond_answers_for_any_more_cannot_be_reported() -> None:
    chain = ready()
    seal, votes = (deed(chain, accused(chain), kind) for kind in ("babe", "grandpa"))
    reports = [unsigned(each, ownership(chain, each)) for each in (seal, votes)]
    kept = 2 * 3
    next_session(chain, kept)
    for each in reports:
        EXECUTIVE.validate(chain.state, chain.head, each, source=LOCAL)
    next_session(chain)
    assert [refusal(chain, each, LOCAL) for each in reports] == ["BadProof", "BadProof"]


def test_a_report_of_an_earlier_session_slashes_in_its_own_era() -> None:
    chain = ready()
    proof = deed(chain, accused(chain), "babe")
    late, era = unsigned(proof, ownership(chain, proof)), chain.runtime.staking.active_era.get().index
    next_session(chain, 3)
    assert chain.runtime.staking.active_era.get().index > era
    assert offences(chain.build(late))[0] == SlashReported(accused(chain).account, ALONE, era)


def test_a_slot_after_skipped_epochs_is_of_the_session_it_was_in() -> None:
    chain = ready()
    chain.build(slot=chain.slot + 4 * SESSION)
    assert chain.runtime.babe.epoch_index.get() > chain.runtime.session.current_index.get()
    proof = deed(chain, accused(chain), "babe")
    assert [type(each) for each in offences(chain.build(unsigned(proof, ownership(chain, proof))))] == [
        SlashReported,
        Offence,
    ]


# What nodes ask for.


def test_the_runtime_api_makes_the_ownership_proofs() -> None:
    who = accused(SHARED)
    key, form = BABE[who.name].account, codec(OpaqueValue | None)
    name = "BabeApi_generate_key_ownership_proof"

    def ask(slot: int, key: bytes) -> OpaqueValue | None:
        found: OpaqueValue | None = form.decode(
            answer(SHARED.state, SHARED.head, name, codec(Slot).encode(slot) + key)
        )
        return found

    opaque = ask(SHARED.slot, key)
    assert opaque is not None
    assert MEMBERSHIP_PROOF.decode(opaque._0) == SHARED.runtime.historical.prove(BABE_KEY, key)
    assert [ask(SHARED.slot - SESSION, key), ask(SHARED.slot + SESSION, key)] == [None, None]
    assert ask(SHARED.slot, GRANDPA[who.name].account) is None
    name, set_id = "GrandpaApi_generate_key_ownership_proof", SHARED.runtime.grandpa.current_set_id.get()
    assert ask(set_id, GRANDPA[who.name].account) is not None
    assert [ask(set_id, key), ask(set_id + 1, GRANDPA[who.name].account)] == [None, None]


@given(st.integers(1, 2**63), st.integers(0, 2**63), st.integers(0, 2**63))
def test_the_fraction_grows_with_the_weight_and_is_exact(total: int, one: int, two: int) -> None:
    less, more = sorted((min(one, total), min(two, total)))
    assert MIN_FRACTION <= slash_fraction(less, total) <= slash_fraction(more, total) <= WHOLE
    assert slash_fraction(total, total) == WHOLE
    exact = 9 * less * less * WHOLE // (total * total)
    assert slash_fraction(less, total) == min(WHOLE, max(MIN_FRACTION, exact))


def test_a_third_loses_everything_and_a_hundredth_almost_nothing() -> None:
    assert [slash_fraction(weight, 300) for weight in (1, 3, 10, 99, 100, 300)] == [
        MIN_FRACTION, MIN_FRACTION, 10_000_000, 980_100_000, WHOLE, WHOLE,
    ]  # fmt: skip
