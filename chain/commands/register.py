"""Register a hotkey in a subnet: its price is burnt, its bond is reserved on the coldkey that signs.

assay register --netuid 1 --key //Dave
assay register --key //Coldkey --hotkey 5Grwva...utQY --max-price 2
"""

import argparse
import asyncio
import json

from chain.client import Chain, Refused
from chain.commands.failure import UNREACHABLE, Failure
from chain.connection import Unreachable, WrongChain

HELP = "register a hotkey in a subnet"
PLANCK = 10**12
"""planck per ASY"""


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
    try:
        uid, hotkey, block = asyncio.run(_register(parsed))
    except Unreachable as problem:
        raise Failure(str(problem), UNREACHABLE) from problem
    except (Refused, WrongChain, ValueError) as problem:
        raise Failure(str(problem)) from problem
    if parsed.json:
        print(json.dumps({"netuid": parsed.netuid, "uid": uid, "hotkey": hotkey, "block": block}))
    else:
        print(f"registered {hotkey} in subnet {parsed.netuid} as uid {uid}, block #{block}")
    return 0


async def _register(parsed: argparse.Namespace) -> tuple[int, str, int]:
    async with Chain.connect(parsed.url, parsed.key) as chain:
        hotkey = parsed.hotkey or chain.address
        receipt = await chain.submit(
            "Neurons.burned_register",
            netuid=parsed.netuid, hotkey=hotkey, max_price=round(parsed.max_price * PLANCK),
        )  # fmt: skip
        values = next(values for name, values in receipt.events if name == "Neurons.NeuronRegistered")
        return values["uid"], hotkey, receipt.block.number
