"""Check the miners' work and score it; the node beside this process secures the chain.

    python -m validators.validator --url ws://127.0.0.1:9944 --key //Alice

Reads top to bottom: main -> judge_forever -> judge -> measure. Scores are committed before they are revealed,
so no judge can copy another's.
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
from miners.config import parse
from miners.data import UnusableCorpus, assignment, evaluation, held_out
from miners.joining import CannotJoin, announce, subnet_parameters
from miners.model import choose_device, loss, use_threads
from miners.parameters import TrainingParameters
from miners.process import run, set_up_logging
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from miners.weights import MasterWeights
from runtime.primitives.commitments import score_commitment
from runtime.primitives.types import AccountId, Hash
from validators.inspection import Candidate, inspect
from validators.journal import Journal
from validators.scoring import Measured, score

log = logging.getLogger("validator")

SALT_SIZE = 32
"""bytes"""
PUBLISHED_SEQUENCES = 128
"""Windows of the public held-out text behind the published loss; it never enters a score."""


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob an operator may turn; what is judged, and how, is the subnet's to say."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Alice"  # secret URI of the hotkey
    netuid: int = 1  # subnet to judge
    device: str = "auto"  # cpu, cuda, or auto: a GPU when there is one
    threads: int = 1  # CPU threads of torch
    directory: Path | None = None  # where model, blobs and journal are kept; temporary if not given
    host: str = "127.0.0.1"  # address to serve mirrored blobs on
    port: int = 0  # port to serve mirrored blobs on; 0 takes a free one


@dataclass(frozen=True, slots=True)
class Bench:
    """What a judge works with."""

    config: Config
    chain: Chain
    shards: ShardClient
    replica: Replica
    store: BlobStore
    parameters: TrainingParameters
    journal: Journal


async def main(config: Config) -> None:
    """Check that this hotkey may judge, then judge until cancelled."""
    use_threads(config.threads)
    choose_device(config.device)
    async with contextlib.AsyncExitStack() as opened:
        home = config.directory or Path(
            opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-judge-"))
        )
        home.mkdir(parents=True, exist_ok=True)
        chain = await opened.enter_async_context(Chain.connect(config.url, config.key))
        blobs = await opened.enter_async_context(BlobClient())
        store = BlobStore(home / "blobs")
        address = await opened.enter_async_context(serve(store, config.host, config.port))
        parameters = await subnet_parameters(chain, config.netuid)
        await ensure_permitted(chain, config.netuid)
        await announce(chain, config.netuid, address)
        replica = Replica(chain, blobs, store, home, config.netuid, parameters)
        shards = ShardClient(blobs, [], BlobStore(home / "shards"))
        await judge_forever(Bench(config, chain, shards, replica, store, parameters, Journal(home)))


async def ensure_permitted(chain: Chain, netuid: int) -> None:
    """Refuse to start for a hotkey that cannot judge.

    Raises: CannotJoin.
    """
    uid = await chain.uid(netuid)
    if uid is None:
        raise CannotJoin(
            f"{chain.address} is not registered in subnet {netuid}: run "
            f"`assay register --netuid {netuid} --key YOUR_COLDKEY --hotkey {chain.address}`"
        )
    if not await chain.query("Incentive.ValidatorPermit", netuid, uid):
        log.warning(
            "uid %d has no validator permit yet: bond stake on its coldkey; it is drawn at an epoch", uid
        )


async def judge_forever(bench: Bench) -> None:
    """Judge every round; losing one never ends the process, a wrong model does."""
    async for current in bench.chain.rounds(bench.config.netuid, until="ScoreCommit"):
        try:
            await judge(bench, current.number)
        except RoundOver as late:
            log.warning("round %05d | too late: %s", current.number, late)
        except (Refused, BlobError, UnusableCorpus) as problem:
            log.warning("round %05d | lost: %s", current.number, problem)


async def judge(bench: Bench, number: int) -> None:
    """Fetch, check, score, commit, reveal, merge, attest: one round."""
    chain, netuid = bench.chain, bench.config.netuid
    drawn = await chain.phase_reached(netuid, number, "ScoreCommit", lambda it: it.beacon1 is not None)
    base = await bench.replica.at(number, drawn.base_root)
    if not bench.journal.has_model:
        bench.journal.model(number - 1, base.root(), await published_loss(bench, drawn, base))
    candidates = await inspect(bench.chain, bench.replica, netuid, number, bench.parameters, base)
    measured = await measure(bench, drawn, base, candidates)
    scores = score(measured)
    salt = secrets.token_bytes(SALT_SIZE)
    commitment = score_commitment(
        Hash(chain.genesis_hash), netuid, number, AccountId(chain.hotkey), salt, scores
    )
    await chain.submit("Verification.commit_scores", netuid=netuid, round=number, commitment=_hex(commitment))
    for candidate in candidates:
        if any(each.uid == candidate.uid and each.score for each in scores):
            await asyncio.to_thread(bench.store.put, candidate.blob)  # what scored must outlive its miner
    await chain.phase_reached(netuid, number, "ScoreReveal")
    await chain.submit(
        "Verification.reveal_scores", netuid=netuid, round=number, salt=_hex(salt),
        scores=[
            {"uid": s.uid, "score": s.score, "loss_before": s.loss_before, "loss_after": s.loss_after}
            for s in scores
        ],
    )  # fmt: skip
    await attest(bench, number, base)
    bench.journal.round(number, drawn.beacon1 or b"", scores)


async def attest(bench: Bench, number: int, base: MasterWeights) -> None:
    """Apply the accepted payloads, attest the root, and say how good the model now is."""
    chain, netuid = bench.chain, bench.config.netuid
    merging = await chain.phase_reached(netuid, number, "Attest")
    after = await bench.replica.merged(base, merging.accepted)
    await chain.submit("Training.attest_root", netuid=netuid, round=number, root=_hex(after.root()))
    published = await published_loss(bench, merging, after)
    bench.journal.model(number, after.root(), published)
    log.info(
        "round %05d | %d updates accepted | held-out loss %.4f | model 0x%s…",
        number, len(merging.accepted), published, after.root().hex()[:8],
    )  # fmt: skip


async def measure(
    bench: Bench, drawn: Round, base: MasterWeights, candidates: list[Candidate]
) -> list[Measured]:
    """Return the loss before and after each payload on text the second beacon draws: nobody trained on it."""
    assert drawn.beacon1 is not None, "waited for"
    await _ask_provider(bench)
    manifest = await bench.shards.manifest(drawn.data_root)
    assigned = [
        window
        for update in await bench.chain.updates(bench.config.netuid, drawn.number)
        for window in assignment(drawn.beacon0, update.miner, manifest, bench.parameters)
    ]
    hidden = evaluation(drawn.beacon1, manifest, bench.parameters, assigned)
    span = bench.parameters.model.sequence + 1
    (tokens,) = await bench.shards.batches(hidden, len(hidden), span)  # int64 [sequences, sequence + 1]
    device = bench.config.device
    before = await asyncio.to_thread(loss, base, tokens, device)
    measured = []
    for candidate in candidates:
        alone = await asyncio.to_thread(candidate.applied_to, base, bench.parameters)
        after = await asyncio.to_thread(loss, alone, tokens, device)
        measured.append(Measured(candidate.uid, before, after))
        log.info(
            "round %05d | uid %d | loss %.4f → %.4f | %d B",
            drawn.number,
            candidate.uid,
            before,
            after,
            len(candidate.blob),
        )
    return measured


async def published_loss(bench: Bench, current: Round, weights: MasterWeights) -> float:
    """Return the loss on the public held-out text, in nats per token."""
    await _ask_provider(bench)
    manifest = await bench.shards.manifest(current.data_root)
    windows = held_out(manifest, bench.parameters, PUBLISHED_SEQUENCES)
    (tokens,) = await bench.shards.batches(windows, len(windows), bench.parameters.model.sequence + 1)
    return await asyncio.to_thread(loss, weights, tokens, bench.config.device)


async def _ask_provider(bench: Bench) -> None:
    dataset = await bench.chain.dataset(bench.config.netuid)
    bench.shards.use([dataset[1]] if dataset else [])


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


if __name__ == "__main__":
    set_up_logging()
    sys.exit(
        run(
            "validator",
            main(parse(Config)),
            (CannotJoin, Diverged, Unreachable, WrongChain, OSError, ValueError),
        )
    )
