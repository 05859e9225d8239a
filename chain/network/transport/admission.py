"""Who may come in.

Reserved peers always may, and so may bootnodes; others as long as they are not banned, there is room, and
their network has not sent two already. Where all places are taken, a newcomer from a group of addresses that
has fewer takes the place of the last that came from the group with most: a crowd from one place keeps nobody
out. Else it takes a place in the last eighth, whose holder has had time to hear of other nodes: whoever wants
to find the network through a full node does, and those that have been here for long stay.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable

from chain.network.discovery.addresses import group_of, is_global, is_loopback, network_of
from chain.network.transport.bans import Bans
from chain.network.transport.link import Link
from chain.network.transport.reserved import Reserved

MAX_PER_NETWORK = 2
TURNOVER = 8
"""one in so many of the places is for newcomers when all are taken"""
NETWORK_IP4 = 24
NETWORK_IP6 = 48
"""bits of addresses that come as one"""


class Admission:
    """The rules for whoever has shown who it is; `links` returns who is connected, in the order they came."""

    def __init__(
        self,
        reserved: Reserved,
        named: Container[str | None],
        bans: Bans,
        links: Callable[[], Iterable[Link]],
        *,
        in_peers: int,
        allow_private: bool,
    ) -> None:
        self._reserved = reserved
        self._named = named
        self._bans = bans
        self._links = links
        self._in_peers = in_peers
        self._allow_private = allow_private

    def may_knock(self, ip: str) -> bool:
        """Say whether somebody at an IP address may say who they are.

        A banned address may as long as a reserved peer is missing: it may be there, too.
        """
        if not ip or not self._bans.has_ip(ip):
            return True
        connected = {link.peer for link in self._links()}
        return any(peer not in connected for peer in self._reserved.peers())

    def flaw(self, peer: str, ip: str, *, outbound: bool) -> str:
        """Return why a peer must not be connected, which is nothing where it may."""
        if peer in self._reserved:
            return ""
        if self._reserved.only:
            return "only reserved peers are let in"
        if self._bans.has_peer(peer) or (ip and self._bans.has_ip(ip)):
            return f"{peer} at {ip or '?'} is banned"
        if outbound or peer in self._named:
            return ""
        if self._is_crowded(peer, ip):
            return f"{MAX_PER_NETWORK} from the network of {ip} are connected already"
        if len(self._strangers(peer)) >= self._in_peers and self.displaced(peer, ip) is None:
            return f"{self._in_peers} have dialled this node already: raise --in-peers to let in more"
        return ""

    def displaced(self, peer: str, ip: str) -> Link | None:
        """Return who has to leave for a newcomer that may come in."""
        strangers = self._strangers(peer)
        if len(strangers) < self._in_peers or peer in self._reserved or peer in self._named or not ip:
            return None
        crowds = Counter(group_of(link.ip) for link in strangers if link.ip)
        if not crowds:
            return None
        group, count = crowds.most_common(1)[0]
        if crowds[group_of(ip)] + 1 < count:
            return next(link for link in reversed(strangers) if link.ip and group_of(link.ip) == group)
        changing = self._in_peers // TURNOVER
        return strangers[-changing] if changing else None

    def _strangers(self, peer: str) -> list[Link]:
        """Return who has dialled this node and was not named by its operator, the last one last."""
        return [
            link
            for link in self._links()
            if not link.outbound
            and link.peer != peer
            and link.peer not in self._reserved
            and link.peer not in self._named
        ]

    def _is_crowded(self, peer: str, ip: str) -> bool:
        """Say whether enough strangers come from a network, which is neither this machine nor its site."""
        if not ip or is_loopback(ip) or (self._allow_private and not is_global(ip)):
            return False
        network = network_of(ip, NETWORK_IP6, NETWORK_IP4)
        there = [
            link
            for link in self._strangers(peer)
            if link.ip and network_of(link.ip, NETWORK_IP6, NETWORK_IP4) == network
        ]
        return len(there) >= MAX_PER_NETWORK
