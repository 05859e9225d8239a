"""The payload codec: what is kept, how small it is, and that hostile bytes are refused."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from miners.parameters import TrainingParameters
from miners.payload import HEADER, MalformedPayload, Payload, PayloadShape, compress, decode, encode, shape_of

BASE = bytes(range(32))
LEVELS = HEADER.size
SHAPES = st.builds(
    lambda parameters, chunk, part: PayloadShape(BASE, parameters, chunk, max(1, chunk * part // 8), 1 << 20),
    st.integers(1, 700),
    st.integers(16, 128),
    st.integers(1, 8),
)
TINY = PayloadShape(BASE, 200, 64, 8, 200)


def vector(parameters: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(parameters, dtype=np.float32) * np.float32(0.01)


def tiny_blob() -> bytes:
    return encode(compress(vector(200, 1), TINY))


def fields(payload: Payload) -> tuple[object, ...]:
    arrays = (payload.indices, payload.negative, payload.high, payload.levels)
    return (payload.shape, *((one.dtype, one.tolist()) for one in arrays))


@given(SHAPES, st.integers(0, 1 << 32))
def test_decode_undoes_encode(shape: PayloadShape, seed: int) -> None:
    payload = compress(vector(shape.parameters, seed), shape)
    assert fields(decode(encode(payload), shape)) == fields(payload)


@given(SHAPES, st.integers(0, 1 << 32))
def test_the_largest_of_every_chunk_are_kept(shape: PayloadShape, seed: int) -> None:
    numbers = vector(shape.parameters, seed).round(3)  # rounding makes ties; of equals the first is kept
    payload = compress(numbers, shape)
    expected = []
    for start in range(0, shape.parameters, shape.chunk):
        part = np.abs(numbers[start : start + shape.chunk])
        count = math.ceil(shape.top_k * len(part) / shape.chunk)
        expected += sorted(start + int(one) for one in np.argsort(-part, kind="stable")[:count])
    assert payload.indices.tolist() == expected
    assert shape.values == len(expected)


def test_values_are_the_two_levels_with_their_signs() -> None:
    shape = PayloadShape(BASE, 64, 64, 4, 1 << 10)
    numbers = np.zeros(64, dtype=np.float32)
    numbers[[3, 10, 20, 63]] = (-0.5, 2.0, 0.5, -2.0)
    payload = compress(numbers, shape)
    assert payload.indices.tolist() == [3, 10, 20, 63]
    assert payload.values().tolist() == [-0.5, 2.0, 0.5, -2.0]


def test_two_levels_lose_little_of_a_normal_vector() -> None:
    shape = shape_of(TrainingParameters(), BASE)
    numbers = vector(shape.parameters, 3)
    payload = compress(numbers, shape)
    kept = numbers[payload.indices]
    lost = np.linalg.norm(kept - payload.values()) / np.linalg.norm(kept)
    assert lost < 0.1


def test_values_beyond_the_format_become_the_largest_level() -> None:
    shape = PayloadShape(BASE, 16, 16, 2, 1 << 10)
    payload = compress(np.full(16, 1e6, dtype=np.float32), shape)
    assert payload.values().tolist() == [3.984375, 3.984375]
    assert fields(decode(encode(payload), shape)) == fields(payload)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_update_that_is_not_finite_is_not_compressed(number: float) -> None:
    with pytest.raises(ValueError, match="must be 200 finite numbers"):
        compress(np.full(200, number, dtype=np.float32), TINY)


@pytest.mark.parametrize(("top_k", "times"), [(128, 115), (64, 200)])
def test_a_payload_is_small(top_k: int, times: int) -> None:
    """Of a chunk of 4,096: against float32, and within 3 % of what its positions' entropy asks for."""
    shape = shape_of(replace(TrainingParameters(), top_k=top_k), BASE)
    payload = compress(vector(shape.parameters, 5), shape)
    blob = encode(payload)
    share = shape.top_k / shape.chunk
    entropy = -(share * math.log2(share) + (1 - share) * math.log2(1 - share)) / share  # bits per index
    flags_and_levels = HEADER.size + 4 * shape.chunks + shape.values / 4
    assert len(blob) < flags_and_levels + 1.03 * entropy * shape.values / 8
    assert len(blob) * times < 4 * shape.parameters


