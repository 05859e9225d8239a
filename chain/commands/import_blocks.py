"""Verify, execute and store blocks from a file; the node must not be running.

assay import-blocks --chain dev --base-path ./data blocks.json
assay import-blocks --binary - < blocks.bin

Blocks that are known are skipped, so an import that was stopped, by Ctrl-C or a power cut, goes on when it
is started again.
"""

import argparse
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from chain.commands import database
from chain.commands.block_files import BlockFileError, SignedBlock, read_binary, read_json
from chain.commands.failure import Failure
from chain.common.errors import InvalidBlock, StateDiscarded, UnknownBlock
from chain.env_real import RealClock
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.frame.executive import BlockRejected
from runtime.primitives.grandpa import JustificationError
from runtime.primitives.scale import DecodeError

TOLD_EVERY = 5.0
"""seconds between two lines on standard error"""
REFUSALS = (InvalidBlock, BlockRejected, JustificationError, DecodeError)
"""what the rules of the chain say to a bad block"""


class Counts:
    """What has come so far, and who is told."""

    def __init__(self, store: ChainStore) -> None:
        self.imported = self.known = 0
        self._store = store
        self._clock = RealClock()
        self._start = self._told = self._clock.monotonic()

    def tell(self) -> None:
        """Print a line now and then."""
        now = self._clock.monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            print(f"{self} ({self.imported / (now - self._start):.1f} blocks/s)", file=sys.stderr)

    def __str__(self) -> str:
        best, final = self._store.best_number, self._store.finalized_number
        return f"Imported {self.imported} blocks, {self.known} were known. Best: #{best}, finalized: #{final}"


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="where from; - is standard input [-]"
    )
    parser.add_argument("--binary", action="store_true", help="SCALE instead of JSON")
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Import the blocks."""
    spec = database.spec_of(parsed)
    with _input(parsed.file) as source, database.opened(parsed, spec, make=True) as store:
        counts = Counts(store)
        try:
            _import(database.importer(store), store, source, counts, binary=parsed.binary)
        except KeyboardInterrupt:
            print(f"{counts}. Stopped; start again to go on", file=sys.stderr)
            raise
        except BlockFileError as problem:
            raise Failure(f"{parsed.file}: {problem}. {counts}") from problem
        except OSError as problem:
            raise Failure(f"cannot read {parsed.file}: {problem}. {counts}") from problem
        if parsed.json:
            told = {"imported": counts.imported, "known": counts.known, **database.heads(store)}
            print(json.dumps(told))
        else:
            print(counts)
    return 0


def _import(door: Importer, store: ChainStore, source: BinaryIO, counts: Counts, *, binary: bool) -> None:
    """Raises: BlockFileError, OSError; Failure at a bad block."""
    for signed in read_binary(source) if binary else read_json(source):
        name = f"block #{signed.header.number} (0x{signed.header.hash().hex()})"
        try:
            _import_one(door, store, signed, counts)
        except REFUSALS as problem:
            raise Failure(f"{name} is bad: {problem}. {counts}") from problem
        except UnknownBlock as problem:
            parent = f"its parent 0x{problem.block.hex()} is not known here"
            raise Failure(f"{name} does not fit: {parent}. {counts}") from problem
        except StateDiscarded as problem:
            final = f"it is on a fork that left the chain below the final #{store.finalized_number}"
            if database.lacks(store, signed.header.number):
                final = f"this chain was restored above it. The database lacks {database.missing(store)}"
            raise Failure(f"{name} does not fit: {final}. {counts}") from problem
        counts.tell()


def _import_one(door: Importer, store: ChainStore, signed: SignedBlock, counts: Counts) -> None:
    block, number = signed.header.hash(), signed.header.number
    if store.header(block) is None:
        door.import_foreign(signed.header, signed.body)
        counts.imported += 1
    else:
        counts.known += 1
    if signed.justification is not None and number > store.finalized_number:
        door.finalize(block, signed.justification)


def _input(file: str) -> AbstractContextManager[BinaryIO]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as problem:
        raise Failure(f"cannot read {file}: {problem}") from problem
