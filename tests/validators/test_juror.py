"""Jurors measure what the doubted judge measured: with the same payloads the same integers come out."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chain.client import Head, Refused, Update
from miners.blobs.cache import Cache
from miners.blobs.client import BlobClient
from miners.history import History
from miners.replica import Replica
from miners.shards import ShardClient
from miners.shelf import Shelf
from runtime.primitives import ss58
from runtime.primitives.commitments import PPM, Score
from tests.validators.test_judging import MINERS, NETUID, SHAPE, Court, Subnet, almost, honest
from tests.validators.test_recount import ALICE, BOB, hotkey
from validators.inspection import Candidate
from validators.juror import Juror, Undecided, aligned
from validators.recent import Recent

ALICE_UID, BOB_UID, ROUND = 0, 1, 1


@dataclass
class Doubted(Subnet):
    """A chain on which Alice's scores are doubted, and Bob is drawn."""

    waiting: dict[int, dict[str, Any]] = field(default_factory=dict)  # by uid of the miner
    votes: list[tuple[int, int, int, int]] = field(default_factory=list)
    refusal: Refused | None = None
    address: str = ss58.encode(BOB)

    def address_of(self, key: bytes) -> str:
        return ss58.encode(key)

    async def query(self, item: str, *keys: Any, at: Head | None = None) -> Any:
        assert item == "Verification.OpenCount"
        return len(self.waiting)

    async def seat(self, netuid: int, at: Head) -> dict[str, int]:
        return {"uid": BOB_UID, "registered_at": 7}

    async def query_map(self, item: str, netuid: int, at: Head) -> list[Any]:
        if item != "Verification.Challenges":
            return []
        return [((ROUND, ALICE_UID, ss58.encode(hotkey(uid))), found) for uid, found in self.waiting.items()]

    async def submit(self, call: str, **told: Any) -> None:
        assert (call, told["round"], told["judge"]) == ("Verification.vote_challenge", ROUND, ALICE_UID)
        if self.refusal:
            raise self.refusal
        uid = next(uid for uid in MINERS if ss58.encode(hotkey(uid)) == told["miner"])
        self.votes.append((uid, told["loss_before"], told["loss_after"], told["alignment"]))
        self.waiting[uid]["votes"].append({"juror": BOB_UID})

    def doubt(self, uid: int, juror: int = BOB_UID) -> None:
        jurors = [{"uid": 9, "registered_at": 1}, {"uid": juror, "registered_at": 7}]
        self.waiting[uid] = {"jurors": jurors, "votes": [], "until_round": ROUND + 3}


@dataclass
class Jury:
    """Bob, on the disk on which Alice has scored."""

    home: Path
    chain: Doubted
    told: dict[int, Score]

    async def vote(self) -> None:
        """Look once, as a juror that has just started."""
        chain: Any = self.chain
        shelf, home = Shelf(self.home), self.home
        async with BlobClient() as blobs:
            replica = Replica(chain, blobs, shelf, home, NETUID, SHAPE)
            history = History(chain, blobs, shelf, home, NETUID, SHAPE, 5)
            shards = ShardClient(blobs, [], Cache(home / "shards"))
            juror = Juror(chain, NETUID, replica, history, shards, Recent(chain, shelf, NETUID), "cpu")
            for doubt in await juror.doubts():
                await juror.attend(doubt)

    def claimed(self, *uids: int) -> list[tuple[int, int, int, int]]:
        entries = (self.told[uid] for uid in uids)
        return [(each.uid, each.loss_before, each.loss_after, each.alignment) for each in entries]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Doubted, dict[int, Score]]:
    """Four honest miners and a thief, scored by Alice."""
    home, chain = tmp_path_factory.mktemp("judge"), Doubted(hotkey=bytes(ALICE))
    sent = {**{uid: honest(uid) for uid in MINERS[:4]}, 6: almost(honest(2), 0.95)}
    told = asyncio.run(Court(home, chain).row(ROUND, sent))
    chain.hotkey = bytes(BOB)
    return home, chain, told


@pytest.fixture
def jury(scored: tuple[Path, Doubted, dict[int, Score]]) -> Jury:
    home, chain, told = scored
    chain.votes, chain.waiting, chain.refusal = [], {}, None
    return Jury(home, chain, told)


async def test_an_honest_judge_is_confirmed_to_the_integer(jury: Jury) -> None:
    for uid in (2, 4, 6):  # 6 repeats what 2 has sent, and was not measured
        jury.chain.doubt(uid)
    await jury.vote()
    assert sorted(jury.chain.votes) == jury.claimed(2, 4, 6)
    assert all(vote[3] > 0 for vote in jury.chain.votes[:2])
    await jury.vote()
    assert len(jury.chain.votes) == 3  # once each


async def test_only_who_is_drawn_votes(jury: Jury) -> None:
    jury.chain.doubt(2, juror=BOB_UID + 1)
    await jury.vote()
    assert jury.chain.votes == []


async def test_a_refusal_ends_nothing(jury: Jury) -> None:
    jury.chain.doubt(3)
    jury.chain.refusal = Refused("vote", "NotJuror", "the jury has decided")
    await jury.vote()
    jury.chain.refusal = None
    await jury.vote()
    assert jury.chain.votes == jury.claimed(3)


async def test_who_lacks_a_payload_does_not_vote(jury: Jury, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    jury.chain.doubt(2)
    update = next(each for each in jury.chain.revealed[ROUND] if each.uid == 5)
    place = Shelf(jury.home).find(update.digest)
    assert place is not None
    payload = place.read_bytes()
    place.unlink()
    await jury.vote()
    place.write_bytes(payload)
    assert jury.chain.votes == []
    assert "jury: not measured: the payloads of uids [5] are needed, and not to be had" in caplog.text


def candidate(uid: int, *, is_payload: bool = True) -> Candidate:
    update = Update(uid, bytes(hotkey(uid)), bytes(32), 1, 1, uid)
    return Candidate(uid, update, b"", honest(uid) if is_payload else None)


def vouched(uid: int) -> Score:
    """Return what lets a payload pass the gate."""
    return Score(uid, 0, 5_000_000, 4_900_000, PPM, 0)


def test_no_judge_hides_behind_what_is_no_payload() -> None:
    """Its row says that uid 6, whose bytes nobody can read, passes the gate."""
    served = [*(candidate(uid) for uid in MINERS[:4]), candidate(6, is_payload=False)]
    true = [vouched(uid) for uid in MINERS[:4]]
    entry, about = vouched(2), (served, PPM, 20_000)
    honestly = aligned(entry, served[0], true, *about)
    assert aligned(entry, served[0], [*true, vouched(6)], *about) == honestly
    assert aligned(entry, served[0], [*true[:3], vouched(6)], *about) == entry  # too few for an alignment


def test_wrong_losses_are_told_without_the_payloads_that_an_alignment_needs() -> None:
    served, row = [candidate(uid) for uid in MINERS[:4]], [vouched(uid) for uid in MINERS]
    with pytest.raises(Undecided, match=r"uids \[6\] are needed"):
        aligned(vouched(2), served[0], row, served, PPM, 20_000)
    found = replace(vouched(2), loss_after=4_990_000, alignment=0)
    assert aligned(found, served[0], row, served, PPM, 20_000) == replace(found, alignment=PPM)
