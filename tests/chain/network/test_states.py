"""A state fetched from several nodes at once, whatever one of them says; the chain then goes on both ways."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from chain.common.faults import Fault
from chain.common.state_data import NOTHING, StateRange
from chain.network import states
from chain.network.messages import (
    PROTOCOL_VERSION,
    STATE_REQUEST,
    STATE_RESPONSE,
    Channel,
    StateRequest,
    StateResponse,
    Status,
)
from chain.network.peers import BANNED
from chain.network.service import Network
from chain.network.states import StateExchange
from chain.node import Node
from chain.storage.store import ChainStore
from chain.sync import pieces, state_sync
from chain.sync.state_sync import StateSync, TargetGone
from runtime.primitives.header import Header
from tests.chain.network.lab import PATIENCE, Lab, Scripted, grown, play, status_of
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Life
from tests.sim.transport import SimTransport

BLOCKS = 8
TARGET = 5
RANGE = 700
"""bytes of an answer here, so that even a small state has a dozen"""
HONEST = ("p", "q")


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (states, state_sync):
        monkeypatch.setattr(module, "MAX_RANGE", RANGE)
    monkeypatch.setattr(pieces, "SMALL", 0)


class Bystander:
    """A part of a network that hears about finality and does nothing."""

    def joined(self, peer: str, status: Status) -> None: ...
    def left(self, peer: str) -> None: ...
    def tick(self) -> None: ...


class Newcomer:
    """A machine that has the genesis block and wants a state; `life` ends it."""

    def __init__(self, lab: Lab, name: str = "n") -> None:
        self.tables = lab.tables.setdefault(name, Tables())
        self.life = Life()
        self._lab = lab
        self.store = ChainStore.on(MemoryDatabase(self.tables, self.life), lab.spec.state())
        self.network = Network(SimTransport(lab.network, name, self.life), lab.clocks[name], self._status)
        self.states = StateExchange(self.network, self.store, lab.clocks[name])
        self.network.add(Bystander(), dict.fromkeys((Channel.VOTES, Channel.GRANDPA), lambda *_: None))
        self.sync = StateSync(self.states, self.store, lab.clocks[name])
        self._task = asyncio.get_running_loop().create_task(self.network.run(), name=name)

    def _status(self) -> Status:
        genesis = self.store.genesis_hash
        return Status(PROTOCOL_VERSION, 1, genesis, genesis, 0, genesis, 0)

    async def fetch(self, target: Header, peers: int = 2) -> None:
        """Fetch a state once there are so many peers."""
        await self._lab.until(lambda: len(self.network.peers()) >= peers)
        async with asyncio.timeout(PATIENCE):
            await self.sync.run(target)

    async def leave(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.life.alive = False
        self.store.close()


class Giver(Scripted):
    """A peer that changes the honest answers of a node's store."""

    def __init__(
        self, lab: Lab, node: Node, change: Callable[[StateRequest, StateRange], StateRange | None]
    ) -> None:
        self.asked: list[StateRequest] = []
        self._change = change
        super().__init__(lab, "l", node.store, status_of(node))
        self._node = node

    def received(self, peer: str, channel: int, message: bytes) -> None:
        if channel == Channel.STATE_REQUESTS:
            request: StateRequest = STATE_REQUEST.decode(message)
            self.asked.append(request)
            honest = self._node.store.state_at(request.block).prove_range(request.start, RANGE, request.end)
            found = self._change(request, honest)
            if found is not None:
                self.say(peer, Channel.STATE_ANSWERS, STATE_RESPONSE.encode(StateResponse(request.id, found)))


class Dripping(Giver):
    """One that has the state of the target's root under any block, and gives a key of it at a time."""

    def received(self, peer: str, channel: int, message: bytes) -> None:
        if channel == Channel.STATE_REQUESTS:
            request: StateRequest = STATE_REQUEST.decode(message)
            self.asked.append(request)
            state = self._node.store.state_at(header_at(self._node.store, TARGET).hash())
            found = state.prove_range(request.start, 1, request.end)
            self.say(peer, Channel.STATE_ANSWERS, STATE_RESPONSE.encode(StateResponse(request.id, found)))


def header_at(store: ChainStore, number: int) -> Header:
    block = store.hash_at(number)
    header = None if block is None else store.header(block)
    assert header is not None
    return header


def header_of_nobody(store: ChainStore) -> Header:
    """Return the header of a block #7 whose state no node has."""
    real = header_at(store, TARGET)
    return Header(real.parent_hash, 7, real.state_root, real.extrinsics_root, real.digest)


