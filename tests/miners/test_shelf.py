"""What a worker keeps: the accepted for good, the rest for a few rounds, all under one quota."""

from pathlib import Path

import pytest

from miners.blobs.errors import StoreFull
from miners.blobs.store import BlobStore, Quota
from miners.shelf import Shelf
from runtime.primitives.hashing import blake2_256

ONE, TWO = b"one" * 100, b"two" * 100
FIRST, SECOND = blake2_256(ONE), blake2_256(TWO)


def test_recent_payloads_go_and_kept_ones_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Quota(10_000))
    shelf.of(7).put(ONE)
    shelf.of(7).put(TWO)
    shelf.of(8).put(TWO)
    shelf.keep(FIRST, ONE)
    assert (shelf.get(FIRST), shelf.get(SECOND), shelf.used) == (ONE, TWO, 900)
    shelf.forget_before(8)
    assert (shelf.get(FIRST), shelf.get(SECOND), shelf.used) == (ONE, TWO, 600)
    shelf.forget_before(9)
    assert (shelf.find(FIRST), shelf.find(SECOND), shelf.used) == (shelf.kept.path(FIRST), None, 300)
    assert list((tmp_path / "recent").iterdir()) == []
    again = Shelf(tmp_path, Quota(10_000))
    assert (again.get(FIRST), again.used) == (ONE, 300)


def test_the_oldest_that_did_not_enter_makes_room_for_what_did_and_for_new_rounds(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Quota(1_000))
    for number in (3, 4, 5):
        shelf.of(number).put(bytes([number]) * 300)
    shelf.keep(FIRST, ONE)
    assert [shelf.get(blake2_256(bytes([number]) * 300)) is None for number in (3, 4, 5)] == [
        True,
        False,
        False,
    ]
    shelf.of(6).put(TWO)
    assert (shelf.get(FIRST), shelf.get(SECOND), shelf.used) == (ONE, TWO, 900)
    shelf.of(6).put(bytes(300))
    with pytest.raises(StoreFull):  # the newest round stays, and so does history
        shelf.of(6).put(bytes(301))
    assert (shelf.get(FIRST), shelf.get(SECOND), shelf.used) == (ONE, TWO, 900)


def test_a_directory_that_is_no_round_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "recent" / "lost+found").mkdir(parents=True)
    Shelf(tmp_path).forget_before(9)
    assert (tmp_path / "recent" / "lost+found").is_dir()


def test_a_restart_finds_and_prunes_what_is_recent(tmp_path: Path) -> None:
    Shelf(tmp_path).of(3).put(ONE)
    shelf = Shelf(tmp_path, Quota(1_000))
    assert (shelf.get(FIRST), shelf.used) == (ONE, 300)
    shelf.forget_before(4)
    assert (shelf.get(FIRST), shelf.used) == (None, 0)


def test_keeping_moves_so_that_a_full_disk_does_not_stop_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Quota(300))
    shelf.of(1).put(ONE)
    with pytest.raises(StoreFull):
        shelf.keep(SECOND, TWO)
    shelf.keep(FIRST, ONE)
    shelf.keep(FIRST, ONE)
    assert (shelf.kept.digests(), shelf.used) == ({FIRST}, 300)
    shelf.forget_before(2)
    assert shelf.get(FIRST) == ONE


def test_bytes_that_do_not_match_are_not_promoted(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.of(1).put_as(FIRST, TWO)
    assert shelf.get(FIRST) is None
    shelf.keep(FIRST, ONE)
    assert (shelf.get(FIRST), shelf.kept.get(FIRST)) == (ONE, ONE)


def test_a_round_may_begin_while_another_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A miner hands over a payload of a new round while a thread keeps one of the last."""
    shelf, original = Shelf(tmp_path), BlobStore.get
    shelf.of(1).put(ONE)
    shelf.of(2).put(TWO)

    def reading(self: BlobStore, digest: bytes) -> bytes | None:
        shelf.of(3)
        return original(self, digest)

    monkeypatch.setattr(BlobStore, "get", reading)
    shelf.keep(FIRST, ONE)
    assert shelf.kept.digests() == {FIRST}
