"""Runtime upgrades as the node lives through them: warned of in time, switched to, or stopped before.

A node that lacks a scheduled runtime says so at start and once per session. It follows the chain up to the
last block it can build on, helps to make that one final, and ends with a message; started again with the
runtime installed it goes on where it was.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

from chain.common.errors import RuntimeMissing
from chain.common.hashes import short
from chain.common.notifications import ImportNotification
from chain.env import Clock
from chain.executor import Executor, Upgrade
from chain.storage.store import ChainStore
from runtime.primitives.manifest import CODE_KEY

log = logging.getLogger("runtime")

GRACE = 30.0
"""seconds a node stays for votes on the last block it can build on; some rounds of GRANDPA"""
LOOK_EVERY = 0.25
"""seconds between two looks whether that block is final"""


class Upgrades:
    """Follows the best block; `run` ends the node where the next runtime is missing."""

    def __init__(
        self,
        store: ChainStore,
        executor: Executor,
        clock: Clock,
        revalidate: Callable[[], Iterator[None]],
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._revalidate = revalidate
        self._told: tuple[Upgrade, int] | None = None
        self._changed = asyncio.Event()
        self.missing: str | None = None  # what the best block's children cannot be executed without

    def start(self) -> None:
        """Look at the best block of a database that was opened.

        Raises: RuntimeMissing.
        """
        self._look()
        if self.missing is not None:
            raise RuntimeMissing(self._farewell(self.missing))

    def imported(self, note: ImportNotification) -> None:
        """Look at a new best block."""
        if not note.is_new_best:
            return
        self._look()
        if CODE_KEY in note.changed_keys or note.retracted:
            self._changed.set()

    async def run(self) -> None:
        """Have the pool judge anew under another runtime; wait for a missing one in vain.

        Raises: RuntimeMissing.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.missing is not None:
                await self._leave()
                continue
            for _ in self._revalidate():
                await self._clock.sleep(0)

    def _look(self) -> None:
        state = self._store.state_at(self._store.best)
        was_missing, self.missing = self.missing, self._executor.lacks(state)
        if self.missing is not None:
            if was_missing is None:
                log.warning("⚠️ #%d is the last block this node can build on", self._store.best_number)
            return
        scheduled = self._executor.upgrade(state)
        if scheduled is None:
            self._told = None
            return
        session = self._executor.current_epoch(state)[0].index
        if self._told is None or self._told[0] != scheduled or (scheduled.lacks and self._told[1] != session):
            self._told = scheduled, session
            self._tell(scheduled)

    def _tell(self, scheduled: Upgrade) -> None:
        if scheduled.lacks is None:
            log.info("📅 Another runtime executes from block #%d on; it is installed", scheduled.at)
        else:
            log.warning(
                "⚠️ This node will stop after block #%d, it is at #%d: from #%d on %s",
                scheduled.at - 1, self._store.best_number, scheduled.at, scheduled.lacks,
            )  # fmt: skip

    async def _leave(self) -> None:
        """Wait until the last block is final, or for so long; go on only if another fork has won."""
        deadline = self._clock.monotonic() + GRACE
        while self.missing is not None:
            if self._store.finalized == self._store.best or self._clock.monotonic() >= deadline:
                raise RuntimeMissing(self._farewell(self.missing))
            await self._clock.sleep(LOOK_EVERY)

    def _farewell(self, missing: str) -> str:
        number, block = self._store.best_number, short(self._store.best)
        return f"stopped after block #{number} ({block}), the last one this node can build on: {missing}"
