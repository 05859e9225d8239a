"""Verify and execute a stored block again, on its parent's state; the node must not be running.

assay check-block 12 --chain dev --base-path ./data
assay check-block 0x6cba... --chain dev
"""

import argparse
import json

from chain.commands import database
from chain.commands.failure import Failure
from chain.common.errors import InvalidBlock, StateDiscarded
from chain.consensus.slots import pre_digest_slot, verify_header
from chain.env_real import RealClock
from chain.executor import Executor
from chain.storage.store import ChainStore
from runtime.frame.executive import BlockRejected
from runtime.frame.state import Changes
from runtime.primitives.header import Header
from runtime.primitives.types import Hash


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("block", metavar="HASH|NUMBER", help="which block")
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Execute the block and compare."""
    spec = database.spec_of(parsed)
    with database.opened(parsed, spec) as store:
        block = database.find_block(store, parsed.block)
        header, body = store.header(block), store.body(block)
        assert header is not None, "it was found"
        name = f"block {database.named(store, block)}"
        if header.number == 0:
            raise Failure(f"{name} is the genesis: there is nothing to execute")
        if body is None and database.lacks(store, header.number):
            raise Failure(f"{name} cannot be checked: the database lacks {database.missing(store)}")
        if body is None:
            raise Failure(f"{name} cannot be checked: its body has been pruned")
        if header.number > store.finalized_number:
            database.importer(store)
        try:
            changes = _execute(store, header, body)
            _compare(store, block, changes)
        except StateDiscarded as problem:
            raise Failure(f"{name} cannot be checked: {problem}") from problem
        except (InvalidBlock, BlockRejected) as problem:
            raise Failure(f"{name} is bad: {problem}") from problem
        root = f"0x{header.state_root.hex()}"
        if parsed.json:
            found = {"number": header.number, "hash": f"0x{block.hex()}", "extrinsics": len(body)}
            print(json.dumps({**found, "stateRoot": root, "changedKeys": len(changes)}))
        else:
            print(f"{name} holds: {len(body)} extrinsics, {len(changes)} changed keys, state root {root}")
    return 0


def _execute(store: ChainStore, header: Header, body: list[bytes]) -> Changes:
    """Return what a block changes.

    Raises: InvalidBlock, BlockRejected, StateDiscarded.
    """
    executor, now_ms = Executor(), RealClock().wall_ms()
    parent = store.header(header.parent_hash)
    if parent is None:
        raise StateDiscarded(header.parent_hash)
    state = store.state_at(header.parent_hash)
    epoch = executor.epoch(state, parent.number, pre_digest_slot(header))
    verify_header(header, pre_digest_slot(parent) if parent.number else 0, epoch)
    return executor.execute(state, header, body, {"timestamp": now_ms}).changes


def _compare(store: ChainStore, block: Hash, changes: Changes) -> None:
    """Compare what a block changes with the state that is stored.

    Raises: StateDiscarded; Failure where they differ.
    """
    state = store.state_at(block)
    for key, value in changes.items():
        if state.get(key) != value:
            raise Failure(
                f"block {database.named(store, block)} leads to another value of 0x{key.hex()} than the "
                "database has: the database is damaged; purge the chain and sync again"
            )
