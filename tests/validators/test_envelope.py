"""Sealed scores outlive the process."""

from dataclasses import replace
from pathlib import Path

import pytest

from runtime.primitives.commitments import Score
from validators.envelope import ENVELOPE_FILE, Envelope, Sealed

HOTKEY = b"\x07" * 32
SEALED = Sealed(
    5, HOTKEY.hex(), "11" * 32, "22" * 32, [Score(3, 400_000, 5_000_000, 4_900_000, 900_000, -1_000)]
)


def test_what_is_kept_is_read_back_by_round_and_hotkey(tmp_path: Path) -> None:
    Envelope(tmp_path).keep(SEALED)
    kept = Envelope(tmp_path)
    assert kept.of(5, HOTKEY) == SEALED
    assert kept.of(6, HOTKEY) is None
    assert kept.of(5, b"\x08" * 32) is None
    assert SEALED.commitment(b"\x01" * 32, 1) == kept.of(5, HOTKEY).commitment(b"\x01" * 32, 1)  # type: ignore[union-attr]


@pytest.mark.parametrize("beacon", ["zz", "", "22" * 31, "22" * 33, 5, None])
def test_an_envelope_without_the_beacon_is_none(tmp_path: Path, beacon: str) -> None:
    Envelope(tmp_path).keep(replace(SEALED, beacon=beacon))
    assert Envelope(tmp_path).of(5, HOTKEY) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"scores": [{"uid": 1}]}', '{"scores": 3}'])
def test_a_damaged_envelope_is_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / ENVELOPE_FILE).write_text(damage)
    assert Envelope(tmp_path).of(5, HOTKEY) is None
