"""A node at work, as its metrics page and its log show it."""

import asyncio
import logging
import re
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.chain.test_node import JumpingClock, opened

KINDS = {
    "substrate_block_height": "gauge",
    "substrate_number_leaves": "gauge",
    "substrate_ready_transactions_number": "gauge",
    "substrate_build_info": "gauge",
    "substrate_node_roles": "gauge",
    "substrate_process_start_time_seconds": "gauge",
    "substrate_database_cache_bytes": "gauge",
    "substrate_sub_libp2p_peers_count": "gauge",
    "substrate_sub_libp2p_network_bytes_total": "counter",
    "substrate_sub_libp2p_is_major_syncing": "gauge",
    "substrate_sub_libp2p_incoming_connections_total": "counter",
    "substrate_sub_libp2p_connections_opened_total": "counter",
    "substrate_sync_peers": "gauge",
    "substrate_sync_queued_blocks": "gauge",
    "assay_network_queued_bytes": "gauge",
    "assay_network_banned": "gauge",
    "assay_network_known_addresses": "gauge",
    "assay_network_refused_connections_total": "counter",
    "assay_network_failed_dials_total": "counter",
    "assay_network_shed_messages_total": "counter",
    "assay_network_bans_total": "counter",
    "assay_network_faults_total": "counter",
    "substrate_block_verification_and_import_time": "histogram",
    "substrate_import_queue_processed_total": "counter",
    "substrate_proposer_block_constructed": "histogram",
    "substrate_proposer_number_of_transactions": "gauge",
    "substrate_proposer_end_proposal_reason": "counter",
    "substrate_finality_grandpa_round": "gauge",
    "substrate_finality_grandpa_prevotes_total": "counter",
    "substrate_finality_grandpa_precommits_total": "counter",
    "substrate_sub_txpool_validations_scheduled": "counter",
    "substrate_sub_txpool_validations_finished": "counter",
    "substrate_sub_txpool_validations_invalid": "counter",
    "substrate_sub_txpool_submitted_transactions": "counter",
    "substrate_rpc_calls_started": "counter",
    "substrate_rpc_calls_finished": "counter",
    "substrate_rpc_calls_time": "histogram",
    "substrate_rpc_sessions_opened": "counter",
    "substrate_rpc_sessions_closed": "counter",
    "substrate_tasks_spawned_total": "counter",
    "substrate_tasks_ended_total": "counter",
    "substrate_tasks_polling_started_total": "counter",
    "substrate_tasks_polling_duration": "histogram",
    "substrate_unbounded_channel_len": "counter",
    "substrate_unbounded_channel_size": "gauge",
}
"""Names and types that published dashboards and alert rules query."""
GROWING = (
    "substrate_block_height",
    "substrate_block_verification_and_import_time_count",
    "substrate_import_queue_processed_total",
    "substrate_proposer_block_constructed_count",
    "substrate_proposer_end_proposal_reason_total",
    "substrate_finality_grandpa_round",
    "substrate_finality_grandpa_precommits_total",
    "substrate_tasks_polling_started_total",
    "substrate_tasks_polling_duration_count",
    "substrate_unbounded_channel_len_total",
)
"""Counters end in _total here, as the parser names them whatever the page says."""


def sums(text: str) -> dict[str, float]:
    """Return every series summed over its labels, having checked that the label chain is on all of them."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels["chain"] == "dev"
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def kinds(text: str) -> dict[str, str]:
    """Return the declared type of every name."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))


async def test_the_metrics_of_a_node_at_work_move(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with (
        opened(tmp_path, clock, prometheus_port=0) as service,
        aiohttp.ClientSession() as http,
        asyncio.timeout(60),
    ):
        assert service.metrics_server is not None
        url = f"http://127.0.0.1:{service.metrics_server.port}/metrics"
        finality = service.node.feed.finality()
        running = asyncio.create_task(service.run())
        pages = []
        for _ in range(2):
            for _ in range(2):
                await anext(finality)
            async with http.get(url) as response:
                pages.append(await response.text())
        running.cancel()
    assert kinds(pages[0]) == KINDS
    before, after = sums(pages[0]), sums(pages[1])
    assert [name for name in GROWING if not 0 < before[name] < after[name]] == []
    assert after["substrate_node_roles"] == 4
    assert after["substrate_number_leaves"] == 1
    assert after["substrate_tasks_spawned_total"] >= 5
    assert isinstance(next(iter(text_string_to_metric_families(pages[1]))), Metric)


async def test_the_log_has_the_lines_operators_look_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = JumpingClock()
    async with opened(tmp_path, clock) as service, asyncio.timeout(60):
        finality = service.node.feed.finality()
        running = asyncio.create_task(service.run())
        for _ in range(4):
            await anext(finality)
        running.cancel()
    short = "0x[0-9a-f]{4}…[0-9a-f]{4}"
    for line in (
        rf"💤 Idle \(0 peers\), best: #\d+ \({short}\), finalized #\d+ \({short}\), ⬇ 0 ⬆ 0",
        rf"🙌 Starting consensus session on top of parent {short} \(#1\)",
        r"🎁 Prepared block for proposing at 2 \(\d+ ms\) hash: 0x[0-9a-f]{64}; extrinsics_count: [12]",
        rf"🏆 Imported #2 \({short} → {short}\)",
        r"🏷  Local node identity is: 12D3KooW\w{44}",
        r"👤 Role: AUTHORITY",
    ):
        assert any(re.fullmatch(line, each) for each in caplog.messages), line
