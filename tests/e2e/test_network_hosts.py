"""Four validators on four hosts: cuts, kills, strangers of another chain, and nodes that join late.

bench/hosts.py plays more of it, and measures how long each thing takes.
"""

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.hosts import PATIENCE, HostNode, Network, missing, network
from tests.e2e.process import eventually

pytestmark = pytest.mark.e2e

VICTIMS = ("Alice", "Charlie")
"""the one that all know, and another one"""
MODES = ("full", "fast", "warp")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Start four validators of whom three know one; none may have complained when all tests are over."""
    if (lacking := missing()) is not None:
        pytest.skip(f"needs {lacking}")
    with network(tmp_path_factory.mktemp("hosts")) as made:
        yield made
        assert made.complaints() == []


@pytest.fixture(scope="module")
def stranger(four: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostNode]:
    """Start a node of another genesis that knows the first validator, long before it is looked at."""
    home = tmp_path_factory.mktemp("stranger")
    spec = json.loads(four.spec.read_text())
    spec["genesis"]["runtimeGenesis"]["config"]["balances"]["balances"][0][1] += 1
    other = home / "other.json"
    other.write_text(json.dumps(spec))
    flags = ("--chain", str(other), "--tmp", *four.bootnodes())
    node = HostNode(four.switch.add(), home / "stranger.log", *flags)
    yield node
    node.stop()


def root(node: HostNode, height: int) -> str:
    """Return the state root of a height."""
    found: str = node.rpc("chain_getHeader", node.rpc("chain_getBlockHash", height))["stateRoot"]
    return found


def peers(node: HostNode) -> int:
    """Return how many peers a node has."""
    found: int = node.rpc("system_health")["peers"]
    return found


def test_who_knows_one_finds_all(four: Network, stranger: HostNode) -> None:
    for name, node in four.nodes.items():
        eventually(
            lambda node=node: node.rpc("system_health")["peers"] == 3, f"three peers of {name}", PATIENCE
        )  # type: ignore[misc]


def test_a_cut_stops_finality_but_not_blocks_and_heals(four: Network) -> None:
    four.await_final(2)
    alice, charlie = four.nodes["Alice"], four.nodes["Charlie"]
    left, right = [[four.hosts[name] for name in side] for side in (four.names[:2], four.names[2:])]
    four.switch.cut(left, right)
    for node in (alice, charlie):
        eventually(lambda node=node: node.number() - node.finalized() >= 4, "blocks of its own", PATIENCE)  # type: ignore[misc]
    stuck = alice.finalized()
    assert abs(charlie.finalized() - stuck) <= 1, "half of the validators finalise nothing"
    assert alice.rpc("chain_getBlockHash", stuck + 3) != charlie.rpc("chain_getBlockHash", stuck + 3)
    four.switch.heal()
    four.await_final(max(alice.number(), charlie.number()) + 1)
    assert four.agree() > stuck


def test_a_node_of_another_genesis_is_refused_in_the_handshake(four: Network, stranger: HostNode) -> None:
    eventually(stranger.is_up, "an answer", PATIENCE)
    eventually(lambda: "another chain" in stranger.output(), "the refusal", PATIENCE)
    assert stranger.rpc("system_health")["peers"] == 0
    told = [line for line in stranger.output().splitlines() if "another chain" in line]
    assert len(told) == 1, told
    assert four.address("Alice") in told[0]
    ours = {name: node.rpc("chain_getBlockHash", 0) for name, node in four.nodes.items()}
    assert stranger.rpc("chain_getBlockHash", 0) not in ours.values()
    eventually(lambda: peers(four.nodes["Alice"]) == 3, "three peers, and no fourth", PATIENCE)
    assert four.key_file("Alice").read_text() not in stranger.output()
    stranger.stop()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_validator_comes_back_and_finality_goes_on(four: Network, victim: str) -> None:
    rng = random.Random(victim)
    four.kill(victim)
    others = [name for name in four.names if name != victim]
    reached = max(four.nodes[name].finalized() for name in others)
    four.await_final(reached + 1 + rng.randrange(3), *others)
    eventually(four.start(victim).is_up, f"an answer of {victim}", PATIENCE)
    four.await_final(max(four.nodes[name].number() for name in others))
    four.agree()


def test_nodes_that_join_late_by_every_way_have_the_same_root(four: Network) -> None:
    """One of them has no address of its own, and finds everybody by one all the same."""
    height = four.nodes["Alice"].finalized()
    with ExitStack() as joined:
        late = {
            mode: joined.enter_context(four.joined(f"Late-{mode}", "--sync", mode, listens=mode != "full"))
            for mode in MODES
        }
        for node in late.values():
            eventually(node.is_up, "an answer", PATIENCE)
        four.await_final(height)
        assert len({root(node, height) for node in four.nodes.values()}) == 1
        for mode in ("fast", "warp"):
            assert f"{mode.title()} sync is done" in late[mode].output(), late[mode].output()
            eventually(lambda mode=mode: root(late[mode], 1) == root(four.nodes["Alice"], 1), "the past")  # type: ignore[misc]
        hidden = late["full"]
        eventually(lambda: peers(hidden) == len(four.nodes) - 1, "everybody else", PATIENCE)
        assert hidden.rpc("system_localListenAddresses") == []
        four.await_final(four.nodes["Alice"].number() + 1)
        four.agree()
