"""Where a command gets the secret of a key: asked for, piped, or read from a file.

On a command line others can see it. Source: Substrate's --suri, which may name a file, or be left out.
"""

import os
import sys
from pathlib import Path

from chain.commands.failure import USAGE, Failure
from chain.commands.password import ask
from chain.keys.pair import SuriError, is_private
from chain.keys.secret_file import SecretFileError, secret_in

HELP = (
    "secret URI, or a file with it: in its first line, or as `assay key generate --json` prints it; "
    "asked for, or read from standard input, if not given"
)
MAX_SIZE = 4096
"""bytes of a line that is piped"""
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
        suri = read_file(Path(given))
    else:
        suri = given
        if is_private(suri):
            print(WARNING, file=sys.stderr)
    if not suri:
        raise Failure("an empty secret URI names no key", USAGE)
    return suri


def read_file(path: Path, password: str | None = None) -> str:
    """Return the secret URI in a file, opened by the password that belongs to it.

    Raises: Failure.
    """
    try:
        return secret_in(path, password)
    except (SecretFileError, SuriError) as problem:
        raise Failure(str(problem), USAGE) from problem
