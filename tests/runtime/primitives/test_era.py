"""Mortal eras: published vectors, and the window a transaction lives in."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.era import ERA_CODEC, IMMORTAL, MAX_PERIOD, MortalEra
from runtime.primitives.layout import EncodeError
from runtime.primitives.scale import DecodeError

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "primitives.json").read_text())["mortal_era"]
periods = st.integers(2, 16).map(lambda power: 1 << power)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['period']}-{case['current']}")
def test_published_eras(case: dict[str, int | str]) -> None:
    era = MortalEra.at(int(case["period"]), int(case["current"]))
    assert ERA_CODEC.encode(era).hex() == str(case["bytes"])[2:]
    assert ERA_CODEC.decode(bytes.fromhex(str(case["bytes"])[2:])) == era


def test_immortal_is_one_zero_byte_and_born_with_the_chain() -> None:
    assert ERA_CODEC.encode(IMMORTAL) == b"\0"
    assert ERA_CODEC.decode(b"\0") == IMMORTAL
    assert IMMORTAL.birth(12_345) == 0


@given(st.integers(0, 0xFFFF))
def test_every_two_bytes_are_one_era_or_refused(encoded: int) -> None:
    raw = encoded.to_bytes(2, "little")
    try:
        era = ERA_CODEC.decode(raw)
    except DecodeError:
        return
    assert era.period in [1 << power for power in range(2, 17)]
    assert era.phase < era.period
    assert ERA_CODEC.encode(era) == raw


@given(periods, st.integers(0, 2**32 - 1), st.integers(0, MAX_PERIOD))
def test_the_birth_block_stays_until_the_period_is_over(period: int, current: int, later: int) -> None:
    era = MortalEra.at(period, current)
    birth = era.birth(current)
    assert birth <= current < birth + period
    assert birth % period == era.phase
    now = current + later
    assert (era.birth(now) == birth) == (now < birth + period)


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 32))
def test_a_period_is_rounded_up_to_a_power_of_two_in_its_bounds(period: int, current: int) -> None:
    rounded = MortalEra.at(period, current).period
    assert rounded & (rounded - 1) == 0
    assert rounded == 4 or rounded == MAX_PERIOD or rounded // 2 < period <= rounded


@pytest.mark.parametrize(
    "era",
    [MortalEra(6, 0), MortalEra(2, 0), MortalEra(1 << 17, 0), MortalEra(8192, 1), MortalEra(4, 1 << 20)],
)
def test_no_other_era_is_encoded(era: MortalEra) -> None:
    with pytest.raises(EncodeError):
        ERA_CODEC.encode(era)


@pytest.mark.parametrize(
    "raw", [b"", b"\x01", b"\x10\x00", b"\x41\x00", b"\x41\x01", b"\x00\x00", b"\x05\x00\x00"]
)
def test_malformed_eras_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        ERA_CODEC.decode(raw)
