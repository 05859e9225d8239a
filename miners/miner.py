"""The miner: trains on the text the chain assigns, publishes the update, gets paid."""
# Reads top to bottom: run -> main -> take_part -> mine_forever -> mine -> prepare -> work.

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass
from functools import partial

from chain.amounts import PLANCK
from chain.client import PHASES, Chain, Refused, Round, RoundOver, Update
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.attacks import ATTACKS, NEVER, TOO_LATE, Attack, read
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError, StoreFull
from miners.blobs.receipts import Receipts
from miners.commands.miner import Config
from miners.compressor import Compressor, LostMemory
from miners.config import start
from miners.crew import Crew, CrewLost, crew
from miners.data import UnusableCorpus, assignment
from miners.device import use_device
from miners.diary import Diary
from miners.handover import Handover
from miners.joining import CannotJoin, announce, register, secret_of, workplace
from miners.memories import MEMORY_ROUNDS, Memories, last_revealed, tidy
from miners.model import TrainingDiverged, train
from miners.parameters import OutOfRange, TrainingParameters
from miners.payload import MalformedPayload, PayloadShape, encode, shape_of
from miners.process import run_until_stopped, together
from miners.promise import Promise, Promises
from miners.replica import Diverged, Replica
from miners.reporter import MINER, reporting
from miners.seat import ensure_seated
from miners.shards import ShardClient
from miners.shelf import RECENT_ROUNDS, Shelf
from miners.tracking import ensure_installed
from miners.weights import MasterWeights
from runtime.primitives.hashing import blake2_256

log = logging.getLogger("miner")

SALT_SIZE = 32
"""bytes"""
HONEST = Attack.name
MOST_HEARD = 8
"""Payloads of others that a cheat hears of."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a miner works with."""

    config: Config
    chain: Chain
    blobs: BlobClient
    shards: ShardClient
    replica: Replica
    shelf: Shelf
    memories: Memories
    promises: Promises
    receipts: Receipts
    handover: Handover
    diary: Diary
    attack: Attack  # the honest one changes nothing
    team: Crew | None  # the other processes of this miner, if it has any


def run(config: Config) -> int:
    """Work until told to stop, and return the exit code."""
    return run_until_stopped("miner", main(config), (CannotJoin, NodeFailure, SuriError, CrewLost, OSError))


async def main(config: Config) -> None:
    """Join, then work until cancelled; of several processes the first one does, and the others help it."""
    use_device(config.device, config.threads, config.precision)
    with crew(config.device) as team:
        if team is not None and team.rank:
            await asyncio.to_thread(team.help, config.device, config.precision)
        else:
            await take_part(config, team)


async def take_part(config: Config, team: Crew | None) -> None:
    """Join, then work until cancelled."""
    ensure_installed(config.track)
    secret = secret_of(config.key, config.key_file)
    async with workplace(MINER, config.url, secret, config.netuid, config.site(), waits=config.wait) as place:
        uid = await register(place.chain, config.netuid, round(config.max_price * PLANCK))
        await announce(place.chain, config.netuid, place.url)
        log.info("uid %d in subnet %d, serving blobs at %s", uid, config.netuid, place.url)
        shards = ShardClient(place.blobs, [], Cache(place.home / "shards"))
        promises, attack = Promises(place.home), ATTACKS[config.cheat]()
        handover = Handover(
            place.blobs, promises, partial(judges, place.chain, config.netuid), place.receipts.find,
            attack.serving,
        )  # fmt: skip
        bench = Bench(
            config, place.chain, place.blobs, shards, place.replica, place.shelf, place.memories, promises,
            place.receipts, handover, Diary(place.metrics), attack, team,
        )  # fmt: skip
        async with reporting(MINER, config, place.chain, bench.diary) as reports:
            await together(mine_forever(bench), handover.follow(), reports)


async def mine_forever(bench: Bench) -> None:
    """Work on every round; losing one never ends the process, but losing the seat does.

    Raises: CannotJoin.
    """
    async for current in bench.chain.rounds(bench.config.netuid, until="Reveal"):
        await ensure_seated(bench.chain, bench.config.netuid, bench.diary)
        bench.diary.begin(current.number)
        try:
            await mine(bench, current)
        except RoundOver as late:
            if late.phase != "Void":  # that has its reason on the chain
                bench.diary.lost(current.number, f"too late: {late}")
        except Diverged as problem:
            bench.diary.lost(current.number, problem)
            log.error("round %05d | starting again from what the chain attests: %s", current.number, problem)
            await asyncio.to_thread(bench.replica.start_over)
        except (Refused, BlobError, OutOfRange, UnusableCorpus, TrainingDiverged, OSError) as problem:
            bench.diary.lost(current.number, problem)
        bench.diary.done(current.number)


