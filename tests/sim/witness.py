"""What must never happen, checked as it happens; and the trace that proves two runs to be the same.

The witness sees every signature that leaves a guard, every block that is imported or final anywhere, and
every message that is delivered. It never raises into a node, which might survive it: it notes what is broken
and the run ends. It counts for itself and asks no code of the voter's.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct

from chain.common.notifications import FinalityNotification, ImportNotification
from chain.consensus.slots import pre_hash
from chain.node import Node
from chain.storage.db import FLAT, HEADERS, META
from runtime.primitives.babe import pre_digest_of
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    JUSTIFICATION,
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    ScheduledChange,
)
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header, decode_header
from runtime.primitives.trie import trie_root
from runtime.primitives.types import Hash
from tests.sim.loop import VirtualLoop
from tests.sim.machine import Machine

_MOMENT = Struct("<dB")
PHASES = {PrimaryPropose: "proposal", Prevote: "prevote", Precommit: "precommit"}
Authorities = list[tuple[bytes, int]]


@dataclass
class Figures:
    """What a run amounts to."""

    imports: int = 0
    votes: int = 0
    seals: int = 0
    delivered: int = 0
    sets: int = 0  # that have finalised something
    offences: int = 0  # that the chain knows of
    latency: list[float] = field(default_factory=list)  # seconds from a block to its finality, on each node

    def median_latency(self) -> float:
        """Return seconds from block to finality of the middle block."""
        return statistics.median(self.latency) if self.latency else 0.0


class Lineage:
    """Which set of voters each block belongs to: those who may vote for it."""

    def __init__(self, genesis: Hash, voters: Authorities) -> None:
        self._sets: dict[Hash, int] = {genesis: 0}
        self._next: dict[Hash, Authorities] = {}  # what a block announces
        self._voters: dict[Hash, Authorities] = {genesis: voters}

    def add(self, block: Hash, header: Header) -> None:
        """Add a block whose parent is known."""
        if block in self._sets:
            return
        parent = header.parent_hash
        changed = self._next.get(parent)
        self._sets[block] = self._sets[parent] + (changed is not None)
        self._voters[block] = self._voters[parent] if changed is None else changed
        announced = announced_voters(header)
        if announced is not None:
            self._next[block] = announced

    def set_of(self, block: Hash) -> int | None:
        """Return the set that votes for a block; None of an unknown one."""
        return self._sets.get(block)

    def voters_of(self, block: Hash) -> Authorities:
        """Return who votes for a block."""
        return self._voters[block]


def announced_voters(header: Header) -> Authorities | None:
    """Return the next voters, where a block announces them."""
    for log in header.digest.logs:
        if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE:
            change = CONSENSUS_LOG.decode(log._1)
            if isinstance(change, ScheduledChange):
                return list(change._0.next_authorities)
    return None


class Witness:
    """Sees everything and forgets nothing."""

    def __init__(self, loop: VirtualLoop, lineage: Lineage, on_broken: Callable[[], None]) -> None:
        self.broken: list[str] = []
        self.figures = Figures()
        self.lineage = lineage
        self.final: dict[int, Hash] = {}  # as honest nodes have it
        self.born: dict[Hash, float] = {}
        self.byzantine: set[bytes] = set()  # keys that may sign anything
        self._loop = loop
        self._on_broken = on_broken
        self._votes: dict[tuple[bytes, int, int, str], bytes] = {}
        self._seals: dict[tuple[bytes, int], bytes] = {}
        self._sealed: dict[bytes, bytes] = {}  # what was sealed -> by which key
        self._authors: dict[Hash, bytes] = {}  # block -> key
        self._seen: dict[tuple[str, int], Hash] = {}  # machine and slot -> the first block there
        self.caught: dict[bytes, float] = {}  # key -> when an honest node last saw two blocks of a slot
        self._trace = blake2b(digest_size=16)

    @property
    def height(self) -> int:
        """The last final block of whoever is ahead."""
        return max(self.final, default=0)

    @property
    def trace(self) -> str:
        """The hash of all that has happened so far."""
        return self._trace.hexdigest()

    def fail(self, what: str) -> None:
        """Note a broken promise, and end the run."""
        self.broken.append(f"at {self._loop.time():.3f} s: {what}")
        self._on_broken()

    def attend(self, machine: Machine, node: Node) -> None:
        """Watch a node that has just been opened."""
        life = machine.life

        def imported(note: ImportNotification) -> None:
            if life.alive:
                self._imported(machine, node, note)

        def finalized(note: FinalityNotification) -> None:
            if life.alive:
                self._finalized(machine, node, note)

        node.feed.listen(imported, finalized)
        if not machine.honest:
            deafen(node)
        self._watch_guard(machine, node)

    def delivered(self, sender: str, receiver: str, channel: int, message: bytes) -> None:
        """Add a message to the trace."""
        self.figures.delivered += 1
        self._trace.update(_MOMENT.pack(self._loop.time(), channel) + sender.encode() + receiver.encode())
        self._trace.update(message)

    # Signatures.

    def _watch_guard(self, machine: Machine, node: Node) -> None:
        guard, life = node._guard, machine.life
        sign_vote, sign_seal = guard.sign_vote, guard.sign_seal

        def vote(pair, message, round_, set_id):  # type: ignore[no-untyped-def]
            signature = sign_vote(pair, message, round_, set_id)
            if life.alive:
                self.voted(machine.name, pair.public, message, round_, set_id)
            return signature

        def seal(pair, slot, unsealed):  # type: ignore[no-untyped-def]
            signature = sign_seal(pair, slot, unsealed)
            if life.alive:
                self.sealed(machine.name, pair.public, slot, unsealed)
            return signature

        guard.sign_vote, guard.sign_seal = vote, seal  # type: ignore[method-assign]

    def voted(self, where: str, public: bytes, message: Message, round_: int, set_id: int) -> None:
        """Check a vote against all others of its key, and against the set that may cast it."""
        self.figures.votes += 1
        phase, target = PHASES[type(message)], message.target_hash
        if public in self.byzantine:
            return
        if self._votes.setdefault((public, set_id, round_, phase), target) != target:
            self.fail(f"{where} has signed a second {phase} in round {round_} of set {set_id}")
        right = self.lineage.set_of(target)
        if right is not None and set_id != right and message.target_number not in self.final:
            self.fail(f"{where} votes in set {set_id} for block {message.target_number} of set {right}")

    def sealed(self, where: str, public: bytes, slot: int, unsealed: bytes) -> None:
        """Check a seal against all others of its key."""
        self.figures.seals += 1
        self._sealed[unsealed] = public
        if public not in self.byzantine and self._seals.setdefault((public, slot), unsealed) != unsealed:
            self.fail(f"{where} has sealed a second block in slot {slot}")

    # Blocks.

    def _imported(self, machine: Machine, node: Node, note: ImportNotification) -> None:
        self.figures.imports += 1
        if note.hash not in self.born:
            self.born[note.hash] = self._loop.time()
            self._learn(node, note.hash, note.header)
            author = self._sealed.get(pre_hash(note.header.unsealed()[0]))
            if author is None:
                self.fail(f"{machine.name} imports block {note.header.number}, which nobody sealed")
            else:
                self._authors[note.hash] = author
        self._note(f"{machine.name} imports", note.hash)
        self._check_best(machine, node)
        if machine.honest:
            self._catch(machine, note)

    def _catch(self, machine: Machine, note: ImportNotification) -> None:
        """Note who has made two blocks for a slot, when an honest node has seen both."""
        place = machine.name, pre_digest_of(note.header).slot
        first = self._seen.setdefault(place, note.hash)
        author = self._authors.get(note.hash)
        if first != note.hash and author is not None and author == self._authors.get(first):
            self.caught[author] = self._loop.time()

    def _learn(self, node: Node, block: Hash, header: Header) -> None:
        """Note a block and, before it, those whose import a loss of power kept from being told."""
        waiting = [(block, header)]
        while self.lineage.set_of(waiting[-1][1].parent_hash) is None:
            parent = waiting[-1][1].parent_hash
            above = node.store.header(parent)
            assert above is not None, "the parent of an imported block is stored"
            waiting.append((parent, above))
        for each, its_header in reversed(waiting):
            self.lineage.add(each, its_header)

    def _finalized(self, machine: Machine, node: Node, note: FinalityNotification) -> None:
        self._note(f"{machine.name} finalises", note.hash)
        if not machine.honest:
            return
        number = note.header.number - len(note.finalized)
        for block in note.finalized:
            number += 1
            if block in self.born:
                self.figures.latency.append(self._loop.time() - self.born[block])
            if self.final.setdefault(number, block) != block:
                self.fail(f"{machine.name} finalises another block {number} than others have")
        self._check_weight(machine, node, note)
        self._check_best(machine, node)

    def _check_weight(self, machine: Machine, node: Node, note: FinalityNotification) -> None:
        """Count who stands behind finality: more than two thirds of the set that votes for the block."""
        proof = node.store.justification(note.hash)
        if proof is None:
            self.fail(f"{machine.name} finalises block {note.header.number} without a proof")
            return
        voters = dict(self.lineage.voters_of(note.hash))
        signers = {signed.id for signed in JUSTIFICATION.decode(proof).commit.precommits}
        weight, total = sum(voters.get(public, 0) for public in signers), sum(voters.values())
        if 3 * (total - weight) >= total:
            self.fail(f"{machine.name} finalises block {note.header.number} with {weight} of {total}")
        self.figures.sets = max(self.figures.sets, 1 + (self.lineage.set_of(note.hash) or 0))

    def _check_best(self, machine: Machine, node: Node) -> None:
        store = node.store
        if machine.honest and store.hash_at(store.finalized_number) != store.finalized:
            self.fail(f"the best chain of {machine.name} lacks its final block {store.finalized_number}")

    def _note(self, what: str, content: bytes) -> None:
        self._trace.update(f"{self._loop.time()!r} {what} ".encode() + content)


def deafen(node: Node) -> None:
    """Make a node byzantine that runs with somebody's keys: its guard does not want to hear of the other."""
    guard = node._guard
    guard.heard_seal = guard.heard_vote = lambda *_, **__: None  # type: ignore[method-assign]


def state_flaw(machines: list[Machine]) -> str | None:
    """Say which node has another state on disk than the header of its block says, or than others have."""
    known: dict[bytes, dict[bytes, bytes]] = {}
    for machine in machines:
        meta, flat = machine.tables.columns[META], machine.tables.columns[FLAT]
        block = meta[b"disk"]
        if block not in known:
            known[block] = flat
            header = decode_header(machine.tables.columns[HEADERS][block])
            if trie_root(flat) != header.state_root:
                return f"the state of {machine.name} is not that of its block {header.number}"
        elif known[block] != flat:
            return f"{machine.name} has another state than others at block 0x{block.hex()}"
    return None
