"""The judge: checks the miners' work and scores it, beside the node that secures the chain."""
# Reads top to bottom: run -> main -> judge_forever -> judge -> seal -> measure -> open_scores -> attest.

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass

from chain.client import PHASES, Chain, Refused, Round, RoundOver, Update
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.blobs.cache import Cache
from miners.blobs.errors import BlobError, StoreFull
from miners.config import start
from miners.data import Manifest, UnusableCorpus, assignment, evaluation, held_out
from miners.device import use_device
from miners.joining import JUDGE, CannotJoin, announce, secret_of, workplace
from miners.metrics import WorkerMetrics, follow
from miners.model import loss
from miners.parameters import TrainingParameters
from miners.process import run_until_stopped, together
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from miners.shelf import Shelf
from miners.weights import MasterWeights
from validators.commands.validator import Config
from validators.envelope import Envelope, Sealed
from validators.inspection import Candidate, inspect
from validators.journal import Journal
from validators.mirror import Mirror
from validators.scoring import Measured, score

log = logging.getLogger("validator")

SALT_SIZE = 32
"""bytes"""
PUBLISHED_SEQUENCES = 128
"""Windows of the public held-out text behind the published loss; it never enters a score."""
INCLUSION_BLOCKS = 2
"""Kept back from the window of a phase: a block to get in, a block to learn of it."""
FETCH_SHARE = 1 / 3
"""Of the window: longest time all payloads together may take to arrive."""
MEASURE_SHARE = 0.8
"""Of the window: what is not measured by then gets no score."""
RETRY_SECONDS = 1.0
"""between attempts to get an accepted payload"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a judge works with."""

    config: Config
    chain: Chain
    shards: ShardClient
    replica: Replica
    shelf: Shelf
    parameters: TrainingParameters
    journal: Journal
    envelope: Envelope
    mirror: Mirror
    metrics: WorkerMetrics
    slot_seconds: float


def run(config: Config) -> int:
    """Judge until told to stop, and return the exit code."""
    return run_until_stopped("validator", main(config), (CannotJoin, NodeFailure, SuriError, OSError))


async def main(config: Config) -> None:
    """Check that this hotkey may judge, then judge until cancelled."""
    use_device(config.device, config.threads)
    secret = secret_of(config.key, config.key_file)
    async with workplace(JUDGE, config.url, secret, config.netuid, config.site(), waits=config.wait) as place:
        chain, home = place.chain, place.home
        uid = await ensure_permitted(chain, config.netuid)
        try:
            await announce(chain, config.netuid, place.url)
        except CannotJoin as problem:  # a judge that cannot mirror can still judge
            log.warning("%s", problem)
        log.info("uid %d in subnet %d, mirroring blobs at %s", uid, config.netuid, place.url)
        shards = ShardClient(place.blobs, [], Cache(home / "shards"))
        journal, envelope, slot = Journal(home), Envelope(home), await chain.slot_seconds()
        mirror = Mirror(chain, place.replica, place.shelf, home, config.netuid, config.blobs == "archive")
        bench = Bench(
            config, chain, shards, place.replica, place.shelf, place.parameters, journal, envelope,
            mirror, place.metrics, slot,
        )  # fmt: skip
        programs = [judge_forever(bench), mirror.follow()]
        if config.prometheus_port is not None:
            programs.append(follow(chain, config.netuid, place.metrics))
        await together(*programs)


