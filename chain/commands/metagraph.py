"""Show a subnet: its neurons, who goes next, what a place costs, what is sealed, what the epoch would pay.

assay metagraph --netuid 1
assay metagraph --view subnets         which there are, what a place costs, what their epochs have to pay
assay metagraph --uid 3                one neuron, with its rows of weights and bonds
assay metagraph --view prune           whom newcomers replace, and how long others are immune
assay metagraph --view price           what a registration costs now and later
assay metagraph --view commits         rows of weights that are sealed
assay metagraph --view preview         what the epoch would pay if it ran now
assay metagraph --json | jq '.neurons[] | select(.validatorPermit) | .hotkey'

Shares are percents; --json prints what the node's subnet_ methods answer, shares as parts of 65,535 and
amounts in planck.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

from chain.amounts import asy
from chain.commands.failure import USAGE, Failure, printable
from chain.commands.talk import (
    bar,
    check_netuid,
    describe_node,
    percent,
    reading,
    rounded,
    show,
    table,
    talk,
    there_is_no,
)
from chain.common.hashes import ends

LAST_UID = 65_535

Json = dict[str, Any]


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    describe_node(parser)
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--view", choices=sorted(VIEWS), default="neurons", help="what to show [neurons]")
    view.add_argument("--uid", type=int, metavar="N", help="show one neuron")


def run(parsed: argparse.Namespace) -> int:
    """Print what the node says."""
    check_netuid(parsed.netuid)
    if parsed.uid is not None and not 0 <= parsed.uid <= LAST_UID:
        raise Failure(f"--uid is {parsed.uid}, must be 0 to {LAST_UID}", USAGE)
    show(talk(_shown(parsed)))
    return 0


async def _shown(parsed: argparse.Namespace) -> str:
    method, told = ("subnet_neuron", _neuron) if parsed.uid is not None else VIEWS[parsed.view]
    about = (
        [] if told is _networks else [parsed.netuid] if parsed.uid is None else [parsed.netuid, parsed.uid]
    )
    async with reading(parsed.url) as ask:
        found = await ask(method, *about)
        if found is not None:
            return json.dumps(found) if parsed.json else told(found)
        if parsed.uid is not None and await ask("subnet_pendingCommits", parsed.netuid) is not None:
            raise Failure(f"nobody holds uid {parsed.uid} of subnet {parsed.netuid}: see `assay metagraph`")
        raise Failure(there_is_no(parsed.netuid))


# Views.


def _networks(found: list[Json]) -> str:
    whole = sum(each["emissionShare"] for each in found)
    titles = ("netuid", "<kind", "price ASY", "bond ASY", "% of the mint", "<", "waiting ASY", "epoch",
              "next in block", "uids", "<owner")  # fmt: skip
    rows = [
        (
            str(each["netuid"]),
            each["kind"].lower() + (", paused" if each["paused"] else ""),
            rounded(each["price"]),
            asy(each["bond"]),
            f"{100 * each['emissionShare'] / (whole or 1):.1f}",
            bar(each["emissionShare"], whole),
            rounded(each["emission"]),
            str(each["epoch"]),
            f"#{each['nextEpoch']}",
            str(each["maxUids"]),
            ends(each["owner"]),
        )
        for each in found
    ]
    return table(titles, rows)


def _neurons(found: Json) -> str:
    numbers = found["hyperparameters"]
    state = "paused" if found["paused"] else f"ends in {found['nextEpoch'] - found['block']} blocks"
    most = max((int(each["emission"]) for each in found["neurons"]), default=0)
    before = "" if most else " (the last one paid nobody)"
    head = (
        f"subnet {found['netuid']}   {found['kind'].lower()}   block #{found['block']}   "
        f"{len(found['neurons'])} of {numbers['maxUids']} uids\n"
        f"epoch {found['epoch']} {state}, {asy(found['emission'])} ASY wait for it{before}; a place costs "
        f"{rounded(found['price'])} ASY and a bond of {asy(numbers['uidBond'])}"
    )
    titles = ("uid", "<hotkey", "<role", "stake ASY", "emission ASY", "<", "incentive %", "dividends %",
              "consensus %", "updated", "<place", "<name", "<axon")  # fmt: skip
    rows = [
        (
            str(each["uid"]),
            ends(each["hotkey"]),
            "judge" if each["validatorPermit"] else "miner",
            rounded(each["stake"]),
            rounded(each["emission"]),
            bar(int(each["emission"]), most),
            *(percent(each[name]) for name in ("incentive", "dividends", "consensus")),
            _age(found["block"], each["lastUpdate"]),
            _place(each["uid"], each["pruneRank"], each["immuneUntil"], found),
            each["name"],
            each["axon"]["url"] if each["axon"] else "",
        )
        for each in found["neurons"]
    ]
    changes = [
        f"{change['parameter']} becomes {change['value']} in block #{change['at']}"
        for change in found["pendingChanges"]
    ]
    return "\n".join([head, "", table(titles, rows), *changes])


def _neuron(found: Json) -> str:
    each, identity = found["neuron"], found["identity"]
    lines = [
        f"uid {each['uid']} of subnet {found['netuid']}, block #{found['block']}",
        f"hotkey      {each['hotkey']}",
        f"coldkey     {each['coldkey']}",
        f"role        {'judge' if each['validatorPermit'] else 'miner'}, {asy(each['stake'])} ASY of stake",
        f"last epoch  {asy(each['emission'])} ASY: incentive {percent(each['incentive'])} %, dividends "
        f"{percent(each['dividends'])} %, consensus {percent(each['consensus'])} %",
        f"row         {_age(found['block'], each['lastUpdate'])}",
        f"registered  #{each['registeredAt']}, immune until #{each['immuneUntil']}",
        f"bond        {asy(each['bond'])} ASY; {asy(each['vesting'])} ASY vest",
    ]
    if each["axon"]:
        lines.append(f"axon        {printable(each['axon']['url'])}")
    if identity:
        lines.append(f"says        {printable(' '.join(filter(None, identity.values())))}")
    for name in ("weights", "bonds"):
        row = "  ".join(f"{uid}:{value}" for uid, value in found[name])
        lines.append(f"{name:<12}{row or '-'}")
    lines += [_sealed(commit, found["block"]) for commit in found["commits"]]
    return "\n".join(lines)


def _prune(found: Json) -> str:
    free = found["freeUids"]
    head = f"subnet {found['netuid']}   block #{found['block']}   " + (
        f"{free} uids are free: nobody is replaced before they are taken"
        if free
        else "full: a newcomer replaces the first of these"
    )
    rows = [
        (
            "" if each["rank"] is None else str(each["rank"] + 1),
            str(each["uid"]),
            ends(each["hotkey"]),
            rounded(each["emission"]),
            _immunity(each, found["block"]),
        )
        for each in found["entries"]
    ]
    return "\n".join([head, "", table(("goes", "uid", "<hotkey", "emission ASY", "<immune"), rows)])


def _price(found: Json) -> str:
    if found["freeUids"]:
        place = f"{found['freeUids']} uids are free"
    elif found["replacedUid"] is not None:
        place = f"full: uid {found['replacedUid']} goes for a newcomer"
    elif found["opensAt"] is not None:
        place = f"full and all are immune until #{found['opensAt']}"
    else:
        place = "full for good"
    head = (
        f"subnet {found['netuid']}   block #{found['block']}   {place}\n"
        f"{asy(found['price'])} ASY are burnt, {asy(found['bond'])} ASY set aside"
    )
    after = f"after one more registration: {asy(found['priceAfter'])} ASY; without one:"
    most = max(int(point["price"]) for point in found["curve"])
    rows = [
        (f"#{point['block']}", rounded(point["price"]), bar(int(point["price"]), most))
        for point in found["curve"]
    ]
    return "\n".join([head, after, "", table(("block", "price ASY", "<"), rows)])


def _commits(found: Json) -> str:
    head = (
        f"subnet {found['netuid']}   block #{found['block']}   epoch {found['epoch']} until "
        f"#{found['nextEpoch']}\nwhat opens in an epoch must be opened in it"
    )
    rows = [
        (
            str(judge["uid"]),
            ends(judge["hotkey"]),
            str(each["epoch"]),
            str(each["revealEpoch"]),
            f"#{each['committedAt']}",
            ends(each["commitment"]),
        )
        for judge in found["judges"]
        for each in judge["commits"]
    ]
    titles = ("uid", "<hotkey", "sealed in epoch", "opens in epoch", "block", "<commitment")
    return "\n".join([head, "", table(titles, rows)])


def _preview(found: Json) -> str:
    head = (
        f"subnet {found['netuid']}   as if the epoch ran in #{found['block']} (it runs in "
        f"#{found['nextEpoch']})\n{asy(found['emission'])} ASY, {asy(found['carried'])} of them carried over"
    )
    titles = ("uid", "<hotkey", "<permit", "emission ASY", "<", "for judging ASY", "incentive %",
              "dividends %", "consensus %", "trust %")  # fmt: skip
    most = max((int(each["emission"]) for each in found["neurons"]), default=0)
    rows = [
        (
            str(each["uid"]),
            ends(each["hotkey"]),
            "yes" if each["validatorPermit"] else "",
            rounded(each["emission"]),
            bar(int(each["emission"]), most),
            rounded(each["dividend"]),
            *(percent(each[name]) for name in ("incentive", "dividends", "consensus", "validatorTrust")),
        )
        for each in found["neurons"]
    ]
    return "\n".join([head, "", table(titles, rows)])


VIEWS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "subnets": ("subnet_networks", _networks),
    "neurons": ("subnet_metagraph", _neurons),
    "prune": ("subnet_pruneOrder", _prune),
    "price": ("subnet_registrationPrice", _price),
    "commits": ("subnet_pendingCommits", _commits),
    "preview": ("subnet_emissionPreview", _preview),
}
"""By the words of --view: who answers, and how it is shown."""


def _age(now: int, block: int) -> str:
    return f"{now - block} blocks ago" if block else "never"


def _place(uid: int, rank: int | None, immune_until: int, found: Json) -> str:
    if uid == found["ownerUid"]:
        return "owner"
    if rank is None:
        left = immune_until - found["block"]
        return f"immune for {left}" if left > 0 else "held"
    return f"goes {rank + 1}."


def _immunity(entry: Json, now: int) -> str:
    if entry["rank"] is not None:
        return "no"
    if entry["immuneUntil"] <= now:
        return "held while its work is judged"
    return f"{entry['immuneEpochs']} epochs, until #{entry['immuneUntil']}"


def _sealed(commit: Json, now: int) -> str:
    return (
        f"sealed      in epoch {commit['epoch']}, {now - commit['committedAt']} blocks ago; opens in epoch "
        f"{commit['revealEpoch']}"
    )
