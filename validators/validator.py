"""The judge: checks the miners' work and scores it, beside the node that secures the chain."""
# Reads top to bottom: run -> main -> judge_forever -> judge -> seal -> judged -> open_scores -> attest.

import asyncio
import logging
import secrets
import sys
import time
from dataclasses import dataclass

from chain.client import ENDED, Chain, Refused, Round, RoundOver, Update
from chain.connection import NodeFailure
from chain.keys.pair import SuriError
from miners.blobs.cache import Cache
from miners.blobs.errors import BlobError, StoreFull
from miners.config import start
from miners.data import Manifest, UnusableCorpus, held_out
from miners.device import use_device
from miners.diary import Diary
from miners.history import History
from miners.joining import JUDGE, CannotJoin, Workplace, announce, secret_of, workplace
from miners.memories import SPARE_ROUNDS
from miners.model import loss
from miners.parameters import OutOfRange, TrainingParameters
from miners.payload import shape_of
from miners.process import run_until_stopped, together
from miners.replica import Diverged, Replica
from miners.reporter import reporting
from miners.seat import ensure_seated
from miners.shards import ShardClient
from miners.shelf import Shelf
from miners.tracking import ensure_installed
from miners.weights import MasterWeights
from runtime.primitives.commitments import PPM, Score
from validators.auditor import audit_forever
from validators.commands.validator import Config
from validators.envelope import Envelope, Sealed
from validators.inspection import Candidate, inspect, screened
from validators.journal import Journal
from validators.juror import sit_forever
from validators.measuring import assigned_in, measure, row_of, texts_of
from validators.mirror import Mirror
from validators.prosecution import prosecute
from validators.recent import Recent
from validators.scorebook import scored
from validators.scoring import MICRO
from validators.trail import Rows

log = logging.getLogger("validator")

SALT_SIZE = 32
"""bytes"""
PUBLISHED_SEQUENCES = 128
"""Windows of the public held-out text behind the published loss; it never enters a score."""
INCLUSION_BLOCKS = 2
"""Kept back from the window of a phase: a block to get in, a block to learn of it."""
FETCH_SHARE = 1 / 3
"""Of the window: longest time all payloads together may take to arrive."""
OWN_SHARE = 0.1
"""Of the window: longest time that miners' own text may take to arrive; without it the rest is measured."""
MEASURE_SHARE = 0.8
"""Of the window: what is not measured by then gets no score."""
NO_PERMIT = "this hotkey has no validator permit; bond more stake on its coldkey, and wait for an epoch"
PUBLIC_TEXT_SECONDS = 30.0
"""Longest time to get the text of the public loss: one blob that does not come takes 20 s to say so."""
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
    journal: Journal
    envelope: Envelope
    mirror: Mirror
    history: History
    recent: Recent
    rows: Rows
    diary: Diary
    slot_seconds: float


def run(config: Config) -> int:
    """Judge until told to stop, and return the exit code."""
    return run_until_stopped("validator", main(config), (CannotJoin, NodeFailure, SuriError, OSError))


async def main(config: Config) -> None:
    """Check that this hotkey may judge, then judge until cancelled."""
    use_device(config.device, config.threads)
    ensure_installed(config.track)
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
        history = await history_of(place, config.netuid)
        bench = Bench(
            config, chain, shards, place.replica, place.shelf, journal, envelope, mirror, history,
            Recent(chain, place.shelf, config.netuid), Rows(chain, config.netuid), Diary(place.metrics), slot,
        )  # fmt: skip
        async with reporting(JUDGE, config, chain, bench.diary) as reports:
            await together(
                judge_forever(bench),
                mirror.follow(),
                history.follow(),
                audit_forever(place, config.netuid, history, shards, journal, config.device, config.threads),
                sit_forever(place, config.netuid, history, shards, config.device),
                prosecute(chain, config.netuid, place.casebook, slot),
                reports,
            )


async def history_of(place: Workplace, netuid: int) -> History:
    """Return the models that audits of the last rounds start from."""
    window = (await place.chain.parameters(netuid)).get("audit_window", 0)
    return History(
        place.chain, place.blobs, place.shelf, place.home, netuid, place.replica.weights.config,
        window + SPARE_ROUNDS + 1,
    )  # fmt: skip


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
    if not await has_permit(chain, netuid):
        log.warning(
            "uid %d has no validator permit yet: bond stake on its coldkey; it is drawn at an epoch", uid
        )
    return uid


async def has_permit(chain: Chain, netuid: int) -> bool:
    """Say whether this hotkey may score and attest now."""
    uid = await chain.uid(netuid)
    return uid is not None and bool(await chain.query("Incentive.ValidatorPermit", netuid, uid))


