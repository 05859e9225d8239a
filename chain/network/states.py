"""States on the wire: ranges of a final block's state, each with its proof.

A state that is asked for is held as it is, though the chain goes on, for as long as it is asked for: a peer
that fetches a large one need not begin again. Requests wait in line, few per peer; a thread answers them.
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from chain.common.errors import StateDiscarded, UnknownBlock
from chain.common.faults import Fault
from chain.common.state_data import MAX_RANGE, NOTHING, StateRange
from chain.common.tasks import aside
from chain.env import Clock
from chain.network.messages import (
    LIMITS,
    STATE_REQUEST,
    STATE_RESPONSE,
    Channel,
    StateRequest,
    StateResponse,
    Status,
)
from chain.network.requests import NUMBER, Allowance, Requests, Servings
from chain.network.service import Handle, Network
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

GIVEN = Allowance(2 << 20, 8 << 20)
"""of states for one peer"""
ALL_GIVEN = Allowance(4 << 20, 16 << 20)
"""of states for all peers together; a quarter of this node's time"""
MAX_ASKED = 2
"""requests to one peer that wait for an answer"""
MAX_HELD = 3
"""states that are held at once, a peer's first before the second of another"""
HELD_FRESH = 10.0
"""seconds after it was asked for last in which another peer takes no state's place"""
HOLDING = 1 << 20
"""bytes that holding a state counts for: an old one has to be made again"""
HELD_IDLE = 60.0
"""seconds that a state is held after it was asked for last"""
HELD_IN_ALL = 1800.0
"""seconds that a state is held at most: the database cannot forget what is overwritten as long"""
TURN = 0.25
"""seconds between two looks whether a peer may be given something again"""


class Ranged(Protocol):
    """A state that can be given away."""

    def prove_range(self, start: bytes, limit: int, end: bytes | None) -> StateRange:
        """Return a proven range.

        Raises: StateDiscarded.
        """


class Stored(Protocol):
    """The blocks whose states can be given away."""

    @property
    def finalized_number(self) -> int: ...
    def header(self, block: Hash) -> Header | None: ...
    def hash_at(self, number: int) -> Hash | None: ...
    def state_at(self, block: Hash) -> Ranged:
        """Return the state after a block.

        Raises: UnknownBlock, StateDiscarded.
        """


class Fetching(Protocol):
    """What is done with the states of others."""

    def joined(self, peer: str) -> None:
        """Note a peer."""

    def left(self, peer: str) -> None:
        """Forget a peer."""

    def answered(self, peer: str, request: int, encoded: bytes) -> None:
        """Handle the answer to a request of ours: a StateRange, which may be large, in its encoding."""

    def tick(self) -> None:
        """Do what is due."""


@dataclass(slots=True)
class _Held:
    """A state that peers are fetching."""

    state: Ranged
    peer: str  # for whom it is held, whoever else asks for it
    since: float
    asked: float


