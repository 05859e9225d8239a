"""The composition root: the only module that wires the node's parts together.

    with Node.open(config, environment) as node: await node.run()      in any environment
    async with Service.open(config) as service: await service.run()    on this machine, with its doors

Reads top to bottom: what an operator may choose, the node, the doors around it.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.checkpoints import Checkpoint, Checkpoints
from chain.common.errors import RuntimeMissing
from chain.common.notifications import FinalityNotification, ImportNotification, Notifications
from chain.common.tasks import observed
from chain.consensus.author import Author
from chain.consensus.clock_watch import ClockWatch
from chain.consensus.grandpa.driver import Driver
from chain.consensus.grandpa.gossip import GrandpaGossip
from chain.consensus.grandpa.said import Said
from chain.consensus.guard import Guard
from chain.env import Clock, Environment, Rng, Transport
from chain.env_real import NoTransport, RealClock, RealDisk, RealRng, no_peers, real_environment
from chain.executor import Executor
from chain.keys.keystore import KEY_KINDS, Keystore
from chain.keys.node import load_node_key, peer_id
from chain.keys.pair import Keypair
from chain.keys.session import SessionKeys
from chain.network.blocks import BlockExchange
from chain.network.discovery.exchange import Discovery
from chain.network.messages import PROTOCOL_VERSION, Channel, Roles, Status
from chain.network.service import Network
from chain.network.states import StateExchange
from chain.network.transactions import TransactionGossip
from chain.network.transport.tcp import TcpConfig, TcpTransport
from chain.network.votes import VoteExchange
from chain.network.warps import WarpExchange
from chain.rpc.backend import Backend, ChainInfo, Health, PeerInfo
from chain.rpc.server import RpcConfig, RpcServer
from chain.service.ledger import Ledger
from chain.service.recall import recall
from chain.service.reports import Reports
from chain.service.tip import Tip
from chain.signatures import Signatures
from chain.spec import ChainSpec, SpecError
from chain.storage.ascent import AscentRecord
from chain.storage.backbone import BackboneRecord
from chain.storage.db import cache_bytes
from chain.storage.pruning import Pruning
from chain.storage.store import ChainStore
from chain.sync.backbone import Backbone
from chain.sync.bootstrap import Bootstrap, SyncMode
from chain.sync.company import Company
from chain.sync.gap import GapFill
from chain.sync.importer import Importer
from chain.sync.service import Sync
from chain.sync.state_sync import StateSync
from chain.sync.trust import check_passed, leave_ascent, trust_of, warn_of_age
from chain.telemetry.informant import Informant
from chain.telemetry.metrics import AUTHORITY_ROLE, FULL_ROLE, Metrics, MetricsServer, Reading
from chain.telemetry.operator import NodeOperator
from chain.telemetry.readings import network_reading
from chain.txpool.pool import Pool
from chain.txpool.watch import Watch
from chain.upgrades import Upgrades
from chain.version import VERSION
from runtime.frame.state import Changes
from runtime.primitives.grandpa import GrandpaJustification, changes_voters
from runtime.primitives.header import Header
from runtime.primitives.types import AccountId, BlockNumber, Hash

log = logging.getLogger("node")

SAFE_AUTHORS = 4
"""Of fewer authors the runtime waits for one alone before it draws what a round is judged by."""
NOT_YET = (1 << 32) - 1
"""the first block of a node that is on its way to one"""


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
    peers: TcpConfig | None = None  # None: no way to any peer
    keystore_path: Path | None = None  # None: a directory beside the database
    sync: SyncMode = "full"  # how a node without blocks gets to the head
    checkpoint: Checkpoint | None = None  # a block to trust beside those of the specification


class Node:
    """One node: the chain, its keys and its peers; `open` makes it, `run` runs it until cancelled."""

    def __init__(
        self,
        config: NodeConfig,
        environment: Environment,
        executor: Executor,
        store: ChainStore,
        keys: SessionKeys,
        guard: Guard,
        node_key: Keypair,
        ascent: AscentRecord,
        backbone: BackboneRecord,
        checkpoints: Checkpoints,
    ) -> None:
        clock = environment.clock
        self.config = config
        self.clock = clock
        self.executor = executor
        self.store = store
        self.keys = keys
        self.peer_id = peer_id(node_key.public)
        self.metrics = Metrics(config.spec.id, config.name, VERSION, clock.wall_ms() / 1000)
        self.feed = Notifications()
        self._watch = ClockWatch(clock, executor.slot_duration(store.state_at(store.finalized)))
        self.importer = Importer(store, executor, self.feed, clock, guard, self._watch, checkpoints)
        self.transport = environment.transport(node_key, store.genesis_hash)
        self.network = Network(self.transport, clock, self._status)
        if isinstance(self.transport, TcpTransport):
            _discover(self, self.transport, node_key, environment)
        self.blocks = BlockExchange(self.network, store, clock)
        self.sync = Sync(store, _ImportDoor(self), self.blocks, clock, changes_voters, checkpoints)
        self.blocks.serve(self.sync)
        self.states = StateExchange(self.network, store, clock)
        self.gap = GapFill(store, self.sync, clock)
        self.warps = WarpExchange(self.network, store, lambda: ascent.floor, clock)
        checkpoints.follow(backbone.hash_at)
        self._ascent = ascent
        self._first = self._first_phase(ascent, backbone, checkpoints.newest)
        self.tip = Tip(
            store,
            executor,
            self._accept,
            self.is_behind,
            lambda: bool(self.network.peers()) or not self.has_network,
        )
        self.pool = Pool(self.tip.validate, clock.monotonic)
        self.transactions = TransactionGossip(self.network, self.pool, clock, self.is_behind)
        votes = VoteExchange(self.network, clock)
        gossip = GrandpaGossip(votes, self.sync.fetch, self.sync.has_final)
        ledger = Ledger(store, self.importer, self._decided)
        self.reports = Reports(store, executor, self.pool.submit, keys.signs_with)
        disk, said = environment.disk("grandpa"), Said(environment.disk("guard"))
        accuse = self.reports.voted_twice
        self.voter = Driver(ledger, guard, keys.voters, clock, disk, said, gossip, accuse=accuse)
        gossip.serve(self.voter)
        votes.serve(gossip)
        self.upgrades = Upgrades(store, executor, clock, self.pool.revalidate)
        self.feed.listen(self._imported, self._finalized)
        self.has_network = not isinstance(self.transport, NoTransport)
        self._guard = guard

    @classmethod
    @contextmanager
    def open(
        cls, config: NodeConfig, environment: Environment, executor: Executor | None = None
    ) -> Iterator["Node"]:
        """Open the keys and the database; close them again in the end.

        Nodes of one process may share an executor.
        Raises: StorageError, SpecError, RuntimeMissing, KeystoreError, GuardError, NodeKeyError.
        """
        with ExitStack() as opened:
            keystore = Keystore(environment.disk("keystore"), config.password)
            guard = Guard.open(environment.disk("guard"), lenient=config.spec.is_test_chain)
            opened.callback(guard.close)
            checkpoints = config.spec.trusted(config.checkpoint)
            keys = _session_keys(config, keystore, guard, environment.rng)
            node_key = config.node_key or load_node_key(environment.disk("network"), environment.rng)
            database = environment.database()
            store = ChainStore.on(
                database,
                config.spec.state(),
                states=config.state_pruning,
                blocks=config.blocks_pruning,
            )
            opened.callback(store.close)
            executor = executor or Executor()
            if store.finalized == store.genesis_hash:  # later its state may have been pruned
                _check_genesis(config.spec, store, executor)
            check_passed(store, checkpoints)
            ascent = AscentRecord(database)
            if config.sync == "full" or store.best_number:
                leave_ascent(store, ascent)
            backbone, parts = BackboneRecord(database), (executor, store, keys, guard, node_key)
            node = cls(config, environment, *parts, ascent, backbone, checkpoints)
            recovered = node.importer.recover()
            if recovered:
                log.info("♻️ Executed %d unfinalised blocks again", recovered)
            node.arrive()
            yield node

    async def run(self) -> None:
        """Talk to peers, author and finalise until cancelled.

        Raises: ExceptionGroup of what ended a task.
        """
        async with asyncio.TaskGroup() as tasks:

            def start(works: dict[str, Coroutine[Any, Any, None]]) -> None:
                for name, work in works.items():
                    tasks.create_task(observed(name, work, self.metrics), name=name)

            self._warn_of_age()
            start(self._services())
            if self._first is not None:
                self.sync.hold()
                began = self.store.header(self.store.finalized)
                await asyncio.sleep(0)  # what has not begun cannot end
                await observed("bootstrap", self._first.run(), self.metrics)
                self._first = None
                self.arrive()
                header = self.store.header(self.store.finalized)
                if header is not None and header != began:
                    self.feed.restored(self.store.finalized, header)
                self.sync.release()
            start(self._works())

    def arrive(self) -> None:
        """Take the chain as it stands now for what this node goes on from.

        Raises: RuntimeMissing.
        """
        recall(self.store, self.executor, self._guard)
        self.upgrades.start()

    def submit(self, extrinsic: bytes) -> Hash:
        """Take a transaction in and return its hash.

        Raises: SubmitError.
        """
        transaction = self.pool.submit(extrinsic)
        self.transactions.propagate(transaction)
        return transaction

    def watch(self, extrinsic: bytes) -> tuple[Hash, Watch]:
        """Take a transaction in and tell what becomes of it.

        Raises: SubmitError.
        """
        transaction, watch = self.pool.watch(extrinsic)
        self.transactions.propagate(transaction)
        return transaction, watch

    def is_behind(self) -> bool:
        """Say whether this node does not know what goes on."""
        return self._first is not None or self.sync.is_major

    def next_index(self, account: bytes) -> int:
        """Return the nonce a new transaction of an account should use."""
        return self.pool.next_index(account, self.tip.nonce(account))

    def _first_phase(
        self, ascent: AscentRecord, backbone: BackboneRecord, checkpoint: Checkpoint | None
    ) -> Bootstrap | Backbone | None:
        """Return what comes before blocks are synced one by one, if anything does."""
        store, config, clock = self.store, self.config, self.clock
        company = Company(self.sync, self.warps)
        if config.sync != "full" and not store.best_number:
            trust = trust_of(self.executor, store.state_at(store.genesis_hash), config.spec, checkpoint)
            states = StateSync(self.states, store, clock)
            return Bootstrap(config.sync, trust, store, ascent, company, states, clock)
        if checkpoint is None or store.finalized_number >= checkpoint.number:
            backbone.clear()
            return None
        return Backbone(checkpoint, store, backbone, company, clock)

    def _services(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what goes on from the first moment, by name."""
        return {"network-worker": self.network.run(), "state-server": self.states.run()}

    def _works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what goes on once the chain stands near the head, by name."""
        works = {
            "runtime-upgrades": self.upgrades.run(),
            "block-import": self.sync.run(),
            "gap-fill": self.gap.run(),
            "transactions-handler": self.transactions.run(),
            "grandpa-voter": self.voter.run(),  # without keys it follows the votes of others
        }
        self._warn_of_trusted_beacons()
        if self.config.validator:
            self._warn_of_idle_keys()
            works["babe-worker"] = self._author().run()
            works["offence-reports"] = self.reports.run()
        return works

    def _author(self) -> Author:
        slot_ms = self.executor.slot_duration(self.store.state_at(self.store.best))
        built = self.metrics.block_proposed
        keys = self.keys.authors
        return Author(self.tip, self.pool, keys, self._guard, self.clock, self._watch, slot_ms, built)

    def _warn_of_age(self) -> None:
        """Say so when this node goes on from a block that nothing newer vouches for, and that is old."""
        final = self.store.header(self.store.finalized)
        if self._first is None and final is not None and final.number and not self.config.spec.is_test_chain:
            state, executor = self.store.state_at(self.store.finalized), self.executor
            warn_of_age(executor.bonding_ms(state), executor.slot_duration(state), final, self.clock)

    def _warn_of_trusted_beacons(self) -> None:
        """Say so when a single author may draw what rounds are judged by."""
        with suppress(RuntimeMissing):  # the work that needs it says so better
            epoch, _, _ = self.executor.current_epoch(self.store.state_at(self.store.best))
            if (count := len(epoch.authorities)) < SAFE_AUTHORS:
                log.warning(
                    "⚠️ beacon trusted: of %d authors one draws it; from four on an honest one helps", count
                )

    def _warn_of_idle_keys(self) -> None:
        """Say so when this validator's keys have no duty, which its operator may not expect."""
        state = self.store.state_at(self.store.best)
        epoch, _, _ = self.executor.current_epoch(state)
        voters, _ = self.executor.grandpa_set(state)
        duties = (
            ("BABE", self.keys.authors, epoch.authorities, "authors no blocks"),
            ("GRANDPA", self.keys.voters, voters, "does not vote on finality"),
        )
        for kind, pairs, authorities, idle in duties:
            if not {pair.public for pair in pairs} & {public for public, _ in authorities}:
                log.warning(
                    "⚠️ the keystore has %d %s keys, none of them of an authority: this validator %s until it "
                    "is given such a key, by author_insertKey or `assay key insert`", len(pairs), kind, idle,
                )  # fmt: skip

    # What follows from a block, whoever built it.

    def _status(self) -> Status:
        """Return what this node says of itself when it meets another."""
        store, roles = self.store, Roles.AUTHORITY if self.config.validator else Roles.FULL
        floor = self._ascent.floor  # at or below it the changes of voters are here without their proof
        first = max(store.first_number, floor and floor + 1)
        return Status(
            PROTOCOL_VERSION,
            roles,
            store.genesis_hash,
            store.best,
            store.best_number,
            store.finalized,
            store.finalized_number,
            BlockNumber(NOT_YET if isinstance(self._first, Bootstrap) else first),
        )

    def _accept(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        """Import a block of our own."""
        began = self.clock.monotonic()
        block = self.importer.import_own(header, body, changes)
        self.metrics.block_imported(self.clock.monotonic() - began)
        return block

    def _imported(self, note: ImportNotification) -> None:
        """Tell everybody of a block that is stored now; the pool only where it has the runtime to judge."""
        self.upgrades.imported(note)
        self.voter.chain_changed()
        if not self.is_behind():
            self.blocks.announce(note.hash, note.header, note.is_new_best)
        if self.upgrades.missing is not None:
            return
        self._enact([(block, self.store.body(block) or []) for block in note.retracted], note.enacted)
        self.reports.imported(note)

    def _enact(self, retracted: list[tuple[Hash, list[bytes]]], enacted: Iterable[Hash]) -> None:
        """Have the pool follow the best chain."""
        for block in enacted:
            self.pool.on_imported(block, self.store.body(block) or [], retracted)
            retracted = []

    def _finalized(self, note: FinalityNotification) -> None:
        """Tell the pool and the voter which blocks have become final."""
        if self.upgrades.missing is None:
            self._enact(list(note.retracted), note.enacted)
        for block in note.finalized:
            self.pool.on_finalized(block, self.store.body(block) or [])
        self.voter.chain_changed()

    def _decided(self, blocks: list[Hash], proof: GrandpaJustification) -> None:
        """Count the round that has made blocks final."""
        self.metrics.round_completed(proof.round, len(proof.commit.precommits))


class Service:
    """A node on this machine with its doors: JSON-RPC, metrics, and the lines on the screen."""

    def __init__(self, node: Node) -> None:
        self.node = node
        node.metrics.follow(self._reading)
        self.rpc = RpcServer(self._backend(), node.config.rpc, node.metrics)
        self.metrics_server: MetricsServer | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: NodeConfig, clock: Clock | None = None) -> AsyncIterator["Service"]:
        """Open the node and its ports; close them again in the end.

        Raises: what Node.open raises, and OSError when a port is taken.
        """
        async with AsyncExitStack() as opened:
            base = config.base_path
            if base is None:
                base = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))
            home = config.spec.home(base)
            clock = clock or RealClock()
            transport = _transport(config.peers, clock, home / "network")
            environment = real_environment(home, config.keystore_path, clock, transport)
            signatures = Signatures(config.signature_workers)
            opened.callback(signatures.close)
            node = opened.enter_context(Node.open(config, environment, Executor(signatures)))
            service = cls(node)
            best = node.store.best
            node.executor.metadata(node.store.state_at(best))  # slow once, so before anybody waits for it
            await service._listen(opened)
            yield service

    async def _listen(self, opened: AsyncExitStack) -> None:
        config = self.node.config
        await self.rpc.start()
        opened.push_async_callback(self.rpc.close)
        if config.prometheus_port is not None:
            host, port = config.prometheus_host, config.prometheus_port
            self.metrics_server = MetricsServer(self.node.metrics, host, port)
            await self.metrics_server.start()
            opened.push_async_callback(self.metrics_server.close)

    async def run(self) -> None:
        """Run the node, serve and report until cancelled.

        Raises: ExceptionGroup of what ended a task.
        """
        node, config = self.node, self.node.config
        log.info("Assay node %s", VERSION)
        log.info("📋 Chain specification: %s", config.spec.name)
        log.info("🏷  Node name: %s", config.name)
        log.info("👤 Role: %s", "AUTHORITY" if config.validator else "FULL")
        log.info("🏷  Local node identity is: %s", node.peer_id)
        log.info("🔨 Genesis 0x%s, best #%d", node.store.genesis_hash.hex(), node.store.best_number)
        informant = Informant(node.store, node.sync, node.network, node.clock)
        works = {"json-rpc": self.rpc.run(), "informant": informant.run()}
        async with asyncio.TaskGroup() as tasks:
            for name, work in works.items():
                tasks.create_task(observed(name, work, node.metrics), name=name)
            tasks.create_task(node.run(), name="node")

    def _backend(self) -> Backend:
        node, spec = self.node, self.node.config.spec
        roles = ("Authority",) if node.config.validator else ("Full",)
        info = ChainInfo(spec.name, spec.chain_type, spec.properties, "Assay Node", VERSION, roles)
        operator = NodeOperator(
            node.peer_id,
            node.transport.addresses,
            node.keys,
            node.voter,
            node.store,
            node.executor,
            node.transport if isinstance(node.transport, TcpTransport) else None,
        )
        return Backend(
            info,
            node.store,
            node.store,
            node.executor,
            _PoolDoor(node),
            node.feed,
            lambda: Health(
                len(node.network.peers()),
                node.sync.is_major,
                node.has_network,
                node.sync.starting_number,
                node.sync.target,
            ),
            self._peers,
            operator,
        )

    def _peers(self) -> list[PeerInfo]:
        """Return the peers as RPC shows them."""
        found = []
        for name, status in self.node.network.statuses().items():
            best = self.node.sync.best_of(name) or (status.best_hash, status.best_number)
            roles = "AUTHORITY" if status.roles & Roles.AUTHORITY else "FULL"
            found.append(PeerInfo(name, roles, *best))
        return found

    def _reading(self) -> Reading:
        """Return what the metrics show of the chain and the pool."""
        node = self.node
        counters = node.pool.counters
        return Reading(
            best=node.store.best_number,
            finalized=node.store.finalized_number,
            sync_target=node.sync.target,
            leaves=len(node.store.leaves()),
            roles=AUTHORITY_ROLE if node.config.validator else FULL_ROLE,
            ready=node.pool.ready_count,
            submitted=counters.submitted,
            validations=counters.validations,
            invalid=counters.invalid,
            cache_bytes=cache_bytes(),
            network=network_reading(node.network, node.sync, node.transport),
            channels=node.feed.traffic(),
        )


