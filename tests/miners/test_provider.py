"""The data provider: builds, serves, says so in one line."""

import json
from pathlib import Path

from miners.blobs.client import BlobClient, Source
from miners.commands.provider import Config
from miners.data import build_corpus
from miners.provider import Publication, describe, publish
from miners.shards import ShardClient


async def test_what_is_published_can_be_read_by_its_root_alone(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "module.py").write_text("answer = 42\n" * 10_000)
    config = Config(source=tmp_path / "source", directory=tmp_path / "blobs", port=0)
    corpus = build_corpus(tmp_path / "source")
    async with publish(config) as publication, BlobClient() as blobs:
        assert publication == Publication(corpus.manifest.root(), publication.url, 2, 0, 120_000)
        manifest = await ShardClient(blobs, [Source(publication.url)]).manifest(publication.root)
        assert manifest == corpus.manifest
        for shard in manifest.train:
            text = await blobs.fetch([Source(publication.url)], shard.digest, shard.length)
            assert text == corpus.shards[shard.digest]


def test_the_status_line_names_root_size_and_address() -> None:
    publication = Publication(bytes(range(32)), "http://127.0.0.1:8100", 145, 8, 9_939_433)
    assert describe(publication, as_json=False) == (
        "📚 data set 0x00010203…: 9.9 MB of text in 145 + 8 shards at http://127.0.0.1:8100"
    )
    assert json.loads(describe(publication, as_json=True)) == {
        "root": f"0x{bytes(range(32)).hex()}",
        "url": "http://127.0.0.1:8100",
        "train_shards": 145,
        "held_out_shards": 8,
        "bytes": 9_939_433,
    }
