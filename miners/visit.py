"""Reading a subnet's model without taking part: no key, no uid, nothing left behind.

async with visit(url, netuid) as visitor:
    weights = await model_after(visitor, None)
"""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chain.client import ENDED, Chain
from miners.blobs.client import BlobClient
from miners.joining import PARTIALS, CannotJoin, model_of
from miners.layout import ModelConfig
from miners.replica import Replica
from miners.shards import ShardClient
from miners.shelf import Shelf
from miners.weights import MasterWeights


@dataclass(frozen=True, slots=True)
class Visitor:
    """A connection and a replica that nobody knows of."""

    chain: Chain
    netuid: int
    model: ModelConfig
    replica: Replica
    shards: ShardClient


@asynccontextmanager
async def visit(url: str, netuid: int) -> AsyncIterator[Visitor]:
    """Open what is needed to read; blobs are asked for as a stranger.

    Raises: CannotJoin, Unreachable, WrongChain.
    """
    with tempfile.TemporaryDirectory(prefix="assay-visit-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        async with Chain.connect(url, "0x" + secrets.token_hex(32)) as chain:
            model = await model_of(chain, netuid)
            async with BlobClient(partials=home / PARTIALS, public_only=await chain.is_live()) as blobs:
                replica = Replica(chain, blobs, Shelf(home), home, netuid, model, is_stranger=True)
                yield Visitor(chain, netuid, model, replica, ShardClient(blobs, []))


async def last_ended(visitor: Visitor) -> int:
    """Return the last round that is over, 0 before there is one."""
    current = await visitor.chain.round(visitor.netuid)
    if current is None:
        return 0
    return current.number if current.phase in ENDED else current.number - 1


async def model_after(visitor: Visitor, number: int | None) -> tuple[int, MasterWeights]:
    """Return the model after a round, the last one by default, and which round that is; 0 is the first model.

    Raises: CannotJoin, BlobError, Diverged.
    """
    last = await last_ended(visitor)
    chosen = last if number is None else number
    if chosen > last:
        raise CannotJoin(
            f"round {chosen} of subnet {visitor.netuid} is not over: the last one that is, is {last}"
        )
    root = await _root_after(visitor, chosen)
    return chosen, await visitor.replica.at(chosen + 1, root)


async def base_of(visitor: Visitor) -> bytes | None:
    """Return the root of the model that the subnet's adapter belongs to; None where it trains a whole one.

    Raises: BlobError, UnusableCorpus.
    """
    named = await visitor.chain.dataset(visitor.netuid)
    if not visitor.model.lora_rank or named is None:
        return None
    await visitor.shards.follow(visitor.chain, visitor.netuid)
    return (await visitor.shards.manifest(named[0])).base


async def _root_after(visitor: Visitor, number: int) -> bytes:
    ended = await visitor.chain.round(visitor.netuid, max(1, number))
    if ended is None:  # before the first round
        root = await visitor.chain.model_root(visitor.netuid)
        if root is None:
            raise CannotJoin(f"subnet {visitor.netuid} has no model: its chain specification names none")
        return root
    return ended.new_root if number and ended.new_root is not None else ended.base_root
