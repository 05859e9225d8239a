"""Signatures: claimed without executing, verified by whoever the node says, decided no differently."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.executive import BlockRejected
from runtime.primitives.crypto import Claim, MultiSignature, verify
from runtime.primitives.era import MortalEra
from runtime.primitives.header import Digest, PreRuntime
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import AccountId
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, BOB, CAROL, SLOT_MS, Chain, call, transfer

ASY = 10**12


class Recorder:
    """Verifies, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Claim] = []

    def __call__(self, signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
        self.asked.append(Claim(signature, message, signer))
        return verify(signature, message, signer)


def two_blocks() -> tuple[Chain, list[bytes]]:
    chain = Chain()
    chain.build()
    young = MortalEra.at(64, chain.head.number)
    body = [
        chain.sign(ALICE, transfer(BOB, ASY)),
        chain.sign(BOB, transfer(CAROL, ASY), era=young),
        chain.sign(ALICE, transfer(CAROL, ASY), nonce=1),
    ]
    return chain, body


def test_a_block_asks_exactly_what_was_claimed_before_it() -> None:
    chain, transactions = two_blocks()
    executed, body, _ = chain.draft(*transactions)
    claims = EXECUTIVE.validation(chain.state, chain.head).claims(body)
    recorder = Recorder()
    again = EXECUTIVE.execute_block(
        chain.state, executed.header, body, {"timestamp": (chain.slot + 1) * SLOT_MS}, recorder
    )
    assert again == executed
    assert recorder.asked == claims
    assert [claim.signer for claim in claims] == [ALICE.account, BOB.account, ALICE.account]
    assert all(verify(*claim) for claim in claims)


def test_the_pool_asks_what_was_claimed() -> None:
    chain, transactions = two_blocks()
    recorder = Recorder()
    validation = EXECUTIVE.validation(chain.state, chain.head, recorder)
    for each in transactions:
        validation.check(each)
    assert recorder.asked == validation.claims(transactions)


def test_what_cannot_be_verified_is_not_claimed() -> None:
    chain, (good, *_) = two_blocks()
    unborn = chain.sign(ALICE, transfer(BOB, 1), era=MortalEra(64, 40), born=chain.genesis)
    bare = chain.open().inherents({"timestamp": 0})
    validation = EXECUTIVE.validation(chain.state, chain.head)
    assert len(validation.claims([b"", b"\xff" * 40, unborn, *bare, good])) == 1


def test_the_verdict_is_the_verifiers() -> None:
    chain, (good, *_) = two_blocks()
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, good, lambda *_: False)
    assert refused.value.reason == "BadProof"
    executed, body, _ = chain.draft(good)
    given_digest = Digest([log for log in executed.header.digest.logs if isinstance(log, PreRuntime)])
    execution = EXECUTIVE.open(
        chain.state, executed.header.number, chain.head.hash(), given_digest, lambda *_: False
    )
    execution.apply(body[0])
    with pytest.raises(TransactionRejected) as refused:
        execution.apply(good)
    assert refused.value.reason == "BadProof"
    with pytest.raises(BlockRejected, match="bad signature"):
        EXECUTIVE.execute_block(
            chain.state, executed.header, body, {"timestamp": (chain.slot + 1) * SLOT_MS}, lambda *_: False
        )


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=150), max_size=4))
def test_noise_claims_nothing_and_breaks_nothing(noise: list[bytes]) -> None:
    chain = SHARED
    for claim in EXECUTIVE.validation(chain.state, chain.head).claims(noise):
        assert not verify(*claim)


SHARED = Chain()


def test_what_nobody_can_change_is_decoded_once() -> None:
    chain = Chain()
    plain = chain.sign(ALICE, transfer(BOB, 5))
    assert EXECUTIVE.format.decode(plain) is EXECUTIVE.format.decode(bytes(bytearray(plain)))
    listed = chain.sign(ALICE, call("Utility", "batch", [transfer(BOB, 5)]))
    first, second = EXECUTIVE.format.decode(listed), EXECUTIVE.format.decode(listed)
    assert first == second
    assert first.call.arguments[0] is not second.call.arguments[0]
