"""A node that joins late stands where the others do, by whatever way it came, and goes on from there."""

import asyncio
import logging
from dataclasses import replace

import pytest

from chain.checkpoints import Checkpoint
from chain.common.block_data import BlockData
from chain.common.faults import Fault
from chain.network.messages import (
    WARP_REQUEST,
    WARP_RESPONSE,
    BlockRequest,
    Channel,
    WarpRequest,
    WarpResponse,
)
from chain.network.peers import FRUITLESS
from chain.network.warps import prove
from chain.node import Node
from chain.sync.bootstrap import SETTLED, SyncMode
from runtime.primitives.babe import pre_digest_of
from tests.chain.network.lab import PATIENCE, Lab, Scripted, grown, play, status_of
from tests.sim.env import Life
from tests.sim.genesis import session_pair
from tests.sim.machine import is_power_loss

MODES: tuple[SyncMode, ...] = ("full", "fast", "warp")
HEIGHT = 60
"""final blocks that are there already: three sets of voters, whose handovers are #17, #33 and #49"""


def standing(node: Node) -> tuple[int, int]:
    """Return the number of the set that votes, and how many handovers are proven here."""
    return node.importer.sets.current()[1], len(node.store.set_ends_above(0))


def begin(lab: Lab) -> Node:
    """Start a node with a chain and a validator's keys, and another one with the same chain and none."""
    for name in ("a", "b"):
        lab.tables[name] = grown(HEIGHT)[0].copy()
    lab.start("b")
    return lab.start("a", "v0")


@pytest.mark.parametrize("mode", MODES)
def test_a_late_node_reaches_the_same_block_and_goes_on(mode: SyncMode) -> None:
    async def script(lab: Lab) -> None:
        first = begin(lab)
        late = lab.start("c", sync=mode)
        assert late.is_behind() == (mode != "full")  # which knows of nobody yet
        await lab.until(lambda: late.store.finalized_number >= HEIGHT)
        height = first.store.finalized_number + 6
        await lab.until(lambda: late.store.finalized_number >= height)
        assert late.store.hash_at(height) == first.store.hash_at(height)
        assert standing(late) == standing(first)
        assert not late.is_behind()
        assert all(lab.cost("c", peer) == 0 for peer in ("a", "b"))

    play(script, ("a", "b", "c"), seconds=grown(HEIGHT)[1])


@pytest.mark.parametrize("mode", MODES[1:])
def test_who_listens_hears_of_the_block_at_which_the_chain_stands_now(mode: SyncMode) -> None:
    async def script(lab: Lab) -> None:
        begin(lab)
        late = lab.start("c", sync=mode)
        imports, finality = late.feed.imports(), late.feed.finality()
        async with asyncio.timeout(PATIENCE):
            imported, final = await anext(imports), await anext(finality)
        assert imported.header.number >= HEIGHT
        assert late.store.justification(imported.hash) is not None
        assert final.hash == imported.hash
        assert final.header == imported.header

    play(script, ("a", "b", "c"), seconds=grown(HEIGHT)[1])


