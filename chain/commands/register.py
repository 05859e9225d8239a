"""Register a hotkey in a subnet: its price is burnt, its bond is reserved on the coldkey that signs.

assay register --netuid 1 --key //Dave
assay register --key-file coldkey.json --password-interactive --hotkey 5Grwva...utQY --max-price 2
assay metagraph --view price           what it costs now and later, and whether there is a place
"""

import argparse
import json
from typing import Any

from chain.amounts import asy
from chain.commands.talk import address, check_netuid, describe_key, describe_node, planck, signing, talk


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    describe_node(parser)
    describe_key(parser, "the coldkey, which pays")
    parser.add_argument("--hotkey", metavar="ADDRESS", help="hotkey to register [the coldkey itself]")
    parser.add_argument("--max-price", default="5", metavar="ASY", help="most to burn [5]")


def run(parsed: argparse.Namespace) -> int:
    """Register and print the uid."""
    check_netuid(parsed.netuid)
    most = planck(parsed.max_price, "--max-price")
    hotkey = None if parsed.hotkey is None else address(parsed.hotkey, "--hotkey")
    found = talk(_register(parsed, hotkey, most))
    if parsed.json:
        print(json.dumps(found))
    else:
        print(
            f"registered {found['hotkey']} in subnet {parsed.netuid} as uid {found['uid']}, "
            f"block #{found['block']}: {asy(found['burned'])} ASY burnt"
        )
    return 0


async def _register(parsed: argparse.Namespace, hotkey: str | None, most: int) -> dict[str, Any]:
    async with signing(parsed) as chain:
        registered = hotkey or chain.address
        made = await chain.register(parsed.netuid, registered, most)
        return {
            "netuid": parsed.netuid,
            "uid": made.uid,
            "hotkey": registered,
            "block": made.block.number,
            "burned": str(made.burned),
        }
