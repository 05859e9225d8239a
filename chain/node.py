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
from chain.env_real import RealClock, RealDisk, RealRng
from chain.executor import Executor
from chain.keys.keystore import KEY_KINDS, Keystore
from chain.keys.node import load_node_key, peer_id
from chain.keys.pair import Keypair
from chain.keys.session import SessionKeys
from chain.ledger import Ledger
from chain.logs import short
from chain.metrics import AUTHORITY_ROLE, FULL_ROLE, Metrics, MetricsServer, Reading
from chain.notifications import Notifications
from chain.operator import NodeOperator
from chain.rpc.backend import Backend, ChainInfo, Health
from chain.rpc.server import RpcConfig, RpcServer
from chain.signatures import Signatures
from chain.spec import ChainSpec, SpecError
from chain.storage.db import cache_bytes
from chain.storage.pruning import Pruning
from chain.storage.store import ChainStore
from chain.sync.importer import Importer, pre_digest_slot
from chain.tasks import observed
from chain.txpool.pool import Pool
from chain.version import VERSION
from runtime.frame.executive import Execution, Validation
from runtime.frame.state import Changes
from runtime.primitives.grandpa import GrandpaJustification
from runtime.primitives.header import Digest, Header
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import AccountId, BlockNumber, Hash
from runtime.primitives.validity import TransactionSource

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
    state_pruning: Pruning | None = None  # None: as the database was made, a new one as Substrate's
    blocks_pruning: Pruning | None = None
    node_key: Keypair | None = None  # who the node is among peers; None: the key in its directory
    signature_workers: int = 0  # processes that verify signatures; 0 verifies in the node itself
    rpc: RpcConfig = field(default_factory=RpcConfig)
    prometheus_port: int | None = 9615  # None serves no metrics
    prometheus_host: str = "127.0.0.1"
    keystore_path: Path | None = None  # None: a directory beside the database


