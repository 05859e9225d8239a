"""A directory of blobs: whole or absent, within its quota, and clean after a kill."""

import os
import threading
from pathlib import Path
from typing import Any

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


def test_a_count_that_changes_while_a_file_is_looked_at_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge reserves for the next payload while a thread finishes the last one."""
    quota, original, other = Quota(1 << 20), Path.stat, list[threading.Thread]()
    store = BlobStore(tmp_path, quota)

    def looking(self: Path, **options: Any) -> os.stat_result:
        if self.name.startswith(".") and not other:
            other.append(threading.Thread(target=quota.reserve, args=(5,)))
            other[0].start()
            other[0].join()
        return original(self, **options)

    monkeypatch.setattr(Path, "stat", looking)
    store.put(BLOB)
    assert (len(other), quota.used) == (1, len(BLOB) + 5)


def test_two_that_write_one_blob_count_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota, original, other = Quota(1 << 20), os.replace, list[threading.Thread]()
    store = BlobStore(tmp_path, quota)

    def replacing(written: Path, path: Path) -> None:
        if not other:
            other.append(threading.Thread(target=store.put_as, args=(DIGEST, BLOB)))
            other[0].start()
            other[0].join(0.5)  # the other one gets there first, unless it is made to wait
        original(written, path)

    monkeypatch.setattr(os, "replace", replacing)
    store.put_as(DIGEST, BLOB)
    other[0].join()
    assert (store.get(DIGEST), quota.used) == (BLOB, len(BLOB))
