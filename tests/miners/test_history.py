"""The models of earlier rounds: from disk while they are there, else derived again, whoever's shelf it is."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from miners.blobs.errors import BlobError
from miners.history import FOLDER, MOST_NOTED, History
from miners.replica import Diverged, Replica, genesis_weights
from miners.shelf import Shelf
from tests.e2e.process import eventually
from tests.miners.test_replica import SMALL, Scene, history, scene

__all__ = ["scene"]  # a fixture


def of(scene: Scene, rounds: int = 2) -> History:
    shelf = Shelf(scene.home)
    return History(scene.ledger, scene.blobs, shelf, scene.home, 1, SMALL.model, rounds)  # type: ignore[arg-type]


def files(home: Path) -> list[str]:
    """Return the rounds of the models that are there whole."""
    there = (path for path in (home / FOLDER).iterdir() if path.is_file())
    return sorted(path.name[:8] for path in there if path.suffix != ".half")


async def test_the_last_few_are_read_from_disk_in_any_life(scene: Scene) -> None:
    weights = genesis_weights(1, SMALL.model)
    made = of(scene)
    following = asyncio.create_task(made.follow())
    for number in (1, 2, 3):
        made.note(number, weights)
    await asyncio.to_thread(eventually, lambda: files(scene.home) == ["00000002", "00000003"], "two files")
    following.cancel()
    assert (await of(scene).at(3, weights.root())).root() == weights.root()


async def test_an_older_one_is_derived_again_and_so_is_one_that_is_damaged(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2, 3)
    made, second = of(scene), scene.ledger.steps[2].base_root
    made.keep(4, latest)
    (path,) = (path for path in (scene.home / FOLDER).iterdir() if path.is_file())
    path.write_bytes(b"damaged")
    for number, root in ((4, latest.root()), (2, second), (4, latest.root())):
        assert (await made.at(number, root)).root() == root
    with pytest.raises(Diverged):
        await made.at(3, b"\xee" * 32)


async def test_what_nobody_serves_any_more_is_said(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2)
    scene.mirror.remove(scene.ledger.steps[1].accepted[0].digest)
    with pytest.raises(BlobError):
        await of(scene).at(3, latest.root())


async def test_a_guest_leaves_the_shelf_as_it_is(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, *range(1, 11))
    shelf = Shelf(scene.home)
    for number in (5, 9):
        root = scene.ledger.steps[number].new_root
        shelf.models.keep(number, await of(scene).at(number + 1, root))
        scene.ledger.roots[number] = root
    scene.mirror.remove(scene.ledger.steps[1].accepted[0].digest)  # only the checkpoints help now
    assert (await of(scene).at(11, latest.root())).root() == latest.root()
    assert (Shelf(scene.home).models.rounds, Shelf(scene.home).kept.digests()) == ([5, 9], set())


async def test_a_disk_that_is_slower_than_the_rounds_costs_no_memory(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    weights, made = genesis_weights(1, SMALL.model), of(scene, rounds=9)
    for number in range(1, 2 + MOST_NOTED):
        made.note(number, weights)
    assert caplog.messages == ["the model before round 00001 is not kept for audits: the disk is too slow"]
    following = asyncio.create_task(made.follow())
    await asyncio.to_thread(eventually, lambda: len(files(scene.home)) == MOST_NOTED, "the newest ones")
    following.cancel()
    assert files(scene.home) == ["00000002", "00000003"]


async def test_a_second_model_is_in_memory_only_while_one_is_derived_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = WeakSet[Replica]()

    class Watched(Replica):
        def __init__(self, *of: Any, **how: Any) -> None:
            assert threading.current_thread() is not threading.main_thread()
            super().__init__(*of, **how)
            alive.add(self)

    monkeypatch.setattr("miners.history.Replica", Watched)
    latest, made = history(scene.ledger, scene.mirror, 1, 2), of(scene)
    for number, root in ((2, scene.ledger.steps[2].base_root), (3, latest.root())):
        assert (await made.at(number, root)).root() == root
        gc.collect()
        assert not alive
        scene.mirror.remove(scene.ledger.steps[1].accepted[0].digest)  # it goes on where its files are
