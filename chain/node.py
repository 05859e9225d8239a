"""The composition root: the only module that wires the node's parts together.

async with Node.open(config) as node: await node.run()
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chain.consensus.author import Author, Parent
from chain.consensus.grandpa.driver import Driver
from chain.consensus.guard import Guard
from chain.consensus.slots import Epoch
from chain.env import Clock, Disk
from chain.env_real import RealClock, RealDisk
from chain.executor import Executor
from chain.keys import Keypair
from chain.keystore import BABE_KEY, GRANDPA_KEY, Keystore
from chain.ledger import Ledger
from chain.metrics import Metrics, MetricsServer
from chain.notifications import Notifications
from chain.rpc.backend import Backend, ChainInfo, Health
from chain.rpc.server import RpcConfig, RpcServer
from chain.spec import ChainSpec, SpecError
from chain.storage.store import ChainStore
from chain.sync.importer import Importer, pre_digest_slot, short
from chain.txpool.pool import Pool
from chain.version import VERSION
from runtime.frame.executive import Execution, Validation
from runtime.frame.state import Changes
from runtime.primitives.header import Digest, Header
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import AccountId, BlockNumber, Hash

log = logging.getLogger("node")

IDLE_SECONDS = 5.0
"""seconds between two status lines"""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything an operator may choose."""

    spec: ChainSpec
    base_path: Path | None = None  # None keeps everything in a temporary directory
    name: str = "assay-node"
    authority: str | None = None  # secret URI of development session keys to insert, such as //Alice
    password: str | None = field(default=None, repr=False)  # of the keystore's phrases
    validator: bool = False  # author and vote with the keys of the keystore
    archive: bool = True
    rpc: RpcConfig = field(default_factory=RpcConfig)
    prometheus_port: int | None = 9615  # None serves no metrics


