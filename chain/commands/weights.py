"""Show and set what a judge thinks neurons are worth; sealed first where the subnet wants it so.

assay weights show --netuid 2                       all judges' rows; --uid 4 one of them
assay weights set 1=30 2=10 --netuid 2 --key //Dave
assay weights set --file row.json --key-file judge.key --netuid 2 --no-wait
assay weights reveal --netuid 2 --key //Dave        open what was sealed, after a crash or --no-wait

A row keeps proportions only: any numbers will do. In a subnet with commit_reveal, `set` seals the row with a
salt that it writes to disk before anything is sent, waits for the epoch in which the row opens, and opens it.
Ctrl-C loses nothing: `reveal` goes on where it ended. Both open every row that is due, so `set --no-wait`
once an epoch is enough. A row that is not opened in its epoch counts for nothing. --json prints an object
for each row. Training subnets score through their rounds and take no rows.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from chain.commands.failure import USAGE, Failure
from chain.commands.places import DEFAULT_BASE
from chain.commands.sealed import SealedRow, SealedRows
from chain.commands.sealing import Outcome, check_row, open_rows, seal
from chain.commands.talk import (
    U16_MAX,
    check_netuid,
    describe_key,
    describe_node,
    reading,
    show,
    signing,
    talk,
    there_is_no,
)
from chain.common.hashes import ends
from chain.env_real import RealRng

MOST_ENTRIES = 1_024
"""No subnet has more uids."""
MAX_FILE = 256 * 1024
"""bytes of a row's file"""
MOST_DIGITS = 40
SALT_SIZE = 32
HOME = DEFAULT_BASE / "weights"

Json = dict[str, Any]


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the verbs and their flags."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="show rows of weights")
    show.add_argument("--uid", type=int, metavar="N", help="that of one judge")
    put = verbs.add_parser("set", help="set a row of weights")
    put.add_argument("entries", metavar="UID=WEIGHT", nargs="*", help="any numbers: only proportions count")
    put.add_argument("--file", metavar="PATH", help='JSON object {"uid": weight, ...}; - is standard input')
    reveal = verbs.add_parser("reveal", help="open what was sealed")
    for verb in (show, put, reveal):
        describe_node(verb)
    for verb in (put, reveal):
        describe_key(verb, "the judge's hotkey")
        verb.add_argument("--no-wait", action="store_true", help="do not wait until the row can be opened")
        verb.add_argument(
            "--directory", type=Path, default=HOME, metavar="PATH", help=f"sealed rows [{HOME}]"
        )


def run(parsed: argparse.Namespace) -> int:
    """Do what the verb says."""
    check_netuid(parsed.netuid)
    if parsed.verb == "show":
        return _show(parsed)
    row = _row(parsed) if parsed.verb == "set" else None
    try:
        outcomes = talk(_set(parsed, row) if row is not None else _reveal(parsed))
    except KeyboardInterrupt:
        print(
            "\nassay: stopped; what is sealed stays on disk: `assay weights reveal` opens it in its epoch",
            file=sys.stderr,
        )
        raise
    for outcome in outcomes:
        show(outcome.to_json(parsed.netuid) if parsed.json else outcome.text(parsed.netuid))
    return int(any(outcome.is_bad for outcome in outcomes))


# Rows.


def _row(parsed: argparse.Namespace) -> dict[int, int]:
    """Return the row that the command line names, by uid.

    Raises: Failure.
    """
    if bool(parsed.entries) == (parsed.file is not None):
        raise Failure("give the row as UID=WEIGHT entries, or with --file", USAGE)
    pairs = (
        [entry.partition("=")[::2] for entry in parsed.entries] if parsed.entries else _in_file(parsed.file)
    )
    weights: dict[int, Fraction] = {}
    for uid, weight in pairs:
        if not (uid.isascii() and uid.isdigit() and len(uid) <= 5 and int(uid) < MOST_ENTRIES):
            raise Failure(f"{uid[:20]!r} is no uid (0 to {MOST_ENTRIES - 1}): write UID=WEIGHT", USAGE)
        if int(uid) in weights:
            raise Failure(f"uid {uid} is listed twice: list it once", USAGE)
        weights[int(uid)] = _weight(uid, weight)
    return scaled(weights)


def _weight(uid: str, text: str) -> Fraction:
    try:
        weight = Fraction(text if len(text) <= MOST_DIGITS and "e" not in text.lower() else "nonsense")
    except (ValueError, ZeroDivisionError) as problem:
        raise Failure(f"the weight of uid {uid} is {text[:20]!r}, which is no number", USAGE) from problem
    if weight < 0:
        raise Failure(f"the weight of uid {uid} is {text[:20]}, must be 0 or more", USAGE)
    return weight


