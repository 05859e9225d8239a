"""Prometheus metrics under Substrate's names, and the server operators scrape them from.

Published dashboards and alert rules query these names, so counters keep them verbatim, without `_total`.
"""

import logging
import re
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from runtime.primitives.types import BlockNumber

log = logging.getLogger("prometheus")

CALL_BUCKETS = (25.0, 100.0, 500.0, 1e3, 5e3, 25e3, 100e3, 1e6, 10e6)
"""microseconds, the unit Substrate's dashboards expect of RPC calls"""
PROPOSER_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""seconds; slots take 2 to 6"""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
IDLE_TIMEOUT = 75.0
"""seconds between two scrapes on one connection"""
CLOSE_TIMEOUT = 2.0
"""seconds a scrape in progress may take when the node stops"""

_BARE_COUNTERS = (
    "substrate_rpc_calls_started",
    "substrate_rpc_calls_finished",
    "substrate_rpc_sessions_opened",
    "substrate_rpc_sessions_closed",
)
_TOTAL = re.compile(rf"\b({'|'.join(_BARE_COUNTERS)})_total\b")
_CREATED = re.compile(r"^(# (HELP|TYPE) )?substrate_\w+_created[ {].*\n", re.MULTILINE)


Family = TypeVar("Family", Counter, Histogram)


class Metrics:
    """All series of one node; every one carries the label `chain`."""

    def __init__(self, chain: str, node_name: str, node_version: str, started_at: float) -> None:
        """Create the series; `started_at` is seconds since the Unix epoch."""
        self._chain = chain
        self._known: dict[tuple[object, ...], Any] = {}
        self._registry = CollectorRegistry()
        self._height = self._gauge("substrate_block_height", "Block height info of the chain", "status")
        self._ready = self._gauge("substrate_ready_transactions_number", "Transactions in the ready queue")
        self._proposed = self._gauge(
            "substrate_proposer_number_of_transactions", "Transactions in the last block proposed"
        )
        self._construction = self._histogram(
            "substrate_proposer_block_constructed", "Seconds taken to construct a block", PROPOSER_BUCKETS
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

    def best_block(self, number: BlockNumber) -> None:
        """Note the height of the best block."""
        self._height.labels(self._chain, "best").set(number)

    def finalized_block(self, number: BlockNumber) -> None:
        """Note the height of the last finalized block."""
        self._height.labels(self._chain, "finalized").set(number)

    def sync_target(self, number: BlockNumber) -> None:
        """Note the height the node is syncing to."""
        self._height.labels(self._chain, "sync_target").set(number)

    def ready_transactions(self, count: int) -> None:
        """Note how many transactions could enter the next block."""
        self._ready.labels(self._chain).set(count)

    def block_proposed(self, seconds: float, transactions: int) -> None:
        """Count a block this node built."""
        self._construction.labels(self._chain).observe(seconds)
        self._proposed.labels(self._chain).set(transactions)

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


class MetricsServer:
    """`GET /metrics` on its own port; 9615 by convention."""

    def __init__(self, metrics: Metrics, host: str = "127.0.0.1", port: int = 9615) -> None:
        self._metrics = metrics
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        assert self._runner is not None, "the server has not started"
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen.

        Raises: OSError when the address cannot be used.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=IDLE_TIMEOUT, shutdown_timeout=CLOSE_TIMEOUT
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self.close()
            raise
        log.info("Prometheus exporter started at %s:%d", self._host, self.port)

    async def close(self) -> None:
        """Stop listening; closing twice is fine."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render().encode(), headers={"Content-Type": CONTENT_TYPE})
