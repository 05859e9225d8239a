"""The best block, as an author builds on it and a pool checks against it."""

from collections.abc import Callable

from chain.consensus.author import Parent
from chain.consensus.slots import Epoch, pre_digest_slot
from chain.executor import Executor
from chain.storage.store import ChainStore
from runtime.frame.executive import Execution, Validation
from runtime.frame.state import Changes
from runtime.primitives.header import Digest, Header
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.types import BlockNumber, Hash
from runtime.primitives.validity import TransactionSource

Accept = Callable[[Header, list[bytes], Changes], Hash]
"""Import a block this node has built and sealed."""


NOBODY = Epoch(0, (), bytes(32))
"""An epoch in which no key authors."""


class Tip:
    """Reads the store; what it makes of the best block is kept until there is another one."""

    def __init__(
        self,
        store: ChainStore,
        executor: Executor,
        accept: Accept,
        is_syncing: Callable[[], bool],
        has_company: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._executor = executor
        self._is_syncing = is_syncing
        self._has_company = has_company
        self.accept = accept
        self._checked: tuple[Hash, Validation] | None = None

    def header(self) -> Header:
        """Return the header of the best block."""
        header = self._store.header(self._store.best)
        assert header is not None, "the best block is stored"
        return header

    def parent(self) -> Parent:
        """Return what the next block is built on."""
        header = self.header()
        slot = pre_digest_slot(header) if header.number else 0
        return Parent(header, slot, header.number - self._store.finalized_number)

    def hears(self) -> bool:
        """Say whether this node would hear of what others sign: it has peers and is not far behind them."""
        return self._has_company() and not self._is_syncing()

    def epoch(self, parent: Parent, slot: int) -> Epoch:
        """Return what decides the author of a slot.

        It is nobody here where the next runtime is missing, or as long as this node is far behind its peers.
        """
        state = self._store.state_at(parent.header.hash())
        if self._is_syncing() or self._executor.lacks(state) is not None:
            return NOBODY
        return self._executor.epoch(state, parent.header.number, slot)

    def open_block(self, parent: Parent, number: BlockNumber, digest: Digest) -> Execution:
        """Start the next block."""
        block = parent.header.hash()
        return self._executor.open(self._store.state_at(block), number, block, digest)

    def justification(self) -> bytes | None:
        """Return the proof of the newest finality."""
        return self._store.justification(self._store.finalized)

    def validate(self, extrinsic: bytes, source: TransactionSource) -> ValidTransaction:
        """Check a transaction for the next block.

        Raises: TransactionRejected.
        """
        best = self._store.best
        if self._checked is None or self._checked[0] != best:
            state = self._store.state_at(best)
            if self._executor.lacks(state) is not None:
                raise TransactionRejected("unknown", "CannotLookup")
            self._checked = best, self._executor.validation(state, self.header())
        return self._checked[1].check(extrinsic, source)

    def nonce(self, account: bytes) -> int:
        """Return how many transactions of an account are in the chain."""
        state = self._store.state_at(self._store.best)
        nonce = self._executor.call_api(state, self.header(), "AccountNonceApi_account_nonce", account)
        return int.from_bytes(nonce, "little")
