"""What can be fetched again stays as long as there is room."""

import errno
import os
from pathlib import Path

import pytest

from miners.blobs.cache import Cache
from runtime.primitives.hashing import blake2_256

BLOBS = [bytes([number]) * 100 for number in range(10)]
DIGESTS = [blake2_256(blob) for blob in BLOBS]


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most=800)
    for age, blob in enumerate(BLOBS[:8]):
        cache.put(blob)
        (path,) = tmp_path.rglob(blake2_256(blob).hex())
        os.utime(path, (age, age))
    assert cache.get(DIGESTS[0]) == BLOBS[0]  # used now
    cache.put(BLOBS[8])
    cache = Cache(tmp_path, most=800)  # a restart counts what is there
    cache.put(BLOBS[9])
    found = [number for number, digest in enumerate(DIGESTS) if cache.get(digest) == BLOBS[number]]
    assert found == [0, 3, 4, 5, 6, 7, 8, 9]


def test_what_does_not_fit_at_all_costs_nothing_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path, most=800)
    cache.put(BLOBS[0])
    cache.put(bytes(801))
    assert cache.get(DIGESTS[0]) == BLOBS[0]
    assert caplog.messages == [
        f"a blob of 801 bytes is not kept in {tmp_path}, which takes 0.00 GiB in all, and is fetched every "
        "time: its provider has to cut smaller ones"
    ]


def test_a_disk_that_takes_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    Cache(tmp_path).put(BLOBS[0])
    assert caplog.messages == [
        f"a blob is not kept in {tmp_path} (No space left on device), and is fetched every time: "
        "make room on that disk"
    ]