def holders(lab: Lab, *names: str) -> Node:
    """Start nodes that have the chain already."""
    tables = grown(BLOCKS)[0]
    for name in names:
        lab.tables[name] = tables.copy()
        lab.start(name)
    return lab.nodes[names[0]]


def same_state(store: ChainStore, node: Node, number: int) -> bool:
    block = header_at(node.store, number).hash()
    found, wanted = store.state_at(block), node.store.state_at(block)
    keys = list(wanted.keys(b""))
    return keys == list(found.keys(b"")) and all(found.get(key) == wanted.get(key) for key in keys)


def lies(kind: str, node: Node) -> Callable[[StateRequest, StateRange], StateRange | None]:
    """Return what a liar of some kind does with an honest answer."""

    def lie(request: StateRequest, honest: StateRange) -> StateRange | None:
        entries, proof, is_complete = list(honest.entries), list(honest.proof), honest.is_complete
        middle = len(entries) // 2
        match kind:
            case "false value" if entries:
                entries[middle] = entries[middle][0], b"lie"
            case "withheld" if len(entries) > 1:
                del entries[0]
            case "added":
                entries.insert(0, (request.start + b"\x00", b"lie"))
            case "another state":
                other = header_at(node.store, 2).hash()
                return node.store.state_at(other).prove_range(request.start, RANGE, request.end)
            case "an early end":
                is_complete = True
            case "superfluous node":
                proof.append(b"\x00")
            case "endless":
                return node.store.state_at(request.block).prove_range(request.start, 1, request.end)
            case "empty":
                return NOTHING
            case "slow":
                return None
        return StateRange(entries, proof, is_complete)

    return lie


BANNED_FOR = ("false value", "withheld", "added", "another state", "an early end", "superfluous node")


@pytest.mark.parametrize("kind", [*BANNED_FOR, "endless", "empty", "slow"])
def test_a_state_comes_whatever_one_of_three_peers_does(kind: str) -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        liar = Giver(lab, node, lies(kind, node))
        newcomer, target = Newcomer(lab), header_at(node.store, TARGET)
        await newcomer.fetch(target, 3)
        newcomer.store.finish_restoration(b"proof")
        assert newcomer.store.finalized == target.hash()
        assert same_state(newcomer.store, node, TARGET)
        assert liar.asked, "the liar was never asked"
        cost = newcomer.network.cost_of("l")
        if kind in BANNED_FOR:
            assert cost >= BANNED
            assert {whom for who, whom, _ in lab.network.drops if who == "n"} == {"l"}
            assert ("n", "l", Fault.FALSE_STATE) in lab.network.drops
        else:
            least = {"endless": Fault.STINGY.cost, "empty": 0, "slow": 0}[kind]
            assert least // 2 <= cost < BANNED
        assert [newcomer.network.cost_of(name) for name in HONEST] == [0, 0]
        await newcomer.leave()

    play(script, ("p", "q", "l", "n"), [("n", "p"), ("n", "q"), ("n", "l")], seconds=grown(BLOCKS)[1])


@pytest.mark.parametrize("silent", [("l",), ("l", "m")])
def test_whoever_is_silent_does_not_hold_up_the_last_piece(silent: tuple[str, ...]) -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        peers = [Scripted(lab, name, node.store, status_of(node)) for name in silent]
        newcomer = Newcomer(lab)
        began = asyncio.get_running_loop().time()
        await newcomer.fetch(header_at(node.store, TARGET), 2 + len(silent))
        assert asyncio.get_running_loop().time() - began < state_sync.PATIENCE / 2
        assert all(any(channel == Channel.STATE_REQUESTS for channel, _ in peer.heard) for peer in peers)
        newcomer.store.finish_restoration(b"proof")
        assert same_state(newcomer.store, node, TARGET)
        await newcomer.leave()

    names = (*HONEST, *silent)
    play(script, (*names, "n"), [("n", each) for each in names], seconds=grown(BLOCKS)[1])


def test_several_peers_share_the_work() -> None:
    async def script(lab: Lab) -> None:
        names = ("p", "q", "r", "s")
        node = holders(lab, *names)
        newcomer, sent, asked = Newcomer(lab), {name: 0 for name in names}, list[tuple[bytes, bytes | None]]()

        def count(sender: str, receiver: str, channel: int, message: bytes) -> None:
            if channel == Channel.STATE_ANSWERS:
                sent[sender] += len(message)
            elif channel == Channel.STATE_REQUESTS:
                request = STATE_REQUEST.decode(message)
                asked.append((request.start, request.end))

        lab.network.on_deliver = count
        await newcomer.fetch(header_at(node.store, TARGET), 4)
        assert all(sent.values())
        assert max(sent.values()) < sum(sent.values()) * 6 // 10
        assert len(set(asked)) == len(asked)
        await newcomer.leave()

    names = ("p", "q", "r", "s", "n")
    play(script, names, [("n", name) for name in names[:4]], seconds=grown(BLOCKS)[1])


