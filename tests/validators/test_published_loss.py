"""The public loss is for people: whatever stands in its way, a judge seals, reveals and attests."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chain.client import Accepted, Round, Update
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient
from miners.blobs.server import Traffic
from miners.data import Manifest, Shard
from miners.diary import Diary
from miners.history import History
from miners.metrics import WorkerMetrics
from miners.payload import encode
from miners.replica import Replica
from miners.shards import ShardClient
from miners.shelf import Shelf
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from tests.e2e.process import DEADLINE
from tests.miners.test_replica import WEIGHT, silent_server
from tests.validators.test_judging import HEAD, NETUID, SHAPE, Subnet, corpus, drawn, honest
from tests.validators.test_recount import ALICE, hotkey
from validators.envelope import Envelope
from validators.journal import JOURNAL_FILE, Journal
from validators.recent import Recent
from validators.trail import Rows
from validators.validator import Bench, judge

MINER = 2
HELD_OUT = b"All of this is held out.\n" * 100
SIGNED = ["Verification.commit_scores", "Verification.reveal_scores", "Training.attest_root"]


def manifest() -> Manifest:
    """Return the manifest of a corpus with held-out text."""
    shard = Shard(Hash(blake2_256(HELD_OUT)), len(HELD_OUT))
    return replace(corpus().manifest, held_out=[shard])


@dataclass
class Ledger(Subnet):
    """A chain whose first round goes on as soon as it is waited for; `signed` is what a judge tells it."""

    data: tuple[bytes, str] | None = None
    data_root: bytes = b""
    signed: list[str] = field(default_factory=list)

    async def dataset(self, netuid: int) -> tuple[bytes, str] | None:  # type: ignore[override]
        return self.data

    async def owner(self, netuid: int) -> None:
        return None

    async def uid(self, netuid: int) -> int:
        return 1

    async def query(self, item: str, netuid: int, uid: int) -> bool:
        assert item == "Incentive.ValidatorPermit"
        return True

    async def score_commitment(self, netuid: int, number: int) -> None:
        return None

    async def phase_reached(self, netuid: int, number: int, phase: str, ready: Any = None) -> Round:
        accepted = [Accepted(MINER, hotkey(MINER), each.digest, WEIGHT) for each in self.revealed[number]]
        return replace(drawn(number), phase=phase, data_root=self.data_root, accepted=accepted)

    async def submit(self, call: str, **arguments: Any) -> None:
        self.signed.append(call)


@dataclass
class Scene:
    """A judge that has just started, and a miner's payload and all text on its disk."""

    home: Path
    ledger: Ledger
    bench: Bench
    store: Cache

    def keep(self, manifest: Manifest, *texts: bytes) -> None:
        """Have a data set on disk, with such held-out texts, and named on the chain."""
        for text in (manifest.encode(), *corpus().shards.values(), *texts):
            self.store.put(text)
        self.ledger.data_root = manifest.root()

    async def judge(self, deadline: int = 99) -> None:
        current = await self.ledger.phase_reached(NETUID, 1, "Train")
        async with asyncio.timeout(DEADLINE):
            await judge(self.bench, replace(current, deadline=deadline))

    @property
    def events(self) -> list[tuple[str, int]]:
        """What its journal says of which round."""
        rows = [json.loads(line) for line in (self.home / JOURNAL_FILE).read_text().splitlines()]
        return [(row["event"], row["round"]) for row in rows]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    shelf, blob, store = Shelf(tmp_path), encode(honest(MINER)), Cache(tmp_path / "shards")
    update = Update(MINER, hotkey(MINER), shelf.of(1).put(blob), len(blob), 1, 0)
    ledger = Ledger(hotkey=bytes(ALICE), revealed={1: [update]})
    chain: Any = ledger

    class config:
        netuid, device = NETUID, "cpu"

    unused: Any = None
    settings: Any = config
    async with BlobClient(timeout=3_600) as blobs:
        bench = Bench(
            settings, chain, ShardClient(blobs, [], store),
            Replica(chain, blobs, shelf, tmp_path, NETUID, SHAPE), shelf, Journal(tmp_path),
            Envelope(tmp_path), unused, History(chain, blobs, shelf, tmp_path, NETUID, SHAPE, 5),
            Recent(chain, shelf, NETUID), Rows(chain, NETUID),
            Diary(WorkerMetrics("Local", Traffic(), shelf)), 60.0,
        )  # fmt: skip
        yield Scene(tmp_path, ledger, bench, store)


def lacking(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Say what stood in the way of the public loss, by round."""
    found = [line.partition(" | the public loss is not measured: ") for line in caplog.messages]
    return [f"{number}: {reason}" for number, marker, reason in found if marker]


async def test_the_public_loss_of_the_model_before_and_after(scene: Scene) -> None:
    scene.keep(manifest(), HELD_OUT)
    await scene.judge()
    assert scene.ledger.signed == SIGNED
    assert scene.events == [("model", 0), ("scored", 1), ("model", 1)]


async def test_a_corpus_without_held_out_text_costs_no_round(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.keep(corpus().manifest)
    await scene.judge()
    reason = f"no shard is as long as one sequence of {SHAPE.sequence + 1} bytes"
    assert lacking(caplog) == [f"round 00000: {reason}", f"round 00001: {reason}"]
    assert scene.ledger.signed == SIGNED
    assert scene.events == [("scored", 1)]


async def test_held_out_text_that_nobody_serves_costs_no_round(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.keep(manifest())
    await scene.judge()
    before, after = lacking(caplog)
    assert before.startswith("round 00000: blob 0x")
    assert after.startswith("round 00001: blob 0x")
    assert scene.ledger.signed == SIGNED


async def test_held_out_text_that_does_not_come_costs_no_round(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validators.validator.PUBLIC_TEXT_SECONDS", 0.05)
    scene.keep(manifest())
    async with silent_server() as url:
        scene.ledger.data = scene.ledger.data_root, url
        await scene.judge()
    reason = "its text or its measurement takes too long"
    assert lacking(caplog) == [f"round 00000: {reason}", f"round 00001: {reason}"]
    assert scene.ledger.signed == SIGNED


async def test_a_judge_that_starts_as_training_ends_does_not_wait_for_the_public_loss(scene: Scene) -> None:
    scene.keep(manifest(), HELD_OUT)
    await scene.judge(deadline=HEAD.number)
    assert scene.ledger.signed == SIGNED
    assert scene.events == [("scored", 1), ("model", 1)]
