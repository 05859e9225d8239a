"""Print a chain specification: a preset, a file, or a chain of your own; --raw makes its genesis storage.

assay build-spec --chain local --raw         the preset, with its genesis as storage keys and values
assay build-spec --id mine --validator 5Grw…,0x88dc…,0x88dc… …   a live chain of these validators

The first validator of a chain of your own has the root key and owns the training subnet. Each has 1,000,000
ASY, and of them the stake of the preset; nobody else has anything.
"""

import argparse
import json
from typing import Any

from chain.commands.failure import USAGE, Failure
from chain.commands.seats import NETUID, Seat, take
from chain.network.discovery.addresses import Address, AddressError, parse_address
from chain.spec import ChainSpec, SpecError
from runtime.primitives import ss58

KEY_SIZE = 32
"""bytes of a public key"""
FUNDS = 1_000_000 * 10**12
"""planck of each validator"""
MOST = 100
"""validators of a genesis; elections bring more"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--chain", metavar="ID|FILE", default="local", help="dev, local, or a file [local]")
    parser.add_argument("--raw", action="store_true", help="genesis as raw storage")
    parser.add_argument(
        "--id", metavar="ID", help="a chain of your own, with this id: 1 to 64 of a-z, 0-9, _, -"
    )
    parser.add_argument(
        "--validator", type=_seat, action="append", default=[], dest="validators",
        metavar="STASH,BABE,GRANDPA",
        help="with --id: a validator by its stash's address and two ed25519 public keys; once for each",
    )  # fmt: skip
    parser.add_argument(
        "--bootnode", type=_bootnode, action="append", default=[], metavar="ADDRESS", dest="bootnodes",
        help="with --id: a node that others connect to first: /ip4/192.0.2.1/tcp/30333/p2p/12D3KooW…",
    )  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    """Print the specification."""
    try:
        spec = ChainSpec.load(parsed.chain)
        if parsed.id is not None or parsed.validators or parsed.bootnodes:
            spec = _own(spec, parsed)
        print(json.dumps(spec.raw() if parsed.raw else spec.source, indent=2))
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    return 0


def _own(spec: ChainSpec, parsed: argparse.Namespace) -> ChainSpec:
    """Return a live chain made from a readable one.

    Raises: SpecError.
    """
    if parsed.id is None or not 1 <= len(parsed.validators) <= MOST:
        raise SpecError(f"a chain of your own needs --id and 1 to {MOST} times --validator")
    seats: list[Seat] = parsed.validators
    for which in ("stash", "babe", "grandpa"):
        if len({getattr(seat, which) for seat in seats}) != len(seats):
            raise SpecError(f"two --validator have the same {which} key: each needs keys of its own")
    made: dict[str, Any] = json.loads(json.dumps(spec.source))
    if "runtimeGenesis" not in made["genesis"]:
        raise SpecError(f"{spec.id} has a raw genesis: build a chain of your own from a readable one")
    config = made["genesis"]["runtimeGenesis"]["config"]
    take(config, seats)
    config["balances"]["balances"] = [[seat.stash, FUNDS] for seat in seats]
    config["sudo"]["key"] = config["subnets"][NETUID]["owner"] = seats[0].stash
    made |= {"name": parsed.id, "id": parsed.id, "chainType": "Live", "protocolId": parsed.id}
    made["bootNodes"] = [str(address) for address in parsed.bootnodes]
    own = ChainSpec.parse(json.dumps(made), "--id")
    own.state()  # what the pallets cannot use is said now
    return own


def _seat(text: str) -> Seat:
    parts = text.split(",")
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not STASH,BABE,GRANDPA")
    stash, babe, grandpa = (_public(part) for part in parts)
    return Seat(ss58.encode(stash), f"0x{babe.hex()}", f"0x{grandpa.hex()}")


def _public(text: str) -> bytes:
    try:
        found = bytes.fromhex(text[2:]) if text.startswith("0x") else ss58.decode(text)[1]
    except (ValueError, ss58.Ss58Error) as problem:
        raise argparse.ArgumentTypeError(f"{text!r} is no address and no 0x-prefixed public key") from problem
    if len(found) != KEY_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is no public key of {KEY_SIZE} bytes")
    return found


def _bootnode(text: str) -> Address:
    try:
        found = parse_address(text)
    except AddressError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    if found.peer is None:
        raise argparse.ArgumentTypeError(f"{text!r} must end in /p2p/ and a peer id 12D3KooW…")
    return found
