"""Blocks on the wire: announcements, requests, answers.

imported here -> header to everybody who lacks it, with the body to the square root of them
asked here    -> blocks of the store, bounded in number and bytes
wanted here   -> a request with a number; its answer goes to whoever asked
"""

from math import isqrt
from typing import Protocol

from chain.common.block_data import BLOCKS, MAX_BLOCKS, BlockData, Fields
from chain.common.faults import Fault
from chain.common.seen import Seen
from chain.env import Clock
from chain.network.messages import (
    BLOCK_ANNOUNCE,
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    LIMITS,
    MAX_ANSWER,
    MAX_PUSHED_BODY,
    BlockAnnounce,
    BlockRequest,
    BlockResponse,
    Channel,
    FromHash,
    FromNumber,
    Status,
)
from chain.network.requests import Allowance, Requests, Servings
from chain.network.service import Handle, Network
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

KNOWN_BLOCKS = 1024
"""blocks of which this node remembers that a peer has them"""
GIVEN = Allowance(2 << 20, 8 << 20)
"""of blocks for one peer: faster than anybody imports them"""
ALL_GIVEN = Allowance(5 << 20, 16 << 20)
"""of blocks for all peers together"""
PER_BLOCK = 1 << 10
"""bytes that finding a block counts for"""
PER_SECOND = 20 << 20
"""bytes that a second of this node's time counts for: all peers together get a quarter of it"""
MAX_ASKED = 4
"""requests to one peer that wait for an answer"""


class Stored(Protocol):
    """The blocks that can be given away."""

    def header(self, block: Hash) -> Header | None: ...
    def body(self, block: Hash) -> list[bytes] | None: ...
    def justification(self, block: Hash) -> bytes | None: ...
    def hash_at(self, number: int) -> Hash | None: ...


class Syncing(Protocol):
    """What is done with the blocks of others."""

    def joined(self, peer: str, best: tuple[Hash, int], final: int, first: int) -> None:
        """Note a peer, where it stands, and from which height on it has every block."""

    def left(self, peer: str) -> None:
        """Forget a peer."""

    def announced(self, peer: str, header: Header, is_best: bool, body: list[bytes] | None) -> None:
        """Handle a block that a peer has imported.

        Raises: PeerFault.
        """

    def answered(self, peer: str, request: int, blocks: list[BlockData]) -> None:
        """Handle the answer to a request of ours.

        Raises: PeerFault.
        """

    def tick(self) -> None:
        """Do what is due."""


