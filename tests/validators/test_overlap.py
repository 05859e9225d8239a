"""Copies are found by where their values stand, exactly or from a sample that nobody knew before."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.layout import parameters_of
from miners.payload import Payload, compress, shape_of
from tests.miners.test_replica import SMALL
from validators import overlap
from validators.overlap import COPY_PPM, Sent, copies, overlaps

SHAPE = shape_of(SMALL, bytes(32))
COUNT = parameters_of(SMALL.model)
BEACON = b"\x05" * 32
PPM = 1_000_000


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(COUNT, dtype=np.float32)


def sent(payload: Payload, number: int, height: int, index: int = 0, miner: bytes = b"m") -> Sent:
    return Sent.of(payload, miner, (number, height, index))


def mixed(original: Payload, share: float, seed: int) -> Payload:
    """Return a payload that repeats so much of another one, chunk by chunk."""
    fresh = compress(vector(seed), SHAPE)
    taken = np.random.default_rng(seed).random(SHAPE.chunks) < share
    chosen = np.where(taken[fresh.chunk_of()], original.indices, fresh.indices)
    return replace(fresh, indices=chosen)


def plain(left: Payload, right: Payload) -> int:
    return len(set(left.indices.tolist()) & set(right.indices.tolist())) * PPM // len(right.indices)


def test_overlap_is_the_share_of_positions() -> None:
    payloads = [compress(vector(1), SHAPE), compress(vector(2), SHAPE)]
    payloads += [mixed(payloads[0], 0.5, 3), payloads[1]]
    found = list(overlaps([sent(each, 1, at) for at, each in enumerate(payloads)], 1, SHAPE, BEACON))
    expected = [[plain(payloads[at], payloads[last]) for at in range(last)] for last in (1, 2, 3)]
    assert [row.tolist() for row in found] == expected
    assert found[2][1] == PPM
    assert found[0][0] < 100_000  # chance


def test_the_later_commit_is_the_copy_and_the_earlier_one_is_none() -> None:
    original = compress(vector(1), SHAPE)
    current = [
        sent(original, 9, 40), sent(compress(vector(2), SHAPE), 9, 40, 1),
        sent(mixed(original, 0.9, 3), 9, 41), sent(mixed(original, 0.1, 4), 9, 42),
    ]  # fmt: skip
    found = copies(current, [], SHAPE, BEACON)
    assert [None if one is None else one.original.place for one in found] == [None, None, (9, 40, 0), None]
    assert found[2] is not None
    assert found[2].overlap_ppm > 800_000


def test_a_stale_update_is_a_copy_of_its_own_miners() -> None:
    before, now = compress(vector(1), SHAPE), compress(vector(2), SHAPE)
    earlier = [sent(before, 6, 10, miner=b"a"), sent(now, 7, 20, miner=b"b")]
    found = copies([sent(before, 9, 40, miner=b"a"), sent(now, 9, 41, miner=b"c")], earlier, SHAPE, BEACON)
    assert [one.original.miner for one in found if one] == [b"a", b"b"]
    assert copies([], earlier, SHAPE, BEACON) == []
    assert copies([sent(now, 9, 41)], [], SHAPE, BEACON) == [None]


def test_what_everybody_changes_makes_nobody_a_copy() -> None:
    common = compress(vector(1), SHAPE)
    young = [mixed(common, 0.65, seed) for seed in range(2, 8)]  # two of them share four tenths or more
    current = [sent(each, 9, at) for at, each in enumerate(young)]
    shares = [share for row in overlaps(current, 0, SHAPE, BEACON) for share in row.tolist()]
    assert max(shares) > COPY_PPM
    assert copies(current, [], SHAPE, BEACON) == [None] * 6
    thief = sent(mixed(young[0], 0.95, 9), 9, 7)
    found = copies([*current, thief], [], SHAPE, BEACON)
    assert [one and one.original.place for one in found] == [None] * 6 + [(9, 0, 0)]
    ring = [sent(common, 9, at) for at in range(5)]  # most of a round, and alike
    assert [one is None for one in copies(ring, [], SHAPE, BEACON)] == [True, False, False, False, False]


def test_noise_of_four_in_ten_does_not_make_copies_of_the_others() -> None:
    common = compress(vector(1), SHAPE)
    young = [mixed(common, 0.65, seed) for seed in range(2, 8)]
    noise = [compress(vector(seed), SHAPE) for seed in range(20, 24)]
    current = [sent(each, 9, at) for at, each in enumerate([*young, *noise])]
    assert max(next(overlaps(current, 5, SHAPE, BEACON)).tolist()) > COPY_PPM
    assert copies(current, [], SHAPE, BEACON) == [None] * 10


@given(st.lists(st.integers(0, PPM), min_size=1, max_size=9), st.data())
def test_usual_is_the_upper_median_of_the_other_shares(shares: list[int], data: st.DataObject) -> None:
    own = data.draw(st.sampled_from(shares))
    others = sorted(shares)
    others.remove(own)
    usual = others[len(others) // 2] if others else 0
    assert overlap._least(own, sorted(shares)) == min(900_000, max(COPY_PPM, 2 * usual))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_a_sample_tells_what_all_positions_tell(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    original = compress(vector(1), SHAPE)
    pairs = [[sent(original, 9, 1), sent(mixed(original, share, seed), 9, 2)] for seed in range(2, 42)]
    exact = [next(overlaps(pair, 1, SHAPE, BEACON))[0] for pair in pairs]
    monkeypatch.setattr(overlap, "MOST_BITS", 0)
    assert SHAPE.chunks > overlap.LEAST_CHUNKS
    sampled = [next(overlaps(pair, 1, SHAPE, bytes([at]) * 32))[0] for at, pair in enumerate(pairs)]
    assert abs(np.mean(exact) - np.mean(sampled)) < 40_000  # unbiased
    assert np.mean((np.array(sampled) >= COPY_PPM) == (np.array(exact) >= COPY_PPM)) > 0.9


def test_the_sample_is_the_beacons() -> None:
    many = len(range(1 << 20))
    chosen = {tuple(overlap._chunks(SHAPE, many, bytes([at]) * 32).tolist()) for at in range(3)}
    assert len(chosen) == 3
    assert {len(each) for each in chosen} == {overlap.LEAST_CHUNKS}
    assert len(overlap._chunks(SHAPE, 10, BEACON)) == SHAPE.chunks
