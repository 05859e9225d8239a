"""Error feedback: nothing is lost between rounds, and the memory survives a restart."""

from pathlib import Path

import numpy as np
import pytest

from miners.compressor import Compressor, LostMemory
from miners.layout import ModelConfig, parameters_of
from miners.parameters import PPM, TrainingParameters
from runtime.primitives.hashing import blake2_256

TINY = ModelConfig(vocabulary=8, hidden=4, layers=1, heads=1, feed_forward=4, sequence=4)
COUNT = parameters_of(TINY)
KEEPS_ALL = TrainingParameters(model=TINY, chunk=32, top_k=4, beta_ppm=PPM)
BASE = bytes(32)


def delta(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(COUNT).astype(np.float32) * np.float32(0.01)


def test_what_was_sent_and_what_is_kept_add_up() -> None:
    compressor, sent = Compressor(KEEPS_ALL), np.zeros(COUNT, dtype=np.float32)
    for seed in range(5):
        payload = compressor.compress(delta(seed), BASE)
        sent[payload.indices] += payload.values()
    produced = sum(delta(seed) for seed in range(5))
    assert np.allclose(sent + compressor.error, produced, atol=1e-6)


def test_memory_fades_by_beta() -> None:
    parameters = TrainingParameters(model=TINY, chunk=32, top_k=4, beta_ppm=500_000)
    compressor = Compressor(parameters, np.full(COUNT, 0.5, dtype=np.float32))
    payload = compressor.compress(np.zeros(COUNT, dtype=np.float32), BASE)
    rest = np.full(COUNT, 0.25, dtype=np.float32)
    rest[payload.indices] = 0
    assert (compressor.error == rest).all()


def test_the_digest_is_that_of_the_memory_before_compressing() -> None:
    compressor = Compressor(KEEPS_ALL)
    assert compressor.digest() == blake2_256(bytes(4 * COUNT))
    compressor.compress(delta(1), BASE)
    assert compressor.digest() == blake2_256(compressor.error.tobytes())


def test_a_restarted_miner_sends_the_same(tmp_path: Path) -> None:
    compressor = Compressor(KEEPS_ALL)
    compressor.compress(delta(1), BASE)
    compressor.save(tmp_path / "error")
    restarted = Compressor.load(KEEPS_ALL, tmp_path / "error")
    assert restarted.digest() == compressor.digest()
    one, other = compressor.compress(delta(2), BASE), restarted.compress(delta(2), BASE)
    assert (one.indices == other.indices).all()
    assert (one.levels == other.levels).all()
    assert [path.name for path in tmp_path.iterdir()] == ["error"]


def test_a_damaged_or_foreign_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "error"
    Compressor(KEEPS_ALL).save(path)
    whole = path.read_bytes()
    for blob in (b"", whole[:-1], whole + b"\x00", whole[:-1] + b"\x01", b"PICKL" + whole[5:]):
        path.write_bytes(blob)
        with pytest.raises(LostMemory) as refusal:
            Compressor.load(KEEPS_ALL, path)
        assert str(refusal.value) == (
            f"{path} is not a whole error feedback of {4 * COUNT} bytes; delete it to start anew"
        )


def test_a_memory_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "error"
    Compressor(KEEPS_ALL, np.full(COUNT, np.nan, dtype=np.float32)).save(path)
    with pytest.raises(LostMemory, match="holds a number that is not finite"):
        Compressor.load(KEEPS_ALL, path)
