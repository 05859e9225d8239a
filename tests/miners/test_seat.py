"""A worker that has lost its seat says why, and stops."""

from pathlib import Path
from typing import Any

import pytest

from chain.client import Head
from miners.blobs.server import Traffic
from miners.diary import Diary
from miners.joining import CannotJoin
from miners.metrics import WorkerMetrics
from miners.miner import mine_forever
from miners.reporter import MINER, Reporter
from miners.seat import UNKNOWN, ensure_seated
from miners.shelf import Shelf

ME, OTHER, NETUID = "5Miner4", "5Other", 1
ABOUT = {"netuid": NETUID, "uid": 4}
LEFT = ("Neurons.NeuronDeregistered", {**ABOUT, "hotkey": ME, "coldkey": "5Cold", "bond": 0})
FOUND = {**ABOUT, "round": 7, "miner": ME}

Events = list[tuple[str, dict[str, Any]]]


class Ledger:
    """A chain on which a hotkey has this uid."""

    address = ME

    def __init__(self, uid: int | None) -> None:
        self.seat, self.blocks, self.asked = uid, dict[int, Events](), list[str]()

    async def uid(self, netuid: int) -> int | None:
        return self.seat

    async def query(self, item: str, *keys: int, at: Head) -> int:
        return 0

    async def round(self, netuid: int, at: Head) -> None:
        return None

    async def block_at(self, number: int) -> Head:
        return Head(number, f"0x{number}")

    async def events(self, at: Head) -> Events:
        return self.blocks.get(at.number, [])

    async def rounds(self, netuid: int, until: str) -> Any:
        class Current:
            number = 9

        self.asked.append(until)
        yield Current()


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(WorkerMetrics("Local", Traffic(), Shelf(tmp_path)))


async def read(diary: Diary, *events: tuple[str, dict[str, Any]]) -> str:
    """Have a worker's reporter read a block; return why there is no seat any more."""
    chain: Any = Ledger(4)
    reporter = Reporter(chain, NETUID, MINER, diary)
    await reporter.look(Head(1, "0x1"))
    chain.blocks[2] = list(events)
    await reporter.look(Head(2, "0x2"))
    return diary.gone


SLASHED = "it was slashed after failed audits of round 7, bond and unvested pay are burnt"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([LEFT], "a newcomer replaced it, or its coldkey gave it up"),
        ([LEFT, ("Verification.MinerSlashed", {**FOUND, "burnt": 5})], SLASHED),
        (
            [LEFT, ("Verification.MinerEvicted", FOUND)],
            "its seat was freed, since it served nothing that judges could audit, last in round 7; see that "
            "others reach its --public-url",
        ),
        (
            [LEFT, ("ModelUpdates.EvidenceAccepted", {**FOUND, "slashed": 5})],
            "it was slashed, since it signed for other bytes than it revealed in round 7",
        ),
        (
            [("Neurons.HotkeySwapped", {**ABOUT, "old": ME, "new": OTHER})],
            f"its coldkey moved it to {OTHER}, which is the key to work with",
        ),
        ([("Verification.MinerSlashed", {**FOUND, "miner": OTHER, "burnt": 5})], ""),
        ([LEFT, ("Neurons.NeuronRegistered", {**ABOUT, "hotkey": ME})], ""),
    ],
)
async def test_events_tell_why_a_seat_is_lost(diary: Diary, events: Events, why: str) -> None:
    assert await read(diary, *events) == why


async def test_who_has_a_seat_goes_on(diary: Diary) -> None:
    chain: Any = Ledger(4)
    assert await ensure_seated(chain, NETUID, diary) == 4


async def test_a_miner_without_a_seat_stops_before_it_trains(diary: Diary) -> None:
    diary.gone = SLASHED
    chain: Any = Ledger(None)

    class Bench:
        class config:
            netuid = NETUID

    bench: Any = Bench()
    bench.chain, bench.diary = chain, diary
    with pytest.raises(CannotJoin) as told:
        await mine_forever(bench)
    assert str(told.value) == (
        f"{ME} has no seat in subnet 1 any more: {SLASHED}. Nothing it does is paid; to go on, register "
        "again for price and bond, then start again: assay register --netuid 1 --key YOUR_COLDKEY "
        f"--hotkey {ME}"
    )
    assert diary.pages == {}


async def test_without_the_events_it_stops_all_the_same(diary: Diary) -> None:
    chain: Any = Ledger(None)
    with pytest.raises(CannotJoin, match=UNKNOWN):
        await ensure_seated(chain, NETUID, diary, pause=0)
