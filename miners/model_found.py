"""The model that a subnet begins with: its root, and naming it on chain."""
# Reads top to bottom: run -> main -> _model -> _name; Found says what came of it.

import json
import secrets
from dataclasses import dataclass

from chain.client import Chain, Refused
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.commands.model_found import Config
from miners.joining import CannotJoin, model_of, secret_of
from miners.layout import ModelConfig, differences
from miners.process import INTERRUPTED, run_until_stopped
from miners.replica import genesis_weights
from miners.stock import read
from miners.weights import MasterWeights, RefusedWeights

CALL = "Training.found_model"


@dataclass(frozen=True, slots=True)
class Found:
    """A model, and what the chain says of the subnet's."""

    config: Config
    weights: MasterWeights
    named: bytes | None  # root of the model as it is now
    has_begun: bool  # whether a round has opened

    def told(self) -> dict[str, object]:
        """Return what a program wants to know."""
        return {
            "netuid": self.config.netuid,
            "model_root": _hex(self.weights.root()),
            "parameters": len(self.weights.words),
            "named": None if self.named is None else _hex(self.named),
            "begun": self.has_begun,
        }

    def line(self) -> str:
        """Return what a person wants to know."""
        netuid, model, root = self.config.netuid, self.config.model, _hex(self.weights.root())
        found = f"model {root}, {len(self.weights.words):,} parameters, is {model or 'the standard one'}"
        if self.named == self.weights.root():
            is_ours = f"{found}, and what subnet {netuid} {'is at' if self.has_begun else 'begins with'}"
            return f"{is_ours}; serve it: assay model import {model} --into JUDGE" if model else is_ours
        if self.has_begun:
            return f"{found}; subnet {netuid} has begun without it, and is at {_hex(self.named or b'')}"
        named = "no model yet" if self.named is None else _hex(self.named)
        return f"{found}; subnet {netuid} names {named}; its owner's --key calls {CALL}({netuid}, {root})"


def run(config: Config) -> int:
    """Do it, and return the exit code."""
    failures = (RefusedWeights, CannotJoin, Refused, NodeFailure, SuriError, OSError)
    return run_until_stopped("model found", main(config), failures, INTERRUPTED)


async def main(config: Config) -> None:
    """Find the root, name it where a key is given, tell."""
    is_signed = config.key is not None or config.key_file is not None
    secret = secret_of(config.key or "", config.key_file) if is_signed else "0x" + secrets.token_hex(32)
    async with Chain.connect(config.url, secret) as chain:
        weights = _model(config, await model_of(chain, config.netuid))
        root = weights.root()
        if is_signed and await chain.model_root(config.netuid) != root:
            await _name(chain, config.netuid, root)
        found = Found(config, weights, await chain.model_root(config.netuid), await _has_begun(chain, config))
    print(json.dumps(found.told()) if config.json else found.line())


def _model(config: Config, shape: ModelConfig) -> MasterWeights:
    """Return the model that is meant.

    Raises: CannotJoin, RefusedWeights.
    """
    if config.model is None:
        return genesis_weights(config.netuid, shape)
    weights = read(config.model)
    if other := differences(weights.config, shape):
        raise CannotJoin(
            f"{config.model} is of another shape than the model of subnet {config.netuid}: "
            + ", ".join(f"{name} is {ours}, must be {theirs}" for name, (ours, theirs) in other.items())
        )
    return weights


async def _name(chain: Chain, netuid: int, root: bytes) -> None:
    """Name a model on chain.

    Raises: Refused.
    """
    arguments = {"netuid": netuid, "root": _hex(root)}
    await chain.check(CALL, **arguments)
    await chain.submit(CALL, **arguments)


async def _has_begun(chain: Chain, config: Config) -> bool:
    return bool(await chain.query("Training.CurrentRound", config.netuid))


def _hex(root: bytes) -> str:
    return "0x" + root.hex()
