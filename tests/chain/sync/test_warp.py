"""A proof of who votes leads to the point it proves; altered anywhere, it leads nowhere."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.common.block_data import WarpStep
from chain.sync.warp import TRUSTED_POINT, Proven, TrustedPoint, WarpError, verify_step, verify_steps
from runtime.primitives.grandpa import GRANDPA_ENGINE, decode_justification
from runtime.primitives.header import Consensus, Digest, Header, decode_header
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash
from tests.chain.sync.histories import GENESIS, History, authorities, child, votes

SETS = ((0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6), (7,), (0, 1, 2, 3, 4, 5, 6))
HISTORY = History(SETS)
FORK = History(((0, 1, 2, 3), (8, 9, 10, 11), (12, 13)), salt=1)


def test_a_proof_leads_from_genesis_to_the_head() -> None:
    proven = verify_steps(HISTORY.genesis, HISTORY.steps)
    last = HISTORY.headers[-1]
    point = TrustedPoint(last.hash(), last.number, 4, authorities(SETS[4]))
    assert proven == Proven(point, HISTORY.steps[-1])
    assert TRUSTED_POINT.decode(point.encode()) == point
    middle = verify_steps(HISTORY.genesis, HISTORY.steps[:2]).point
    assert (middle.number, middle.set_id) == (6, 2)
    assert verify_steps(middle, HISTORY.steps[2:]) == proven
    assert verify_steps(point, []) == Proven(point, None)


def test_enough_votes_suffice_and_a_third_is_too_few() -> None:
    header = child(GENESIS)
    for count, is_enough in ((4, True), (3, True), (2, False), (1, False)):
        step = WarpStep(header, votes(header, 0, range(count)))
        if is_enough:
            assert verify_step(HISTORY.genesis, step).number == 1
        else:
            with pytest.raises(WarpError, match="too little weight"):
                verify_step(HISTORY.genesis, step)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (HISTORY.steps[1:], "not proven final by set 0"),  # one is left out
        ([HISTORY.steps[0], HISTORY.steps[0]], "does not lie above"),  # one comes twice
        (HISTORY.steps[::-1], "not proven final by set 0"),
        ([HISTORY.steps[0], *FORK.steps[1:]], "not proven final by set 1"),  # another history goes on
        ([*HISTORY.steps, HISTORY.steps[-1]], "changes no voters"),
    ],
)
def test_steps_that_do_not_follow_are_refused(steps: list[WarpStep], reason: str) -> None:
    with pytest.raises(WarpError, match=reason):
        verify_steps(HISTORY.genesis, steps)


def test_votes_of_another_set_or_round_number_prove_nothing() -> None:
    header = HISTORY.headers[3]
    for proof in (
        votes(header, 1, SETS[0]),
        votes(header, 0, SETS[1]),
        votes(HISTORY.headers[2], 0, SETS[0]),
    ):
        with pytest.raises(WarpError, match="not proven final by set 0"):
            verify_step(HISTORY.genesis, WarpStep(header, proof))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (child(GENESIS, forced=authorities((9,))), "a checkpoint above it is needed"),
        (child(GENESIS, scheduled=authorities((9,)), delay=1), "hand over to one set of voters at once"),
        (child(GENESIS, scheduled=[]), "hand over to one set of voters at once"),
        (child(GENESIS, scheduled=authorities((9, 9))), "hand over to one set of voters at once"),
        (child(GENESIS, scheduled=[(bytes(32), 0)]), "hand over to one set of voters at once"),
        (
            replace(GENESIS, number=1, digest=Digest([Consensus(GRANDPA_ENGINE, b"\x01")])),
            "no runtime writes",
        ),
    ],
)
def test_a_change_that_no_proof_leads_across_is_refused(header: Header, reason: str) -> None:
    """Though those in charge have voted for it."""
    with pytest.raises(WarpError, match=reason):
        verify_step(HISTORY.genesis, WarpStep(header, votes(header, 0, SETS[0])))


def follow(steps: list[WarpStep]) -> TrustedPoint | None:
    """Return where steps lead, None where they are refused."""
    try:
        return verify_steps(HISTORY.genesis, steps).point
    except WarpError:
        return None


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_one_bit_of_one_step_altered_is_refused(seed: int) -> None:
    """Every bit of a step counts: those of its header by its hash, those of its votes by their signatures."""
    rng = random.Random(seed)
    steps = HISTORY.steps
    place = rng.randrange(len(steps))
    step = steps[place]
    encoded = bytearray(step.header.encode() if rng.random() < 0.5 else step.justification)
    is_header = bytes(encoded) == step.header.encode()
    encoded[rng.randrange(len(encoded))] ^= 1 << rng.randrange(8)
    if is_header:
        try:
            altered = WarpStep(decode_header(bytes(encoded)), step.justification)
        except DecodeError:
            return
        assert altered.header != step.header
    else:
        altered = WarpStep(step.header, bytes(encoded))
    assert follow([*steps[:place], altered, *steps[place + 1 :]]) is None


@settings(max_examples=100)
@given(st.lists(st.sampled_from([*HISTORY.steps, *FORK.steps]), max_size=8))
def test_any_mixture_leads_only_where_a_prefix_of_a_history_does(steps: list[WarpStep]) -> None:
    is_prefix = any(steps == history.steps[: len(steps)] for history in (HISTORY, FORK))
    point = follow(steps)
    assert (point is not None) == is_prefix
    if point is not None:
        assert point.block == (steps[-1].header.hash() if steps else HISTORY.genesis.block)


def test_a_signature_that_is_left_out_must_not_be_needed() -> None:
    """Votes may be taken away down to the threshold, not below it."""
    step = HISTORY.steps[0]
    proof = decode_justification(step.justification)
    for kept in range(5):
        commit = replace(proof.commit, precommits=proof.commit.precommits[:kept])
        fewer = WarpStep(step.header, replace(proof, commit=commit).encode())
        assert (follow([fewer]) is not None) == (kept >= 3)


def test_what_votes_say_is_bound_to_the_block() -> None:
    step = HISTORY.steps[0]
    proof = decode_justification(step.justification)
    other = Hash(b"\x07" * 32)
    for commit in (
        replace(proof.commit, target_hash=other),
        replace(proof.commit, target_number=4),
    ):
        assert follow([WarpStep(step.header, replace(proof, commit=commit).encode())]) is None
