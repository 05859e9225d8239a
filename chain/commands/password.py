"""Where a command gets the password of a key: asked for, or read from a file; never from the command line."""

import argparse
import getpass
from pathlib import Path

from chain.commands.failure import USAGE, Failure

MAX_SIZE = 4096
"""bytes of a password file"""


def describe(parser: argparse._ActionsContainer) -> None:
    """Add the flags; names are Substrate's."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--password-interactive", action="store_true", help="ask for the keys' password")
    given.add_argument(
        "--password-filename", type=Path, metavar="PATH", help="file that holds the keys' password"
    )


def read(parsed: argparse.Namespace) -> str | None:
    """Return the password the flags speak of, or None without flags."""
    if parsed.password_interactive:
        return _checked(ask("Key password: "))
    if parsed.password_filename is None:
        return None
    try:
        with parsed.password_filename.open(encoding="utf-8") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise Failure(f"cannot read the password file: {problem}", USAGE) from problem
    return _checked(text.removesuffix("\n").removesuffix("\r"))


def ask(prompt: str) -> str:
    """Return what is typed, unseen; nothing where input ends."""
    try:
        return getpass.getpass(prompt)
    except EOFError:
        return ""


def _checked(password: str) -> str:
    if not password or len(password) > MAX_SIZE:
        raise Failure(f"a password has 1 to {MAX_SIZE} characters", USAGE)
    return password
