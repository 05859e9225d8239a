"""Proofs of who votes, on the wire: given to whoever begins at a block that is final here, and asked for.

asked here    -> from that block on, every block that changed voters with its justification; last the newest
wanted here   -> a request with a number; its answer goes to whoever asked
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from chain.common.block_data import WarpStep
from chain.common.faults import Fault
from chain.env import Clock
from chain.network.messages import (
    LIMITS,
    MAX_STEPS,
    WARP_REQUEST,
    WARP_RESPONSE,
    Channel,
    Status,
    WarpRequest,
    WarpResponse,
)
from chain.network.requests import Allowance, Requests, Servings
from chain.network.service import Network
from runtime.primitives.grandpa import forces_voters
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash

MAX_PROOF = LIMITS[Channel.WARP_ANSWERS].size - (1 << 10)
"""bytes of steps in one answer"""
GIVEN = Allowance(256 << 10, 8 << 20)
"""of proofs for one peer: all sets of a year at once, then few"""
ALL_GIVEN = Allowance(1 << 20, 32 << 20)
"""of proofs for all peers together"""
PER_STEP = 256
"""bytes that finding a step counts for"""
PER_REQUEST = 4 << 10
"""bytes that a request counts for, whatever it asks"""
PATIENCE = 20.0
"""seconds a peer may take to answer; 4 MiB are on their way that long at 1.7 Mbit/s"""


class Proofs(Protocol):
    """The final blocks of this node, and what proves them."""

    @property
    def finalized_number(self) -> BlockNumber: ...

    def header(self, block: Hash) -> Header | None: ...
    def justification(self, block: Hash) -> bytes | None: ...
    def hash_at(self, number: int) -> Hash | None: ...
    def set_ends_above(self, number: BlockNumber) -> list[BlockNumber]: ...


class WarpExchange:
    """The part of the network that carries proofs of who votes."""

    def __init__(self, network: Network, store: Proofs, floor: Callable[[], int], clock: Clock) -> None:
        """Serve what a store has; above the floor it has every change of voters with its proof."""
        self._network = network
        self._store = store
        self._floor = floor
        self._requests = Requests(1)
        self._servings = Servings(clock, GIVEN, ALL_GIVEN)
        self._waiting: dict[str, asyncio.Future[WarpResponse | None]] = {}
        network.add(self, {Channel.WARP_REQUESTS: self._requested, Channel.WARP_ANSWERS: self._answered})

    def joined(self, peer: str, status: Status) -> None:
        """Note a peer on our chain."""
        self._requests.joined(peer)
        self._servings.joined(peer)

    def left(self, peer: str) -> None:
        """Forget a peer; who waits for its answer waits no more."""
        self._requests.left(peer)
        self._servings.left(peer)
        waiting = self._waiting.pop(peer, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def tick(self) -> None:
        """Do nothing: whoever waits for an answer looks at the time."""

    async def fetch(self, peer: str, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Return what a peer proves beyond a block and whether that is all.

        None where no answer comes, or where proofs begin above that block.
        """

        def send(number: int) -> bool:
            message = WARP_REQUEST.encode(WarpRequest(number, begin))
            return self._network.send(peer, Channel.WARP_REQUESTS, message)

        number = self._requests.ask(peer, send)
        if number is None:
            return None
        waiting = self._waiting[peer] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                found = await waiting
        except TimeoutError:
            self._network.blame(peer, Fault.TIMEOUT, "a proof of who votes")
            return None
        finally:
            self._waiting.pop(peer, None)
            self._requests.forget(peer, number)
        if found is None or (found.first and not found.steps):
            return None  # which is nobody's fault
        return found.steps, found.is_finished

    def _requested(self, peer: str, message: bytes) -> None:
        """Answer, with less where much was given lately; not at all where that was too much."""
        request: WarpRequest = WARP_REQUEST.decode(message)
        room = self._servings.room(peer)
        if room <= 0:
            return
        found = prove(self._store, request, room, self._floor())
        response = WARP_RESPONSE.encode(found)
        self._servings.spend(peer, len(response) + PER_STEP * len(found.steps) + PER_REQUEST)
        self._network.send(peer, Channel.WARP_ANSWERS, response)

    def _answered(self, peer: str, message: bytes) -> None:
        number, waiting = self._requests.answered(peer, message), self._waiting.get(peer)
        if number is not None and waiting is not None and not waiting.done():
            waiting.set_result(WARP_RESPONSE.decode(message))


def prove(store: Proofs, request: WarpRequest, size: int, floor: int = 0) -> WarpResponse:
    """Answer with as much as fits into so many bytes, the first step whatever its size.

    Whoever begins at a block that is not final here, or below what is proven here, gets nothing, and not as
    if that were all. A proof ends with a forced change, if there is one: nothing leads across it.
    """
    header = store.header(request.begin)
    if header is None or not floor <= header.number <= store.finalized_number:
        return WarpResponse(request.id, [], False, BlockNumber(floor))
    if store.hash_at(header.number) != request.begin:
        return WarpResponse(request.id, [], False)
    steps: list[WarpStep] = []
    left = min(size, MAX_PROOF)
    ends = store.set_ends_above(header.number)
    newest = store.finalized_number
    for height in ends if newest in ends or newest == header.number else [*ends, newest]:
        step = _step(store, height)
        if step is None:
            return WarpResponse(request.id, steps, False)
        left -= len(step.justification) + len(step.header.encode()) + 8
        if steps and (left < 0 or len(steps) == MAX_STEPS):
            return WarpResponse(request.id, steps, False)
        steps.append(step)
        if forces_voters(step.header):
            break
    return WarpResponse(request.id, steps, True)


def _step(store: Proofs, height: int) -> WarpStep | None:
    block = store.hash_at(height)
    header = None if block is None else store.header(block)
    proof = None if block is None else store.justification(block)
    return None if header is None or proof is None else WarpStep(header, proof)
