"""Who is asked for which piece of a state, and when: every peer is in the test's hands."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress

import pytest

from chain.common.faults import Fault
from chain.common.state_data import STATE_RANGE
from chain.network import states
from chain.storage.restore import Restoration
from chain.storage.state import StateAt
from chain.storage.store import ChainStore
from chain.sync import pieces, state_sync
from chain.sync.state_sync import LATE, MAX_TAKERS, PATIENCE, StateSync
from runtime.primitives.header import Header
from runtime.primitives.types import Hash
from tests.chain.network.lab import grown
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Life, SimClock
from tests.sim.genesis import spec_of
from tests.sim.loop import VirtualLoop

RANGE = 700
"""bytes of an answer here, so that even a small state has a dozen"""
Range = tuple[bytes, bytes | None]
Fetching = asyncio.Task[Restoration]


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (states, state_sync):
        monkeypatch.setattr(module, "MAX_RANGE", RANGE)
    monkeypatch.setattr(pieces, "SMALL", 0)


def store_on(tables: Tables) -> ChainStore:
    return ChainStore.on(MemoryDatabase(tables, Life()), spec_of((1,)).state())


class Desk:
    """The way to peers, and a state to answer with. Satisfies chain.sync.state_sync.Exchange."""

    def __init__(self, tables: Tables) -> None:
        self._source = store_on(tables)
        block = self._source.finalized
        header = self._source.header(block)
        assert header is not None
        self.target: Header = header
        self.state: StateAt = self._source.state_at(block)
        self.store = store_on(Tables())
        self.sync = StateSync(self, self.store, SimClock(random.Random(1)))
        self.asked: list[tuple[str, Range]] = []
        self.blamed: list[tuple[str, Fault]] = []
        self.thanked: list[str] = []

    def serve(self, fetching: StateSync | None) -> None: ...
    def forget(self, peer: str, request: int) -> None: ...

    def request(self, peer: str, block: Hash, start: bytes, end: bytes | None) -> int | None:
        self.asked.append((peer, (start, end)))
        return len(self.asked)

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        self.blamed.append((peer, reason))

    def thank(self, peer: str) -> None:
        self.thanked.append(peer)

    def answer(self, request: int) -> None:
        """Have a request answered."""
        peer, (start, end) = self.asked[request - 1]
        self.sync.answered(peer, request, STATE_RANGE.encode(self.state.prove_range(start, RANGE, end)))

    async def wait(self, seconds: float) -> None:
        """Let time go by."""
        await asyncio.sleep(seconds)
        self.sync.tick()
        await asyncio.sleep(0.001)  # whoever has something to do does it


def play(
    peers: str, script: Callable[[Desk, "asyncio.Task[Restoration]"], Coroutine[None, None, None]]
) -> None:
    """Play a script while a state is fetched from these peers."""

    tables = grown(3)[0].copy()

    async def main() -> None:
        desk = Desk(tables)
        fetching = asyncio.get_running_loop().create_task(desk.sync.run(desk.target))
        await asyncio.sleep(0)
        for peer in peers:
            desk.sync.joined(peer)
        await desk.wait(0)
        await script(desk, fetching)
        fetching.cancel()
        with suppress(asyncio.CancelledError):
            await fetching

    VirtualLoop().run(main())


def test_what_one_is_late_with_is_asked_of_others_who_have_nothing_to_do() -> None:
    async def script(desk: Desk, fetching: Fetching) -> None:
        whole, moments = (b"", None), [0]
        for second in range(1, round(PATIENCE)):
            await desk.wait(1)
            moments += [second] * (len(desk.asked) - len(moments))
        assert desk.asked[:MAX_TAKERS] == [("a", whole), ("b", whole), ("c", whole)]
        assert moments == [0, LATE, 2 * LATE]
        assert desk.blamed == []
        await desk.wait(1)
        assert desk.blamed == [("a", Fault.TIMEOUT)]
        assert desk.asked[MAX_TAKERS:] == [("d", whole)]

    play("abcd", script)


def test_whoever_is_first_will_do_and_what_comes_later_changes_nothing() -> None:
    async def script(desk: Desk, fetching: Fetching) -> None:
        await desk.wait(LATE)
        assert [peer for peer, _ in desk.asked] == ["a", "b"]
        desk.answer(2)
        await desk.wait(0)
        assert desk.thanked == ["b"]
        before = len(desk.asked)
        desk.answer(1)
        await desk.wait(0)
        assert (desk.thanked, desk.blamed) == (["b"], [])
        answered = 2
        while not fetching.done():
            for request in range(answered + 1, len(desk.asked) + 1):
                desk.answer(request)
                answered = request
            await desk.wait(0.1)
        assert before < answered == len({wanted for _, wanted in desk.asked}) + 1, (
            "only the first piece twice"
        )
        assert len(desk.thanked) == answered - 1
        desk.store.finish_restoration(b"proof")
        found = desk.store.state_at(desk.target.hash())
        assert list(found.keys(b"")) == list(desk.state.keys(b""))

    play("ab", script)


def test_the_last_piece_waits_for_nobody_who_leaves_or_lies() -> None:
    async def script(desk: Desk, fetching: Fetching) -> None:
        await desk.wait(LATE)
        desk.sync.left("a")
        await desk.wait(0)
        assert [peer for peer, _ in desk.asked] == ["a", "b"]
        desk.sync.answered("b", 2, b"nonsense")
        await desk.wait(0)
        assert desk.blamed == [("b", Fault.UNDECODABLE)]
        assert desk.asked[2:] == [("c", (b"", None))]

    play("abc", script)


def test_peers_that_answer_are_asked_for_nothing_twice() -> None:
    async def script(desk: Desk, fetching: Fetching) -> None:
        answered = 0
        while not fetching.done():
            due = len(desk.asked)
            assert due > answered
            await desk.wait(LATE / 2)
            for request in range(answered + 1, due + 1):
                desk.answer(request)
            answered = due
            await desk.wait(0)
        assert len({wanted for _, wanted in desk.asked}) == len(desk.asked) > 8

    play("abcd", script)
