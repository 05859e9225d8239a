"""What the nodes of one simulation need not each compute: verdicts on signatures, executions, state roots.

All of it follows from its arguments alone. Of executed blocks a sample is executed again on another node's
state, and whatever differs ends the run.
"""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import ed25519_zebra

from chain import node
from chain.consensus.grandpa import driver, messages
from chain.consensus.slots import Epoch
from chain.executor import Executor
from chain.storage import store
from chain.storage.state import Computed, Roots, StateAt, View
from chain.storage.trie import update
from runtime.frame.executive import Executed
from runtime.frame.state import State
from runtime.primitives import vrf
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash

T = TypeVar("T")

SAMPLED = 16
"""Of so many blocks one is executed by everybody."""
REMEMBERED = 1 << 15


class SharedExecutor(Executor):
    """Executes a block once for all nodes."""

    def __init__(self, disagreement: Callable[[str], None]) -> None:
        super().__init__()
        self._disagreement = disagreement
        self._known: dict[Hash, tuple[Executed, Mapping[str, Any]]] = {}
        self._answers: dict[tuple[object, ...], Any] = {}
        self.executed = self.shared = self.sampled = 0

    def execute(
        self, state: State, header: Header, body: list[bytes], supplied: Mapping[str, Any]
    ) -> Executed:
        """Execute a foreign block, or remember what came of it where that cannot depend on whose node it is.

        A stamp that lies ahead of one clock may not lie ahead of another: so only later clocks share.
        Raises: BlockRejected.
        """
        block = header.hash()
        known = self._known.get(block)
        if known is not None and _as_late(supplied, known[1]):
            if block[0] % SAMPLED:
                self.shared += 1
                return known[0]
            self.sampled += 1
        executed = super().execute(state, header, body, supplied)
        self.executed += 1
        if known is not None and known[0] != executed:
            self._disagreement(f"block {header.number} 0x{block.hex()} leads to two different states")
        self._known[block] = executed, dict(supplied)
        return executed

    def epoch(self, state: State, number: BlockNumber, slot: int) -> Epoch:
        """Return what decides the author of a slot."""
        return self._once(state, super().epoch, number, slot)

    def current_epoch(self, state: State) -> tuple[Epoch, int, int]:
        """Return the epoch of the state's block, its first slot and how many slots it has."""
        return self._once(state, super().current_epoch)

    def grandpa_set(self, state: State) -> tuple[Authorities, int]:
        """Return the voters and the number of their set."""
        return self._once(state, super().grandpa_set)

    def slot_duration(self, state: State) -> int:
        """Return ms per slot."""
        return self._once(state, super().slot_duration)

    def flaw(self, state: State) -> str | None:
        """Say why no chain can grow on a genesis state, None where one can."""
        return self._once(state, super().flaw)

    def _once(self, state: State, ask: Callable[..., T], *arguments: object) -> T:
        """Ask about the state of a block once."""
        if not isinstance(state, StateAt):
            return ask(state, *arguments)
        question = (state.block, ask.__name__, *arguments)
        if question not in self._answers:
            self._answers[question] = ask(state, *arguments)
        answer: T = self._answers[question]
        return answer


def _as_late(supplied: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Say whether a node knows the same of a block's inherents, at the same time or later."""
    same = {**supplied, "timestamp": 0} == {**before, "timestamp": 0}
    return bool(same and supplied["timestamp"] >= before["timestamp"])


class SharedRoots(Roots):
    """Computes the root of a block's changes once for all nodes; of a sample, each does it for itself."""

    def __init__(self) -> None:
        super().__init__()
        self._all: dict[Hash, list[Computed]] = {}

    def compute(self, parent: Hash, view: View, changes: Mapping[bytes, bytes | None]) -> Computed:
        """Return the root after these changes to the state of a block."""
        children = self._all.setdefault(parent, [])
        known = next((each for each in children if each.changes == changes), None)
        if known is not None and parent[0] % SAMPLED:
            return known
        computed = Computed(dict(changes), *update(view, changes))
        if known is None:
            children.append(computed)
        assert known is None or known == computed, f"two states of block 0x{parent.hex()} differ"
        return computed


class SharedMessages:
    """Decodes a GRANDPA message once, and checks its signatures once: nobody changes what was decoded."""

    def __init__(self) -> None:
        self.encode = messages.GOSSIP_MESSAGE.encode
        self._decode = messages.GOSSIP_MESSAGE.decode
        self._check = messages.check_signatures
        self._decoded: dict[bytes, Any] = {}
        self._good: set[int] = set()  # by identity, of what is in _decoded

    def decode(self, content: bytes) -> Any:
        """Return the message. Raises: DecodeError."""
        found = self._decoded.get(content)
        if found is None:
            found = self._decoded[content] = self._decode(content)
        return found

    def check_signatures(self, message: Any) -> None:
        """Check every signature of a message. Raises: Forged."""
        if id(message) not in self._good:
            self._check(message)
            self._good.add(id(message))


async def unobserved(name: str, work: Coroutine[Any, Any, None], observer: object) -> None:
    """Do the work of a task without a stopwatch."""
    await work


@contextmanager
def shared_verdicts() -> Iterator[None]:
    """Have signatures, VRF proofs and roots made and verified once, whoever asks, and nobody measured."""
    roots, gossip = SharedRoots(), SharedMessages()
    places: list[tuple[Any, str, Any]] = [
        (place, name, lru_cache(REMEMBERED)(getattr(place, name)))
        for place, name in (
            (ed25519_zebra, "ed_verify"),
            (vrf, "prove"),
            (vrf, "verify"),
            (vrf, "proof_to_hash"),
        )
    ]
    places += [
        (store, "Roots", lambda: roots),
        (node, "observed", unobserved),
        (driver, "GOSSIP_MESSAGE", gossip),
        (driver, "check_signatures", gossip.check_signatures),
    ]
    before = [getattr(place, name) for place, name, _ in places]
    for place, name, shared in places:
        setattr(place, name, shared)
    try:
        yield
    finally:
        for (place, name, _), original in zip(places, before, strict=True):
            setattr(place, name, original)
