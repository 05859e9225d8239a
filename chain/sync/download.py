"""One chain on its way here: its headers from a peer that has it, its bodies from several, oldest first.

    near   headers downwards from the head, by parents, until one is known: forks, and what was missed lately
    far    headers upwards on the peer's best chain, from the highest block that both have
    then   chunks of bodies, each from whoever has that much, checked against the header, handed on in order

Nothing a peer says is believed beyond what links: headers by their hashes, bodies by their root. Source: the
chain sync of paritytech/polkadot-sdk substrate/client/network/sync.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from chain.common.block_data import BLOCKS, HEADERS, MAX_BLOCKS, BlockData
from chain.common.faults import Fault
from chain.sync.peers import Asking
from chain.sync.queue import Incoming
from runtime.primitives.header import Header
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import Hash

Block = tuple[Hash, int]

NEAR = 1024
"""blocks above the final one up to which headers are fetched downwards"""
MAX_WEIGHT = 8 << 20
"""bytes of headers fetched downwards; honest ones have 300 KiB, and whoever sends them may invent others"""
CHUNK = 32
"""blocks whose bodies are asked for at once"""
MAX_CHUNKS = 8
"""asked for or waiting to be handed on"""
ABOVE = 8
"""headers that go with a block to show what is built on it"""
WINDOW = 1024
"""headers ahead of what is imported, in a far download"""
FEW, FEW_BYTES = MAX_BLOCKS // 2, 64 << 10
"""below both of which an answer is a short one, unless that is all"""
MAX_SHORT = 2
"""short answers with headers until another holder is asked: a chain may have ended where it was left"""


class Work(Asking, Protocol):
    """What a download needs of block sync."""

    def is_known(self, block: Hash) -> bool:
        """Say whether a block is stored, or certain to be tried first."""

    def is_bad(self, header: Header) -> bool:
        """Say whether a block is refused, or is built on one that is."""

    def is_beside(self, header: Header) -> bool:
        """Say whether a block is another one than what is trusted at its height."""

    def final(self) -> Block:
        """Return the last final block."""

    def best_number(self) -> int:
        """Return the height of the best block."""

    def changes_voters(self, header: Header) -> bool:
        """Say whether a block's justification is needed for what comes after it."""

    def has_not(self, peer: str, number: int) -> None:
        """Note that a peer has not got a block that it said it has."""

    def has_only(self, peer: str, best: Block) -> None:
        """Note that a peer has less than it said."""

    def has_memory(self, download: "Download", *, is_first: bool) -> bool:
        """Say whether a download may ask for more bodies; `is_first`: for those it waits for."""

    def has_room(self) -> bool:
        """Say whether more blocks may be handed on."""

    def hand_on(self, block: Incoming) -> None:
        """Import a block after those handed on before."""


@dataclass(slots=True)
class Chunk:
    """Some headers in a row, and what is there of their bodies."""

    headers: list[Header]
    found: dict[Hash, Incoming] = field(default_factory=dict)
    hashes: list[Hash] = field(default_factory=list)
    asked: bool = False
    lacking: set[str] = field(default_factory=set)  # peers that had nothing of it
    sparing: set[str] = field(default_factory=set)  # peers that gave little of it

    def __post_init__(self) -> None:
        self.hashes = [header.hash() for header in self.headers]

    def missing(self) -> int:
        """Return how many lack a body: those below the ones that are there, since answers go downwards."""
        return len(self.headers) - len(self.found)


