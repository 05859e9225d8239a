"""The IP addresses behind a DNS name, all of them: a name may stand for many nodes."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from chain.network.discovery.addresses import Address, plain_ip

LOOKUP_SECONDS = 5.0
MAX_FOUND = 32
"""IP addresses of one name"""

Resolve = Callable[[Address], Awaitable[list[Address]]]
"""Returns the places that a name stands for; none where it cannot be looked up."""

_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}


async def look_up(address: Address) -> list[Address]:
    """Ask this machine's resolver, within a few seconds."""
    if not address.is_name:
        return [address]
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                address.host, address.port, family=_FAMILIES[address.protocol], type=socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, TimeoutError):
        return []
    ips = dict.fromkeys(plain_ip(str(each[4][0])) for each in found)
    return [address.at(ip) for ip in list(ips)[:MAX_FOUND]]
