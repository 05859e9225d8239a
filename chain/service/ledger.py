"""The chain as its voter reads it, and the one place where votes make blocks final."""

from collections.abc import Callable

from chain.common.errors import RuntimeMissing
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import Block, GrandpaJustification
from runtime.primitives.header import Header
from runtime.primitives.types import Hash


class Ledger:
    """Reads the store, finalises through the importer, and says which blocks that made final."""

    def __init__(
        self,
        store: ChainStore,
        importer: Importer,
        settled: Callable[[list[Hash], GrandpaJustification], None],
    ) -> None:
        self._store = store
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
        return self._importer.sets.next_change(block)

    def final(self) -> Block:
        """Return the last final block."""
        return self._store.finalized, self._store.finalized_number

    def voters(self) -> tuple[Authorities, int] | None:
        """Return who votes above the last final block, and the number of that set.

        None where the runtime is missing that knows: nothing above that block is executed here.
        """
        try:
            return self._importer.sets.current()
        except RuntimeMissing:
            return None

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
