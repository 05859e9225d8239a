"""What commands share that talk to a node: flags, keys, amounts, tables, and how a refusal is told."""

import argparse
import asyncio
import logging
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from chain.amounts import PLANCK
from chain.client import Chain, Refused
from chain.commands import password as passwords
from chain.commands import secret as secrets
from chain.commands.failure import UNREACHABLE, USAGE, Failure, printable
from chain.connection import ODD_ANSWERS, Connection, NodeFailure, Unreachable, brief, serves_subnets
from chain.keys.pair import SuriError, with_password
from runtime.primitives import ss58

DEFAULT_URL = "ws://127.0.0.1:9944"
LAST_NETUID = 65_535
LAST_ROUND = (1 << 32) - 1
NOBODY = "//nobody"
"""A key that signs nothing: to look needs none."""
MOST_ASY = 1_000_000_000
"""no chain of this kind has more; more would not fit a call either"""
BAR = 12
"""cells of the longest bar"""
EIGHTHS = " ▏▎▍▌▋▊▉█"
U16_MAX = 65_535

T = TypeVar("T")
Ask = Callable[..., Awaitable[Any]]
"""(method, *parameters) -> the result of a JSON-RPC call"""

_AMOUNT = re.compile(r"\d{1,10}(\.\d{1,12})?")


# Flags.


def describe_node(parser: argparse.ArgumentParser, *, netuid: bool = True) -> None:
    """Add the flags of every command that asks a node."""
    parser.add_argument("--url", default=DEFAULT_URL, help=f"node to talk to [{DEFAULT_URL}]")
    if netuid:
        parser.add_argument("--netuid", type=int, default=1, help="subnet [1]")
    parser.add_argument("--json", action="store_true", help="print JSON")


def describe_key(parser: argparse.ArgumentParser, signer: str, *, required: bool = True) -> None:
    """Add the flags that name a key; `signer` says whose."""
    given = parser.add_mutually_exclusive_group(required=required)
    given.add_argument("--key", metavar="URI|FILE", help=f"secret URI of {signer}, or a file with it")
    given.add_argument(
        "--key-file", type=Path, metavar="PATH",
        help="file with it in its first line, as `assay key generate --json` prints it, or as polkadot.js "
        "exports it",
    )  # fmt: skip
    passwords.describe(parser)


def check_netuid(netuid: int) -> None:
    """Refuse a number that no subnet has.

    Raises: Failure.
    """
    if not 0 <= netuid <= LAST_NETUID:
        raise Failure(f"--netuid is {netuid}, must be 0 to {LAST_NETUID}", USAGE)


def there_is_no(netuid: int) -> str:
    """Say that a subnet does not exist, and where to look for one that does."""
    return f"there is no subnet {netuid}: `assay metagraph --view subnets` lists them, --netuid chooses one"


def secret(parsed: argparse.Namespace) -> str | None:
    """Return the secret URI that the flags name, None without any.

    Raises: Failure.
    """
    password = passwords.read(parsed)
    if parsed.key_file is None:
        return _unlocked(secrets.read(parsed.key), password) if parsed.key is not None else None
    return secrets.read_file(parsed.key_file, password)


def _unlocked(suri: str, password: str | None) -> str:
    try:
        return suri if password is None else with_password(suri, password)
    except SuriError as problem:
        raise Failure(str(problem), USAGE) from problem


def address(text: str, flag: str) -> str:
    """Return an address as the chain writes it.

    Raises: Failure.
    """
    try:
        return ss58.encode(ss58.decode(text)[1])
    except ss58.Ss58Error as problem:
        raise Failure(f"{flag} {text} is no address: {problem}", USAGE) from problem


def planck(text: str, flag: str) -> int:
    """Return the planck of an amount of ASY.

    Raises: Failure.
    """
    if not _AMOUNT.fullmatch(text) or Decimal(text) > MOST_ASY:
        rule = f"must be 0 to {MOST_ASY} ASY, with at most 12 decimals"
        raise Failure(f"{flag} is {text[:40]}, {rule}", USAGE)
    return int(Decimal(text) * PLANCK)


# Talking.


def talk(work: Coroutine[Any, Any, T]) -> T:
    """Run what talks to a node, and makes sense of what it says.

    Raises: Failure.
    """
    logging.basicConfig(format="assay: %(message)s")
    try:
        return asyncio.run(work)
    except Unreachable as problem:
        raise Failure(str(problem), UNREACHABLE) from problem
    except SuriError as problem:
        raise Failure(str(problem), USAGE) from problem
    except (Refused, NodeFailure) as problem:
        raise Failure(str(problem)) from problem
    except (*ODD_ANSWERS, ArithmeticError) as problem:
        what = f"{type(problem).__name__}: {brief(problem)}"
        raise Failure(
            f"the node's answer makes no sense to this version of assay ({what}): update one of the two, or "
            "give another node with --url"
        ) from problem


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Ask]:
    """Connect without a key, to a node that knows the subnet_ methods; who falls silent is given up.

    Raises: Unreachable, WrongChain.
    """
    connection = Connection(url, gives_up=True)

    async def ask(method: str, *parameters: Any) -> Any:
        return await connection.ask(lambda node: node.rpc_request(method, list(parameters))["result"])

    try:
        await connection.open(recognises=serves_subnets)
        yield ask
    finally:
        await connection.close()


@asynccontextmanager
async def signing(parsed: argparse.Namespace) -> AsyncIterator[Chain]:
    """Connect as the key that the flags name.

    Raises: Failure, SuriError, Unreachable, WrongChain.
    """
    async with Chain.connect(parsed.url, secret(parsed) or "") as chain:
        yield chain


@asynccontextmanager
async def looking(parsed: argparse.Namespace) -> AsyncIterator[Chain]:
    """Connect as the key that the flags name, or as nobody, to look; a node that falls silent is given up.

    Raises: Failure, SuriError, Unreachable, WrongChain.
    """
    async with Chain.connect(parsed.url, secret(parsed) or NOBODY, gives_up=True) as chain:
        yield chain


# Showing.


def rounded(amount: int | str) -> str:
    """Return planck as ASY with three decimals, for tables."""
    return f"{int(amount) / PLANCK:,.3f}"


def percent(share: int) -> str:
    """Return a share of 65,535 in percent, for tables."""
    return f"{100 * share / U16_MAX:.2f}"


def bar(part: int, most: int) -> str:
    """Return a bar as long as `part` of `most`, the longest one."""
    eighths = -(-8 * BAR * part // most) if most else 0
    return (EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def show(text: str) -> None:
    """Print lines, whoever wrote what is in them."""
    print("\n".join(map(printable, text.split("\n"))), flush=True)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under titles; a title that starts with `<` heads a column of words, others are numbers.

    The columns that matter least come last: those that a terminal has no room for are left out, and named.
    """
    heads = [title.removeprefix("<") for title in titles]
    columns = [[head, *map(printable, column)] for head, *column in zip(heads, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sum(widths) + 2 * len(widths)
    shown = max(
        2, sum(1 for count in range(1, len(widths) + 1) if sum(widths[:count]) + 2 * count - 2 <= room)
    )
    lines = [
        "  ".join(
            cell.ljust(width) if title.startswith("<") else cell.rjust(width)
            for title, cell, width in zip(titles[:shown], row, widths, strict=False)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    left = ", ".join(filter(None, heads[shown:]))
    return "\n".join([*lines, f"(more in a wider terminal, or a file: {left})"] if left else lines)
