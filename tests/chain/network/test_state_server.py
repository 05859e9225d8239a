"""What a node gives away of its states: held while they are asked for, so much to one peer and to all."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from chain.common.errors import StateDiscarded
from chain.common.state_data import NOTHING, StateRange
from chain.env import PeerHandler
from chain.network import states
from chain.network.messages import (
    LIMITS,
    PROTOCOL_VERSION,
    STATE_REQUEST,
    STATE_RESPONSE,
    STATUS,
    Channel,
    StateRequest,
    Status,
)
from chain.network.requests import Allowance
from chain.network.service import Network
from chain.network.states import HELD_FRESH, HELD_IDLE, HELD_IN_ALL, MAX_HELD, StateExchange
from chain.storage.range_proof import prove_range
from chain.storage.restore import HeldSnapshot
from chain.storage.state import Cache, Disk, View
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash
from tests.sim.loop import VirtualLoop

STATE = {bytes([number]) * 9: bytes(90) for number in range(40)}
FINAL = 5


class Vault:
    """Blocks 0 to 7, five of them final, all with one state, which can be discarded."""

    finalized_number = FINAL

    def __init__(self) -> None:
        self.headers = [Header(ZERO_HASH, number, ZERO_HASH, ZERO_HASH, Digest([])) for number in range(8)]
        self.blocks = [header.hash() for header in self.headers]
        self.beside = Header(Hash(b"\x01" * 32), 3, ZERO_HASH, ZERO_HASH, Digest([]))
        self.gone: set[Hash] = set()
        self.taken: list[int] = []
        self.view = View((), Disk(HeldSnapshot(STATE), Cache(1 << 20)))

    def header(self, block: Hash) -> Header | None:
        return next((each for each in (*self.headers, self.beside) if each.hash() == block), None)

    def hash_at(self, number: int) -> Hash | None:
        return self.blocks[number]

    def state_at(self, block: Hash) -> "Vault":
        if block in self.gone:
            raise StateDiscarded(block)
        self.taken.append(self.blocks.index(block))
        return self

    def prove_range(self, start: bytes, limit: int, end: bytes | None) -> StateRange:
        return prove_range(self.view, start, limit, end)


class Scene:
    """A node that gives states away, without links: the test is its peers, and its clock the loop's."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.given: dict[str, list[StateRange]] = {}
        self.bytes: Counter[str] = Counter()
        self.network = Network(self, self, lambda: self.status)
        self.exchange = StateExchange(self.network, vault, self)
        self.status = Status(PROTOCOL_VERSION, 1, ZERO_HASH, ZERO_HASH, 0, ZERO_HASH, 0)

    def wall_ms(self) -> int:
        return round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def run(self, peers: PeerHandler) -> None:
        raise AssertionError("the test says what comes")

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        if channel == Channel.STATE_ANSWERS:
            self.given.setdefault(peer, []).append(STATE_RESPONSE.decode(message).found)
            self.bytes[peer] += len(message)
        return True

    def drop(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer}: {reason}")

    def ban(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer}: {reason}")

    def thank(self, peer: str) -> None:
        """Do nothing: nobody has to make room."""

    def waiting(self, peer: str) -> int:
        return 0

    def addresses(self) -> list[str]:
        return []

    def join(self, *peers: str) -> None:
        for peer in peers:
            self.network.connected(peer)
            self.network.received(peer, Channel.STATUS, STATUS.encode(self.status))

    async def ask(self, peer: str, block: Hash, seconds: float = 0.1) -> list[StateRange]:
        """Ask for the beginning of a state; return what has come after a while."""
        self.given.pop(peer, None)
        request = STATE_REQUEST.encode(StateRequest(1, block, b"", None))
        self.network.received(peer, Channel.STATE_REQUESTS, request)
        await asyncio.sleep(seconds)
        return self.given.pop(peer, [])