class Node:
    """One running node; `open` makes it, `run` runs it until cancelled."""

    def __init__(
        self,
        config: NodeConfig,
        store: ChainStore,
        keys: SessionKeys,
        guard: Guard,
        node_key: Keypair,
        votes: Disk,
        clock: Clock,
    ) -> None:
        self.config = config
        self.store = store
        self._keys = keys
        self._guard = guard
        self._clock = clock
        self._signatures = Signatures(config.signature_workers)
        self.executor = Executor(self._signatures)
        self.feed = Notifications()
        self.importer = Importer(store, self.executor, self.feed, self._clock)
        ledger = Ledger(store, self.executor, self.importer, self._settled)
        self._voter = Driver(ledger, guard, keys.voters, self._clock, votes)
        self._operator = NodeOperator(peer_id(node_key.public), keys, self._voter, store, self.executor)
        self.pool = Pool(self._validate, self._clock.monotonic)
        self._checked: tuple[Hash, Validation] | None = None
        self._metrics = Metrics(config.spec.id, config.name, VERSION, self._clock.wall_ms() / 1000)
        self._metrics.follow(self._reading)
        self.rpc = RpcServer(self._backend(), config.rpc, self._metrics)
        self.metrics_server: MetricsServer | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: NodeConfig, clock: Clock | None = None) -> AsyncIterator["Node"]:
        """Open the database, the keys and the ports; close them again in the end.

        Raises: StorageError, SpecError, RuntimeMissing, KeystoreError, GuardError, NodeKeyError, OSError when
        a port is taken.
        """
        async with AsyncExitStack() as opened:
            base = config.base_path
            if base is None:
                base = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))
            home = config.spec.home(base)
            keystore = Keystore(RealDisk(config.keystore_path or home / "keystore"), config.password)
            guard = Guard.open(RealDisk(home / "guard"))
            opened.callback(guard.close)
            keys = _session_keys(config, keystore, guard)
            node_key = config.node_key or load_node_key(RealDisk(home / "network"), RealRng())
            store = ChainStore.open(
                home / "db", config.spec.state(), states=config.state_pruning, blocks=config.blocks_pruning
            )
            opened.callback(store.close)
            if store.finalized == store.genesis_hash:  # later its state may have been pruned
                _check_genesis(config.spec, store)
            votes = RealDisk(home / "grandpa")
            node = cls(config, store, keys, guard, node_key, votes, clock or RealClock())
            opened.callback(node._signatures.close)
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
            host, port = self.config.prometheus_host, self.config.prometheus_port
            self.metrics_server = MetricsServer(self._metrics, host, port)
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
        log.info("👤 Role: %s", "AUTHORITY" if self.config.validator else "FULL")
        log.info("🏷  Local node identity is: %s", self._operator.peer_id)
        log.info("🔨 Genesis 0x%s, best #%d", self.store.genesis_hash.hex(), self.store.best_number)
        async with asyncio.TaskGroup() as tasks:
            works = {"json-rpc": self.rpc.run(), "informant": self._report()}
            if self.config.validator:
                self._warn_of_idle_keys()
                works |= {"babe-worker": self._author().run(), "grandpa-voter": self._voter.run()}
            for name, work in works.items():
                tasks.create_task(observed(name, work, self._metrics), name=name)

    def _warn_of_idle_keys(self) -> None:
        """Say so when this validator's keys have no duty, which its operator may not expect."""
        state = self.store.state_at(self.store.best)
        epoch, _, _ = self.executor.current_epoch(state)
        voters, _ = self.executor.grandpa_set(state)
        duties = (
            ("BABE", self._keys.authors, epoch.authorities, "authors no blocks"),
            ("GRANDPA", self._keys.voters, voters, "does not vote on finality"),
        )
        for kind, pairs, authorities, idle in duties:
            if not {pair.public for pair in pairs} & {public for public, _ in authorities}:
                log.warning(
                    "⚠️ the keystore has %d %s keys, none of them of an authority: this validator %s until it "
                    "is given such a key, by author_insertKey or `assay key insert`", len(pairs), kind, idle,
                )  # fmt: skip

    # What an author needs: chain.consensus.author.Chain.

    def _author(self) -> Author:
        slot_ms = self.executor.slot_duration(self.store.state_at(self.store.best))
        keys, built = self._keys.authors, self._metrics.block_proposed
        return Author(self, self.pool, keys, self._guard, self._clock, slot_ms, built)

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
        began = self._clock.monotonic()
        block = self.importer.import_own(header, body, changes)
        self._metrics.block_imported(self._clock.monotonic() - began)
        self.pool.on_imported(block, body, [])
        self._voter.chain_changed()
        return block

    def _settled(self, blocks: list[Hash], proof: GrandpaJustification) -> None:
        """Tell the pool and the metrics which blocks have become final, and by which round."""
        for block in blocks:
            self.pool.on_finalized(block, self.store.body(block) or [])
        self._metrics.round_completed(proof.round, len(proof.commit.precommits))

    # What the pool and the RPC server need.

    def _validate(self, extrinsic: bytes, source: TransactionSource) -> ValidTransaction:
        best = self.store.best
        if self._checked is None or self._checked[0] != best:
            header = self.store.header(best)
            assert header is not None, "the best block is stored"
            self._checked = best, self.executor.validation(self.store.state_at(best), header)
        return self._checked[1].check(extrinsic, source)

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
            info,
            self.store,
            self.store,
            self.executor,
            pool,
            self.feed,
            lambda: Health(0, False, False),
            self._operator,
        )

    async def _report(self) -> None:
        """Print a line now and then that shows the node lives; without a network no byte comes or goes."""
        while True:
            await self._clock.sleep(IDLE_SECONDS)
            log.info(
                "💤 Idle (0 peers), best: #%d (%s), finalized #%d (%s), ⬇ 0 ⬆ 0",
                self.store.best_number, short(self.store.best),
                self.store.finalized_number, short(self.store.finalized),
            )  # fmt: skip

    def _reading(self) -> Reading:
        """Return what the metrics show of the chain and the pool."""
        counters = self.pool.counters
        return Reading(
            best=self.store.best_number,
            finalized=self.store.finalized_number,
            sync_target=self.store.best_number,
            leaves=len(self.store.leaves()),
            roles=AUTHORITY_ROLE if self.config.validator else FULL_ROLE,
            ready=self.pool.ready_count,
            submitted=counters.submitted,
            validations=counters.validations,
            invalid=counters.invalid,
            cache_bytes=cache_bytes(),
            channels=self.feed.traffic(),
        )


class _PoolDoor:
    """The pool as RPC sees it: with the state's nonces."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.submit = node.pool.submit
        self.watch = node.pool.watch
        self.ready = node.pool.ready
        self.remove = node.pool.remove

    def next_index(self, account: bytes) -> int:
        """Return the nonce a new transaction of an account should use."""
        return self._node.next_index(AccountId(account))


def _check_genesis(spec: ChainSpec, store: ChainStore) -> None:
    flaw = Executor().flaw(store.state_at(store.genesis_hash))
    if flaw is not None:
        raise SpecError(f"the genesis of {spec.id} makes no chain: {flaw}")


def _session_keys(config: NodeConfig, keystore: Keystore, guard: Guard) -> SessionKeys:
    """Open the session keys; test chains put //Alice's where an operator's would be, and make records."""
    keys = SessionKeys(keystore, guard, RealRng(), wants_password=not config.spec.is_test_chain)
    if config.authority is not None:
        for key_type in KEY_KINDS:
            keys.insert(key_type, config.authority)
    if config.validator:
        if config.spec.is_test_chain:
            keys.admit_all()
        keys.load()
    return keys
