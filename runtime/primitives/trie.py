"""Substrate's trie: the node format, roots of small tries, and the check of a read proof.

    leaf    header 01 (001: hashed value) | partial key | value
    branch  header 10 (11: value, 0001: hashed value) | partial key | bitmap u16 | value | children
    value   compact length || bytes, or 32 bytes of hash: state version 1 hashes what is longer than 32 bytes
    child   compact length || blake2b-256 of the node, or the node itself when it is shorter than 32 bytes

A key is its hex digits in a str here, one digit a nibble, because slicing and startswith then run in C.
Source: Polkadot specification, section 2.4 (state storage and the trie).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, Input, read_compact, write_compact
from runtime.primitives.types import Hash

INLINE_VALUE_LIMIT = 32
"""bytes; longer values leave their node in state version 1"""
INLINE_NODE_LIMIT = 31
"""bytes; longer nodes are referred to by their hash"""
MAX_PROOF_BYTES = 16 * 1024 * 1024
"""A proof is hashed once over; nobody needs one longer than four network frames."""

MAX_KEY = 255
"""bytes of a key that anybody may write; nodes give each other states with keys up to that"""

EMPTY_NODE = b"\x00"
EMPTY_ROOT = Hash(blake2_256(EMPTY_NODE))

HEX = "0123456789abcdef"
NIBBLES = {digit: value for value, digit in enumerate(HEX)}
PAST_HEX = "g"
"""sorts after every nibble"""

LEAF, LEAF_HASHED, BRANCH, BRANCH_VALUE, BRANCH_HASHED = 0x40, 0x20, 0x80, 0xC0, 0x10
_CAPACITY = {LEAF: 63, LEAF_HASHED: 31, BRANCH: 63, BRANCH_VALUE: 63, BRANCH_HASHED: 15}
"""kind of node -> the partial key length at which further bytes follow the header"""
COMMON_KEY = 256
"""nibbles; the headers of shorter partial keys are at hand"""
BRANCH_CAPACITY = _CAPACITY[BRANCH]
_NO_CHILDREN: list[bytes | None] = [None] * 16
_BYTE = [bytes([value]) for value in range(256)]


class ProofError(ValueError):
    """The proof does not show what the trie holds under a key; says why."""


class NodeValue(NamedTuple):
    """A value as its node carries it."""

    wire: bytes
    is_hash: bool


class Node(NamedTuple):
    """A decoded node; a leaf has no children, a branch has a slot for each of sixteen."""

    partial: str
    value: NodeValue | None
    bitmap: int
    children: tuple[bytes | None, ...]


def node_value(value: bytes, version: int = 1) -> NodeValue:
    """Return a value as a node of this state version carries it."""
    if version > 0 and len(value) > INLINE_VALUE_LIMIT:
        return NodeValue(blake2_256(value), True)
    size = len(value)
    return NodeValue((_COMPACT[size] if size < len(_COMPACT) else _compact(size)) + value, False)


def _compact(value: int) -> bytes:
    encoded = bytearray()
    write_compact(value, encoded)
    return bytes(encoded)


_COMPACT = [_compact(value) for value in range(512)]
"""the compact form of small numbers, such as the lengths of most values"""


def encode_leaf(partial: str, value: NodeValue) -> bytes:
    """Return the bytes of a leaf."""
    return _head(LEAF_HASHED if value.is_hash else LEAF, partial) + value.wire


def encode_branch(partial: str, value: NodeValue | None, bitmap: int, children: Iterable[bytes]) -> bytes:
    """Return the bytes of a branch; children are the references of the bitmap's slots, in order."""
    slots = bitmap.to_bytes(2, "little")
    if value is None:
        return b"".join((_head(BRANCH, partial), slots, *children))
    kind = BRANCH_HASHED if value.is_hash else BRANCH_VALUE
    return b"".join((_head(kind, partial), slots, value.wire, *children))


def reference(node: bytes) -> bytes:
    """Return what a parent carries for this child."""
    if len(node) > INLINE_NODE_LIMIT:
        return b"\x80" + blake2_256(node)
    return _BYTE[len(node) << 2] + node


def is_leaf(node: bytes) -> bool:
    """Tell a leaf from a branch by its header."""
    return LEAF_HASHED <= node[0] < BRANCH


