"""Where a command gets the secret of a key: asked for, piped, or read from a file.

On a command line others can see it. Source: Substrate's --suri, which may name a file, or be left out.
"""

import json
import os
import sys
from typing import Any

from chain.commands.failure import USAGE, Failure
from chain.commands.password import ask
from chain.keys.pair import MAX_SURI, is_private

HELP = (
    "secret URI, or a file with it: in its first line, or as `assay key generate --json` prints it; "
    "asked for, or read from standard input, if not given"
)
MAX_SIZE = 4096
"""bytes of a secret's file"""
NAMES = ("secretPhrase", "secretKeyUri")
"""of a secret in the JSON of `assay key`"""
WARNING = (
    "assay: A SECRET ON THE COMMAND LINE stands in the list of processes and in the shell's history: "
    "leave it out to be asked for it, or name a file"
)


def read(given: str | None) -> str:
    """Return the secret URI that an argument names, or what takes the place of one that is not given.

    Raises: Failure.
    """
    if given is None:
        suri = ask("Secret URI: ") if sys.stdin.isatty() else sys.stdin.readline(MAX_SIZE).strip()
    elif os.path.isfile(given):
        suri = _in_file(given)
    else:
        suri = given
        if is_private(suri):
            print(WARNING, file=sys.stderr)
    if not suri:
        raise Failure("an empty secret URI names no key", USAGE)
    return suri


def _in_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_SIZE + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise Failure(f"cannot read the secret's file: {problem}", USAGE) from problem
    suri = in_json(path, text) if text.startswith("{") else text.partition("\n")[0].strip()
    if len(suri) > MAX_SURI:
        raise Failure(f"{path} must begin with a secret URI of at most {MAX_SURI} characters", USAGE)
    return suri


def in_json(path: str, text: str) -> str:
    """Return the secret URI in what `assay key generate --json` prints.

    Raises: Failure.
    """
    wanted = "give what `assay key generate --json` has printed"
    try:
        found: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise Failure(f"{path} is cut off: {wanted}", USAGE) from problem
    suri = next((found[name] for name in NAMES if name in found), None)
    if not isinstance(suri, str):
        raise Failure(f"{path} has no {NAMES[0]}: {wanted}", USAGE)
    return suri
