"""A judge holds what entered the model, whoever has left; real servers, small real models."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chain.client import Accepted, Axon, Lineage
from miners.blobs.client import BlobClient
from miners.blobs.server import serve
from miners.blobs.store import Quota
from miners.replica import Replica
from miners.shelf import RECENT_ROUNDS, Shelf
from miners.weights import MasterWeights
from tests.e2e.process import eventually
from tests.miners.test_replica import GONE, JUDGE, MINER, NUMBERS, SMALL, UNHURRIED, Ledger, history
from validators.mirror import STATE_FILE, Mirror

FIRST_ROUNDS = (1, 2, 4)  # round 3 was void


@dataclass
class Court:
    """A subnet whose miners have left, and judges with their own directories and servers."""

    home: Path
    ledger: Ledger
    opened: AsyncExitStack
    latest: MasterWeights | None = None

    def shelf(self, name: str, quota: Quota | None = None) -> Shelf:
        (self.home / name).mkdir(exist_ok=True)
        return Shelf(self.home / name, quota)

    async def mirror(self, name: str, shelf: Shelf, *, is_archive: bool = False) -> Mirror:
        blobs = await self.opened.enter_async_context(BlobClient(**UNHURRIED))
        ledger, home = self.ledger, self.home / name
        replica = Replica(ledger, blobs, shelf, home, 1, SMALL.model, mirrors=True)  # type: ignore[arg-type]
        return Mirror(ledger, replica, shelf, home, 1, is_archive)  # type: ignore[arg-type]

    async def serves(self, shelf: Shelf) -> None:
        url = await self.opened.enter_async_context(serve(shelf, "127.0.0.1", 0))
        self.ledger.judges.append(Axon(JUDGE, url))

    def accepted(self) -> set[bytes]:
        return {one.digest for step in self.ledger.steps.values() for one in step.accepted}


@pytest.fixture
async def court(tmp_path: Path) -> AsyncIterator[Court]:
    async with AsyncExitStack() as opened:
        made = Court(tmp_path, Ledger(urls={MINER: GONE}), opened)
        old = made.shelf("old")
        made.latest = history(made.ledger, old.kept, *FIRST_ROUNDS)
        await made.serves(old)
        yield made


async def test_a_new_judge_and_a_new_miner_catch_up_when_all_miners_have_left(court: Court) -> None:
    assert court.latest is not None
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(5)
    assert (shelf.kept.digests(), mirror.done, mirror.missing) == (court.accepted(), 4, set())
    court.ledger.judges.clear()
    await court.serves(shelf)  # now the old judge has left, too
    blobs = await court.opened.enter_async_context(BlobClient(**UNHURRIED))
    home = court.home / "miner"
    home.mkdir()
    newcomer = Replica(court.ledger, blobs, Shelf(home), home, 1, SMALL.model)  # type: ignore[arg-type]
    assert (await newcomer.at(5, court.latest.root())).root() == court.latest.root()


async def test_the_judge_is_not_held_up(court: Court) -> None:
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    following = asyncio.create_task(mirror.follow())
    mirror.begin(2)
    mirror.begin(5)  # only the newest counts
    await asyncio.to_thread(eventually, lambda: mirror.done == 4, "a look at all rounds")
    following.cancel()
    assert shelf.kept.digests() == court.accepted()


async def test_a_judge_fetches_what_it_missed_while_it_was_away(court: Court) -> None:
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    court.ledger.judges, away = [], list(court.ledger.judges)
    await mirror.hold_before(5)
    assert (shelf.kept.digests(), mirror.done, mirror.missing) == (set(), 4, {1, 2, 4})
    again = await court.mirror("new", shelf)  # a restart forgets nothing
    assert (again.done, again.missing) == (4, {1, 2, 4})
    court.ledger.judges = away
    await again.hold_before(5)
    assert (shelf.kept.digests(), again.missing) == (court.accepted(), set())


async def test_what_did_not_enter_is_pruned_and_what_did_is_not(court: Court) -> None:
    shelf = court.shelf("new")
    number = 5 + RECENT_ROUNDS
    accepted = court.ledger.steps[4].accepted[0].digest
    blob = court.shelf("old").get(accepted)
    assert blob is not None
    shelf.of(4).put(blob)  # handed over by its miner
    rejected, recent = shelf.of(4).put(b"rejected"), shelf.of(5).put(b"recent")
    mirror = await court.mirror("new", shelf)
    court.ledger.judges = []  # nobody can be asked: what is here is used
    await mirror.hold_before(number)
    assert shelf.kept.digests() == {accepted}
    assert (shelf.find(rejected), shelf.get(recent)) == (None, b"recent")
    await mirror.hold_before(number + 1)
    assert shelf.find(recent) is None


async def test_an_archive_prunes_nothing(court: Court) -> None:
    shelf = court.shelf("new")
    rejected = shelf.of(1).put(b"rejected")
    mirror = await court.mirror("new", shelf, is_archive=True)
    await mirror.hold_before(100)
    assert shelf.get(rejected) == b"rejected"


async def test_a_full_disk_is_said_and_mended(court: Court, caplog: pytest.LogCaptureFixture) -> None:
    quota = Quota(0)
    shelf = court.shelf("new", quota)
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(2)
    assert mirror.missing == {1}
    assert all("has no room for" in line and line.endswith("--blob-quota") for line in caplog.messages)
    quota.most = 1 << 30
    await mirror.hold_before(2)
    assert mirror.missing == set()


async def test_a_damaged_payload_is_fetched_again(court: Court) -> None:
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    digest = court.ledger.steps[2].accepted[0].digest
    shelf.kept.put_as(digest, b"rotten")
    await mirror.hold_before(5)
    assert (shelf.get(digest), mirror.missing) == (court.shelf("old").get(digest), set())


async def test_a_damaged_payload_that_nobody_has_is_missing_and_not_served(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    digest = court.ledger.steps[2].accepted[0].digest
    shelf.kept.put_as(digest, b"rotten")
    court.ledger.judges = []
    await mirror.hold_before(3)
    assert (shelf.find(digest), mirror.missing) == (None, {1, 2})
    assert f"payload 0x{digest.hex()[:8]}… was damaged on this disk" in caplog.messages


async def test_a_payload_is_read_once_also_in_a_round_that_lacks_another(court: Court) -> None:
    here = court.ledger.steps[1].accepted
    lost = Accepted(7, MINER, b"\x11" * 32, 1)
    court.ledger.steps[1] = replace(court.ledger.steps[1], accepted=[*here, lost])
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(2)
    shelf.kept.put_as(here[0].digest, b"rotten")  # later, while nobody looks
    await mirror.hold_before(2)
    assert mirror.missing == {1}
    assert shelf.kept.get(here[0].digest) is None
    again = await court.mirror("new", shelf)
    await again.hold_before(2)
    assert shelf.kept.get(here[0].digest) is not None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"round": "x", "missing": []}', b'{"round": 1, "missing": []}']
)
async def test_a_damaged_memory_begins_again(court: Court, damage: bytes) -> None:
    shelf = court.shelf("new")
    (court.home / "new" / STATE_FILE).write_bytes(damage)
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(5)
    assert shelf.kept.digests() == court.accepted()
    state = json.loads((court.home / "new" / STATE_FILE).read_text())
    assert state == {"round": 4, "missing": [], "dropped": 0}


async def test_a_lost_payload_does_not_stop_the_later_ones(court: Court) -> None:
    lost = Lineage(b"\x00" * 32, b"\x01" * 32, [Accepted(7, MINER, b"\x11" * 32, 1)], NUMBERS)
    court.ledger.steps[3] = lost
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(5)
    assert (mirror.done, mirror.missing) == (4, {3})
    assert shelf.kept.digests() == court.accepted() - {b"\x11" * 32}


async def test_two_checkpoints_and_what_entered_since_are_kept(court: Court) -> None:
    steps = court.ledger.steps
    shelf = court.shelf("new")
    court.ledger.roots = {1: steps[1].new_root, 2: steps[2].new_root}
    mirror = await court.mirror("new", shelf)
    replica = mirror._replica
    await mirror.hold_before(3)
    assert (shelf.kept.digests(), mirror.dropped) == (
        {steps[2].accepted[0].digest},
        0,
    )  # 1 is too old to fetch
    assert court.latest is not None
    court.ledger.roots |= {4: steps[4].new_root}
    await replica.at(5, court.latest.root())
    assert shelf.models.rounds == [1, 2, 4]
    await mirror.hold_before(5)
    assert (shelf.kept.digests(), mirror.dropped) == ({steps[4].accepted[0].digest}, 2)
    assert shelf.models.rounds == [2, 4]


async def test_nothing_is_deleted_for_a_checkpoint_that_is_not_here(court: Court) -> None:
    shelf = court.shelf("new")
    mirror = await court.mirror("new", shelf)
    await mirror.hold_before(5)
    court.ledger.roots = {number: step.new_root for number, step in court.ledger.steps.items()}
    await mirror.hold_before(6)
    assert (shelf.kept.digests(), mirror.dropped) == (court.accepted(), 0)


async def test_an_archive_keeps_all_checkpoints_and_what_led_to_them(court: Court) -> None:
    shelf = court.shelf("new")
    court.ledger.roots = {number: step.new_root for number, step in court.ledger.steps.items()}
    mirror = await court.mirror("new", shelf, is_archive=True)
    assert court.latest is not None
    await mirror._replica.at(5, court.latest.root())
    await mirror.hold_before(5)
    assert (shelf.kept.digests(), shelf.models.rounds) == (court.accepted(), [1, 2, 4])
