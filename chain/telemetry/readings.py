"""What the metrics show of the network: read off its parts whenever somebody looks."""

from dataclasses import replace

from chain.env import Transport
from chain.network.service import Network
from chain.network.transport.tcp import TcpTransport
from chain.sync.service import Sync
from chain.telemetry.metrics import NetworkReading


def network_reading(network: Network, sync: Sync, transport: Transport) -> NetworkReading:
    """Return where peers, connections and block sync stand."""
    shown = NetworkReading(
        peers=len(network.peers()),
        received_bytes=network.received_bytes,
        sent_bytes=network.sent_bytes,
        faults={fault.name.lower(): count for fault, count in network.faults.items()},
        is_syncing=sync.is_major,
        queued_blocks=sync.queued,
    )
    if not isinstance(transport, TcpTransport):
        return shown
    links = transport.links()
    return replace(
        shown,
        incoming=transport.counters.incoming,
        outgoing=transport.counters.outgoing,
        refused=transport.counters.refused,
        failed=transport.dialler.counters.failed,
        queued_bytes=sum(link.queued for link in links),
        shed=sum(link.shed for link in links),
        bans=transport.bans.total,
        banned=transport.bans.current(),
        known=len(transport.book),
    )
