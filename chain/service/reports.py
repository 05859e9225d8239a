"""Tells the chain who signed twice: finds the two signatures, proves whose key made them, files the report.

    two blocks of one author in one slot | two votes of one voter in one round
        -> whose key it was then (runtime API) -> an unsigned report -> the pool -> a block of this node

Nobody gossips reports: every honest node that saw both signatures makes its own, and the runtime takes the
first. A key of this node is never reported by it: who runs it twice by mistake learns it from the log.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chain.common.errors import RuntimeMissing, StateDiscarded, SubmitError, UnknownBlock
from chain.common.hashes import short
from chain.common.notifications import ImportNotification
from chain.executor import Executor
from chain.storage.store import ChainStore
from runtime.frame.state import State
from runtime.primitives.babe import EquivocationProof, pre_digest_of
from runtime.primitives.grandpa import EquivocationProof as VoteEquivocation
from runtime.primitives.header import Header
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import Hash
from runtime.primitives.validity import TransactionSource

log = logging.getLogger("offences")

REMEMBERED = 2_048
"""headers by slot and author; more than an hour of the fastest chain"""
WAITING = 256
"""deeds that wait to be reported; the oldest make room"""

LATER = ("Future", "CannotLookup")
"""Refusals that may not last: the best chain has not begun the session, or this node lacks the runtime."""

Submit = Callable[[bytes, TransactionSource], Hash]
"""Take a transaction in. Raises: SubmitError."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What one key did in one slot or round; the proof of it, and the blocks whose state knows the key."""

    pallet: str
    place: int  # the slot of blocks, the set of votes
    key: bytes
    proof: EquivocationProof | VoteEquivocation
    blocks: tuple[Hash, ...]
    text: str


class Reports:
    """Remembers the headers of late and reports each deed once."""

    def __init__(
        self, store: ChainStore, executor: Executor, submit: Submit, owns: Callable[[bytes], bool]
    ) -> None:
        self._store = store
        self._executor = executor
        self._submit = submit
        self._owns = owns
        self._sealed: dict[tuple[int, int], Header] = {}  # by slot and authority
        self._seen: dict[tuple[str, bytes, int, int], None] = {}
        self._due: deque[Deed] = deque(maxlen=WAITING)
        self._later: deque[Deed] = deque(maxlen=WAITING)
        self._changed = asyncio.Event()
        for header in self._unfinalized():
            self._note(header)

    def imported(self, note: ImportNotification) -> None:
        """Compare a block that is stored now, its seal verified, with the one its author made before."""
        first = self._note(note.header)
        if first is not note.header:
            self._compare(first, note.header)
        if self._later:
            self._due.extend(self._later)
            self._later.clear()
            self._changed.set()

    def voted_twice(self, proof: VoteEquivocation) -> None:
        """Hear of a voter that voted for two blocks in one round; its signatures are verified."""
        vote = proof.equivocation
        text = f"0x{vote.identity.hex()} voted twice in round {vote.round_number} of set {proof.set_id}"
        blocks = self._store.finalized, self._store.best
        self._accuse(Deed("Grandpa", proof.set_id, vote.identity, proof, blocks, text), vote.round_number)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._due:
                self._report(self._due.popleft())
                await asyncio.sleep(0)

    # Two blocks of a slot.

    def _unfinalized(self) -> Iterator[Header]:
        """Yield the headers above the last final block, so that a restart forgets none of them."""
        for leaf in self._store.leaves():
            while (header := self._store.header(leaf)) and header.number > self._store.finalized_number:
                yield header
                leaf = header.parent_hash

    def _note(self, header: Header) -> Header:
        """Remember a header; return the first one of its slot and author."""
        digest = pre_digest_of(header)
        first = self._sealed.setdefault((digest.slot, digest.authority_index), header)
        if len(self._sealed) > REMEMBERED:
            del self._sealed[next(iter(self._sealed))]
        return first

    def _compare(self, first: Header, second: Header) -> None:
        """Accuse the author of two blocks; an index may mean two keys where forks elected others."""
        digest, blocks = pre_digest_of(second), (second.hash(), first.hash())
        state = self._state(blocks[0])
        if state is None:
            return
        epoch, _, _ = self._executor.current_epoch(state)
        public = epoch.authorities[digest.authority_index][0]
        proof = EquivocationProof(public, digest.slot, first, second)
        if proof.is_valid():
            pair = " and ".join(map(short, reversed(blocks)))
            text = f"0x{public.hex()} sealed two blocks for slot {digest.slot}: {pair}"
            self._accuse(Deed("Babe", digest.slot, public, proof, (self._store.best, *blocks), text), 0)

    # The report.

    def _accuse(self, deed: Deed, round_: int) -> None:
        name = deed.pallet, deed.key, deed.place, round_
        if name in self._seen:
            return
        self._seen[name] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if self._owns(deed.key):
            log.error(
                "🚨 %s: this node's own key. Another node signs with it too: stop one of them", deed.text
            )
            return
        log.warning("⚖️ %s", deed.text)
        self._due.append(deed)
        self._changed.set()

    def _report(self, deed: Deed) -> None:
        """File the report with whichever proof of the key's owner holds on the best chain."""
        if self._state(self._store.best) is None:
            self._later.append(deed)
            return
        refused = None
        for extrinsic in self._extrinsics(deed):
            try:
                transaction = self._submit(extrinsic, TransactionSource.Local)
            except SubmitError as problem:
                refused = problem
                if _reason(problem) == "BadProof":
                    continue  # of a fork with other sessions
                break
            log.info("⚖️ %s: reported by 0x%s", deed.text, transaction.hex())
            return
        if refused is None:
            log.warning("⚖️ %s: not reported, no state shows whose the key was", deed.text)
        elif _reason(refused) in LATER:
            self._later.append(deed)
        else:
            log.info("⚖️ %s: not reported: %s", deed.text, refused)

    def _extrinsics(self, deed: Deed) -> Iterator[bytes]:
        """Yield the report in the words of the best block, once for each proof of whose the key was."""
        known = None
        for block in deed.blocks:
            state = self._state(block)
            owned = state and self._executor.key_ownership(state, deed.pallet, deed.place, deed.key)
            if owned is not None and owned != known:
                known = owned
                best = self._store.state_at(self._store.best)
                name = "report_equivocation_unsigned"
                yield self._executor.unsigned(best, deed.pallet, name, deed.proof, owned)

    def _state(self, block: Hash) -> State | None:
        try:
            state = self._store.state_at(block)
            self._executor.native(state)
        except (StateDiscarded, UnknownBlock, RuntimeMissing):
            return None
        return state


def _reason(refused: SubmitError) -> str | None:
    """Return the runtime's reason for a refusal, None where it is the pool's own."""
    problem = refused.__cause__
    return problem.reason if isinstance(problem, TransactionRejected) else None
