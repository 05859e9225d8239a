"""Four nodes of which three know one find each other, also after a restart; operators reserve peers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import STANDS_STILL, NodeProcess, Refused, eventually, write_spec

pytestmark = pytest.mark.e2e

PATIENCE = 120.0
"""seconds until everybody knows everybody, on a busy machine"""


class Nodes(dict[str, NodeProcess]):
    """The processes by name; each keeps its directory when it is started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        write_spec(home / "spec.json")

    def start(self, name: str, *flags: str) -> NodeProcess:
        """Start a node on any free port, and wait until it answers."""
        node = self[name] = NodeProcess(
            self._home / f"{name}.log", "--chain", str(self._home / "spec.json"),
            "--base-path", str(self._home / name), "--port", "0", *flags,
        )  # fmt: skip
        eventually(node.is_up, f"an answer of {name}", PATIENCE)
        return node


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Run nodes; the test starts them."""
    running = Nodes(tmp_path)
    try:
        yield running
    finally:
        for node in running.values():
            node.stop()


def peers_of(node: NodeProcess) -> set[str]:
    return {peer["peerId"] for peer in node.rpc("system_peers")}


def is_mesh(nodes: dict[str, NodeProcess]) -> bool:
    """Say whether everybody is connected with everybody."""
    ids = {name: node.rpc("system_localPeerId") for name, node in nodes.items()}
    return all(
        peers_of(node) == {ids[other] for other in nodes if other != name} for name, node in nodes.items()
    )


def test_three_that_know_one_are_a_mesh_of_four_and_find_each_other_again(nodes: Nodes) -> None:
    first = nodes.start("a")
    eventually(lambda: first.rpc("system_localListenAddresses"), "an address", PATIENCE)
    (address,) = first.rpc("system_localListenAddresses")
    assert address.endswith("/p2p/" + first.rpc("system_localPeerId"))
    assert STANDS_STILL not in first.output()
    for name in "bcd":
        nodes.start(name, "--bootnodes", address)
    eventually(lambda: is_mesh(nodes), "a mesh of four", PATIENCE)
    assert {node.rpc("system_health")["peers"] for node in nodes.values()} == {3}

    nodes.pop("a").stop()
    nodes["d"].stop()
    nodes.start("d")  # its book is all it knows
    eventually(lambda: is_mesh(nodes), "a mesh of three without the bootnode", PATIENCE)

    hidden = nodes.start("h", "--reserved-only")
    (friend,) = eventually(lambda: nodes["b"].rpc("system_localListenAddresses"), "an address", PATIENCE)
    peer = friend.rpartition("/")[2]
    assert hidden.rpc("system_addReservedPeer", friend) is None
    assert hidden.rpc("system_reservedPeers") == [peer]
    eventually(lambda: peers_of(hidden) == {peer}, "the reserved peer", PATIENCE)
    with pytest.raises(Refused, match="no peer address"):
        hidden.rpc("system_addReservedPeer", "nowhere")
    assert hidden.rpc("system_removeReservedPeer", peer) is None
    eventually(lambda: not peers_of(hidden), "the end of the connection", PATIENCE)
