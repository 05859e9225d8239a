"""A model that transformers saved, checked, and what a subnet needs to begin with it."""

import json
from contextlib import nullcontext
from dataclasses import fields

from miners.blobs.errors import StoreFull
from miners.commands.model_import import Config
from miners.joining import JUDGE, CannotJoin, claim
from miners.layout import ModelConfig, differences
from miners.process import INTERRUPTED, run_until_stopped
from miners.shelf import Shelf
from miners.stock import read
from miners.weights import RefusedWeights

FIRST = 0
"""The model before the first round."""


def run(config: Config) -> int:
    """Do it, and return the exit code."""
    failures = (RefusedWeights, CannotJoin, StoreFull, OSError)
    return run_until_stopped("model import", main(config), failures, INTERRUPTED)


async def main(config: Config) -> None:
    """Read, check, keep, tell."""
    weights = read(config.directory)
    with claim(JUDGE, config.into) if config.into is not None else nullcontext():
        if config.into is not None:
            Shelf(config.into).models.keep(FIRST, weights)
    shape = {one.name: getattr(weights.config, one.name) for one in fields(ModelConfig)}
    root = "0x" + weights.root().hex()
    if config.json:
        print(json.dumps({"model_root": root, "parameters": len(weights.words), "hyperparameters": shape}))
        return
    print(f"model {root}, {len(weights.words):,} parameters")
    numbers = {name: number for name, (number, _) in differences(weights.config, ModelConfig()).items()}
    print(f"hyperparameters that are not the default: {json.dumps(numbers) if numbers else 'none'}")
    print(f'in a chain specification: "training": {{"<netuid>": {{"model_root": "{root}"}}}}')
    print(f"on a running chain: assay model found --netuid <netuid> --key OWNER --model {config.directory}")
