"""Take the best chain back by a number of blocks, never below the final one; the node must not be running.

assay revert 10 --chain dev --base-path ./data
"""

import argparse
import json

from chain.commands import database

CUSTOMARY = 256
"""blocks; Substrate's default"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "num", nargs="?", type=_count, default=CUSTOMARY, metavar="NUM", help=f"blocks [{CUSTOMARY}]"
    )
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Revert and say how far."""
    spec = database.spec_of(parsed)
    with database.opened(parsed, spec) as store:
        before = store.best_number
        store.revert(parsed.num)
        reverted = before - store.best_number
        if parsed.json:
            print(json.dumps({"reverted": reverted, **database.heads(store)}))
        elif not reverted:
            print("There aren't any non-finalized blocks to revert.")
        else:
            best, final = database.named(store, store.best), database.named(store, store.finalized)
            print(f"Reverted {reverted} blocks. Best: {best}, finalized: {final}")
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of blocks")
    return int(text)
