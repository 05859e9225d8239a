"""Who leads how many slots: by weight to within what chance allows, by c, and the same on every machine."""

from fractions import Fraction
from math import isqrt

import pytest

from chain.consensus.slots import Epoch, claim
from chain.keys.pair import Keypair
from runtime.primitives.babe import Primary, pre_digest_of, primary_threshold, secondary_author
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import Hash

SLOTS = 100_000
WEIGHTS = (50, 30, 15, 5)
PAIRS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave")]
AUTHORITIES = [(pair.public, weight) for pair, weight in zip(PAIRS, WEIGHTS, strict=True)]
ZERO = Hash(bytes(32))


def counted(weights: tuple[int, ...], randomness: bytes) -> list[int]:
    """Return how many slots each authority leads."""
    authorities = [(bytes([index]) * 32, weight) for index, weight in enumerate(weights)]
    found = [0] * len(weights)
    for slot in range(SLOTS):
        found[secondary_author(authorities, randomness, slot)] += 1
    return found


def test_slots_go_by_weight() -> None:
    """Within four standard deviations of a binomial distribution: fair draws fail once in 4,000 rounds."""
    found = counted(WEIGHTS, bytes(32))
    for weight, slots in zip(WEIGHTS, found, strict=True):
        expected = SLOTS * weight // 100
        spread = isqrt(SLOTS * weight * (100 - weight) // 10_000)
        assert abs(slots - expected) <= 4 * spread, (weight, slots)
    assert sum(found) == SLOTS


def test_weights_up_to_the_limit_leave_nobody_out() -> None:
    """Stakes in the order of 2^61: there is no rounding, and the smallest weight still leads its share."""
    huge = tuple(weight << 55 for weight in WEIGHTS)
    assert counted(huge, bytes(32)) == counted(WEIGHTS, bytes(32))
    assert secondary_author([(b"a", 1), (b"b", (1 << 63) - 2)], bytes(32), 0) == 1


def test_the_leader_changes_with_randomness_and_slot() -> None:
    def leaders(randomness: bytes, slots: range) -> list[int]:
        return [secondary_author(AUTHORITIES, randomness, slot) for slot in slots]

    first = leaders(b"1" * 32, range(200))
    assert first == leaders(b"1" * 32, range(200))
    assert first != leaders(b"2" * 32, range(200))
    assert first != leaders(b"1" * 32, range(1, 201))


@pytest.mark.parametrize(
    ("c", "weights"),
    [((1, 4), WEIGHTS), ((1, 2), (1, 1, 1)), ((1, 4), (1, (1 << 62) - 1)), ((9, 10), (7, 3))],
)
def test_thresholds_are_the_share_that_splitting_cannot_change(
    c: tuple[int, int], weights: tuple[int, ...]
) -> None:
    """1 - (1 - c)^(w/W): that nobody wins has probability 1 - c, however the weight is divided."""
    total = sum(weights)
    one = 1 << 128
    losing = Fraction(1)
    for weight in weights:
        losing *= Fraction(one - primary_threshold(c, weight, total), one)
    assert abs(losing - (1 - Fraction(*c))) < Fraction(len(weights), one)


def test_primary_slots_are_as_frequent_as_c() -> None:
    epoch = Epoch(1, AUTHORITIES, bytes(32), (1, 4))
    thresholds = [epoch.threshold(index) for index in range(4)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert (primary_threshold((0, 1), 1, 1), primary_threshold((1, 1), 1, 2)) == (0, 1 << 128)
    primary_slots = primaries = seconds = 0
    for slot in range(600):
        claims = [claim(pair, slot, epoch) for pair in PAIRS]
        kinds = [
            pre_digest_of(Header(ZERO, 1, ZERO, ZERO, Digest([item]))) for item in claims if item is not None
        ]
        assert kinds, "no slot is left without a leader"
        won = sum(isinstance(kind, Primary) for kind in kinds)
        primary_slots += won > 0
        primaries += won
        seconds += won > 1
    assert 150 - 4 * 10 < primary_slots < 150 + 4 * 10  # a standard deviation is 10.6
    assert primaries > primary_slots, "some slots have two primary authors"
    assert seconds < primary_slots / 3
