"""The state trie as branches keyed by their path; leaves follow from the flat state.

    record  which children are branches (u16, little-endian) | the branch, in Substrate's node format

A branch is stored under the nibbles at which its parent refers to it (the root under none), is overwritten
in place and so never needs pruning. It carries its children's references ready to join, almost always hashes
of one length: a changed child is spliced into its parent's record, which is never taken apart then. A batch
visits every branch on the way to its keys once.
Invariant: under a child slot that is no branch the flat state holds exactly one key.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from runtime.primitives.hashing import blake2_256
from runtime.primitives.trie import (
    BRANCH,
    BRANCH_CAPACITY,
    EMPTY_NODE,
    EMPTY_ROOT,
    HEX,
    INLINE_NODE_LIMIT,
    NIBBLES,
    PAST_HEX,
    NodeValue,
    ProofError,
    common_length,
    decode_node,
    encode_branch,
    encode_leaf,
    is_leaf,
    node_value,
    reference,
)
from runtime.primitives.types import Hash

HASHED_CHILD = 33
"""bytes of a reference by hash: its compact length, the hash"""

Record = bytes
"""A branch as the database holds it."""
Branches = dict[str, Record | None]
"""path -> the branch now there; None: no longer one"""


class Reader(Protocol):
    """The state that is updated or proven."""

    def branch(self, path: str) -> Record | None:
        """Return the branch stored at a path."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def first(self, prefix: str) -> bytes | None:
        """Return the lowest key whose nibbles start with these."""


@dataclass(slots=True)
class Branch:
    """A branch taken apart."""

    partial: str
    value: NodeValue | None
    children: list[bytes | None]
    bitmap: int
    """bit n: there is a child n"""
    inner: int
    """bit n: child n is a branch itself"""

    @classmethod
    def of(cls, record: Record) -> "Branch":
        """Return the branch of a record.

        Raises: ProofError when there is none in it.
        """
        node = decode_node(record[2:])
        if not node.bitmap:
            raise ProofError("a record of the trie holds a leaf instead of a branch")
        return cls(node.partial, node.value, list(node.children), node.bitmap, inner_of(record))

    def record(self) -> Record:
        """Return what the database holds."""
        node = encode_branch(self.partial, self.value, self.bitmap, filter(None, self.children))
        return self.inner.to_bytes(2, "little") + node

    def set(self, nibble: int, node: bytes | None) -> None:
        """Put a node into a slot, or empty the slot."""
        bit = 1 << nibble
        self.children[nibble] = None if node is None else reference(node)
        self.bitmap = self.bitmap & ~bit if node is None else self.bitmap | bit
        self.inner = self.inner & ~bit if node is None or is_leaf(node) else self.inner | bit


Shape = tuple[str, int, int]
"""What the way down needs of a branch: its partial key, its bitmap, and the offset of the first child in the
record, or 0 when the children are not all hashes, there is a value or the partial key is long."""


class Leaf(NamedTuple):
    """A key, as nibbles, and its value."""

    key: str
    value: NodeValue


def inner_of(record: Record) -> int:
    """Return which children are branches, as a bitmap."""
    return record[0] | record[1] << 8


def shape(record: Record) -> Shape:
    """Return the shape of a branch, of nearly all without decoding it."""
    if record[2] == BRANCH:
        bitmap = record[3] | record[4] << 8
        if len(record) == 5 + HASHED_CHILD * bitmap.bit_count():
            return "", bitmap, 5
    count = record[2] - BRANCH
    if 0 < count < BRANCH_CAPACITY:
        at = 3 + ((count + 1) >> 1)
        bitmap = record[at] | record[at + 1] << 8
        if len(record) == at + 2 + HASHED_CHILD * bitmap.bit_count():
            return record[3:at].hex()[count & 1 :], bitmap, at + 2
    branch = Branch.of(record)
    return branch.partial, branch.bitmap, 0


def record_key(path: str) -> bytes:
    """Return the database key of a path; the last byte is the parity of its length."""
    return bytes.fromhex(path + "001" if len(path) & 1 else path + "00")


