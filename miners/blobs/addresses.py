"""Which addresses a URL from the chain may lead to: on a live chain none of this machine or its networks.

A name is checked where it is resolved for the connection itself, so that it cannot change in between.
"""

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from runtime.primitives.addresses import is_public


class BadAddress(OSError):
    """A URL that is not followed; one line says why."""


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is not public."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises: BadAddress, OSError.
        """
        found = await self._system.resolve(host, port, family)
        for each in found:
            if not is_public(each["host"]):
                raise _not_public(host, each["host"])
        return found

    async def close(self) -> None:
        """Nothing is held."""


def check(url: str, public_only: bool) -> None:
    """Refuse a URL that is none of the web, or whose host is itself an address that is not public.

    Raises: BadAddress; ValueError when it cannot be taken apart.
    """
    if not url.startswith(("http://", "https://")):
        raise BadAddress("the address is not an http:// or https:// URL")
    host = URL(url).raw_host or ""  # as the client reads it: ①②⑦.⓪.⓪.① is 127.0.0.1 there, too
    if public_only and _is_address(host) and not is_public(host):
        raise _not_public(host, host)


def _not_public(host: str, address: str) -> BadAddress:
    leads = f"{host} is" if host == address else f"{host} leads to {address},"
    return BadAddress(f"{leads} no public address, and a live chain's neurons have one")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
