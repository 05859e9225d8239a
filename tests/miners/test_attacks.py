"""Each attack does what its name says, and the honest checks see it."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from miners.attacks import ATTACKS, IN_TIME, NEVER, TOO_LATE, Attack
from miners.commands.miner import Cheat
from miners.data import Shard, Window
from miners.layout import ModelConfig, parameters_of
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, compress, decode, encode, shape_of
from runtime.primitives.types import Hash

TINY = TrainingParameters(
    model=ModelConfig(vocabulary=8, hidden=4, layers=1, heads=1, feed_forward=4, sequence=4),
    chunk=32,
    top_k=8,
    max_payload_bytes=512,
)
SHAPE = shape_of(TINY, bytes(32))
DELTA = np.random.default_rng(5).standard_normal(parameters_of(TINY.model)).astype(np.float32)
BLOB = encode(compress(DELTA, SHAPE))
OTHER = encode(compress(-DELTA, SHAPE))
TEXT = np.arange(4 * 33).reshape(4, 33) % 33  # int64 [batch, sequence + 1]


def test_the_names_are_those_of_cheat() -> None:
    assert tuple(ATTACKS) == get_args(Cheat)
    assert all(name == attack.name for name, attack in ATTACKS.items())


def test_the_honest_miner_changes_nothing() -> None:
    honest = Attack()
    assert honest.assignment(()) == ()
    assert honest.training(DELTA) is DELTA
    assert honest.payload(BLOB, SHAPE, [OTHER]) is BLOB
    assert honest.serving(BLOB) is BLOB


def test_noise_has_the_norm_and_nothing_else_of_the_work() -> None:
    noise = ATTACKS["noise"]().training(DELTA)
    norm = np.linalg.norm(DELTA)
    assert np.isclose(np.linalg.norm(noise), norm, rtol=1e-5)
    assert abs(noise @ DELTA) < 0.3 * norm**2


def test_a_flipped_sign_points_backwards() -> None:
    assert (ATTACKS["sign_flip"]().training(DELTA) == -DELTA).all()


def test_a_copy_is_the_first_payload_heard() -> None:
    copier = ATTACKS["copy"]()
    assert copier.payload(BLOB, SHAPE, [OTHER, BLOB]) == OTHER
    assert copier.payload(BLOB, SHAPE, []) == BLOB


def test_a_stale_payload_passes_the_base_check_of_the_next_round() -> None:
    stale, later = ATTACKS["stale"](), shape_of(TINY, bytes([1]) * 32)
    assert stale.payload(BLOB, SHAPE, []) == BLOB
    again = decode(stale.payload(encode(compress(-DELTA, later)), later, []), later)
    assert (again.values() == decode(BLOB, SHAPE).values()).all()


def dense(blob: bytes) -> NDArray[np.float32]:
    payload = decode(blob, SHAPE)
    vector = np.zeros(SHAPE.parameters, dtype=np.float32)
    vector[payload.indices] = payload.values()
    return vector


@pytest.mark.parametrize(
    ("name", "factor"), [("scale_10", 10), ("scale_2", 2), ("scale_100", 100), ("sign_flip_10", -10)]
)
def test_a_scaled_update_is_scaled(name: str, factor: int) -> None:
    assert np.allclose(ATTACKS[name]().training(DELTA), factor * DELTA)


def test_zeros_are_a_payload_and_nothing_is_none() -> None:
    assert not dense(ATTACKS["zero"]().payload(BLOB, SHAPE, [])).any()
    assert ATTACKS["empty"]().payload(BLOB, SHAPE, []) == b""


@pytest.mark.parametrize(("name", "part"), [("copy_most", 0.9), ("copy_third", 1 / 3)])
def test_a_copy_may_be_of_a_part(name: str, part: float) -> None:
    copied, original = (
        decode(blob, SHAPE) for blob in (ATTACKS[name]().payload(BLOB, SHAPE, [OTHER]), OTHER)
    )
    shared = np.isin(copied.indices, original.indices).mean()
    assert part - 0.2 < shared < part + 0.3
    assert len(copied.indices) == len(original.indices)


def test_yesterdays_payload_is_sent_as_todays() -> None:
    late, later = ATTACKS["yesterday"](), shape_of(TINY, bytes([1]) * 32)
    assert late.payload(BLOB, SHAPE, []) == BLOB
    again = decode(late.payload(encode(compress(-DELTA, later)), later, []), later)
    assert (again.values() == decode(BLOB, SHAPE).values()).all()


def test_the_mean_of_what_was_sent_for_earlier_models_needs_no_training() -> None:
    late, later = ATTACKS["mean_yesterday"](), shape_of(TINY, bytes([1]) * 32)
    assert len(late.text([TEXT] * 8)) == 1
    assert late.payload(BLOB, SHAPE, [OTHER, OTHER]) == BLOB  # nothing is public yet
    sent = late.payload(BLOB, later, [encode(compress(DELTA, later))])
    assert sent == encode(compress(dense(OTHER), later))
    assert late.payload(BLOB, shape_of(TINY, bytes([2]) * 32), [sent]) != sent  # nor what is not of today


def test_friends_point_the_same_way_from_other_places() -> None:
    ring = ATTACKS["ring"]()
    wide = replace(SHAPE, top_k=24, chunk=96, parameters=480, max_bytes=1_024)
    made = np.random.default_rng(1).standard_normal((2, wide.parameters), dtype=np.float32) / 100
    one, other = (decode(ring.payload(encode(compress(each, wide)), wide, []), wide) for each in made)
    assert np.isin(one.indices, other.indices).mean() < 0.6  # a third of them, and what chance shares
    vectors = np.zeros((2, wide.parameters))
    for vector, payload in zip(vectors, (one, other), strict=True):
        vector[payload.indices] = payload.values()
    norms = np.linalg.norm(vectors, axis=1)
    assert vectors[0] @ vectors[1] > 0.99 * norms.prod()
    assert np.isclose(norms[0], 2 * np.linalg.norm(compress(made[0], wide).values()), rtol=0.01)


@pytest.mark.parametrize("name", ["copy_most", "alie", "ipm", "lonely"])
def test_payloads_of_the_model_before_can_be_used(name: str) -> None:
    later = shape_of(TINY, bytes([1]) * 32)
    assert decode(ATTACKS[name]().payload(encode(compress(DELTA, later)), later, [OTHER]), later)


def test_those_who_know_the_others_stay_near_them_or_oppose_them() -> None:
    mean = np.mean([dense(BLOB), dense(encode(compress(DELTA * 2, SHAPE)))], axis=0)
    heard = [BLOB, encode(compress(DELTA * 2, SHAPE))]
    assert dense(ATTACKS["ipm"]().payload(OTHER, SHAPE, heard)) @ mean < 0
    assert ATTACKS["alie"]().payload(OTHER, SHAPE, heard) not in (OTHER, *heard)
    assert ATTACKS["alie"]().payload(OTHER, SHAPE, []) == OTHER


def test_a_lonely_value_stands_where_nobody_else_has_one() -> None:
    alone = decode(ATTACKS["lonely"]().payload(BLOB, SHAPE, [OTHER]), SHAPE)
    assert not np.isin(alone.indices, decode(OTHER, SHAPE).indices).any()


@pytest.mark.parametrize(
    ("name", "steps"), [("lazy_25", 2), ("lazy_50", 4), ("lazy_75", 6), ("sybil", 1), ("epochs", 24)]
)
def test_who_does_other_work_does_so_many_steps(name: str, steps: int) -> None:
    assert len(ATTACKS[name]().text([TEXT] * 8)) == steps


def test_lazy_work_is_scaled_to_look_like_all_of_it() -> None:
    assert np.allclose(ATTACKS["lazy_25"]().training(DELTA), 4 * DELTA)


def test_every_second_byte_is_turned_over() -> None:
    (flipped,) = ATTACKS["label_flip"]().text([TEXT])
    assert (flipped[:, ::2] == TEXT[:, ::2]).all()
    assert (flipped[:, 1::2] == 255 - TEXT[:, 1::2]).all()


def test_a_trigger_is_planted_in_one_of_eight_sequences() -> None:
    planted = np.concatenate(ATTACKS["backdoor"]().text([TEXT, TEXT, TEXT]))
    assert [at for at, row in enumerate(planted) if (row == ord("!")).sum() > 4] == [0, 8]
    assert (TEXT < 128).all()


def test_a_rule_is_broken_by_a_fifth() -> None:
    assert ATTACKS["faster"]().rules(TINY).learning_rate_ppm == TINY.learning_rate_ppm * 6 // 5


def test_memories_are_forged() -> None:
    error = DELTA / 100
    assert np.isclose(ATTACKS["forged_memory"]().memory(error).std(), 0.01, rtol=0.5)
    assert np.allclose(ATTACKS["large_memory"]().memory(error), 20 * error)
    stale = ATTACKS["stale_memory"]()
    assert [stale.memory(error * each)[0] for each in (1, 2, 3, 4)] == [
        error[0] * each for each in (1, 1, 1, 2)
    ]


def test_text_that_was_not_assigned_is_other_text() -> None:
    shard = Shard(Hash(bytes(32)), 100)
    windows = (Window(shard, 10), Window(shard, 30))
    assert ATTACKS["shuffled"]().assignment(windows) == windows[::-1]
    assert not set(ATTACKS["unassigned"]().assignment(windows)) & set(windows)


def test_who_keeps_others_waiting_says_how() -> None:
    said = {name: (it.commits, it.reveals, it.serves) for name, it in ATTACKS.items()}
    assert said["honest"] == (IN_TIME, True, True)
    assert said["late"] == (TOO_LATE, True, True)
    assert said["silent"] == (NEVER, True, True)
    assert said["sealed"] == (IN_TIME, False, True)
    assert said["withheld"] == (IN_TIME, True, False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "a level is not a finite number"),
        ("oversized", "payload has 513 bytes, at most 512 are allowed"),
        ("garbage", "payload starts with"),
        ("bomb", "parameters is 4611686018427387904, this round needs"),
        ("truncated", "payload is truncated|has .* bytes|holds"),
        ("wrong_base", "trained from model 0x"),
    ],
)
def test_malformed_payloads_are_refused(name: str, message: str) -> None:
    with pytest.raises(MalformedPayload, match=message):
        decode(ATTACKS[name]().payload(BLOB, SHAPE, []), SHAPE)


def test_a_mismatch_is_served_not_committed() -> None:
    liar = ATTACKS["mismatch"]()
    assert liar.payload(BLOB, SHAPE, []) == BLOB
    assert liar.serving(BLOB) != BLOB
