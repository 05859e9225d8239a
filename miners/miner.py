"""The miner: trains on the text the chain assigns, publishes the update, gets paid."""
# Reads top to bottom: run -> main -> mine_forever -> mine -> prepare -> work.

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass
from functools import partial

from chain.client import PHASES, Chain, Refused, Round, RoundOver
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.attacks import ATTACKS, Attack
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, StoreFull
from miners.commands.miner import Config
from miners.compressor import Compressor, LostMemory
from miners.config import start
from miners.data import UnusableCorpus, assignment
from miners.device import use_device
from miners.handover import Handover
from miners.joining import PLANCK, CannotJoin, announce, register, secret_of, workplace
from miners.metrics import WorkerMetrics, follow
from miners.model import TrainingDiverged, train
from miners.parameters import TrainingParameters
from miners.payload import encode, shape_of
from miners.process import run_until_stopped, together
from miners.promise import Promise, Promises
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from miners.shelf import RECENT_ROUNDS, Shelf
from miners.weights import MasterWeights
from runtime.primitives.hashing import blake2_256

log = logging.getLogger("miner")

SALT_SIZE = 32
"""bytes"""
HONEST = Attack.name


@dataclass(frozen=True, slots=True)
class Bench:
    """What a miner works with."""

    config: Config
    chain: Chain
    blobs: BlobClient
    shards: ShardClient
    replica: Replica
    shelf: Shelf
    parameters: TrainingParameters
    promises: Promises
    handover: Handover
    metrics: WorkerMetrics
    attack: Attack  # the honest one changes nothing


def run(config: Config) -> int:
    """Work until told to stop, and return the exit code."""
    return run_until_stopped("miner", main(config), (CannotJoin, NodeFailure, SuriError, OSError))


async def main(config: Config) -> None:
    """Join, then work until cancelled."""
    use_device(config.device, config.threads)
    secret = secret_of(config.key, config.key_file)
    async with workplace(
        "miner", config.url, secret, config.netuid, config.site(), waits=config.wait
    ) as place:
        uid = await register(place.chain, config.netuid, round(config.max_price * PLANCK))
        await announce(place.chain, config.netuid, place.url)
        log.info("uid %d in subnet %d, serving blobs at %s", uid, config.netuid, place.url)
        shards = ShardClient(place.blobs, [], Cache(place.home / "shards"))
        promises, attack = Promises(place.home), ATTACKS[config.cheat]()
        handover = Handover(
            place.blobs, promises, partial(judges, place.chain, config.netuid), attack.serving
        )
        bench = Bench(
            config, place.chain, place.blobs, shards, place.replica, place.shelf, place.parameters,
            promises, handover, place.metrics, attack,
        )  # fmt: skip
        programs = [mine_forever(bench), handover.follow()]
        if config.prometheus_port is not None:
            programs.append(follow(place.chain, config.netuid, place.metrics))
        await together(*programs)


async def mine_forever(bench: Bench) -> None:
    """Work on every round; losing one never ends the process."""
    async for current in bench.chain.rounds(bench.config.netuid, until="Reveal"):
        try:
            await mine(bench, current)
        except RoundOver as late:
            bench.metrics.update_ended("lost")
            log.warning("round %05d | too late: %s", current.number, late)
        except Diverged as problem:
            log.error("round %05d | lost: %s; replaying every round from the first", current.number, problem)
            bench.replica.start_over()
        except (Refused, BlobError, UnusableCorpus, TrainingDiverged) as problem:
            bench.metrics.update_ended("lost")
            log.warning("round %05d | lost: %s", current.number, problem)


async def mine(bench: Bench, current: Round) -> None:
    """Train, commit, reveal, serve: one round."""
    chain, netuid, number = bench.chain, bench.config.netuid, current.number
    await settle(bench, number)
    committed, found = await chain.commitment(netuid, number), bench.promises.open()
    if committed is None and found is None:
        if PHASES.index(current.phase) > PHASES.index("Train"):
            return  # we came too late for this one
        found = await prepare(bench, current)
    if found is None or committed not in (None, found[0].commitment(chain.genesis_hash, netuid)):
        log.warning("round %05d | skipped: committed before, and what opens it is not on this disk", number)
        return
    promise, blob = found
    if committed is None:
        await commit(bench, promise)
    await reveal(bench, promise, blob)


async def settle(bench: Bench, number: int) -> None:
    """Finish with a promise of an earlier round that an earlier life of this miner left open."""
    found = bench.promises.open()
    if found is None:
        return
    promise = found[0]
    if promise.hotkey != bench.chain.hotkey.hex():
        bench.promises.drop()
    elif await bench.chain.has_revealed(bench.config.netuid, promise.round):
        await serve_payload(bench, promise, found[1])
        await fulfil(bench)
    elif promise.round != number:
        bench.promises.drop()