class _ImportDoor:
    """The importer as block sync sees it: with a stopwatch."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.finalize = node.importer.finalize
        self.begins_in = node.importer.begins_in
        self.arrived = node.importer.arrived

    def import_foreign(
        self, header: Header, body: list[bytes], above: Sequence[Header] | None = None
    ) -> Hash:
        """Verify, execute and store a block.

        Raises: InvalidBlock, ExcessBlock, BlockRejected, UnknownBlock, StateDiscarded, RuntimeMissing.
        """
        began = self._node.clock.monotonic()
        block = self._node.importer.import_foreign(header, body, above)
        self._node.metrics.block_imported(self._node.clock.monotonic() - began)
        return block


class _PoolDoor:
    """The pool as RPC sees it: with the state's nonces."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.submit = node.submit
        self.watch = node.watch
        self.ready = node.pool.ready
        self.remove = node.pool.remove

    def next_index(self, account: bytes) -> int:
        """Return the nonce a new transaction of an account should use."""
        return self._node.next_index(AccountId(account))


def _transport(peers: TcpConfig | None, clock: Clock, home: Path) -> Callable[[Keypair, bytes], Transport]:
    """Return what makes the way to peers, once node key and genesis are known."""
    if peers is None:
        return no_peers
    return lambda node_key, genesis: TcpTransport(peers, node_key, genesis, RealRng(), clock, RealDisk(home))


