"""What a miner needs to reveal is on disk before the chain knows of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from miners.compressor import Compressor, LostMemory
from miners.payload import encode
from miners.promise import BLOB_FILE, MEMORY_FILE, PROMISE_FILE, Promise, Promises
from miners.replica import genesis_weights
from runtime.primitives.commitments import update_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Hash
from tests.miners.test_replica import SMALL, payload

HOTKEY, SALT = b"\x07" * 32, b"\x01" * 32


def promised(blob: bytes) -> Promise:
    return Promise(3, HOTKEY.hex(), SALT.hex(), blake2_256(blob).hex(), len(blob), "22" * 32)


def trained() -> tuple[bytes, Compressor]:
    """A payload and the error feedback it leaves."""
    base = genesis_weights(1, SMALL.model)
    after = Compressor(SMALL)
    after.error[:] = np.float32(0.5)
    return encode(payload(base, 1)), after


def test_a_promise_survives_the_process_and_opens_its_commitment(tmp_path: Path) -> None:
    blob, after = trained()
    Promises(tmp_path).keep(promised(blob), blob, after)
    assert Promises(tmp_path).open() == (promised(blob), blob)
    digest = Hash(blake2_256(blob))
    assert promised(blob).commitment(b"\x05" * 32, 1) == update_commitment(
        Hash(b"\x05" * 32), 1, 3, AccountId(HOTKEY), SALT, digest, len(blob), Hash(b"\x22" * 32)
    )


def test_the_error_feedback_moves_on_with_the_reveal_only(tmp_path: Path) -> None:
    (blob, after), promises = trained(), Promises(tmp_path)
    promises.keep(promised(blob), blob, after)
    assert not promises.memory(SMALL).error.any()
    promises.fulfil()
    promises.fulfil()  # a life that ended in between does it again
    assert promises.memory(SMALL).digest() == after.digest()
    assert promises.open() is None


def test_a_revealed_payload_is_due_until_judges_have_it(tmp_path: Path) -> None:
    (blob, after), promises = trained(), Promises(tmp_path)
    promises.keep(promised(blob), blob, after)
    assert promises.due() is None
    promises.fulfil()
    promises.fulfil()
    assert Promises(tmp_path).due() == (promised(blob), blob)
    promises.settle(replace(promised(blob), round=2))  # late: of a payload before this one
    assert promises.due() == (promised(blob), blob)
    promises.settle(promised(blob))
    assert promises.due() is None


def test_a_lost_round_leaves_the_error_feedback_as_it_was(tmp_path: Path) -> None:
    (blob, after), promises = trained(), Promises(tmp_path)
    promises.keep(promised(blob), blob, after)
    promises.drop()
    assert promises.open() is None
    assert not promises.memory(SMALL).error.any()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"round": 1}'])
def test_a_damaged_promise_is_none(tmp_path: Path, damage: bytes) -> None:
    (blob, after), promises = trained(), Promises(tmp_path)
    promises.keep(promised(blob), blob, after)
    (tmp_path / PROMISE_FILE).write_bytes(damage)
    assert promises.open() is None


def test_a_damaged_blob_is_not_revealed(tmp_path: Path) -> None:
    (blob, after), promises = trained(), Promises(tmp_path)
    promises.keep(promised(blob), blob, after)
    (tmp_path / BLOB_FILE).write_bytes(blob[:-1])
    assert promises.open() is None


def test_damaged_error_feedback_is_said_and_can_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / MEMORY_FILE).write_bytes(b"damaged")
    promises = Promises(tmp_path)
    with pytest.raises(LostMemory, match="is not a whole error feedback"):
        promises.memory(SMALL)
    promises.forget_memory()
    assert not promises.memory(SMALL).error.any()