async def prepare(bench: Bench, current: Round) -> tuple[Promise, bytes]:
    """Train and write down what will open the commitment, before anybody hears of it."""
    base = await bench.replica.at(current.number, current.base_root)
    compressor = _memory(bench)
    ef_digest = compressor.digest()
    blob, loss = await work(bench, current, base, compressor)
    promise = Promise(
        round=current.number,
        hotkey=bench.chain.hotkey.hex(),
        salt=secrets.token_bytes(SALT_SIZE).hex(),  # nobody can guess what is not out yet
        digest=blake2_256(blob).hex(),
        length=len(blob),
        ef_digest=ef_digest.hex(),
    )
    await asyncio.to_thread(bench.promises.keep, promise, blob, compressor)
    log.info("round %05d | trained, loss %.4f nats per token", current.number, loss)
    return promise, blob


async def commit(bench: Bench, promise: Promise) -> None:
    """Put the commitment on chain."""
    chain, netuid = bench.chain, bench.config.netuid
    commitment = promise.commitment(chain.genesis_hash, netuid)
    try:
        await chain.submit(
            "ModelUpdates.commit", netuid=netuid, round=promise.round, commitment="0x" + commitment.hex()
        )
    except Refused:
        await chain.phase_reached(netuid, promise.round, "Reveal")
        if await chain.commitment(netuid, promise.round) != commitment:  # not on its way from an earlier life
            raise


async def reveal(bench: Bench, promise: Promise, blob: bytes) -> None:
    """Open the commitment and serve the payload; only then is the error feedback that of the next round."""
    chain, netuid = bench.chain, bench.config.netuid
    await chain.phase_reached(netuid, promise.round, "Reveal")
    await serve_payload(bench, promise, blob)  # only now may anyone fetch it
    await bench.handover.look()
    try:
        receipt = await chain.submit(
            "ModelUpdates.reveal", netuid=netuid, round=promise.round, digest="0x" + promise.digest,
            length=promise.length, ef_digest="0x" + promise.ef_digest, salt="0x" + promise.salt,
        )  # fmt: skip
    except Refused:
        if not await chain.has_revealed(netuid, promise.round):
            raise
    else:
        bench.metrics.update_ended("revealed")
        log.info(
            "round %05d | update 0x%s… %d B | block #%d",
            promise.round, promise.digest[:8], promise.length, receipt.block.number,
        )  # fmt: skip
    await fulfil(bench)


async def fulfil(bench: Bench) -> None:
    """Go on to the next round, while judges are given copies."""
    await asyncio.to_thread(bench.promises.fulfil)
    bench.handover.begin()


async def serve_payload(bench: Bench, promise: Promise, blob: bytes) -> None:
    """Let everybody fetch the payload."""
    digest, served = bytes.fromhex(promise.digest), bench.attack.serving(blob)
    await asyncio.to_thread(bench.shelf.forget_before, promise.round - RECENT_ROUNDS)
    try:
        await asyncio.to_thread(bench.shelf.of(promise.round).put_as, digest, served)
    except (StoreFull, OSError) as problem:
        log.warning("round %05d | not served from here: %s", promise.round, problem)


async def judges(chain: Chain, netuid: int) -> list[Source]:
    """Return who keeps payloads for others."""
    mirrors = await chain.mirrors(netuid)
    return [Source(each.url, each.hotkey) for each in mirrors if each.hotkey != chain.hotkey]


async def work(
    bench: Bench, current: Round, base: MasterWeights, compressor: Compressor
) -> tuple[bytes, float]:
    """Return the payload of this round's assignment and the training loss in nats per token."""
    await bench.shards.follow(bench.chain, bench.config.netuid)
    manifest = await bench.shards.manifest(current.data_root)
    drawn = assignment(current.beacon0, bench.chain.hotkey, manifest, bench.parameters)  # the chain picks
    windows = bench.attack.assignment(drawn)
    span = bench.parameters.model.sequence + 1
    batches = await bench.shards.batches(windows, bench.parameters.batch_size, span)
    began = time.monotonic()
    trained = await asyncio.to_thread(train, base, batches, bench.parameters, bench.config.device)
    tokens = sum(batch[:, 1:].size for batch in batches)
    bench.metrics.trained(tokens, time.monotonic() - began, trained.loss)
    delta = bench.attack.training(trained.delta)
    payload = await asyncio.to_thread(compressor.compress, delta, base.root())
    shape = shape_of(bench.parameters, base.root())
    return bench.attack.payload(encode(payload), shape, await _heard(bench, current.number)), trained.loss


async def _heard(bench: Bench, number: int) -> list[bytes]:
    """Return others' payloads of the round before, for those who cheat with them."""
    if bench.attack.name == HONEST:
        return []
    updates = await bench.chain.updates(bench.config.netuid, number - 1)
    others = [update for update in updates if update.miner != bench.chain.hotkey]
    return [await bench.replica.blob(update.miner, update.digest) for update in others[:1]]


def _memory(bench: Bench) -> Compressor:
    """Return the error feedback of the rounds before; a fresh one where it is damaged."""
    try:
        return bench.promises.memory(bench.parameters)
    except LostMemory as problem:
        log.warning("starting with empty error feedback: %s", problem)
        bench.promises.forget_memory()
        return bench.promises.memory(bench.parameters)


if __name__ == "__main__":
    sys.exit(start("miners", ["miner", *sys.argv[1:]]))
