"""The state of one final block from several peers at once, range by range, each proven before it is kept.

    pieces    what is missing, cut at keys that proofs have shown to be there: one for each request
    answer    proven against the root of the target's header, then written (chain/storage/restore.py)
    liars     pay, and their piece goes to somebody else; who is slow or has nothing is left alone for a while
    late      whoever has nothing to do is asked, too, so that nobody holds up the last piece

What is written stays: after a restart only what is missing is fetched. A target whose state nobody has any
more is TargetGone; the state of another one is fetched from its beginning.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from chain.common.faults import Fault
from chain.common.state_data import MAX_ENTRIES, MAX_RANGE, NOTHING, STATE_RANGE, StateRange, entry_size
from chain.common.tasks import aside
from chain.env import Clock
from chain.storage.range_proof import Shown, verify_range
from chain.storage.restore import Restoration
from chain.sync.pieces import Piece, Pieces
from runtime.primitives.header import Header
from runtime.primitives.scale import DecodeError
from runtime.primitives.trie import ProofError
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

MAX_PEERS = 8
"""that are asked at once"""
PER_PEER = 2
"""requests to one peer at once: one is on its way while the other is answered"""
PATIENCE = 20.0
"""seconds a peer may take to answer"""
LATE = 2.0
"""seconds after which somebody who has nothing to do is asked, too; twice as many until the next one"""
MAX_TAKERS = 3
"""of one piece"""
REST = 1.0
"""seconds a peer is left alone after a fault; doubled by every further one until it answers well"""
MAX_REST = 32.0
"""seconds"""
LACKING = 10.0
"""seconds a peer is left alone that has not got the state"""
GONE = 60.0
"""seconds without progress, in which no peer has the state, until another target is wanted"""
REPORT = 5.0
"""seconds between two lines of progress"""


class TargetGone(Exception):
    """No peer has the state of the target any more: a newer block's is wanted."""


class Exchange(Protocol):
    """The way to peers."""

    def serve(self, fetching: "StateSync | None") -> None:
        """Hand what comes to whoever fetches a state."""

    def request(self, peer: str, block: Hash, start: bytes, end: bytes | None) -> int | None:
        """Ask a peer for a range; return the number of the request, None when it cannot be asked now."""

    def forget(self, peer: str, request: int) -> None:
        """Stop waiting for an answer."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer."""

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""


class Store(Protocol):
    """Where states are restored."""

    def restore(self, target: Header) -> Restoration:
        """Begin to restore the state of a block, or go on with it.

        Raises: StorageError.
        """


