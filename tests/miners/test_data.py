"""Corpus, manifest, and who reads what."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miners.data import (
    MANIFEST_VERSION,
    SHARD_BYTES,
    Manifest,
    Shard,
    UnusableCorpus,
    Window,
    assignment,
    build_corpus,
    decode_manifest,
    evaluation,
    held_out,
    source_files,
)
from miners.layout import ModelConfig
from miners.parameters import TrainingParameters
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

SMALL = TrainingParameters(
    model=ModelConfig(sequence=16), inner_steps=3, batch_size=2, warmup_steps=1, evaluation_sequences=10
)
SPAN = 17


def shard(name: int, length: int) -> Shard:
    return Shard(Hash(bytes([name]) * 32), length)


MANIFEST = Manifest(
    MANIFEST_VERSION, [shard(1, 400), shard(2, 5), shard(3, SPAN), shard(4, 300)], [shard(9, 100)]
)


def write_tree(root: Path) -> None:
    for number in range(40):
        (root / f"module_{number:02}.py").write_text(f"value = {number}\n" * 500)
    for skipped in ("test/a.py", "pack/tests/b.py", "encodings/c.py", "idlelib/d.py", "site-packages/e.py"):
        (root / skipped).parent.mkdir(parents=True, exist_ok=True)
        (root / skipped).write_text("skipped = True\n")
    (root / "notes.txt").write_text("no source")


def test_the_corpus_is_the_source_files_cut_into_shards(tmp_path: Path) -> None:
    write_tree(tmp_path)
    corpus = build_corpus(tmp_path)
    manifest = corpus.manifest
    joined = b"".join(corpus.shards[one.digest] for one in (*manifest.train, *manifest.held_out))
    assert [path.name for path in source_files(tmp_path)] == [
        f"module_{number:02}.py" for number in range(40)
    ]
    assert len(joined) == sum(path.stat().st_size for path in source_files(tmp_path))
    assert b"skipped" not in joined
    assert all(one.length <= SHARD_BYTES for one in manifest.train)
    assert all(blake2_256(text) == digest for digest, text in corpus.shards.items())
    assert manifest.train
    assert manifest.held_out


def test_the_same_files_give_the_same_root_and_others_another(tmp_path: Path) -> None:
    write_tree(tmp_path)
    root = build_corpus(tmp_path).manifest.root()
    assert build_corpus(tmp_path).manifest.root() == root
    (tmp_path / "module_07.py").write_text("changed = True\n")
    assert build_corpus(tmp_path).manifest.root() != root


def test_a_directory_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableCorpus, match="holds no Python source files"):
        build_corpus(tmp_path)


def test_a_manifest_round_trips_and_is_named_by_its_hash() -> None:
    blob = MANIFEST.encode()
    assert decode_manifest(blob) == MANIFEST
    assert MANIFEST.root() == blake2_256(blob)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "the manifest does not decode: needs 1 bytes at offset 0, 0 are left"),
        (MANIFEST.encode() + b"\x00", "the manifest does not decode: 1 bytes are left over after the value"),
        (Manifest(3, [], []).encode(), "the manifest has version 3, this program reads 2"),
        (Manifest(2, [shard(1, 0)], []).encode(), "a shard claims 0 bytes, must be 1 to 65536"),
        (Manifest(2, [], [shard(1, 65_537)]).encode(), "a shard claims 65537 bytes, must be 1 to 65536"),
        (bytes(3 << 20), "the manifest has 3145728 bytes, at most 2359360 are allowed"),
    ],
)
def test_a_malformed_manifest_is_refused(blob: bytes, message: str) -> None:
    with pytest.raises(UnusableCorpus) as refusal:
        decode_manifest(blob)
    assert str(refusal.value) == message


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_an_assignment_depends_on_beacon_and_hotkey_and_fits_its_shards(beacon: bytes, hotkey: bytes) -> None:
    windows = assignment(beacon, hotkey, MANIFEST, SMALL)
    assert windows == assignment(beacon, hotkey, MANIFEST, SMALL)
    assert len(windows) == SMALL.inner_steps * SMALL.batch_size
    assert all(0 <= one.offset <= one.shard.length - SPAN for one in windows)
    assert {one.shard.digest[0] for one in windows} <= {1, 3, 4}


def test_an_assignment_is_a_constant_of_the_protocol() -> None:
    windows = assignment(bytes(32), bytes(32), MANIFEST, SMALL)
    assert [(one.shard.digest[0], one.offset) for one in windows] == [
        (4, 62),
        (1, 113),
        (4, 129),
        (1, 322),
        (1, 74),
        (4, 238),
    ]
    assert assignment(bytes(31) + b"\x01", bytes(32), MANIFEST, SMALL) != windows
    assert assignment(bytes(32), bytes(31) + b"\x01", MANIFEST, SMALL) != windows


def test_every_start_is_drawn_about_equally_often() -> None:
    parameters = TrainingParameters(model=ModelConfig(sequence=16), inner_steps=1_000, batch_size=10)
    windows = assignment(bytes(32), bytes(32), MANIFEST, parameters)
    starts = {1: 400 - SPAN + 1, 3: 1, 4: 300 - SPAN + 1}
    for name, count in starts.items():
        expected = 10_000 * count / sum(starts.values())
        found = sum(one.shard.digest[0] == name for one in windows)
        assert abs(found - expected) < 5 * expected**0.5 + 5


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.lists(st.integers(0, 383), max_size=12))
def test_nobody_is_measured_on_what_was_assigned(beacon: bytes, offsets: list[int]) -> None:
    assigned = [Window(MANIFEST.train[0], offset) for offset in offsets]
    hidden = evaluation(beacon, MANIFEST, SMALL, assigned)
    assert len(hidden) == SMALL.evaluation_sequences
    for window in hidden:
        for taken in assigned:
            apart = window.shard != taken.shard or abs(window.offset - taken.offset) >= SPAN
            assert apart


def test_an_evaluation_gives_up_when_everything_is_assigned() -> None:
    everything = [Window(one, at) for one in MANIFEST.train for at in range(max(0, one.length - SPAN) + 1)]
    with pytest.raises(UnusableCorpus, match="leave too little text to evaluate on"):
        evaluation(bytes(32), MANIFEST, SMALL, everything)


def test_the_public_windows_are_spread_over_the_held_out_text() -> None:
    assert [one.offset for one in held_out(MANIFEST, SMALL, 4)] == [0, 21, 42, 63]


def test_shards_shorter_than_a_sequence_cannot_be_trained_on() -> None:
    with pytest.raises(UnusableCorpus, match="no shard is as long as one sequence of 17 bytes"):
        assignment(bytes(32), bytes(32), Manifest(2, [shard(1, 16)], []), SMALL)
