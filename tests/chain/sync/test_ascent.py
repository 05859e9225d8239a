"""The way up leads to the newest final block as long as one peer is honest, whatever the others do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from chain.common.block_data import BlockData, Fields, WarpStep
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.network.messages import WarpRequest
from chain.network.warps import prove
from chain.storage.ascent import AscentRecord
from chain.sync.ascent import Ascent, Standing
from chain.sync.warp import verify_steps
from runtime.primitives.types import Hash
from tests.chain.sync.histories import GENESIS, History, authorities, child, votes
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Killed, Life
from tests.sim.loop import VirtualLoop

Mode = Literal["fast", "warp"]
MODES: tuple[Mode, ...] = ("warp", "fast")
SETS = tuple((index, index + 1, index + 2, index + 3) for index in range(40))
TRUE = History(SETS, length=20)
YOUNG = TRUE.until(230)  # the same chain, a while ago
FORGED = History((SETS[0], *((50, 51, 52),) * 60), length=20, salt=1)  # by the first set, long unbonded
ORIGIN = Standing(GENESIS.hash(), TRUE.genesis, GENESIS, None)
TOP = verify_steps(TRUE.genesis, TRUE.steps).point
FINAL = TRUE.finalized_number


@dataclass
class Honest:
    """A peer that has a history and gives of it what it is asked for."""

    history: History
    claims: int | None = None  # how many blocks it says are final, if that is not so
    size: int = 1 << 20  # bytes of a proof in one answer

    @property
    def final(self) -> int:
        """How many blocks it says are final."""
        return self.history.finalized_number if self.claims is None else self.claims

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Answer a request for proofs."""
        answer = prove(self.history, WarpRequest(1, begin), self.size)
        return answer.steps, answer.is_finished

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        """Answer a request for headers."""
        found = self.history.headers[start : start + count] if start >= self.history.first else []
        return [BlockData(each, None, self.history.proofs.get(each.number)) for each in found]


class Silent(Honest):
    """Takes its time, and never answers."""

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        await asyncio.sleep(20)
        return None

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        await asyncio.sleep(8)
        return None


class Dripping(Honest):
    """Gives one step at a time, and takes as long as it may."""

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        await asyncio.sleep(9)
        steps = prove(self.history, WarpRequest(1, begin), self.size).steps
        return steps[:1], False

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        await asyncio.sleep(7)
        return await super().blocks(start, 1)


class Garbling(Honest):
    """Alters the votes for one block of every answer."""

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        steps, is_finished = await super().proof(begin) or ([], True)
        return [replace(step, justification=_altered(step.justification)) for step in steps], is_finished

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        blocks = await super().blocks(start, count) or []
        return [
            replace(each, justification=None if each.justification is None else _altered(each.justification))
            for each in blocks
        ]


class Empty(Honest):
    """Has nothing, and says there is more."""

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        return [], False

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        return []


class Unproven(Honest):
    """Has headers for ever, and no votes for any."""

    async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        return [], True

    async def blocks(self, start: int, count: int) -> list[BlockData] | None:
        return [replace(each, justification=None) for each in await super().blocks(start, count) or []]


def _altered(proof: bytes) -> bytes:
    return proof[:-1] + bytes([proof[-1] ^ 1])


