"""The models of earlier rounds: from disk while they are there, else derived again, whoever's shelf it is."""

import asyncio
from pathlib import Path

import pytest

from miners.blobs.errors import BlobError
from miners.history import FOLDER, History
from miners.replica import Diverged, genesis_weights
from miners.shelf import Shelf
from tests.e2e.process import eventually
from tests.miners.test_replica import SMALL, Scene, history, scene

__all__ = ["scene"]  # a fixture


def of(scene: Scene, rounds: int = 2) -> History:
    shelf = Shelf(scene.home)
    return History(scene.ledger, scene.blobs, shelf, scene.home, 1, SMALL.model, rounds)  # type: ignore[arg-type]


def files(home: Path) -> list[str]:
    return sorted(path.name[:8] for path in (home / FOLDER).iterdir() if path.is_file())


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
