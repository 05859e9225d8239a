"""The metrics page, read the way Prometheus reads it."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chain.common.http_door import Bounds
from chain.telemetry.metrics import Metrics, MetricsServer, Reading


def samples(text):
    """Return {(name, labels without chain): value}, having checked that every sample carries the chain."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("chain") == "Assay Test"
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def metrics():
    return Metrics("Assay Test", "Assay Node", "0.1.0", started_at=1_700_000_000.5)


def test_a_fresh_node_shows_what_it_is():
    assert samples(metrics().render()) == {
        ("substrate_build_info", (("name", "Assay Node"), ("version", "0.1.0"))): 1,
        ("substrate_process_start_time_seconds", ()): 1_700_000_000.5,
    }


def test_heights_pool_and_proposer():
    node = metrics()
    node.follow(lambda: Reading(best=41, finalized=39, sync_target=50, ready=3))
    node.block_proposed(0.02, 7, "hit_deadline")
    found = samples(node.render())
    heights = {
        labels[0][1]: value for (name, labels), value in found.items() if name == "substrate_block_height"
    }
    assert heights == {"best": 41, "finalized": 39, "sync_target": 50}
    assert found["substrate_ready_transactions_number", ()] == 3
    assert found["substrate_proposer_number_of_transactions", ()] == 7
    assert found["substrate_proposer_block_constructed_count", ()] == 1
    assert found["substrate_proposer_end_proposal_reason_total", (("reason", "hit_deadline"),)] == 1
    assert found["substrate_proposer_block_constructed_sum", ()] == 0.02


def test_counters_keep_substrates_names():
    node = metrics()
    node.call_started("ws", "system_chain")
    node.call_finished("ws", "system_chain", 0.003, is_error=False)
    node.call_started("http", "state_call")
    node.call_finished("http", "state_call", 0.5, is_error=True)
    node.session_opened()
    node.session_closed()
    text = node.render()
    chain = 'chain="Assay Test"'
    counters = [
        f'substrate_rpc_calls_started{{{chain},method="system_chain",protocol="ws"}} 1.0',
        f'substrate_rpc_calls_started{{{chain},method="state_call",protocol="http"}} 1.0',
        f'substrate_rpc_calls_finished{{{chain},is_error="false",method="system_chain",protocol="ws"}} 1.0',
        f'substrate_rpc_calls_finished{{{chain},is_error="true",method="state_call",protocol="http"}} 1.0',
        f"substrate_rpc_sessions_opened{{{chain}}} 1.0",
        f"substrate_rpc_sessions_closed{{{chain}}} 1.0",
        "# TYPE substrate_rpc_calls_started counter",
    ]
    assert [line for line in counters if line not in text.splitlines()] == []
    assert [line for line in text.splitlines() if "_total" in line and "rpc" in line] == []
    assert "_created" not in text
    found = samples(text)
    ws = ("method", "system_chain")
    assert found["substrate_rpc_calls_time_sum", (ws, ("protocol", "ws"))] == 3000
    assert found["substrate_rpc_calls_time_bucket", (("le", "5000.0"), ws, ("protocol", "ws"))] == 1
    assert found["substrate_rpc_calls_time_bucket", (("le", "500.0"), ws, ("protocol", "ws"))] == 0


async def test_the_page_is_served_on_its_own_port():
    node = metrics()
    node.follow(lambda: Reading(best=7))
    server = MetricsServer(node, port=0)
    await server.start()
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{server.port}"
        async with http.get(url + "/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert samples(await response.text())["substrate_block_height", (("status", "best"),)] == 7
        async with http.get(url + "/") as response:
            assert response.status == 404
        async with http.post(url + "/metrics") as response:
            assert response.status == 405
    await server.close()
    await server.close()


async def test_strangers_who_say_nothing_do_not_keep_prometheus_out():
    bounds = Bounds(connections=8, connections_per_address=4, idle_seconds=75.0)
    server = MetricsServer(metrics(), port=0, bounds=bounds)
    await server.start()
    strangers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(40)]
    url = f"http://127.0.0.1:{server.port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
    for reader, _ in strangers[:-8]:
        assert await reader.read() == b""  # hung up on
    for _, writer in strangers:
        writer.close()
    await server.close()


async def test_a_connection_that_sends_no_request_ends():
    bounds = Bounds(connections=8, connections_per_address=4, idle_seconds=0.05)
    server = MetricsServer(metrics(), port=0, bounds=bounds)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost:")
    with suppress(ConnectionError):  # where it comes too late to be read
        assert await reader.read() == b""
    writer.close()
    await server.close()


class Long:
    """A page that no socket's buffer takes whole."""

    def render(self):
        return "x" * (64 << 20)


async def test_a_reader_that_takes_nothing_is_cut(monkeypatch):
    monkeypatch.setattr("chain.telemetry.metrics.SCRAPE_SECONDS", 0.1)
    server = MetricsServer(Long(), port=0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_000)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")
    await reader.readline()
    with suppress(ConnectionError):
        while True:  # until the other end says that there is no connection any more
            writer.write(b"GET")
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()
    await server.close()


async def test_a_taken_port_is_an_error_at_the_start():
    first = MetricsServer(metrics(), port=0)
    await first.start()
    with pytest.raises(OSError, match="address already in use"):
        await MetricsServer(metrics(), port=first.port).start()
    await first.close()
