"""Every model of a subnet derived again, over real HTTP servers and small real models."""

from pathlib import Path

import pytest

from chain.client import Axon, Lineage, Round
from miners.audit_replay import Report, replay
from miners.blobs.client import BlobClient
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.replica import Replica
from miners.shards import ShardClient
from miners.shelf import Shelf
from miners.visit import Visitor, last_ended, model_after
from miners.weights import MasterWeights
from tests.miners.test_replica import GONE, MINER, NUMBERS, SMALL, UNHURRIED, Ledger, history


class Books(Ledger):
    """What a visitor reads of a chain."""

    async def round(self, netuid: int, number: int | None = None) -> Round | None:
        last = max(self.steps) + 1
        chosen = last if number is None else number
        base = max((each for each in self.steps if each < chosen), default=None)
        root = self.steps[1].base_root if base is None else self.steps[base].new_root
        closed = self.steps.get(chosen)
        phase = "Train" if chosen == last else "Closed" if closed else "Void"
        return Round(
            number=chosen, phase=phase, base_root=root, data_root=b"", beacon0=b"", beacon1=None, deadline=0,
            inner_steps=20, accepted=[], new_root=closed.new_root if closed else None, parameters=NUMBERS,
        )  # fmt: skip


class Scene:
    """A subnet's past, and who serves it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.books = Books(urls={MINER: GONE})
        self.judge = Shelf(home / "judge")
        self.latest = history(self.books, self.judge.kept, 1, 2, 4, 5, 6)  # round 3 was void
        self.models: dict[int, MasterWeights] = {}

    async def visited(self, first: int, last: int) -> tuple[Report, list[str]]:
        (self.home / "visitor").mkdir()
        told: list[str] = []
        async with BlobClient(**UNHURRIED) as blobs, serve(self.judge, "127.0.0.1", 0) as url:
            self.books.judges = [Axon(b"\x02" * 32, url)]
            return await replay(self.visitor(blobs), first, last, told.append), told

    def visitor(self, blobs: BlobClient) -> Visitor:
        home = self.home / "visitor"
        replica = Replica(self.books, blobs, Shelf(home), home, 1, SMALL.model, is_stranger=True)  # type: ignore[arg-type]
        return Visitor(self.books, 1, SMALL.model, replica, ShardClient(blobs, []))  # type: ignore[arg-type]

    async def checkpoint(self, number: int) -> None:
        """Have the judge keep a checkpoint, and drop what lies before it."""
        home = self.home / f"follower{number}"
        home.mkdir()
        async with BlobClient(**UNHURRIED) as blobs, serve(self.judge, "127.0.0.1", 0) as url:
            self.books.judges = [Axon(b"\x02" * 32, url)]
            replica = Replica(self.books, blobs, Shelf(home), home, 1, SMALL.model)  # type: ignore[arg-type]
            weights = await replica.at(number + 1, self.books.steps[number].new_root)
        self.judge.models.keep(number, weights)
        self.books.roots[number] = weights.root()

    def lose(self, *rounds: int) -> None:
        for number in rounds:
            self.judge.kept.remove(self.books.steps[number].accepted[0].digest)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_every_root_is_derived_from_the_first_model(scene: Scene) -> None:
    report, told = await scene.visited(1, 6)
    assert report == Report(1, 1, 6, began_after=0, is_whole=True, derived=5, void=1)
    assert told[0].startswith(f"round 00001 |   1 payloads | 0x{scene.books.steps[1].new_root.hex()[:16]}…")


async def test_the_first_difference_is_named(scene: Scene) -> None:
    true = scene.books.steps[4]
    scene.books.steps[4] = Lineage(true.base_root, b"\xee" * 32, true.accepted, NUMBERS)
    report, _ = await scene.visited(1, 6)
    assert (report.differs_in, report.derived, report.is_good) == (4, 2, False)
    assert (
        report.difference
        == f"round 4 leads to 0x{true.new_root.hex()[:8]}… here, to 0xeeeeeeee… on the chain"
    )


async def test_a_lineage_that_does_not_join_differs(scene: Scene) -> None:
    true = scene.books.steps[4]
    scene.books.steps[4] = Lineage(b"\xee" * 32, true.new_root, true.accepted, NUMBERS)
    report, _ = await scene.visited(1, 6)
    assert (report.differs_in, report.difference.startswith("round 4 started from model 0xeeee")) == (4, True)


async def test_other_weights_than_those_applied_differ(scene: Scene) -> None:
    true = scene.books.steps[5]
    scene.books.steps[5] = Lineage(true.base_root, true.new_root, [], NUMBERS)
    report, _ = await scene.visited(1, 6)
    assert report.differs_in == 5


async def test_it_begins_at_the_oldest_checkpoint_that_can_be_had(scene: Scene) -> None:
    await scene.checkpoint(4)
    scene.lose(1, 2)
    report, told = await scene.visited(1, 6)
    assert (report.began_after, report.derived, report.is_good) == (4, 2, True)
    assert report.gaps[0].startswith("round 1 cannot be derived: blob 0x")
    assert told[1].startswith("beginning with the checkpoint of round 4: 0x")


async def test_a_later_first_round_begins_at_the_checkpoint_before_it(scene: Scene) -> None:
    await scene.checkpoint(2)
    await scene.checkpoint(4)
    scene.lose(1, 2, 4)
    report, told = await scene.visited(6, 6)
    assert report == Report(1, 6, 6, began_after=4, is_whole=True, derived=1)
    assert told[1].endswith(" as attested, on the way to round 6")
    assert told[2].endswith(" as attested")


async def test_what_is_derived_on_the_way_is_not_counted(scene: Scene) -> None:
    report, _ = await scene.visited(4, 5)  # rounds 1 to 3 come before, one of them void
    assert report == Report(1, 4, 5, began_after=0, is_whole=True, derived=2)


async def test_a_checkpoint_that_is_another_model_than_the_round_led_to_differs(scene: Scene) -> None:
    scene.books.roots[5] = b"\xee" * 32
    report, _ = await scene.visited(1, 6)
    assert (report.differs_in, report.difference.startswith("the checkpoint names 0xeeeeeeee")) == (5, True)


async def test_an_end_that_cannot_be_had_is_no_pass(scene: Scene) -> None:
    scene.lose(6)
    report, _ = await scene.visited(1, 6)
    assert (report.began_after, report.derived, report.is_good, len(report.gaps)) == (0, 4, False, 1)


async def test_nothing_to_be_had_is_no_pass(scene: Scene) -> None:
    scene.books.roots[4] = scene.books.steps[4].new_root
    scene.lose(1, 2, 4, 5, 6)
    report, _ = await scene.visited(1, 6)
    assert (report.derived, report.is_good, len(report.gaps)) == (0, False, 2)


async def test_the_model_after_any_round(scene: Scene) -> None:
    steps = scene.books.steps
    (scene.home / "visitor").mkdir()
    async with BlobClient(**UNHURRIED) as blobs, serve(scene.judge, "127.0.0.1", 0) as url:
        scene.books.judges = [Axon(b"\x02" * 32, url)]
        roots = {}
        for number in (0, 2, 3, None):
            visitor = scene.visitor(blobs)
            visitor.replica.start_over()
            found, weights = await model_after(visitor, number)
            roots[found] = weights.root()
        assert await last_ended(visitor) == 6
    assert roots == {
        0: steps[1].base_root, 2: steps[2].new_root, 3: steps[2].new_root, 6: steps[6].new_root,
    }  # fmt: skip
    assert BlobStore(scene.home / "visitor" / "blobs").digests() == set()
