"""Every attack on what a judge fetches, served by real HTTP servers."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain.client import Update
from miners.attacks import ATTACKS
from miners.blobs.client import BlobClient
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.payload import encode, shape_of
from miners.replica import Replica, genesis_weights
from miners.shelf import Shelf
from runtime.primitives.hashing import blake2_256
from tests.miners.test_replica import SMALL, Ledger, payload, silent_server
from validators.inspection import Candidate, inspect

BASE = genesis_weights(1, SMALL)
SHAPE = shape_of(SMALL, BASE.root())


@dataclass
class Market:
    """Miners with their own servers, and a judge's replica that asks them."""

    home: Path
    ledger: Ledger
    replica: Replica
    opened: AsyncExitStack

    async def miner(self, uid: int, attack: str = "honest", *, length: int | None = None) -> Update:
        """Let a miner serve what its attack makes of an honest payload; return what it revealed."""
        cheat, honest = ATTACKS[attack](), encode(payload(BASE, uid))
        blob = cheat.payload(honest, SHAPE, [])
        store = BlobStore(self.home / str(uid))
        digest = blake2_256(blob)
        store.put_as(digest, cheat.serving(blob))
        self.ledger.urls[_hotkey(uid)] = await self.opened.enter_async_context(serve(store, "127.0.0.1", 0))
        return Update(uid, _hotkey(uid), digest, len(blob) if length is None else length, 10, uid)

    async def judged(self, *updates: Update, seconds: float = 5.0) -> dict[int, bool]:
        """Return uid -> whether its payload is usable; who gets no score is left out."""
        found = await inspect(self.replica, 1, updates, SMALL, BASE, seconds)
        assert [one.uid for one in found] == sorted(one.uid for one in found)
        return {one.uid: one.payload is not None for one in found}


def _hotkey(uid: int) -> bytes:
    return bytes([uid]) * 32


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as opened:
        blobs = await opened.enter_async_context(BlobClient())
        ledger, home = Ledger(), tmp_path / "judge"
        home.mkdir()
        replica = Replica(ledger, blobs, Shelf(home), home, 1, SMALL)  # type: ignore[arg-type]
        yield Market(tmp_path, ledger, replica, opened)


async def test_honest_payloads_are_usable_and_come_by_uid(market: Market) -> None:
    assert await market.judged(await market.miner(9), await market.miner(3)) == {3: True, 9: True}


@pytest.mark.parametrize(
    ("attack", "said"),
    [("nan", "rejected"), ("garbage", "rejected"), ("oversized", "no score"), ("mismatch", "no score")],
)
async def test_an_attack_costs_only_its_author(
    market: Market, attack: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    updates = [await market.miner(3), await market.miner(4, attack)]
    with caplog.at_level(logging.WARNING):
        judged = await market.judged(*updates)
    assert judged == ({3: True, 4: False} if said == "rejected" else {3: True})
    (line,) = caplog.messages
    assert line.startswith(f"round 00001 | uid 4 | {said}: ")


async def test_a_length_that_was_not_revealed_is_rejected(market: Market) -> None:
    assert await market.judged(await market.miner(3, length=1)) == {3: False}


async def test_a_copy_is_rejected_in_favour_of_the_first_commit(market: Market) -> None:
    original = await market.miner(9)
    copy = Update(3, _hotkey(3), original.digest, original.length, 11, 0)
    assert await market.judged(original, copy) == {3: False, 9: True}


async def test_servers_that_never_answer_take_no_more_than_their_time(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    honest, silent = await market.miner(9), []
    url = await market.opened.enter_async_context(silent_server())
    for uid in range(1, 9):
        market.ledger.urls[_hotkey(uid)] = url
        silent.append(Update(uid, _hotkey(uid), bytes([uid]) * 32, 5, 9, uid))
    begun = time.monotonic()
    assert await market.judged(*silent, honest, seconds=1.0) == {9: True}
    assert time.monotonic() - begun < 3
    assert sum("no score: not served within 1.0 s" in line for line in caplog.messages) == 8


async def test_nothing_to_judge_is_no_problem(market: Market) -> None:
    assert await market.judged() == {}
    assert await market.judged(Update(None, _hotkey(1), b"\x01" * 32, 5, 9, 0)) == {}


def test_a_malformed_candidate_changes_nothing() -> None:
    assert Candidate(3, b"", None).applied_to(BASE, SMALL) is BASE
