"""Train on the text the chain assigns, publish the update, get paid.

    python -m miners.miner --url ws://127.0.0.1:9944 --key //Miner1

Reads top to bottom: main -> mine_forever -> mine -> work. One assignment is one paid unit of work.
"""

import asyncio
import contextlib
import logging
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from chain.client import Chain, Refused, Round, RoundOver
from chain.connection import Unreachable, WrongChain
from miners.blobs import BlobClient, BlobError, BlobStore, serve
from miners.compressor import Compressor, LostMemory
from miners.config import parse
from miners.data import UnusableCorpus, assignment
from miners.joining import PLANCK, CannotJoin, announce, register, subnet_parameters
from miners.model import TrainingDiverged, choose_device, train, use_threads
from miners.parameters import TrainingParameters
from miners.payload import encode
from miners.process import run, set_up_logging
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from miners.weights import MasterWeights
from runtime.primitives.commitments import update_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Hash

log = logging.getLogger("miner")

MEMORY_FILE = "error_feedback"
SALT_SIZE = 32
"""bytes"""


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob an operator may turn; what is trained, and how, is the subnet's to say."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Miner1"  # secret URI of the hotkey
    netuid: int = 1  # subnet to work in
    max_price: float = 5.0  # ASY; do not register above this burn
    device: str = "auto"  # cpu, cuda, or auto: a GPU when there is one
    threads: int = 1  # CPU threads of torch
    directory: Path | None = None  # where model and blobs are kept; a temporary directory if not given
    host: str = "127.0.0.1"  # address to serve blobs on
    port: int = 0  # port to serve blobs on; 0 takes a free one


@dataclass(frozen=True, slots=True)
class Bench:
    """What a miner works with."""

    config: Config
    chain: Chain
    shards: ShardClient
    replica: Replica
    store: BlobStore
    parameters: TrainingParameters
    memory: Path  # where the error feedback is kept


async def main(config: Config) -> None:
    """Join, then work until cancelled."""
    use_threads(config.threads)
    choose_device(config.device)
    async with contextlib.AsyncExitStack() as opened:
        home = config.directory or Path(
            opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-miner-"))
        )
        home.mkdir(parents=True, exist_ok=True)
        chain = await opened.enter_async_context(Chain.connect(config.url, config.key))
        blobs = await opened.enter_async_context(BlobClient())
        store = BlobStore(home / "blobs")
        address = await opened.enter_async_context(serve(store, config.host, config.port))
        parameters = await subnet_parameters(chain, config.netuid)
        uid = await register(chain, config.netuid, round(config.max_price * PLANCK))
        await announce(chain, config.netuid, address)
        log.info("uid %d in subnet %d, serving blobs at %s", uid, config.netuid, address)
        replica = Replica(chain, blobs, store, home, config.netuid, parameters)
        dataset = await chain.dataset(config.netuid)
        shards = ShardClient(blobs, [dataset[1]] if dataset else [], BlobStore(home / "shards"))
        await mine_forever(Bench(config, chain, shards, replica, store, parameters, home / MEMORY_FILE))


async def mine_forever(bench: Bench) -> None:
    """Work on every round; losing one never ends the process."""
    async for current in bench.chain.rounds(bench.config.netuid):
        try:
            await mine(bench, current)
        except RoundOver as late:
            log.warning("round %05d | too late: %s", current.number, late)
        except (Refused, BlobError, UnusableCorpus, TrainingDiverged) as problem:
            log.warning("round %05d | lost: %s", current.number, problem)


async def mine(bench: Bench, current: Round) -> None:
    """Train, commit, reveal, serve: one round."""
    chain, netuid, number = bench.chain, bench.config.netuid, current.number
    base = await bench.replica.at(number, current.base_root)
    compressor = _memory(bench)
    ef_digest = compressor.digest()
    blob, loss = await work(bench, current, base, compressor)
    digest, salt = (
        blake2_256(blob),
        secrets.token_bytes(SALT_SIZE),
    )  # salted: nobody can guess what is not out yet
    commitment = update_commitment(
        Hash(chain.genesis_hash), netuid, number, AccountId(chain.hotkey), salt,
        Hash(digest), len(blob), Hash(ef_digest),
    )  # fmt: skip
    await chain.submit("ModelUpdates.commit", netuid=netuid, round=number, commitment=_hex(commitment))
    await chain.phase_reached(netuid, number, "Reveal")
    await asyncio.to_thread(bench.store.put, blob)  # only now may anyone fetch it
    receipt = await chain.submit(
        "ModelUpdates.reveal", netuid=netuid, round=number, digest=_hex(digest), length=len(blob),
        ef_digest=_hex(ef_digest), salt=_hex(salt),
    )  # fmt: skip
    await asyncio.to_thread(compressor.save, bench.memory)  # a lost round leaves the memory as it was
    log.info(
        "round %05d | loss %.4f | update 0x%s… %d B | block #%d",
        number, loss, digest.hex()[:8], len(blob), receipt.block.number,
    )  # fmt: skip


async def work(
    bench: Bench, current: Round, base: MasterWeights, compressor: Compressor
) -> tuple[bytes, float]:
    """Return the payload of this round's assignment and the training loss in nats per token."""
    dataset = await bench.chain.dataset(bench.config.netuid)
    bench.shards.use([dataset[1]] if dataset else [])
    manifest = await bench.shards.manifest(current.data_root)
    windows = assignment(current.beacon0, bench.chain.hotkey, manifest, bench.parameters)  # the chain picks
    span = bench.parameters.model.sequence + 1
    batches = await bench.shards.batches(windows, bench.parameters.batch_size, span)
    trained = await asyncio.to_thread(train, base, batches, bench.parameters, bench.config.device)
    payload = await asyncio.to_thread(compressor.compress, trained.delta, base.root())
    return encode(payload), trained.loss


def _memory(bench: Bench) -> Compressor:
    """Return the error feedback of the rounds before; a fresh one where it is missing or damaged."""
    if bench.memory.exists():
        try:
            return Compressor.load(bench.parameters, bench.memory)
        except LostMemory as problem:
            log.warning("starting with empty error feedback: %s", problem)
    return Compressor(bench.parameters)


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


if __name__ == "__main__":
    set_up_logging()
    sys.exit(
        run(
            "miner", main(parse(Config)), (CannotJoin, Diverged, Unreachable, WrongChain, OSError, ValueError)
        )
    )
