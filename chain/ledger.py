"""The chain as its voter reads it, and the one place where votes make blocks final."""

from collections.abc import Callable

from chain.executor import Executor
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import CONSENSUS_LOG, Block, GrandpaJustification, ScheduledChange
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.types import Hash


class Ledger:
    """Reads the store, finalises through the importer, and says which blocks that made final."""

    def __init__(
        self,
        store: ChainStore,
        executor: Executor,
        importer: Importer,
        settled: Callable[[list[Hash], GrandpaJustification], None],
    ) -> None:
        self._store = store
        self._executor = executor
        self._importer = importer
        self._settled = settled

    def header(self, block: Hash) -> Header | None:
        """Return a block's header."""
        return self._store.header(block)

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block that is stored, None of any other."""
        header = self._store.header(block)
        return (header.parent_hash, header.number - 1) if header is not None and header.number else None

    def best_containing(self, block: Hash) -> Block | None:
        """Return the head of the best chain that contains a block; None when the block is not stored."""
        header = self._store.header(block)
        if header is None:
            return None
        if self._store.hash_at(header.number) == block:
            return self._store.best, self._store.best_number
        head = self._store.best_above(block)
        return head, self._number(head)

    def next_change(self, block: Hash) -> int | None:
        """Return the lowest unfinalised height, up to a block and on its chain, at which voters change."""
        found = None
        while (header := self._store.header(block)) and header.number > self._store.finalized_number:
            if _changes_voters(header):
                found = header.number
            block = header.parent_hash
        return found

    def final(self) -> Block:
        """Return the last final block."""
        return self._store.finalized, self._store.finalized_number

    def voters(self) -> tuple[Authorities, int] | None:
        """Return who votes above the last final block, and the number of that set.

        None where the runtime is missing that knows: nothing above that block is executed here.
        """
        state = self._store.state_at(self._store.finalized)
        return None if self._executor.lacks(state) is not None else self._executor.grandpa_set(state)

    def finalize(self, justification: GrandpaJustification) -> None:
        """Make the target of a justification final.

        Raises: JustificationError, StorageError.
        """
        target = justification.commit.target_hash
        self._settled(self._importer.finalize(target, justification.encode()), justification)

    def _number(self, block: Hash) -> int:
        header = self._store.header(block)
        assert header is not None, "a leaf is stored"
        return header.number


def _changes_voters(header: Header) -> bool:
    """Say whether a block announces other voters; its runtime wrote the log, so it decodes."""
    logs = [log._1 for log in header.digest.logs if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE]
    return any(isinstance(CONSENSUS_LOG.decode(each), ScheduledChange) for each in logs)
