"""Print a chain specification: a preset, or a file; --raw turns its genesis into storage keys and values."""

import argparse
import json

from chain.commands.failure import USAGE, Failure
from chain.spec import ChainSpec, SpecError


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--chain", metavar="ID|FILE", default="local", help="dev, local, or a file [local]")
    parser.add_argument("--raw", action="store_true", help="genesis as raw storage")


def run(parsed: argparse.Namespace) -> int:
    """Print the specification."""
    try:
        spec = ChainSpec.load(parsed.chain)
        print(json.dumps(spec.raw() if parsed.raw else spec.source, indent=2))
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    return 0