class StateExchange:
    """The part of the network that carries states."""

    def __init__(self, network: Network, store: Stored, clock: Clock) -> None:
        self._network = network
        self._store = store
        self._clock = clock
        self._requests = Requests(MAX_ASKED)
        self._servings = Servings(clock, GIVEN, ALL_GIVEN)
        self._waiting: dict[str, deque[StateRequest]] = {}
        self._some = asyncio.Event()
        self._held: dict[Hash, _Held] = {}
        self._fetching: Fetching | None = None
        handlers: dict[Channel, Handle] = {
            Channel.STATE_REQUESTS: self._requested,
            Channel.STATE_ANSWERS: self._answered,
        }
        network.add(self, handlers)

    def serve(self, fetching: Fetching | None) -> None:
        """Hand what comes to whoever fetches a state, or to nobody any more."""
        self._fetching = fetching
        if fetching is not None:
            for peer in self._waiting:
                fetching.joined(peer)

    def joined(self, peer: str, status: Status) -> None:
        """Note a peer on our chain."""
        self._requests.joined(peer)
        self._servings.joined(peer)
        self._waiting[peer] = deque()
        if self._fetching is not None:
            self._fetching.joined(peer)

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._requests.left(peer)
        self._servings.left(peer)
        self._waiting.pop(peer, None)
        if self._fetching is not None:
            self._fetching.left(peer)

    def tick(self) -> None:
        """Let go of states that nobody fetches any more; have what is overdue looked for."""
        now = self._clock.monotonic()
        for block, held in list(self._held.items()):
            if held.asked + HELD_IDLE < now or held.since + HELD_IN_ALL < now:
                del self._held[block]
        if self._fetching is not None:
            self._fetching.tick()

    # To peers.

    def request(self, peer: str, block: Hash, start: bytes, end: bytes | None) -> int | None:
        """Ask a peer for a range; return the number of the request, None when it cannot be asked now."""

        def send(number: int) -> bool:
            message = STATE_REQUEST.encode(StateRequest(number, block, start, end))
            return self._network.send(peer, Channel.STATE_REQUESTS, message)

        return self._requests.ask(peer, send)

    def forget(self, peer: str, request: int) -> None:
        """Stop waiting for an answer."""
        self._requests.forget(peer, request)

    def blame(self, peer: str, reason: Fault, detail: str = "") -> None:
        """Take the cost of a fault from a peer."""
        self._network.blame(peer, reason, detail)

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""
        self._network.thank(peer)

    async def run(self) -> None:
        """Answer requests until cancelled, one after the other, the peers in turn."""
        while True:
            await self._some.wait()
            peer = next((each for each in self._waiting if self._is_due(each)), None)
            if peer is None:
                await self._pause()
                continue
            waiting = self._waiting.pop(peer)
            self._waiting[peer] = waiting
            await self._answer(peer, waiting.popleft())

    def _is_due(self, peer: str) -> bool:
        return bool(self._waiting[peer]) and self._servings.room(peer) > 0

    async def _pause(self) -> None:
        """Wait for a request, or until somebody who has asked may be given something again."""
        if any(self._waiting.values()):
            await self._clock.sleep(TURN)
        else:
            self._some.clear()

    async def _answer(self, peer: str, request: StateRequest) -> None:
        state = self._state(peer, request.block)
        response = await aside(partial(_response, state, request))
        self._servings.spend(peer, len(response))
        if peer in self._waiting:
            self._network.send(peer, Channel.STATE_ANSWERS, response)

    def _state(self, peer: str, block: Hash) -> Ranged | None:
        """Return the state of a final block, where it is still at hand."""
        now, held = self._clock.monotonic(), self._held.get(block)
        if held is None:
            header = self._store.header(block)
            if header is None or header.number > self._store.finalized_number:
                return None
            if self._store.hash_at(header.number) != block:
                return None
            try:
                held = _Held(self._store.state_at(block), peer, now, now)
            except (UnknownBlock, StateDiscarded):
                return None
            self._servings.spend(peer, HOLDING)
            if self._make_place(peer, now):
                self._held[block] = held
        held.asked = now
        return held.state

    def _make_place(self, peer: str, now: float) -> bool:
        """Let go of a state so that another one can be held for a peer, if one may be let go.

        What others are fetching may be nowhere else any more: nobody takes its place by asking for many.
        """
        if len(self._held) < MAX_HELD:
            return True
        shares = Counter(held.peer for held in self._held.values())
        own = [block for block, held in self._held.items() if held.peer == peer]
        able = own or [
            block
            for block, held in self._held.items()
            if shares[held.peer] > 1 or held.asked + HELD_FRESH < now
        ]
        if able:
            del self._held[min(able, key=lambda block: self._held[block].asked)]
        return bool(able)

    # From peers.

    def _requested(self, peer: str, message: bytes) -> None:
        """Put a request in line, which is short."""
        request: StateRequest = STATE_REQUEST.decode(message)
        if len(self._waiting[peer]) < MAX_ASKED:
            self._waiting[peer].append(request)
            self._some.set()

    def _answered(self, peer: str, message: bytes) -> None:
        """Hand on what was asked for; a thread decodes it."""
        number = self._requests.answered(peer, message)
        if number is not None and self._fetching is not None:
            self._fetching.answered(peer, number, message[NUMBER:])


def _response(state: Ranged | None, request: StateRequest) -> bytes:
    """Return the answer to a request, which takes some time to make."""
    for limit in (MAX_RANGE, 1):  # the last entry of a whole range may be one too many
        if state is None:
            break
        with suppress(StateDiscarded):
            found = state.prove_range(request.start, limit, request.end)
            response = STATE_RESPONSE.encode(StateResponse(request.id, found))
            if len(response) <= LIMITS[Channel.STATE_ANSWERS].size:
                return response
    return STATE_RESPONSE.encode(StateResponse(request.id, NOTHING))
