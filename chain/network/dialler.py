"""Whom this node dials, and when.

A known node is dialled until there is a connection, and again when it has ended; the wait doubles in between.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from chain.env import Rng
from chain.network.addresses import Address
from chain.network.link import LinkClosed

log = logging.getLogger("sub-libp2p")

FIRST_RETRY = 1.0
LAST_RETRY = 60.0
"""seconds until a node that was not there is dialled again"""
_RETRY_SPREAD = 256


class AlreadyConnected(LinkClosed):
    """The peer at the other end is connected with this node: nothing is missing."""


class Connections(Protocol):
    """Where connections are made and kept."""

    @property
    def peer_id(self) -> str:
        """This node's name among peers."""
        ...

    def is_connected(self, peer: str) -> bool:
        """Say whether there is a connection with a peer."""
        ...

    async def connect(self, address: Address) -> None:
        """Dial an address and stay until the connection ends.

        Raises: LinkClosed when there was none, AlreadyConnected when there is one.
        """
        ...


class Dialler:
    """Dials until there are connections."""

    def __init__(self, connections: Connections, known: Iterable[Address], rng: Rng) -> None:
        self._connections = connections
        self._known = tuple(known)
        self._rng = rng

    async def run(self) -> None:
        """Dial until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for address in self._known:
                if address.peer != self._connections.peer_id:
                    tasks.create_task(self._keep_dialling(address), name=f"dial {address}")

    async def _keep_dialling(self, address: Address) -> None:
        """Be connected to a node as far as it is there; say once why it is not, after a second attempt."""
        wait, failures, told = FIRST_RETRY, 0, ""
        while True:
            if address.peer is not None and self._connections.is_connected(address.peer):
                failures, told = 0, ""
            else:
                try:
                    await self._connections.connect(address)
                    wait, failures, told = FIRST_RETRY, 0, ""
                except AlreadyConnected:
                    failures, told = 0, ""
                except LinkClosed as problem:
                    failures += 1
                    if failures > 1 and told != str(problem):
                        told = str(problem)
                        log.warning(
                            "📵 No connection to %s: %s; it is dialled until there is one", address, told
                        )
            spread = self._rng.token(1)[0] / _RETRY_SPREAD
            await asyncio.sleep(wait * (0.75 + spread / 2))
            wait = min(2 * wait, LAST_RETRY)