def scaled(weights: Mapping[int, Fraction]) -> dict[int, int]:
    """Return weights as u16, ascending by uid: whole numbers as they are if they fit, else in proportion."""
    largest = max(weights.values(), default=Fraction(0))
    fit = largest <= U16_MAX and all(weight.denominator == 1 for weight in weights.values())
    factor = Fraction(1) if fit else U16_MAX / largest
    return {uid: int(weights[uid] * factor + Fraction(1, 2)) for uid in sorted(weights)}


def _in_file(name: str) -> list[tuple[str, str]]:
    try:
        if name == "-":
            text = sys.stdin.read(MAX_FILE + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(MAX_FILE + 1)
        found = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    except (OSError, ValueError, RecursionError) as problem:
        raise Failure(f"--file {name} cannot be read as JSON: {str(problem)[:100]}", USAGE) from problem
    pairs = [each for each in found if isinstance(each, tuple)] if isinstance(found, list) else []
    if not pairs or len(pairs) != len(found) or not all(isinstance(value, str) for _, value in pairs):
        raise Failure(f'--file {name} must hold one JSON object {{"uid": weight, ...}}', USAGE)
    return pairs


# Showing.


def _show(parsed: argparse.Namespace) -> int:
    show(talk(_shown(parsed)))
    return 0


async def _shown(parsed: argparse.Namespace) -> str:
    """Return the rows of all judges, or of one."""
    async with reading(parsed.url) as ask:
        found = await ask("subnet_weights", parsed.netuid)
    if found is None:
        raise Failure(there_is_no(parsed.netuid))
    rows = [row for row in found["rows"] if parsed.uid in (None, row["uid"])]
    if not rows and parsed.uid is not None:
        raise Failure(f"uid {parsed.uid} has no row in subnet {parsed.netuid}: leave --uid out to see all")
    if parsed.json:
        return json.dumps(rows)
    lines = [f"{row['uid']:>5}  {ends(row['hotkey'])}  {_shares(row['weights'])}" for row in rows]
    return "\n".join(["  uid  judge, and its weights in percent, by uid", *lines])


def _shares(row: list[list[int]]) -> str:
    whole = sum(value for _, value in row)
    return "  ".join(f"{uid}:{100 * value / whole:.2f}" for uid, value in row) or "-"


# Setting.


async def _set(parsed: argparse.Namespace, row: dict[int, int]) -> list[Outcome]:
    async with signing(parsed) as chain:
        found = await chain.rpc("subnet_metagraph", parsed.netuid)
        if found is None:
            raise Failure(there_is_no(parsed.netuid))
        numbers = found["hyperparameters"]
        version = int(numbers["weightsVersion"])
        if not numbers["commitReveal"]:
            asked = {"netuid": parsed.netuid, "uids": list(row), "values": list(row.values())}
            await chain.check("Weights.set_weights", **asked, version_key=version)
            receipt = await chain.submit("Weights.set_weights", **asked, version_key=version)
            return [Outcome("set", receipt.block.number)]
        unknown = sorted(set(row) - {each["uid"] for each in found["neurons"]})
        if unknown and found["kind"] != "Training":
            raise Failure(f"no neuron holds the uids {unknown}: see `assay metagraph`, and leave them out")
        salt = "0x" + RealRng().token(SALT_SIZE).hex()
        sealed = SealedRow(
            chain.address, parsed.netuid, found["epoch"], list(row), list(row.values()), salt, version
        )
        await check_row(chain, sealed)
        rows = SealedRows(parsed.directory, chain.genesis_hash, parsed.netuid, chain.address)
        outcome = await seal(chain, rows, sealed)
        if outcome.is_bad:
            return [outcome]
        waiting = {each.commitment: each for each in [*rows.all(), sealed]}
        return await open_rows(chain, rows, list(waiting.values()), waits=not parsed.no_wait)


async def _reveal(parsed: argparse.Namespace) -> list[Outcome]:
    async with signing(parsed) as chain:
        rows = SealedRows(parsed.directory, chain.genesis_hash, parsed.netuid, chain.address)
        waiting = rows.all()
        if not waiting:
            raise Failure(
                f"{parsed.directory} holds nothing that {chain.address} has sealed in subnet {parsed.netuid}"
            )
        return await open_rows(chain, rows, waiting, waits=not parsed.no_wait)