@dataclass(slots=True)
class _Peer:
    """How a peer answers."""

    asked: int = 0
    faults: int = 0  # since it answered well
    rests_until: float = 0.0
    lacks: bool = False  # it has said that it has not got the state


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that waits for its answer."""

    peer: str
    piece: Piece
    since: float


@dataclass(frozen=True, slots=True)
class _Kept:
    """What an answer was good for."""

    until: bytes | None  # from where on the piece is missing still; None: nothing is
    shown: Shown
    size: int  # bytes
    is_stingy: bool  # more would have fitted into the answer


class StateSync:
    """Fetches the state of one block at a time. Satisfies chain.network.states.Fetching."""

    def __init__(self, exchange: Exchange, store: Store, clock: Clock) -> None:
        self._exchange = exchange
        self._store = store
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._asked: dict[int, _Asked] = {}
        self._answers: deque[tuple[_Asked, bytes]] = deque()
        self._some = asyncio.Event()

    async def run(self, target: Header) -> Restoration:
        """Fetch the state of a block; what it returns lacks nothing.

        Raises: TargetGone when no peer has it any more; StorageError.
        """
        self._restoration = self._store.restore(target)
        self._block = target.hash()
        self._pieces = Pieces(self._restoration.missing)
        self._progressed = self._reported = self._clock.monotonic()
        self._exchange.serve(self)
        try:
            await self._fetch()
        finally:
            self._exchange.serve(None)
            for number, asked in self._asked.items():
                self._exchange.forget(asked.peer, number)
            self._asked.clear()
            self._peers.clear()
            self._answers.clear()
        return self._restoration

    # What peers tell.

    def joined(self, peer: str) -> None:
        """Note a peer."""
        self._peers[peer] = _Peer()
        self._some.set()

    def left(self, peer: str) -> None:
        """Forget a peer; what it was asked for goes to others."""
        self._peers.pop(peer, None)
        for number in [each for each, asked in self._asked.items() if asked.peer == peer]:
            self._pieces.give_back(self._asked.pop(number).piece)
        self._some.set()

    def answered(self, peer: str, request: int, encoded: bytes) -> None:
        """Handle the answer to a request of ours: a StateRange in its encoding."""
        asked = self._asked.pop(request, None)
        if asked is not None:
            self._peers[peer].asked -= 1
            self._answers.append((asked, encoded))
            self._some.set()

    def tick(self) -> None:
        """Do what is due: answers that never came, peers that have rested."""
        now = self._clock.monotonic()
        for number in [each for each, asked in self._asked.items() if asked.since + PATIENCE <= now]:
            asked = self._asked.pop(number, None)
            if asked is not None:  # whoever is blamed may leave with its other requests
                self._pieces.give_back(asked.piece)
                self._exchange.forget(asked.peer, number)
                self._peers[asked.peer].asked -= 1
                self._blame(asked.peer, Fault.TIMEOUT, "")
        self._some.set()

    # The fetching.

    async def _fetch(self) -> None:
        while self._restoration.missing:
            self._ask()
            await self._some.wait()
            self._some.clear()
            while self._answers:
                await self._take(*self._answers.popleft())
                self._ask()
            self._report()
            self._check_target()

    def _ask(self) -> None:
        """Ask for pieces whoever can be asked, who has least to do first."""
        now = self._clock.monotonic()
        busy = sum(peer.asked > 0 for peer in self._peers.values())
        able = [name for name, peer in self._peers.items() if peer.asked or peer.rests_until <= now]
        able = sorted(able, key=lambda name: (not self._peers[name].asked, self._peers[name].faults))
        able = sorted(able[: max(busy, MAX_PEERS)], key=lambda name: self._peers[name].asked)
        able = [name for name in able if self._peers[name].rests_until <= now]
        for depth in range(PER_PEER):
            takers = [name for name in able if self._peers[name].asked <= depth]
            for place, name in enumerate(takers):
                piece = self._pieces.take(len(takers) - place)
                if piece is None:
                    self._ask_for_late_ones([each for each in able if not self._peers[each].asked], now)
                    return
                self._ask_for(name, piece, now)

    def _ask_for_late_ones(self, idle: list[str], now: float) -> None:
        """Ask for what others are late with: the longest first."""
        for name in idle:
            late = [asked for asked in self._asked.values() if self._is_late(asked, now)]
            if not late:
                return
            piece = min(late, key=lambda asked: asked.since).piece
            self._pieces.take_too(piece)
            self._ask_for(name, piece, now)

    def _is_late(self, asked: _Asked, now: float) -> bool:
        takers = self._pieces.takers(asked.piece)
        return 0 < takers < MAX_TAKERS and asked.since + LATE * takers <= now

    def _ask_for(self, name: str, piece: Piece, now: float) -> None:
        """Ask a peer for a piece."""
        number = self._exchange.request(name, self._block, piece.span.start, piece.span.end)
        if number is None:
            self._pieces.give_back(piece)
        else:
            self._asked[number] = _Asked(name, piece, now)
            self._peers[name].asked += 1

    async def _take(self, asked: _Asked, encoded: bytes) -> None:
        """Keep an answer, if it is one, and if nobody else was quicker."""
        if not self._pieces.takers(asked.piece):
            return
        try:
            kept = await aside(partial(self._keep, asked.piece, encoded))
        except (ProofError, DecodeError) as problem:
            self._pieces.give_back(asked.piece)
            reason = Fault.FALSE_STATE if isinstance(problem, ProofError) else Fault.UNDECODABLE
            self._blame(asked.peer, reason, str(problem))
            return
        if kept is None:
            self._pieces.give_back(asked.piece)
            self._rest(asked.peer, LACKING, lacks=True)
            return
        self._pieces.got(asked.piece, kept.until, kept.shown, kept.size)
        if kept.is_stingy:
            self._blame(asked.peer, Fault.STINGY, f"{kept.size} bytes")
            return
        self._progressed = self._clock.monotonic()
        self._exchange.thank(asked.peer)
        if asked.peer in self._peers:
            self._peers[asked.peer].faults = 0
            self._peers[asked.peer].lacks = False

    def _keep(self, piece: Piece, encoded: bytes) -> _Kept | None:
        """Prove and write an answer; return what was kept, None where the peer has not got the state.

        Raises: DecodeError, ProofError, StorageError.
        """
        found: StateRange = STATE_RANGE.decode(encoded)
        if found == NOTHING:
            return None
        start, end = piece.span.start, piece.span.end
        shown = verify_range(self._restoration.target.state_root, start, found)
        entries = [each for each in found.entries if end is None or each[0] < end]
        is_whole = found.is_complete or len(entries) < len(found.entries)
        until = None if is_whole else entries[-1][0] + b"\x00"
        if until == end:
            until = None
        self._restoration.put(start, entries, end if until is None else until)
        size = sum(map(entry_size, entries))
        is_short = size < MAX_RANGE and len(entries) < MAX_ENTRIES
        return _Kept(until, shown, size, until is not None and is_short)

    def _check_target(self) -> None:
        """See whether it makes sense to go on.

        Raises: TargetGone.
        """
        is_stuck = self._clock.monotonic() - self._progressed > GONE
        peers = self._peers.values()
        has_gone = any(peer.lacks for peer in peers) and all(peer.lacks or peer.faults for peer in peers)
        if is_stuck and has_gone:  # whoever is silent or lies does not hold up the rest
            raise TargetGone(f"no peer has the state of #{self._restoration.target.number} any more")

    def _report(self) -> None:
        now, fetched = self._clock.monotonic(), self._pieces.fetched
        if now - self._reported >= REPORT:
            self._reported = now
            part = fetched * 100 // round(fetched + self._pieces.left + 1)
            log.info("⚙️  State sync %d %%, %.1f MiB", part, fetched / (1 << 20))

    def _blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer, and leave it alone for a while."""
        state = self._peers.get(peer)
        if state is not None:
            self._rest(peer, min(MAX_REST, REST * 2**state.faults), lacks=state.lacks)
            state.faults = min(state.faults + 1, 8)
        self._exchange.blame(peer, reason, detail)

    def _rest(self, peer: str, seconds: float, *, lacks: bool) -> None:
        state = self._peers.get(peer)
        if state is not None:
            state.rests_until, state.lacks = self._clock.monotonic() + seconds, lacks