def replaced(blob: bytes, at: int, new: bytes) -> bytes:
    return blob[:at] + new + blob[at + len(new) :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda blob: b"", "payload has 0 bytes, its header alone needs 54"),
        (lambda blob: blob[:53], "payload has 53 bytes, its header alone needs 54"),
        (lambda blob: blob + bytes(200), "payload has {plus} bytes, at most 200 are allowed"),
        (lambda blob: replaced(blob, 0, b"PK"), "payload starts with 504b5550, not with 41535550"),
        (lambda blob: replaced(blob, 4, b"\x02"), "version is 2, this round needs 1"),
        (lambda blob: replaced(blob, 5, b"\x10"), "rice parameter is 16, at most 15 is allowed"),
        (lambda blob: replaced(blob, 6, b"\x41"), "chunk is 65, this round needs 64"),
        (lambda blob: replaced(blob, 10, b"\x09"), "top_k is 9, this round needs 8"),
        (
            lambda blob: replaced(blob, 14, b"\xff" * 8),
            "parameters is 18446744073709551615, this round needs 200",
        ),
        (
            lambda blob: replaced(blob, 22, bytes(32)),
            f"trained from model 0x{bytes(32).hex()}, this round starts at 0x{BASE.hex()}",
        ),
        (lambda blob: replaced(blob, LEVELS, b"\xc0\x7f"), "a level is not a finite number"),
        (lambda blob: replaced(blob, LEVELS, b"\x80\x7f"), "a level is not a finite number"),
        (lambda blob: replaced(blob, LEVELS, b"\x80\xff"), "a level is not a finite number"),
        (lambda blob: replaced(blob, LEVELS + 2, b"\x80\x40"), "a level is 4 or more in absolute value"),
        (lambda blob: replaced(blob, LEVELS + 2, b"\x80\xc0"), "a level is 4 or more in absolute value"),
        (lambda blob: replaced(blob, LEVELS, b"\x00\x80"), "a level is negative; signs have their own field"),
        (lambda blob: replaced(blob, LEVELS, b"\x7f\x40"), "a chunk's low level is above its high level"),
        (lambda blob: blob[:-1], "payload holds {less} positions, needs 25"),
        (lambda blob: blob[:60], "payload is truncated: 60 bytes, needs more than 70"),
        (lambda blob: blob + b"\x00", "payload has trailing bytes"),
        (lambda blob: blob + bytes(90), "payload has trailing bytes"),
        (lambda blob: blob + b"\x01", "payload holds 26 positions, needs 25"),
        (lambda blob: replaced(blob, LEVELS + 19, b"\xff"), "the padding of the sign field is not zero"),
        (lambda blob: replaced(blob, LEVELS + 23, b"\xff"), "the padding of the level field is not zero"),
    ],
)
def test_malformed_bytes_are_refused_with_one_line(change, message: str) -> None:  # type: ignore[no-untyped-def]
    blob = tiny_blob()
    last = bin(blob[-1]).count("1")
    with pytest.raises(MalformedPayload) as refusal:
        decode(change(blob), TINY)
    assert str(refusal.value) == message.format(plus=len(blob) + 200, less=25 - last)


def test_a_position_behind_its_chunk_is_refused() -> None:
    shape = PayloadShape(BASE, 64, 64, 2, 1 << 10)
    header = HEADER.pack(b"ASUP", 1, 0, 64, 2, 64, BASE)
    reaches_the_last = np.packbits([0] * 62 + [1, 1]).tobytes()  # gaps 62 and 0: positions 62 and 63
    falls_out = np.packbits([0] * 63 + [1, 1]).tobytes()  # positions 63 and 64
    assert decode(header + bytes(4 + 2) + reaches_the_last, shape).indices.tolist() == [62, 63]
    with pytest.raises(MalformedPayload, match="a position is outside of its chunk"):
        decode(header + bytes(4 + 2) + falls_out, shape)


def test_a_position_behind_the_last_parameter_is_refused() -> None:
    shape = PayloadShape(BASE, 20, 16, 4, 1 << 10)  # the tail chunk has 4 parameters and keeps 1
    header = HEADER.pack(b"ASUP", 1, 0, 16, 4, 20, BASE)
    last = np.packbits([1, 1, 1, 1, 0, 0, 0, 1]).tobytes()
    behind = np.packbits([1, 1, 1, 1, 0, 0, 0, 0, 1]).tobytes()
    assert decode(header + bytes(8 + 2) + last, shape).indices.tolist() == [0, 1, 2, 3, 19]
    with pytest.raises(MalformedPayload, match="a position is outside of its chunk"):
        decode(header + bytes(8 + 2) + behind, shape)


@settings(max_examples=300)
@given(st.binary(max_size=220))
def test_any_bytes_are_refused_or_read(body: bytes) -> None:
    header = HEADER.pack(b"ASUP", 1, body[0] % 17 if body else 0, 64, 8, 200, BASE)
    try:
        payload = decode(header + body, TINY)
    except MalformedPayload:
        return
    check(payload)


def test_flipped_bytes_are_refused_or_read_as_another_lawful_payload() -> None:
    blob, dice, read = tiny_blob(), random.Random(11), 0
    for _ in range(3_000):
        hurt = bytearray(blob)
        for _ in range(dice.randint(1, 4)):
            hurt[dice.randrange(len(hurt))] = dice.randrange(256)
        try:
            payload = decode(bytes(hurt), TINY)
        except MalformedPayload:
            continue
        read += 1
        check(payload)
    assert 0 < read < 3_000


def check(payload: Payload) -> None:
    """A payload that was read keeps every promise the aggregate relies on."""
    assert len(payload.indices) == TINY.values
    assert (np.diff(payload.indices) > 0).all()
    assert payload.indices[0] >= 0
    assert payload.indices[-1] < TINY.parameters
    assert np.bincount(payload.chunk_of(), minlength=4).tolist() == [8, 8, 8, 1]
    assert (np.abs(payload.values()) < 4).all()
