"""Fetch the text of windows by hash and make it tokens. A token is a byte.

ShardClient(blobs, sources, store).batches(windows, batch_size, span) -> [int64 [batch, sequence + 1]]
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chain.client import Chain
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient, Source
from miners.data import MAX_MANIFEST_BYTES, Manifest, Shard, UnusableCorpus, Window, decode_manifest

PARALLEL = 8
"""Shards fetched at once."""
MEMORY_SHARDS = 1_024
"""Shards kept in memory (64 MiB); the least recently used leaves first."""

Tokens = NDArray[np.int64]


class ShardClient:
    """Reads shards from memory, else from disk, else from the data provider, and checks every hash."""

    def __init__(self, blobs: BlobClient, sources: Sequence[Source], store: Cache | None = None) -> None:
        self._blobs = blobs
        self._sources = sources
        self._store = store
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()
        self._doors = asyncio.Semaphore(PARALLEL)

    async def follow(self, chain: Chain, netuid: int) -> None:
        """Ask the provider that the chain names; it serves under the key of the subnet's owner."""
        dataset = await chain.dataset(netuid)
        if [each.url for each in self._sources] != ([dataset[1]] if dataset else []):
            self._sources = [Source(dataset[1], await chain.owner(netuid))] if dataset else []

    async def manifest(self, root: bytes) -> Manifest:
        """Return the manifest of a data set by its root on the chain.

        Raises: BlobError, UnusableCorpus.
        """
        return decode_manifest(await self._fetch(root, MAX_MANIFEST_BYTES))

    async def batches(self, windows: Sequence[Window], batch_size: int, span: int) -> list[Tokens]:
        """Return the windows' bytes as tokens, `batch_size` windows to a batch, in order.

        Raises: BlobError, UnusableCorpus.
        """
        wanted = {window.shard.digest: window.shard for window in windows}
        texts = await asyncio.gather(*(self._text(shard) for shard in wanted.values()))
        by_digest = dict(zip(wanted, texts, strict=True))
        tokens = tokens_of([by_digest[one.shard.digest] for one in windows], windows, span)
        return [tokens[at : at + batch_size] for at in range(0, len(tokens), batch_size)]

    async def _text(self, shard: Shard) -> bytes:
        if shard.digest in self._recent:
            self._recent.move_to_end(shard.digest)
            return self._recent[shard.digest]
        async with self._doors:
            text = await self._fetch(shard.digest, shard.length)
        if len(text) != shard.length:
            raise UnusableCorpus(f"a shard has {len(text)} bytes, its manifest says {shard.length}")
        self._recent[shard.digest] = text
        while len(self._recent) > MEMORY_SHARDS:
            self._recent.popitem(last=False)
        return text

    async def _fetch(self, digest: bytes, max_bytes: int) -> bytes:
        stored = self._store.get(digest) if self._store else None
        if stored is not None:
            return stored
        blob = await self._blobs.fetch(self._sources, digest, max_bytes)
        if self._store:
            await asyncio.to_thread(self._store.put, blob)
        return blob


def tokens_of(texts: Sequence[bytes], windows: Sequence[Window], span: int) -> Tokens:
    """Return int64 [windows, span] from the text of each window's shard."""
    rows = [
        np.frombuffer(text, np.uint8, span, window.offset)
        for text, window in zip(texts, windows, strict=True)
    ]
    return np.stack(rows).astype(np.int64)