@dataclass
class Company:
    """All peers of a node. Satisfies chain.sync.ascent.Peers."""

    peers: dict[str, Honest]
    blamed: list[tuple[str, Fault]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def finals(self) -> dict[str, int]:
        """Return what everybody says is final."""
        return {name: peer.final for name, peer in self.peers.items()}

    claims = finals

    def has_from(self, peer: str, number: int) -> bool:
        """Say whether a peer has every block from a height on."""
        return self.peers[peer].history.first <= number

    def thank(self, peer: str) -> None:
        """Do nothing."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Note a fault."""
        self.blamed.append((peer, reason))

    async def proof(self, peer: str, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Ask a peer."""
        self.asked.append(peer)
        return await self.peers[peer].proof(begin)

    async def blocks(
        self, peer: str, start: Hash | int, count: int, fields: Fields
    ) -> list[BlockData] | None:
        """Ask a peer."""
        self.asked.append(peer)
        assert isinstance(start, int)
        return await self.peers[peer].blocks(start, count)


class LoopClock:
    """The time of the loop."""

    def wall_ms(self) -> int:
        """Return milliseconds."""
        return round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Return seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def climb(company: Company, mode: Mode, tables: Tables | None = None, life: Life | None = None) -> Ascent:
    """Climb to the end and return where that is."""
    found: list[Ascent] = []

    async def script() -> None:
        record = AscentRecord(MemoryDatabase(tables or Tables(), life or Life()))
        found.append(Ascent(record, company, LoopClock(), ORIGIN, mode))
        async with asyncio.timeout(600):
            await found[0].climb()

    VirtualLoop().run(script())
    return found[0]


@pytest.mark.parametrize("mode", MODES)
def test_one_honest_peer_is_enough(mode: Mode) -> None:
    company = Company({"a": Honest(TRUE)})
    ascent = climb(company, mode)
    assert (ascent.point, ascent.sets) == (TOP, len(TRUE.ends))
    assert ascent.target == TRUE.steps[-1]
    assert company.blamed == []


@pytest.mark.parametrize("mode", MODES)
def test_several_honest_peers_share_the_work(mode: Mode) -> None:
    company = Company({name: Honest(TRUE, size=12_000) for name in "abc"})
    assert climb(company, mode).point == TOP
    assert set(company.asked) == {"a", "b", "c"}
    assert company.blamed == []


LIARS: dict[str, tuple[Callable[[], Honest], dict[Mode, set[Fault]]]] = {
    "says it has more than it proves": (
        lambda: Honest(YOUNG, claims=FINAL),
        {"warp": {Fault.FALSE_CLAIM, Fault.USELESS}, "fast": {Fault.FALSE_CLAIM}},
    ),
    "silent": (lambda: Silent(TRUE), {"warp": set(), "fast": set()}),
    "drips": (lambda: Dripping(TRUE), {"warp": set(), "fast": set()}),
    "garbles": (
        lambda: Garbling(TRUE), {"warp": {Fault.BAD_JUSTIFICATION}, "fast": {Fault.BAD_JUSTIFICATION}},
    ),
    "empty": (
        lambda: Empty(TRUE, claims=10**9), {"warp": {Fault.USELESS}, "fast": {Fault.FALSE_CLAIM}},
    ),
    "unproven": (
        lambda: Unproven(TRUE, claims=10**9),
        {"warp": {Fault.FALSE_CLAIM}, "fast": {Fault.FALSE_CLAIM}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", LIARS)
def test_liars_delay_and_pay_and_do_not_mislead(kind: str, mode: Mode) -> None:
    """Four of them come first, say that they have most, and are asked first."""
    make, faults = LIARS[kind]
    liars = {f"liar{number}": make() for number in range(4)}
    for liar in liars.values():
        liar.claims = max(liar.final, FINAL + 1)
    company = Company({**liars, "stale": Honest(YOUNG), "a": Honest(TRUE)})
    ascent = climb(company, mode)
    assert (ascent.point, ascent.sets) == (TOP, len(TRUE.ends))
    blamed = {fault for name, fault in company.blamed if name in liars}
    assert faults[mode] <= blamed
    assert {name for name, _ in company.blamed} <= set(liars)


FORCING = History(SETS[:2])
FORCING.headers.append(child(FORCING.headers[-1], forced=authorities((9,))))
FORCING.prove(7, 1)
FORCING.ends.append(7)


@pytest.mark.parametrize("mode", MODES)
def test_where_voters_were_forced_the_way_ends_with_a_word_and_nobody_pays(mode: Mode) -> None:
    company = Company({"a": Honest(FORCING)})
    with pytest.raises(SyncRefused, match=r"#7 forces a change of voters.*give --checkpoint"):
        climb(company, mode)
    assert company.blamed == []


def test_who_says_that_voters_were_forced_has_to_prove_it() -> None:
    class Forcing(Honest):
        async def proof(self, begin: Hash) -> tuple[list[WarpStep], bool] | None:
            header = child(GENESIS, forced=authorities((9,)))
            return [WarpStep(header, votes(header, 0, (50, 51, 52)))], True

    company = Company({"liar": Forcing(TRUE, claims=FINAL + 1), "a": Honest(TRUE)})
    assert climb(company, "warp").point == TOP
    assert ("liar", Fault.BAD_JUSTIFICATION) in company.blamed
    assert {name for name, _ in company.blamed} == {"liar"}


def test_headers_that_nothing_proves_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.sync.ascent.MAX_UNPROVEN_BYTES", 300 * len(TRUE.headers[1].encode()))
    endless = History(SETS[:1], length=600, salt=1)
    company = Company({"liar": Unproven(endless, claims=10**9), "a": Honest(TRUE)})
    assert climb(company, "fast").point == TOP
    assert company.asked[:4] == ["liar", "liar", "liar", "a"]
    assert company.blamed[0] == ("liar", Fault.USELESS)


@pytest.mark.parametrize("mode", MODES)
def test_who_is_behind_is_no_liar(mode: Mode) -> None:
    company = Company({"a": Honest(TRUE), "b": Honest(YOUNG)})
    assert climb(company, mode).point == TOP
    assert company.blamed == []


def test_a_point_that_others_have_a_gap_at_is_no_dead_end() -> None:
    """Who led to a block within a set is gone, and the others began above: they have no header of it."""
    tables, inside = Tables(), 230
    assert inside not in TRUE.ends
    assert climb(Company({"a": Honest(YOUNG)}), "warp", tables).point.number == inside
    company = Company({name: Honest(TRUE.since(FINAL - 5)) for name in "bc"})
    ascent = climb(company, "warp", tables)
    assert (ascent.point, ascent.sets) == (TOP, len(TRUE.ends))
    assert company.blamed == []


def test_who_is_behind_a_point_within_a_set_is_no_liar() -> None:
    tables = Tables()
    ahead = climb(Company({"a": Honest(YOUNG)}), "warp", tables).point
    company = Company({"b": Honest(TRUE.until(225))})
    assert climb(company, "warp", tables).point == ahead
    assert company.blamed == []


def test_who_has_a_gap_is_not_blamed_for_lacking_its_headers() -> None:
    company = Company({"gapped": Honest(TRUE.since(FINAL - 5)), "a": Honest(TRUE)})
    assert climb(company, "fast").point == TOP
    assert "gapped" in company.asked
    assert company.blamed == []


@pytest.mark.parametrize("mode", MODES)
def test_without_honest_peers_it_goes_on_asking(mode: Mode) -> None:
    company = Company({"x": Silent(TRUE), "y": Garbling(TRUE)})
    with pytest.raises(TimeoutError):
        climb(company, mode)
    assert len(company.asked) > 10


@pytest.mark.parametrize("mode", MODES)
def test_keys_of_the_first_set_prove_another_history_to_who_trusts_them(mode: Mode) -> None:
    """Why a checkpoint is needed: whoever leads highest wins, and a forger may lead as high as it likes."""
    company = Company({"forger": Honest(FORGED), "a": Honest(TRUE)})
    assert climb(company, mode).point.block == FORGED.headers[-1].hash()


@pytest.mark.parametrize("mode", MODES)
def test_a_trusted_point_above_the_forgery_rules_it_out(mode: Mode) -> None:
    step = TRUE.steps[3]
    trusted = verify_steps(TRUE.genesis, TRUE.steps[:4]).point
    origin = Standing(trusted.block, trusted, step.header, None)
    company = Company({**{f"forger{n}": Honest(FORGED) for n in range(4)}, "a": Honest(TRUE)})

    async def script() -> None:
        record = AscentRecord(MemoryDatabase(Tables(), Life()))
        ascent = Ascent(record, company, LoopClock(), origin, mode)
        assert record.floor == trusted.number
        async with asyncio.timeout(600):
            await ascent.climb()
        assert ascent.point == TOP

    VirtualLoop().run(script())
    assert {name for name, _ in company.blamed} == {f"forger{n}" for n in range(4)}


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_costs_nothing_that_was_proven(mode: Mode) -> None:
    tables, heights = Tables(), list[int]()
    for attempt in range(100):
        company = Company({"a": Honest(TRUE, size=12_000)})
        try:
            ascent = climb(company, mode, tables, Life(fatal=2, torn=bool(attempt % 2)))
        except Killed:
            found = Ascent(AscentRecord(MemoryDatabase(tables, Life())), company, LoopClock(), ORIGIN, mode)
            heights.append(found.point.number)
            continue
        break
    assert len(set(heights)) > 1
    assert heights == sorted(heights)
    assert (ascent.point, ascent.sets) == (TOP, len(TRUE.ends))
    record = AscentRecord(MemoryDatabase(tables, Life()))
    assert record.steps() == TRUE.steps[:-1]
    if mode == "fast":
        kept = MemoryDatabase(tables, Life())
        assert [kept.get("canon", number.to_bytes(4, "big")) for number in range(1, FINAL + 1)] == [
            header.hash() for header in TRUE.headers[1:]
        ]
        record.discard()
        assert kept.get("headers", TRUE.headers[5].hash()) is None
        assert kept.get("canon", (5).to_bytes(4, "big")) is None
    record.clear()
    assert (record.standing(), record.steps()) == (None, [])
