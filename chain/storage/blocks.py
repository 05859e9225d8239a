"""Headers, bodies and justifications by block hash, and the tree of what is not final yet."""

from collections.abc import Iterator
from functools import lru_cache

from chain.common.errors import UnknownBlock
from chain.env import Batch, Database
from chain.storage.db import BODIES, CANON, HEADERS, JUSTIFICATIONS, META
from runtime.primitives.babe import is_primary_header
from runtime.primitives.grandpa import changes_voters
from runtime.primitives.header import Header, decode_header
from runtime.primitives.scale import codec
from runtime.primitives.types import BlockNumber, Hash

_BODY = codec(list[bytes])
_UNFINALIZED = b"unfinalized/"
"""prefix in META; block number (u32, big-endian) and hash follow, so parents sort before children"""

HEADERS_KEPT = 256
"""decoded headers; a node at rest answers for its last final block"""


class Blocks:
    """What the database knows about blocks; writes only add to a batch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def header(self, block: Hash) -> Header | None:
        """Return a block's header."""
        found = self._database.get(HEADERS, block)
        return None if found is None else _decoded(found)

    def body(self, block: Hash) -> list[bytes] | None:
        """Return a block's extrinsics."""
        found = self._database.get(BODIES, block)
        return None if found is None else _BODY.decode(found)

    def justification(self, block: Hash) -> bytes | None:
        """Return the proof that a block is final, where one was stored."""
        return self._database.get(JUSTIFICATIONS, block)

    def hash_at(self, number: int) -> Hash | None:
        """Return the block of the best chain at a height."""
        if not 0 <= number < 1 << 32:
            return None
        found = self._database.get(CANON, number.to_bytes(4, "big"))
        return None if found is None else Hash(found)

    def unfinalized(self) -> Iterator[tuple[Hash, Header]]:
        """Yield the blocks that are not final, parents first."""
        for key in self._database.keys(META, _UNFINALIZED):
            block = Hash(key[-32:])
            header = self.header(block)
            assert header is not None, f"the header of 0x{block.hex()} is missing"
            yield block, header

    def put(self, batch: Batch, block: Hash, header: Header, body: list[bytes]) -> None:
        """Add an unfinalised block."""
        batch.put(HEADERS, block, header.encode())
        batch.put(BODIES, block, _BODY.encode(body))
        batch.put(META, _marker(block, header.number), b"")

    def put_header(self, batch: Batch, block: Hash, header: Header) -> None:
        """Add the header of a final block."""
        batch.put(HEADERS, block, header.encode())

    def put_final(self, batch: Batch, block: Hash, header: Header, body: list[bytes]) -> None:
        """Add a final block."""
        self.put_header(batch, block, header)
        batch.put(BODIES, block, _BODY.encode(body))
        self.put_canonical(batch, header.number, block)

    def put_justification(self, batch: Batch, block: Hash, justification: bytes) -> None:
        """Add the proof that a block is final."""
        batch.put(JUSTIFICATIONS, block, justification)

    def put_canonical(self, batch: Batch, number: BlockNumber, block: Hash | None) -> None:
        """Make a block the one of the best chain at its height, or leave the height empty."""
        key = number.to_bytes(4, "big")
        if block is None:
            batch.delete(CANON, key)
        else:
            batch.put(CANON, key, block)

    def settle(self, batch: Batch, block: Hash, header: Header) -> None:
        """Note that a block is final."""
        batch.delete(META, _marker(block, header.number))

    def discard(self, batch: Batch, block: Hash, header: Header) -> None:
        """Remove a block of an abandoned fork."""
        for column in (HEADERS, BODIES, JUSTIFICATIONS):
            batch.delete(column, block)
        self.settle(batch, block, header)

    def retire(self, batch: Batch, block: Hash, header: Header, *, body: bool) -> None:
        """Keep a block of an abandoned fork, with its body if wanted."""
        if not body:
            batch.delete(BODIES, block)
        self.settle(batch, block, header)

    def forget(self, batch: Batch, number: BlockNumber) -> None:
        """Remove the body of a final block, and its justification unless the next voters hang on it."""
        block = self.hash_at(number)
        header = None if block is None else self.header(block)
        if block is None or header is None:
            return  # it is in the gap below a restored block
        batch.delete(BODIES, block)
        if not changes_voters(header):
            batch.delete(JUSTIFICATIONS, block)


@lru_cache(HEADERS_KEPT)
def _decoded(encoded: bytes) -> Header:
    """Return a header; the newest are asked for again and again."""
    return decode_header(encoded)


def _marker(block: Hash, number: BlockNumber) -> bytes:
    return _UNFINALIZED + number.to_bytes(4, "big") + block


class Tree:
    """The unfinalised blocks, hanging from the last finalised one."""

    def __init__(self, root: Hash, blocks: Iterator[tuple[Hash, Header]]) -> None:
        self.root = root
        self._headers: dict[Hash, Header] = {}
        self._primaries = {root: 0}
        self._children: dict[Hash, list[Hash]] = {}
        for block, header in blocks:
            self.add(block, header)

    def __contains__(self, block: Hash) -> bool:
        return block in self._headers

    def __iter__(self) -> Iterator[Hash]:
        return iter(self._headers)

    def get(self, block: Hash) -> Header | None:
        """Return the header of an unfinalised block."""
        return self._headers.get(block)

    def add(self, block: Hash, header: Header) -> None:
        """Add a block whose parent is in the tree; adding it again does nothing."""
        if block not in self._headers:
            self._headers[block] = header
            self._primaries[block] = self._primaries[header.parent_hash] + is_primary_header(header)
            self._children.setdefault(header.parent_hash, []).append(block)

    def children(self, block: Hash) -> list[Hash]:
        """Return a block's children in the order they came."""
        return list(self._children.get(block, ()))

    def leaves(self) -> list[Hash]:
        """Return the blocks without children; the finalised one when there is nothing above it."""
        return [block for block in (self.root, *self._headers) if block not in self._children]

    def chain(self, block: Hash, top: Hash | None = None) -> list[Hash]:
        """Return the blocks from `top` (else the root), which is left out, up to this one.

        Raises: UnknownBlock when they do not descend from there.
        """
        found = []
        end = self.root if top is None else top
        while block != end:
            header = self._headers.get(block)
            if header is None:
                raise UnknownBlock(block)
            found.append(block)
            block = header.parent_hash
        return found[::-1]

    def above(self, block: Hash) -> list[Hash]:
        """Return the descendants of a block, parents first."""
        found = self.children(block)
        for each in found:
            found.extend(self._children.get(each, ()))
        return found

    def primaries(self, block: Hash) -> int | None:
        """Return how many blocks above the root and up to this one are of primary slots."""
        return self._primaries.get(block)

    def best_above(self, block: Hash) -> Hash:
        """Return the head that fork choice prefers at or above a block; of equals, the lowest hash."""
        candidates = [
            (-self._primaries[each], -self._headers[each].number, each) for each in self.above(block)
        ]
        return min(candidates)[2] if candidates else block

    def abandoned_by(self, block: Hash) -> list[Hash]:
        """Return the blocks that can never become final once this one is."""
        kept = {*self.chain(block), *self.above(block)}
        return [each for each in self._headers if each not in kept]

    def rooted_at(self, block: Hash) -> "Tree":
        """Return the tree of what descends from a block."""
        return Tree(block, ((each, self._headers[each]) for each in self.above(block)))
