"""The copy of the model that follows the chain, over real HTTP servers and small real models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from chain.client import Accepted, Axon, Lineage
from miners import replica as replica_module
from miners.aggregate import aggregate
from miners.blobs.client import BlobClient
from miners.blobs.errors import BlobError
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.layout import ModelConfig, parameters_of
from miners.models import nodes_of
from miners.parameters import TrainingParameters
from miners.payload import Payload, compress, encode, shape_of
from miners.replica import Diverged, Replica, genesis_weights
from miners.shelf import Shelf
from miners.weights import MasterWeights, initial
from runtime.primitives.hashing import blake2_256
from tests.e2e.process import DEADLINE

SMALL = TrainingParameters(
    model=ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=32), chunk=256, top_k=16
)
NUMBERS = SMALL.to_integers()
MOST = SMALL.max_payload_bytes
MINER, JUDGE, GONE = b"\x01" * 32, b"\x02" * 32, "http://127.0.0.1:1"
WEIGHT = 65_535
UNHURRIED = {"timeout": 60.0, "patience": 20.0}
"""seconds that a client waits where everybody answers: a busy machine is no silent server"""


@dataclass
class Ledger:
    """What a replica reads of a chain."""

    steps: dict[int, Lineage] = field(default_factory=dict)
    urls: dict[bytes, str] = field(default_factory=dict)
    judges: list[Axon] = field(default_factory=list)
    hotkey: bytes = b"\x09" * 32
    genesis_hash: bytes = bytes(32)
    roots: dict[int, bytes] = field(default_factory=dict)  # of checkpoints

    async def checkpoint(self, netuid: int, number: int) -> bytes | None:
        return self.roots.get(number)

    async def checkpoints(self, netuid: int) -> dict[int, bytes]:
        return self.roots

    async def lineage(self, netuid: int, number: int) -> Lineage | None:
        return self.steps.get(number)

    async def axon(self, netuid: int, hotkey: bytes) -> str | None:
        return self.urls.get(hotkey)

    async def mirrors(self, netuid: int) -> list[Axon]:
        return self.judges


def payload(base: MasterWeights, seed: int) -> Payload:
    vector = np.random.default_rng(seed).standard_normal(parameters_of(SMALL.model), dtype=np.float32) / 100
    return compress(vector, shape_of(SMALL, base.root()))


def history(ledger: Ledger, mirror: BlobStore, *rounds: int) -> MasterWeights:
    """Play closed rounds; whoever mirrors has their payloads."""
    weights = genesis_weights(1, SMALL.model)
    for number in rounds:
        sent = payload(weights, number)
        after = aggregate(weights, [(sent, WEIGHT)], SMALL)
        digest = mirror.put(encode(sent))
        accepted = [Accepted(7, MINER, digest, WEIGHT)]
        ledger.steps[number] = Lineage(weights.root(), after.root(), accepted, NUMBERS)
        weights = after
    return weights


@dataclass
class Scene:
    """A replica, the ledger it follows, and a judge's store that is served."""

    ledger: Ledger
    mirror: BlobStore
    blobs: BlobClient
    home: Path

    def replica(self, *, mirrors: bool = False) -> Replica:
        shelf = Shelf(self.home)
        return Replica(self.ledger, self.blobs, shelf, self.home, 1, SMALL.model, mirrors=mirrors)  # type: ignore[arg-type]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    mirror = BlobStore(tmp_path / "mirror")
    (tmp_path / "home").mkdir()
    async with BlobClient(**UNHURRIED) as blobs, serve(mirror, "127.0.0.1", 0) as url:
        yield Scene(Ledger(urls={MINER: GONE}, judges=[Axon(JUDGE, url)]), mirror, blobs, tmp_path / "home")


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A server that takes requests and never answers."""
    ended = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        await ended.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/{any:.*}", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        ended.set()
        await runner.cleanup()


async def test_a_newcomer_replays_every_round_from_mirrors(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2, 4)  # round 3 was void
    newcomer = scene.replica()
    assert (await newcomer.at(5, latest.root())).root() == latest.root()
    assert newcomer.applied == 4


async def test_what_was_applied_is_not_applied_again_after_a_restart(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2)
    await scene.replica().at(3, latest.root())
    scene.ledger.judges = []  # nothing can be fetched any more
    restarted = scene.replica()
    assert restarted.applied == 2
    assert (await restarted.at(3, latest.root())).root() == latest.root()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"round": 2}', b'{"round": 2, "root": "00"}'])
async def test_a_damaged_copy_is_replayed(scene: Scene, damage: bytes) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2)
    await scene.replica().at(3, latest.root())
    (scene.home / replica_module.SAVED_STEP).write_bytes(damage)
    restarted = scene.replica()
    assert restarted.applied == 0
    assert (await restarted.at(3, latest.root())).root() == latest.root()


async def test_a_payload_that_nobody_has_stops_before_its_round(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2)
    digest = scene.ledger.steps[2].accepted[0].digest
    scene.mirror.path(digest).unlink()
    follower = scene.replica()
    with pytest.raises(BlobError, match=digest.hex()[:8]):
        await follower.at(3, latest.root())
    assert (follower.applied, follower.weights.root()) == (1, scene.ledger.steps[1].new_root)


async def test_a_wrong_root_is_never_taken_and_a_replay_heals(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2)
    follower = scene.replica()
    true = scene.ledger.steps[2]
    scene.ledger.steps[2] = Lineage(true.base_root, b"\xee" * 32, true.accepted, NUMBERS)
    with pytest.raises(Diverged, match="round 2 leads to"):
        await follower.at(3, latest.root())
    scene.ledger.steps[2] = true
    follower.start_over()
    assert (await follower.at(3, latest.root())).root() == latest.root()


async def test_another_base_is_said_and_not_built_on(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1)
    follower = scene.replica()
    await follower.at(2, latest.root())
    with pytest.raises(Diverged, match="round 2 starts from model 0xeeeeeeee…, this copy is at"):
        await follower.at(2, b"\xee" * 32)


async def test_a_first_model_that_nobody_serves_is_not_replaced_by_ours(scene: Scene) -> None:
    says = "of model 0xeeeeeeee…, which subnet 1 begins with: a judge must serve that model"
    with pytest.raises(BlobError, match=says):
        await scene.replica().at(1, b"\xee" * 32)


async def test_a_malformed_payload_among_the_accepted_is_a_disagreement(scene: Scene) -> None:
    base = genesis_weights(1, SMALL.model)
    digest = scene.mirror.put(b"no payload")
    with pytest.raises(Diverged, match="was accepted but is malformed"):
        await scene.replica().merged(base, [Accepted(7, MINER, digest, WEIGHT)], SMALL)


async def test_only_judges_keep_the_payloads_of_others(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1)
    digest = scene.ledger.steps[1].accepted[0].digest
    await scene.replica().at(2, latest.root())
    kept = BlobStore(scene.home / "blobs")
    assert kept.get(digest) is None
    (scene.home / replica_module.SAVED_STEP).unlink()
    await scene.replica(mirrors=True).at(2, latest.root())
    assert blake2_256(kept.get(digest) or b"") == digest


async def test_a_silent_miner_does_not_keep_us_from_a_mirror(scene: Scene) -> None:
    history(scene.ledger, scene.mirror, 1)
    digest = scene.ledger.steps[1].accepted[0].digest
    async with AsyncExitStack() as stack:
        scene.ledger.urls[MINER] = await stack.enter_async_context(silent_server())
        scene.blobs._patience = 0.2
        async with asyncio.timeout(DEADLINE):
            assert blake2_256(await scene.replica().blob(MINER, digest, MOST)) == digest


async def test_wrong_bytes_are_the_reason_that_is_told(scene: Scene, tmp_path: Path) -> None:
    digest = b"\x11" * 32
    scene.mirror.put_as(digest, b"something else")
    with pytest.raises(BlobError, match="the 14 bytes sent hash to"):
        await scene.replica().blob(MINER, digest, MOST)


async def test_nobody_to_ask_is_said(scene: Scene) -> None:
    scene.ledger.urls, scene.ledger.judges = {}, []
    with pytest.raises(BlobError, match=r"it must call Neurons\.serve_axon"):
        await scene.replica().blob(MINER, b"\x11" * 32, MOST)


def judge_with(scene: Scene, number: int, root: bytes) -> Shelf:
    """A judge that keeps one checkpoint, and the payloads since."""
    shelf = Shelf(scene.home.parent / f"judge{number}")
    weights = genesis_weights(1, SMALL.model)
    for each in range(1, number + 1):
        weights = aggregate(weights, [(payload(weights, each), WEIGHT)], SMALL)
        scene.mirror.remove(scene.ledger.steps[each].accepted[0].digest)  # too old for anybody to keep
    assert weights.root() == scene.ledger.steps[number].new_root
    shelf.models.keep(number, weights)
    scene.ledger.roots[number] = root
    return shelf


async def test_a_newcomer_begins_at_the_newest_checkpoint_and_replays_what_came_since(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, *range(1, 12))
    shelf = judge_with(scene, 9, scene.ledger.steps[9].new_root)
    async with serve(shelf, "127.0.0.1", 0) as url:
        scene.ledger.judges.append(Axon(b"\x03" * 32, url))
        newcomer = scene.replica()
        assert (await newcomer.at(12, latest.root())).root() == latest.root()
    assert Shelf(scene.home).models.rounds == []  # a miner keeps no models
    scene.ledger.judges = []
    assert (await scene.replica().at(12, latest.root())).root() == latest.root()


async def test_a_payload_that_is_gone_is_stepped_over_by_a_checkpoint(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2, 3)
    shelf = judge_with(scene, 2, scene.ledger.steps[2].new_root)
    async with serve(shelf, "127.0.0.1", 0) as url:
        scene.ledger.judges.append(Axon(b"\x03" * 32, url))
        newcomer = scene.replica(mirrors=True)
        assert (await newcomer.at(4, latest.root())).root() == latest.root()
    assert Shelf(scene.home).models.rounds == [2]  # a judge serves it on


async def test_a_checkpoint_that_nobody_serves_is_passed_by(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, *range(1, 12))
    scene.ledger.roots = {9: scene.ledger.steps[9].new_root}
    assert (await scene.replica().at(12, latest.root())).root() == latest.root()


async def test_a_first_model_that_is_not_ours_comes_from_a_judge(scene: Scene) -> None:
    first = initial(SMALL.model, b"imported")
    shelf = Shelf(scene.home.parent / "judge")
    shelf.models.keep(0, first)
    async with serve(shelf, "127.0.0.1", 0) as url:
        scene.ledger.judges.append(Axon(b"\x03" * 32, url))
        newcomer = scene.replica()
        assert (await newcomer.at(1, first.root())).root() == first.root()
        sent = payload(first, 1)
        after = aggregate(first, [(sent, WEIGHT)], SMALL)
        digest = scene.mirror.put(encode(sent))
        scene.ledger.steps[1] = Lineage(
            first.root(), after.root(), [Accepted(7, MINER, digest, WEIGHT)], NUMBERS
        )
        assert (await newcomer.at(2, after.root())).root() == after.root()


async def test_a_judge_keeps_the_models_of_checkpoints(scene: Scene) -> None:
    latest = history(scene.ledger, scene.mirror, 1, 2, 3)
    scene.ledger.roots = {2: scene.ledger.steps[2].new_root}
    await scene.replica(mirrors=True).at(4, latest.root())
    assert Shelf(scene.home).models.rounds == [2]


async def test_a_busy_judge_is_asked_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "NODE_PAUSES", (0.01, 0.01))
    first, refusals = initial(SMALL.model, b"imported"), [429, 503]
    (node,) = nodes_of(first)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=refusals.pop(0)) if refusals else web.Response(body=node)

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scene.ledger.judges = [Axon(JUDGE, f"http://127.0.0.1:{runner.addresses[0][1]}")]
    assert (await scene.replica().at(1, first.root())).root() == first.root()
    await runner.cleanup()
    assert refusals == []


async def test_a_full_disk_costs_a_restart_alone(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    weights = history(scene.ledger, scene.mirror, 1, 2)
    (scene.home / "replica.weights.half").mkdir()  # nothing can be written there
    replica = scene.replica()
    assert (await replica.at(3, weights.root())).root() == weights.root()
    assert "the model after round 00002 is not saved" in caplog.text
    assert scene.replica().applied == 0
