"""The benchmarks in small: what they count is on the chain, and every figure they publish is there."""

import pytest

from bench import hotset, imports, reads, throughput


@pytest.mark.e2e
def test_every_submitted_transfer_is_counted_in_a_sealed_block() -> None:
    figures = throughput.measure(200, with_peer=False)
    assert figures["anvil"] == "left out"
    for name in ("assay_single", "assay_batched"):
        run = figures[name]
        assert (run["included"], run["refused"]) == (200, 0)
        assert sum(count for _, count in run["blocks"]) == 200
        assert run["transfers_per_second"] == pytest.approx(200 / run["blocks"][-1][0], abs=1)


@pytest.mark.e2e
def test_reads_are_answered_over_both_transports() -> None:
    figures = reads.measure(300, with_peer=False)
    rates = {name: value for name, value in figures.items() if name.endswith("_per_second")}
    assert sorted(rates) == [
        f"assay_{question}_{transport}_per_second"
        for question in ("header", "storage")
        for transport in ("http", "websocket")
    ]
    assert min(rates.values()) > 0


def test_imports_name_their_stages() -> None:
    figures = imports.measure(2, 30, 20)
    stages = figures["stages_cpu_us_per_transfer"]
    assert list(stages) == ["signatures", "decoding", "state root", "synced write", "execution and the rest"]
    assert min(stages.values()) > 0
    assert figures["empty_blocks"] == 20


def test_a_transfer_costs_something_on_any_state() -> None:
    figures = hotset.measure([100, 300], hot=50, per_block=40, blocks=2)
    for accounts in ("100", "300"):
        cost = figures["cpu_us_per_transfer"][accounts]
        assert cost["hot"] > cost["hot_root"] > 0
        assert cost["random"] > cost["random_root"] > 0
