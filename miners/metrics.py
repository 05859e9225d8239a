"""What a miner or judge measures, as Prometheus series train_* and miner_*, with the label `chain` on all.

A series appears once there is a number for it, so a miner shows no scores and a judge no tokens per second.
"""

import re
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from chain.client import PHASES
from chain.verdicts import Cause
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
        self._reveals = self._gauge(
            "train_score_reveal_ratio", "Judges that revealed scores of the last round, of those that were to"
        )
        self._updates = self._counter("train_updates", "Updates by what became of them", "outcome")
        self._emission = self._counter("train_emission_planck", "Emission of this hotkey", "role")
        self._verification = Histogram(
            "train_verification_seconds", "Time to fetch, check and measure all updates of a round",
            ["chain"], buckets=VERIFICATION_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._rejections = self._counter("train_rejections", "Updates that earned nothing, by cause", "cause")
        self._verdicts = self._counter(
            "train_verdicts", "Audits, evidence and challenges about this hotkey", "event"
        )
        self._withheld = self._gauge("train_withheld", "1 while a miner earns nothing for a failed audit")
        self._burnt = self._counter("train_burnt_planck", "Bond and unvested pay of this hotkey, burnt")
        self._payout = self._gauge("train_last_payout_planck", "Last payout of this hotkey", "role")
        self._speed = self._gauge("miner_tokens_per_second", "Speed of the last training")
        self._step_loss = self._gauge("miner_step_loss", "Mean loss of the last training, nats per token")
        self._payload = self._gauge("miner_payload_bytes", "Bytes of the last update")
        self._score = self._gauge("miner_score_ppm", "Weight of the last update in the model; 0: rejected")
        self._rank = self._gauge("miner_rank", "Place of the last update in its round; 1 is the best")

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

    def scores_revealed(self, judges: int, due: int) -> None:
        """Note how many judges revealed scores of a round, and how many sealed some or were waited for."""
        if due:
            self._reveals.labels(self._chain).set(judges / due)

    def trained(self, speed: float, loss: float) -> None:
        """Note a training: tokens per second, and loss in nats per token."""
        self._speed.labels(self._chain).set(speed)
        self._step_loss.labels(self._chain).set(loss)

    def published(self, size: int) -> None:
        """Note an update of so many bytes."""
        self._payload.labels(self._chain).set(size)

    def update_ended(self, outcome: str) -> None:
        """Note what became of this miner's own update: revealed or lost, then accepted or rejected."""
        self._updates.labels(self._chain, outcome).inc()

    def placed(self, ppm: int, rank: int) -> None:
        """Note how a miner's update did in its round."""
        self._score.labels(self._chain).set(ppm)
        self._rank.labels(self._chain).set(rank)

    def rejected(self, cause: Cause) -> None:
        """Note why an update earned nothing."""
        self._rejections.labels(self._chain, cause.value).inc()

    def heard(self, event: str) -> None:
        """Note an audit's step, evidence or a challenge."""
        self._verdicts.labels(self._chain, event).inc()

    def standing_seen(self, is_withheld: bool) -> None:
        """Note whether this miner earns nothing until it passes an audit."""
        self._withheld.labels(self._chain).set(is_withheld)

    def burnt(self, planck: int) -> None:
        """Note what a verdict or evidence has cost."""
        if planck:
            self._burnt.labels(self._chain).inc(planck)

    def paid(self, role: str, planck: int) -> None:
        """Note emission."""
        self._emission.labels(self._chain, role).inc(planck)
        self._payout.labels(self._chain, role).set(planck)

    def render(self) -> str:
        """Return the text exposition format, version 0.0.4."""
        return _CREATED.sub("", generate_latest(self._registry).decode())

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(name, words, ["chain", *labels], registry=self._registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, ["chain", *labels], registry=self._registry)
