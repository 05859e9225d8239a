"""Windows become tokens, read from a provider that is not trusted."""

from pathlib import Path

import numpy as np
import pytest

from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobMismatch, BlobUnreachable
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.data import Manifest, Shard, UnusableCorpus, Window
from miners.shards import ShardClient
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

TEXTS = [bytes(range(100)), bytes(range(100, 200))]
SHARDS = [Shard(Hash(blake2_256(text)), len(text)) for text in TEXTS]
MANIFEST = Manifest(2, SHARDS[:1], SHARDS[1:])
WINDOWS = [Window(SHARDS[1], 95), Window(SHARDS[0], 0), Window(SHARDS[0], 10)]


def provider(directory: Path) -> BlobStore:
    store = BlobStore(directory / "provider")
    for blob in (*TEXTS, MANIFEST.encode()):
        store.put(blob)
    return store


async def test_batches_hold_the_windows_in_order(tmp_path: Path) -> None:
    async with serve(provider(tmp_path), "127.0.0.1", 0) as url, BlobClient() as blobs:
        shards = ShardClient(blobs, [Source(url)])
        assert await shards.manifest(MANIFEST.root()) == MANIFEST
        batches = await shards.batches(WINDOWS, 2, 5)
    assert [batch.tolist() for batch in batches] == [
        [[195, 196, 197, 198, 199], [0, 1, 2, 3, 4]],
        [[10, 11, 12, 13, 14]],
    ]
    assert batches[0].dtype == np.int64


async def test_what_was_read_once_needs_no_provider(tmp_path: Path) -> None:
    async with BlobClient() as blobs:
        async with serve(provider(tmp_path), "127.0.0.1", 0) as url:
            shards = ShardClient(blobs, [Source(url)])
            before = await shards.batches(WINDOWS, 3, 5)
            on_disk = ShardClient(blobs, [Source(url)], Cache(tmp_path / "cache"))
            await on_disk.batches(WINDOWS, 3, 5)
        assert (await shards.batches(WINDOWS, 3, 5))[0].tolist() == before[0].tolist()
        restarted = ShardClient(blobs, [], Cache(tmp_path / "cache"))
        assert (await restarted.batches(WINDOWS, 3, 5))[0].tolist() == before[0].tolist()
        with pytest.raises(BlobUnreachable):
            await ShardClient(blobs, [Source(url)]).batches(WINDOWS, 3, 5)


async def test_text_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = provider(tmp_path)
    store.put_as(SHARDS[0].digest, TEXTS[1])
    async with serve(store, "127.0.0.1", 0) as url, BlobClient() as blobs:
        with pytest.raises(BlobMismatch):
            await ShardClient(blobs, [Source(url)]).batches(WINDOWS, 2, 5)


async def test_a_manifest_that_lies_about_a_length_is_refused(tmp_path: Path) -> None:
    liar = Window(Shard(SHARDS[0].digest, 120), 110)
    async with serve(provider(tmp_path), "127.0.0.1", 0) as url, BlobClient() as blobs:
        with pytest.raises(UnusableCorpus, match="a shard has 100 bytes, its manifest says 120"):
            await ShardClient(blobs, [Source(url)]).batches([liar], 1, 5)
