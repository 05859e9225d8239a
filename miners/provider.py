"""The data provider: serves the text to train on by hash, and names its root on chain."""
# Reads top to bottom: run -> main -> publish -> register.

import asyncio
import contextlib
import json as json_format
import logging
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chain.client import Chain, Refused
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.blobs.server import Guard
from miners.blobs.store import BlobStore
from miners.commands.provider import Config
from miners.config import start
from miners.data import UnusableCorpus, build_corpus, standard_library
from miners.joining import CannotJoin, ensure_reachable, guard_of, secret_of, serving
from miners.models import nodes_of
from miners.process import run_until_stopped
from miners.stock import read
from miners.weights import RefusedWeights
from runtime.primitives.types import Hash

log = logging.getLogger("provider")


@dataclass(frozen=True, slots=True)
class Publication:
    """A data set that is being served."""

    root: bytes  # manifest root, which is also the digest of the manifest's blob
    url: str
    train_shards: int
    held_out_shards: int
    size: int  # bytes of text


def run(config: Config) -> int:
    """Serve until told to stop, and return the exit code."""
    failures = (UnusableCorpus, RefusedWeights, CannotJoin, NodeFailure, SuriError, Refused, OSError)
    return run_until_stopped("provider", main(config), failures)


async def main(config: Config) -> None:
    """Serve until told to stop."""
    async with contextlib.AsyncExitStack() as opened:
        chain = None
        if not config.offline:
            secret = secret_of(config.key, config.key_file)
            chain = await opened.enter_async_context(Chain.connect(config.url, secret, waits=config.wait))
        guard = guard_of(chain, config.netuid) if chain else None
        publication = await opened.enter_async_context(publish(config, guard))
        print(describe(publication, config.json), flush=True)
        if chain is not None:
            ensure_reachable(publication.url, is_live=await chain.is_live())
            await register(chain, config.netuid, publication)
        await asyncio.Event().wait()


@asynccontextmanager
async def publish(config: Config, guard: Guard | None = None) -> AsyncIterator[Publication]:
    """Build the corpus and serve it while the block runs.

    Raises: UnusableCorpus, RefusedWeights, CannotJoin, OSError.
    """
    base = None if config.base is None else await asyncio.to_thread(read, config.base)
    source, root = config.source or standard_library(), None if base is None else Hash(base.root())
    corpus = await asyncio.to_thread(build_corpus, source, root)
    with contextlib.ExitStack() as stack:
        directory = config.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = BlobStore(directory)
        await asyncio.to_thread(store.put_all, (corpus.manifest.encode(), *corpus.shards.values()))
        if base is not None:
            await asyncio.to_thread(store.put_all, nodes_of(base))
        async with serving(store, config.host, config.port, guard) as url:
            manifest = corpus.manifest
            size = sum(len(text) for text in corpus.shards.values())
            shards = len(manifest.train), len(manifest.held_out)
            yield Publication(manifest.root(), config.public_url or url, *shards, size)


async def register(chain: Chain, netuid: int, publication: Publication) -> None:
    """Name the data set on chain, unless it is named already.

    Raises: NodeFailure, Refused.
    """
    if await chain.dataset(netuid) == (publication.root, publication.url):
        return
    root = "0x" + publication.root.hex()
    receipt = await chain.submit("Training.set_dataset", netuid=netuid, root=root, url=publication.url)
    log.info("data set 0x%s… named in block #%d", publication.root.hex()[:8], receipt.block.number)


def describe(publication: Publication, as_json: bool) -> str:
    """Return the one line that says what is served and where."""
    if as_json:
        named = {
            "root": f"0x{publication.root.hex()}",
            "url": publication.url,
            "train_shards": publication.train_shards,
            "held_out_shards": publication.held_out_shards,
            "bytes": publication.size,
        }
        return json_format.dumps(named)
    return (
        f"📚 data set 0x{publication.root.hex()[:8]}…: {publication.size / 1_000_000:.1f} MB of text in "
        f"{publication.train_shards} + {publication.held_out_shards} shards at {publication.url}"
    )


if __name__ == "__main__":
    sys.exit(start("miners", ["provider", *sys.argv[1:]]))
