"""Replay audits: the chain draws this judge to train a miner's round once more, and to say what came of it.

    Verification.Audits -> gather -> replay, in a process of its own -> report_audit

What only the miner has (its error feedback, a payload that nobody else holds) is asked for again and again;
missing it is the miner's fault once the time to report is nearly over. What this judge cannot get or do
otherwise is never blamed on the miner: it reports nothing, and says so.
"""
# Reads top to bottom: audit_forever -> follow -> attend -> gather -> replay -> report.

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chain.answers import account, unhex
from chain.client import PHASES, Chain, Refused, Round
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobError
from miners.data import UnusableCorpus, assignment
from miners.files import write_whole
from miners.history import History
from miners.joining import PARTIALS, Workplace
from miners.layout import parameters_of
from miners.memories import empty_digest, last_revealed
from miners.parameters import OutOfRange, TrainingParameters
from miners.payload import MalformedPayload, PayloadShape, decode, shape_of
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from runtime.primitives.hashing import blake2_256
from validators.inspection import FETCH_MEMORY
from validators.journal import Journal
from validators.replay import FROM_NOWHERE, Finding
from validators.replayer import Replayer
from validators.replaying import BEFORE, DRAWN, conclude, found, write

log = logging.getLogger("audit")

FOLDER = "audits"
LOOK_SECONDS = 2.0
"""between two looks at what is drawn"""
FETCH_SECONDS = 300.0
"""for one error feedback; a larger one goes on where it was cut"""
AT_ONCE = 8
"""miners asked at a time, at most: who keeps this judge waiting keeps it from no other audit"""
LEAST_AT_ONCE = 2
"""however large the model is: one that stalls does not hold up all the others"""
SILENT_SECONDS, TROUBLE_SECONDS = 5.0, 30.0
"""until a miner is asked again, and until this judge tries again what it could not do"""
PART = 4
"""A miner is given all but the last of so many parts of the time to report."""


Replay = Callable[[Path, int], Awaitable[None]]
"""Trains what lies in a folder, and leaves the finding there; so much (ppm) has to agree. Raises: OSError."""


class Silent(Exception):
    """The miner does not serve what only it has."""


@dataclass(frozen=True, slots=True)
class Duty:
    """An update that this judge is to replay."""

    round: int
    miner: bytes
    uid: int
    until_round: int  # reported before its end


@dataclass(frozen=True, slots=True)
class Revealed:
    """What the trail says of an update."""

    round: int
    miner: bytes
    digest: bytes
    length: int  # bytes
    ef_digest: bytes


async def audit_forever(
    place: Workplace,
    netuid: int,
    history: History,
    shards: ShardClient,
    journal: Journal,
    device: str,
    threads: int,
) -> None:
    """Replay what this judge is drawn for, beside its judging."""
    chain, home = place.chain, place.home
    patient = BlobClient(FETCH_SECONDS, chain, home / PARTIALS, await chain.is_live())
    async with patient, Replayer(device, threads) as replayer:
        auditor = Auditor(
            chain, netuid, place.replica, history, shards, patient, home, journal, replayer.replay
        )
        await auditor.follow()


