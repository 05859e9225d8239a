"""Who may call, as far as a worker has heard from the chain, and how often it asks."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.client import Head
from chain.connection import Unanswered
from miners import roster as roster_module
from miners.blobs.receipts import Owed
from miners.blobs.server import Expected
from miners.blobs.signing import BadRequest
from miners.roster import AGAIN_SECONDS, EAGER_SECONDS, STALE_SECONDS, Roster
from miners.shelf import Shelf

JUDGE, MINER, NEW = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
DIGEST = b"\xdd" * 32


@dataclass
class Ledger:
    """What a roster reads of a chain."""

    neurons: dict[bytes, bool] = field(default_factory=lambda: {JUDGE: True, MINER: False})
    rounds: dict[tuple[int, bytes], tuple[bytes, int]] = field(default_factory=dict)
    current: int = 5
    asked: list[int] = field(default_factory=list)
    looks: int = 0
    genesis_hash: bytes = bytes(32)

    async def callers(self, netuid: int) -> dict[bytes, bool]:
        self.looks += 1
        return dict(self.neurons)

    async def finalized_head(self) -> Head:
        return Head(9, "0x")

    async def query(self, item: str, netuid: int, at: Head) -> int:
        assert item == "Training.CurrentRound"
        return self.current

    async def revealed(self, netuid: int, number: int, miner: bytes, at: Head) -> tuple[bytes, int] | None:
        self.asked.append(number)
        return self.rounds.get((number, miner))


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_judges_come_before_miners_and_strangers_are_none() -> None:
    ledger = Ledger()
    roster = Roster(ledger, 1)  # type: ignore[arg-type]
    assert [await roster.stake(each) for each in (JUDGE, MINER, NEW)] == [1, 0, None]
    assert ledger.looks == 1


async def test_the_view_is_renewed_when_it_is_old_or_lacks_somebody() -> None:
    ledger, clock = Ledger(), Clock()
    roster = Roster(ledger, 1, clock=clock)  # type: ignore[arg-type]
    await roster.stake(MINER)
    ledger.neurons = {NEW: False}
    assert await roster.stake(NEW) is None  # not asked again so soon: strangers cannot make us
    clock.now += EAGER_SECONDS
    assert await roster.stake(NEW) == 0
    ledger.neurons = {}
    clock.now += STALE_SECONDS - 1
    assert await roster.stake(NEW) == 0
    clock.now += 1
    assert await roster.stake(NEW) is None
    assert ledger.looks == 3


async def test_a_node_that_is_away_leaves_the_view_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, clock, back = Ledger(), Clock(), asyncio.Event()
    roster = Roster(ledger, 1, clock=clock)  # type: ignore[arg-type]
    assert await roster.stake(JUDGE) == 1
    before = ledger.callers

    async def silent(netuid: int) -> dict[bytes, bool]:
        await back.wait()
        return await before(netuid)

    monkeypatch.setattr(ledger, "callers", silent)
    ledger.neurons = {NEW: True}
    clock.now += STALE_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(roster_module, "PATIENCE_SECONDS", 0.05)
        assert [await roster.stake(each) for each in (JUDGE, NEW)] == [1, None]
    back.set()
    assert [await roster.stake(each) for each in (NEW, JUDGE)] == [1, None]


async def test_a_node_that_answers_nonsense_leaves_the_view_as_it_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, clock = Ledger(), Clock()
    roster = Roster(ledger, 1, clock=clock)  # type: ignore[arg-type]
    assert await roster.stake(JUDGE) == 1

    async def odd(netuid: int) -> dict[bytes, bool]:
        raise Unanswered("ws://node", "nonsense")

    monkeypatch.setattr(ledger, "callers", odd)
    clock.now += STALE_SECONDS
    assert await roster.stake(JUDGE) == 1
    assert [line.partition(":")[0] for line in caplog.messages] == ["who is registered is not renewed"]


async def test_a_failure_of_any_kind_is_not_tried_again_by_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger, clock, looks = Ledger(), Clock(), list[int]()
    roster = Roster(ledger, 1, clock=clock)  # type: ignore[arg-type]

    async def broken(netuid: int) -> dict[bytes, bool]:
        looks.append(netuid)
        raise ValueError("a row that is none")

    monkeypatch.setattr(ledger, "callers", broken)
    assert [await roster.stake(each) for each in (JUDGE, MINER, NEW)] == [None] * 3
    assert looks == [1]
    assert roster._renewal is not None
    with pytest.raises(ValueError, match="a row that is none"):  # else it is logged amid another test
        await roster._renewal


async def test_only_what_the_miner_revealed_lately_is_taken(tmp_path: Path) -> None:
    ledger, clock = Ledger(), Clock()
    ledger.rounds = {(5, MINER): (DIGEST, 1_005), (3, MINER): (b"\xee" * 32, 3)}
    ledger.rounds[2, MINER] = (b"\xff" * 32, 2)
    roster = Roster(ledger, 1, shelf := Shelf(tmp_path), clock)  # type: ignore[arg-type]
    assert await roster.expects(MINER, DIGEST) == Expected(1_005, shelf.of(5), Owed(bytes(32), 1, 5, MINER))
    assert ledger.asked == [5]
    clock.now += AGAIN_SECONDS
    owed = Owed(bytes(32), 1, 3, MINER)
    assert await roster.expects(MINER, b"\xee" * 32) == Expected(3, shelf.of(3), owed)
    for who, digest in ((JUDGE, DIGEST), (MINER, bytes(32)), (MINER, b"\xff" * 32)):
        clock.now += AGAIN_SECONDS
        with pytest.raises(BadRequest) as refused:
            await roster.expects(who, digest)
        assert refused.value.status == 404
        assert str(refused.value) == (
            f"hotkey 0x{who.hex()[:8]}… has not revealed 0x{digest.hex()[:8]}… in the last 3 rounds, "
            "as far as this judge has heard: reveal it, then try again"
        )


async def test_a_miner_that_asks_too_often_costs_no_question_to_the_node(tmp_path: Path) -> None:
    ledger, clock = Ledger(), Clock()
    roster = Roster(ledger, 1, Shelf(tmp_path), clock)  # type: ignore[arg-type]
    statuses = []
    for _ in range(3):
        with pytest.raises(BadRequest) as refused:
            await roster.expects(MINER, DIGEST)
        statuses.append(refused.value.status)
    assert (statuses, ledger.asked) == ([404, 429, 429], [5, 4, 3])
    ledger.rounds[5, MINER] = (DIGEST, 1_005)
    clock.now += AGAIN_SECONDS
    assert (await roster.expects(MINER, DIGEST)).length == 1_005


async def test_a_judge_that_does_not_see_the_chain_says_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster_module, "PATIENCE_SECONDS", 0.05)
    ledger = Ledger()
    monkeypatch.setattr(ledger, "finalized_head", asyncio.Event().wait)
    with pytest.raises(BadRequest) as refused:
        await Roster(ledger, 1, Shelf(tmp_path)).expects(MINER, DIGEST)  # type: ignore[arg-type]
    assert refused.value.status == 503
    assert str(refused.value) == "this judge does not see the chain now: try again"


async def test_miners_and_providers_take_nothing() -> None:
    with pytest.raises(BadRequest) as refused:
        await Roster(Ledger(), 1).expects(MINER, DIGEST)  # type: ignore[arg-type]
    assert refused.value.status == 405