async def ensure_permitted(chain: Chain, netuid: int) -> int:
    """Return the uid of a hotkey that may judge, or will.

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
    return uid


async def judge_forever(bench: Bench) -> None:
    """Judge every round; losing one never ends the process, and a wrong model is never built on."""
    async for current in bench.chain.rounds(bench.config.netuid, until="Attest"):
        bench.mirror.begin(current.number)
        try:
            await judge(bench, current)
        except RoundOver as late:
            log.warning("round %05d | too late: %s", current.number, late)
        except Diverged as problem:
            log.error(
                "round %05d | THIS JUDGE DISAGREES WITH THE CHAIN and does not score: %s; "
                "replaying every round from the first", current.number, problem,
            )  # fmt: skip
            bench.replica.start_over()
        except (Refused, BlobError, UnusableCorpus) as problem:
            log.warning("round %05d | lost: %s", current.number, problem)


async def judge(bench: Bench, current: Round) -> None:
    """Fetch, check, score, commit, reveal, merge, attest: one round."""
    base = await bench.replica.at(current.number, current.base_root)
    if not bench.journal.has_model and current.phase == "Train":  # later there is no time to spare
        await _publish(bench, current, current.number - 1, base)
    sealed = await seal(bench, current.number, base)
    if sealed is not None:
        await open_scores(bench, sealed)
    await attest(bench, current.number, base)


async def seal(bench: Bench, number: int, base: MasterWeights) -> Sealed | None:
    """Score a round and commit to the scores; None when it is too late for that."""
    chain, netuid = bench.chain, bench.config.netuid
    kept, committed = bench.envelope.of(number, chain.hotkey), await chain.score_commitment(netuid, number)
    if committed is not None:
        if kept is not None and kept.commitment(chain.genesis_hash, netuid) == committed:
            return kept
        log.warning("round %05d | no scores: sealed before, and what opens them is not on this disk", number)
        return None
    try:
        drawn = await chain.phase_reached(netuid, number, "ScoreCommit", lambda it: it.beacon1 is not None)
        sealed = kept or await _scored(bench, drawn, base)
        await _commit(bench, sealed)
    except RoundOver as late:
        _raise_if_ended(late)
        log.warning("round %05d | no scores: %s", number, late)
        return None
    except (TimeoutError, Refused, UnusableCorpus, BlobError) as problem:
        log.warning("round %05d | no scores: %s", number, str(problem) or "measuring took too long")
        return None
    return sealed


async def _scored(bench: Bench, drawn: Round, base: MasterWeights) -> Sealed:
    """Look at every payload and write down what it is worth.

    Raises: TimeoutError, BlobError, UnusableCorpus.
    """
    head = await bench.chain.finalized_head()
    began = time.monotonic()
    window = max(1, drawn.deadline - head.number - INCLUSION_BLOCKS) * bench.slot_seconds
    until = time.monotonic() + MEASURE_SHARE * window
    async with asyncio.timeout(window):
        updates = await bench.chain.updates(bench.config.netuid, drawn.number)
        others = [update for update in updates if update.miner != bench.chain.hotkey]
        candidates = await inspect(
            bench.replica, drawn.number, others, bench.parameters, base, FETCH_SHARE * window
        )
        scores = score(await measure(bench, drawn, base, updates, candidates, until))
    given = [(each.uid, each.score) for each in scores]
    bench.metrics.updates_verified(time.monotonic() - began, given, len(others) - len(given))
    sealed = Sealed(
        round=drawn.number,
        hotkey=bench.chain.hotkey.hex(),
        salt=secrets.token_bytes(SALT_SIZE).hex(),
        beacon=(drawn.beacon1 or b"").hex(),
        scores=scores,
    )
    for candidate in candidates:
        if any(each.uid == candidate.uid and each.score for each in scores):
            await _mirror(bench, drawn.number, candidate.blob)
    await asyncio.to_thread(bench.envelope.keep, sealed)
    return sealed


async def _mirror(bench: Bench, number: int, blob: bytes) -> None:
    """Keep what scored: it must outlive its miner."""
    try:
        await asyncio.to_thread(bench.shelf.of(number).put, blob)
    except (StoreFull, OSError) as problem:
        log.error("round %05d | a payload that scores is not mirrored: %s", number, problem)


async def _commit(bench: Bench, sealed: Sealed) -> None:
    chain, netuid = bench.chain, bench.config.netuid
    commitment = sealed.commitment(chain.genesis_hash, netuid)
    try:
        await chain.submit(
            "Verification.commit_scores", netuid=netuid, round=sealed.round, commitment=_hex(commitment)
        )
    except Refused:
        await chain.phase_reached(netuid, sealed.round, "ScoreReveal")
        if await chain.score_commitment(netuid, sealed.round) != commitment:  # none is on its way from before
            raise


async def open_scores(bench: Bench, sealed: Sealed) -> None:
    """Reveal what was sealed; a judge that is too late may still attest."""
    chain, netuid = bench.chain, bench.config.netuid
    try:
        await chain.phase_reached(netuid, sealed.round, "ScoreReveal")
        await chain.submit(
            "Verification.reveal_scores", netuid=netuid, round=sealed.round, salt="0x" + sealed.salt,
            scores=sealed.rows(),
        )  # fmt: skip
    except RoundOver as late:
        _raise_if_ended(late)
        if not await chain.has_scored(netuid, sealed.round):
            log.warning("round %05d | scores not revealed in time", sealed.round)
            return
    except Refused as refused:
        if not await chain.has_scored(netuid, sealed.round):
            log.warning("round %05d | scores not taken: %s", sealed.round, refused)
            return
    bench.journal.round(sealed.round, bytes.fromhex(sealed.beacon), sealed.scores)


async def attest(bench: Bench, number: int, base: MasterWeights) -> None:
    """Apply the accepted payloads, attest the root, and say how good the model now is."""
    chain, netuid = bench.chain, bench.config.netuid
    merging = await chain.phase_reached(netuid, number, "Attest")
    after = await _merged(bench, base, merging)
    publishing = asyncio.ensure_future(_publish(bench, merging, number, after))
    try:
        await _attest(bench, number, after.root())
        published = await publishing
    finally:
        publishing.cancel()
    log.info(
        "round %05d | %d updates accepted | held-out loss %.4f | model 0x%s…",
        number, len(merging.accepted), published, after.root().hex()[:8],
    )  # fmt: skip


async def _attest(bench: Bench, number: int, root: bytes) -> None:
    """Put the root on chain.

    Raises: Refused.
    """
    netuid = bench.config.netuid
    try:
        await bench.chain.submit("Training.attest_root", netuid=netuid, round=number, root=_hex(root))
    except Refused:
        if not await bench.chain.has_attested(netuid, number):
            raise


async def _merged(bench: Bench, base: MasterWeights, merging: Round) -> MasterWeights:
    """Return the model after a round, however long its payloads take to be had; never a guess.

    Raises: RoundOver when they come too late, Diverged.
    """
    told = ""
    while True:
        try:
            return await bench.replica.merged(base, merging.accepted)
        except BlobError as problem:
            if str(problem) != told:
                log.warning("round %05d | not attested yet, trying again: %s", merging.number, problem)
            told = str(problem)
        await asyncio.sleep(RETRY_SECONDS)
        await bench.chain.phase_reached(bench.config.netuid, merging.number, "Attest")


async def measure(
    bench: Bench,
    drawn: Round,
    base: MasterWeights,
    updates: list[Update],
    candidates: list[Candidate],
    until: float,
) -> list[Measured]:
    """Return the loss before and after each payload on text the second beacon draws: nobody trained on it."""
    assert drawn.beacon1 is not None, "waited for"
    manifest = await _manifest(bench, drawn)
    assigned = [
        window
        for update in updates
        for window in assignment(drawn.beacon0, update.miner, manifest, bench.parameters)
    ]
    hidden = evaluation(drawn.beacon1, manifest, bench.parameters, assigned)
    span = bench.parameters.model.sequence + 1
    (tokens,) = await bench.shards.batches(hidden, len(hidden), span)  # int64 [sequences, sequence + 1]
    device = bench.config.device
    before = await asyncio.to_thread(loss, base, tokens, device)
    measured = [Measured(each.uid, before, before) for each in candidates if each.payload is None]
    for candidate in _in_turn(drawn.beacon1, [each for each in candidates if each.payload is not None]):
        if time.monotonic() > until:
            log.warning("round %05d | uid %d | no score: no time left", drawn.number, candidate.uid)
            continue
        alone = await asyncio.to_thread(candidate.applied_to, base, bench.parameters)
        after = await asyncio.to_thread(loss, alone, tokens, device)
        measured.append(Measured(candidate.uid, before, after))
        log.info(
            "round %05d | uid %d | loss %.4f → %.4f | %d B",
            drawn.number, candidate.uid, before, after, len(candidate.blob),
        )  # fmt: skip
    return sorted(measured, key=lambda one: one.uid)


def _in_turn(beacon: bytes, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates by uid, beginning where the beacon says: nobody is always the last."""
    start = int.from_bytes(beacon, "little") % max(1, len(candidates))
    return candidates[start:] + candidates[:start]


async def published_loss(bench: Bench, current: Round, weights: MasterWeights) -> float:
    """Return the loss on the public held-out text, in nats per token."""
    windows = held_out(await _manifest(bench, current), bench.parameters, PUBLISHED_SEQUENCES)
    (tokens,) = await bench.shards.batches(windows, len(windows), bench.parameters.model.sequence + 1)
    return await asyncio.to_thread(loss, weights, tokens, bench.config.device)


async def _publish(bench: Bench, current: Round, number: int, weights: MasterWeights) -> float:
    """Note how good the model after a round is."""
    published = await published_loss(bench, current, weights)
    bench.journal.model(number, weights.root(), published)
    bench.metrics.model_measured(published)
    return published


async def _manifest(bench: Bench, current: Round) -> Manifest:
    await bench.shards.follow(bench.chain, bench.config.netuid)
    return await bench.shards.manifest(current.data_root)


def _raise_if_ended(late: RoundOver) -> None:
    """Go on with a round that is only further than we are."""
    if PHASES.index(late.phase) >= PHASES.index("Closed"):
        raise late


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


if __name__ == "__main__":
    sys.exit(start("validators", ["validator", *sys.argv[1:]]))