def test_who_is_met_on_its_way_is_not_taken_to_have_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status was that of a chain at genesis, which lacks nothing; then it announced the newest block."""
    monkeypatch.setattr("chain.sync.gap.MAX_BLOCKS", 1)  # so that its gap is open for a while

    async def script(lab: Lab) -> None:
        first = begin(lab)
        late, full = lab.start("c", sync="warp"), lab.start("e")
        await lab.until(lambda: late.store.finalized_number >= HEIGHT)
        await lab.until(lambda: full.store.finalized_number >= HEIGHT)
        assert full.store.hash_at(HEIGHT) == first.store.hash_at(HEIGHT)
        assert full.network.faults == {}

    pairs = [("a", "b"), ("a", "c"), ("b", "c"), ("c", "e")]
    play(script, ("a", "b", "c", "e"), pairs, seconds=grown(HEIGHT)[1])


@pytest.mark.parametrize("mode", MODES[1:])
def test_who_came_late_shows_others_the_way(mode: SyncMode) -> None:
    """The first node is gone: its successor proves who votes from genesis on, and gives the state."""

    async def script(lab: Lab) -> None:
        first = begin(lab)
        second = lab.start("c", sync=mode)
        await lab.until(lambda: second.store.finalized_number >= HEIGHT + 4)
        final = second.store.finalized_number
        block = first.store.hash_at(final)
        await lab.stop("a")
        await lab.stop("b")
        third = lab.start("d", sync=mode)
        await lab.until(lambda: third.store.finalized_number >= final)
        assert third.store.hash_at(final) == block
        assert standing(third) == standing(second)
        assert lab.cost("d", "c") == 0

    pairs = [(one, other) for one in "abcd" for other in "abcd" if one < other and (one, other) != ("a", "d")]
    play(script, ("a", "b", "c", "d"), pairs, seconds=grown(HEIGHT)[1])


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_validator_that_comes_late_authors_and_votes_once_it_is_there(mode: SyncMode) -> None:
    """Four validators: when the late one is there, finality can do without another one."""

    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate("abc")]
        await lab.until(lambda: nodes[0].store.finalized_number >= 36, 300)
        late = lab.start("d", "v3", sync=mode)
        await lab.until(lambda: late.store.finalized_number >= 36)
        await lab.stop("a")
        target = nodes[1].store.finalized_number + 40
        await lab.until(lambda: nodes[1].store.finalized_number >= target, 300)
        assert late.store.finalized_number >= target - 2
        assert session_pair("v3").public in authors(nodes[1], 36, target)

    play(script, ("a", "b", "c", "d"), validators=4)


def authors(node: Node, first: int, last: int) -> set[bytes]:
    """Return who authored the blocks between two heights."""
    found = set()
    for number in range(first, last + 1):
        block, parent = node.store.hash_at(number), node.store.hash_at(number - 1)
        assert block is not None
        assert parent is not None
        header = node.store.header(block)
        assert header is not None
        digest = pre_digest_of(header)
        epoch = node.executor.epoch(node.store.state_at(parent), number - 1, digest.slot)
        found.add(epoch.authorities[digest.authority_index][0])
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_in_any_phase_costs_nothing(mode: SyncMode) -> None:
    """The late node loses its power at its third write again and again, before or after that is done."""

    async def script(lab: Lab) -> None:
        first = begin(lab)
        phases = set[str]()
        for attempt in range(60):
            lab.start("c", sync=mode, life=Life(fatal=2 + attempt // 4, torn=bool(attempt % 2)))
            await lab.until(lambda: lab.has_ended("c") or lab.nodes["c"].store.finalized_number >= HEIGHT)
            if not lab.has_ended("c"):
                break
            problem = await lab.ending("c")
            assert problem is not None
            assert isinstance(problem, asyncio.CancelledError) or is_power_loss(problem)
            phases.add(phase_of(lab))
        height = first.store.finalized_number + 3
        await lab.stop("c")
        late = lab.start("c", sync=mode)
        await lab.until(lambda: late.store.finalized_number >= height)
        assert late.store.hash_at(height) == first.store.hash_at(height)
        assert standing(late) == standing(first)
        assert phases == {"blocks"} if mode == "full" else phases >= {"ascent", "state"}

    play(script, ("a", "b", "c"), seconds=grown(HEIGHT)[1])


def phase_of(lab: Lab) -> str:
    """Say in which phase a node has left its database."""
    meta = lab.tables["c"].columns["meta"]
    if b"restoring" in meta:
        return "state"
    return "ascent" if b"ascent/standing" in meta else "blocks"


class Liar(Scripted):
    """Says it is far ahead, and answers what it is asked in one of several wrong ways."""

    def __init__(self, lab: Lab, name: str, node: Node, kind: str) -> None:
        super().__init__(lab, name, node.store, status_of(node, ahead=5_000))
        self.status = replace(self.status, final_number=self.status.best_number)
        self.node = node
        self.kind = kind

    def received(self, peer: str, channel: int, message: bytes) -> None:
        super().received(peer, channel, message)
        if channel == Channel.WARP_REQUESTS and self.kind != "silent":
            request: WarpRequest = WARP_REQUEST.decode(message)
            answer = self.proof(request)
            self.say(peer, Channel.WARP_ANSWERS, WARP_RESPONSE.encode(answer))

    def proof(self, request: WarpRequest) -> WarpResponse:
        """Return a proof that is short, empty, or not right."""
        honest = prove(self.node.store, request, 1 << 20)
        if self.kind == "short":
            return WarpResponse(request.id, honest.steps[:1], True)
        if self.kind == "empty":
            return WarpResponse(request.id, [], False)
        return WarpResponse(request.id, honest.steps[::-1], True)

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        found = super().answer(request) or []
        if self.kind == "silent":
            return None
        return {"short": found[:3], "empty": [], "mixed up": found[::-1]}[self.kind]


@pytest.mark.parametrize("kind", ["silent", "empty", "short"])
@pytest.mark.parametrize("mode", MODES[1:])
def test_a_false_claim_holds_nobody_for_ever_where_nothing_is_final(
    mode: SyncMode, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sync")

    async def script(lab: Lab) -> None:
        Liar(lab, "z", lab.start("b"), kind)
        lab.start("c", sync=mode)
        await lab.until(lambda: "every block is synced" in caplog.text)
        assert asyncio.get_running_loop().time() > SETTLED

    play(script, ("b", "c", "z"), [("b", "c"), ("c", "z")])


def test_who_waits_for_a_block_above_a_checkpoint_says_so_and_asks_calmly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    holders, end = "abd", 17

    async def script(lab: Lab) -> None:
        for name in holders:
            lab.tables[name] = grown(end)[0].copy()
        nodes = [lab.start(name) for name in holders]
        store = nodes[0].store
        assert store.finalized_number == end
        assert store.set_ends_above(0) == [end]
        lab.start("c", sync="warp", checkpoint=Checkpoint(end, store.finalized, 1))
        await asyncio.sleep(60)
        told = f"Nobody proves any block above the checkpoint #{end}"
        assert [told in each for each in caplog.messages].count(True) == 1
        assert {name: lab.cost(name, "c") for name in holders} == dict.fromkeys(holders, 0)

    play(script, (*holders, "c"), [("c", name) for name in holders], seconds=grown(end)[1])


@pytest.mark.parametrize("mode", ["full", "warp"])
def test_who_gives_nothing_for_minutes_is_told_from_who_does(mode: SyncMode) -> None:
    async def script(lab: Lab) -> None:
        lab.tables["b"] = lab.tables["a"] = grown(HEIGHT)[0].copy()
        Liar(lab, "z", lab.start("b"), "silent")
        late = lab.start("c", sync=mode)
        await asyncio.sleep(FRUITLESS + 90)
        assert late.network.fruitless() == ["z"]
        assert late.sync.is_stale
        lab.start("a", "v0")
        await lab.until(lambda: not late.sync.is_stale and late.store.finalized_number >= HEIGHT)
        assert late.network.fruitless() == ["z"]

    play(script, ("a", "b", "c", "z"), [("c", "z"), ("a", "c")], seconds=grown(HEIGHT)[1])


@pytest.mark.parametrize("mode", MODES[1:])
def test_lying_peers_delay_a_late_node_and_are_blamed(mode: SyncMode) -> None:
    kinds = {"w": "short", "x": "empty", "y": "mixed up", "z": "silent"}

    async def script(lab: Lab) -> None:
        first = begin(lab)
        liars = [Liar(lab, name, first, kind) for name, kind in kinds.items()]
        late = lab.start("c", sync=mode)
        await lab.until(lambda: late.store.finalized_number >= HEIGHT, 300)
        height = first.store.finalized_number + 6
        await lab.until(lambda: late.store.finalized_number >= height)
        assert late.store.hash_at(height) == first.store.hash_at(height)
        assert all(any(channel == Channel.STATUS for channel, _ in liar.heard) for liar in liars)
        assert all(lab.cost("c", name) > 0 for name in kinds)
        assert lab.cost("c", "a") < Fault.TIMEOUT.cost * 8

    play(script, ("a", "b", "c", *kinds), seconds=grown(HEIGHT)[1])