def _head(kind: int, partial: str) -> bytes:
    count, counts = len(partial), _COUNTS[kind]
    packed = bytes.fromhex("0" + partial if count & 1 else partial)
    return (counts[count] if count < COMMON_KEY else _count(kind, count)) + packed


def _count(kind: int, count: int) -> bytes:
    """Return a header: the kind of node, the nibbles of its partial key."""
    capacity = _CAPACITY[kind]
    if count < capacity:
        return _BYTE[kind | count]
    whole, rest = divmod(count - capacity, 255)
    return _BYTE[kind | capacity] + b"\xff" * whole + _BYTE[rest]


_COUNTS = {kind: [_count(kind, count) for count in range(COMMON_KEY)] for kind in _CAPACITY}
"""kind of node -> its headers by nibbles of the partial key"""


def trie_root(pairs: Mapping[bytes, bytes], version: int = 1) -> Hash:
    """Return the root of the trie that holds these pairs."""
    return _root([(key.hex(), node_value(value, version)) for key, value in pairs.items()])


def ordered_root(items: list[bytes], version: int = 0) -> Hash:
    """Return the root of a list, keyed by the compact form of each index; `extrinsics_root` is one."""
    return _root([(_compact(index).hex(), node_value(item, version)) for index, item in enumerate(items)])


def _root(entries: list[tuple[str, NodeValue]]) -> Hash:
    entries.sort()
    keys, values = [key for key, _ in entries], [value for _, value in entries]
    return Hash(blake2_256(encode_node(keys, values, 0, len(keys), 0))) if keys else EMPTY_ROOT


def common_length(left: str, right: str, start: int = 0) -> int:
    """Return how many leading nibbles two keys share, given that they share `start` of them."""
    for index in range(start, min(len(left), len(right))):
        if left[index] != right[index]:
            return index
    return min(len(left), len(right))


def encode_node(
    keys: list[str],
    values: list[NodeValue],
    low: int,
    high: int,
    depth: int,
    refer: Callable[[bytes], bytes] = reference,
) -> bytes:
    """Encode the node over the sorted keys [low, high); one call for each branch and leaf on the way down."""
    first = keys[low]
    if low + 1 == high:
        return encode_leaf(first[depth:], values[low])
    shared = common_length(first, keys[high - 1], depth)
    value = None
    if len(first) == shared:
        value, low = values[low], low + 1
    bitmap, children = 0, []
    while low < high:
        child, end = keys[low][: shared + 1], low + 1
        if end < high and keys[end].startswith(child):
            end = bisect_left(keys, child + PAST_HEX, end, high)
        bitmap |= 1 << NIBBLES[child[shared]]
        children.append(refer(encode_node(keys, values, low, end, shared + 1, refer)))
        low = end
    return encode_branch(first[depth:shared], value, bitmap, children)


def decode_node(data: bytes) -> Node:
    """Return the node that these bytes, all of them, encode in its only form.

    Raises: ProofError.
    """
    source = Input(data)
    try:
        node = _read_node(source)
    except DecodeError as problem:
        raise ProofError(f"malformed trie node: {problem}") from problem
    if source.left():
        raise ProofError(f"malformed trie node: {source.left()} bytes are left over")
    return node


def _read_node(source: Input) -> Node:
    kind, partial = _read_head(source)
    bitmap = int.from_bytes(source.take(2), "little") if kind in (BRANCH, BRANCH_VALUE, BRANCH_HASHED) else 0
    value = None
    if kind in (LEAF_HASHED, BRANCH_HASHED):
        value = NodeValue(source.take(32), True)
    elif kind != BRANCH:
        start = source.offset
        source.take(read_compact(source))
        value = NodeValue(source.data[start : source.offset], False)
    if kind in (LEAF, LEAF_HASHED):
        return Node(partial, value, 0, ())
    if not bitmap:
        raise ProofError("malformed trie node: a branch without children")
    return Node(partial, value, bitmap, _read_children(source, bitmap))


