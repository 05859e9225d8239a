"""Back validators with the bonded stake of a key, from the next election on.

assay nominate 5Grwva...utQY 5FHneW...94ty --key //Dave    at most 16; the list replaces the last one
assay nominate --none --key //Dave                         back nobody any more
assay nominate --list                                      who stands for election

Bond first: assay stake bond. What a validator earns is shared by stake after its commission.
"""

import argparse
import json
from typing import Any

from chain.amounts import asy
from chain.commands.failure import USAGE, Failure
from chain.commands.talk import (
    address,
    bar,
    describe_key,
    describe_node,
    looking,
    show,
    signing,
    table,
    talk,
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("targets", metavar="ADDRESS", nargs="*", help="stashes of validators")
    parser.add_argument("--none", action="store_true", help="back nobody any more")
    parser.add_argument("--list", action="store_true", help="list the validators; needs no key")
    describe_node(parser, netuid=False)
    describe_key(parser, "the stash whose stake backs them", required=False)


def run(parsed: argparse.Namespace) -> int:
    """Nominate, stop it, or list."""
    targets = [address(each, "the validator") for each in parsed.targets]
    if sum((bool(targets), parsed.none, parsed.list)) != 1:
        raise Failure("give validators' addresses, or --none, or --list", USAGE)
    if parsed.list:
        rows = talk(_listed(parsed))
        show(json.dumps(rows) if parsed.json else _text(rows))
        return 0
    if parsed.key is None and parsed.key_file is None:
        raise Failure("give the key that signs: --key or --key-file", USAGE)
    block = talk(_nominate(parsed, targets))
    if parsed.json:
        print(json.dumps({"targets": targets, "block": block}))
    elif targets:
        print(f"backing {len(targets)} validators from the next election on, block #{block}")
    else:
        print(f"backing nobody from the next election on, block #{block}")
    return 0


async def _nominate(parsed: argparse.Namespace, targets: list[str]) -> int:
    async with signing(parsed) as chain:
        call = "Staking.nominate" if targets else "Staking.chill"
        arguments = {"targets": targets} if targets else {}
        await chain.check(call, **arguments)
        return (await chain.submit(call, **arguments)).block.number


async def _listed(parsed: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the validators, the best backed first."""
    async with looking(parsed) as chain:
        head = await chain.finalized_head()
        era = (await chain.query("Staking.ActiveEra", at=head) or {"index": 0})["index"]
        overviews = dict(await chain.query_map("Staking.ErasStakersOverview", era, at=head))
        rows = [
            {
                "validator": who,
                "commissionPpb": prefs["commission"],
                "blocked": prefs["blocked"],
                "stake": str(overviews.get(who, {"total": 0})["total"]),
                "own": str(overviews.get(who, {"own": 0})["own"]),
                "nominators": overviews.get(who, {"nominator_count": 0})["nominator_count"],
            }
            for who, prefs in await chain.query_map("Staking.Validators", at=head)
        ]
        return sorted(rows, key=lambda row: (-int(row["stake"]), row["validator"]))


def _text(rows: list[dict[str, Any]]) -> str:
    titles = ("<validator", "stake ASY", "<", "commission %", "own ASY", "nominators", "<takes more")
    most = max((int(row["stake"]) for row in rows), default=0)
    return table(
        titles,
        [
            (
                row["validator"],
                asy(row["stake"]),
                bar(int(row["stake"]), most),
                f"{row['commissionPpb'] / 10**7:g}",
                asy(row["own"]),
                str(row["nominators"]),
                "no" if row["blocked"] else "yes",
            )
            for row in rows
        ],
    )
