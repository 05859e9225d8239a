"""Where a peer listens, written as libp2p does: /ip4/192.0.2.1/tcp/30333/p2p/12D3KooW…

Source: the multiaddr specification; groups are those of bitcoin/bitcoin src/netgroup.cpp.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from chain.keys.node import public_of

MAX_ADDRESS = 512
"""characters; a DNS name has at most 253"""
MAX_HOST = 253
"""characters of an IP address, a network of them or a DNS name"""
NAMES = ("dns", "dns4", "dns6")
"""The protocols whose hosts have to be looked up."""
GROUP_IP4 = 16
GROUP_IP6 = 32
"""bits of addresses that one operator may well own"""
GROUP_PRIVATE = 24
"""the same, of an IPv4 network that is not the internet"""
_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}")
_FORMAT = "/ip4|ip6|dns/HOST/tcp/PORT[/p2p/PEER_ID]"


class AddressError(ValueError):
    """The text is no address of a peer; says what one looks like."""


@dataclass(frozen=True, slots=True)
class Address:
    """A place to connect to, and who should be there."""

    protocol: str  # ip4, ip6, dns, dns4 or dns6
    host: str
    port: int
    peer: str | None = None

    def __str__(self) -> str:
        named = "" if self.peer is None else f"/p2p/{self.peer}"
        return f"/{self.protocol}/{self.host}/tcp/{self.port}{named}"

    @property
    def is_name(self) -> bool:
        """Say whether the host has to be looked up."""
        return self.protocol in NAMES

    def of(self, peer: str) -> "Address":
        """Return this place with a peer in it."""
        return replace(self, peer=peer)

    def at(self, ip: str) -> "Address":
        """Return this place with an IP address for its host."""
        return replace(self, protocol="ip6" if ":" in ip else "ip4", host=ip)


def parse_address(text: str) -> Address:
    """Read an address.

    Raises: AddressError.
    """
    parts = text[: MAX_ADDRESS + 1].split("/")
    if len(text) > MAX_ADDRESS or len(parts) not in (5, 7) or parts[0] or parts[3] != "tcp":
        raise AddressError(f"{text[:80]!r} is no peer address: it must be {_FORMAT}")
    protocol, host, port = parts[1], parts[2], parts[4]
    if not _is_host(protocol, host):
        raise AddressError(f"{text[:80]!r} is no peer address: {host!r} is no {protocol} host; {_FORMAT}")
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65_536:
        raise AddressError(f"{text[:80]!r} is no peer address: {port[:20]!r} is no port from 1 to 65535")
    if len(parts) == 5:
        return Address(protocol, host, int(port))
    if parts[5] != "p2p" or public_of(parts[6]) is None:
        raise AddressError(f"{text[:80]!r} is no peer address: it must end in /p2p/ and a peer id 12D3KooW…")
    return Address(protocol, host, int(port), parts[6])


def is_loopback(ip: str) -> bool:
    """Say whether an IP address is this machine's own, whichever machine it is."""
    return ipaddress.ip_address(ip).is_loopback


@lru_cache(maxsize=4096)
def is_global(ip: str) -> bool:
    """Say whether an IP address is somebody's on the internet."""
    address = ipaddress.ip_address(ip)
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_host_address(ip: str) -> bool:
    """Say whether an IP address can be one machine's at all, on the internet or not."""
    address = ipaddress.ip_address(ip)
    return not (address.is_unspecified or address.is_multicast or address.is_link_local) and (
        not address.is_reserved or address.is_loopback
    )


@lru_cache(maxsize=4096)
def network_of(ip: str, ip6_bits: int, ip4_bits: int = 32) -> str:
    """Return the network that an IP address lies in, by as many leading bits: 192.0.2.0/24."""
    bits = ip6_bits if ":" in ip else ip4_bits
    return str(ipaddress.ip_network(f"{ip}/{bits}", strict=False))


def plain_ip(text: str) -> str:
    """Return an IP address as its own family writes it: ::ffff:192.0.2.1 is 192.0.2.1; no zone."""
    ip = ipaddress.ip_address(text.split("%", 1)[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


@lru_cache(maxsize=4096)
def group_of(host: str) -> str:
    """Return whose a host may well be: all addresses of a network, all names of a domain.

    An IPv6 address that tunnels an IPv4 one belongs to the group of that.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ".".join(host.lower().split(".")[-2:])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        address = inner or address
    if address.is_loopback:
        return "loopback"
    ip4_bits = GROUP_IP4 if address.is_global else GROUP_PRIVATE
    return network_of(str(address), GROUP_IP6, ip4_bits)


def _is_host(protocol: str, host: str) -> bool:
    if protocol in NAMES:
        return _NAME.fullmatch(host) is not None
    if "%" in host:  # a zone is of one machine; in a stranger's record it makes one address out to be many
        return False
    kinds = {"ip4": ipaddress.IPv4Address, "ip6": ipaddress.IPv6Address}
    try:
        kinds[protocol](host)
    except (KeyError, ValueError):
        return False
    return True
