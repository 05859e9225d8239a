"""Justifications made from this node's keys verify, survive restarts and never contradict each other."""

from pathlib import Path

import pytest

from chain.consensus.grandpa.justification import justify, next_round
from chain.consensus.guard import Guard, GuardError
from chain.env_real import RealDisk
from chain.keys import Keypair
from runtime.primitives.grandpa import Flaw, JustificationError, verify_justification
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH

PAIRS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie")]
EQUAL = [(pair.public, 1) for pair in PAIRS]


def header(number: int) -> Header:
    return Header(ZERO_HASH, number, ZERO_HASH, ZERO_HASH, Digest([]))


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    opened = Guard.open(RealDisk(tmp_path))
    for pair in PAIRS:
        opened.admit_voter(pair.public)
    return opened


def test_one_voter_alone_finalises_its_blocks(guard: Guard) -> None:
    for number in (1, 2, 3):
        block = header(number)
        round_ = next_round(guard, PAIRS[:1], 0)
        assert round_ == number
        proof = justify(guard, PAIRS[:1], round_, 0, block)
        verify_justification(proof, EQUAL[:1], 0, (block.hash(), number))


def test_the_threshold_of_the_set_is_needed(guard: Guard) -> None:
    block = header(1)
    target = (block.hash(), 1)
    verify_justification(justify(guard, PAIRS, 1, 0, block), EQUAL, 0, target)
    with pytest.raises(JustificationError) as refused:
        verify_justification(justify(guard, PAIRS[:2], 1, 0, block), EQUAL, 0, target)
    assert refused.value.flaw == Flaw.TOO_LITTLE_WEIGHT


def test_a_round_finalises_one_block_only(guard: Guard, tmp_path: Path) -> None:
    first = justify(guard, PAIRS[:1], 1, 0, header(1))
    guard.close()
    restarted = Guard.open(RealDisk(tmp_path))
    assert justify(restarted, PAIRS[:1], 1, 0, header(1)) == first
    with pytest.raises(GuardError, match="must not vote in set 0, round 1"):
        justify(restarted, PAIRS[:1], 1, 0, header(2))
    assert next_round(restarted, PAIRS[:1], 0) == 2


def test_rounds_start_again_with_a_new_set(guard: Guard) -> None:
    justify(guard, PAIRS[:1], 41, 0, header(1))
    assert next_round(guard, PAIRS[:1], 0) == 42
    assert next_round(guard, PAIRS[:1], 1) == 1
    justify(guard, PAIRS[:1], 1, 1, header(2))
    with pytest.raises(GuardError):
        justify(guard, PAIRS[:1], 43, 0, header(3))