def update(reader: Reader, changes: Mapping[bytes, bytes | None]) -> tuple[Hash, Branches]:
    """Return the root after these changes (None deletes) and the branches that differ; applies nothing."""
    return _Update(reader, changes).run()


class _Update:
    """One batch: sorted keys, a recursion over slots, every branch written once."""

    def __init__(self, reader: Reader, changes: Mapping[bytes, bytes | None]) -> None:
        self._reader = reader
        self._raw = sorted(changes)
        self._keys = [key.hex() for key in self._raw]
        self._values = [changes[key] for key in self._raw]
        self._written: Branches = {}

    def run(self) -> tuple[Hash, Branches]:
        is_branch = self._reader.branch("") is not None
        is_taken = is_branch or self._reader.first("") is not None
        root = self._slot("", is_taken, is_branch, 0, len(self._keys))
        return (Hash(blake2_256(root)) if root else EMPTY_ROOT), self._written

    def _slot(self, path: str, is_taken: bool, is_branch: bool, low: int, high: int) -> bytes | None:
        """Return the node in a slot after the edits [low, high), all of which lie under it."""
        if is_branch and high - low == 1:
            return self._thread(path, self._load(path), low)
        if is_branch:
            return self._branch(path, self._load(path), low, high)
        put = self._values[low] if high - low == 1 else None
        if put is not None and not (is_taken and self._reader.get(self._raw[low]) is None):
            return encode_leaf(self._keys[low][len(path) :], node_value(put))
        puts = [
            Leaf(self._keys[index], node_value(value))
            for index in range(low, high)
            if (value := self._values[index]) is not None
        ]
        if is_taken and (neighbour := self._neighbour(path, low, high)):
            puts.append(neighbour)
            puts.sort()
        return self._build(path, puts) if puts else None

    def _load(self, path: str) -> Record:
        record = self._written.get(path) or self._reader.branch(path)
        assert record is not None, f"the trie lacks the branch at {path}"
        return record

    def _neighbour(self, path: str, low: int, high: int) -> Leaf | None:
        """Return the leaf in this slot unless the edits overwrite or delete it."""
        if any(self._reader.get(key) is not None for key in self._raw[low:high]):
            return None
        return read_leaf(self._reader, path)

    def _build(self, path: str, puts: list[Leaf]) -> bytes:
        """Make the node over these sorted leaves, where nothing was before."""
        if len(puts) == 1:
            return encode_leaf(puts[0].key[len(path) :], puts[0].value)
        depth, low, value = common_length(puts[0].key, puts[-1].key, len(path)), 0, None
        full = puts[0].key[:depth]
        if len(puts[0].key) == depth:
            value, low = puts[0].value, 1
        bitmap, inner, children = 0, 0, []
        while low < len(puts):
            child = puts[low].key[: depth + 1]
            end = bisect_left(puts, (child + PAST_HEX,), low)
            node = self._build(child, puts[low:end])
            bit = 1 << NIBBLES[child[-1]]
            bitmap, inner, low = bitmap | bit, inner if is_leaf(node) else inner | bit, end
            children.append(reference(node))
        node = encode_branch(full[len(path) :], value, bitmap, children)
        return self._write(path, inner.to_bytes(2, "little") + node)

    def _write(self, path: str, record: Record) -> bytes:
        """Put a branch where it belongs; return its node."""
        self._written[path] = record
        return record[2:]

    def _thread(self, path: str, record: Record, index: int) -> bytes | None:
        """Apply one edit: down through branches that only lead on, then up, splicing each."""
        key, depth, passed = self._keys[index], len(path), []
        while True:
            partial, bitmap, first_child = shape(record)
            fork = depth + len(partial)
            if not first_child or len(key) == fork or not key.startswith(partial, depth):
                node = self._branch(key[:depth], record, index, index + 1)
                break
            nibble = NIBBLES[key[fork]]
            bit = 1 << nibble
            at = first_child + HASHED_CHILD * (bitmap & bit - 1).bit_count() if bitmap & bit else 0
            passed.append((key[:depth], record, nibble, at))
            depth = fork + 1
            if not inner_of(record) & bit:
                node = self._slot(key[:depth], at > 0, False, index, index + 1)
                break
            record = self._load(key[:depth])
        spliced = False
        for path, record, nibble, at in reversed(passed):
            inner = inner_of(record) >> nibble & 1
            fits = at and node and len(node) > INLINE_NODE_LIMIT and is_leaf(node) != inner
            if node and (spliced or fits):
                record = record[: at + 1] + blake2_256(node) + record[at + HASHED_CHILD :]
                self._written[path], node, spliced = record, record[2:], True
            else:
                node, spliced = self._settle(path, record, None, [(nibble, node)]), False
        return node

    def _branch(self, path: str, record: Record, low: int, high: int) -> bytes | None:
        """Apply edits to a branch: split its partial key if they leave it, then edit its children."""
        keys = self._keys
        partial, bitmap, _ = shape(record)
        full = path + partial
        if partial and low < high and not (keys[low].startswith(full) and keys[high - 1].startswith(full)):
            record, full = self._split(path, record, full, low, high)
            low, high = bisect_left(keys, full, low, high), bisect_left(keys, full + PAST_HEX, low, high)
            _, bitmap, _ = shape(record)
        depth, own = len(full), None
        if low < high and len(keys[low]) == depth:
            own, low = low, low + 1
        inner, nodes = inner_of(record), []
        while low < high:
            child = keys[low][: depth + 1]
            end = low + 1
            if end < high and keys[end].startswith(child):
                end = bisect_left(keys, child + PAST_HEX, end, high)
            nibble = NIBBLES[child[-1]]
            node = self._slot(child, bitmap >> nibble & 1 > 0, inner >> nibble & 1 > 0, low, end)
            nodes.append((nibble, node))
            low = end
        return self._settle(path, record, own, nodes)

    def _split(self, path: str, record: Record, full: str, low: int, high: int) -> tuple[Record, str]:
        """Return the branch that takes this one's place where new keys diverge from its partial key."""
        depth = len(full)
        for key, value in zip(self._keys[low:high], self._values[low:high], strict=True):
            if value is not None:
                depth = min(depth, common_length(key[:depth], full, len(path)))
        if depth == len(full):
            return record, full
        child, lower = full[: depth + 1], Branch.of(record)
        lower.partial = full[depth + 1 :]
        upper = Branch(full[len(path) : depth], None, [None] * 16, 0, 0)
        upper.set(int(child[-1], 16), self._write(child, lower.record()))
        return upper.record(), full[:depth]

    def _settle(
        self, path: str, record: Record, own: int | None, nodes: list[tuple[int, bytes | None]]
    ) -> bytes | None:
        """Put nodes into slots of a branch, and the edit `own` into its value; it may cease to be one."""
        spliced = splice(record, nodes) if own is None else None
        if spliced:
            return self._write(path, spliced)
        branch = Branch.of(record)
        if own is not None:
            value = self._values[own]
            branch.value = None if value is None else node_value(value)
        for nibble, node in nodes:
            branch.set(nibble, node)
        if branch.bitmap & (branch.bitmap - 1) or (branch.bitmap and branch.value):
            return self._write(path, branch.record())
        self._written[path] = None
        if not branch.bitmap:
            return encode_leaf(branch.partial, branch.value) if branch.value else None
        nibble = branch.bitmap.bit_length() - 1
        child = path + branch.partial + HEX[nibble]
        return self._collapse(path, child, bool(branch.inner), dict(nodes).get(nibble))

    def _collapse(self, path: str, child: str, is_branch: bool, node: bytes | None) -> bytes:
        """Move the only child of what was a branch to its place; `node` is the child if an edit made it."""
        if is_branch:
            lower = Branch.of(self._load(child))
            self._written[child] = None
            lower.partial = child[len(path) :] + lower.partial
            return self._write(path, lower.record())
        if node is None:
            leaf = read_leaf(self._reader, child)
            return encode_leaf(leaf.key[len(path) :], leaf.value)
        edited = decode_node(node)
        assert edited.value is not None, "a leaf has a value"
        return encode_leaf(child[len(path) :] + edited.partial, edited.value)


