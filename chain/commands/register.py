"""Register a hotkey in a subnet: its price is burnt, its bond is reserved on the coldkey that signs.

assay register --netuid 1 --key //Dave
assay register --key //Coldkey --hotkey 5Grwva...utQY --max-price 2
"""

import argparse
import asyncio
import json

from chain.client import Chain, Refused
from chain.commands.failure import UNREACHABLE, USAGE, Failure
from chain.connection import NodeFailure, Unreachable
from chain.keys.pair import SuriError
from runtime.primitives import ss58

LAST_NETUID = 65_535
PLANCK = 10**12
"""planck per ASY"""
MOST_ASY = 1_000_000_000
"""no chain of this kind has more; more would not fit a call either"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--url", default="ws://127.0.0.1:9944", help="node to talk to [ws://127.0.0.1:9944]")
    parser.add_argument("--key", required=True, help="secret URI of the coldkey, which pays")
    parser.add_argument("--hotkey", metavar="ADDRESS", help="hotkey to register [the coldkey itself]")
    parser.add_argument("--netuid", type=int, default=1, help="subnet [1]")
    parser.add_argument("--max-price", type=float, default=5.0, metavar="ASY", help="most to burn [5]")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(parsed: argparse.Namespace) -> int:
    """Register and print the uid."""
    _check(parsed)
    try:
        uid, hotkey, block = asyncio.run(_register(parsed))
    except Unreachable as problem:
        raise Failure(str(problem), UNREACHABLE) from problem
    except (Refused, NodeFailure, SuriError) as problem:
        raise Failure(str(problem)) from problem
    if parsed.json:
        print(json.dumps({"netuid": parsed.netuid, "uid": uid, "hotkey": hotkey, "block": block}))
    else:
        print(f"registered {hotkey} in subnet {parsed.netuid} as uid {uid}, block #{block}")
    return 0


def _check(parsed: argparse.Namespace) -> None:
    if not 0 <= parsed.netuid <= LAST_NETUID:
        raise Failure(f"--netuid is {parsed.netuid}, must be 0 to {LAST_NETUID}", USAGE)
    if not 0 <= parsed.max_price <= MOST_ASY:
        raise Failure(f"--max-price is {parsed.max_price}, must be 0 to {MOST_ASY}", USAGE)
    if parsed.hotkey is not None:
        try:
            ss58.decode(parsed.hotkey)
        except ss58.Ss58Error as problem:
            raise Failure(f"--hotkey {parsed.hotkey} is no address: {problem}", USAGE) from problem


async def _register(parsed: argparse.Namespace) -> tuple[int, str, int]:
    async with Chain.connect(parsed.url, parsed.key) as chain:
        hotkey = parsed.hotkey or chain.address
        receipt = await chain.submit(
            "Neurons.burned_register",
            netuid=parsed.netuid, hotkey=hotkey, max_price=round(parsed.max_price * PLANCK),
        )  # fmt: skip
        values = next(values for name, values in receipt.events if name == "Neurons.NeuronRegistered")
        return values["uid"], hotkey, receipt.block.number