@dataclass(slots=True)
class Auditor:
    """Follows the audits of a subnet beside the judge: several miners are asked, one round is replayed."""

    chain: Chain
    netuid: int
    replica: Replica
    history: History
    shards: ShardClient
    blobs: BlobClient  # patient: an error feedback is as large as the model
    home: Path
    journal: Journal
    replay: Replay
    told: dict[Duty, str] = field(default_factory=dict)
    again: dict[Duty, float] = field(default_factory=dict)  # when to try again, in time.monotonic()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # to replay
    size: int = field(init=False)  # bytes of an error feedback
    doors: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.size = 4 * parameters_of(self.replica.weights.config)
        self.doors = asyncio.Semaphore(at_once(self.size))

    async def follow(self) -> None:
        """Do what is drawn, for ever; what is due first comes first, and no miner holds up others' audits."""
        busy = dict[bytes, asyncio.Task[None]]()
        try:
            while True:
                for miner in [miner for miner, task in busy.items() if task.done()]:
                    busy.pop(miner).result()  # before looking: what it has reported is no duty any more
                duties = await self.duties()
                await asyncio.to_thread(self.tidy, duties, tuple(busy))
                for miner in dict.fromkeys(each.miner for each in duties if each.miner not in busy):
                    mine = [each for each in duties if each.miner == miner]
                    busy[miner] = asyncio.create_task(self._attend_all(mine))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for task in busy.values():
                task.cancel()
            await asyncio.gather(*busy.values(), return_exceptions=True)

    async def _attend_all(self, duties: Sequence[Duty]) -> None:
        for duty in duties:
            if time.monotonic() >= self.again.get(duty, 0.0):
                await self.attend(duty)

    async def duties(self) -> list[Duty]:
        """Return the audits that wait for this judge."""
        head = await self.chain.finalized_head()
        if not await self.chain.query("Verification.OpenCount", self.netuid, at=head):
            return []
        seat = await self.chain.seat(self.netuid, head)
        if seat is None:
            return []
        waiting = await self.chain.query_map("Verification.Audits", self.netuid, at=head)
        duties = [
            Duty(number, account(miner), audit["miner"]["uid"], audit["until_round"])
            for (number, miner), audit in waiting
            if audit["judge"] == seat
        ]
        return sorted(duties, key=lambda each: (each.until_round, each.round, each.miner))

    async def attend(self, duty: Duty) -> None:
        """Replay and report, as far as that is possible now; another look goes on."""
        folder = self.folder(duty)
        try:
            parts = await self._gather(duty, folder) if found(folder) is None else []
            async with self.turn:
                if found(folder) is None:
                    if duty not in await self.duties():  # waiting for its turn has taken too long
                        return
                    self._say(duty, "is replayed")
                    for name, update in parts:
                        await self._lay_out(folder, name, update)
                    await self._replay_in_time(duty, folder)
            finding = found(folder)
        except Silent as problem:
            self._say(duty, str(problem))
            self.again[duty] = time.monotonic() + SILENT_SECONDS
            if await self._is_late(duty):
                await self._report(duty, None)
            return
        except (BlobError, Diverged, UnusableCorpus, OutOfRange, OSError) as problem:
            self._say(duty, f"this judge cannot replay it, and reports nothing: {problem}")
            self.again[duty] = time.monotonic() + TROUBLE_SECONDS
            return
        if finding is not None:
            await self._report(duty, finding)

    async def _gather(self, duty: Duty, folder: Path) -> list[tuple[str, Revealed]]:
        """Get what the miner has made, and return the rounds to replay, by their names.

        Raises: Silent; what stands in the way of this judge.
        """
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        drawn = await self._revealed(duty.round, duty.miner)
        parts = [(DRAWN, drawn)]
        if not await self._is_empty(drawn.ef_digest):
            last = await last_revealed(self.chain, self.netuid, duty.miner, duty.round)
            if last is None:
                await asyncio.to_thread(conclude, folder, FROM_NOWHERE)
                return []
            parts.append((BEFORE, await self._revealed(last[0], duty.miner)))
        async with self.doors:
            for name, update in parts:
                if not await self._take(folder, name, update):
                    return []
        return parts

    async def _take(self, folder: Path, name: str, update: Revealed) -> bool:
        """Get what the miner has made; say no where that is an end already.

        Raises: Silent.
        """
        fault = await self._fault_of(folder, name, update)
        if fault:
            await asyncio.to_thread(conclude, folder, Finding(0, fault))
        return not fault

    async def _fault_of(self, folder: Path, name: str, update: Revealed) -> str:
        """Get what the miner has made, and return what is wrong with it that needs no training to be seen.

        Raises: Silent.
        """
        current = await self._round(update.round)
        parameters = TrainingParameters.of(current)
        most = parameters.max_payload_bytes
        if update.length > most:
            return f"its payload has {update.length} bytes, at most {most} are allowed"
        path = folder / f"{name}.payload"
        fetch = partial(self.replica.blob, update.miner, update.digest, most)
        length = await self._got(path, update, update.digest, fetch)
        if length != update.length:
            return f"its payload has {length} bytes, {update.length} were revealed"
        try:
            await asyncio.to_thread(_decode, path, shape_of(parameters, current.base_root))
        except MalformedPayload as problem:
            return f"its payload is malformed: {problem}"
        if not await self._is_empty(update.ef_digest):
            path, fetch = folder / f"{name}.memory", partial(self._from_miner, update)
            if await self._got(path, update, update.ef_digest, fetch) != self.size:
                return f"its error feedback does not hold {self.size} bytes"
        return ""

    async def _got(
        self, path: Path, update: Revealed, digest: bytes, fetch: Callable[[], Awaitable[bytes]]
    ) -> int:
        """Fetch a blob into the folder unless it is there and whole, and return its length in bytes.

        Raises: Silent.
        """
        length = await asyncio.to_thread(_length, path, digest)
        if length is not None:
            return length
        try:
            blob = await fetch()
        except BlobError as problem:
            what = "payload" if digest == update.digest else "error feedback"
            raise Silent(f"the {what} of round {update.round} is not served: {problem}") from problem
        await asyncio.to_thread(write_whole, path, blob)
        return len(blob)

    async def _from_miner(self, update: Revealed) -> bytes:
        """Return an error feedback, which its miner alone has.

        Raises: BlobError.
        """
        url = await self.chain.axon(self.netuid, update.miner)
        sources = [Source(url, update.miner)] if url else []
        return await self.blobs.fetch(sources, update.ef_digest, self.size)

    async def _lay_out(self, folder: Path, name: str, update: Revealed) -> None:
        """Write what the miner was given.

        Raises: BlobError, Diverged, UnusableCorpus, OutOfRange, OSError.
        """
        current = await self._round(update.round)
        parameters = TrainingParameters.of(current)
        base = await self.history.at(update.round, current.base_root)
        await self.shards.follow(self.chain, self.netuid)
        manifest = await self.shards.manifest(current.data_root)
        windows = assignment(current.beacon0, update.miner, manifest, parameters)
        (tokens,) = await self.shards.batches(windows, len(windows), parameters.model.sequence + 1)
        founded = await self.replica.founded(base, manifest.base)
        await asyncio.to_thread(write, folder, name, parameters, founded, tokens)

    async def _replay_in_time(self, duty: Duty, folder: Path) -> None:
        """Replay as long as the chain waits for what comes of it: what hangs must not keep others waiting.

        Raises: OSError.
        """
        replaying = asyncio.ensure_future(self.replay(folder, await self._least(duty)))
        try:
            while not (await asyncio.wait([replaying], timeout=LOOK_SECONDS))[0]:
                if duty not in await self.duties():
                    raise OSError("the replay failed: it has not ended in the time to report it")
            replaying.result()
        finally:
            replaying.cancel()
            await asyncio.gather(replaying, return_exceptions=True)

    async def _report(self, duty: Duty, finding: Finding | None) -> None:
        """Tell the chain; without a finding the miner kept back what only it has."""
        verdict, overlap = _verdict(finding, await self._least(duty))
        try:
            await self.chain.submit(
                "Verification.report_audit", netuid=self.netuid, round=duty.round,
                miner=self.chain.address_of(duty.miner), verdict=verdict, overlap_ppm=overlap,
            )  # fmt: skip
        except Refused as refused:  # it is another judge's by now, or was reported by an earlier life
            self._say(duty, f"not reported: {refused}")
            return
        fault = finding.fault if finding else "it does not serve what only it has"
        log.info(
            "round %05d | uid %d | audit: %s, %.1f %% agrees%s",
            duty.round, duty.uid, verdict.lower(), overlap / 10_000, f": {fault}" if fault else "",
        )  # fmt: skip
        self.journal.audit(duty.round, duty.uid, verdict, overlap, fault)

    async def _least(self, duty: Duty) -> int:
        """Return how much (ppm) of a payload must agree."""
        return (await self._round(duty.round)).parameters["overlap_ppm"]

    async def _is_late(self, duty: Duty) -> bool:
        """Say whether the time to report is nearly over."""
        current = await self.chain.round(self.netuid)
        window = (await self.chain.parameters(self.netuid))["audit_window"]
        return current is not None and is_late(current.number, current.phase, duty.until_round, window)

    async def _revealed(self, number: int, miner: bytes) -> Revealed:
        found = await self.chain.query(
            "ModelUpdates.Updates", self.netuid, number, self.chain.address_of(miner)
        )
        assert found is not None, "only what was revealed is audited"
        return Revealed(number, miner, unhex(found["digest"]), found["length"], unhex(found["ef_digest"]))

    async def _round(self, number: int) -> Round:
        found = await self.chain.round(self.netuid, number)
        assert found is not None, "updates are revealed in rounds"
        return found

    async def _is_empty(self, ef_digest: bytes) -> bool:
        return ef_digest == await asyncio.to_thread(empty_digest, self.size // 4)  # hashed once

    def folder(self, duty: Duty) -> Path:
        """Return where everything about an audit lies."""
        return self.home / FOLDER / f"{duty.round:08d}-{duty.miner.hex()}"

    def tidy(self, duties: Sequence[Duty], busy: Sequence[bytes] = ()) -> None:
        """Delete what audits that are over have left, but of those miners that somebody is `busy` with."""
        wanted, names = {self.folder(duty) for duty in duties}, {miner.hex() for miner in busy}
        for known in (self.told, self.again):
            for duty in set(known) - set(duties):
                del known[duty]
        for folder in (self.home / FOLDER).glob("*"):
            if folder not in wanted and folder.name.partition("-")[2] not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def _say(self, duty: Duty, what: str) -> None:
        """Log a line once."""
        if self.told.get(duty) != what:
            self.told[duty] = what
            log.info("round %05d | uid %d | audit: %s", duty.round, duty.uid, what)


def at_once(size: int) -> int:
    """Return how many miners may be asked at a time for error feedback of so many bytes."""
    return max(LEAST_AT_ONCE, min(AT_ONCE, FETCH_MEMORY // size))


def is_late(current: int, phase: str, until_round: int, window: int) -> bool:
    """Say whether the last part of the rounds has begun in which a judge may report."""
    left = (until_round + 1 - current) * len(PHASES) - PHASES.index(phase)  # parts of a round
    return PART * left <= (window + 1) * len(PHASES)


def _length(path: Path, digest: bytes) -> int | None:
    """Return the length of a blob on disk; None where it is not, or is damaged: that is no miner's fault."""
    if not path.exists():
        return None
    blob = path.read_bytes()
    return len(blob) if blake2_256(blob) == digest else None


def _decode(path: Path, shape: PayloadShape) -> None:
    """Raises: MalformedPayload."""
    decode(path.read_bytes(), shape)


def _verdict(finding: Finding | None, least_ppm: int) -> tuple[str, int]:
    if finding is None:
        return "Unavailable", 0
    return ("Passed" if finding.passes(least_ppm) else "Failed"), finding.overlap_ppm
