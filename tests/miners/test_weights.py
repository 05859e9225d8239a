"""Master weights and their root."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.layout import ModelConfig, layout, parameters_of
from miners.weights import (
    ONE,
    MasterWeights,
    RefusedWeights,
    from_bytes,
    from_floats,
    initial,
    merkle_root,
)

TINY = ModelConfig(hidden=16, layers=1, heads=2, feed_forward=24, sequence=16)
COUNT = parameters_of(TINY)


def test_the_first_model_is_the_same_everywhere() -> None:
    assert (
        initial(ModelConfig(), b"assay").root().hex()
        == "abf38dd89e02dc09da20727476620e398b4aa8ac62199e56e3d8635c46a5caab"
    )
    assert initial(TINY, b"assay").root() != initial(TINY, b"other").root()


def test_the_first_model_looks_like_a_fresh_llama() -> None:
    weights = initial(ModelConfig(), b"assay")
    floats = weights.floats()
    for tensor in layout(ModelConfig()):
        part = floats[tensor.span]
        if len(tensor.shape) == 1:
            assert (part == 1).all()
        else:
            assert abs(part.mean()) < 0.001
            assert abs(part.std() - 0.02) < 0.0005


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=12))
def test_the_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    def recursive(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return blake2b(b"\x00" + part[0], digest_size=32).digest()
        split = 1 << (len(part) - 1).bit_length() - 1  # the largest power of two below the length
        return blake2b(b"\x01" + recursive(part[:split]) + recursive(part[split:]), digest_size=32).digest()

    assert merkle_root(leaves) == recursive(leaves)


@given(st.integers(0, COUNT - 1), st.integers(0, 31))
def test_every_bit_of_the_words_is_in_the_root(place: int, bit: int) -> None:
    weights = initial(TINY, b"assay")
    words = weights.words.copy()
    words[place] ^= np.int32(1 << bit) if bit < 31 else np.int32(-(1 << 31))
    assert MasterWeights(TINY, words).root() != weights.root()


def test_the_root_is_hashed_once() -> None:
    """Another hash would be another object."""
    weights = initial(TINY, b"assay")
    assert weights.root() is weights.root()


def test_bytes_round_trip() -> None:
    weights = initial(TINY, b"assay")
    assert from_bytes(TINY, weights.to_bytes()).root() == weights.root()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda blob: blob[:-1],
            f"the model has {4 * COUNT - 1} bytes, this configuration needs {4 * COUNT}",
        ),
        (
            lambda blob: (127 * ONE).to_bytes(4, "little") + blob[4:],
            "the model has a weight of 127 or more in absolute value",
        ),
        (
            lambda blob: (-127 * ONE).to_bytes(4, "little", signed=True) + blob[4:],
            "the model has a weight of 127 or more in absolute value",
        ),
    ],
)
def test_bytes_that_are_no_model_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RefusedWeights) as refusal:
        from_bytes(TINY, change(initial(TINY, b"assay").to_bytes()))
    assert str(refusal.value) == message


def test_floats_round_half_to_even_and_back() -> None:
    floats = np.zeros(COUNT)
    floats[:4] = (1.5 / ONE, 2.5 / ONE, -126.999, 1.0)
    weights = from_floats(TINY, floats)
    assert weights.words[:4].tolist() == [2, 2, round(-126.999 * ONE), ONE]
    assert weights.floats()[3] == 1.0


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 127.0, -127.0])
def test_a_float_that_has_no_place_is_refused(number: float) -> None:
    floats = np.zeros(COUNT)
    floats[7] = number
    with pytest.raises(RefusedWeights, match="the model has a weight"):
        from_floats(TINY, floats)


def test_a_vector_of_another_type_or_length_is_refused() -> None:
    with pytest.raises(RefusedWeights, match="does not hold int32"):
        MasterWeights(TINY, np.zeros(COUNT, dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(RefusedWeights, match="does not hold int32"):
        MasterWeights(TINY, np.zeros(COUNT + 1, dtype=np.int32))


def test_a_version_of_the_model_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        initial(TINY, b"assay").words[0] = 1