async def mine(bench: Bench, current: Round) -> None:
    """Train, commit, reveal, serve: one round."""
    chain, netuid, number = bench.chain, bench.config.netuid, current.number
    await settle(bench, number)
    await tidy(bench.memories, chain, netuid, number)
    committed, found = await chain.commitment(netuid, number), await asyncio.to_thread(bench.promises.open)
    if committed is None and found is None:
        if PHASES.index(current.phase) > PHASES.index("Train"):
            bench.diary.lost(number, f"came when it was in phase {current.phase} already")
            return
        if bench.attack.commits == NEVER:
            return
        found = await prepare(bench, current)
    if found is None or committed not in (None, found[0].commitment(chain.genesis_hash, netuid)):
        bench.diary.lost(number, "committed before, and what opens it is not on this disk")
        return
    promise, blob = found
    if committed is None:
        await commit(bench, promise)
    await reveal(bench, promise, blob)


async def settle(bench: Bench, number: int) -> None:
    """Finish with a promise of an earlier round that an earlier life of this miner left open."""
    found = await asyncio.to_thread(bench.promises.open)
    if found is None:
        return
    promise = found[0]
    if promise.hotkey != bench.chain.hotkey.hex():
        await asyncio.to_thread(bench.promises.drop)
    elif await _is_revealed(bench, promise):
        await serve_payload(bench, promise, found[1])
        await fulfil(bench)
    elif promise.round != number:
        await asyncio.to_thread(bench.promises.drop)


async def _is_revealed(bench: Bench, promise: Promise) -> bool:
    """Say whether this very payload was revealed; a receipt for another one would cost the bond."""
    found = await bench.chain.revealed(bench.config.netuid, promise.round, bench.chain.hotkey)
    return found is not None and found[0].hex() == promise.digest


