"""Commitments bind everything that is revealed, the hotkey, the round and the chain."""

from dataclasses import replace

import pytest

from runtime.primitives.commitments import MAX_SCORES, Score, score_commitment, update_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.layout import EncodeError
from runtime.primitives.types import AccountId, Hash

GENESIS = Hash(b"\x01" * 32)
HOTKEY = AccountId(b"\x02" * 32)
SALT = b"\x03" * 32
DIGEST = Hash(b"\x04" * 32)
EF_DIGEST = Hash(b"\x05" * 32)
SCORE = Score(7, 1_000_000, 5_545_177, 5_400_000, -1_000_000, -2)


def test_update_commitment_hashes_the_documented_bytes() -> None:
    said = b"\x14upd/1" + GENESIS + b"\x01\x00" + b"\x09\x00\x00\x00" + HOTKEY + SALT + DIGEST
    expected = blake2_256(said + b"\xe8\x03\x00\x00" + EF_DIGEST)
    assert update_commitment(GENESIS, 1, 9, HOTKEY, SALT, DIGEST, 1_000, EF_DIGEST) == expected


def test_score_commitment_hashes_the_documented_bytes() -> None:
    said = b"\x14scr/1" + GENESIS + b"\x01\x00" + b"\x09\x00\x00\x00" + HOTKEY + SALT + b"\x04"
    numbers = (1_000_000, 5_545_177, 5_400_000)
    encoded = b"\x07\x00" + b"".join(number.to_bytes(4, "little") for number in numbers)
    encoded += b"\xc0\xbd\xf0\xff" + b"\xfe\xff\xff\xff"  # -1,000,000 and -2
    assert score_commitment(GENESIS, 1, 9, HOTKEY, SALT, [SCORE]) == blake2_256(said + encoded)


def test_every_part_of_an_update_is_bound() -> None:
    parts = [GENESIS, 1, 9, HOTKEY, SALT, DIGEST, 1_000, EF_DIGEST]
    others = [DIGEST, 2, 8, AccountId(SALT), bytes(32), EF_DIGEST, 999, DIGEST]
    changed = [[*parts[:at], other, *parts[at + 1 :]] for at, other in enumerate(others)]
    commitments = [update_commitment(*each) for each in [parts, *changed]]
    assert len(set(commitments)) == 9


def test_every_part_of_a_score_is_bound() -> None:
    scores = [
        [SCORE],
        [],
        [SCORE, SCORE],
        [replace(SCORE, uid=8)],
        [replace(SCORE, score=1)],
        [replace(SCORE, loss_before=1)],
        [replace(SCORE, loss_after=1)],
        [replace(SCORE, alignment=1)],
        [replace(SCORE, own_drop=1)],
    ]
    assert len({score_commitment(GENESIS, 1, 9, HOTKEY, SALT, each) for each in scores}) == 9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(EncodeError):
        update_commitment(GENESIS, 1, 9, HOTKEY, SALT, DIGEST, 1 << 32, EF_DIGEST)
    with pytest.raises(EncodeError):
        update_commitment(GENESIS, 1, 9, HOTKEY, b"short", DIGEST, 1, EF_DIGEST)
    with pytest.raises(EncodeError):
        score_commitment(GENESIS, 1, 9, HOTKEY, SALT, [SCORE] * (MAX_SCORES + 1))