def play(script: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        scene = Scene(Vault())
        serving = asyncio.get_running_loop().create_task(scene.exchange.run())
        await script(scene)
        assert not serving.done()
        serving.cancel()

    VirtualLoop().run(main())


def test_the_states_of_final_blocks_are_given_away() -> None:
    async def script(scene: Scene) -> None:
        scene.join("a")
        blocks = scene.vault.blocks
        (found,) = await scene.ask("a", blocks[FINAL])
        assert (found.entries, found.is_complete) == (sorted(STATE.items()), True)
        for block in (blocks[FINAL + 1], scene.vault.beside.hash(), ZERO_HASH):
            assert await scene.ask("a", block) == [NOTHING]

    play(script)


def test_a_state_is_held_as_long_as_it_is_asked_for() -> None:
    async def script(scene: Scene) -> None:
        scene.join("a", "b")
        block = scene.vault.blocks[FINAL]
        assert len(await scene.ask("a", block)) == 1
        scene.vault.gone.add(block)
        for peer in ("a", "b"):
            await asyncio.sleep(HELD_IDLE - 5)
            scene.exchange.tick()
            (found,) = await scene.ask(peer, block)
            assert found.is_complete
        await asyncio.sleep(HELD_IDLE + 1)
        scene.exchange.tick()
        assert await scene.ask("a", block) == [NOTHING]

    play(script)


def test_no_state_is_held_for_ever() -> None:
    async def script(scene: Scene) -> None:
        scene.join("a")
        block, answers = scene.vault.blocks[FINAL], list[StateRange]()
        assert len(await scene.ask("a", block)) == 1
        scene.vault.gone.add(block)
        for _ in range(round(HELD_IN_ALL / 30) + 2):
            answers += await scene.ask("a", block, 30.0)
            scene.exchange.tick()
        assert answers[0].is_complete
        assert answers[-1] == NOTHING

    play(script)


def test_the_state_asked_for_longest_ago_makes_room() -> None:
    async def script(scene: Scene) -> None:
        scene.join("a")
        for number in (1, 2, 3, 1, 4, 1, 2):
            assert len(await scene.ask("a", scene.vault.blocks[number], 1.0)) == 1
        assert MAX_HELD == 3
        assert scene.vault.taken == [1, 2, 3, 4, 2]

    play(script)


def test_who_asks_for_many_states_takes_nobody_s_place() -> None:
    """What another peer is fetching may be discarded by now: held, it is the only copy."""

    async def script(scene: Scene) -> None:
        scene.join("a", "greedy")
        blocks = scene.vault.blocks
        await scene.ask("a", blocks[1])
        scene.vault.gone.add(blocks[1])
        for number in (2, 3, 4, 5, 2, 3, 4):
            assert [found != NOTHING for found in await scene.ask("greedy", blocks[number], 1.0)] == [True]
        assert [found != NOTHING for found in await scene.ask("a", blocks[1])] == [True]
        scene.join("late")  # it finds two places taken by one, and gets one of them
        await scene.ask("late", blocks[5])
        scene.vault.gone.add(blocks[5])
        for number in (2, 3, 4):
            await scene.ask("greedy", blocks[number], 1.0)
        assert [found != NOTHING for found in await scene.ask("late", blocks[5])] == [True]
        assert [found != NOTHING for found in await scene.ask("a", blocks[1])] == [True]
        await asyncio.sleep(HELD_FRESH + 1)
        scene.join("x", "y", "z")  # nobody is in the middle of anything now
        for name, number in zip("xyz", (2, 3, 4), strict=True):
            await scene.ask(name, blocks[number])
        assert await scene.ask("a", blocks[1]) == [NOTHING]

    play(script)


def test_what_is_too_long_for_an_answer_with_others_comes_alone() -> None:
    """A range ends with the entry that fills it, and that may be nearly as long as an answer."""
    small, large = bytes(700_000), bytes(LIMITS[Channel.STATE_ANSWERS].size - 600_000)
    vault = Vault()
    vault.view = View((), Disk(HeldSnapshot({b"a": small, b"b": large, b"c": small}), Cache(1 << 20)))
    found, start = [], b""
    while True:
        request = StateRequest(1, vault.blocks[1], start, None)
        answer = STATE_RESPONSE.decode(states._response(vault, request)).found
        found += [key for key, _ in answer.entries]
        if answer.is_complete:
            break
        start = answer.entries[-1][0] + b"\x00"
    assert found == [b"a", b"b", b"c"]


def test_greed_gets_its_share_and_leaves_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "GIVEN", Allowance(2_000, 10_000))
    monkeypatch.setattr(states, "ALL_GIVEN", Allowance(3_000, 15_000))
    monkeypatch.setattr(states, "HOLDING", 100)

    async def script(scene: Scene) -> None:
        scene.join("greedy", "modest")
        block, size, modest = scene.vault.blocks[FINAL], 5_000, 0
        request = STATE_REQUEST.encode(StateRequest(1, block, b"", None))
        for second in range(60):
            for _ in range(5):
                scene.network.received("greedy", Channel.STATE_REQUESTS, request)
            if second % 10 == 9:
                modest += len(await scene.ask("modest", block, 5.0))
            else:
                await asyncio.sleep(1.0)
        seconds = asyncio.get_running_loop().time()
        assert modest == 6
        assert scene.bytes.total() <= 15_000 + 3_000 * seconds + size
        assert scene.bytes["greedy"] <= 10_000 + 2_000 * seconds + size
        assert len(scene.given["greedy"]) > 10
        assert scene.network.cost_of("greedy") == 0

    play(script)
