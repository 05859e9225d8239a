"""The model after a round, as a directory that transformers loads: follows the chain, then writes."""

import json

from chain.connection import NodeFailure
from miners.blobs.errors import BlobError
from miners.commands.model_export import Config
from miners.data import UnusableCorpus
from miners.joining import CannotJoin, ensure_computable
from miners.process import INTERRUPTED, run_until_stopped
from miners.replica import Diverged
from miners.stock import Occupied, ensure_free, export
from miners.visit import base_of, model_after, visit


def run(config: Config) -> int:
    """Do it, and return the exit code."""
    return run_until_stopped(
        "model export",
        main(config),
        (CannotJoin, NodeFailure, BlobError, Diverged, UnusableCorpus, Occupied, OSError),
        INTERRUPTED,
    )


async def main(config: Config) -> None:
    """Follow the chain to the round, and write."""
    ensure_free(config.to)
    async with visit(config.url, config.netuid) as visitor:
        ensure_computable(visitor.model)
        number, weights = await model_after(visitor, config.round)
        weights = await visitor.replica.founded(weights, await base_of(visitor))
        genesis = visitor.chain.genesis_hash.hex()
    notes = {"genesis": genesis, "netuid": str(config.netuid), "round": str(number)}
    export(weights, config.to, notes)
    root = "0x" + weights.root().hex()
    if config.json:
        print(json.dumps({"round": number, "model_root": root, "parameters": len(weights.words)}))
    else:
        print(f"model {root} after round {number}, {len(weights.words):,} parameters, is in {config.to}")
