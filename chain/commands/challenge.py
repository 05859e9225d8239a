"""`assay audit challenge`: have other judges measure again what one says it measured."""

import argparse
import json
import re
from typing import Any

from chain.amounts import asy
from chain.client import Chain
from chain.commands.failure import USAGE, Failure
from chain.commands.talk import LAST_NETUID, LAST_ROUND, address, describe_key, describe_node, signing, talk

CALL = "Verification.challenge_score"
_UID = re.compile(r"\d{1,5}")


def describe(verb: argparse.ArgumentParser) -> None:
    """Add the flags."""
    verb.add_argument("netuid", metavar="NETUID", type=int, help="subnet")
    verb.add_argument("round", metavar="ROUND", type=int, help="round of the score")
    verb.add_argument("judge", metavar="JUDGE", help="hotkey or uid of the judge")
    verb.add_argument("miner", metavar="MINER", help="hotkey or uid of the miner it measured")
    describe_key(verb, "a hotkey of the subnet, which deposits")
    describe_node(verb, netuid=False)


def run(parsed: argparse.Namespace) -> int:
    """Challenge, and print what was set aside."""
    if not 0 <= parsed.netuid <= LAST_NETUID:
        raise Failure(f"NETUID is {parsed.netuid}, must be 0 to {LAST_NETUID}", USAGE)
    if not 0 <= parsed.round <= LAST_ROUND:
        raise Failure(f"ROUND is {parsed.round}, must be 0 to {LAST_ROUND}", USAGE)
    judge, miner = _named(parsed.judge, "JUDGE"), _named(parsed.miner, "MINER")
    found = talk(_challenge(parsed, judge, miner))
    line = (
        f"challenged what judge {found['judge']} measured of {found['miner']} in round {found['round']}, "
        f"block #{found['block']}: {asy(found['deposit'])} ASY are set aside, and go back unless the jury "
        "that the next block draws agrees with the judge"
    )
    print(json.dumps(found) if parsed.json else line)
    return 0


def _named(text: str, what: str) -> str:
    return text if _UID.fullmatch(text) else address(text, what)


async def _challenge(parsed: argparse.Namespace, judge: str, miner: str) -> dict[str, Any]:
    """Ask whether it would be taken, and do it.

    Raises: Failure, Refused.
    """
    async with signing(parsed) as chain:
        found = await chain.rpc("training_round", parsed.netuid, parsed.round)
        if found is None:
            raise Failure(
                f"subnet {parsed.netuid} has had no round {parsed.round}: see `assay rounds --netuid "
                f"{parsed.netuid}`"
            )
        judges = [(each["uid"], each["hotkey"]) for each in found["judges"] if each["scores"] is not None]
        miners = [(each["uid"], each["update"]["miner"]) for each in found["updates"]]
        uid, _ = _among(judges, judge, "published no scores", parsed.round)
        _, hotkey = _among(miners, miner, "revealed no update", parsed.round)
        about = {"netuid": parsed.netuid, "round": parsed.round, "judge": uid, "miner": hotkey}
        return await _submitted(chain, about)


async def _submitted(chain: Chain, about: dict[str, Any]) -> dict[str, Any]:
    await chain.check(CALL, **about)
    receipt = await chain.submit(CALL, **about)
    made = next(values for name, values in receipt.events if name == "Verification.ScoreChallenged")
    return {**about, "deposit": str(made["deposit"]), "block": receipt.block.number}


def _among(listed: list[tuple[int, str]], wanted: str, missing: str, number: int) -> tuple[int, str]:
    """Return uid and hotkey of who is meant.

    Raises: Failure.
    """
    for uid, hotkey in listed:
        if wanted in (str(uid), hotkey):
            return uid, hotkey
    there = ", ".join(f"uid {uid} {hotkey}" for uid, hotkey in listed[:8])
    raise Failure(f"{wanted} {missing} in round {number}; there are: {there or 'none'}")
