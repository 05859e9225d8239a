"""Prometheus metrics under Substrate's names, and the server operators scrape them from.

Published dashboards and alert rules query these names, so counters keep them verbatim, without `_total`.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chain.common.http_door import Bounds, Door
from chain.common.notifications import Traffic
from runtime.primitives.types import BlockNumber

log = logging.getLogger("prometheus")

CALL_BUCKETS = (25.0, 100.0, 500.0, 1e3, 5e3, 25e3, 100e3, 1e6, 10e6)
"""microseconds, the unit Substrate's dashboards expect of RPC calls"""
PROPOSER_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""seconds; slots take 2 to 6"""
IMPORT_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""seconds"""
POLL_BUCKETS = tuple(0.001 * 4**power for power in range(9))
"""seconds; Substrate's"""
TASK_LABELS = ("task_name", "task_group", "kind")
TASK_KIND = ("default", "async")
FULL_ROLE, AUTHORITY_ROLE = 1, 4
"""Substrate's numbers for what a node does"""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DOOR = Bounds(connections=64, connections_per_address=8, idle_seconds=75.0, head_line=8_190)
"""75 seconds between two scrapes on one connection; browsers send long heads"""
SCRAPE_SECONDS = 10.0
"""for a reader to take the page; Prometheus waits no longer either"""
CLOSE_TIMEOUT = 2.0
"""seconds a scrape in progress may take when the node stops"""

_BARE_COUNTERS = (
    "substrate_proposer_end_proposal_reason",
    "substrate_rpc_calls_started",
    "substrate_rpc_calls_finished",
    "substrate_rpc_sessions_opened",
    "substrate_rpc_sessions_closed",
    "substrate_sub_txpool_submitted_transactions",
    "substrate_sub_txpool_validations_scheduled",
    "substrate_sub_txpool_validations_finished",
    "substrate_sub_txpool_validations_invalid",
    "substrate_unbounded_channel_len",
)
_TOTAL = re.compile(rf"\b({'|'.join(_BARE_COUNTERS)})_total\b")
_CREATED = re.compile(r"^(# (HELP|TYPE) )?substrate_\w+_created[ {].*\n", re.MULTILINE)


Family = TypeVar("Family", Counter, Histogram)
Counts = dict[tuple[str, ...], int]
"""Values by labels, without the chain's."""


