"""A judge's row from payloads to scores: real training of a small model, real text, what the chain says."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chain.client import Head, Round, Update
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient
from miners.data import Corpus, assignment, build_corpus
from miners.layout import ModelConfig
from miners.model import train
from miners.parameters import TrainingParameters
from miners.payload import Payload, compress, encode, shape_of
from miners.replica import Replica, genesis_weights
from miners.shards import ShardClient, tokens_of
from miners.shelf import Shelf
from runtime.primitives.commitments import PPM, Score
from tests.miners.test_replica import Ledger
from tests.validators.test_recount import ALICE, hotkey, told
from validators import measuring
from validators.measuring import assigned_in, own_windows, texts_of
from validators.recent import Recent
from validators.scorebook import counted
from validators.trail import Rows
from validators.validator import judged

NETUID = 1
SHAPE = ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=32)
PARAMETERS = TrainingParameters(
    SHAPE, inner_steps=4, warmup_steps=1, batch_size=4, chunk=1_024, top_k=32, evaluation_sequences=16
)
BASE = genesis_weights(NETUID, SHAPE)
MINERS = (2, 3, 4, 5, 6)
"""of whom the chain of test_recount tells"""
BEACON0, BEACON1 = b"\x0b" * 32, b"\x1b" * 32
HEAD = Head(1, "0x01")


@cache
def corpus() -> Corpus:
    return build_corpus(Path(json.__file__).parent)


def drawn(number: int) -> Round:
    numbers = {**PARAMETERS.to_integers(), "ema_ppm": 800_000}
    root = corpus().manifest.root()
    return Round(number, "ScoreCommit", BASE.root(), root, BEACON0, BEACON1, 99, [], None, 4, numbers)


@cache
def honest(uid: int) -> Payload:
    """Return what training on a miner's text gives."""
    windows = assignment(BEACON0, hotkey(uid), corpus().manifest, PARAMETERS)
    texts = [corpus().shards[window.shard.digest] for window in windows]
    tokens = tokens_of(texts, windows, SHAPE.sequence + 1)
    batches = [tokens[at : at + 4] for at in range(0, len(tokens), 4)]
    return compress(train(BASE, batches, PARAMETERS).delta, shape_of(PARAMETERS, BASE.root()))


def almost(original: Payload, share: float) -> Payload:
    """Return another payload with so much of one."""
    noise = np.random.default_rng(1).standard_normal(original.shape.parameters, dtype=np.float32) / 1_000
    other = compress(noise, original.shape)
    mine = np.random.default_rng(2).random(original.shape.chunks)[original.chunk_of()] < share
    return replace(other, indices=np.where(mine, original.indices, other.indices))


@dataclass
class Subnet(Ledger):
    """What a judge asks a chain while it scores."""

    revealed: dict[int, list[Update]] = field(default_factory=dict)
    rows: dict[int, list[Score]] = field(default_factory=dict)

    async def finalized_head(self) -> Head:
        return HEAD

    async def dataset(self, netuid: int) -> None:
        return None

    async def round(self, netuid: int, number: int) -> Round:
        return drawn(number)

    async def updates(self, netuid: int, number: int) -> list[Update]:
        return self.revealed.get(number, [])

    async def query_map(self, item: str, netuid: int, at: Head) -> list[Any]:
        return []

    async def rpc(self, method: str, netuid: int, number: int, at: str) -> Any:
        return told(number, {ALICE: self.rows[number]}) if number in self.rows else None


@dataclass
class Court:
    """A judge at work, and what it keeps on its disk."""

    home: Path
    subnet: Subnet

    async def row(self, number: int, sent: Mapping[int, Payload], window: float = 60.0) -> dict[int, Score]:
        """Let a judge that has just started score payloads, which are committed in this order."""
        shelf = Shelf(self.home)
        for uid, payload in sent.items():
            digest = shelf.of(number).put(encode(payload))
            update = Update(uid, hotkey(uid), digest, len(encode(payload)), number, len(self._of(number)))
            self.subnet.revealed[number] = [*self._of(number), update]
        store = Cache(self.home / "shards")
        for text in (*corpus().shards.values(), corpus().manifest.encode()):
            store.put(text)
        chain: Any = self.subnet
        async with BlobClient() as blobs:
            replica, shards = (
                Replica(chain, blobs, shelf, self.home, NETUID, SHAPE),
                ShardClient(blobs, [], store),
            )
            bench: Any = Setting(
                chain, replica, shards, shelf, Recent(chain, shelf, NETUID), Rows(chain, NETUID)
            )
            scores = await judged(bench, drawn(number), BASE, self._of(number), window)
        self.subnet.rows[number] = scores
        return {each.uid: each for each in scores}

    def _of(self, number: int) -> list[Update]:
        return self.subnet.revealed.get(number, [])


@dataclass
class Setting:
    """The part of a judge's bench that scoring needs."""

    chain: Any
    replica: Replica
    shards: ShardClient
    shelf: Shelf
    recent: Recent
    rows: Rows

    class config:
        netuid, device = NETUID, "cpu"


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court(tmp_path, Subnet(hotkey=bytes(ALICE)))


