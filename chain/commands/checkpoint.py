"""Print the newest final change of voters, for nodes that must trust a block: as flag, and for a spec.

assay checkpoint                                       of the running node at --url
assay checkpoint --chain live.json --base-path ./data  of a node that stands still
"""

import argparse
import asyncio
import json
from pathlib import Path

from chain.checkpoints import Checkpoint, CheckpointError
from chain.commands import database
from chain.commands.failure import UNREACHABLE, Failure
from chain.connection import Connection, NodeFailure, Unreachable
from chain.executor import Executor
from chain.storage.store import ChainStore

NONE_YET = "no voters have handed over to others yet: there is nothing newer to trust than genesis"


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--url", default="ws://127.0.0.1:9944", help="node to ask [ws://127.0.0.1:9944]")
    parser.add_argument("--chain", metavar="ID|FILE", default="local", help="with --base-path: which [local]")
    parser.add_argument(
        "-d", "--base-path", type=Path, metavar="PATH", help="look into the data of a node that stands still"
    )
    parser.add_argument("--json", action="store_true", help="print only the entry of a specification")


def run(parsed: argparse.Namespace) -> int:
    """Print the checkpoint."""
    if parsed.base_path is None:
        try:
            found = asyncio.run(_asked(parsed.url))
        except Unreachable as problem:
            raise Failure(str(problem), UNREACHABLE) from problem
        except NodeFailure as problem:
            raise Failure(str(problem)) from problem
    else:
        with database.opened(parsed, database.spec_of(parsed)) as store:
            found = _stored(store)
    if found is None:
        raise Failure(NONE_YET)
    if not parsed.json:
        print(f"--checkpoint {found}")
    entry = json.dumps(found.to_json())
    print(entry if parsed.json else f'"checkpoints": [{entry}]')
    return 0


async def _asked(url: str) -> Checkpoint | None:
    """Ask a running node.

    Raises: Failure, NodeFailure.
    """
    connection = Connection(url)
    try:
        await connection.open()
        answer = await connection.ask(lambda node: node.rpc_request("grandpa_checkpoint", []))
    finally:
        await connection.close()
    try:
        return None if answer["result"] is None else Checkpoint.from_json(answer["result"])
    except CheckpointError as problem:
        raise Failure(f"the node at {url} answers with no checkpoint: {problem}") from problem


def _stored(store: ChainStore) -> Checkpoint | None:
    """Look into a database."""
    ends = store.set_ends_above(0)
    block = store.hash_at(ends[-1]) if ends else None
    if block is None:
        return None
    _, set_id = Executor().grandpa_set(store.state_at(store.finalized))
    return Checkpoint(ends[-1], block, set_id)