async def judge_forever(bench: Bench) -> None:
    """Judge every round; losing one never ends the process, and a wrong model is never built on.

    Raises: CannotJoin when the seat is lost.
    """
    async for current in bench.chain.rounds(bench.config.netuid, until="Attest"):
        await ensure_seated(bench.chain, bench.config.netuid, bench.diary)
        bench.mirror.begin(current.number)
        bench.diary.begin(current.number)
        try:
            await judge(bench, current)
        except RoundOver as late:
            if late.phase != "Void":  # that has its reason on the chain
                bench.diary.failed(current.number, f"too late: {late}")
        except Diverged as problem:
            log.error(
                "round %05d | THIS JUDGE DISAGREES WITH THE CHAIN and does not score: %s; "
                "starting again from what the chain attests", current.number, problem,
            )  # fmt: skip
            bench.diary.failed(current.number, problem)
            await asyncio.to_thread(bench.replica.start_over)
        except (Refused, BlobError, OutOfRange, UnusableCorpus, OSError) as problem:  # a full disk, say
            bench.diary.failed(current.number, problem)
        bench.diary.done(current.number)


async def judge(bench: Bench, current: Round) -> None:
    """Fetch, check, score, commit, reveal, merge, attest: one round."""
    base = await bench.replica.at(current.number, current.base_root)
    bench.history.note(current.number, base)
    if not bench.journal.has_model and current.phase == "Train":  # later there is no time to spare
        left = current.deadline - (await bench.chain.finalized_head()).number  # of Train
        await _publish(bench, current, current.number - 1, base, left * bench.slot_seconds)
    if current.phase == "Train":  # what a start has to read back: 64 rounds of rows, three of payloads
        await bench.rows.before(current.number)
        await bench.recent.before(current.number)
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
        bench.diary.failed(number, "no scores: sealed before, and what opens them is not on this disk")
        return None
    try:
        drawn = await chain.phase_reached(netuid, number, "ScoreCommit", lambda it: it.beacon1 is not None)
        if not await has_permit(chain, netuid):
            bench.diary.failed(number, f"no scores: {NO_PERMIT}")
            return None
        sealed = kept or await _scored(bench, drawn, base)
        await _commit(bench, sealed)
    except RoundOver as late:
        _raise_if_ended(late)
        bench.diary.failed(number, f"no scores: {late}")
        return None
    except (TimeoutError, Refused, UnusableCorpus, BlobError) as problem:
        bench.diary.failed(number, f"no scores: {str(problem) or 'measuring took too long'}")
        return None
    return sealed


async def _scored(bench: Bench, drawn: Round, base: MasterWeights) -> Sealed:
    """Look at every payload and write down what it is worth.

    Raises: TimeoutError, BlobError, UnusableCorpus.
    """
    head = await bench.chain.finalized_head()
    began = time.monotonic()
    window = max(1, drawn.deadline - head.number - INCLUSION_BLOCKS) * bench.slot_seconds
    async with asyncio.timeout(window):
        updates = await bench.chain.updates(bench.config.netuid, drawn.number)
        scores = await judged(bench, drawn, base, updates, window)
    others = sum(update.miner != bench.chain.hotkey for update in updates)
    bench.diary.judged(drawn.number, time.monotonic() - began, scores, others - len(scores))
    sealed = Sealed(
        round=drawn.number,
        hotkey=bench.chain.hotkey.hex(),
        salt=secrets.token_bytes(SALT_SIZE).hex(),
        beacon=(drawn.beacon1 or b"").hex(),
        scores=scores,
    )
    await asyncio.to_thread(bench.envelope.keep, sealed)
    return sealed


async def judged(
    bench: Bench, drawn: Round, base: MasterWeights, updates: list[Update], window: float
) -> list[Score]:
    """Return the row to publish; there are `window` seconds for it.

    Raises: BlobError, UnusableCorpus.
    """
    until, parameters = time.monotonic() + MEASURE_SHARE * window, TrainingParameters.of(drawn)
    candidates = await _checked(bench, drawn, base, updates, FETCH_SHARE * window)
    manifest = await _manifest(bench, drawn)
    assigned, seconds = assigned_in(drawn, manifest, updates), OWN_SHARE * window
    texts = await texts_of(bench.shards, drawn, manifest, assigned, seconds)
    founded = await bench.replica.founded(base, manifest.base)
    measured = await measure(drawn, founded, candidates, texts, bench.config.device, until)
    row = await asyncio.to_thread(row_of, measured, candidates, parameters.norm_clip_ppm)
    hotkeys, earlier = {each.uid: each.miner for each in candidates}, await bench.rows.before(drawn.number)
    scores = scored(row, hotkeys, earlier, drawn.parameters["ema_ppm"])
    for each in scores:
        log.info(
            "round %05d | uid %d | loss %.4f → %.4f | own text %+.4f | alignment %.3f | score %.1f %%",
            drawn.number, each.uid, each.loss_before / MICRO, each.loss_after / MICRO, each.own_drop / MICRO,
            each.alignment / PPM, 100 * each.score / PPM,
        )  # fmt: skip
    return scores


