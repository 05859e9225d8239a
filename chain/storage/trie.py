"""The state trie as branches keyed by their path; leaves follow from the flat state.

A branch is stored under the nibbles at which its parent refers to it (the root under none), is overwritten
in place and so never needs pruning. It carries its children's references ready to join: a changed child costs
its ancestors one join and one hash each. A batch visits every branch on the way to its keys once.
Invariant: under a child slot that is no branch the flat state holds exactly one key.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from runtime.primitives.hashing import blake2_256
from runtime.primitives.trie import (
    EMPTY_NODE,
    EMPTY_ROOT,
    HEX,
    INLINE_NODE_LIMIT,
    NodeValue,
    ProofError,
    common_length,
    decode_node,
    encode_branch,
    encode_leaf,
    node_value,
    reference,
)
from runtime.primitives.types import Hash

PAST_HEX = "g"
"""sorts after every nibble"""


@dataclass(slots=True)
class Branch:
    """A branch node; one that a reader returned is shared and must not be modified."""

    partial: str
    value: NodeValue | None
    children: list[bytes | None]
    bitmap: int
    """bit n: there is a child n"""
    inner: int
    """bit n: child n is a branch itself"""

    def encode(self) -> bytes:
        """Return the node."""
        return encode_branch(self.partial, self.value, self.bitmap, filter(None, self.children))

    def set(self, nibble: int, child: bytes | None, *, is_branch: bool) -> None:
        """Put a child's reference into its slot, or empty the slot."""
        bit = 1 << nibble
        self.children[nibble] = child
        self.bitmap = self.bitmap & ~bit if child is None else self.bitmap | bit
        self.inner = self.inner | bit if is_branch else self.inner & ~bit


