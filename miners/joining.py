"""What every worker does first: a directory of its own, a node, a place to serve blobs from, a uid.

async with workplace("miner", url, key, netuid, directory, host, port) as place:
    uid = await register(place.chain, netuid, max_price)
    await announce(place.chain, netuid, place.url)
"""

import asyncio
import fcntl
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chain.client import Chain, Refused
from chain.keys.pair import is_private
from chain.keys.secret_file import SecretFileError, secret_in
from chain.telemetry.metrics import MetricsServer
from miners.blobs.addresses import BadAddress
from miners.blobs.addresses import check as check_address
from miners.blobs.client import BlobClient
from miners.blobs.receipts import Receipts, Witness, ignore
from miners.blobs.server import Guard, Library, Traffic, serve
from miners.blobs.signing import Doorman
from miners.blobs.store import GIB, Quota
from miners.casebook import Casebook
from miners.files import Damaged, bytes_in, number_in, read_whole, write_whole
from miners.layout import ModelConfig
from miners.memories import Memories
from miners.metrics import WorkerMetrics
from miners.replica import Replica
from miners.roster import Roster
from miners.shelf import Shelf
from miners.site import Site

log = logging.getLogger("joining")

CHAIN_FILE = "chain.json"
LOCK_FILE = "lock"
PARTIALS = "partial"
EVERYWHERE = ("0.0.0.0", "::")
JUDGE = "judge"
SERVED_TOO_SOON = "ServedTooSoon"
"""Neurons' error for a second announcement within a few blocks."""
ANNOUNCE_PAUSE_SECONDS = 2.0


class CannotJoin(Exception):
    """This worker cannot take part; one line says why and what to do."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a worker has before it has a uid."""

    home: Path
    chain: Chain
    blobs: BlobClient
    shelf: Shelf
    memories: Memories  # what only this worker has, for those who audit it
    receipts: Receipts  # what it has signed about what it serves
    casebook: Casebook  # what others have signed about what they served
    url: str  # where the shelf is served
    replica: Replica
    metrics: WorkerMetrics


@asynccontextmanager
async def workplace(
    role: str, url: str, key: str, netuid: int, site: Site, *, waits: bool = False
) -> AsyncIterator[Workplace]:
    """Open everything a worker works with, and close it in order.

    Raises: CannotJoin, SuriError, Unreachable, WrongChain.
    """
    with claim(role, site.directory, resumes=site.resumes) as home:
        async with Chain.connect(url, key, waits=waits) as chain:
            bind(home, chain.genesis_hash, netuid)
            model = await model_of(chain, netuid)
            ensure_computable(model)
            is_judge = role == JUDGE  # judges keep what enters the model, and take what is handed to them
            quota = Quota(round(site.quota * GIB))
            shelf, memories = Shelf(home, quota), Memories(home, quota)
            is_live = await chain.is_live()
            receipts, casebook = Receipts(home, chain, netuid), Casebook(home)
            blobs = BlobClient(
                signer=chain, partials=home / PARTIALS, public_only=is_live, witness=casebook.hear
            )
            guard = guard_of(chain, netuid, shelf if is_judge else None, casebook.hear)
            metrics = WorkerMetrics(await chain.name(), blobs.traffic, shelf)
            async with (
                blobs,
                serving(
                    shelf, site.host, site.port, guard, blobs.traffic, receipts.find, memories
                ) as address,
                measured(metrics, site),
            ):
                announced = site.public_url or address
                ensure_reachable(announced, is_live=is_live)
                replica = await asyncio.to_thread(
                    Replica, chain, blobs, shelf, home, netuid, model, mirrors=is_judge
                )
                if replica.applied:
                    log.info("going on in %s with the model after round %d", home, replica.applied)
                yield Workplace(
                    home, chain, blobs, shelf, memories, receipts, casebook, announced, replica, metrics
                )


@asynccontextmanager
async def measured(metrics: WorkerMetrics, site: Site) -> AsyncIterator[None]:
    """Serve metrics while the block runs, where a port is given.

    Raises: CannotJoin.
    """
    if site.prometheus_port is None:
        yield
        return
    host = "0.0.0.0" if site.prometheus_external else "127.0.0.1"
    server = MetricsServer(metrics, host, site.prometheus_port)
    try:
        await server.start()
    except OSError as problem:
        raise CannotJoin(
            f"metrics cannot be served at {host}:{site.prometheus_port} ({problem.strerror or problem}): "
            "choose another port with --prometheus-port"
        ) from problem
    try:
        yield
    finally:
        await server.close()


def guard_of(chain: Chain, netuid: int, shelf: Shelf | None = None, witness: Witness = ignore) -> Guard:
    """Return how this hotkey's blob server knows its callers; with a shelf it takes payloads."""
    return Guard(Doorman(chain.genesis_hash, chain.hotkey), Roster(chain, netuid, shelf), witness)


def secret_of(key: str, key_file: Path | None) -> str:
    """Return the secret URI of a worker's key, from its file where one is named.

    Raises: CannotJoin.
    """
    if key_file is None:
        if is_private(key):
            log.warning("--key shows its secret in the list of processes: put it into a file for --key-file")
        return key
    try:
        return secret_in(key_file)
    except SecretFileError as problem:
        raise CannotJoin(f"--key-file: {problem}") from problem