class Node:
    """One running node; `open` makes it, `run` runs it until cancelled."""

    def __init__(
        self,
        config: NodeConfig,
        store: ChainStore,
        keystore: Keystore,
        guard: Guard,
        votes: Disk,
        clock: Clock,
    ) -> None:
        self.config = config
        self.store = store
        self._guard = guard
        self._clock = clock
        self.executor = Executor()
        self.feed = Notifications()
        self.importer = Importer(store, self.executor, self.feed, self._clock)
        self.pool = Pool(self._validate, self._clock.monotonic)
        self._checked: tuple[Hash, Validation] | None = None
        self._babe = _pairs(keystore, BABE_KEY) if config.validator else []
        grandpa = _pairs(keystore, GRANDPA_KEY) if config.validator else []
        ledger = Ledger(store, self.executor, self.importer, self._settled)
        self._voter = Driver(ledger, guard, grandpa, self._clock, votes) if grandpa else None
        self._metrics = Metrics(config.spec.id, config.name, VERSION, self._clock.wall_ms() / 1000)
        self.rpc = RpcServer(self._backend(), config.rpc, self._metrics)
        self.metrics_server: MetricsServer | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: NodeConfig, clock: Clock | None = None) -> AsyncIterator["Node"]:
        """Open the database, the keys and the ports; close them again in the end.

        Raises: StorageError, SpecError, RuntimeMissing, KeystoreError, GuardError, OSError when a port is
        taken.
        """
        async with AsyncExitStack() as opened:
            base = config.base_path
            if base is None:
                base = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))
            home = base / "chains" / config.spec.id
            keystore = Keystore(RealDisk(home / "keystore"), config.password)
            guard = Guard.open(RealDisk(home / "guard"))
            opened.callback(guard.close)
            _insert_development_keys(config, keystore, guard)
            store = ChainStore.open(home / "db", config.spec.state(), archive=config.archive)
            opened.callback(store.close)
            _check_genesis(config.spec, store)
            votes = RealDisk(home / "grandpa")
            node = cls(config, store, keystore, guard, votes, clock or RealClock())
            recovered = node.importer.recover()
            if recovered:
                log.info("♻️ Executed %d unfinalised blocks again", recovered)
            node.executor.metadata(store.state_at(store.best))  # slow once, so before anybody waits for it
            await node._listen(opened)
            yield node

    async def _listen(self, opened: AsyncExitStack) -> None:
        await self.rpc.start()
        opened.push_async_callback(self.rpc.close)
        if self.config.prometheus_port is not None:
            self.metrics_server = MetricsServer(
                self._metrics, self.config.rpc.host, self.config.prometheus_port
            )
            await self.metrics_server.start()
            opened.push_async_callback(self.metrics_server.close)

    async def run(self) -> None:
        """Serve, author and finalise until cancelled.

        Raises: ExceptionGroup of what ended a task.
        """
        spec = self.config.spec
        log.info("Assay node %s", VERSION)
        log.info("📋 Chain specification: %s", spec.name)
        log.info("🏷  Node name: %s", self.config.name)
        log.info("👤 Role: %s", "AUTHORITY" if self._babe else "FULL")
        log.info("🔨 Genesis 0x%s, best #%d", self.store.genesis_hash.hex(), self.store.best_number)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.rpc.run(), name="rpc")
            tasks.create_task(self._report(), name="informant")
            if self._babe:
                tasks.create_task(self._author().run(), name="author")
            if self._voter is not None:
                tasks.create_task(self._voter.run(), name="voter")

    # What an author needs: chain.consensus.author.Chain.

    def _author(self) -> Author:
        slot_ms = self.executor.slot_duration(self.store.state_at(self.store.best))
        return Author(
            self, self.pool, self._babe, self._guard, self._clock, slot_ms, self._metrics.block_proposed
        )

    def parent(self) -> Parent:
        """Return the best block."""
        header = self.store.header(self.store.best)
        assert header is not None, "the best block is stored"
        return Parent(header, pre_digest_slot(header) if header.number else 0)

    def epoch(self, parent: Parent, slot: int) -> Epoch:
        """Return what decides the author of a slot."""
        state = self.store.state_at(parent.header.hash())
        return self.executor.epoch(state, parent.header.number, slot)

    def open_block(self, parent: Parent, number: BlockNumber, digest: Digest) -> Execution:
        """Start the next block."""
        block = parent.header.hash()
        return self.executor.open(self.store.state_at(block), number, block, digest)

    def accept(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        """Import the finished block and tell the pool; finality follows in its own time."""
        block = self.importer.import_own(header, body, changes)
        self.pool.on_imported(block, body, [])
        self._metrics.best_block(self.store.best_number)
        self._metrics.ready_transactions(self.pool.ready_count)
        if self._voter is not None:
            self._voter.chain_changed()
        return block

    # Finality.

    def _settled(self, blocks: list[Hash]) -> None:
        """Tell the pool and the metrics which blocks have become final."""
        for block in blocks:
            self.pool.on_finalized(block, self.store.body(block) or [])
        self._metrics.finalized_block(self.store.finalized_number)

    # What the pool and the RPC server need.

    def _validate(self, extrinsic: bytes) -> ValidTransaction:
        best = self.store.best
        if self._checked is None or self._checked[0] != best:
            header = self.store.header(best)
            assert header is not None, "the best block is stored"
            self._checked = best, self.executor.validation(self.store.state_at(best), header)
        return self._checked[1].check(extrinsic)

    def next_index(self, account: bytes) -> int:
        """Return the nonce a new transaction of an account should use."""
        header = self.store.header(self.store.best)
        assert header is not None, "the best block is stored"
        state = self.store.state_at(self.store.best)
        nonce = self.executor.call_api(state, header, "AccountNonceApi_account_nonce", account)
        return self.pool.next_index(account, int.from_bytes(nonce, "little"))

    def _backend(self) -> Backend:
        spec = self.config.spec
        roles = ("Authority",) if self.config.validator else ("Full",)
        info = ChainInfo(spec.name, spec.chain_type, spec.properties, "Assay Node", VERSION, roles)
        pool = _PoolDoor(self)
        return Backend(
            info, self.store, self.store, self.executor, pool, self.feed, lambda: Health(0, False, False)
        )

    async def _report(self) -> None:
        """Print a line now and then that shows the node lives."""
        while True:
            await self._clock.sleep(IDLE_SECONDS)
            log.info(
                "💤 Idle (0 peers), best: #%d (%s), finalized #%d (%s), pool %d",
                self.store.best_number, short(self.store.best),
                self.store.finalized_number, short(self.store.finalized), self.pool.ready_count,
            )  # fmt: skip


class _PoolDoor:
    """The pool as RPC sees it: with the state's nonces."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.submit = node.pool.submit
        self.watch = node.pool.watch
        self.ready = node.pool.ready

    def next_index(self, account: bytes) -> int:
        """Return the nonce a new transaction of an account should use."""
        return self._node.next_index(AccountId(account))


def _check_genesis(spec: ChainSpec, store: ChainStore) -> None:
    flaw = Executor().flaw(store.state_at(store.genesis_hash))
    if flaw is not None:
        raise SpecError(f"the genesis of {spec.id} makes no chain: {flaw}")


def _insert_development_keys(config: NodeConfig, keystore: Keystore, guard: Guard) -> None:
    """Put //Alice's session keys where an operator's would be; test chains make guard records at once."""
    if config.authority is not None:
        keystore.insert(BABE_KEY, config.authority)
        keystore.insert(GRANDPA_KEY, config.authority)
    if config.validator and config.spec.is_test_chain:
        for public in keystore.public_keys(BABE_KEY):
            guard.admit_author(public)
        for public in keystore.public_keys(GRANDPA_KEY):
            guard.admit_voter(public)


def _pairs(keystore: Keystore, key_type: bytes) -> list[Keypair]:
    return [keystore.keypair(key_type, public) for public in keystore.public_keys(key_type)]
