"""What those who fetch blocks need of the peers: whom they may ask, how, and who hears what came of it."""

from collections.abc import Callable
from typing import Protocol

from chain.common.block_data import BlockData, Fields
from chain.common.faults import Fault
from runtime.primitives.types import Hash


class Judging(Protocol):
    """Takes what faults cost, and notes what is good."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        """Take the cost of a fault from a peer, and leave it alone for a while."""

    def thank(self, peer: str) -> None:
        """Note that a peer has given something good."""


class Asking(Judging, Protocol):
    """Asks several at a time, who answer when they do."""

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

    def candidates(self, number: int) -> list[str]:
        """Return the peers that have blocks up to a height and may be asked, the best choice first."""


class Asked(Judging, Protocol):
    """Asks one after the other, and waits."""

    def finals(self) -> dict[str, int]:
        """Return the peers that may be asked now, and how many blocks each says are final."""

    def claims(self) -> dict[str, int]:
        """Return how many blocks each peer says are final, whether it may be asked now or not."""

    def has_from(self, peer: str, number: int) -> bool:
        """Say whether a peer says that it has every block from a height on."""

    async def blocks(
        self, peer: str, start: Hash | int, count: int, fields: Fields, *, descending: bool = False
    ) -> list[BlockData] | None:
        """Return blocks from a peer, upwards on its best chain or down; None where no answer comes."""