def ensure_reachable(url: str, *, is_live: bool) -> None:
    """Refuse to announce an address at which nobody else can reach this worker.

    Raises: CannotJoin.
    """
    try:
        check_address(url, public_only=is_live)
        if (urlsplit(url).hostname or "") in EVERYWHERE:
            raise BadAddress(f"{url} is every address of this machine")
    except BadAddress as problem:
        raise CannotJoin(f"{problem}: say with --public-url where others reach this worker") from problem


@contextmanager
def claim(role: str, directory: Path | None, *, resumes: bool = False) -> Iterator[Path]:
    """Take a directory for this process alone; a temporary one when none is given.

    Raises: CannotJoin, also when it `resumes` and there is nothing to go on with.
    """
    if resumes and (directory is None or not (directory / CHAIN_FILE).is_file()):
        where = "no --directory is given" if directory is None else f"{directory} holds no work of before"
        raise CannotJoin(f"nothing to resume: {where}; name the directory of before, or leave --resume out")
    if directory is None:
        with tempfile.TemporaryDirectory(prefix=f"assay-{role}-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK_FILE).open("wb")
    except OSError as problem:
        raise CannotJoin(
            f"{directory} cannot be used ({problem.strerror}): choose another with --directory"
        ) from problem
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise CannotJoin(
                f"another process works in {directory}: stop it, or choose another with --directory"
            ) from problem
        yield directory


def bind(home: Path, genesis: bytes, netuid: int) -> None:
    """Tie a directory to one subnet of one chain: model, memory and promises of another are worthless here.

    Raises: CannotJoin.
    """
    path, wanted = home / CHAIN_FILE, _place({"genesis": "0x" + genesis.hex(), "netuid": netuid})
    try:
        found = read_whole(path, _place)
    except FileNotFoundError:
        write_whole(path, json.dumps(wanted).encode())
        return
    except Damaged as problem:
        raise CannotJoin(f"{path} is damaged: choose another directory with --directory") from problem
    if found != wanted:
        raise CannotJoin(
            f"{home} belongs to another chain or subnet ({_named(found)}; the node keeps {_named(wanted)}): "
            "choose another with --directory, or another node with --url"
        )


def _place(found: Any) -> dict[str, str | int]:
    return {"genesis": "0x" + bytes_in(found["genesis"][2:], 32).hex(), "netuid": number_in(found["netuid"])}


def _named(place: dict[str, str | int]) -> str:
    return f"genesis {str(place['genesis'])[:10]}…, subnet {place['netuid']}"


@asynccontextmanager
async def serving(
    library: Library,
    host: str,
    port: int,
    guard: Guard | None = None,
    traffic: Traffic | None = None,
    receipts: Callable[[bytes], str | None] = lambda digest: None,
    private: Library | None = None,
) -> AsyncIterator[str]:
    """Serve blobs while the block runs; what is `private` for judges only.

    Raises: CannotJoin.
    """
    server = serve(library, host, port, guard, traffic=traffic, receipts=receipts, private=private)
    try:
        address = await server.__aenter__()
    except OSError as problem:
        raise CannotJoin(
            f"blobs cannot be served at {host}:{port} ({problem.strerror or problem}): "
            "choose another place with --host and --port"
        ) from problem
    try:
        yield address
    finally:
        await server.__aexit__(None, None, None)


async def model_of(chain: Chain, netuid: int) -> ModelConfig:
    """Return the shape of a subnet's model; it never changes.

    Raises: CannotJoin.
    """
    numbers = await chain.parameters(netuid)
    if not numbers:
        raise CannotJoin(f"subnet {netuid} does not exist on this chain; choose another with --netuid")
    try:
        return ModelConfig(**{one.name: numbers[one.name] for one in fields(ModelConfig)})
    except (ValueError, KeyError) as problem:
        raise CannotJoin(f"subnet {netuid} cannot be trained by this version: {problem}") from problem


def ensure_computable(model: ModelConfig) -> None:
    """Refuse to work with a model for which a library is missing here.

    Raises: CannotJoin.
    """
    if model.lora_rank and find_spec("peft") is None:
        raise CannotJoin(
            "this subnet trains adapters, which takes peft: pip install '.[lora]' in the repository"
        )


async def register(chain: Chain, netuid: int, max_price: int) -> int:
    """Return this hotkey's uid, registering it for at most `max_price` planck if need be.

    Raises: CannotJoin.
    """
    uid = await chain.uid(netuid)
    if uid is not None:
        neuron = await chain.query("Neurons.Neurons", netuid, uid)
        if neuron and neuron["coldkey"] != chain.address:
            log.info("uid %d earns for %s: if that is no coldkey of yours, stop", uid, neuron["coldkey"])
        return uid
    try:
        uid = (await chain.register(netuid, chain.address, max_price)).uid
    except Refused as refused:
        raise CannotJoin(
            f"{chain.address} could not be registered in subnet {netuid}: {refused}"
        ) from refused
    log.info("registered %s in subnet %d as uid %d", chain.address, netuid, uid)
    return uid


async def announce(chain: Chain, netuid: int, url: str) -> None:
    """Say on chain where this worker's blobs are served, unless it says so already.

    Raises: CannotJoin.
    """
    waited = False
    while await chain.axon(netuid, chain.hotkey) != url:
        try:
            await chain.submit("Neurons.serve_axon", netuid=netuid, url=url, protocol=1)
        except Refused as refused:
            if refused.name != SERVED_TOO_SOON:
                raise CannotJoin(f"the address {url} could not be announced: {refused}") from refused
            if not waited:
                log.info("announcing %s as soon as the chain takes another address", url)
            waited = True
            await asyncio.sleep(ANNOUNCE_PAUSE_SECONDS)