def _discover(node: Node, transport: TcpTransport, node_key: Keypair, environment: Environment) -> None:
    """Have a node hear of others from its peers."""
    discovery = Discovery(
        node.network,
        transport,
        transport.dialler,
        node_key,
        node.store.genesis_hash,
        environment.clock,
        environment.rng,
        allow_private=transport.config.allow_private,
        is_open=not transport.reserved.only,
        fruitless=lambda: node.network.fruitless() if node.sync.is_stale else (),
    )
    node.network.add(discovery, {Channel.PEERS: discovery.received})


def _check_genesis(spec: ChainSpec, store: ChainStore, executor: Executor) -> None:
    flaw = executor.flaw(store.state_at(store.genesis_hash))
    if flaw is not None:
        raise SpecError(f"the genesis of {spec.id} makes no chain: {flaw}")


def _session_keys(config: NodeConfig, keystore: Keystore, guard: Guard, rng: Rng) -> SessionKeys:
    """Open the session keys; test chains put //Alice's where an operator's would be, and make records."""
    keys = SessionKeys(keystore, guard, rng, wants_password=not config.spec.is_test_chain)
    if config.authority is not None:
        for key_type in KEY_KINDS:
            keys.insert(key_type, config.authority)
    if config.validator:
        if config.spec.is_test_chain:
            keys.admit_all()
        keys.load()
    return keys
