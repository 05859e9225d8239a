"""What commands share that talk to a node: flags, keys, amounts, tables, and how a refusal is told."""

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from chain.client import Chain, Refused
from chain.commands import password as passwords
from chain.commands.failure import UNREACHABLE, USAGE, Failure
from chain.connection import Connection, NodeFailure, Unreachable, serves_subnets
from chain.keys.pair import MAX_SURI, SuriError, with_password
from chain.keys.polkadot_json import MAX_SIZE, PolkadotJsonError, open_export
from runtime.primitives import ss58

DEFAULT_URL = "ws://127.0.0.1:9944"
LAST_NETUID = 65_535
PLANCK = 10**12
"""planck per ASY"""
MOST_ASY = 1_000_000_000
"""no chain of this kind has more; more would not fit a call either"""
SHORT = 6
"""characters shown of either end of an address"""

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
    given.add_argument("--key", metavar="URI", help=f"secret URI of {signer}")
    given.add_argument(
        "--key-file", type=Path, metavar="PATH",
        help="file with that secret in its first line, or an export of polkadot.js",
    )  # fmt: skip
    passwords.describe(parser)


def check_netuid(netuid: int) -> None:
    """Refuse a number that no subnet has.

    Raises: Failure.
    """
    if not 0 <= netuid <= LAST_NETUID:
        raise Failure(f"--netuid is {netuid}, must be 0 to {LAST_NETUID}", USAGE)


def secret(parsed: argparse.Namespace) -> str | None:
    """Return the secret URI that the flags name, None without any.

    Raises: Failure.
    """
    password = passwords.read(parsed)
    if parsed.key_file is None:
        return _unlocked(parsed.key, password) if parsed.key is not None else None
    try:
        with parsed.key_file.open(encoding="utf-8") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise Failure(f"--key-file cannot be read: {problem}", USAGE) from problem
    if not text.lstrip().startswith("{"):
        first = (text.splitlines() or [""])[0].strip()
        if not 0 < len(first) <= MAX_SURI:
            raise Failure(f"--key-file {parsed.key_file} must begin with a secret URI", USAGE)
        return _unlocked(first, password)
    if password is None:
        raise Failure("an export has a password: give --password-interactive or --password-filename", USAGE)
    try:
        pair = open_export(text, password)
    except PolkadotJsonError as problem:
        raise Failure(f"--key-file {parsed.key_file}: {problem}", USAGE) from problem
    if pair.kind != "sr25519":
        raise Failure(
            f"--key-file {parsed.key_file} holds an {pair.kind} key; this command signs with sr25519"
        )
    return "0x" + pair.secret.hex()


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
    """Run what talks to a node.

    Raises: Failure.
    """
    try:
        return asyncio.run(work)
    except Unreachable as problem:
        raise Failure(str(problem), UNREACHABLE) from problem
    except (Refused, NodeFailure, SuriError) as problem:
        raise Failure(str(problem)) from problem


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Ask]:
    """Connect without a key, to a node that knows the subnet_ methods.

    Raises: Unreachable, WrongChain.
    """
    connection = Connection(url)

    async def ask(method: str, *parameters: Any) -> Any:
        found = await connection.ask(lambda node: node.rpc_request(method, list(parameters)))
        return found["result"]

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


# Showing.


def asy(amount: int | str) -> str:
    """Return planck as ASY, without superfluous zeros."""
    whole, rest = divmod(int(amount), PLANCK)
    decimals = f"{rest:012d}".rstrip("0")
    return f"{whole:,}.{decimals}" if decimals else f"{whole:,}"


def rounded(amount: int | str) -> str:
    """Return planck as ASY with three decimals, for tables."""
    return f"{int(amount) / PLANCK:,.3f}"


def short(text: str) -> str:
    """Return both ends of an address."""
    return text if len(text) <= 2 * SHORT + 1 else f"{text[:SHORT]}…{text[-SHORT:]}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under titles; a title that starts with `<` heads a column of words, others are numbers."""
    heads = [title.removeprefix("<") for title in titles]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if title.startswith("<") else cell.rjust(width)
            for title, cell, width in zip(titles, row, widths, strict=True)
        ).rstrip()
        for row in [heads, *rows]
    ]
    return "\n".join(lines)
