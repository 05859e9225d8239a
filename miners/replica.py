"""A copy of a subnet's model that follows the chain, root by root; miners and judges both keep one.

    weights = await replica.at(round)      the model a round starts from, bit for bit, whoever asks

It starts from what it saved, from the newest checkpoint that judges serve, or from the model the subnet
began with, and applies the accepted payloads of every round since; each step must end at the root the chain
attests.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from random import SystemRandom
from typing import Any

from chain.client import Accepted, Chain, Lineage
from miners.aggregate import aggregate
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobBusy, BlobError, StoreFull
from miners.blobs.receipts import Owed
from miners.data import UnusableCorpus
from miners.files import bytes_in, number_in, read_whole, write_whole
from miners.layout import ModelConfig
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, Payload, PayloadShape, decode, shape_of
from miners.shelf import Shelf
from miners.weights import MasterWeights, RefusedWeights, from_bytes, initial
from runtime.primitives.hashing import blake2_256

log = logging.getLogger("replica")

SAVED_STEP = "replica.json"
SAVED_WEIGHTS = "replica.weights"
LOOK_SECONDS = 5.0
"""between two looks at who mirrors; a long catch-up fetches many payloads from the same judges"""
CHANCE = SystemRandom()
JUMP_ROUNDS = 8
"""A checkpoint so many rounds ahead is fetched whole: a model is as long as a few rounds' payloads."""
KEPT_CHECKPOINTS = 2
"""whose models judges keep; the older one is for those who were fetching it when the newer one came"""
STRANGERS_DOORS = 2
"""Transfers that a blob server lets one address have at once that does not sign."""
NODE_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""seconds until a judge that is busy is asked again; one counts the requests of a minute"""
PROGRESS_SECONDS = 5.0
"""between two lines about a long catch-up"""


class Diverged(Exception):
    """This copy does not arrive at the root the chain attests; nothing may be built on it."""


def genesis_weights(netuid: int, model: ModelConfig) -> MasterWeights:
    """Return the model a subnet starts with, where its owner names no other one."""
    return initial(model, blake2_256(b"assay/model/" + netuid.to_bytes(2, "little")))


class Replica:
    """The model after some round, and how to get to later ones."""

    def __init__(
        self,
        chain: Chain,
        blobs: BlobClient,
        shelf: Shelf,
        directory: Path,
        netuid: int,
        model: ModelConfig,
        *,
        mirrors: bool = False,
        is_stranger: bool = False,
        is_guest: bool = False,
    ) -> None:
        self._chain = chain
        self._blobs = blobs
        self._shelf = shelf
        self._directory = directory
        self._netuid = netuid
        self._model = model  # the same for as long as there is the subnet
        self._is_guest = is_guest  # whether the shelf is that of another replica, which tidies it
        self._mirrors = mirrors  # whether accepted payloads and checkpoints are kept for others
        self._doors: AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(STRANGERS_DOORS) if is_stranger else nullcontext()
        )
        self._base: MasterWeights | None = None  # what the adapter belongs to, where one is trained
        self._mirroring: list[Source] = []
        self._looked = -LOOK_SECONDS
        self.applied, self.weights = self._load()
        self._has_begun = self.applied > 0  # whether the chain has ever attested this model

    async def at(self, number: int, base_root: bytes) -> MasterWeights:
        """Return the model that round `number` starts from.

        Raises: Diverged; BlobError when an accepted payload is nowhere to be had.
        """
        await self._jump(number, JUMP_ROUNDS)
        first, told = self.applied + 1, time.monotonic()
        while self.applied < number - 1:
            try:
                await self.step()
            except BlobError as problem:
                if not await self._jump(number, 1):
                    raise
                log.warning("round %05d cannot be replayed: %s", self.applied + 1, problem)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                log.info("catching up: rounds %d to %d of %d applied", first, self.applied, number - 1)
        await self._begin_at(base_root)
        if self.weights.root() != base_root:
            raise Diverged(
                f"round {number} starts from model 0x{base_root.hex()[:8]}…, this copy is at "
                f"0x{self.weights.root().hex()[:8]}…"
            )
        return self.weights

    async def step(self) -> Lineage | None:
        """Go over the next round, and return how it changed the model; None for a void round.

        Raises: Diverged, BlobError.
        """
        number = self.applied + 1
        found = await self._chain.lineage(self._netuid, number)
        if found is not None:
            await self._begin_at(found.base_root)
            await self._apply(number, found)
            await self._keep_checkpoint(number)
        self.applied = number
        return found

    def start_over(self) -> None:
        """Go back to the model the subnet began with: the next `at` builds on nothing of before.

        A large one takes a while to compute: call it in a thread.
        """
        self.applied, self.weights = 0, genesis_weights(self._netuid, self._model)
        self._has_begun = False

    async def begin_from(self, number: int, root: bytes) -> None:
        """Take the model after a round from a judge, or from what this worker keeps.

        Raises: BlobError, StoreFull, OSError, RefusedWeights.
        """
        told = time.monotonic()

        def tell(here: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                log.info("fetching the model after round %d: %d of %d pieces", number, here, total)

        models = self._shelf.models
        self.weights = await models.fetch(number, root, self._model, self._node, tell)
        self.applied, self._has_begun = number, True
        await asyncio.to_thread(self._save, number)
        if not (self._mirrors or self._is_guest):
            await asyncio.to_thread(models.forget)  # also what other attempts have left
        log.info("the model after round %d is here: 0x%s…", number, root.hex()[:8])

    async def founded(self, adapter: MasterWeights, root: bytes | None) -> MasterWeights:
        """Return an adapter with the model it belongs to, which the data set names; a whole model as it is.

        Raises: BlobError, UnusableCorpus.
        """
        if not adapter.config.lora_rank:
            return adapter
        if root is None:
            raise UnusableCorpus("this subnet trains an adapter, and its data set names no model for it")
        if self._base is None or await asyncio.to_thread(self._base.root) != root:
            shape = adapter.config.whole()
            try:
                self._base = await self._shelf.bases.fetch(0, root, shape, self._base_node)
            except (RefusedWeights, StoreFull, OSError) as problem:
                raise UnusableCorpus(
                    f"the model 0x{root.hex()[:8]}… below the adapter: {problem}"
                ) from problem
        return replace(adapter, base=self._base)

    async def _base_node(self, digest: bytes, most: int) -> bytes:
        """Return a node of the model below an adapter, from who serves the text or from a judge."""
        named = await self._chain.dataset(self._netuid)
        provider = [Source(named[1], await self._chain.owner(self._netuid))] if named else []
        async with self._doors:
            return await self._blobs.fetch([*provider, *await self._judges()], digest, most)

    async def _jump(self, number: int, least: int) -> bool:
        """Go on from the newest checkpoint that is so many rounds ahead and can be had, if there is one."""
        if self.applied + least >= number:
            return False
        known = await self._chain.checkpoints(self._netuid)
        ahead = sorted(each for each in known if self.applied + least <= each < number)
        for each in reversed(ahead[-KEPT_CHECKPOINTS:]):
            try:
                await self.begin_from(each, known[each])
            except (BlobError, StoreFull, OSError, RefusedWeights) as problem:
                log.warning("checkpoint of round %05d not used: %s", each, problem)
            else:
                return True
        return False

    async def _keep_checkpoint(self, number: int) -> None:
        """Keep the model for those who join, where the chain says that they begin with it."""
        if not self._mirrors or await self._chain.checkpoint(self._netuid, number) != self.weights.root():
            return
        try:
            await asyncio.to_thread(self._shelf.models.keep, number, self.weights)
        except (StoreFull, OSError) as problem:
            log.error("the checkpoint of round %05d is not kept for those who join: %s", number, problem)

    async def _begin_at(self, root: bytes) -> None:
        """Fetch the model a subnet began with, where it is not the one that anybody can compute.

        Raises: BlobError, Diverged.
        """
        if self._has_begun or await asyncio.to_thread(self.weights.root) == root:
            return
        try:
            await self.begin_from(self.applied, root)
        except BlobError as problem:
            raise BlobError(
                problem.digest, problem.url,
                f"{problem.reason}; it is of model 0x{root.hex()[:8]}…, which subnet {self._netuid} "
                "begins with: a judge must serve that model (assay model import MODEL --into JUDGE)",
            ) from problem  # fmt: skip
        except (StoreFull, OSError, RefusedWeights) as problem:
            raise Diverged(f"the first model 0x{root.hex()[:8]}… cannot be used: {problem}") from problem

    async def merged(
        self, base: MasterWeights, accepted: Sequence[Accepted], parameters: TrainingParameters
    ) -> MasterWeights:
        """Return the model after the accepted payloads of a round that was made of these parameters.

        Raises: BlobError, Diverged when a payload that was accepted does not decode.
        """
        shape = shape_of(parameters, base.root())
        payloads = await asyncio.gather(*(self._payload(one, shape) for one in accepted))
        entering = [(payload, one.weight) for payload, one in zip(payloads, accepted, strict=True)]
        after = await asyncio.to_thread(aggregate, base, entering, parameters)
        await asyncio.to_thread(after.root)  # all ask for it, and hashing a large model takes seconds
        return after

    async def blob(
        self,
        hotkey: bytes,
        digest: bytes,
        most: int,
        *,
        was_accepted: bool = False,
        owed_in: int | None = None,
    ) -> bytes:
        """Return a payload of at most so many bytes: kept here, from its miner, or from any judge.

        Judges are asked first where they must have it.

        With the round it is `owed_in`, its miner has to sign that these are the bytes.

        Raises: BlobError.
        """
        kept = await asyncio.to_thread(self._shelf.get, digest)
        if kept is not None:
            return kept
        sources = await self._sources(hotkey, was_accepted, owed_in)
        if not sources:
            raise BlobError(
                digest, "nowhere", "its miner announced no address: it must call Neurons.serve_axon"
            )
        async with self._doors:
            return await self._blobs.fetch(sources, digest, most)

    async def _node(self, digest: bytes, most: int) -> bytes:
        """Return a node of a model's tree from any judge.

        Raises: BlobError.
        """
        for pause in NODE_PAUSES:
            try:
                return await self._node_once(digest, most)
            except BlobBusy:
                await asyncio.sleep(pause)
        return await self._node_once(digest, most)

    async def _node_once(self, digest: bytes, most: int) -> bytes:
        judges = list(await self._judges())
        CHANCE.shuffle(judges)
        async with self._doors:
            return await self._blobs.fetch(judges, digest, most)

    async def _sources(self, hotkey: bytes, was_accepted: bool, owed_in: int | None) -> list[Source]:
        """Return where a miner's blobs may be had; judges in any order, so that none serves all."""
        url = await self._chain.axon(self._netuid, hotkey)
        owed = None if owed_in is None else Owed(self._chain.genesis_hash, self._netuid, owed_in, hotkey)
        miner, judges = [Source(url, hotkey, owed)] if url else [], list(await self._judges())
        CHANCE.shuffle(judges)
        listed = [*judges, *miner] if was_accepted else [*miner, *judges]
        return list({each.url: each for each in listed}.values())

    async def _judges(self) -> list[Source]:
        """Return who mirrors, as of some seconds ago."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            found = await self._chain.mirrors(self._netuid)
            self._mirroring = [Source(each.url, each.hotkey) for each in found]
            self._looked = time.monotonic()
        return [each for each in self._mirroring if each.hotkey != self._chain.hotkey]

    async def _keep(self, digest: bytes, blob: bytes) -> None:
        """Keep an accepted payload for others; a full disk is said, and the model goes on."""
        try:
            await asyncio.to_thread(self._shelf.keep, digest, blob)
        except (StoreFull, OSError) as problem:
            log.error("accepted payload 0x%s… is not mirrored: %s", digest.hex()[:8], problem)

    async def _payload(self, one: Accepted, shape: PayloadShape) -> Payload:
        blob = await self.blob(one.hotkey, one.digest, shape.max_bytes, was_accepted=True)
        if self._mirrors:
            await self._keep(one.digest, blob)
        try:
            return await asyncio.to_thread(decode, blob, shape)
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
        parameters = TrainingParameters.from_integers(step.parameters)
        after = await self.merged(self.weights, step.accepted, parameters)
        if after.root() != step.new_root:
            raise Diverged(
                f"round {number} leads to 0x{after.root().hex()[:8]}… here, "
                f"to 0x{step.new_root.hex()[:8]}… on the chain"
            )
        self.weights, self._has_begun = after, True
        await asyncio.to_thread(self._save, number)

    def _load(self) -> tuple[int, MasterWeights]:
        """Return what was saved, or the beginning where nothing usable was."""
        step, weights = self._directory / SAVED_STEP, self._directory / SAVED_WEIGHTS
        if step.exists() and weights.exists():
            try:
                number, root = read_whole(step, _step)
                kept = from_bytes(self._model, weights.read_bytes())
                if kept.root() == root:
                    return number, kept
                log.warning("the saved model in %s is torn: replaying from the beginning", self._directory)
            except ValueError as problem:
                log.warning("the saved model in %s is unusable (%s): replaying", self._directory, problem)
        return 0, genesis_weights(self._netuid, self._model)

    def _save(self, number: int) -> None:
        """Keep the model; a torn pair of files does not match and is not used. A full disk costs time."""
        step = {"round": number, "root": self.weights.root().hex()}
        try:
            write_whole(self._directory / SAVED_WEIGHTS, self.weights.to_bytes())
            write_whole(self._directory / SAVED_STEP, json.dumps(step).encode())
        except OSError as problem:
            log.error("the model after round %05d is not saved: %s", number, problem)


def _step(found: Any) -> tuple[int, bytes]:
    return number_in(found["round"]), bytes_in(found["root"], 32)
