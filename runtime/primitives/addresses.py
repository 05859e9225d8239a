"""Which text is a web address, and which address leads to the public Internet; the same on every node.

Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses; RFC 6890, 6761, 6762, 8375.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

URL = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[0-9a-zA-Z._-]+)(?::([0-9]{1,5}))?(?:[/?#][!-~]*)?")
"""Host and port; a name in other letters is written in punycode, credentials have no place on a chain."""
MOST_PORT = 65_535
PRIVATE_4 = tuple(
    (int(IPv4Address(first)), length)
    for first, length in (
        ("0.0.0.0", 8), ("10.0.0.0", 8), ("100.64.0.0", 10), ("127.0.0.0", 8), ("169.254.0.0", 16),
        ("172.16.0.0", 12), ("192.0.0.0", 24), ("192.0.2.0", 24), ("192.168.0.0", 16), ("198.18.0.0", 15),
        ("198.51.100.0", 24), ("203.0.113.0", 24), ("224.0.0.0", 4), ("240.0.0.0", 4),
    )
)  # fmt: skip
"""(first address, bits) of the networks that are nobody's on the Internet, or only of some."""
GLOBAL_6 = (int(IPv6Address("2000::")), 3)
"""All that is given out for unicast."""
PRIVATE_6 = tuple(
    (int(IPv6Address(first)), length)
    for first, length in (("2001::", 23), ("2001:db8::", 32), ("3fff::", 20))
)
"""What of it is for protocols and for examples."""
LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa")
"""Names below these mean something else in every network."""
NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes a host an IPv4 address, in whatever notation. Source: WHATWG URL, 3.5."""


def is_public(text: str) -> bool:
    """Say whether an address is one of the public Internet, whatever it is wrapped in."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    number = int(address)
    if isinstance(address, IPv4Address):
        return not any(_within(number, network, 32) for network in PRIVATE_4)
    inner = _wrapped(number)
    if inner is not None:
        return is_public(str(IPv4Address(inner)))
    return _within(number, GLOBAL_6, 128) and not any(_within(number, network, 128) for network in PRIVATE_6)


def is_url(url: str) -> bool:
    """Say whether text is a web address that programs may follow."""
    return _host(url) is not None


def may_be_public(url: str) -> bool:
    """Say whether the host of a web address is on the public Internet, or a name that may lead there."""
    host = _host(url)
    if host is None:
        return False
    if host.startswith("["):
        return is_public(host[1:-1])
    name = host.lower().removesuffix(".")
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        return is_public(name)
    below = any(f".{name}".endswith(f".{local}") for local in LOCAL_NAMES)
    return NAME.fullmatch(name) is not None and not below


def _host(url: str) -> str | None:
    found = URL.fullmatch(url)
    if found is None or not 1 <= int(found[2] or 1) <= MOST_PORT:
        return None
    return found[1]


def _wrapped(number: int) -> int | None:
    """Return the IPv4 address within an IPv6 address: mapped, behind NAT64, 6to4 or Teredo."""
    if number >> 32 in (0xFFFF, int(IPv6Address("64:ff9b::")) >> 32):
        return number & 0xFFFF_FFFF
    if number >> 112 == 0x2002:
        return number >> 80 & 0xFFFF_FFFF
    if number >> 96 == 0x2001_0000:
        return ~number & 0xFFFF_FFFF
    return None


def _within(number: int, network: tuple[int, int], width: int) -> bool:
    first, length = network
    return (number ^ first) >> (width - length) == 0