def test_an_interrupted_restoration_goes_on_where_it_was() -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        target, requests = header_at(node.store, TARGET), list[bytes]()

        def note(sender: str, receiver: str, channel: int, message: bytes) -> None:
            if channel == Channel.STATE_REQUESTS:
                requests.append(STATE_REQUEST.decode(message).start)

        lab.network.on_deliver = note
        newcomer = Newcomer(lab)
        fetching = asyncio.get_running_loop().create_task(newcomer.fetch(target))
        await lab.until(lambda: newcomer.life.writes > 8)
        fetching.cancel()
        await newcomer.leave()
        before = len(requests)
        newcomer = Newcomer(lab)
        assert newcomer.store.restoration is not None
        assert newcomer.store.restoration.target == target
        missing = list(newcomer.store.restoration.missing)
        await newcomer.fetch(target)
        assert all(
            any(span.start <= start and (span.end is None or start < span.end) for span in missing)
            for start in requests[before:]
        )
        newcomer.store.finish_restoration(b"proof")
        assert same_state(newcomer.store, node, TARGET)
        await newcomer.leave()

    play(script, ("p", "q", "n"), [("n", "p"), ("n", "q")], seconds=grown(BLOCKS)[1])


def test_whoever_is_silent_does_not_keep_a_target_that_the_others_have_not_got() -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        Scripted(lab, "l", node.store, status_of(node))
        newcomer, unknown = Newcomer(lab), header_of_nobody(node.store)
        with pytest.raises(TargetGone):
            await newcomer.fetch(unknown, peers=3)
        await newcomer.leave()

    play(script, ("p", "q", "l", "n"), [("n", each) for each in "pql"], seconds=grown(BLOCKS)[1])


def test_who_gives_a_key_at_a_time_does_not_keep_a_target_that_the_others_have_not_got() -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        newcomer, unknown = Newcomer(lab), header_of_nobody(node.store)
        liar = Dripping(lab, node, lambda request, honest: honest)
        with pytest.raises(TargetGone):
            await newcomer.fetch(unknown, peers=3)
        assert len(liar.asked) < 20
        await newcomer.leave()

    play(script, ("p", "q", "l", "n"), [("n", each) for each in "pql"], seconds=grown(BLOCKS)[1])


def test_a_target_that_nobody_has_is_given_up() -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        newcomer, target = Newcomer(lab), header_at(node.store, TARGET)
        unknown = header_of_nobody(node.store)
        with pytest.raises(TargetGone, match="no peer has the state of #7 any more"):
            await newcomer.fetch(unknown)
        await newcomer.fetch(target)
        newcomer.store.finish_restoration(b"proof")
        assert same_state(newcomer.store, node, TARGET)
        assert [newcomer.network.cost_of(name) for name in HONEST] == [0, 0]
        await newcomer.leave()

    play(script, ("p", "q", "n"), [("n", "p"), ("n", "q")], seconds=grown(BLOCKS)[1])


def test_a_restored_node_follows_the_chain_and_fills_the_gap() -> None:
    async def script(lab: Lab) -> None:
        node = holders(lab, *HONEST)
        newcomer, target = Newcomer(lab), header_at(node.store, TARGET)
        await newcomer.fetch(target)
        proof = node.store.justification(target.hash())
        newcomer.store.finish_restoration(proof or b"", [])
        await newcomer.leave()
        validator = lab.start("v", "v0")
        follower = lab.start("n").store
        assert follower.gap.missing == (1, TARGET)
        await lab.until(lambda: follower.gap.missing is None)
        await lab.until(lambda: follower.finalized_number > node.store.best_number - 2 > BLOCKS)
        for number in range(follower.finalized_number + 1):
            block = validator.store.hash_at(number)
            assert block is not None
            assert follower.hash_at(number) == block
            assert follower.body(block) == validator.store.body(block)
        assert same_state(follower, node, follower.finalized_number)
        assert all(lab.cost("n", name) == 0 for name in HONEST)

    lab_names = ("v", "p", "q", "n")
    pairs = [("v", "p"), ("v", "q"), ("n", "p"), ("n", "q")]

    async def with_chain(lab: Lab) -> None:
        lab.tables["v"] = grown(BLOCKS)[0].copy()
        await script(lab)

    play(with_chain, lab_names, pairs, seconds=grown(BLOCKS)[1])