class Download:
    """Gets the chain of a target; `step` does what can be done now."""

    def __init__(
        self, work: Work, target: Block, holders: Iterable[str], *, is_best: bool, is_claimed: bool = True
    ) -> None:
        self.target = target
        self.ended = False
        self.failed = False
        self.holders = list(holders)  # who is asked for headers, the first first
        self._work = work
        self._is_claimed = is_claimed  # the holders say they have it
        self.is_long = is_best and target[1] - work.final()[1] > CHUNK
        self.is_far = is_best and target[1] - work.final()[1] > NEAR
        self._down: list[Header] = []  # of a near download, highest first
        self._weight = 0  # bytes of them
        self._last: Block | None = None  # of a far one: what the next headers are built on
        self._headers: deque[Header] = deque()
        self._chunks: deque[Chunk] = deque()
        self._wanted: set[Hash] = set()  # what is in _headers and _chunks
        self._has_all_headers = False
        self.held = 0  # bytes of bodies in _chunks
        self._asking = False
        self._lead = ""  # who was asked for headers last
        self._short = 0  # answers of it that were short

    @classmethod
    def of_header(cls, work: Work, header: Header, peer: str) -> "Download":
        """Return the download of one block on a known parent."""
        download = cls(work, (header.hash(), header.number), [peer], is_best=False)
        download._take([header])
        download._has_all_headers = True
        return download

    def __contains__(self, block: Hash) -> bool:
        return block == self.target[0] or block in self._wanted

    def left(self, peer: str) -> None:
        """Go on without a peer."""
        if peer in self.holders:
            self.holders.remove(peer)

    def abandon(self) -> None:
        """Stop; answers to come are ignored."""
        self.ended = self.failed = True

    def step(self) -> None:
        """Hand on what is complete and ask for what is missing."""
        while not self.ended and self._chunks and not self._chunks[0].missing() and self._work.has_room():
            self._hand_on(self._chunks.popleft())
        if self.ended:
            return
        if not self._has_all_headers and not self._asking and len(self._headers) < WINDOW:
            self._ask_headers()
        while self._headers and len(self._chunks) < MAX_CHUNKS:
            count = min(CHUNK, len(self._headers))
            self._chunks.append(Chunk([self._headers.popleft() for _ in range(count)]))
        for place, chunk in enumerate(self._chunks):
            is_open = not self.ended and not chunk.asked and chunk.missing()
            if is_open and self._work.has_memory(self, is_first=not place):
                self._ask_bodies(chunk)
        if self._has_all_headers and not self._headers and not self._chunks:
            self.ended = True

    # Headers.

    def _ask_headers(self) -> None:
        if not self.holders or self._work.is_known(self.target[0]):
            self.abandon()  # nobody is left, or it came another way
            return
        if self.is_far:
            self._ask_upwards()
            return
        if self._links_up():
            return
        start, above = self.target
        if self._down:
            start, above = self._down[-1].parent_hash, self._down[-1].number - 1
        count = min(MAX_BLOCKS, above - self._work.final()[1])
        if count <= 0:
            self.abandon()
            if self._is_claimed and self._down:
                self._work.blame(self._lead, Fault.OTHER_FINALITY, f"#{self.target[1]}")
            return
        self._ask_lead(start, count, self._came_down, descending=True)

    def _ask_upwards(self) -> None:
        if self._last is None:
            self._ask_lead(self._work.best_number(), 1, self._came_common, descending=False)
        else:
            self._ask_lead(self._last[1] + 1, MAX_BLOCKS, self._came_up, descending=False)

    def _ask_lead(
        self, start: Hash | int, count: int, came: Callable[[list[Header]], None], *, descending: bool
    ) -> None:
        """Ask the first holder; where it fails, the next one is asked in its place."""
        lead = self._lead = self.holders[0]

        def answered(blocks: list[BlockData]) -> None:
            self._asking = False
            if not self.ended:
                came([each.header for each in blocks[:count]])

        def failed() -> None:
            self._asking = False
            self.left(lead)

        self._asking = self._work.ask(lead, start, count, HEADERS, answered, failed, descending=descending)

    def _came_down(self, headers: list[Header]) -> None:
        expected = self._down[-1].parent_hash if self._down else self.target[0]
        if not headers:
            self._next_holder(Fault.USELESS if self._is_claimed else None)
            return
        for header in headers:
            if header.hash() != expected:
                self._next_holder(Fault.WRONG_BLOCKS)
                return
            if self._refuses(header):
                return
            self._down.append(header)
            self._weight += len(header.encode())
            expected = header.parent_hash
        if self._links_up():
            return
        if len(self._down) >= NEAR or self._weight > MAX_WEIGHT:
            self.abandon()
        elif self._is_too_slow(headers):
            self._next_holder(Fault.USELESS if self._is_claimed else None)

    def _links_up(self) -> bool:
        """Take the headers down to the highest that is built on a block known by now, if there is one."""
        for place, header in enumerate(self._down):
            if self._work.is_known(header.parent_hash):
                self._take(reversed(self._down[: place + 1]))
                self._has_all_headers = True
                return True
        return False

    def _came_common(self, headers: list[Header]) -> None:
        header = headers[0] if headers else None
        if header is not None and self._work.is_known(header.hash()):
            self._last = header.hash(), header.number
        else:
            self._last = self._work.final()

    def _came_up(self, headers: list[Header]) -> None:
        assert self._last is not None, "the common block comes first"
        for header in headers:
            if header.parent_hash != self._last[0] or header.number != self._last[1] + 1:
                self._next_holder(Fault.USELESS if header is headers[0] else Fault.WRONG_BLOCKS)
                return
            if self._refuses(header):
                return
            self._last = header.hash(), header.number
            if not self._work.is_known(self._last[0]):
                self._take([header])
        if self._last[1] >= self.target[1] or not headers:
            self._has_all_headers = True
            if self._last[1] < self.target[1]:
                self._work.has_only(self._lead, self._last)
        elif self._is_too_slow(headers):
            self._next_holder(Fault.USELESS)

    def _is_too_slow(self, headers: list[Header]) -> bool:
        """Count short answers: who gives a header at a time, and takes its time, leads nowhere."""
        is_short = len(headers) < FEW and sum(len(each.encode()) for each in headers) < FEW_BYTES
        self._short += is_short
        return self._short > MAX_SHORT

    def _refuses(self, header: Header) -> bool:
        """Give up on a chain with a bad block; no honest peer has it."""
        if self._work.is_beside(header):
            self.abandon()
            self._work.blame(self._lead, Fault.BESIDE_CHECKPOINT, f"#{header.number}")
            return True
        if self._work.is_bad(header):
            self.abandon()
            self._blame_lead(Fault.BAD_BLOCK)
            return True
        return False

    def _next_holder(self, reason: Fault | None) -> None:
        """Begin anew with another peer; a far download gives up, another one follows it."""
        self.left(self._lead)
        self._down.clear()
        self._short = self._weight = 0
        if self.is_far:
            self.abandon()
        if reason is not None:
            self._blame_lead(reason)

    def _blame_lead(self, reason: Fault) -> None:
        self._work.blame(self._lead, reason, f"#{self.target[1]}")

    def _take(self, headers: Iterable[Header]) -> None:
        for header in headers:
            self._headers.append(header)
            self._wanted.add(header.hash())

    # Bodies.

    def _ask_bodies(self, chunk: Chunk) -> None:
        """Ask for the bodies of a chunk downwards from the highest that is missing."""
        top = chunk.headers[chunk.missing() - 1]
        hopes = dict.fromkeys((*self._work.candidates(top.number), *self.holders))
        left = [peer for peer in hopes if peer not in chunk.lacking]
        if not left:
            self.abandon()
        for peer in [each for each in left if each not in chunk.sparing] or left:
            if self._ask_for(chunk, peer):
                return

    def _ask_for(self, chunk: Chunk, peer: str) -> bool:
        count = chunk.missing()

        def answered(blocks: list[BlockData]) -> None:
            chunk.asked = False
            if not self.ended:
                self._came_bodies(chunk, peer, blocks[:count])

        def failed() -> None:
            chunk.asked = False
            chunk.lacking.add(peer)

        chunk.asked = self._work.ask(
            peer, chunk.hashes[count - 1], count, BLOCKS, answered, failed, descending=True
        )
        return chunk.asked

    def _came_bodies(self, chunk: Chunk, peer: str, blocks: list[BlockData]) -> None:
        if not blocks:
            chunk.lacking.add(peer)
            if peer in self.holders and self._is_claimed:
                self._work.has_not(peer, chunk.headers[chunk.missing() - 1].number)
        size = 0
        for found in blocks:
            place = chunk.missing() - 1
            header = chunk.headers[place]
            if found.header != header or found.body is None or not _fits(found.body, header):
                chunk.lacking.add(peer)
                self._work.blame(peer, Fault.WRONG_BLOCKS, f"#{header.number}")
                return
            block = chunk.hashes[place]
            chunk.found[block] = Incoming(block, header, found.body, found.justification, peer)
            self.held += chunk.found[block].size
            size += chunk.found[block].size
        if chunk.missing() and size < FEW_BYTES:
            chunk.sparing.add(peer)

    def supply(self, body: list[bytes], peer: str) -> None:
        """Take the body that came with the announcement of the one block of this download."""
        (header,) = self._headers
        self._headers.clear()
        chunk = Chunk([header])
        if _fits(body, header):
            chunk.found[self.target[0]] = incoming = Incoming(self.target[0], header, body, None, peer)
            self.held += incoming.size
        else:
            self._work.blame(peer, Fault.WRONG_BLOCKS, f"#{header.number}")
        self._chunks.append(chunk)

    def _hand_on(self, chunk: Chunk) -> None:
        """Hand on whole blocks; of the justifications in a row, those that something hangs on."""
        blocks = [chunk.found[block] for block in chunk.hashes]
        following = self._chunks[0].headers if self._chunks else islice(self._headers, ABOVE)
        headers = [*chunk.headers, *following]
        proven = [each.block for each in blocks if each.justification is not None]
        for place, each in enumerate(blocks, 1):
            self.held -= each.size
            self._wanted.discard(each.block)
            is_needed = each.block in proven[-1:] or self._work.changes_voters(each.header)
            proof, above = each.justification if is_needed else None, tuple(headers[place : place + ABOVE])
            self._work.hand_on(replace(each, justification=proof, above=above))


def _fits(body: list[bytes], header: Header) -> bool:
    return ordered_root(body) == header.extrinsics_root
