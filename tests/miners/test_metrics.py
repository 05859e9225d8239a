"""What a worker's metrics page says, and that nobody has to have a number to have a page."""

import asyncio
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from miners.blobs.server import Traffic
from miners.joining import CannotJoin, measured
from miners.metrics import WorkerMetrics
from miners.shelf import Shelf
from miners.site import Site


def samples(page: str) -> dict[str, float]:
    found = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", page, re.MULTILINE)
    return {
        name.replace('chain="Local",', ""): float(value) for name, value in found if "_bucket" not in name
    }


def worker(home: Path) -> tuple[WorkerMetrics, Traffic, Shelf]:
    traffic, shelf = Traffic(), Shelf(home)
    return WorkerMetrics("Local", traffic, shelf), traffic, shelf


def test_a_new_worker_shows_what_it_has(tmp_path: Path) -> None:
    metrics, _, _ = worker(tmp_path)
    assert samples(metrics.render()) == {
        'train_blob_bytes_total{direction="in"}': 0,
        'train_blob_bytes_total{direction="out"}': 0,
        'train_blob_store_bytes{chain="Local"}': 0,
    }


def test_every_number_has_its_series(tmp_path: Path) -> None:
    metrics, traffic, shelf = worker(tmp_path)
    metrics.round_seen(7, "Reveal")
    metrics.model_measured(3.5)
    metrics.updates_verified(1.5, [(2, 600_000), (3, 0)], unfetched=1)
    metrics.trained(speed=500.0, loss=3.25)
    metrics.update_ended("revealed")
    metrics.paid("miner", 40)
    metrics.paid("miner", 2)
    traffic.received, traffic.sent = 5, 6
    shelf.of(1).put(b"seven..")
    shown = samples(metrics.render())
    phases = {name: value for name, value in shown.items() if name.startswith("train_round_phase")}
    assert len(phases) == 8
    assert {name for name, value in phases.items() if value} == {'train_round_phase{phase="Reveal"}'}
    assert {name: value for name, value in shown.items() if name not in phases} == {
        'train_blob_bytes_total{direction="in"}': 5,
        'train_blob_bytes_total{direction="out"}': 6,
        'train_blob_store_bytes{chain="Local"}': 7,
        'train_round{chain="Local"}': 7,
        'train_base_loss{chain="Local"}': 3.5,
        'train_update_score_ppm{miner="2"}': 600_000,
        'train_update_score_ppm{miner="3"}': 0,
        'train_updates_total{outcome="scored"}': 1,
        'train_updates_total{outcome="worthless"}': 1,
        'train_updates_total{outcome="unfetched"}': 1,
        'train_updates_total{outcome="revealed"}': 1,
        'train_emission_planck_total{role="miner"}': 42,
        'train_last_payout_planck{role="miner"}': 2,
        'train_verification_seconds_count{chain="Local"}': 1,
        'train_verification_seconds_sum{chain="Local"}': 1.5,
        'miner_tokens_per_second{chain="Local"}': 500,
        'miner_step_loss{chain="Local"}': 3.25,
    }


def test_who_has_left_has_no_score(tmp_path: Path) -> None:
    metrics, _, _ = worker(tmp_path)
    metrics.updates_verified(1.5, [(2, 600_000), (3, 0)], unfetched=0)
    metrics.updates_verified(1.5, [(3, 1)], unfetched=0)
    scores = {name: value for name, value in samples(metrics.render()).items() if "score_ppm" in name}
    assert scores == {'train_update_score_ppm{miner="3"}': 1}


def read(url: str) -> str:
    with urlopen(url) as answer:
        text: str = answer.read().decode()
        return text


async def test_the_page_is_served_where_a_port_is_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics, _, _ = worker(tmp_path)
    with caplog.at_level("INFO"):
        async with measured(metrics, Site(None, "", 0, prometheus_port=0)):
            port = int(caplog.messages[-1].rpartition(":")[2])
            page = await asyncio.to_thread(read, f"http://127.0.0.1:{port}/metrics")
            assert page == metrics.render()
            with pytest.raises(CannotJoin, match=f"metrics cannot be served at 127.0.0.1:{port} "):
                async with measured(metrics, Site(None, "", 0, prometheus_port=port)):
                    pass
    async with measured(metrics, Site(None, "", 0)):
        pass