class BlockExchange:
    """The part of the network that carries blocks."""

    def __init__(self, network: Network, store: Stored, clock: Clock) -> None:
        self._network = network
        self._clock = clock
        self._servings = Servings(clock, GIVEN, ALL_GIVEN)
        self._requests = Requests(MAX_ASKED)
        self._store = store
        self._sync: Syncing | None = None
        self._known: dict[str, Seen[Hash]] = {}

    def serve(self, sync: Syncing) -> None:
        """Begin, and hand what comes to block sync."""
        self._sync = sync
        handlers: dict[Channel, Handle] = {
            Channel.ANNOUNCES: self._announced,
            Channel.REQUESTS: self._requested,
            Channel.ANSWERS: self._answered,
        }
        self._network.add(self, handlers)

    def joined(self, peer: str, status: Status) -> None:
        """Note a peer on our chain."""
        self._known[peer] = Seen(KNOWN_BLOCKS)
        self._known[peer].add(status.best_hash)
        self._requests.joined(peer)
        self._servings.joined(peer)
        best = status.best_hash, status.best_number
        self._syncing.joined(peer, best, status.final_number, status.first_number)

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._known.pop(peer, None)
        self._requests.left(peer)
        self._servings.left(peer)
        self._syncing.left(peer)

    def tick(self) -> None:
        """Have block sync look for what is overdue."""
        self._syncing.tick()

    # To peers.

    def announce(self, block: Hash, header: Header, is_best: bool) -> None:
        """Tell the peers that lack a stored block of it."""
        lacking = [peer for peer, known in self._known.items() if block not in known]
        if not lacking:
            return
        body = self._store.body(block) or []
        pushed = isqrt(len(lacking) - 1) + 1 if sum(map(len, body)) <= MAX_PUSHED_BODY else 0
        plain = BLOCK_ANNOUNCE.encode(BlockAnnounce(header, is_best, None))
        whole = BLOCK_ANNOUNCE.encode(BlockAnnounce(header, is_best, body)) if pushed else plain
        for place, peer in enumerate(lacking):
            if self._network.send(peer, Channel.ANNOUNCES, whole if place < pushed else plain):
                self._known[peer].add(block)

    def request(
        self, peer: str, start: Hash | int, count: int, *, descending: bool, fields: Fields
    ) -> int | None:
        """Ask a peer for blocks; return the number of the request, None when it cannot be asked now."""
        begin = FromHash(start) if isinstance(start, bytes) else FromNumber(start)

        def send(number: int) -> bool:
            message = BLOCK_REQUEST.encode(BlockRequest(number, begin, descending, count, fields))
            return self._network.send(peer, Channel.REQUESTS, message)

        return self._requests.ask(peer, send)

    def forget(self, peer: str, request: int) -> None:
        """Stop waiting for an answer; one that comes late is nobody's fault."""
        self._requests.forget(peer, request)

    def blame(self, peer: str, reason: Fault, detail: str = "") -> None:
        """Take the cost of a fault from a peer."""
        self._network.blame(peer, reason, detail)

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""
        self._network.thank(peer)

    # From peers.

    def _announced(self, peer: str, message: bytes) -> None:
        found: BlockAnnounce = BLOCK_ANNOUNCE.decode(message)
        self._known[peer].add(found.header.hash())
        self._syncing.announced(peer, found.header, found.is_best, found.body)

    def _requested(self, peer: str, message: bytes) -> None:
        """Answer, with less where much was given lately; not at all where that was too much."""
        request: BlockRequest = BLOCK_REQUEST.decode(message)
        room = self._servings.room(peer)
        if room <= 0:
            return
        began = self._clock.monotonic()
        blocks = answer(self._store, request, min(MAX_ANSWER, room))
        response = BLOCK_RESPONSE.encode(BlockResponse(request.id, blocks))
        spent = int((self._clock.monotonic() - began) * PER_SECOND)
        self._servings.spend(peer, max(spent, len(response) + PER_BLOCK * len(blocks)))
        if len(response) > LIMITS[Channel.ANSWERS].size:  # a block beyond what any runtime here allows
            response = BLOCK_RESPONSE.encode(BlockResponse(request.id, []))
        self._network.send(peer, Channel.ANSWERS, response)

    def _answered(self, peer: str, message: bytes) -> None:
        number = self._requests.answered(peer, message)
        if number is not None:
            found: BlockResponse = BLOCK_RESPONSE.decode(message)
            self._syncing.answered(peer, number, found.blocks)

    @property
    def _syncing(self) -> Syncing:
        assert self._sync is not None, "peers come after `serve`"
        return self._sync


def answer(store: Stored, request: BlockRequest, most: int = MAX_ANSWER) -> list[BlockData]:
    """Return the stored blocks of a request, up to so many bytes, the first one whatever its size."""
    start = request.start
    block = start._0 if isinstance(start, FromHash) else store.hash_at(start._0)
    blocks: list[BlockData] = []
    size = 0
    while block is not None and len(blocks) < min(request.count, MAX_BLOCKS):
        header = store.header(block)
        found = None if header is None else _part(store, block, header, Fields(request.fields & BLOCKS))
        if header is None or found is None:
            break
        size += _size(found)
        if blocks and size > most:
            break
        blocks.append(found)
        block = _next(store, block, header, request.descending)
    return blocks


def _part(store: Stored, block: Hash, header: Header, fields: Fields) -> BlockData | None:
    """Return what is wanted of a block; None where its body is wanted and gone."""
    body = store.body(block) if Fields.BODY in fields else None
    if Fields.BODY in fields and body is None:
        return None
    return BlockData(header, body, store.justification(block) if Fields.JUSTIFICATION in fields else None)


def _size(block: BlockData) -> int:
    return len(block.header.encode()) + sum(map(len, block.body or [])) + len(block.justification or b"")


def _next(store: Stored, block: Hash, header: Header, descending: bool) -> Hash | None:
    if descending:
        return header.parent_hash if header.number else None
    return store.hash_at(header.number + 1) if store.hash_at(header.number) == block else None
