"""Say what a node's database holds; the node must not be running.

assay chain-info --chain dev --base-path ./data
"""

import argparse
import json

from chain.commands import database
from chain.storage.db import SCHEMA


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the heads, the genesis, the layout and the pruning modes."""
    spec = database.spec_of(parsed)
    with database.opened(parsed, spec) as store:
        missing = database.missing(store)
        if parsed.json:
            print(
                json.dumps(
                    {
                        "chain": spec.name,
                        "id": spec.id,
                        "genesisHash": f"0x{store.genesis_hash.hex()}",
                        **database.heads(store),
                        "missing": missing,
                        "layout": SCHEMA,
                        "statePruning": str(store.modes.states),
                        "blocksPruning": str(store.modes.blocks),
                        "database": str(database.path_of(parsed, spec)),
                    }
                )
            )
            return 0
        for label, words in (
            ("chain", f"{spec.name} ({spec.id})"),
            ("genesis", f"0x{store.genesis_hash.hex()}"),
            ("best", database.named(store, store.best)),
            ("finalized", database.named(store, store.finalized)),
            *([] if missing is None else [("missing", missing)]),
            ("layout", str(SCHEMA)),
            ("state pruning", str(store.modes.states)),
            ("blocks pruning", str(store.modes.blocks)),
            ("database", str(database.path_of(parsed, spec))),
        ):
            print(f"{label:<15} {words}")
    return 0
