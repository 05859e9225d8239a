"""Who may come in.

Reserved peers always may, and so may bootnodes; others as long as they are not banned, there is room, and
their network has not sent two already. Where all places are taken, a newcomer takes one of those that nothing
speaks for: some stay because of where they are, which nobody can choose without a secret of this node, some
because they are near or were of use last, and half of the others because they have been here
longest. Of the rest, the last that came from the group of addresses with most has to go, or any where each is
from another; nobody goes for a newcomer whose own group has as many. From where somebody was banned others
come in while there are free places, and go first: the address may be that of many, the identity is the
offender's.
Source: bitcoin/bitcoin src/node/eviction.cpp; Heilman et al., Eclipse Attacks on Bitcoin's Peer-to-Peer
Network, USENIX Security 2015.
"""

import math
from collections import Counter
from collections.abc import Callable, Container, Iterable
from hashlib import blake2b

from chain.env import Rng
from chain.network.discovery.addresses import group_of, is_global, is_loopback, network_of
from chain.network.transport.bans import Bans
from chain.network.transport.link import Link
from chain.network.transport.reserved import Reserved

MAX_PER_NETWORK = 2
KEPT_GROUPS = 4
"""groups of addresses whose first one stays, chosen by a secret"""
KEPT_NEAR = 8
"""peers that stay because they answer soonest"""
KEPT_USEFUL = 4
"""peers that stay because they were of use last: a block, a state, a vote before others had it"""
TURNOVER = 8
"""places from which on a newcomer may take one of its own group"""
KEY_SIZE = 32
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
        rng: Rng,
        *,
        in_peers: int,
        allow_private: bool,
    ) -> None:
        self._reserved = reserved
        self._named = named
        self._bans = bans
        self._links = links
        self._rng = rng
        self._secret = rng.token(KEY_SIZE)
        self._in_peers = in_peers
        self._allow_private = allow_private

    def may_knock(self, ip: str) -> bool:
        """Say whether somebody at an IP address may say who they are.

        One that is refused may as long as a reserved peer is missing: it may be there, too.
        """
        if not ip or not self._bans.refuses(ip):
            return True
        connected = {link.peer for link in self._links()}
        return any(peer not in connected for peer in self._reserved.peers())

    def is_stranger(self, peer: str, *, outbound: bool) -> bool:
        """Say whether somebody has dialled this node whom its operator has not named."""
        return not outbound and peer not in self._reserved and peer not in self._named

    def flaw(self, peer: str, ip: str, *, outbound: bool) -> str:
        """Return why a peer must not be connected, which is nothing where it may."""
        if peer in self._reserved:
            return ""
        if self._reserved.only:
            return "only reserved peers are let in"
        if self._bans.has_peer(peer):
            return f"{peer} is banned"
        if outbound or peer in self._named:
            return ""
        if ip and self._bans.refuses(ip):
            return f"somebody else at {ip} was banned a moment ago"
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
        if self._bans.suspects(ip):
            return None
        suspects = [link for link in strangers if link.ip and self._bans.suspects(link.ip)]
        if suspects:
            return suspects[-1]
        crowds = Counter(group_of(link.ip) for link in strangers if link.ip)
        rest = self._unprotected([link for link in strangers if link.ip])
        most = max((crowds[group_of(link.ip)] for link in rest), default=0)
        if crowds[group_of(ip)] < most:
            worst = [link for link in rest if crowds[group_of(link.ip)] == most]
            return worst[-1] if most > 1 else self._any(worst)
        own = [link for link in rest if group_of(link.ip) == group_of(ip)]
        return self._any(own) if own and self._in_peers >= TURNOVER else None

    def _unprotected(self, links: list[Link]) -> list[Link]:
        """Return those that nothing speaks for, in the order they came."""
        first = {group_of(link.ip): link for link in reversed(links)}
        placed = [first[group] for group in sorted(first, key=self._rank)]
        near = sorted((link for link in links if link.fastest < math.inf), key=lambda link: link.fastest)
        useful = [link for link in links if link.thanked is not None]
        useful.sort(key=lambda link: link.thanked or 0.0, reverse=True)
        kept: set[str] = set()
        for ranked, places in ((placed, KEPT_GROUPS), (near, KEPT_NEAR), (useful, KEPT_USEFUL)):
            kept.update([link.peer for link in ranked if link.peer not in kept][:places])
        rest = [link for link in links if link.peer not in kept]
        return rest[len(rest) // 2 :]

    def _rank(self, group: str) -> bytes:
        return blake2b(group.encode(), key=self._secret, digest_size=8).digest()

    def _any(self, links: list[Link]) -> Link:
        return links[int.from_bytes(self._rng.token(4), "big") % len(links)]

    def _strangers(self, peer: str) -> list[Link]:
        """Return who has dialled this node and was not named by its operator, the last one last."""
        return [
            link
            for link in self._links()
            if link.peer != peer and self.is_stranger(link.peer, outbound=link.outbound)
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
