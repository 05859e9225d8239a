"""The flags of `assay node` that say who its peers are; names are Substrate's."""

import argparse

from chain.network.discovery.addresses import Address, AddressError, parse_address
from chain.network.service import MAX_PEERS
from chain.network.transport.tcp import TcpConfig
from chain.spec import ChainSpec, SpecError


def describe(group: argparse._ArgumentGroup) -> None:
    """Add the flags to a parser."""
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--port", type=port, metavar="PORT",
        help="listen for peers: on loopback for Development and Local chains, else on all interfaces",
    )  # fmt: skip
    where.add_argument(
        "--listen-addr", type=_address, metavar="ADDRESS", help="listen there: /ip4/192.0.2.1/tcp/30333"
    )
    group.add_argument(
        "--bootnodes", type=_address, nargs="+", default=[], action="extend", metavar="ADDRESS",
        help="nodes to connect to, beside those of the chain specification: "
        "/ip4/192.0.2.1/tcp/30333/p2p/12D3KooW…",
    )  # fmt: skip
    group.add_argument(
        "--reserved-nodes", type=_named_address, nargs="+", default=[], action="extend", metavar="ADDRESS",
        help="peers to be connected with at all times; they are never banned, and let in when all is full",
    )  # fmt: skip
    group.add_argument(
        "--reserved-only", action="store_true",
        help="no other peers, and nobody is told where this node is: for a validator behind sentries",
    )  # fmt: skip
    group.add_argument(
        "--public-addr", type=_address, nargs="+", default=[], action="extend", metavar="ADDRESS",
        help="where others are told to find this node, beside where it listens: behind a proxy or a NAT",
    )  # fmt: skip
    for flag, default, whose in (("--out-peers", 8, "this node makes"), ("--in-peers", 64, "others make")):
        group.add_argument(
            flag, type=_peers_count, default=default, metavar="COUNT",
            help=f"connections that {whose}, reserved peers not counted [{default}]",
        )  # fmt: skip
    private = group.add_mutually_exclusive_group()
    private.add_argument(
        "--no-private-ip", action="store_true",
        help="never dial addresses outside the internet that were not given as bootnodes or reserved nodes "
        "[on Live chains]",
    )  # fmt: skip
    private.add_argument(
        "--allow-private-ip", action="store_true",
        help="dial such addresses, and pass them on [on Development and Local chains]",
    )  # fmt: skip


def peers_of(parsed: argparse.Namespace, spec: ChainSpec) -> TcpConfig | None:
    """Return where to listen and whom to dial; None where there is neither.

    Raises: SpecError.
    """
    known = (*spec.boot_nodes(), *parsed.bootnodes)
    listen: Address | None = parsed.listen_addr
    if listen is not None and listen.is_name:
        raise SpecError(
            f"--listen-addr {listen} must be an IP address of this machine: /ip4/0.0.0.0/tcp/30333"
        )
    if listen is None and parsed.port is None and not known and not parsed.reserved_nodes:
        if parsed.reserved_only:
            raise SpecError(
                "--reserved-only without --reserved-nodes, --port or --listen-addr leaves no peers"
            )
        return None
    everywhere = "127.0.0.1" if spec.is_test_chain else "0.0.0.0"
    return TcpConfig(
        host=everywhere if listen is None else listen.host,
        port=parsed.port if listen is None else listen.port,
        known=known,
        reserved=tuple(parsed.reserved_nodes),
        reserved_only=parsed.reserved_only,
        out_peers=parsed.out_peers,
        in_peers=parsed.in_peers,
        public=tuple(parsed.public_addr),
        allow_private=parsed.allow_private_ip or (spec.is_test_chain and not parsed.no_private_ip),
    )


def port(text: str) -> int:
    """Read a TCP port; 0 is any free one.

    Raises: argparse.ArgumentTypeError.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _named_address(text: str) -> Address:
    address = _address(text)
    if address.peer is None:
        raise argparse.ArgumentTypeError(f"{text!r} must end in /p2p/ and the peer id, 12D3KooW…")
    return address


def _peers_count(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PEERS // 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and {MAX_PEERS // 2}")
    return int(text)
