"""The models that earlier rounds started from: the last few on disk, older ones derived again.

history.note(number, weights)                     as a round begins; written beside the work on it
weights = await history.at(number, base_root)     the model that round `number` started from, bit for bit
"""

import asyncio
import logging
from functools import partial
from pathlib import Path

from chain.client import Chain
from miners.blobs.client import BlobClient
from miners.files import write_whole
from miners.layout import ModelConfig
from miners.replica import Replica
from miners.shelf import Shelf
from miners.weights import MasterWeights, RefusedWeights, from_bytes

log = logging.getLogger("replica")

FOLDER = "history"
DERIVED = "derived"
"""Below it: where a replica of its own goes back to what is no more on disk."""
MOST_NOTED = 2
"""models that wait for the disk; a slower one costs time when an older model is wanted, but no memory"""


class History:
    """What one worker knows of the models before this one."""

    def __init__(
        self,
        chain: Chain,
        blobs: BlobClient,
        shelf: Shelf,
        home: Path,
        netuid: int,
        model: ModelConfig,
        rounds: int,
    ) -> None:
        """The models of so many `rounds` are kept on disk; payloads of others are looked for on the shelf."""
        self._home = home / FOLDER
        (self._home / DERIVED).mkdir(parents=True, exist_ok=True)
        derived = self._home / DERIVED
        self._replica = partial(Replica, chain, blobs, shelf, derived, netuid, model, is_guest=True)
        self._model = model
        self._rounds = rounds
        self._noted: asyncio.Queue[tuple[int, MasterWeights]] = asyncio.Queue(MOST_NOTED)
        self._going = asyncio.Lock()

    def note(self, number: int, weights: MasterWeights) -> None:
        """Say what a round starts from; nobody waits until it is on disk."""
        if self._noted.full():
            late, _ = self._noted.get_nowait()
            log.warning("the model before round %05d is not kept for audits: the disk is too slow", late)
        self._noted.put_nowait((number, weights))

    async def follow(self) -> None:
        """Write what was noted, for ever; a full disk is said, and costs time when that model is wanted."""
        while True:
            number, weights = await self._noted.get()
            try:
                await asyncio.to_thread(self.keep, number, weights)
            except OSError as problem:
                log.warning("the model before round %05d is not kept for audits: %s", number, problem)

    def keep(self, number: int, weights: MasterWeights) -> None:
        """Write the model a round starts from, and delete what is older than the last few."""
        path = self._path(number, weights.root())
        if not path.exists():
            write_whole(path, weights.to_bytes())
        for old in self._home.iterdir():
            if old.is_file() and _round_of(old) <= number - self._rounds:
                old.unlink(missing_ok=True)

    async def at(self, number: int, base_root: bytes) -> MasterWeights:
        """Return the model a round started from.

        Raises: Diverged; BlobError when it can no more be derived from what anybody serves.
        """
        kept = await asyncio.to_thread(self._kept, number, base_root)
        if kept is not None:
            return kept
        async with self._going:
            log.info("the model before round %05d is derived again", number)
            replica = await asyncio.to_thread(self._before, number)
            return await replica.at(number, base_root)

    def _before(self, number: int) -> Replica:
        """Return a replica that has not come to a round yet; between two uses only its files are here."""
        replica = self._replica()
        if replica.applied >= number:
            replica.start_over()
        return replica

    def _kept(self, number: int, root: bytes) -> MasterWeights | None:
        path = self._path(number, root)
        try:
            weights = from_bytes(self._model, path.read_bytes())
        except (FileNotFoundError, RefusedWeights):
            return None
        return weights if weights.root() == root else None

    def _path(self, number: int, root: bytes) -> Path:
        return self._home / f"{number:08d}-{root.hex()}"


def _round_of(path: Path) -> int:
    number, _, _ = path.name.partition("-")
    return int(number) if number.isdecimal() else -1
