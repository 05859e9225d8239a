"""Every attack on what a judge fetches, served by real HTTP servers."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from chain.client import Update
from miners.attacks import ATTACKS
from miners.blobs.client import BlobClient
from miners.blobs.receipts import Owed
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.payload import Payload, encode, shape_of
from miners.replica import Replica, genesis_weights
from miners.shelf import Shelf
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from tests.miners.blobs.people import GENESIS, Hotkey, receipt
from tests.miners.test_replica import SMALL, Ledger, payload, silent_server
from validators.inspection import Candidate, inspect, screened

BASE = genesis_weights(1, SMALL.model)
SHAPE = shape_of(SMALL, BASE.root())
BETA = 800_000


@dataclass
class Market:
    """Miners with their own servers, and a judge's replica that asks them."""

    home: Path
    ledger: Ledger
    replica: Replica
    opened: AsyncExitStack
    heard: list[tuple[Owed, Receipt]]

    async def miner(
        self, uid: int, attack: str = "honest", *, length: int | None = None, signs: bool = True
    ) -> Update:
        """Let a miner serve what its attack makes of an honest payload; return what it revealed."""
        cheat = ATTACKS[attack]()
        blob = cheat.payload(encode(payload(BASE, uid)), SHAPE, [])
        return await self._serve(
            uid, blob, cheat.serving(blob), len(blob) if length is None else length, signs
        )

    async def sends(self, uid: int, sent: Payload) -> Update:
        """Let an honest miner serve a payload; return what it revealed."""
        blob = encode(sent)
        return await self._serve(uid, blob, blob, len(blob), True)

    async def _serve(self, uid: int, blob: bytes, served: bytes, length: int, signs: bool) -> Update:
        store = BlobStore(self.home / str(uid))
        digest = blake2_256(blob)
        store.put_as(digest, served)
        signed = {digest: receipt(_key(uid), served, digest=digest)} if signs else {}
        serving = serve(store, "127.0.0.1", 0, receipts=signed.get)
        self.ledger.urls[_hotkey(uid)] = await self.opened.enter_async_context(serving)
        return Update(uid, _hotkey(uid), digest, length, 10, 20 - uid)

    async def judged(self, *updates: Update, seconds: float = 60.0) -> dict[int, bool]:
        """Return uid -> whether its payload is usable; who gets no score is left out."""
        found = await inspect(self.replica, 1, updates, SMALL, BASE, seconds)
        assert [one.uid for one in found] == sorted(one.uid for one in found)
        return {one.uid: one.payload is not None for one in found}


@cache
def _key(uid: int) -> Hotkey:
    return Hotkey(f"//{uid}")


def _hotkey(uid: int) -> bytes:
    return _key(uid).hotkey


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with AsyncExitStack() as opened:
        heard: list[tuple[Owed, Receipt]] = []
        client = BlobClient(witness=lambda owed, told: heard.append((owed, told)))
        blobs = await opened.enter_async_context(client)
        ledger, home = Ledger(genesis_hash=GENESIS), tmp_path / "judge"
        home.mkdir()
        replica = Replica(ledger, blobs, Shelf(home), home, 1, SMALL.model)  # type: ignore[arg-type]
        yield Market(tmp_path, ledger, replica, opened, heard)


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


async def test_who_signs_for_other_bytes_than_it_revealed_has_signed_against_itself(market: Market) -> None:
    honest, liar = await market.miner(3), await market.miner(4, "mismatch")
    assert await market.judged(honest, liar) == {3: True}
    said = {owed.miner: (owed.round, told.digest, told.sent == told.digest) for owed, told in market.heard}
    assert said == {_hotkey(3): (1, honest.digest, True), _hotkey(4): (1, liar.digest, False)}


