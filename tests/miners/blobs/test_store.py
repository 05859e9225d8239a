"""A directory of blobs: whole or absent, within its quota, and clean after a kill."""

import os
from pathlib import Path

import pytest

from miners.blobs.errors import StoreFull
from miners.blobs.store import BlobStore, Quota
from runtime.primitives.hashing import blake2_256

BLOB = bytes(range(256)) * 40
DIGEST = blake2_256(BLOB)


def files(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file()]


def test_a_blob_is_stored_under_its_hash(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "new" / "blobs")
    assert store.put(BLOB) == DIGEST
    assert store.put(BLOB) == DIGEST
    assert BlobStore(tmp_path / "new" / "blobs").get(DIGEST) == BLOB
    assert store.get(bytes(32)) is None
    assert store.digests() == {DIGEST}
    assert files(tmp_path) == [DIGEST.hex()]


def test_a_damaged_file_is_not_the_blob_and_is_replaced(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    store.path(DIGEST).write_bytes(BLOB[:-1])
    assert store.get(DIGEST) is None
    store.put(BLOB)
    assert store.get(DIGEST) == BLOB


def test_a_blob_reaches_the_disk_before_put_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    original = os.fsync

    def watching(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        original(handle)

    store = BlobStore(tmp_path)
    monkeypatch.setattr(os, "fsync", watching)
    store.put(BLOB)
    assert len(synced) == 3
    assert Path(synced[0]).parent == tmp_path  # the bytes, then the names that lead to them
    assert synced[1:] == [str(tmp_path / DIGEST.hex()[:2]), str(tmp_path)]


def test_what_a_kill_left_half_written_is_gone_at_the_next_start(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(BLOB)
    left = store.writing(len(BLOB))
    left.file.write(BLOB[:100])
    left.file.close()  # and no end, as after a kill
    assert len(files(tmp_path)) == 2
    assert BlobStore(tmp_path).digests() == {DIGEST}
    assert files(tmp_path) == [DIGEST.hex()]


def test_what_is_not_finished_is_not_kept(tmp_path: Path) -> None:
    quota = Quota(len(BLOB))
    store = BlobStore(tmp_path, quota)
    with store.writing(len(BLOB)) as unfinished:
        unfinished.file.write(BLOB)
    assert (files(tmp_path), quota.used) == ([], 0)


def test_the_quota_counts_what_is_there_and_what_is_being_written(tmp_path: Path) -> None:
    quota = Quota(2 * len(BLOB) + 1)
    store = BlobStore(tmp_path, quota)
    store.put(BLOB)
    other = BlobStore(tmp_path, quota := Quota(quota.most))
    assert quota.used == len(BLOB)
    with other.writing(len(BLOB)), pytest.raises(StoreFull) as full:
        other.put(b"ab")
    assert str(full.value) == (
        "the quota of 0.00 GiB for blobs has no room for 2 bytes more (0.00 GiB in use): "
        "give more disk with --blob-quota"
    )
    other.put(b"ab")
    assert quota.used == len(BLOB) + 2
    other.remove(DIGEST)
    other.remove(DIGEST)
    assert (quota.used, other.digests()) == (2, {blake2_256(b"ab")})
    assert [name for name in files(tmp_path) if name.startswith(".")] == []
