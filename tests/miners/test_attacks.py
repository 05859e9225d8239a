"""Each attack does what its name says, and the honest checks see it."""

from typing import get_args

import numpy as np
import pytest

from miners.attacks import ATTACKS, Attack
from miners.commands.miner import Cheat
from miners.layout import ModelConfig, parameters_of
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, compress, decode, encode, shape_of

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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", "a level is not a finite number"),
        ("oversized", "payload has 513 bytes, at most 512 are allowed"),
        ("garbage", "payload starts with"),
    ],
)
def test_malformed_payloads_are_refused(name: str, message: str) -> None:
    with pytest.raises(MalformedPayload, match=message):
        decode(ATTACKS[name]().payload(BLOB, SHAPE, []), SHAPE)


def test_a_mismatch_is_served_not_committed() -> None:
    liar = ATTACKS["mismatch"]()
    assert liar.payload(BLOB, SHAPE, []) == BLOB
    assert liar.serving(BLOB) != BLOB