@dataclass(frozen=True, slots=True)
class NetworkReading:
    """What the network of the node says when it is looked at; counts are since the start."""

    peers: int = 0  # on this chain, connected
    incoming: int = 0  # connections others have opened
    outgoing: int = 0
    refused: int = 0  # of the incoming ones
    failed: int = 0  # attempts to connect
    received_bytes: int = 0
    sent_bytes: int = 0
    queued_bytes: int = 0  # that wait to be sent
    shed: int = 0  # messages of the present peers that gave way to more urgent ones
    bans: int = 0
    banned: int = 0  # identities and addresses that are kept away now
    known: int = 0  # peers in the address book
    faults: Mapping[str, int] = field(default_factory=dict)
    is_syncing: bool = False
    queued_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the parts of the node say when they are looked at."""

    best: BlockNumber = 0
    finalized: BlockNumber = 0
    sync_target: BlockNumber = 0
    leaves: int = 1
    roles: int = FULL_ROLE
    ready: int = 0
    submitted: int = 0
    validations: int = 0
    invalid: int = 0
    cache_bytes: int = 0
    network: NetworkReading = field(default_factory=NetworkReading)
    channels: Mapping[str, Traffic] = field(default_factory=dict)


class _Live(Collector):
    """Series read off the node whenever somebody looks, so that they are never out of date."""

    def __init__(self, chain: str, read: Callable[[], Reading]) -> None:
        self._chain = chain
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Return the series as they are now."""
        now = self._read()
        heights = {"best": now.best, "finalized": now.finalized, "sync_target": now.sync_target}
        yield self._gauge("substrate_block_height", "Block height info of the chain", heights, "status")
        for name, words, value in (
            ("substrate_number_leaves", "Blocks of the chain without a child", now.leaves),
            ("substrate_node_roles", "1 for a full node, 4 for an authority", now.roles),
            ("substrate_ready_transactions_number", "Transactions in the ready queue", now.ready),
            ("substrate_database_cache_bytes", "Bytes of the database's block cache in use", now.cache_bytes),
        ):
            yield self._gauge(name, words, {"": value})
        yield from self._network(now.network)
        pool = "substrate_sub_txpool_"
        for name, words, value in (
            ("submitted_transactions", "Transactions the pool took", now.submitted),
            ("validations_scheduled", "Validations of transactions begun", now.validations),
            ("validations_finished", "Validations of transactions ended", now.validations),
            ("validations_invalid", "Transactions found invalid or unknown", now.invalid),
        ):
            yield self._counter(pool + name, words, {("",): value})
        yield self._gauge(
            "substrate_unbounded_channel_size", "Notifications that wait to be read",
            {name: each.queued for name, each in now.channels.items()}, "entity",
        )  # fmt: skip
        passed: Counts = {}
        for name, each in now.channels.items():
            for action, count in (
                ("send", each.sent),
                ("received", each.received),
                ("dropped", each.dropped),
            ):
                passed[name, action] = count
        words = "Notifications sent, received and dropped"
        yield self._counter("substrate_unbounded_channel_len", words, passed, "entity", "action")

    def _network(self, now: NetworkReading) -> Iterable[Metric]:
        """Return the series about peers; those without a name of Substrate's begin with assay_."""
        libp2p, ours = "substrate_sub_libp2p_", "assay_network_"
        for name, words, value in (
            (libp2p + "peers_count", "Peers on this chain that are connected", now.peers),
            (libp2p + "is_major_syncing", "1 while far behind the peers, else 0", int(now.is_syncing)),
            ("substrate_sync_peers", "Peers that blocks are fetched from", now.peers),
            ("substrate_sync_queued_blocks", "Blocks that wait to be imported", now.queued_blocks),
            (ours + "queued_bytes", "Bytes of messages that wait to be sent to peers", now.queued_bytes),
            (ours + "banned", "Peers and addresses that are kept away now", now.banned),
            (ours + "known_addresses", "Addresses of peers in the address book", now.known),
        ):
            yield self._gauge(name, words, {"": value})
        for name, words, value in (
            (libp2p + "incoming_connections", "Connections others have opened", now.incoming),
            (ours + "refused_connections", "Incoming connections turned away", now.refused),
            (ours + "failed_dials", "Attempts to connect that led to nobody", now.failed),
            (ours + "shed_messages", "Messages that gave way to more urgent ones", now.shed),
            (ours + "bans", "Bans of peers", now.bans),
        ):
            yield self._counter(name, words, {("",): value})
        for name, words, received, sent in (
            ("connections_opened", "Connections by who opened them", now.incoming, now.outgoing),
            ("network_bytes", "Bytes of messages from and to peers", now.received_bytes, now.sent_bytes),
        ):
            yield self._counter(libp2p + name, words, {("in",): received, ("out",): sent}, "direction")
        faults: Counts = {(name,): count for name, count in now.faults.items()}
        yield self._counter(ours + "faults", "What peers did wrong", faults, "fault")

    def _gauge(self, name: str, words: str, values: Mapping[str, int], *labels: str) -> Metric:
        family = GaugeMetricFamily(name, words, labels=["chain", *labels])
        for label, value in values.items():
            family.add_metric([self._chain, label][: 1 + len(labels)], value)
        return family

    def _counter(self, name: str, words: str, values: Counts, *labels: str) -> Metric:
        family = CounterMetricFamily(name, words, labels=["chain", *labels])
        for key, value in values.items():
            family.add_metric([self._chain, *key][: 1 + len(labels)], value)
        return family


