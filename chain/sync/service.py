"""Block sync: gets the chains that peers have and this node lacks, and the proofs that blocks are final.

    announced on a known parent  -> its body, or it came along      -> the queue -> the importer
    announced on an unknown one  -> a download of the chain to it    -> the queue -> the importer
    voted for (`fetch`)          -> a download from whoever has it
    a peer has more final blocks -> justifications upwards from ours

What a peer says it has is kept per peer and looked at again whenever something ends, so nothing is lost when
a download fails: the next look begins another one, with peers that have not failed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median_high
from typing import Protocol

from chain.checkpoints import Checkpoints
from chain.common.block_data import MAX_BLOCKS, PROOFS, BlockData, Fields
from chain.common.faults import Fault, PeerFault
from chain.env import Clock
from chain.sync.download import Block, Download
from chain.sync.queue import Importing, ImportQueue, Incoming
from runtime.primitives.babe import pre_digest_of
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

PATIENCE = 8.0
"""seconds a peer may take to answer"""
REST = 1.0
"""seconds a peer is left alone after a fault; doubled by every further one until it answers well"""
MAX_REST = 32.0
"""seconds"""
MAX_DOWNLOADS = 16
"""chains at once, of which one may be a long one: peers at slightly different heights share their past"""
MAX_WAITING = 512
"""blocks that wait for the importer; more are not asked for"""
MAX_HELD = 64 << 20
"""bytes of blocks on their way; beyond, the oldest download alone may ask for what it waits for"""
BEHIND = 5
"""blocks below the median of the peers from which on a node counts as syncing: Substrate's"""
FRESH_SECONDS = 60.0
"""since its slot began, in which a best block shows that this node is not far behind, whatever peers say"""
PROBE_EVERY = 60.0
"""seconds until those are asked again who said they lack what comes next: their gap may be filled by now"""
FINALITY_PATIENCE = 5.0
"""seconds in which votes and commits may make final what others have final"""


class Store(Protocol):
    """The blocks this node has."""

    @property
    def best(self) -> Hash: ...
    @property
    def best_number(self) -> int: ...
    @property
    def finalized(self) -> Hash: ...
    @property
    def finalized_number(self) -> int: ...
    def header(self, block: Hash) -> Header | None: ...


class Exchange(Protocol):
    """The way to peers."""

    def request(
        self, peer: str, start: Hash | int, count: int, *, descending: bool, fields: Fields
    ) -> int | None:
        """Ask a peer for blocks; return the number of the request, None when it cannot be asked now."""

    def forget(self, peer: str, request: int) -> None:
        """Stop waiting for an answer."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer."""

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""


@dataclass(slots=True)
class _Peer:
    """Where a peer stands, as far as it has said, and how it answers."""

    best: Block
    final: int
    first: int  # height from which on it has every block
    asked: int = 0
    faults: int = 0  # since it answered well
    standing: int = 0  # 1 once a block of it was good, -1 once it broke a promise, whichever was last
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Request:
    peer: str
    overdue: float
    answered: Callable[[list[BlockData]], None]
    failed: Callable[[], None]


