"""Whole models on disk and on their way: proven node by node, resumable, bounded by the quota."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from miners.blobs.errors import BlobUnreachable, StoreFull
from miners.blobs.store import Quota
from miners.layout import ModelConfig, parameters_of
from miners.models import Models, nodes_of
from miners.weights import LEAF_BYTES, MasterWeights, RefusedWeights, initial, leaves_of
from runtime.primitives.hashing import blake2_256

CONFIG = ModelConfig(hidden=64, layers=1, heads=2, feed_forward=96, sequence=32)
MODEL = initial(CONFIG, b"models")
ROOT = MODEL.root()
SIZE = sum(len(node) for node in nodes_of(MODEL))


class Judge:
    """Serves nodes until it has served as many as it will."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.nodes = {blake2_256(node): node for node in nodes_of(MODEL)}
        self.most = most
        self.asked: list[bytes] = []

    async def get(self, digest: bytes, most: int) -> bytes:
        if len(self.asked) >= self.most:
            raise BlobUnreachable(digest, "judge", "gone")
        self.asked.append(digest)
        assert len(self.nodes[digest]) <= most
        return self.nodes[digest]


def models(directory: Path, most: int = 1 << 30) -> tuple[Models, Quota]:
    quota = Quota(most)
    return Models(directory, quota), quota


async def unasked(digest: bytes, most: int) -> bytes:
    raise AssertionError("everything is here")


def test_the_root_is_that_of_the_nodes() -> None:
    nodes = list(nodes_of(MODEL))
    assert (leaves_of(CONFIG), len(nodes)) == (5, 9)
    assert blake2_256(nodes[-1]) == ROOT


@pytest.mark.parametrize("vocabulary", [256, 300, 400, 513, 1_000])
async def test_a_model_of_any_length_arrives_whole(tmp_path: Path, vocabulary: int) -> None:
    config = ModelConfig(vocabulary=vocabulary, hidden=64, layers=1, heads=2, feed_forward=96, sequence=32)
    sent = initial(config, b"any")
    nodes = {blake2_256(node): node for node in nodes_of(sent)}

    async def get(digest: bytes, most: int) -> bytes:
        return nodes[digest]

    found = await models(tmp_path)[0].fetch(50, sent.root(), config, get)
    assert (found.words == sent.words).all()
    assert len(nodes) == 2 * leaves_of(config) - 1


async def test_what_is_kept_is_served_and_survives_a_restart(tmp_path: Path) -> None:
    first, quota = models(tmp_path)
    first.keep(50, MODEL)
    assert (first.rounds, quota.used) == ([50], SIZE)
    again, counted = models(tmp_path)
    assert (again.rounds, counted.used) == ([50], SIZE)
    for node in nodes_of(MODEL):
        path = again.find(blake2_256(node))
        assert path is not None
        assert path.read_bytes() == node
    assert again.find(b"\x00" * 32) is None
    assert (await again.fetch(50, ROOT, CONFIG, unasked)).root() == ROOT


async def test_a_fetch_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    judge = Judge(most=3)
    with pytest.raises(BlobUnreachable):
        await models(tmp_path)[0].fetch(50, ROOT, CONFIG, judge.get)
    restarted, quota = models(tmp_path)
    assert restarted.rounds == []
    assert restarted.find(ROOT) is None  # a part is served to nobody
    judge.most = 1 << 30
    told: list[tuple[int, int]] = []
    found = await restarted.fetch(50, ROOT, CONFIG, judge.get, lambda *so_far: told.append(so_far))
    assert (found.words == MODEL.words).all()
    assert len(judge.asked) == len(set(judge.asked)) == 9
    assert told[-1] == (5, 5)
    assert (restarted.rounds, quota.used) == ([50], SIZE)


async def test_two_fetches_of_one_model_at_once_are_one(tmp_path: Path) -> None:
    kept, quota = models(tmp_path)
    judge = Judge()
    found = await asyncio.gather(*(kept.fetch(50, ROOT, CONFIG, judge.get) for _ in range(2)))
    assert [each.root() for each in found] == [ROOT, ROOT]
    assert len(judge.asked) == len(set(judge.asked)) == 9
    assert (kept.rounds, quota.used) == ([50], SIZE)


async def test_what_the_disk_spoils_is_fetched_again(tmp_path: Path) -> None:
    kept, _ = models(tmp_path)
    kept.keep(50, MODEL)
    leaf = next(nodes_of(MODEL))
    path = kept.find(blake2_256(leaf))
    assert path is not None
    path.write_bytes(b"\x00" + bytes(LEAF_BYTES))
    judge = Judge()
    assert (await kept.fetch(50, ROOT, CONFIG, judge.get)).root() == ROOT
    assert judge.asked == [blake2_256(leaf)]


@pytest.mark.parametrize(
    "change", [{"vocabulary": 512}, {"layers": 2}, {"kv_heads": 1}], ids=["longer", "deeper", "shorter"]
)
async def test_a_tree_of_another_shape_is_refused(tmp_path: Path, change: dict[str, int]) -> None:
    shape = {"hidden": 64, "layers": 1, "heads": 2, "feed_forward": 96, "sequence": 32}
    with pytest.raises(RefusedWeights, match="another shape than its configuration"):
        await models(tmp_path)[0].fetch(50, ROOT, ModelConfig(**(shape | change)), Judge().get)


async def test_a_model_beyond_the_quota_is_neither_kept_nor_fetched(tmp_path: Path) -> None:
    small, quota = models(tmp_path, SIZE - 1)
    with pytest.raises(StoreFull, match="--blob-quota"):
        small.keep(50, MODEL)
    with pytest.raises(StoreFull):
        await small.fetch(50, ROOT, CONFIG, unasked)
    assert (small.rounds, quota.used) == ([], 0)


def test_old_models_go(tmp_path: Path) -> None:
    kept, quota = models(tmp_path)
    later = MasterWeights(CONFIG, np.zeros(parameters_of(CONFIG), np.int32))
    kept.keep(50, MODEL)
    kept.keep(100, later)
    (tmp_path / "lost+found").mkdir()
    kept.forget_before(100)
    assert kept.rounds == [100]
    assert kept.find(ROOT) is None
    assert quota.used == models(tmp_path)[1].used > 0
    kept.forget()
    assert (kept.rounds, quota.used) == ([], 0)