async def _checked(
    bench: Bench, drawn: Round, base: MasterWeights, updates: list[Update], seconds: float
) -> list[Candidate]:
    """Return what passes the cheap checks, and what does not; what can be read is kept for some rounds."""
    assert drawn.beacon1 is not None, "waited for"
    number, parameters = drawn.number, TrainingParameters.of(drawn)
    others = [update for update in updates if update.miner != bench.chain.hotkey]
    found = await inspect(bench.replica, number, others, parameters, base, seconds)
    for candidate in found:
        if candidate.payload is not None:
            await _keep(bench, number, candidate.blob)
    earlier, shape = await bench.recent.before(number), shape_of(parameters, base.root())
    return await asyncio.to_thread(
        screened, number, found, earlier, shape, drawn.beacon1, parameters.beta_ppm
    )


async def _keep(bench: Bench, number: int, blob: bytes) -> None:
    """Keep a payload: what scores must outlive its miner, and later ones are compared with it."""
    try:
        await asyncio.to_thread(bench.shelf.of(number).put, blob)
    except (StoreFull, OSError) as problem:
        log.error("round %05d | a payload is not kept: %s", number, problem)


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
            bench.diary.failed(sealed.round, "scores not revealed in time")
            return
    except Refused as refused:
        if not await chain.has_scored(netuid, sealed.round):
            bench.diary.failed(sealed.round, f"scores not taken: {refused}")
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
        await publishing
    finally:
        publishing.cancel()


async def _attest(bench: Bench, number: int, root: bytes) -> None:
    """Put the root on chain; a judge that has lost its permit has no say.

    Raises: Refused.
    """
    netuid = bench.config.netuid
    if not await has_permit(bench.chain, netuid):
        bench.diary.failed(number, f"not attested: {NO_PERMIT}")
        return
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
            return await bench.replica.merged(base, merging.accepted, TrainingParameters.of(merging))
        except BlobError as problem:
            if str(problem) != told:
                log.warning("round %05d | not attested yet, trying again: %s", merging.number, problem)
            told = str(problem)
        await asyncio.sleep(RETRY_SECONDS)
        await bench.chain.phase_reached(bench.config.netuid, merging.number, "Attest")


async def published_loss(bench: Bench, current: Round, weights: MasterWeights) -> float:
    """Return the loss on the public held-out text, in nats per token."""
    parameters = TrainingParameters.of(current)
    async with asyncio.timeout(PUBLIC_TEXT_SECONDS):
        manifest = await _manifest(bench, current)
        windows = held_out(manifest, parameters, PUBLISHED_SEQUENCES)
        (tokens,) = await bench.shards.batches(windows, len(windows), parameters.model.sequence + 1)
    founded = await bench.replica.founded(weights, manifest.base)
    return await asyncio.to_thread(loss, founded, tokens, bench.config.device)


async def _publish(
    bench: Bench, current: Round, number: int, weights: MasterWeights, seconds: float | None = None
) -> None:
    """Note how good the model after a round is; no round is lost for want of that number, or of time."""
    try:
        async with asyncio.timeout(seconds):
            published = await published_loss(bench, current, weights)
    except (BlobError, UnusableCorpus, TimeoutError) as problem:
        reason = str(problem) or "its text or its measurement takes too long"
        log.warning("round %05d | the public loss is not measured: %s", number, reason)
        return
    bench.journal.model(number, weights.root(), published)
    bench.diary.measured(number, published)


async def _manifest(bench: Bench, current: Round) -> Manifest:
    await bench.shards.follow(bench.chain, bench.config.netuid)
    return await bench.shards.manifest(current.data_root)


def _raise_if_ended(late: RoundOver) -> None:
    """Go on with a round that is only further than we are."""
    if late.phase in ENDED:
        raise late


def _hex(content: bytes) -> str:
    return "0x" + content.hex()


if __name__ == "__main__":
    sys.exit(start("validators", ["validator", *sys.argv[1:]]))
