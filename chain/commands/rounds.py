"""Show the rounds of a training subnet: how far each got, who took part, and how good the model was.

assay rounds --netuid 1                the last ten
assay rounds --last 3 --follow         then each new one when it ends
assay rounds --json | jq '.[] | select(.state.phase == "Void") | .round'

Updates that did not enter stand last; the log of such a miner says why. The loss is what the median judge
measured before the round on text that nobody trained on, in nats per token; it is known once scores are open.
--json prints what training_round answers, a list or line by line.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from chain.client import ENDED
from chain.commands.failure import USAGE, Failure
from chain.commands.talk import LAST_ROUND, Ask, check_netuid, describe_node, reading, table, talk
from chain.common.hashes import ends
from chain.verdicts import outcomes

MOST_ROUNDS = 256
"""shown at once"""
POLL_SECONDS = 2.0
"""between two looks at a round that goes on"""
MICRO = 1_000_000
TITLES = ("round", "<phase", "<blocks", "<model", "commits", "updates", "accepted", "scored", "attested",
          "loss", "<")  # fmt: skip
FOLLOWED = (5, 11, 15, 15, 7, 7, 8, 6, 8, 7, 10)
"""widths of the columns when rows come one by one"""

Json = dict[str, Any]
"""what the node answers"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    describe_node(parser)
    parser.add_argument("--last", type=int, default=10, metavar="N", help="how many rounds [10]")
    parser.add_argument("--follow", action="store_true", help="go on with each round that ends")


def run(parsed: argparse.Namespace) -> int:
    """Print what the node says."""
    check_netuid(parsed.netuid)
    if not 1 <= parsed.last <= MOST_ROUNDS:
        raise Failure(f"--last is {parsed.last}, must be 1 to {MOST_ROUNDS}", USAGE)
    talk(_follow(parsed) if parsed.follow else _show(parsed))
    return 0


async def _show(parsed: argparse.Namespace) -> None:
    async with reading(parsed.url) as ask:
        found = await _last(ask, parsed.netuid, parsed.last)
    print(json.dumps(found) if parsed.json else table(TITLES, [_row(each) for each in found]))


async def _follow(parsed: argparse.Namespace) -> None:
    async with reading(parsed.url) as ask:
        if not parsed.json:
            print(_line([title.removeprefix("<") for title in TITLES]))
        async for each in _ended(ask, parsed.netuid, parsed.last):
            print(json.dumps(each) if parsed.json else _line(_row(each)), flush=True)


async def _ended(ask: Ask, netuid: int, last: int) -> AsyncIterator[Json]:
    """Yield the last rounds that are over, then each that ends."""
    found = await _last(ask, netuid, last)
    for each in found:
        if each["state"]["phase"] in ENDED:
            yield each
    number = found[-1]["round"] + (found[-1]["state"]["phase"] in ENDED)
    while True:
        current: Json | None = await ask("training_round", netuid, number)
        if current is not None and current["state"]["phase"] in ENDED:
            yield current
            number += 1
        else:
            await asyncio.sleep(POLL_SECONDS)


async def _last(ask: Ask, netuid: int, count: int) -> list[Json]:
    """Return the last rounds, oldest first.

    Raises: Failure.
    """
    newest = (await ask("training_lineage", netuid, LAST_ROUND, LAST_ROUND))["last"]
    if not newest:
        raise Failure(
            f"subnet {netuid} has had no round: it is none that trains, or waits for a data set, a miner "
            f"and a judge (`assay metagraph --netuid {netuid}`)"
        )
    first = max(1, newest - count + 1)
    found = [await ask("training_round", netuid, number) for number in range(first, newest + 1)]
    return [each for each in found if each is not None]


def _row(each: Json) -> tuple[str, ...]:
    state, judges = each["state"], each["judges"]
    scored = sum(judge["scores"] is not None for judge in judges)
    attested = sum(judge["root"] is not None for judge in judges)
    end = state["phaseSince"] if state["phase"] in ENDED else ""
    notes = [word for word in ("checkpoint",) if each[word]]
    is_closed = state["phase"] == "Closed"
    out = [one for one in outcomes(each) if one.is_guilty or (is_closed and not one.ppm)]
    notes += [f"uid {one.uid} {'guilty' if one.is_guilty else 'rejected'}" for one in out]
    return (
        str(each["round"]),
        state["phase"],
        f"#{state['openedAt']}-{end}",
        ends(state["newRoot"] or state["baseRoot"]),
        f"{each['commits']}/{len(state['expectedMiners'])}",
        str(len(each["updates"])),
        str(len(state["accepted"])),
        f"{scored}/{len(state['expectedJudges'])}",
        str(attested),
        _loss(judges),
        ", ".join(notes),
    )


def _loss(judges: list[Json]) -> str:
    """Return what the median judge measured before the round, in nats per token."""
    measured = sorted(judge["scores"][0]["lossBefore"] for judge in judges if judge["scores"])
    return f"{measured[(len(measured) - 1) // 2] / MICRO:.4f}" if measured else ""


def _line(cells: Any) -> str:
    """Return a row whose widths do not depend on rows to come."""
    pairs = zip(TITLES, cells, FOLLOWED, strict=True)
    return "  ".join(
        cell.ljust(width) if title.startswith("<") else cell.rjust(width) for title, cell, width in pairs
    ).rstrip()