async def prepare(bench: Bench, current: Round) -> tuple[Promise, bytes]:
    """Train and write down what will open the commitment, before anybody hears of it."""
    parameters = TrainingParameters.of(current)
    base = await bench.replica.at(current.number, current.base_root)
    compressor = await _memory(bench, current.number, parameters)
    compressor.error = await asyncio.to_thread(bench.attack.memory, compressor.error)
    ef_digest = await asyncio.to_thread(compressor.digest)
    blob, loss = await work(bench, current, parameters, base, compressor)
    promise = Promise(
        round=current.number,
        hotkey=bench.chain.hotkey.hex(),
        salt=secrets.token_bytes(SALT_SIZE).hex(),  # nobody can guess what is not out yet
        digest=(await asyncio.to_thread(blake2_256, blob)).hex(),
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
    if bench.attack.commits == TOO_LATE:
        await chain.phase_reached(netuid, promise.round, "Reveal")
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
    if not bench.attack.reveals:
        return
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
        bench.diary.revealed(promise.round, promise.length)
        log.info(
            "round %05d | update 0x%s… %d B | block #%d",
            promise.round, promise.digest[:8], promise.length, receipt.block.number,
        )  # fmt: skip
    await fulfil(bench)


async def fulfil(bench: Bench) -> None:
    """Go on to the next round, while judges are given copies."""
    found = await asyncio.to_thread(bench.promises.open)
    if found is not None:
        await _keep(bench, found[0].round, found[1])
    await asyncio.to_thread(bench.promises.fulfil)
    bench.handover.begin()


async def serve_payload(bench: Bench, promise: Promise, blob: bytes) -> None:
    """Let everybody fetch the payload, with a receipt."""
    if not bench.attack.serves:
        return
    digest, served = bytes.fromhex(promise.digest), bench.attack.serving(blob)
    await asyncio.to_thread(bench.shelf.forget_before, promise.round - RECENT_ROUNDS)
    try:
        await asyncio.to_thread(bench.receipts.forget_before, promise.round - RECENT_ROUNDS)
        await asyncio.to_thread(bench.receipts.write, promise.round, digest, served)
        await asyncio.to_thread(bench.shelf.of(promise.round).put_as, digest, served)
    except (StoreFull, OSError) as problem:
        log.warning("round %05d | not served from here: %s", promise.round, problem)


async def judges(chain: Chain, netuid: int) -> list[Source]:
    """Return who keeps payloads for others."""
    mirrors = await chain.mirrors(netuid)
    return [Source(each.url, each.hotkey) for each in mirrors if each.hotkey != chain.hotkey]


async def work(
    bench: Bench,
    current: Round,
    parameters: TrainingParameters,
    base: MasterWeights,
    compressor: Compressor,
) -> tuple[bytes, float]:
    """Return the payload of this round's assignment and the training loss in nats per token."""
    await bench.shards.follow(bench.chain, bench.config.netuid)
    manifest = await bench.shards.manifest(current.data_root)
    drawn = assignment(current.beacon0, bench.chain.hotkey, manifest, parameters)  # the chain picks
    windows = bench.attack.assignment(drawn)
    span = parameters.model.sequence + 1
    batches = bench.attack.text(await bench.shards.batches(windows, parameters.batch_size, span))
    began = time.monotonic()
    base = await bench.replica.founded(base, manifest.base)
    doing = train if bench.team is None else bench.team.train
    device, precision = bench.config.device, bench.config.precision
    rules = bench.attack.rules(parameters)
    trained = await asyncio.to_thread(doing, base, batches, rules, device, precision)
    tokens = sum(batch[:, 1:].size for batch in batches)
    bench.diary.trained(current.number, tokens, time.monotonic() - began, trained.loss)
    delta = await asyncio.to_thread(bench.attack.training, trained.delta)
    payload = await asyncio.to_thread(compressor.compress, delta, current.base_root)
    shape = shape_of(parameters, current.base_root)
    heard = list[bytes]()
    if bench.attack.name != HONEST:
        heard = await overhear(bench.chain, bench.replica, bench.config.netuid, current.number, shape)
    blob = await asyncio.to_thread(encode, payload)
    return await asyncio.to_thread(bench.attack.payload, blob, shape, heard), trained.loss


async def overhear(
    chain: Chain, replica: Replica, netuid: int, number: int, shape: PayloadShape
) -> list[bytes]:
    """Return what can be had of others' payloads of the round before, for those who cheat with them."""
    updates = await chain.updates(netuid, number - 1)
    others = [update for update in updates if update.miner != chain.hotkey]
    found = await asyncio.gather(*(_had(replica, update, shape) for update in others[:MOST_HEARD]))
    return [blob for blob in found if blob is not None]


async def _had(replica: Replica, update: Update, shape: PayloadShape) -> bytes | None:
    try:
        blob = await replica.blob(update.miner, update.digest, shape.max_bytes)
        await asyncio.to_thread(read, blob, shape)
    except (BlobError, MalformedPayload):
        return None
    return blob


async def _memory(bench: Bench, number: int, parameters: TrainingParameters) -> Compressor:
    """Return the error feedback of the update before, on disk for those who audit; else an empty one."""
    try:
        found = await asyncio.to_thread(bench.promises.memory, parameters)
    except LostMemory as problem:
        return _empty(bench, parameters, str(problem))
    if not await asyncio.to_thread(found.error.any):
        return found
    last = await last_revealed(bench.chain, bench.config.netuid, bench.chain.hotkey, number)
    if last is None:
        return _empty(bench, parameters, f"nothing was revealed in the {MEMORY_ROUNDS} rounds before")
    if last[1] != found.left_by:
        return _empty(bench, parameters, f"this disk holds another than the update of round {last[0]} left")
    if not await _keep(bench, number, await asyncio.to_thread(found.to_bytes)):
        return _empty(bench, parameters, "it cannot be kept for those who audit it")
    return found


def _empty(bench: Bench, parameters: TrainingParameters, reason: str) -> Compressor:
    log.warning("starting with empty error feedback: %s", reason)
    bench.promises.forget_memory()
    return bench.promises.memory(parameters)


async def _keep(bench: Bench, number: int, blob: bytes) -> bool:
    """Keep something for those who audit the round; say whether it is on disk."""
    try:
        await asyncio.to_thread(bench.memories.keep, number, blob)
    except (StoreFull, OSError) as problem:
        log.error("round %05d | not kept for its audit: %s", number, problem)
        return False
    return True


if __name__ == "__main__":
    sys.exit(start("miners", ["miner", *sys.argv[1:]]))