def splice(record: Record, nodes: list[tuple[int, bytes | None]]) -> Record | None:
    """Return a branch of hashed children with nodes put into slots; None if it has other parts or ends."""
    _, bitmap, first_child = shape(record)
    if not first_child:
        return None
    inner, taken, copied, parts = inner_of(record), bitmap, first_child, [b""]
    for nibble, node in nodes:
        bit = 1 << nibble
        at = first_child + HASHED_CHILD * (bitmap & bit - 1).bit_count()
        parts.append(record[copied:at])
        copied = at + HASHED_CHILD if bitmap & bit else at
        taken, inner = taken & ~bit, inner & ~bit
        if node is not None:
            taken, inner = taken | bit, inner if is_leaf(node) else inner | bit
            parts.append(reference(node))
    if taken.bit_count() < 2:
        return None
    parts.append(record[copied:])
    parts[0] = inner.to_bytes(2, "little") + record[2 : first_child - 2] + taken.to_bytes(2, "little")
    return b"".join(parts)


def read_leaf(reader: Reader, path: str) -> Leaf:
    """Return the one leaf under a slot that holds no branch."""
    key = reader.first(path)
    assert key is not None, f"the state lacks the leaf under {path}"
    value = reader.get(key)
    assert value is not None, f"the state lacks the value of {key.hex()}"
    return Leaf(key.hex(), node_value(value))


