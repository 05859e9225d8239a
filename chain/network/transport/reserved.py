"""Who this node is always to be connected with: --reserved-nodes, and what RPC adds and removes.

With --reserved-only it knows nobody else, tells nobody where it is, and asks nobody for others.
"""

from collections.abc import Iterable

from chain.network.discovery.addresses import Address

MAX_RESERVED = 1024
MAX_ADDRESSES = 8
"""of one reserved peer; what is added last goes first"""


class TooManyReserved(ValueError):
    """The list of reserved peers is full; says what to do."""


class Reserved:
    """Peers by name, and where each may be found."""

    def __init__(self, addresses: Iterable[Address] = (), *, only: bool = False) -> None:
        self.only = only
        self._peers: dict[str, tuple[Address, ...]] = {}
        for address in addresses:
            self.add(address)

    def __contains__(self, peer: str) -> bool:
        return peer in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    def peers(self) -> list[str]:
        """Return who is reserved, in the order they were named."""
        return list(self._peers)

    def addresses(self, peer: str) -> tuple[Address, ...]:
        """Return where a reserved peer may be found."""
        return self._peers[peer]

    def add(self, address: Address) -> None:
        """Reserve the peer of an address, or add the address to those where it is looked for.

        Raises: TooManyReserved.
        """
        assert address.peer is not None, "a reserved peer is known by its peer id"
        if address.peer not in self._peers and len(self._peers) >= MAX_RESERVED:
            raise TooManyReserved(f"there are {MAX_RESERVED} reserved peers; remove one first")
        known = [each for each in self._peers.get(address.peer, ()) if each != address]
        self._peers[address.peer] = (address, *known)[:MAX_ADDRESSES]

    def remove(self, peer: str) -> bool:
        """Reserve a peer no more; False where it was not reserved."""
        return self._peers.pop(peer, None) is not None
