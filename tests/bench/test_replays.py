"""The bench of replay audits at its smallest: honest work passes, and what is plainly none does not."""

import gc
from pathlib import Path

import pytest

from bench.replays import SIZES, Place, cheats, cost, honest, place_of
from miners.data import build_corpus, standard_library


@pytest.fixture(scope="module")
def place() -> Place:
    return place_of(SIZES["tiny"], "cpu", build_corpus(Path(standard_library() / "json")))


def test_honest_work_never_fails_and_a_run_is_gone_on_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.replays.KEPT_EVERY", 2)
    kept: list[int] = []
    found = honest(place, 4, None, lambda part: kept.append(part["replays"]))
    found = honest(place, 10, found, lambda part: kept.append(part["replays"]))
    assert (found["replays"], found["failed"], kept) == (10, 0, [2, 4, 6, 8, 10])
    assert set(found["kinds"]) == {"same", "lost", "restarted", "eager", "two threads", "bf16"}


def test_cheats_do_not_pass(place: Place) -> None:
    table = cheats(place, 1, None, lambda part: None)
    passed = {name for name, row in table.items() if row["passed"]}
    assert {"honest, fp32", "honest, bf16"} <= passed
    plain = {"noise", "labels flipped", "unassigned text", "lazy 75 %", "rate x1.2"}
    assert not passed & {*plain, "oversized memory", "fabricated memory", "stale memory"}


def test_an_audit_is_two_rounds_of_training(place: Place) -> None:
    gc.disable()  # what other tests have left is no part of a round
    try:
        assert cost(place)["rounds_per_audit"] > 1
    finally:
        gc.enable()
