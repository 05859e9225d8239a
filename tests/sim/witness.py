"""What must never happen, checked as it happens; and the trace that proves two runs to be the same.

The witness sees every signature that leaves a guard, every block that is imported or final anywhere, and
every message that is delivered. It never raises into a node, which might survive it: it notes what is broken
and the run ends.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from chain.consensus.grandpa.round import VoterSet
from chain.node import Node
from chain.notifications import FinalityNotification, ImportNotification
from chain.storage.db import FLAT, HEADERS, META
from runtime.primitives.grandpa import Message, Precommit, Prevote, PrimaryPropose
from runtime.primitives.header import decode_header
from runtime.primitives.trie import trie_root
from runtime.primitives.types import Hash
from tests.sim.loop import VirtualLoop
from tests.sim.machine import Machine

PHASES = {PrimaryPropose: "proposal", Prevote: "prevote", Precommit: "precommit"}


@dataclass
class Figures:
    """What a run amounts to."""

    imports: int = 0
    votes: int = 0
    seals: int = 0
    delivered: int = 0
    latency: list[float] = field(default_factory=list)  # seconds from a block to its finality, per block

    def median_latency(self) -> float:
        """Return seconds from block to finality of the middle block."""
        return statistics.median(self.latency) if self.latency else 0.0


class Witness:
    """Sees everything and forgets nothing."""

    def __init__(self, loop: VirtualLoop, on_broken: Callable[[], None]) -> None:
        self.broken: list[str] = []
        self.figures = Figures()
        self.final: dict[int, Hash] = {}  # as honest nodes have it
        self.sets: dict[Hash, int] = {}  # final block -> the set that finalised it
        self.born: dict[Hash, float] = {}
        self.byzantine: set[bytes] = set()  # keys that may sign anything
        self._loop = loop
        self._on_broken = on_broken
        self._votes: dict[tuple[bytes, int, int, str], bytes] = {}
        self._seals: dict[tuple[bytes, int], bytes] = {}
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
        node.feed.listen(
            lambda note: self._imported(machine, note), lambda note: self._finalized(machine, node, note)
        )
        self._watch_guard(machine, node)

    def delivered(self, sender: str, receiver: str, channel: int, message: bytes) -> None:
        """Add a message to the trace."""
        self.figures.delivered += 1
        self._note(f"{sender}>{receiver}/{channel}", message)

    # Signatures.

    def _watch_guard(self, machine: Machine, node: Node) -> None:
        guard, life = node._guard, machine.life
        sign_vote, sign_seal = guard.sign_vote, guard.sign_seal

        def vote(pair, message, round_, set_id):  # type: ignore[no-untyped-def]
            signature = sign_vote(pair, message, round_, set_id)
            if life.alive:
                self.voted(machine.name, pair.public, message, round_, set_id)
            return signature

        def seal(pair, slot, pre_hash):  # type: ignore[no-untyped-def]
            signature = sign_seal(pair, slot, pre_hash)
            if life.alive:
                self.sealed(machine.name, pair.public, slot, pre_hash)
            return signature

        guard.sign_vote, guard.sign_seal = vote, seal  # type: ignore[method-assign]

    def voted(self, where: str, public: bytes, message: Message, round_: int, set_id: int) -> None:
        """Check a vote against all others of its key."""
        self.figures.votes += 1
        phase, target = PHASES[type(message)], message.target_hash
        if public in self.byzantine:
            return
        if self._votes.setdefault((public, set_id, round_, phase), target) != target:
            self.fail(f"{where} has signed a second {phase} in round {round_} of set {set_id}")

    def sealed(self, where: str, public: bytes, slot: int, pre_hash: bytes) -> None:
        """Check a seal against all others of its key."""
        self.figures.seals += 1
        if public not in self.byzantine and self._seals.setdefault((public, slot), pre_hash) != pre_hash:
            self.fail(f"{where} has sealed a second block in slot {slot}")

    # Blocks.

    def _imported(self, machine: Machine, note: ImportNotification) -> None:
        self.figures.imports += 1
        self.born.setdefault(note.hash, self._loop.time())
        self._note(f"{machine.name} imports", note.hash)

    def _finalized(self, machine: Machine, node: Node, note: FinalityNotification) -> None:
        self._note(f"{machine.name} finalises", note.hash)
        if not machine.honest or not machine.life.alive:
            return
        number = note.header.number - len(note.finalized)
        for block in note.finalized:
            number += 1
            known = self.final.get(number)
            if known is None:
                self.final[number] = block
                if block in self.born:
                    self.figures.latency.append(self._loop.time() - self.born[block])
            elif known != block:
                self.fail(f"{machine.name} finalises another block {number} than others have")

    def _note(self, what: str, content: bytes) -> None:
        self._trace.update(f"{self._loop.time():.6f} {what} ".encode() + content)


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


def tolerated(voters: VoterSet) -> int:
    """Return the weight of voters that may be byzantine."""
    return voters.total - voters.threshold
