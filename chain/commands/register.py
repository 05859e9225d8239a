"""Register a hotkey in a subnet: its price is burnt, its bond is reserved on the coldkey that signs.

assay register --netuid 1 --key //Dave
assay register --key-file coldkey.json --password-interactive --hotkey 5Grwva...utQY --max-price 2
assay metagraph --view price           what it costs now and later, and whether there is a place
"""

import argparse
import json
from typing import Any

from chain.client import Chain, Refused
from chain.commands.talk import address, asy, check_netuid, describe_key, describe_node, planck, signing, talk


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
        asked = {"netuid": parsed.netuid, "hotkey": hotkey or chain.address, "max_price": most}
        try:
            await chain.check("Neurons.burned_register", **asked)
            receipt = await chain.submit("Neurons.burned_register", **asked)
        except Refused as refused:
            more = await _advice(chain, parsed.netuid, refused.name)
            raise Refused(refused.call, refused.name, refused.text + more, refused.code) from refused
        made = next(values for name, values in receipt.events if name == "Neurons.NeuronRegistered")
        return {
            "netuid": parsed.netuid,
            "uid": made["uid"],
            "hotkey": asked["hotkey"],
            "block": receipt.block.number,
            "burned": str(made["burned"]),
        }


async def _advice(chain: Chain, netuid: int, reason: str) -> str:
    """Return what the subnet's price has to do with a refusal."""
    quote = await chain.rpc("subnet_registrationPrice", netuid)
    if quote is None:
        return ""
    if reason in ("PriceTooHigh", "CannotAfford"):
        later = quote["curve"][1]
        return (
            f" It burns {asy(quote['price'])} ASY now ({asy(later['price'])} in block #{later['block']}) and "
            f"sets {asy(quote['bond'])} ASY aside."
        )
    if reason == "SubnetFull" and quote["opensAt"] is not None:
        return f" The first ends in block #{quote['opensAt']}; now is #{quote['block']}."
    return ""