def _read_head(source: Input) -> tuple[int, str]:
    first = source.take(1)[0]
    kind = first & 0xC0
    if not kind:
        kind = LEAF_HASHED if first & LEAF_HASHED else first & BRANCH_HASHED
    if kind not in _CAPACITY:
        raise ProofError(f"malformed trie node: header {first:#04x}")
    capacity = _CAPACITY[kind]
    count = first & capacity
    if count == capacity:
        while (more := source.take(1)[0]) == 255:
            count += 255
        count += more
    packed = source.take((count + 1) >> 1).hex()
    if count & 1 and packed[0] != "0":
        raise ProofError("malformed trie node: the padding of the partial key is not zero")
    return kind, packed[count & 1 :]


def _read_children(source: Input, bitmap: int) -> tuple[bytes | None, ...]:
    """Read the references of the bitmap's slots; a length up to 32 has one byte in its shortest form."""
    data, at, slots = source.data, source.offset, _NO_CHILDREN.copy()
    while bitmap:
        lowest = bitmap & -bitmap
        bitmap ^= lowest
        length = data[at] if at < len(data) else 0
        if length & 3 or not 0 < length <= 32 << 2:
            raise ProofError(f"malformed trie node: no child at offset {at}")
        end = at + 1 + (length >> 2)
        slots[lowest.bit_length() - 1] = data[at:end]
        at = end
    source.take(at - source.offset)
    return tuple(slots)


def verify_proof(root: Hash, proof: list[bytes], keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """Return the value, or its proven absence, of each key; nodes that prove nothing are let pass.

    Raises: ProofError when a node or value is missing or malformed.
    """
    trie = Proof(proof)
    return {key: trie.value(root, key) for key in keys}


def prove(pairs: Mapping[bytes, bytes], keys: Iterable[bytes], version: int = 1) -> list[bytes]:
    """Return the nodes that show what the trie of these pairs holds under each key."""
    parts = [value for value in pairs.values() if version > 0 and len(value) > INLINE_VALUE_LIMIT]

    def keep(node: bytes) -> bytes:
        parts.append(node)
        return reference(node)

    entries = sorted((key.hex(), node_value(value, version)) for key, value in pairs.items())
    if not entries:
        return []
    named, values = [key for key, _ in entries], [value for _, value in entries]
    top = encode_node(named, values, 0, len(entries), 0, keep)
    trie = Proof([*parts, top])
    for key in keys:
        trie.value(Hash(blake2_256(top)), key)
    return trie.used


class Proof:
    """The nodes and values of one proof by hash; each is hashed once and decoded at most once."""

    def __init__(self, proof: list[bytes]) -> None:
        size = sum(len(node) for node in proof)
        if size > MAX_PROOF_BYTES:
            raise ProofError(f"a proof of {size} bytes, at most {MAX_PROOF_BYTES} are read")
        self._parts = {blake2_256(node): node for node in proof}
        self._used: dict[bytes, None] = {}
        self._decoded: dict[bytes, Node] = {}

    @property
    def used(self) -> list[bytes]:
        """Return the parts that were needed so far, each once."""
        return [self._parts[digest] for digest in self._used]

    def value(self, root: Hash, key: bytes) -> bytes | None:
        """Return what the trie with this root holds under a key; every step down consumes a nibble.

        Raises: ProofError.
        """
        if root == EMPTY_ROOT:
            return None
        nibbles = key.hex()
        node, at = self._node(root), 0
        while nibbles.startswith(node.partial, at):
            at += len(node.partial)
            if at == len(nibbles):
                return self._value(node)
            child = node.children[int(nibbles[at], 16)] if node.children else None
            if child is None:
                return None
            node, at = self._node(child[1:]), at + 1
        return None

    def _node(self, link: bytes) -> Node:
        node = self._decoded.get(link)
        if node is None:
            node = self._decoded[link] = decode_node(self._part(link) if len(link) == 32 else link)
        return node

    def _value(self, node: Node) -> bytes | None:
        if node.value is None:
            return None
        wire, is_hash = node.value
        if is_hash:
            return self._part(wire)
        source = Input(wire)
        return source.take(read_compact(source))

    def _part(self, digest: bytes) -> bytes:
        part = self._parts.get(digest)
        if part is None:
            raise ProofError(f"the proof lacks the part with hash 0x{digest.hex()}")
        self._used[digest] = None
        return part
