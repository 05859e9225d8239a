"""What the nodes of one simulation need not each compute: verdicts on signatures, proofs, and executions.

All of it follows from its arguments alone. Of executed blocks a sample is executed again on another node's
state, and whatever differs ends the run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import ed25519_zebra

from chain.consensus.slots import Epoch
from chain.executor import Executor
from chain.storage.state import StateAt
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


@contextmanager
def shared_verdicts() -> Iterator[None]:
    """Have signatures and VRF proofs made and verified once, whoever asks."""
    places: tuple[tuple[Any, str], ...] = (
        (ed25519_zebra, "ed_verify"),
        (vrf, "prove"),
        (vrf, "verify"),
        (vrf, "proof_to_hash"),
    )
    before = [getattr(place, name) for place, name in places]
    for (place, name), function in zip(places, before, strict=True):
        setattr(place, name, lru_cache(REMEMBERED)(function))
    try:
        yield
    finally:
        for (place, name), function in zip(places, before, strict=True):
            setattr(place, name, function)
