"""A copy of a subnet's model that follows the chain, root by root; miners and judges both keep one.

    weights = await replica.at(round)      the model a round starts from, bit for bit, whoever asks

It starts from the model the subnet began with, or from what it saved, and applies the accepted payloads of
every round since; each step must end at the root the chain attests.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from chain.client import Accepted, Chain, Lineage
from miners.aggregate import aggregate
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, StoreFull
from miners.files import write_whole
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, Payload, decode, shape_of
from miners.shelf import Shelf
from miners.weights import MasterWeights, from_bytes, initial
from runtime.primitives.hashing import blake2_256

log = logging.getLogger("replica")

SAVED_STEP = "replica.json"
SAVED_WEIGHTS = "replica.weights"
PROGRESS_SECONDS = 5.0
"""between two lines about a long catch-up"""


class Diverged(Exception):
    """This copy does not arrive at the root the chain attests; nothing may be built on it."""


def genesis_weights(netuid: int, parameters: TrainingParameters) -> MasterWeights:
    """Return the model a subnet starts with; its root is in the chain's genesis."""
    return initial(parameters.model, blake2_256(b"assay/model/" + netuid.to_bytes(2, "little")))


class Replica:
    """The model after some round, and how to get to later ones."""

    def __init__(
        self,
        chain: Chain,
        blobs: BlobClient,
        shelf: Shelf,
        directory: Path,
        netuid: int,
        parameters: TrainingParameters,
        *,
        mirrors: bool = False,
    ) -> None:
        self._chain = chain
        self._blobs = blobs
        self._shelf = shelf
        self._directory = directory
        self._netuid = netuid
        self._parameters = parameters
        self._mirrors = mirrors  # whether accepted payloads are kept for others
        self.applied, self.weights = self._load()

    async def at(self, number: int, base_root: bytes) -> MasterWeights:
        """Return the model that round `number` starts from.

        Raises: Diverged; BlobError when an accepted payload is nowhere to be had.
        """
        first, told = self.applied + 1, time.monotonic()
        while self.applied < number - 1:
            step = await self._chain.lineage(self._netuid, self.applied + 1)
            if step is not None:
                await self._apply(self.applied + 1, step)
            self.applied += 1
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                log.info("catching up: rounds %d to %d of %d applied", first, self.applied, number - 1)
        if self.weights.root() != base_root:
            raise Diverged(
                f"round {number} starts from model 0x{base_root.hex()[:8]}…, this copy is at "
                f"0x{self.weights.root().hex()[:8]}…"
            )
        return self.weights

    def start_over(self) -> None:
        """Go back to the model the subnet began with, so that the next `at` replays every round."""
        self.applied, self.weights = 0, genesis_weights(self._netuid, self._parameters)

    async def merged(self, base: MasterWeights, accepted: Sequence[Accepted]) -> MasterWeights:
        """Return the model after the accepted payloads of a round.

        Raises: BlobError, Diverged when a payload that was accepted does not decode.
        """
        payloads = await asyncio.gather(*(self._payload(one, base) for one in accepted))
        entering = [(payload, one.weight) for payload, one in zip(payloads, accepted, strict=True)]
        return await asyncio.to_thread(aggregate, base, entering, self._parameters)

    async def blob(self, hotkey: bytes, digest: bytes) -> bytes:
        """Return a payload's bytes: kept here, from its miner, or from any neuron that mirrors it.

        Raises: BlobError.
        """
        kept = await asyncio.to_thread(self._shelf.get, digest)
        if kept is not None:
            return kept
        sources = await self._sources(hotkey)
        if not sources:
            raise BlobError(
                digest, "nowhere", "its miner announced no address: it must call Neurons.serve_axon"
            )
        return await self._blobs.fetch(sources, digest, self._parameters.max_payload_bytes)

    async def _sources(self, hotkey: bytes) -> list[Source]:
        """Return where a miner's blobs may be had: the miner first, then the judges, who mirror."""
        url = await self._chain.axon(self._netuid, hotkey)
        first = [Source(url, hotkey)] if url else []
        mirrors = await self._chain.mirrors(self._netuid)
        others = [Source(each.url, each.hotkey) for each in mirrors if each.hotkey != self._chain.hotkey]
        return list({each.url: each for each in (*first, *others)}.values())

    async def _keep(self, digest: bytes, blob: bytes) -> None:
        """Keep an accepted payload for others; a full disk is said, and the model goes on."""
        try:
            await asyncio.to_thread(self._shelf.keep, digest, blob)
        except (StoreFull, OSError) as problem:
            log.error("accepted payload 0x%s… is not mirrored: %s", digest.hex()[:8], problem)

    async def _payload(self, one: Accepted, base: MasterWeights) -> Payload:
        blob = await self.blob(one.hotkey, one.digest)
        if self._mirrors:
            await self._keep(one.digest, blob)
        try:
            return await asyncio.to_thread(decode, blob, shape_of(self._parameters, base.root()))
        except MalformedPayload as problem:
            raise Diverged(
                f"payload 0x{one.digest.hex()[:8]}… was accepted but is malformed: {problem}"
            ) from problem

    async def _apply(self, number: int, step: Lineage) -> None:
        if step.base_root != self.weights.root():
            raise Diverged(
                f"round {number} started from model 0x{step.base_root.hex()[:8]}…, this copy is at "
                f"0x{self.weights.root().hex()[:8]}…"
            )
        after = await self.merged(self.weights, step.accepted)
        if after.root() != step.new_root:
            raise Diverged(
                f"round {number} leads to 0x{after.root().hex()[:8]}… here, "
                f"to 0x{step.new_root.hex()[:8]}… on the chain"
            )
        self.weights = after
        await asyncio.to_thread(self._save, number)

    def _load(self) -> tuple[int, MasterWeights]:
        """Return what was saved, or the beginning where nothing usable was."""
        step, weights = self._directory / SAVED_STEP, self._directory / SAVED_WEIGHTS
        if step.exists() and weights.exists():
            try:
                found = json.loads(step.read_text())
                kept = from_bytes(self._parameters.model, weights.read_bytes())
                if kept.root().hex() == found["root"]:
                    return int(found["round"]), kept
                log.warning("the saved model in %s is torn: replaying from the beginning", self._directory)
            except (ValueError, KeyError, TypeError) as problem:
                log.warning("the saved model in %s is unusable (%s): replaying", self._directory, problem)
        return 0, genesis_weights(self._netuid, self._parameters)

    def _save(self, number: int) -> None:
        """Keep the model; a torn pair of files does not match and is not used."""
        write_whole(self._directory / SAVED_WEIGHTS, self.weights.to_bytes())
        step = {"round": number, "root": self.weights.root().hex()}
        write_whole(self._directory / SAVED_STEP, json.dumps(step).encode())
