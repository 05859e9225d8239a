"""Who may call a blob server, as the chain says: a view that is renewed when somebody asks, not more often.

A judge takes a payload from the miner that has revealed it, in this round or one of the last few. Its own
work goes over the same connection to the node, so as little as possible is asked.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from chain.client import Chain
from chain.connection import NodeFailure
from miners.blobs.receipts import Owed
from miners.blobs.server import Expected
from miners.blobs.signing import BadRequest
from miners.shelf import Shelf

log = logging.getLogger("blobs")

STALE_SECONDS = 60.0
"""A view as old as this is renewed; who has left since is known then."""
EAGER_SECONDS = 5.0
"""Somebody who is not in the view has it renewed at most this often."""
AGAIN_SECONDS = 0.5
"""between two looks at what one miner has revealed"""
PATIENCE_SECONDS = 3.0
"""A caller waits no longer for a node that does not answer."""
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
        self._looked: dict[bytes, float] = {}

    async def stake(self, hotkey: bytes) -> int | None:
        """Return 1 for a judge, 0 for another neuron of the subnet, None for everybody else."""
        age = self._clock() - self._renewed
        if age >= (STALE_SECONDS if hotkey in self._callers else EAGER_SECONDS):
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(self._renew())
            await asyncio.wait({self._renewal}, timeout=PATIENCE_SECONDS)
        return int(self._callers[hotkey]) if hotkey in self._callers else None

    async def expects(self, hotkey: bytes, digest: bytes) -> Expected:
        """Return what the chain says about a payload that this miner has revealed.

        Raises: BadRequest.
        """
        if self._shelf is None:
            raise BadRequest(405, "only judges take payloads: push to those that have a validator permit")
        now = self._clock()
        if now - self._looked.get(hotkey, -AGAIN_SECONDS) < AGAIN_SECONDS:
            raise BadRequest(429, f"asked again within {AGAIN_SECONDS:g} s: wait")
        self._looked = {each: at for each, at in self._looked.items() if now - at < AGAIN_SECONDS}
        self._looked[hotkey] = now
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self._revealed(hotkey, digest)
        except (TimeoutError, NodeFailure) as problem:
            raise BadRequest(503, "this judge does not see the chain now: try again") from problem
        if found is None:
            raise BadRequest(
                404, f"hotkey 0x{hotkey.hex()[:8]}… has not revealed 0x{digest.hex()[:8]}… in the last "
                f"{OPEN_ROUNDS} rounds, as far as this judge has heard: reveal it, then try again",
            )  # fmt: skip
        number, length = found
        owed = Owed(self._chain.genesis_hash, self._netuid, number, hotkey)
        return Expected(length, self._shelf.of(number), owed)

    async def _renew(self) -> None:
        try:
            self._callers = await self._chain.callers(self._netuid)
        except NodeFailure as problem:
            log.warning("who is registered is not renewed: %s", problem)
        finally:
            self._renewed = self._clock()

    async def _revealed(self, hotkey: bytes, digest: bytes) -> tuple[int, int] | None:
        """Return in which round the miner has revealed a payload, and how many bytes it has."""
        head = await self._chain.finalized_head()
        current = await self._chain.query("Training.CurrentRound", self._netuid, at=head) or 0
        for number in range(current, max(0, current - OPEN_ROUNDS), -1):
            found = await self._chain.revealed(self._netuid, number, hotkey, at=head)
            if found is not None and found[0] == digest:
                return number, found[1]
        return None