async def test_nothing_is_taken_from_a_miner_that_signs_nothing(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    assert await market.judged(await market.miner(3, signs=False), await market.miner(4)) == {4: True}
    (line,) = caplog.messages
    assert line.startswith("round 00001 | uid 3 | no score: ")
    assert line.endswith("no Assay-Receipt came with it")


async def test_a_length_that_was_not_revealed_is_rejected(market: Market) -> None:
    assert await market.judged(await market.miner(3, length=1)) == {3: False}


async def test_a_copy_is_rejected_in_favour_of_the_first_commit(market: Market) -> None:
    original = await market.miner(9)
    copy = Update(3, _hotkey(3), original.digest, original.length, 11, 0)
    assert await market.judged(original, copy) == {3: False, 9: True}


async def test_what_is_almost_a_copy_is_rejected_whoever_has_the_lower_uid(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    original, other = payload(BASE, 1), payload(BASE, 2)
    share = np.arange(SHAPE.chunks) % 10 != 0  # a tenth is its own
    indices = np.where(share[original.chunk_of()], original.indices, other.indices)
    updates = [await market.sends(9, original), await market.sends(3, replace(original, indices=indices))]
    found = await inspect(market.replica, 1, updates, SMALL, BASE, 60.0)
    judged = screened(1, found, [], SHAPE, b"b" * 32, BETA)
    assert {one.uid: one.payload is not None for one in judged} == {3: False, 9: True}
    (line,) = caplog.messages
    assert re.fullmatch(
        r"round 00001 \| uid 3 \| rejected: 88 % of its .* are those of uid 9 in round 1", line
    )
    stale = [one.sent(0) for one in found if one.uid == 9]
    assert [one.payload for one in screened(4, found, stale, SHAPE, b"b" * 32, BETA)] == [None, None]
    assert "uid 9 | rejected: 100 % of its positions are those of uid 9 in round 0" in caplog.text


def sized(one: Payload, factor: float) -> Payload:
    """The same positions with larger or smaller values."""
    levels = (one.levels.astype(np.uint32) << 16).view(np.float32) * np.float32(factor)
    return replace(one, levels=(levels.view(np.uint32) >> 16).astype(np.uint16))


async def test_an_update_far_larger_than_the_others_is_rejected_unless_half_of_them_are(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    async def judged(sizes: list[float], beta_ppm: int = BETA) -> list[bool]:
        updates = [
            await market.sends(uid, sized(payload(BASE, uid), size))
            for uid, size in enumerate(sizes, start=3)
        ]
        found = await inspect(market.replica, 1, updates, SMALL, BASE, 60.0)
        return [each.payload is not None for each in screened(1, found, [], SHAPE, b"b" * 32, beta_ppm)]

    assert await judged([1.0, 1.0, 4.0, 1.0, 10.0]) == [True] * 4 + [False]
    assert caplog.messages == ["round 00001 | uid 7 | rejected: 9 times as large as the median"]
    assert await judged([0.1, 0.1, 1.0, 1.0]) == [True] * 4
    assert await judged([0.1, 0.1, 1.0]) == [True] * 3
    with_memory = [1.0, 1.0, 8.0, 1.0, 40.0]  # the third began long before the others
    assert await judged(with_memory, beta_ppm=950_000) == [True] * 4 + [False]


async def test_servers_that_never_answer_take_no_more_than_their_time(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    honest, silent = await market.miner(9), []
    url = await market.opened.enter_async_context(silent_server())
    for uid in range(1, 9):
        market.ledger.urls[_hotkey(uid)] = url
        silent.append(Update(uid, _hotkey(uid), bytes([uid]) * 32, 5, 9, uid))
    assert await market.judged(*silent, honest, seconds=4.0) == {9: True}  # alone, each would take 20 s
    assert sum("no score: not served within 4.0 s" in line for line in caplog.messages) == 8


async def test_nothing_to_judge_is_no_problem(market: Market) -> None:
    assert await market.judged() == {}
    assert await market.judged(Update(None, _hotkey(1), b"\x01" * 32, 5, 9, 0)) == {}


def test_a_malformed_candidate_changes_nothing() -> None:
    update = Update(3, _hotkey(3), bytes(32), 0, 10, 0)
    assert Candidate(3, update, b"", None).applied_to(BASE, SMALL) is BASE
