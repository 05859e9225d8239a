"""What a judge keeps for others: the last two checkpoints, and every payload that entered the model since.

A round is done when all its accepted payloads lie here. What was revealed and did not enter is deleted a few
rounds later; what did enter, once a checkpoint after it lies here that is not the newest one. An archive
keeps all.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from chain.client import Accepted, Chain, Lineage
from miners.blobs.errors import BlobError, StoreFull
from miners.files import Damaged, number_in, read_whole, write_whole
from miners.replica import KEPT_CHECKPOINTS, Replica
from miners.shelf import RECENT_ROUNDS, Shelf

log = logging.getLogger("mirror")

STATE_FILE = "mirror.json"
AT_ONCE = 4
"""payloads fetched at a time; judging comes first"""
TOLD_ROUNDS = 100
"""between two lines about a long catch-up"""


class Mirror:
    """Follows the rounds of a subnet, and remembers how far it has come and what is missing."""

    def __init__(
        self, chain: Chain, replica: Replica, shelf: Shelf, home: Path, netuid: int, is_archive: bool = False
    ) -> None:
        self._chain = chain
        self._replica = replica
        self._shelf = shelf
        self._path = home / STATE_FILE
        self._netuid = netuid
        self._is_archive = is_archive
        self._whole = dict[int, set[bytes]]()  # of rounds that lack a payload: those read already
        self._begun, self._has_begun = 0, asyncio.Event()
        # The last round looked at; rounds with payloads not here; the last round whose payloads were deleted.
        self.done, self.missing, self.dropped = self._load()

    def begin(self, number: int) -> None:
        """Say that a round has begun; looking at those before it must not hold the judge up."""
        self._begun = number
        self._has_begun.set()

    async def follow(self) -> None:
        """Look at the rounds before each new one, for ever."""
        while True:
            await self._has_begun.wait()
            self._has_begun.clear()
            await self.hold_before(self._begun)

    async def hold_before(self, number: int) -> None:
        """Get what entered in the rounds before this one, and delete what nobody needs any more."""
        checkpoints = sorted(await self._chain.checkpoints(self._netuid))
        horizon = 0 if self._is_archive else max(checkpoints[: -KEPT_CHECKPOINTS + 1], default=0)
        self.missing = {each for each in self.missing if each > horizon}
        rounds = [*sorted(self.missing), *range(max(self.done, horizon) + 1, number)]
        for at, older in enumerate(rounds):
            step = await self._chain.lineage(self._netuid, older)
            is_held = step is None or await self._hold(older, step)
            (self.missing.discard if is_held else self.missing.add)(older)
            self._whole = {each: known for each, known in self._whole.items() if each in self.missing}
            self.done = max(self.done, older)
            if at % TOLD_ROUNDS == TOLD_ROUNDS - 1:
                log.info("mirroring: %d of %d rounds looked at", at + 1, len(rounds))
        if not self._is_archive:
            await self._drop(horizon)
        await asyncio.to_thread(self._tidy, number)

    async def _drop(self, horizon: int) -> None:
        """Delete what lies before a checkpoint that joiners can have from here."""
        held = max((each for each in self._shelf.models.rounds if each <= horizon), default=0)
        for older in range(self.dropped + 1, held + 1):
            step = await self._chain.lineage(self._netuid, older)
            for one in step.accepted if step else []:
                await asyncio.to_thread(self._shelf.kept.remove, one.digest)
            self.dropped = older
        await asyncio.to_thread(self._shelf.models.forget_before, held)

    async def _hold(self, number: int, step: Lineage) -> bool:
        """Say whether all payloads that entered in a round are kept here now."""
        doors, most = asyncio.Semaphore(AT_ONCE), step.parameters["max_payload_bytes"]
        return all(
            await asyncio.gather(*(self._hold_one(number, each, most, doors) for each in step.accepted))
        )

    async def _hold_one(self, number: int, one: Accepted, most: int, doors: asyncio.Semaphore) -> bool:
        whole = self._whole.setdefault(number, set())
        if one.digest in whole:
            return True
        async with doors:
            try:
                if not await asyncio.to_thread(self._shelf.holds, one.digest):
                    blob = await self._replica.blob(one.hotkey, one.digest, most, was_accepted=True)
                    await asyncio.to_thread(self._shelf.keep, one.digest, blob)
            except (BlobError, StoreFull, OSError) as problem:
                log.error("round %05d | an accepted payload is not mirrored here: %s", number, problem)
                return False
        whole.add(one.digest)
        return True

    def _tidy(self, number: int) -> None:
        if not self._is_archive:
            self._shelf.forget_before(number - RECENT_ROUNDS)
        state = {"round": self.done, "missing": sorted(self.missing), "dropped": self.dropped}
        try:
            write_whole(self._path, json.dumps(state).encode())
        except OSError as problem:
            log.error("round %05d | what is mirrored is not written down: %s", number, problem)

    def _load(self) -> tuple[int, set[int], int]:
        try:
            return read_whole(self._path, _state)
        except (FileNotFoundError, Damaged):
            return 0, set(), 0


def _state(found: Any) -> tuple[int, set[int], int]:
    missing = {number_in(each) for each in found["missing"]}
    return number_in(found["round"]), missing, number_in(found["dropped"])
