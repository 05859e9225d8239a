"""What a miner or judge measures, as Prometheus series train_* and miner_*, with the label `chain` on all.

A series appears once there is a number for it, so a miner shows no scores and a judge no tokens per second.
"""

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chain.client import PHASES, Chain
from miners.blobs.server import Traffic
from miners.shelf import Shelf

VERIFICATION_BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""seconds; the windows of a round last from 8 s to 20 minutes"""
_CREATED = re.compile(r"^(# (HELP|TYPE) )?\w+_created[ {].*\n", re.MULTILINE)


class _Blobs(Collector):
    """Read off the server and the shelf whenever somebody looks."""

    def __init__(self, chain: str, traffic: Traffic, shelf: Shelf) -> None:
        self._chain = chain
        self._traffic = traffic
        self._shelf = shelf

    def collect(self) -> Iterable[Metric]:
        """Return the series as they are now."""
        passed = CounterMetricFamily(
            "train_blob_bytes", "Bytes of blobs that were sent and received", labels=["chain", "direction"]
        )
        passed.add_metric([self._chain, "in"], self._traffic.received)
        passed.add_metric([self._chain, "out"], self._traffic.sent)
        kept = GaugeMetricFamily("train_blob_store_bytes", "Bytes of payloads on disk", labels=["chain"])
        kept.add_metric([self._chain], self._shelf.used)
        return (passed, kept)


class WorkerMetrics:
    """All series of one worker."""

    def __init__(self, chain: str, traffic: Traffic, shelf: Shelf) -> None:
        self._chain = chain
        self._registry = CollectorRegistry()
        self._registry.register(_Blobs(chain, traffic, shelf))
        self._round = self._gauge("train_round", "Round that is open")
        self._phase = self._gauge("train_round_phase", "1 for the phase the open round is in", "phase")
        self._loss = self._gauge("train_base_loss", "Held-out loss of the model, nats per token")
        self._scores = self._gauge("train_update_score_ppm", "Score of a miner's last update", "miner")
        self._updates = self._counter("train_updates", "Updates by what became of them", "outcome")
        self._emission = self._counter("train_emission_planck", "Emission of this hotkey", "role")
        self._verification = Histogram(
            "train_verification_seconds", "Time to fetch, check and measure all updates of a round",
            ["chain"], buckets=VERIFICATION_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._speed = self._gauge("miner_tokens_per_second", "Speed of the last training")
        self._step_loss = self._gauge("miner_step_loss", "Mean loss of the last training, nats per token")

    def round_seen(self, number: int, phase: str) -> None:
        """Note which round is open and where it stands."""
        self._round.labels(self._chain).set(number)
        for each in PHASES:
            self._phase.labels(self._chain, each).set(each == phase)

    def model_measured(self, loss: float) -> None:
        """Note the held-out loss of the newest model, in nats per token."""
        self._loss.labels(self._chain).set(loss)

    def updates_verified(self, seconds: float, scores: Iterable[tuple[int, int]], unfetched: int) -> None:
        """Note how a round's updates were judged: uid and ppm of each."""
        self._verification.labels(self._chain).observe(seconds)
        self._scores.clear()  # who has left has no score any more
        for uid, ppm in scores:
            self._scores.labels(self._chain, str(uid)).set(ppm)
            self._updates.labels(self._chain, "scored" if ppm else "worthless").inc()
        self._updates.labels(self._chain, "unfetched").inc(unfetched)

    def trained(self, tokens: int, seconds: float, loss: float) -> None:
        """Note a training; loss in nats per token."""
        self._speed.labels(self._chain).set(tokens / max(seconds, 1e-9))
        self._step_loss.labels(self._chain).set(loss)

    def update_ended(self, outcome: str) -> None:
        """Note what became of this miner's own update: revealed or lost."""
        self._updates.labels(self._chain, outcome).inc()

    def paid(self, role: str, planck: int) -> None:
        """Note emission."""
        self._emission.labels(self._chain, role).inc(planck)

    def render(self) -> str:
        """Return the text exposition format, version 0.0.4."""
        return _CREATED.sub("", generate_latest(self._registry).decode())

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, ["chain", *labels], registry=self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, ["chain", *labels], registry=self._registry)


async def follow(chain: Chain, netuid: int, metrics: WorkerMetrics) -> None:
    """Note the open round and this hotkey's emission at every finalised block, for ever."""
    paid_until: int | None = None
    async for head in chain.finalized():
        current = await chain.round(netuid, at=head)
        if current is not None:
            metrics.round_seen(current.number, current.phase)
        epoch = await chain.query("Incentive.LastEpoch", netuid, at=head)
        if paid_until is not None and epoch != paid_until:
            await _note_emission(chain, netuid, epoch, metrics)
        paid_until = epoch


async def _note_emission(chain: Chain, netuid: int, number: int, metrics: WorkerMetrics) -> None:
    block = await chain.block_at(number)
    events = await chain.events(block) if block else []
    for name, values in events:
        if name == "Incentive.EmissionPaid" and (values["netuid"], values["hotkey"]) == (
            netuid,
            chain.address,
        ):
            metrics.paid("miner", values["incentive"])
            metrics.paid("validator", values["dividend"])
