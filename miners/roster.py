"""Who may call a blob server, as the chain says: a view that is renewed when somebody asks, not more often.

A judge takes a payload from the miner that has revealed it, in this round or one of the last few.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from chain.client import Chain
from chain.connection import NodeFailure
from miners.blobs.server import Expected
from miners.blobs.signing import BadRequest
from miners.shelf import Shelf

log = logging.getLogger("blobs")

STALE_SECONDS = 12.0
"""A view as old as this is renewed; who has registered or left since is known then."""
EAGER_SECONDS = 2.0
"""Somebody or something that is not in the view has it renewed at most this often."""
PATIENCE_SECONDS = 3.0
"""A caller waits no longer for a node that does not answer"""
OPEN_ROUNDS = 3
"""The current round and those before it in which a payload may still be handed over."""


class Roster:
    """The registered hotkeys of a subnet and what they have revealed; with a shelf, payloads are taken."""

    def __init__(
        self,
        chain: Chain,
        netuid: int,
        shelf: Shelf | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._netuid = netuid
        self._shelf = shelf
        self._clock = clock
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = -STALE_SECONDS
        self._callers: dict[bytes, bool] = {}
        self._revealed: dict[tuple[bytes, bytes], tuple[int, int]] = {}  # hotkey, digest: round, bytes

    async def stake(self, hotkey: bytes) -> int | None:
        """Return 1 for a judge, 0 for another neuron of the subnet, None for everybody else."""
        await self._look(lambda: hotkey in self._callers)
        return int(self._callers[hotkey]) if hotkey in self._callers else None

    async def expects(self, hotkey: bytes, digest: bytes) -> Expected:
        """Return what the chain says about a payload that this miner has revealed.

        Raises: BadRequest.
        """
        if self._shelf is None:
            raise BadRequest(405, "only judges take payloads: push to those that have a validator permit")
        await self._look(lambda: (hotkey, digest) in self._revealed)
        found = self._revealed.get((hotkey, digest))
        if found is None:
            raise BadRequest(
                404, f"hotkey 0x{hotkey.hex()[:8]}… has not revealed 0x{digest.hex()[:8]}… in the last "
                f"{OPEN_ROUNDS} rounds, as far as this judge has heard: reveal it, then try again",
            )  # fmt: skip
        return Expected(found[1], self._shelf.of(found[0]))

    async def _look(self, is_known: Callable[[], bool]) -> None:
        """Renew the view where it is old or lacks somebody; without a node it stays as it is."""
        age = self._clock() - self._renewed
        if age < EAGER_SECONDS or (age < STALE_SECONDS and is_known()):
            return
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
        await asyncio.wait({self._renewal}, timeout=PATIENCE_SECONDS)

    async def _renew(self) -> None:
        try:
            callers = await self._chain.callers(self._netuid)
            revealed = await self._recent_reveals() if self._shelf is not None else {}
        except NodeFailure as problem:
            log.warning("who is registered is not renewed: %s", problem)
        else:
            self._callers, self._revealed = callers, revealed
        self._renewed = self._clock()

    async def _recent_reveals(self) -> dict[tuple[bytes, bytes], tuple[int, int]]:
        current = await self._chain.query("Training.CurrentRound", self._netuid) or 0
        found: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        for number in range(max(1, current - OPEN_ROUNDS + 1), current + 1):
            for update in await self._chain.updates(self._netuid, number):
                found[update.miner, update.digest] = number, update.length
        return found
