"""What a judge keeps for others: every payload that ever entered the model, whoever scored it.

A round is done when all its accepted payloads lie here. What was revealed and did not enter is deleted a few
rounds later. No checkpoints exist on the chain yet, so no accepted payload is ever deleted.
"""

import asyncio
import json
import logging
from pathlib import Path

from chain.client import Accepted, Chain
from miners.blobs.errors import BlobError, StoreFull
from miners.files import write_whole
from miners.replica import Replica
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
        self.done, self.missing = self._load()  # the last round looked at; rounds with payloads not here

    async def follow(self) -> None:
        """Look at the rounds before each new one, for ever."""
        async for current in self._chain.rounds(self._netuid, until="Attest"):
            await self.hold_before(current.number)

    async def hold_before(self, number: int) -> None:
        """Get what entered in the rounds before this one, and delete what is old and did not enter."""
        rounds = [*sorted(self.missing), *range(self.done + 1, number)]
        for at, older in enumerate(rounds):
            step = await self._chain.lineage(self._netuid, older)
            is_held = await self._hold(older, step.accepted if step else [])
            (self.missing.discard if is_held else self.missing.add)(older)
            self.done = max(self.done, older)
            if at % TOLD_ROUNDS == TOLD_ROUNDS - 1:
                log.info("mirroring: %d of %d rounds looked at", at + 1, len(rounds))
        await asyncio.to_thread(self._tidy, number)

    async def _hold(self, number: int, accepted: list[Accepted]) -> bool:
        """Say whether all these payloads are kept here now."""
        doors = asyncio.Semaphore(AT_ONCE)
        return all(await asyncio.gather(*(self._hold_one(number, each, doors) for each in accepted)))

    async def _hold_one(self, number: int, one: Accepted, doors: asyncio.Semaphore) -> bool:
        if self._shelf.kept.find(one.digest) is not None:
            return True
        async with doors:
            try:
                blob = await self._replica.blob(one.hotkey, one.digest)
                await asyncio.to_thread(self._shelf.keep, one.digest, blob)
            except (BlobError, StoreFull, OSError) as problem:
                log.error("round %05d | an accepted payload is not mirrored here: %s", number, problem)
                return False
        return True

    def _tidy(self, number: int) -> None:
        if not self._is_archive:
            self._shelf.forget_before(number - RECENT_ROUNDS)
        state = {"round": self.done, "missing": sorted(self.missing)}
        write_whole(self._path, json.dumps(state).encode())

    def _load(self) -> tuple[int, set[int]]:
        try:
            found = json.loads(self._path.read_text())
            return int(found["round"]), {int(each) for each in found["missing"]}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, set()
