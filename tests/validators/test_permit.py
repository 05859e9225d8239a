"""A judge that has lost its permit or its seat says so, and signs nothing."""

from pathlib import Path
from typing import Any

import pytest

from chain.client import Round
from miners.blobs.server import Traffic
from miners.diary import Diary
from miners.joining import CannotJoin
from miners.metrics import WorkerMetrics
from miners.shelf import Shelf
from validators.validator import judge_forever, seal

NETUID, HOTKEY = 1, b"\x0a" * 32
NO_PERMIT = "this hotkey has no validator permit; bond more stake on its coldkey, and wait for an epoch"


class Ledger:
    """A chain on which a judge has a seat, or none, and no permit; `submitted` is what it signs."""

    address, hotkey = "5Judge", HOTKEY

    def __init__(self, uid: int | None) -> None:
        self.seat, self.submitted = uid, list[str]()

    async def uid(self, netuid: int) -> int | None:
        return self.seat

    async def query(self, item: str, netuid: int, uid: int) -> bool:
        assert item == "Incentive.ValidatorPermit"
        return False

    async def score_commitment(self, netuid: int, number: int) -> None:
        return None

    async def rounds(self, netuid: int, until: str) -> Any:
        yield self.current()

    async def phase_reached(self, netuid: int, number: int, phase: str, ready: Any = None) -> Round:
        return self.current()

    async def submit(self, call: str, **arguments: Any) -> None:
        self.submitted.append(call)

    def current(self) -> Round:
        zero = bytes(32)
        return Round(7, "ScoreCommit", zero, zero, zero, zero, 99, [], None, 4, {})


class Desk:
    """The part of a judge's bench that a round without a permit needs; its envelope holds a row."""

    class config:
        netuid = NETUID

    class envelope:
        @staticmethod
        def of(number: int, hotkey: bytes) -> object:
            return object()

    def __init__(self, home: Path, uid: int | None) -> None:
        self.chain = Ledger(uid)
        self.diary = Diary(WorkerMetrics("Local", Traffic(), Shelf(home)))


async def test_a_judge_without_a_permit_seals_no_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk: Any = Desk(tmp_path, 3)
    base: Any = None
    assert await seal(desk, 7, base) is None
    assert desk.chain.submitted == []
    assert caplog.messages == [f"round 00007 | lost: no scores: {NO_PERMIT}"]


async def test_a_judge_without_a_seat_stops(tmp_path: Path) -> None:
    desk: Any = Desk(tmp_path, None)
    desk.diary.gone = "a newcomer replaced it, or its coldkey gave it up"
    with pytest.raises(CannotJoin) as told:
        await judge_forever(desk)
    assert str(told.value).startswith(
        "5Judge has no seat in subnet 1 any more: a newcomer replaced it, or its "
    )