def prove(reader: Reader, keys: Iterable[bytes]) -> list[bytes]:
    """Return the nodes and hashed values that show each key's value or absence; sorted, each once."""
    parts: set[bytes] = set()
    for key in keys:
        _prove_one(reader, key, parts)
    return sorted(parts)


def closest_merkle_value(reader: Reader, key: bytes) -> bytes | None:
    """Return the Merkle value of the highest node at or below a key; None where nothing is.

    That is the node itself when it is shorter than 32 bytes and not the root, else its hash.
    """
    nibbles, path = key.hex(), ""
    record = reader.branch("")
    while record is not None:
        partial, bitmap, _ = shape(record)
        full = path + partial
        if full.startswith(nibbles):
            return _merkle_value(record[2:], path)
        if not nibbles.startswith(full):
            return None
        path = nibbles[: len(full) + 1]
        bit = 1 << int(path[-1], 16)
        if not bitmap & bit:
            return None
        record = reader.branch(path) if inner_of(record) & bit else None
    if not path and reader.first("") is None:
        return None
    leaf = read_leaf(reader, path)
    if not leaf.key.startswith(nibbles):
        return None
    return _merkle_value(encode_leaf(leaf.key[len(path) :], leaf.value), path)


def _merkle_value(node: bytes, path: str) -> bytes:
    return blake2_256(node) if not path or len(node) > INLINE_NODE_LIMIT else node


def _prove_one(reader: Reader, key: bytes, parts: set[bytes]) -> None:
    nibbles, path = key.hex(), ""
    record = reader.branch("")
    while record is not None:
        _add_node(parts, record[2:], path)
        partial, bitmap, _ = shape(record)
        full = path + partial
        if nibbles == full:
            value = Branch.of(record).value
            if value and value.is_hash:
                _add_value(reader, key, parts)
            return
        if not nibbles.startswith(full):
            return
        path = nibbles[: len(full) + 1]
        bit = 1 << int(path[-1], 16)
        if not bitmap & bit:
            return
        record = reader.branch(path) if inner_of(record) & bit else None
    if not path and reader.first("") is None:
        parts.add(EMPTY_NODE)
        return
    leaf = read_leaf(reader, path)
    _add_node(parts, encode_leaf(leaf.key[len(path) :], leaf.value), path)
    if leaf.key == nibbles and leaf.value.is_hash:
        _add_value(reader, key, parts)


def _add_node(parts: set[bytes], node: bytes, path: str) -> None:
    if not path or len(node) > INLINE_NODE_LIMIT:
        parts.add(node)


def _add_value(reader: Reader, key: bytes, parts: set[bytes]) -> None:
    value = reader.get(key)
    assert value is not None, f"the state lacks {key.hex()}"
    parts.add(value)
