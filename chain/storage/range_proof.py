"""Proofs that some keys are all the keys that a state has in a range, for whoever knows only its root.

    entries   the keys from `start` up to the last one given, with their values
    nodes     the trie's nodes that the two edges of the range cut through, from the root down, left to right
    complete  nothing comes after the last entry: the range is open to the right

What lies between the edges is built again from the entries and has to give the hashes that the cut nodes
carry; what lies outside stays a hash. Every node is used once, in order: there is one proof of a range.
Source: VerifyRangeProof of ethereum/go-ethereum trie/proof.go, for Substrate's trie.
"""

import enum
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from chain.common.state_data import MAX_ENTRIES, MAX_NODES, Entry, StateRange, entry_size
from chain.storage.trie import Record, inner_of, read_leaf, shape
from runtime.primitives.hashing import blake2_256
from runtime.primitives.trie import (
    EMPTY_ROOT,
    HEX,
    INLINE_NODE_LIMIT,
    MAX_KEY,
    PAST_HEX,
    Node,
    NodeValue,
    ProofError,
    decode_node,
    encode_leaf,
    encode_node,
    node_value,
    reference,
)
from runtime.primitives.types import Hash


class Ordered(Protocol):
    """A state that is read in order."""

    def branch(self, path: str) -> Record | None: ...
    def get(self, key: bytes) -> bytes | None: ...
    def first(self, prefix: str) -> bytes | None: ...
    def scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """A key at or above which there is more, and about which part of the state lies below it, from 0 to 1."""

    key: bytes
    place: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What a proof shows beside its entries: the place where the range ends; what lies beyond, in order."""

    place: float
    beyond: list[Mark]


class _Side(enum.Enum):
    BEFORE = enum.auto()
    INSIDE = enum.auto()
    CUT = enum.auto()
    AFTER = enum.auto()


@dataclass(frozen=True, slots=True)
class _Edges:
    """A range of keys as nibbles, both ends of it inside."""

    low: str
    high: str | None  # None: to the end of the state

    def side(self, path: str) -> _Side:
        """Say where the keys lie that begin with these nibbles."""
        if self.high is not None:
            if self.high.startswith(path):
                return _Side.CUT
            if path > self.high:
                return _Side.AFTER
        if path >= self.low:
            return _Side.INSIDE
        return _Side.CUT if self.low.startswith(path) else _Side.BEFORE

    def holds(self, key: str) -> bool:
        """Say whether a key lies in the range."""
        return self.low <= key and (self.high is None or key <= self.high)

    def ends_before(self, key: str) -> bool:
        """Say whether a key lies beyond the range."""
        return self.high is not None and key > self.high


def prove_range(reader: Ordered, start: bytes, limit: int, end: bytes | None = None) -> StateRange:
    """Return the entries from `start` on until they have so many bytes, at least one if there is one, proven.

    It ends before that with the first key that is not below `end`, which shows that nothing is missing below.
    """
    entries: list[Entry] = []
    size, is_complete = 0, True
    for key in reader.scan(b"", start):
        is_beyond = end is not None and bool(entries) and entries[-1][0] >= end
        if entries and (size >= limit or is_beyond or len(entries) == MAX_ENTRIES):
            is_complete = False
            break
        value = reader.get(key)
        assert value is not None, f"the state lacks the value of {key.hex()}"
        size += entry_size((key, value))
        entries.append((key, value))
    edges = _Edges(start.hex(), None if is_complete else entries[-1][0].hex())
    nodes: list[bytes] = []
    is_branch = reader.branch("") is not None
    if is_branch or reader.first("") is not None:
        _cut(reader, "", is_branch, edges, nodes)
    return StateRange(entries, nodes, is_complete)


def _cut(reader: Ordered, path: str, is_branch: bool, edges: _Edges, nodes: list[bytes]) -> None:
    """Add the nodes under a slot that the edges of a range cut through."""
    if edges.side(path) is not _Side.CUT:
        return
    record = reader.branch(path) if is_branch else None
    if record is None:
        leaf = read_leaf(reader, path)
        node, partial, bitmap, inner = encode_leaf(leaf.key[len(path) :], leaf.value), "", 0, 0
    else:
        (partial, bitmap, _), node, inner = shape(record), record[2:], inner_of(record)
    if not path or len(node) > INLINE_NODE_LIMIT:
        nodes.append(node)
    for nibble in range(16):
        if bitmap >> nibble & 1:
            _cut(reader, path + partial + HEX[nibble], inner >> nibble & 1 > 0, edges, nodes)


def verify_range(root: Hash, start: bytes, found: StateRange) -> Shown:
    """Check that the state with this root has exactly these entries in a range.

    Raises: ProofError.
    """
    keys = [key for key, _ in found.entries]
    _check_form(start, keys, found)
    if root == EMPTY_ROOT:
        if keys or found.proof or not found.is_complete:
            raise ProofError("there is nothing in an empty state")
        return Shown(1.0, [])
    edges = _Edges(start.hex(), None if found.is_complete else keys[-1].hex())
    check = _Check(
        [key.hex() for key in keys], [node_value(value) for _, value in found.entries], edges, found.proof
    )
    check.root(root)
    return check.shown()


def _check_form(start: bytes, keys: Sequence[bytes], found: StateRange) -> None:
    if len(keys) > MAX_ENTRIES or len(found.proof) > MAX_NODES:
        raise ProofError(f"{len(keys)} entries and {len(found.proof)} nodes are more than a range has")
    if not keys and not found.is_complete:
        raise ProofError("nothing is given, and more is said to follow")
    if keys and keys[0] < start:
        raise ProofError("the first key is below the range")
    if any(left >= right for left, right in pairwise(keys)):
        raise ProofError("the keys are not in order")
    if max(map(len, keys), default=0) > MAX_KEY:
        raise ProofError(f"a key of more than {MAX_KEY} bytes")


class _Check:
    """One walk along the edges of a range, over the nodes that they cut."""

    def __init__(self, keys: list[str], values: list[NodeValue], edges: _Edges, nodes: list[bytes]) -> None:
        self._keys = keys
        self._values = values
        self._edges = edges
        self._nodes = nodes
        self._used = 0
        self._beyond: list[Mark] = []

    def root(self, root: Hash) -> None:
        """Check everything.

        Raises: ProofError.
        """
        self._slot("", b"\x80" + root, 0, len(self._keys), 0.0, 1.0)
        if self._used < len(self._nodes):
            raise ProofError(f"{len(self._nodes) - self._used} nodes too many")
        if self._edges.high is not None and not self._beyond:
            raise ProofError("more is said to follow, and nothing does")

    def shown(self) -> Shown:
        """Return what follows the range."""
        return Shown(self._beyond[0].place if self._beyond else 1.0, self._beyond)

    def _slot(self, path: str, link: bytes, low: int, high: int, place: float, share: float) -> None:
        """Check the entries [low, high), those that begin with this path, against the node in a slot."""
        side = self._edges.side(path)
        if side is _Side.AFTER:
            self._beyond.append(Mark(bytes.fromhex(path + "0" * (len(path) & 1)), place))
        elif side is _Side.INSIDE:
            if (
                low == high
                or _link(encode_node(self._keys, self._values, low, high, len(path)), path) != link
            ):
                raise ProofError(f"other entries than the state has under {path or 'the root'}")
        elif side is _Side.CUT:
            self._node(path, self._decoded(link), low, high, place, share)

    def _node(self, path: str, node: Node, low: int, high: int, place: float, share: float) -> None:
        """Check some entries against a node, one slot after the other."""
        full = path + node.partial
        if node.value is not None:
            low = self._own(full, node.value, low, high, place)
        count, index = node.bitmap.bit_count() + (node.value is not None), int(node.value is not None)
        for nibble, link in enumerate(node.children):
            if link is None:
                continue
            child = full + HEX[nibble]
            end = bisect_left(self._keys, child + PAST_HEX, low, high)
            begin = bisect_left(self._keys, child, low, end)
            if begin > low:
                break
            self._slot(child, link, low, end, place + share * index / count, share / count)
            low, index = end, index + 1
        if low < high:
            raise ProofError(f"the state has no key {self._keys[low]}")

    def _own(self, key: str, value: NodeValue, low: int, high: int, place: float) -> int:
        """Check the value of a node; return the index of the first entry after it."""
        if not self._edges.holds(key):
            if self._edges.ends_before(key):
                self._beyond.append(Mark(bytes.fromhex(key), place))
            return low
        if low == high or self._keys[low] != key or self._values[low] != value:
            raise ProofError(f"the state has another value or key at {key}")
        return low + 1

    def _decoded(self, link: bytes) -> Node:
        """Return the node that a slot refers to: the next one of the proof, or the one in the slot itself."""
        if len(link) <= INLINE_NODE_LIMIT + 1:
            return decode_node(link[1:])
        if self._used == len(self._nodes):
            raise ProofError("a node is missing")
        node = self._nodes[self._used]
        if blake2_256(node) != link[1:]:
            raise ProofError(f"node {self._used} is not the one that is cut")
        self._used += 1
        return decode_node(node)


def _link(node: bytes, path: str) -> bytes:
    return reference(node) if path else b"\x80" + blake2_256(node)
