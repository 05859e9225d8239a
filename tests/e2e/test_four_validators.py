"""Four staked validators on real sockets: one may go, two are too few for finality, the absent catch up."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.commands.network import KEY_FILE, SPEC_FILE, Ports, members, write_spec
from tests.e2e.process import NodeProcess, eventually, free_port

pytestmark = pytest.mark.e2e

NAMES = ("Alice", "Bob", "Charlie", "Dave")
SLOT_MS = 1_000
PATIENCE = 120.0
"""seconds; slots of the absent pass, too, and one in ten thousand runs has eight of them in a row"""


@dataclass
class Four:
    """The processes; each keeps its directory and its key when it is started again."""

    home: Path
    peers: list[int] = field(default_factory=lambda: [free_port() for _ in NAMES])
    nodes: dict[str, NodeProcess] = field(default_factory=dict)

    def start(self, name: str) -> NodeProcess:
        """Start a validator that knows the three others."""
        at = NAMES.index(name)
        listed = members(Ports.at(9600, len(NAMES)), NAMES, [], self.home)[at].arguments
        known = [each.split("/") for each in listed[listed.index("--bootnodes") + 1 :]]
        others = [port for place, port in enumerate(self.peers) if place != at]
        dialled = [f"/ip4/127.0.0.1/tcp/{port}/p2p/{k[-1]}" for port, k in zip(others, known, strict=True)]
        directory = self.home / f"node-{name.lower()}"
        node = NodeProcess(
            self.home / f"{name}.log",
            "--chain", str(self.home / SPEC_FILE), f"--{name.lower()}", "--base-path", str(directory),
            "--port", str(self.peers[at]), "--node-key-file", str(directory / KEY_FILE),
            "--bootnodes", *dialled,
        )  # fmt: skip
        self.nodes[name] = node
        return node

    def await_final(self, height: int) -> None:
        """Wait until every node that runs has finalised a height."""
        for name, node in self.nodes.items():
            eventually(lambda node=node: node.finalized() >= height, f"finality of {name}", PATIENCE)  # type: ignore[misc]

    def kill(self, name: str) -> None:
        """End a validator as a power cut would."""
        self.nodes.pop(name).kill()


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Four]:
    """Start four validators."""
    write_spec(tmp_path, NAMES, SLOT_MS)
    network = Four(tmp_path)
    try:
        for name in NAMES:
            network.start(name)
        for node in network.nodes.values():
            node.wait_up()
        yield network
    finally:
        for node in network.nodes.values():
            node.stop()


def test_finality_goes_on_with_three_waits_with_two_and_catches_up(four: Four) -> None:
    four.await_final(5)
    alice = four.nodes["Alice"]
    healthy = {"isSyncing": False, "peers": 3, "shouldHavePeers": True}
    eventually(lambda: alice.rpc("system_health") == healthy, "three peers of Alice", PATIENCE)
    assert "beacon trusted" not in alice.output()
    four.kill("Dave")
    four.await_final(alice.number() + 5)
    four.kill("Charlie")
    eventually(lambda: alice.number() - alice.finalized() >= 5, "blocks without finality", PATIENCE)
    stuck = alice.finalized()
    alice.wait_height(alice.number() + 2)
    assert alice.finalized() == stuck, "two of four never finalise"
    four.start("Charlie").wait_up()
    four.await_final(alice.number())
    four.start("Dave").wait_up()
    four.await_final(alice.number() + 2)
    agreed = min(node.finalized() for node in four.nodes.values())
    assert len({node.rpc("chain_getBlockHash", agreed) for node in four.nodes.values()}) == 1