class Reader(Protocol):
    """The state that is updated or proven."""

    def branch(self, path: str) -> Branch | None:
        """Return the branch stored at a path."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def first(self, prefix: str) -> bytes | None:
        """Return the lowest key whose nibbles start with these."""


class Leaf(NamedTuple):
    """A key, as nibbles, and its value."""

    key: str
    value: NodeValue


class Subtree(NamedTuple):
    """What hangs in a slot after the update: a node, and the leaf when it is one."""

    node: bytes
    leaf: Leaf | None


Branches = dict[str, Branch | None]
"""path -> the branch now there; None: no longer one"""


def encode_record(branch: Branch) -> bytes:
    """Return a branch as the database holds it: which children are branches (u16), then the node."""
    return branch.inner.to_bytes(2, "little") + branch.encode()


def decode_record(record: bytes) -> Branch:
    """Return the branch of a record of the database.

    Raises: ProofError when there is none in it.
    """
    node = decode_node(record[2:])
    if not node.bitmap:
        raise ProofError("a record of the trie holds a leaf instead of a branch")
    inner = int.from_bytes(record[:2], "little")
    return Branch(node.partial, node.value, list(node.children), node.bitmap, inner)


def record_key(path: str) -> bytes:
    """Return the database key of a path; the last byte is the parity of its length."""
    return bytes.fromhex(path + "001" if len(path) & 1 else path + "00")


def update(reader: Reader, changes: Mapping[bytes, bytes | None]) -> tuple[Hash, Branches]:
    """Return the root after these changes (None deletes) and the branches that differ; applies nothing."""
    return _Update(reader, changes).run()


class _Update:
    """One batch: sorted keys, a recursion over slots, every result written once."""

    def __init__(self, reader: Reader, changes: Mapping[bytes, bytes | None]) -> None:
        self._reader = reader
        edits = sorted((key.hex(), value) for key, value in changes.items())
        self._keys = [key for key, _ in edits]
        self._values = [value for _, value in edits]
        self._written: Branches = {}

    def run(self) -> tuple[Hash, Branches]:
        is_branch = self._reader.branch("") is not None
        is_leaf = not is_branch and self._reader.first("") is not None
        root = self._slot("", is_branch, is_leaf, 0, len(self._keys))
        return (Hash(blake2_256(root.node)) if root else EMPTY_ROOT), self._written

    def _slot(self, path: str, is_branch: bool, is_leaf: bool, low: int, high: int) -> Subtree | None:
        """Apply the edits [low, high), all of which lie under this slot."""
        if is_branch:
            return self._branch(path, self._load(path), low, high)
        puts = [
            Leaf(self._keys[index], node_value(value))
            for index in range(low, high)
            if (value := self._values[index]) is not None
        ]
        if is_leaf and (neighbour := self._neighbour(path, low, high)):
            puts.append(neighbour)
            puts.sort()
        return self._build(path, puts) if puts else None

    def _load(self, path: str) -> Branch:
        branch = self._written[path] if path in self._written else self._reader.branch(path)
        assert branch is not None, f"the trie lacks the branch at {path}"
        return branch

    def _neighbour(self, path: str, low: int, high: int) -> Leaf | None:
        """Return the leaf in this slot unless the edits overwrite or delete it."""
        for key in self._keys[low:high]:
            if self._reader.get(bytes.fromhex(key)) is not None:
                return None
        return self._leaf(path)

    def _leaf(self, path: str) -> Leaf:
        return read_leaf(self._reader, path)

    def _build(self, path: str, puts: list[Leaf]) -> Subtree:
        """Make the subtree of these sorted leaves, where nothing was before."""
        if len(puts) == 1:
            return _leaf_subtree(path, puts[0])
        depth, low = common_length(puts[0].key, puts[-1].key, len(path)), 0
        full = puts[0].key[:depth]
        branch = Branch(full[len(path) :], None, [None] * 16, 0, 0)
        if len(puts[0].key) == depth:
            branch.value, low = puts[0].value, 1
        keys = [leaf.key for leaf in puts]
        while low < len(puts):
            child = full + keys[low][depth]
            end = bisect_left(keys, child + PAST_HEX, low)
            self._attach(branch, child, self._build(child, puts[low:end]))
            low = end
        self._written[path] = branch
        return Subtree(branch.encode(), None)

    @staticmethod
    def _attach(branch: Branch, child: str, subtree: Subtree | None) -> None:
        nibble = int(child[-1], 16)
        if subtree is None:
            branch.set(nibble, None, is_branch=False)
        else:
            branch.set(nibble, reference(subtree.node), is_branch=subtree.leaf is None)

    def _branch(self, path: str, branch: Branch, low: int, high: int) -> Subtree | None:
        """Apply edits to a branch: split its partial key if they leave it, then edit its children."""
        full = path + branch.partial
        if low < high and not (self._keys[low].startswith(full) and self._keys[high - 1].startswith(full)):
            branch, full = self._split(path, branch, full, low, high)
            low = bisect_left(self._keys, full, low, high)
            high = bisect_left(self._keys, full + PAST_HEX, low, high)
        branch = Branch(branch.partial, branch.value, branch.children.copy(), branch.bitmap, branch.inner)
        if low < high and self._keys[low] == full:
            value = self._values[low]
            branch.value = None if value is None else node_value(value)
            low += 1
        leaves: dict[str, Leaf | None] = {}
        while low < high:
            child = full + self._keys[low][len(full)]
            end = self._end_of(child, low, high)
            bit = 1 << int(child[-1], 16)
            is_branch = branch.inner & bit > 0
            subtree = self._slot(child, is_branch, branch.bitmap & bit > 0 and not is_branch, low, end)
            self._attach(branch, child, subtree)
            leaves[child] = subtree.leaf if subtree else None
            low = end
        return self._settle(path, full, branch, leaves)

    def _end_of(self, child: str, low: int, high: int) -> int:
        """Return where the edits under a child end; most often it is the only one."""
        if low + 1 == high or not self._keys[low + 1].startswith(child):
            return low + 1
        return bisect_left(self._keys, child + PAST_HEX, low, high)

    def _split(self, path: str, branch: Branch, full: str, low: int, high: int) -> tuple[Branch, str]:
        """Return the branch that takes this one's place where new keys diverge from its partial key."""
        depth = len(full)
        for key, value in zip(self._keys[low:high], self._values[low:high], strict=True):
            if value is not None:
                depth = min(depth, common_length(key[:depth], full, len(path)))
        if depth == len(full):
            return branch, full
        child = full[: depth + 1]
        lower = replace(branch, partial=full[depth + 1 :])
        self._written[child] = lower
        upper = Branch(full[len(path) : depth], None, [None] * 16, 0, 0)
        upper.set(int(child[-1], 16), reference(lower.encode()), is_branch=True)
        return upper, full[:depth]

    def _settle(self, path: str, full: str, branch: Branch, leaves: dict[str, Leaf | None]) -> Subtree | None:
        """Write the branch, or what is left when it has fewer than two things to hold apart."""
        if branch.bitmap & (branch.bitmap - 1) or (branch.bitmap and branch.value):
            self._written[path] = branch
            return Subtree(branch.encode(), None)
        self._written[path] = None
        if not branch.bitmap:
            return _leaf_subtree(path, Leaf(full, branch.value)) if branch.value else None
        child = full + HEX[branch.bitmap.bit_length() - 1]
        if not branch.inner:
            return _leaf_subtree(path, leaves.get(child) or self._leaf(child))
        lower = self._load(child)
        self._written[child] = None
        merged = replace(lower, partial=child[len(path) :] + lower.partial)
        self._written[path] = merged
        return Subtree(merged.encode(), None)


def _leaf_subtree(path: str, leaf: Leaf) -> Subtree:
    return Subtree(encode_leaf(leaf.key[len(path) :], leaf.value), leaf)


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
    branch = reader.branch("")
    while branch is not None:
        full = path + branch.partial
        if full.startswith(nibbles):
            return _merkle_value(branch.encode(), path)
        if not nibbles.startswith(full):
            return None
        path = nibbles[: len(full) + 1]
        bit = 1 << int(path[-1], 16)
        if not branch.bitmap & bit:
            return None
        branch = reader.branch(path) if branch.inner & bit else None
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
    branch = reader.branch("")
    while branch is not None:
        _add_node(parts, branch.encode(), path)
        full = path + branch.partial
        if nibbles == full and branch.value and branch.value.is_hash:
            _add_value(reader, key, parts)
        if nibbles == full or not nibbles.startswith(full):
            return
        path = nibbles[: len(full) + 1]
        bit = 1 << int(path[-1], 16)
        if not branch.bitmap & bit:
            return
        branch = reader.branch(path) if branch.inner & bit else None
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