async def test_honest_work_is_paid_and_a_thief_is_not(court: Court, caplog: pytest.LogCaptureFixture) -> None:
    sent = {uid: honest(uid) for uid in MINERS[:4]}
    found = await court.row(1, {**sent, 6: almost(honest(2), 0.95)})
    assert sorted(found) == list(MINERS)
    thief = found[6]
    assert (thief.score, thief.loss_after, thief.alignment, thief.own_drop) == (0, thief.loss_before, 0, 0)
    assert any(
        "uid 6 | rejected: " in line and line.endswith("those of uid 2 in round 1")
        for line in caplog.messages
    )
    others = [found[uid] for uid in sent]
    assert counted(found.values()) == list(sent)
    assert all(each.loss_after < each.loss_before and each.alignment > PPM // 20 for each in others)
    assert PPM - 4 <= sum(each.score for each in others) <= PPM
    assert max(each.score for each in others) < 2 * min(each.score for each in others)


async def test_a_stale_update_is_found_by_a_judge_that_has_just_started(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    await court.row(1, {2: honest(2)})
    found = await court.row(3, {2: honest(2), 3: honest(3)})
    assert (found[2].score, found[3].score) == (0, PPM)
    assert any("are those of uid 2 in round 1" in line for line in caplog.messages)
    assert (await court.row(5, {4: honest(2)}))[4].score == 0
    again = await court.row(9, {2: honest(2)})
    assert again[2].score == PPM  # too long ago


async def test_what_a_miner_did_before_counts(court: Court) -> None:
    """Two rounds with a moving average that keeps 0.8 weigh 0.36, one weighs 0.2."""
    sent = {uid: honest(uid) for uid in MINERS[:4]}
    await court.row(1, sent)
    found = await court.row(9, {**sent, 6: honest(6)})  # round 1 is too long ago to be a copy of
    rate = {uid: each.score / each.alignment for uid, each in found.items()}
    assert all(1.6 < rate[uid] / rate[6] < 2.0 for uid in sent)


async def test_three_share_the_loss_they_remove(court: Court) -> None:
    found = await court.row(1, {uid: honest(uid) for uid in MINERS[:3]})
    drops = {uid: each.loss_before - each.loss_after for uid, each in found.items()}
    assert {uid: each.score for uid, each in found.items()} == {
        uid: drop * PPM // sum(drops.values()) for uid, drop in drops.items()
    }
    assert all(each.alignment == 0 and each.own_drop for each in found.values())


async def test_who_is_not_reached_in_time_gets_no_score(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    assert await court.row(1, {uid: honest(uid) for uid in MINERS}, window=0.0) == {}
    assert sum("no score: " in line for line in caplog.messages) == len(MINERS)


def test_own_text_is_the_miners_and_drawn() -> None:
    windows = assignment(BEACON0, hotkey(2), corpus().manifest, PARAMETERS)
    chosen = own_windows(drawn(1), hotkey(2), windows, 5)
    places = [windows.index(each) for each in chosen]
    assert places == sorted(places)
    assert len(set(chosen)) == 5
    other = replace(drawn(1), beacon1=BEACON0)
    assert own_windows(other, hotkey(2), windows, 5) != chosen
    assert own_windows(drawn(1), hotkey(2), windows, 99) == windows


async def test_text_that_is_not_to_be_had_costs_no_score(
    court: Court, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A shard of somebody's own text is lost: its own drop is not measured, all else is."""

    class Shards:
        async def batches(self, windows: Any, size: int, span: int) -> Any:
            if len(windows) == PARAMETERS.evaluation_sequences:
                return [np.zeros((size, span), np.int64)]
            raise measuring.UnusableCorpus("gone")

    updates = [Update(2, hotkey(2), bytes(32), 0, 1, 0)]
    assigned = assigned_in(drawn(1), corpus().manifest, updates)
    monkeypatch.setattr(measuring, "OWN_SEQUENCES", 3)
    texts = await texts_of(Shards(), drawn(1), corpus().manifest, assigned)  # type: ignore[arg-type]
    assert (texts.hidden.shape, texts.own) == ((16, 33), {})
    assert caplog.messages[-1].endswith("not measured: gone")


async def test_own_text_that_does_not_come_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """A provider that stalls after the hidden text must not cost a judge its row."""
    stalled = {hotkey(uid): assignment(BEACON0, hotkey(uid), corpus().manifest, PARAMETERS) for uid in MINERS}

    class Shards:
        asked = 0

        async def batches(self, windows: list[Any], size: int, span: int) -> list[Any]:
            self.asked += 1
            if self.asked > 1:
                await asyncio.sleep(3_600)
            return [np.zeros((len(windows), span), np.int64)]

    shards: Any = Shards()
    texts = await texts_of(shards, drawn(1), corpus().manifest, stalled, 0.05)
    assert (len(texts.hidden), texts.own, shards.asked) == (16, {}, 2)
    assert "own text of some miners not measured: it comes too late" in caplog.text
