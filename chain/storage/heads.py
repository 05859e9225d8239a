"""The records that say where the chain stands; how a chain begins, at its first block or at a later one."""

from collections.abc import Mapping, Sequence

from chain.common.errors import StorageError
from chain.env import Batch, Database
from chain.storage.blocks import Blocks
from chain.storage.db import META
from chain.storage.disk_chain import write_state
from chain.storage.state import View
from chain.storage.trie import update
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import EMPTY_ROOT, trie_root
from runtime.primitives.types import ZERO_HASH, Hash

GENESIS, BEST, FINALIZED, DISK = b"genesis", b"best", b"finalized", b"disk"
"""in META"""

Proven = tuple[Header, bytes]
"""a final block's header and justification"""


def head(database: Database, name: bytes) -> Hash:
    """Return the block that a record names.

    Raises: StorageError.
    """
    found = database.get(META, name)
    if found is None:
        raise StorageError(f"the database lacks its {name.decode()} block: purge the chain and sync again")
    return Hash(found)


def genesis_header(state_root: Hash) -> Header:
    """Return the header of the first block."""
    return Header(ZERO_HASH, 0, state_root, EMPTY_ROOT, Digest([]))


def agree_on_genesis(database: Database, state: Mapping[bytes, bytes]) -> None:
    """Make the first block of a chain, unless the database has it already.

    Raises: StorageError, also when it has another.
    """
    found = database.get(META, GENESIS)
    if found is None:
        _write_genesis(database, state)
    elif found != genesis_header(trie_root(state)).hash():
        raise StorageError(
            f"the database at {database.place} was made for another chain, with genesis "
            f"0x{found.hex()}: choose another base path, or purge the chain"
        )


def _write_genesis(database: Database, state: Mapping[bytes, bytes]) -> None:
    root, branches = update(View((), None), state)
    header = genesis_header(root)
    block = header.hash()
    blocks, batch = Blocks(database), database.batch()
    blocks.put(batch, block, header, [])
    blocks.settle(batch, block, header)
    blocks.put_canonical(batch, 0, block)
    write_state(batch, state, branches)
    for name in (GENESIS, BEST, FINALIZED, DISK):
        batch.put(META, name, block)
    database.write(batch)


def begin_at(batch: Batch, blocks: Blocks, block: Hash, proven: Sequence[Proven]) -> None:
    """Add to a batch that the chain stands at a block, which is one of some final ones."""
    for header, justification in proven:
        name = header.hash()
        blocks.put_header(batch, name, header)
        blocks.put_justification(batch, name, justification)
        blocks.put_canonical(batch, header.number, name)
    for head_name in (BEST, FINALIZED, DISK):
        batch.put(META, head_name, block)
