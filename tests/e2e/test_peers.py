"""Four nodes of which three know one find each other, also after a restart; operators reserve peers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import NodeProcess, Refused, eventually, write_spec

pytestmark = pytest.mark.e2e

PATIENCE = 60.0
"""seconds until everybody knows everybody, on a busy machine"""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[dict[str, NodeProcess]]:
    """Run nodes by name; the test starts them."""
    running: dict[str, NodeProcess] = {}
    write_spec(tmp_path / "spec.json")
    try:
        yield running
    finally:
        for node in running.values():
            node.stop()


def start(home: Path, name: str, *flags: str) -> NodeProcess:
    """Start a node that keeps its directory, on any free port."""
    return NodeProcess(
        home / f"{name}.log", "--chain", str(home / "spec.json"), "--base-path", str(home / name),
        "--port", "0", *flags,
    )  # fmt: skip


def peers_of(node: NodeProcess) -> set[str]:
    return {peer["peerId"] for peer in node.rpc("system_peers")}


def is_mesh(nodes: dict[str, NodeProcess]) -> bool:
    """Say whether everybody is connected with everybody."""
    ids = {name: node.rpc("system_localPeerId") for name, node in nodes.items()}
    return all(
        peers_of(node) == {ids[other] for other in nodes if other != name} for name, node in nodes.items()
    )


def test_three_that_know_one_are_a_mesh_of_four_and_find_each_other_again(
    nodes: dict[str, NodeProcess], tmp_path: Path
) -> None:
    first = nodes["a"] = start(tmp_path, "a").wait_up()
    eventually(lambda: first.rpc("system_localListenAddresses"), "an address", PATIENCE)
    (address,) = first.rpc("system_localListenAddresses")
    assert address.endswith("/p2p/" + first.rpc("system_localPeerId"))
    for name in "bcd":
        nodes[name] = start(tmp_path, name, "--bootnodes", address)
    for node in nodes.values():
        node.wait_up()
    eventually(lambda: is_mesh(nodes), "a mesh of four", PATIENCE)
    assert {node.rpc("system_health")["peers"] for node in nodes.values()} == {3}

    nodes.pop("a").stop()
    nodes["d"].stop()
    nodes["d"] = start(
        tmp_path, "d"
    ).wait_up()  # of whom it was told it knows no more than what its book says
    eventually(lambda: is_mesh(nodes), "a mesh of three without the bootnode", PATIENCE)

    hidden = nodes["h"] = start(tmp_path, "h", "--reserved-only").wait_up()
    (friend,) = eventually(lambda: nodes["b"].rpc("system_localListenAddresses"), "an address", PATIENCE)
    peer = friend.rpartition("/")[2]
    assert hidden.rpc("system_addReservedPeer", friend) is None
    assert hidden.rpc("system_reservedPeers") == [peer]
    eventually(lambda: peers_of(hidden) == {peer}, "the reserved peer", PATIENCE)
    with pytest.raises(Refused, match="no peer address"):
        hidden.rpc("system_addReservedPeer", "nowhere")
    assert hidden.rpc("system_removeReservedPeer", peer) is None
    eventually(lambda: not peers_of(hidden), "the end of the connection", PATIENCE)