class Sync:
    """Decides what is fetched from whom. Satisfies chain.sync.download.Work."""

    def __init__(
        self,
        store: Store,
        importer: Importing,
        exchange: Exchange,
        clock: Clock,
        changes_voters: Callable[[Header], bool],
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._store = store
        self._importer = importer
        self._exchange = exchange
        self._clock = clock
        self.changes_voters = changes_voters
        self._checkpoints = checkpoints or Checkpoints()
        self._is_held = False
        self._queue = ImportQueue(store, importer, clock, self.blame, self._imported)
        self._peers: dict[str, _Peer] = {}
        self._requests: dict[int, _Request] = {}
        self._downloads: list[Download] = []
        self._behind_since: float | None = None  # when a peer was first seen to have more final blocks
        self._proofs_from = 0
        self._has_warned = False
        self._probed = float("-inf")
        self.starting_number = store.best_number

    async def run(self) -> None:
        """Import what comes until cancelled.

        Raises: StorageError.
        """
        await self._queue.run()

    @property
    def queued(self) -> int:
        """Blocks that wait to be imported."""
        return len(self._queue)

    @property
    def target(self) -> int:
        """The height that half of the peers have reached, or this node where that is more.

        Who has not kept what it promised does not count until a block of it was good: any answer is cheap.
        """
        heights = [peer.best[1] for peer in self._peers.values() if peer.standing >= 0]
        return max(self._store.best_number, median_high(heights) if heights else 0)

    @property
    def is_major(self) -> bool:
        """Whether this node is far behind, so that it does not know what is going on.

        Peers say so, and so does its best block's slot: as many peers as you like may be one liar.
        """
        if self._is_held:
            return True
        return self.target > self._store.best_number + BEHIND and not self._is_fresh()

    @property
    def is_stale(self) -> bool:
        """Whether the best block here is an old one, whatever peers say."""
        return self._is_held or not self._is_fresh()

    def _is_fresh(self) -> bool:
        best = self._store.header(self._store.best)
        if best is None or not best.number:
            return False
        return self._importer.begins_in(pre_digest_of(best).slot) >= -FRESH_SECONDS

    def hold(self) -> None:
        """Fetch no blocks until `release`, but note what peers say, and ask what others want asked."""
        self._is_held = True

    def release(self) -> None:
        """Go on from where the chain stands now."""
        self._is_held = False
        self._look()

    def finals(self) -> dict[str, int]:
        """Return the peers that may be asked now, and how many blocks each says are final."""
        now = self._clock.monotonic()
        return {name: peer.final for name, peer in self._peers.items() if peer.rests_until <= now}

    def claims(self) -> dict[str, int]:
        """Return how many blocks each peer says are final, whether it may be asked now or not."""
        return {name: peer.final for name, peer in self._peers.items()}

    def has_from(self, peer: str, number: int) -> bool:
        """Say whether a peer says that it has every block from a height on."""
        found = self._peers.get(peer)
        return found is not None and found.first <= number

    def best_of(self, peer: str) -> Block | None:
        """Return the best block of a peer, as far as it has said."""
        found = self._peers.get(peer)
        return None if found is None else found.best

    # What peers tell.

    def joined(self, peer: str, best: Block, final: int, first: int = 0) -> None:
        """Note a peer, where it stands, and from which height on it has every block."""
        self._peers[peer] = _Peer(best, final, first)
        self._look()

    def left(self, peer: str) -> None:
        """Forget a peer; what it was asked for is asked of others at the next look.

        It may leave in the middle of anything, since whatever blames it may be the end of it.
        """
        self._peers.pop(peer, None)
        for number in [each for each, request in self._requests.items() if request.peer == peer]:
            self._requests.pop(number).failed()
        for download in self._downloads:
            download.left(peer)

    def announced(self, peer: str, header: Header, is_best: bool, body: list[bytes] | None) -> None:
        """Handle a block that a peer has imported.

        Raises: PeerFault.
        """
        block = header.hash()
        if self.is_bad(header):
            raise PeerFault(Fault.BAD_BLOCK, f"#{header.number}")
        if self.is_beside(header):
            raise PeerFault(Fault.BESIDE_CHECKPOINT, f"#{header.number}")
        if not self._is_held:
            self._importer.arrived(header)
        state = self._peers[peer]
        state.first = min(state.first, header.number)
        if is_best:
            state.best = block, header.number
        if self._is_new((block, header.number)) and self.is_known(header.parent_hash):
            download = Download.of_header(self, header, peer)
            if body is not None:
                download.supply(body, peer)
            self._begin(download)
        self._look()

    def answered(self, peer: str, request: int, blocks: list[BlockData]) -> None:
        """Handle the answer to a request of ours."""
        found = self._requests.pop(request, None)
        if found is None:
            return
        state = self._peers[peer]
        state.asked -= 1
        if blocks:
            state.faults = 0
        whole = [each.header.number for each in blocks if each.body is not None and each.header.number]
        state.first = min([state.first, *whole])  # a gap is filled downwards, and nobody says how far it is
        found.answered(blocks)
        self._look()

    def has_final(self, peer: str, number: int) -> None:
        """Note how many blocks a peer says are final."""
        if peer in self._peers:
            self._peers[peer].final = max(number, self._peers[peer].final)

    def fetch(self, block: Block) -> None:
        """Get a block that somebody voted for, from whoever has it."""
        self._queue.want(block[0])
        if self._is_new(block):
            holders = self.candidates(block[1]) or list(self._peers)
            self._begin(Download(self, block, holders, is_best=False, is_claimed=False))

    def tick(self) -> None:
        """Do what is due: answers that never came, finality that others have."""
        now = self._clock.monotonic()
        for number in [each for each, request in self._requests.items() if request.overdue <= now]:
            request = self._requests.pop(number, None)
            if request is not None:
                self._exchange.forget(request.peer, number)
                self._peers[request.peer].asked -= 1
                request.failed()
                self.blame(request.peer, Fault.TIMEOUT, "")
        self._look()
        self._probe(now)
        self._look_at_finality(now)

    # What downloads need.

    def ask(
        self,
        peer: str,
        start: Hash | int,
        count: int,
        fields: Fields,
        answered: Callable[[list[BlockData]], None],
        failed: Callable[[], None],
        *,
        descending: bool,
    ) -> bool:
        """Ask a peer; one of the two follows. False when it cannot be asked now."""
        state, now = self._peers.get(peer), self._clock.monotonic()
        if state is None or state.rests_until > now:
            return False
        number = self._exchange.request(peer, start, count, descending=descending, fields=fields)
        if number is None:
            return False
        state.asked += 1
        self._requests[number] = _Request(peer, now + PATIENCE, answered, failed)
        return True

    def candidates(self, number: int) -> list[str]:
        """Return the peers that have a block at a height and may be asked, the best choice first."""
        now = self._clock.monotonic()
        able = [
            (peer.standing < 0, peer.asked, peer.faults, place, name)
            for place, (name, peer) in enumerate(self._peers.items())
            if peer.first <= number <= peer.best[1] and peer.rests_until <= now
        ]
        return [name for *_, name in sorted(able)]

    def doubtful(self, number: int) -> list[str]:
        """Return the peers that had not got a block when they came, but others above it."""
        now = self._clock.monotonic()
        return [
            name
            for name, peer in self._peers.items()
            if number < peer.first and number <= peer.best[1] and peer.rests_until <= now
        ]

    def is_known(self, block: Hash) -> bool:
        """Say whether a block is stored, or certain to be tried first."""
        return block in self._queue or self._store.header(block) is not None

    def is_bad(self, header: Header) -> bool:
        """Say whether a block is refused, or is built on one that is."""
        return self._queue.is_bad(header)

    def is_beside(self, header: Header) -> bool:
        """Say whether a block is another one than what is trusted at its height."""
        return self._checkpoints.contradict(header.number, header.hash())

    def final(self) -> Block:
        """Return the last final block."""
        return self._store.finalized, self._store.finalized_number

    def best_number(self) -> int:
        """Return the height of the best block."""
        return self._store.best_number

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer, and leave it alone for a while."""
        state = self._peers.get(peer)
        if state is not None:
            state.rests_until = self._clock.monotonic() + min(MAX_REST, REST * 2**state.faults)
            state.faults = min(state.faults + 1, 8)
            state.standing = -1
        self._exchange.blame(peer, reason, detail)

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""
        self._exchange.thank(peer)

    def has_not(self, peer: str, number: int) -> None:
        """Note that a peer has not got a block; who keeps few of them may have let it go since."""
        state = self._peers.get(peer)
        if state is not None and state.first:
            state.first = max(state.first, number + 1)
        else:
            self.blame(peer, Fault.USELESS, f"#{number}")

    def has_only(self, peer: str, best: Block) -> None:
        """Note that a peer has less than it said."""
        if peer in self._peers:
            self._peers[peer].best = best
        self.blame(peer, Fault.FALSE_CLAIM, f"#{best[1]}")

    def has_memory(self, download: Download, *, is_first: bool) -> bool:
        """Say whether a download may ask for more bodies; `is_first`: for those it waits for."""
        if is_first and download is self._downloads[0]:
            return self.has_room()
        return sum(each.held for each in self._downloads) + self._queue.held < MAX_HELD

    def has_room(self) -> bool:
        """Say whether more blocks may be handed on."""
        return len(self._queue) < MAX_WAITING and self._queue.held < MAX_HELD

    def hand_on(self, block: Incoming) -> None:
        """Import a block after those handed on before."""
        self._queue.push(block)

    # What is missing.

    def _look(self) -> None:
        """Begin what should be under way, and go on with what is."""
        able = {name: peer for name, peer in self._peers.items() if peer.first <= self._store.best_number + 1}
        for name, peer in sorted(able.items(), key=lambda each: (-each[1].standing, each[1].faults)):
            if peer.rests_until <= self._clock.monotonic() and self._is_new(peer.best):
                holders = [name, *(other for other, each in able.items() if each.best == peer.best)]
                self._begin(Download(self, peer.best, dict.fromkeys(holders), is_best=True))
        for download in list(self._downloads):
            download.step()
        self._downloads = [each for each in self._downloads if not each.ended]
        self._warn_of_gaps(bool(able))

    def _probe(self, now: float) -> None:
        """Ask who lacked what comes next here, where nobody else has it."""
        wanted = self._store.best_number + 1
        doubtful = self.doubtful(wanted)
        if self._is_held or not doubtful or now - self._probed < PROBE_EVERY or self.candidates(wanted):
            return
        self._probed = now
        for peer in doubtful:
            self.ask(peer, wanted, 1, Fields.BODY, _nothing, _nothing, descending=False)

    def _warn_of_gaps(self, has_able: bool) -> None:
        """Say so once where no peer has what comes next here."""
        if not has_able and self._peers and self.is_major and not self._has_warned:
            self._has_warned = True
            log.warning(
                "⚠️ None of %d peers keeps the blocks from #%d on: connect to an archive node, or purge the "
                "chain and start with --sync warp", len(self._peers), self._store.best_number + 1,
            )  # fmt: skip

    def _begin(self, download: Download) -> None:
        """Begin a download unless there are better ones enough, or another long one, or it is too early."""
        if self._is_held or (download.is_long and any(each.is_long for each in self._downloads)):
            return
        self._downloads.append(download)
        if len(self._downloads) > MAX_DOWNLOADS:
            worst = min(reversed(self._downloads), key=self._merit)
            worst.abandon()
            self._downloads.remove(worst)

    def _merit(self, download: Download) -> tuple[int, int]:
        """Return what speaks for a download: who leads it, and how few others it leads.

        Places are few, and whoever says nothing holds one for as long as it may take to answer.
        """
        lead = download.holders[0] if download.holders else ""
        state = self._peers.get(lead)
        if state is None:
            return -2, 0
        return state.standing, -sum(lead in each.holders[:1] for each in self._downloads)

    def _is_new(self, block: Block) -> bool:
        """Say whether a block is missing and nothing is done about it yet."""
        if block[1] <= self._store.finalized_number or self.is_known(block[0]):
            return False
        if self._queue.is_excess(block[0]):  # until something is built on it
            return False
        return not any(block[0] in download for download in self._downloads)

    def _imported(self, incoming: Incoming, is_stored: bool) -> None:
        """Go on after a block; where it was refused, so is what was to come after it."""
        if not is_stored and self._queue.is_bad(incoming.header):
            for download in self._downloads:
                if incoming.block in download or download.target[1] > incoming.header.number:
                    download.abandon()
        sender = self._peers.get(incoming.peer)
        if is_stored and sender is not None:
            sender.standing = 1
            self.thank(incoming.peer)
        if not is_stored and incoming.block not in self._queue and sender is not None:
            sender.rests_until = self._clock.monotonic() + REST  # not to be offered the same again at once
        self._look()

    # Finality that others have.

    def _look_at_finality(self, now: float) -> None:
        """Ask for justifications where votes and commits have not made final what peers have final."""
        final = self._store.finalized_number
        ahead = [name for name in self.candidates(final + 1) if self._peers[name].final > final]
        if not ahead or self._store.best_number <= final or self.is_major:
            self._behind_since = None
            return
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since < FINALITY_PATIENCE:
            return
        self._proofs_from = max(self._proofs_from, final + 1)
        peer = ahead[0]

        def answered(blocks: list[BlockData]) -> None:
            self._came_proofs(peer, blocks)

        def failed() -> None:
            """Another one is asked when it is due again."""

        if self.ask(peer, self._proofs_from, MAX_BLOCKS, PROOFS, answered, failed, descending=False):
            self._behind_since = now

    def _came_proofs(self, peer: str, blocks: list[BlockData]) -> None:
        """Make final what is proven: at every change of voters, and the highest of the rest."""
        ours = [each for each in blocks if self._store.header(each.header.hash()) is not None]
        proven = [each for each in ours if each.justification is not None]
        for each in proven:
            is_needed = each is proven[-1] or self.changes_voters(each.header)
            if is_needed and each.header.number > self._store.finalized_number:
                assert each.justification is not None, "it was looked at"
                self._queue.finalize(each.header.hash(), each.header, each.justification, peer)
        reached = ours[-1].header.number if ours else self._proofs_from
        self._proofs_from = 0 if proven or len(ours) < MAX_BLOCKS else reached + 1
        if not proven and len(ours) < MAX_BLOCKS:
            self.blame(peer, Fault.USELESS, "no justification")
        if proven:
            self._behind_since = self._clock.monotonic() - FINALITY_PATIENCE  # there may be more


def _nothing(*_: object) -> None:
    """Do nothing: `Sync.answered` has taken note."""
