"""Networks of voters: never two final chains below a third of byzantine weight, and finality comes back."""

import statistics

import pytest

from chain.consensus.grandpa.voter import GOSSIP_DURATION
from runtime.primitives.grandpa import PrevoteEquivocation
from tests.chain.consensus.grandpa import scenarios
from tests.chain.consensus.grandpa.network import Network


@pytest.mark.parametrize("seed", range(5))
def test_storms_break_nothing_and_finality_comes_back(seed: int) -> None:
    """`make storms` weathers 200 more; bench/results/grandpa_network.json has the last run."""
    assert scenarios.storm(seed).final[1] > 20


@pytest.mark.parametrize("seed", range(100, 103))
def test_storms_with_set_changes_and_crashes_while_signing(seed: int) -> None:
    network = scenarios.storm(seed, change_every=7, crash_on_signing=0.02)
    assert network.final[1] > 20
    assert min(peer.voter.set_id for peer in network.honest) >= network.final[1] // 7 - 1


@pytest.mark.parametrize(("count", "least", "most"), [(1, 1, 1), (2, 2, 4), (3, 2, 4), (4, 2, 4), (7, 2, 4)])
def test_small_healthy_networks_finalise_each_block_in_time(count: int, least: int, most: int) -> None:
    """A voter alone needs T, several 2T and two messages; they never use more rounds than blocks, twice."""
    network = Network(1, [1] * count).start()
    network.produce(2.0, 60.0, forks=0.0)
    network.run(70)
    assert network.final[1] == 29
    median = statistics.median(network.latency)
    assert least * GOSSIP_DURATION - 0.001 <= median <= most * GOSSIP_DURATION + 0.5
    assert all(30 <= peer.voter.round <= 60 for peer in network.peers)


def test_an_idle_network_starts_no_rounds() -> None:
    network = Network(1, [1] * 4).start()
    network.produce(2.0, 10.0)
    network.run(20)
    rounds = [peer.voter.round for peer in network.peers]
    network.run(500)
    assert [peer.voter.round for peer in network.peers] == rounds


def test_below_the_threshold_finality_waits_and_returns() -> None:
    """Two of four are gone: no round ends, and when they are back one vote finalises all blocks so far."""
    network = Network(1, [1] * 4).start()
    network.produce(2.0, 100.0)
    network.run(11.8)
    final = network.final
    for peer in network.peers[2:]:
        peer.crash()
    network.run(60)
    assert network.final == final
    for peer in network.peers[2:]:
        peer.start()
    network.run(80)
    assert network.final[1] >= network.peers[0].view.best[1] - 2


def test_a_voter_that_was_away_catches_up_by_the_votes_of_one_round() -> None:
    network = Network(1, [1] * 4).start()
    network.produce(2.0, 100.0)
    network.run(11)
    away = network.peers[3]
    away.crash()
    network.run(60)
    assert network.peers[0].voter.round > away.voter.round + 10
    away.start()
    network.run(80)
    assert away.view.final == network.peers[0].view.final
    assert away.voter.round >= network.peers[0].voter.round - 1


def test_twins_are_reported_by_whoever_sees_both_votes() -> None:
    network = scenarios.split_brain()
    twins = {network.keys[5], network.keys[6]}
    proofs = [proof for peer in network.honest for proof in peer.proofs]
    assert {proof.equivocation.identity for proof in proofs} == twins
    assert any(isinstance(proof.equivocation, PrevoteEquivocation) for proof in proofs)
    assert all(proof.equivocation.first[0] != proof.equivocation.second[0] for proof in proofs)
