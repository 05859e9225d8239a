"""What the metrics page of a node shows of its peers: two nodes on real sockets, their pages."""

import asyncio
from pathlib import Path

from chain.network.discovery.addresses import parse_address
from chain.network.messages import Channel
from chain.network.transport.tcp import TcpConfig, TcpTransport
from chain.node import NodeConfig, Service
from chain.rpc.server import RpcConfig
from tests.chain.chains import spec_with_slots
from tests.chain.network.neighbours import until
from tests.chain.test_observability import sums

PREFIXES = ("substrate_sub_libp2p_", "substrate_sync_", "assay_network_")


def config(base: Path, peers: TcpConfig) -> NodeConfig:
    """Return a node that follows a chain."""
    rpc = RpcConfig(port=0)
    return NodeConfig(spec_with_slots(), base_path=base, rpc=rpc, prometheus_port=None, peers=peers)


def shown(service: Service) -> dict[str, float]:
    """Return what a node's page says of its network, but for bytes."""
    page = sums(service.node.metrics.render())
    return {name: value for name, value in page.items() if name.startswith(PREFIXES) and value}


async def test_what_passes_between_two_nodes_is_on_their_pages(tmp_path: Path) -> None:
    async with Service.open(config(tmp_path / "a", TcpConfig("127.0.0.1", 0))) as a:
        running = [asyncio.create_task(a.run())]
        transport = a.node.transport
        assert isinstance(transport, TcpTransport)
        await transport.listening.wait()
        known = (parse_address(transport.addresses()[0]),)
        async with Service.open(config(tmp_path / "b", TcpConfig("127.0.0.1", None, known))) as b:
            running.append(asyncio.create_task(b.run()))
            await until(lambda: a.node.network.peers() and b.node.network.peers())
            b.node.network.send(transport.peer_id, Channel.VOTES, b"no vote")
            await until(lambda: a.node.network.faults)
            ours, theirs = shown(a), shown(b)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    both = {"substrate_sub_libp2p_peers_count": 1, "substrate_sync_peers": 1}
    bytes_ = "substrate_sub_libp2p_network_bytes_total"
    opened = "substrate_sub_libp2p_connections_opened_total"
    assert ours.pop(bytes_) > 0
    assert theirs.pop(bytes_) > 0
    assert theirs.pop("assay_network_known_addresses") >= 1
    ours.pop("assay_network_known_addresses", None)  # once the other has told where it is
    assert theirs == both | {opened: 1}
    assert ours == both | {
        opened: 1, "substrate_sub_libp2p_incoming_connections_total": 1, "assay_network_faults_total": 1,
    }  # fmt: skip
