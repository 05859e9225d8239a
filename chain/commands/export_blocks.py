"""Write stored blocks to a file, in Substrate's formats; the node must not be running.

assay export-blocks --chain dev --base-path ./data blocks.json
assay export-blocks --binary --from 1 --to 100 - > blocks.bin
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from chain.commands import database
from chain.commands.block_files import SignedBlock, write_binary, write_json
from chain.commands.failure import USAGE, Failure
from chain.storage.store import ChainStore

TOLD_EVERY = 10_000
"""blocks between two lines on standard error"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="where to; - is standard output [-]"
    )
    parser.add_argument("--from", dest="first", type=_height, default=1, metavar="N", help="first block [1]")
    parser.add_argument(
        "--to", dest="last", type=_height, metavar="N", help="last block of the best chain [the best]"
    )
    parser.add_argument("--binary", action="store_true", help="SCALE instead of JSON")
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Write the blocks."""
    if parsed.json and parsed.file == "-":
        raise Failure("--json says what was written to a FILE: give one", USAGE)
    spec = database.spec_of(parsed)
    with database.opened(parsed, spec) as store:
        last = store.best_number if parsed.last is None else parsed.last
        _check(store, parsed.first, last)
        count = last - parsed.first + 1
        write = write_binary if parsed.binary else write_json
        try:
            with _output(parsed.file) as output:
                write(output, count, _blocks(store, parsed.first, last))
                output.flush()
        except OSError as problem:
            raise Failure(f"cannot write {parsed.file}: {problem}") from problem
    if parsed.json:
        print(json.dumps({"from": parsed.first, "to": last, "blocks": count}))
    else:
        print(f"Exported {count} blocks, #{parsed.first} to #{last}", file=sys.stderr)
    return 0


def _check(store: ChainStore, first: int, last: int) -> None:
    """Raises: Failure, before anything is written."""
    if last > store.best_number:
        raise Failure(f"there is no block {last}: the best is #{store.best_number}")
    if first > last:
        raise Failure(f"there are no blocks from {first} to {last}")
    if database.lacks(store, max(first, 1)):
        raise Failure(f"the database lacks {database.missing(store)}")
    block = store.hash_at(first)
    if block is None or store.body(block) is None:
        raise Failure(f"the body of block {first} has been pruned: export from a later one")


def _blocks(store: ChainStore, first: int, last: int) -> Iterator[SignedBlock]:
    for number in range(first, last + 1):
        block = store.hash_at(number)
        assert block is not None, f"block {number} of the best chain is missing"
        header, body = store.header(block), store.body(block)
        assert header is not None, f"the header of block {number} is missing"
        assert body is not None, f"the body of block {number} is missing"
        yield SignedBlock(header, body, store.justification(block))
        if number % TOLD_EVERY == 0:
            print(f"Exported #{number}", file=sys.stderr)


def _output(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdout.buffer) if file == "-" else Path(file).open("wb")


def _height(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no height")
    return int(text)