class Metrics:
    """All series of one node; every one carries the label `chain`."""

    def __init__(self, chain: str, node_name: str, node_version: str, started_at: float) -> None:
        """Create the series; `started_at` is seconds since the Unix epoch."""
        self._chain = chain
        self._known: dict[tuple[object, ...], Any] = {}
        self._registry = CollectorRegistry()
        self._imports = self._histogram(
            "substrate_block_verification_and_import_time",
            "Seconds taken to verify and store a block; own ones are only stored",
            IMPORT_BUCKETS,
        )
        self._processed = self._counter(
            "substrate_import_queue_processed_total", "Blocks offered for import", "result"
        )
        self._proposed = self._gauge(
            "substrate_proposer_number_of_transactions", "Transactions in the last block proposed"
        )
        self._construction = self._histogram(
            "substrate_proposer_block_constructed", "Seconds taken to construct a block", PROPOSER_BUCKETS
        )
        self._full = self._counter(
            "substrate_proposer_end_proposal_reason", "Why the building of blocks ended", "reason"
        )
        grandpa = "substrate_finality_grandpa_"
        self._round = self._gauge(grandpa + "round", "Highest completed GRANDPA round")
        self._prevotes = self._counter(grandpa + "prevotes_total", "Prevotes cast by this node")
        self._precommits = self._counter(grandpa + "precommits_total", "Precommits cast by this node")
        self._tasks = _TaskSeries(
            self._counter("substrate_tasks_spawned_total", "Tasks begun", *TASK_LABELS),
            self._counter("substrate_tasks_ended_total", "Tasks ended", "reason", *TASK_LABELS),
            self._counter("substrate_tasks_polling_started_total", "Steps of tasks begun", *TASK_LABELS),
            self._histogram(
                "substrate_tasks_polling_duration",
                "Seconds of one step of a task",
                POLL_BUCKETS,
                *TASK_LABELS,
            ),
        )
        self._started = self._counter("substrate_rpc_calls_started", "RPC calls begun", "protocol", "method")
        self._finished = self._counter(
            "substrate_rpc_calls_finished", "RPC calls answered", "protocol", "method", "is_error"
        )
        self._call_time = self._histogram(
            "substrate_rpc_calls_time", "Microseconds taken by RPC calls", CALL_BUCKETS, "protocol", "method"
        )
        self._opened = self._counter("substrate_rpc_sessions_opened", "WebSocket connections opened")
        self._closed = self._counter("substrate_rpc_sessions_closed", "WebSocket connections closed")
        build = self._gauge("substrate_build_info", "Name and version of the node", "name", "version")
        build.labels(chain, node_name, node_version).set(1)
        start = self._gauge("substrate_process_start_time_seconds", "Start, seconds since the Unix epoch")
        start.labels(chain).set(started_at)

    def follow(self, read: Callable[[], Reading]) -> None:
        """Look at the node whenever the series are asked for; once only."""
        self._registry.register(_Live(self._chain, read))

    def block_imported(self, seconds: float) -> None:
        """Count a block that was stored."""
        self._imports.labels(self._chain).observe(seconds)
        self._processed.labels(self._chain, "success").inc()

    def block_proposed(self, seconds: float, transactions: int, ended: str) -> None:
        """Count a block this node built, and why it took no more transactions."""
        self._construction.labels(self._chain).observe(seconds)
        self._proposed.labels(self._chain).set(transactions)
        self._full.labels(self._chain, ended).inc()

    def round_completed(self, round_: int, precommits: int) -> None:
        """Count the votes of this node in a round that has finalised a block."""
        self._round.labels(self._chain).set(round_)
        self._prevotes.labels(self._chain)
        self._precommits.labels(self._chain).inc(precommits)

    def task_spawned(self, name: str) -> None:
        """Count a task that begins."""
        self._tasks.spawned.labels(self._chain, name, *TASK_KIND).inc()

    def task_polled(self, name: str, seconds: float) -> None:
        """Count a step of a task."""
        self._tasks.started.labels(self._chain, name, *TASK_KIND).inc()
        self._tasks.duration.labels(self._chain, name, *TASK_KIND).observe(seconds)

    def task_ended(self, name: str, reason: str) -> None:
        """Count a task that ended."""
        self._tasks.ended.labels(self._chain, reason, name, *TASK_KIND).inc()

    def call_started(self, protocol: str, method: str) -> None:
        """Count an RPC call; only names the node knows arrive here, so labels stay few."""
        self._series(self._started, protocol, method).inc()

    def call_finished(self, protocol: str, method: str, seconds: float, is_error: bool) -> None:
        """Count an answered RPC call."""
        self._series(self._finished, protocol, method, str(is_error).lower()).inc()
        self._series(self._call_time, protocol, method).observe(seconds * 1e6)

    def session_opened(self) -> None:
        """Count a new WebSocket connection."""
        self._opened.labels(self._chain).inc()

    def session_closed(self) -> None:
        """Count a WebSocket connection that ended."""
        self._closed.labels(self._chain).inc()

    def render(self) -> str:
        """Return the text exposition format, version 0.0.4."""
        text = generate_latest(self._registry).decode()
        return _TOTAL.sub(r"\1", _CREATED.sub("", text))

    def _series(self, family: Family, *labels: str) -> Family:
        """Return one series of a family; prometheus_client checks labels on every look-up, which is slow."""
        found: Family | None = self._known.get((family, *labels))
        if found is None:
            found = self._known[family, *labels] = family.labels(self._chain, *labels)
        return found

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(name, help_text, ["chain", *labels], registry=self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, ["chain", *labels], registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, help_text, ["chain", *labels], buckets=buckets, registry=self._registry)


@dataclass(frozen=True, slots=True)
class _TaskSeries:
    """What is counted of tasks."""

    spawned: Counter
    ended: Counter
    started: Counter
    duration: Histogram


class Page(Protocol):
    """What is served: the series of a node or of a worker."""

    def render(self) -> str:
        """Return the text exposition format, version 0.0.4."""
        ...


class MetricsServer:
    """`GET /metrics` on its own port; 9615 by convention."""

    def __init__(
        self, metrics: Page, host: str = "127.0.0.1", port: int = 9615, bounds: Bounds = DOOR
    ) -> None:
        self._metrics = metrics
        self._host = host
        self._port = port
        self._runner = web.ServerRunner(Door(self._serve, bounds), shutdown_timeout=CLOSE_TIMEOUT)

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen.

        Raises: OSError when the address cannot be used.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.close()
            raise
        log.info("Prometheus exporter started at %s:%d", self._host, self.port)

    async def close(self) -> None:
        """Stop listening; closing twice is fine."""
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        response = self._answer(request)
        if request.can_read_body:
            response.force_close()  # nobody reads it
        try:
            async with asyncio.timeout(SCRAPE_SECONDS):
                await response.prepare(request)
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            response.force_close()
            if request.transport is not None:
                request.transport.abort()  # it takes nothing, or too slowly
        return response

    def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path != "/metrics":
            return web.Response(status=404, text="only /metrics is served\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="only GET is served\n", headers={"Allow": "GET, HEAD"})
        return web.Response(body=self._metrics.render().encode(), headers={"Content-Type": CONTENT_TYPE})
