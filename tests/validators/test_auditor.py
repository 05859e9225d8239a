"""A judge that was drawn: what it gathers, what it reports, and what it never blames on a miner."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chain.client import Axon, Head, Refused, Round
from miners.blobs.client import BlobClient
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.compressor import Compressor
from miners.data import Corpus, assignment, build_corpus, standard_library
from miners.history import History
from miners.memories import Memories
from miners.model import train
from miners.payload import encode
from miners.replica import Replica, genesis_weights
from miners.shards import ShardClient, tokens_of
from miners.shelf import Shelf
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256
from tests.e2e.process import eventually
from tests.miners.blobs.people import ALICE, MINER, NETUID, OTHER, Register, guard
from tests.miners.test_replica import GONE, NUMBERS, SMALL, UNHURRIED, Ledger, silent_server
from tests.validators.test_replayer import children, impostor
from validators.auditor import AT_ONCE, FOLDER, Auditor, Duty, Replay, Revealed, at_once, is_late
from validators.journal import JOURNAL_FILE, Journal
from validators.replay import Finding
from validators.replayer import Replayer
from validators.replaying import conclude, replay

HASTY = SMALL.in_round(4)
MINER_UID, JUDGE_UID = 5, 1
BASE = genesis_weights(NETUID, SMALL.model)
SECONDS = 180.0
"""for a process that loads torch and trains, which takes it a few, on a machine that does other things"""


@dataclass
class Court(Ledger):
    """What an auditor reads of a chain, and what it tells it; no round has changed the model."""

    data: tuple[bytes, str] = (b"", GONE)
    trail: dict[int, Revealed] = field(default_factory=dict)
    drawn: dict[int, dict[str, Any]] = field(default_factory=dict)
    now: tuple[int, str] = (3, "ScoreReveal")
    reports: list[tuple[int, str, int]] = field(default_factory=list)
    refusal: Refused | None = None
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    linger: Callable[[], Awaitable[None]] | None = (
        None  # after the audits were looked up, before that is told
    )
    hotkey: bytes = ALICE.hotkey
    address: str = ss58.encode(ALICE.hotkey)
    numbers: dict[str, int] = field(default_factory=lambda: {**NUMBERS, "overlap_ppm": 900_000})

    sign = ALICE.sign
    genesis_hash: bytes = ALICE.genesis_hash

    def address_of(self, hotkey: bytes) -> str:
        return ss58.encode(hotkey)

    async def finalized_head(self) -> Head:
        return Head(9, "0x")

    async def parameters(self, netuid: int) -> dict[str, int]:
        return {"audit_window": 3}

    async def dataset(self, netuid: int) -> tuple[bytes, str]:
        return self.data

    async def owner(self, netuid: int) -> bytes | None:
        return None

    async def round(self, netuid: int, number: int | None = None) -> Round:
        chosen, phase = self.now if number is None else (number, "Closed")
        return Round(
            number=chosen, phase=phase, base_root=BASE.root(), data_root=self.data[0],
            beacon0=bytes([chosen]) * 32, beacon1=None, deadline=0, inner_steps=HASTY.inner_steps,
            accepted=[], new_root=None, parameters=self.numbers,
        )  # fmt: skip

    async def revealed(self, netuid: int, number: int, miner: bytes) -> tuple[bytes, int] | None:
        found = self.trail.get(number)
        return (found.digest, found.length) if found else None

    async def seat(self, netuid: int, at: Head) -> dict[str, int]:
        return {"uid": JUDGE_UID, "registered_at": 0}

    async def query(self, item: str, *keys: Any, at: Head | None = None) -> Any:
        if item == "Verification.OpenCount":
            return len(self.drawn)
        assert item == "ModelUpdates.Updates"
        update = self.trail[keys[1]]
        return {
            "digest": "0x" + update.digest.hex(), "length": update.length,
            "ef_digest": "0x" + update.ef_digest.hex(),
        }  # fmt: skip

    async def query_map(self, item: str, netuid: int, at: Head | None = None) -> list[tuple[Any, Any]]:
        assert item == "Verification.Audits"
        found = [(number, self.trail[number].miner) for number in self.drawn]
        audits = [((number, ss58.encode(miner)), self.drawn[number]) for number, miner in found]
        if self.linger is not None:
            await self.linger()
        return audits

    async def submit(self, call: str, **told: Any) -> None:
        assert call == "Verification.report_audit"
        if self.refusal:
            raise self.refusal
        self.reports.append((told["round"], told["verdict"], told["overlap_ppm"]))
        del self.drawn[told["round"]]
        self.reported.set()

    def draw(self, number: int, judge: int = JUDGE_UID) -> None:
        self.drawn[number] = {
            "judge": {"uid": judge, "registered_at": 0}, "miner": {"uid": MINER_UID, "registered_at": 0},
            "until_round": number + 3,
        }  # fmt: skip


async def in_this_process(folder: Path, least_ppm: int) -> None:
    """Replay as the other process does."""
    await asyncio.to_thread(replay, folder, "cpu", least_ppm)


@dataclass
class Scene:
    """A miner that has worked in rounds 1 and 2, and a judge."""

    home: Path
    court: Court
    corpus: Corpus
    opened: AsyncExitStack
    memories: Memories
    shelf: Shelf
    compressor: Compressor = field(default_factory=lambda: Compressor(HASTY))

    def work(self, number: int, *, sign: float = 1.0) -> None:
        """Do a round, and reveal it."""
        windows = assignment(bytes([number]) * 32, MINER.hotkey, self.corpus.manifest, HASTY)
        rows = tokens_of([self.corpus.shards[each.shard.digest] for each in windows], windows, 33)
        memory = self.compressor.to_bytes()
        if self.compressor.error.any():
            self.memories.keep(number, memory)
        delta = train(BASE, np.split(rows, HASTY.inner_steps), HASTY).delta * np.float32(sign)
        blob = encode(self.compressor.compress(delta, BASE.root()))
        digest = self.shelf.of(number).put(blob)
        self.court.trail[number] = Revealed(number, MINER.hotkey, digest, len(blob), blake2_256(memory))

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.home)

    async def auditor(self, replaying: Replay = in_this_process) -> Auditor:
        blobs = await self.opened.enter_async_context(BlobClient(**UNHURRIED, signer=ALICE))
        judge = Shelf(self.home)
        chain: Any = self.court
        replica = Replica(chain, blobs, judge, self.home, NETUID, SMALL.model, mirrors=True)
        history = History(chain, blobs, judge, self.home, NETUID, SMALL.model, 5)
        shards = ShardClient(blobs, [])
        return Auditor(chain, NETUID, replica, history, shards, blobs, self.home, self.journal, replaying)

    async def look(self, auditor: Auditor) -> None:
        for duty in await auditor.duties():
            await auditor.attend(duty)

    @property
    def folder(self) -> Path:
        return self.home / FOLDER


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return build_corpus(standard_library() / "json")


@pytest.fixture
async def scene(tmp_path: Path, corpus: Corpus) -> AsyncIterator[Scene]:
    home = tmp_path / "judge"
    home.mkdir()
    provider = BlobStore(tmp_path / "provider")
    provider.put_all([corpus.manifest.encode(), *corpus.shards.values()])
    memories, shelf = Memories(tmp_path / "miner"), Shelf(tmp_path / "miner")
    async with AsyncExitStack() as opened:
        text = await opened.enter_async_context(serve(provider, "127.0.0.1", 0))
        known = guard(Register(), MINER)
        url = await opened.enter_async_context(serve(shelf, "127.0.0.1", 0, known, private=memories))
        court = Court(urls={MINER.hotkey: url}, judges=[Axon(ALICE.hotkey, GONE)])
        court.data = corpus.manifest.root(), text
        made = Scene(home, court, corpus, opened, memories, shelf)
        made.work(1)
        made.work(2)
        court.draw(2)
        yield made


async def test_honest_work_passes_and_leaves_a_line(scene: Scene) -> None:
    auditor = await scene.auditor()
    await scene.look(auditor)
    assert scene.court.reports == [(2, "Passed", 1_000_000)]
    assert json.loads((scene.home / JOURNAL_FILE).read_text()) == {
        "event": "audited", "round": 2, "uid": MINER_UID, "verdict": "Passed", "overlap_ppm": 1_000_000,
        "fault": "",
    }  # fmt: skip
    assert await auditor.duties() == []
    auditor.tidy([])
    assert list(scene.folder.iterdir()) == []


async def test_other_work_fails(scene: Scene) -> None:
    scene.work(3, sign=-1.0)
    scene.court.draw(3)
    await scene.look(await scene.auditor())
    (first, passed, _), (second, failed, overlap) = scene.court.reports
    assert (first, passed, second, failed) == (2, "Passed", 3, "Failed")
    assert overlap < 900_000


async def test_what_only_the_miner_has_is_asked_for_until_time_is_nearly_over(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scene.memories.forget_except([])
    auditor = await scene.auditor()
    await scene.look(auditor)
    await scene.look(auditor)
    assert scene.court.reports == []
    assert [line for line in caplog.messages if "the error feedback of round 2 is not served" in line]
    scene.court.now = 5, "Train"
    await scene.look(auditor)
    assert scene.court.reports == [(2, "Unavailable", 0)]


async def test_a_miner_that_is_back_in_time_passes(scene: Scene) -> None:
    url, scene.court.urls[MINER.hotkey] = scene.court.urls[MINER.hotkey], GONE
    auditor = await scene.auditor()
    await scene.look(auditor)
    scene.court.urls[MINER.hotkey] = url
    auditor = await scene.auditor()
    await scene.look(auditor)
    assert scene.court.reports == [(2, "Passed", 1_000_000)]


@pytest.mark.parametrize("name", ["drawn.payload", "drawn.memory", "before.payload"])
async def test_a_disk_that_rots_is_no_failure_of_the_miner(scene: Scene, name: str) -> None:
    auditor = await scene.auditor()
    (duty,) = await auditor.duties()
    parts = await auditor._gather(duty, folder := auditor.folder(duty))
    assert parts
    rotten = folder / name
    rotten.write_bytes(bytes(rotten.stat().st_size))
    await scene.look(auditor)
    assert scene.court.reports == [(2, "Passed", 1_000_000)]


async def test_a_miner_that_stalls_holds_up_no_other_audit(scene: Scene) -> None:
    scene.court.trail[0] = replace(scene.court.trail[1], round=0, miner=OTHER.hotkey, digest=bytes(32))
    scene.court.draw(0)  # due first
    auditor = await scene.auditor()
    assert [each.round for each in await auditor.duties()] == [0, 2]
    async with silent_server() as url:
        scene.court.urls[OTHER.hotkey] = url
        following = asyncio.create_task(auditor.follow())
        await asyncio.to_thread(eventually, lambda: bool(scene.court.reports), "a report")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert scene.court.reports == [(2, "Passed", 1_000_000)]


async def test_what_the_judge_lacks_is_never_blamed_on_the_miner(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def broken(folder: Path, least_ppm: int) -> None:
        raise OSError("the replay failed: killed")

    scene.court.now = 5, "Attest"
    await scene.look(await scene.auditor(broken))
    scene.court.data = scene.court.data[0], GONE
    await scene.look(await scene.auditor())
    assert scene.court.reports == []
    for trouble in ("the replay failed: killed", "blob"):
        assert f"this judge cannot replay it, and reports nothing: {trouble}" in caplog.text


async def test_an_audit_that_ends_while_duties_are_looked_up_is_not_begun_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validators.auditor.LOOK_SECONDS", 0)
    is_replaying, is_looking, has_looked_again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def replaying(folder: Path, least_ppm: int) -> None:
        is_replaying.set()
        await is_looking.wait()
        await in_this_process(folder, least_ppm)

    async def linger() -> None:
        """The first look amid the replay lasts until that is reported: the audit it has seen is over then."""
        if asyncio.current_task() is not following or not is_replaying.is_set():
            return
        is_looking.set()
        await scene.court.reported.wait()

    auditor = await scene.auditor(replaying)
    scene.court.linger = linger
    following = asyncio.create_task(auditor.follow())
    await scene.court.reported.wait()
    scene.court.draw(1)
    scene.court.linger = lambda: asyncio.sleep(0, has_looked_again.set())
    await has_looked_again.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert scene.court.reports == [(2, "Passed", 1_000_000)]


async def test_a_replay_that_hangs_is_ended_with_the_time_to_report(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("validators.auditor.LOOK_SECONDS", 0.01)
    before = children()
    async with Replayer("cpu", 1) as replayer, asyncio.timeout(SECONDS):
        auditor = await scene.auditor(replayer.replay)
        (duty,) = await auditor.duties()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", impostor(tmp_path / "impostor", "exec sleep 600"))
            attending = asyncio.create_task(auditor.attend(duty))
            await asyncio.to_thread(eventually, lambda: bool(children() - before), "a replay")
        del scene.court.drawn[2]
        await attending
        assert not children() - before
        assert caplog.messages[-1].endswith("the replay failed: it has not ended in the time to report it")
        scene.court.draw(1)  # others have their turn
        await scene.look(auditor)
    assert scene.court.reports == [(1, "Passed", 1_000_000)]


async def test_what_was_found_before_a_crash_is_reported_without_another_replay(scene: Scene) -> None:
    async def never(folder: Path, least_ppm: int) -> None:
        raise AssertionError("it was done before")

    auditor = await scene.auditor(never)
    (duty,) = await auditor.duties()
    auditor.folder(duty).mkdir(parents=True)
    conclude(auditor.folder(duty), Finding(950_000))
    scene.court.refusal = Refused("report_audit", "1010", "the pool is full", 1010)
    await scene.look(auditor)
    scene.court.refusal = None
    await scene.look(await scene.auditor(never))
    assert scene.court.reports == [(2, "Passed", 950_000)]


async def test_a_payload_of_another_length_than_was_revealed_fails(scene: Scene) -> None:
    update = scene.court.trail[2]
    scene.court.trail[2] = Revealed(2, update.miner, update.digest, update.length + 1, update.ef_digest)
    await scene.look(await scene.auditor())
    scene.court.draw(2)
    scene.court.trail[2] = Revealed(2, update.miner, update.digest, 1 << 30, update.ef_digest)
    auditor = await scene.auditor()
    auditor.tidy([])
    await scene.look(auditor)
    assert scene.court.reports == [(2, "Failed", 0), (2, "Failed", 0)]


async def test_error_feedback_from_nowhere_fails_without_training(scene: Scene) -> None:
    del scene.court.trail[1]
    await scene.look(await scene.auditor())
    assert scene.court.reports == [(2, "Failed", 0)]


async def test_others_duties_are_not_ours(scene: Scene) -> None:
    scene.court.draw(2, judge=JUDGE_UID + 1)
    assert await (await scene.auditor()).duties() == []
    scene.court.draw(2)
    assert await (await scene.auditor()).duties() == [Duty(2, MINER.hotkey, MINER_UID, 5)]


@pytest.mark.parametrize(
    ("current", "phase", "until", "window", "expected"),
    [
        (2, "ScoreReveal", 5, 3, False),
        (4, "Attest", 5, 3, False),
        (5, "Train", 5, 3, True),
        (6, "Train", 5, 3, True),
        (3, "ScoreCommit", 3, 1, False),
        (3, "ScoreReveal", 3, 1, True),
    ],
)
def test_the_last_part_of_the_time_to_report(
    current: int, phase: str, until: int, window: int, expected: bool
) -> None:
    assert is_late(current, phase, until, window) is expected


def test_what_all_downloads_hold_together_has_an_end() -> None:
    assert [at_once(size) for size in (1, 32 << 20, 33 << 20, 128 << 20, 4 << 30)] == [AT_ONCE, 8, 7, 2, 2]


async def test_what_is_in_the_folder_is_not_fetched_again(scene: Scene) -> None:
    auditor = await scene.auditor()
    update, kept = scene.court.trail[2], scene.home / "kept"

    async def fetch() -> bytes:
        assert not kept.exists()
        return b"four"

    lengths = [await auditor._got(kept, update, blake2_256(b"four"), fetch) for _ in range(2)]
    assert (lengths, kept.read_bytes()) == ([4, 4], b"four")
