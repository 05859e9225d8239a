"""Substrate's trie by its definition, with hashlib and nothing of ours: roots, and proofs made and checked.

Slow and short on purpose: it groups keys nibble by nibble and hashes every node again.
Source: Polkadot specification, section 2.4.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

EMPTY = b"\x00"
LEAF, BRANCH, BRANCH_WITH_VALUE, LEAF_HASHED, BRANCH_HASHED = (
    (0b01, 2),
    (0b10, 2),
    (0b11, 2),
    (0b001, 3),
    (0b0001, 4),
)
"""kind of node: the bits its first byte begins with, and how many they are"""


class Hashed(bytes):
    """A long value of which only the hash is known."""


class Unproven(Exception):
    """The proof does not lead from the root to the key."""


def digest(data: bytes) -> bytes:
    """Return the 32-byte BLAKE2b hash."""
    return blake2b(data, digest_size=32).digest()


def compact(number: int) -> bytes:
    """Return a number as SCALE's compact integer, of up to four bytes."""
    for mode, size in ((0, 1), (1, 2), (2, 4)):
        if number < 1 << (8 * size - 2):
            return (number << 2 | mode).to_bytes(size, "little")
    raise ValueError(number)


def nibbles_of(key: bytes) -> list[int]:
    """Return a key's half bytes, high one first."""
    return [half for byte in key for half in (byte >> 4, byte & 15)]


def root(pairs: Mapping[bytes, bytes], version: int = 1) -> bytes:
    """Return the root of a state."""
    return digest(_Builder(version).node([(nibbles_of(key), value) for key, value in pairs.items()]))


def ordered_root(items: Iterable[bytes], version: int = 0) -> bytes:
    """Return the root of a list, by compact index; `extrinsicsRoot` is one."""
    return root({compact(index): item for index, item in enumerate(items)}, version)


def everything(pairs: Mapping[bytes, bytes], version: int = 1) -> list[bytes]:
    """Return every node and every value that has a hash of its own: a proof of all there is and is not."""
    builder = _Builder(version)
    builder.parts.append(builder.node([(nibbles_of(key), value) for key, value in pairs.items()]))
    return builder.parts


class _Builder:
    """Encodes nodes from the top down; keeps what is referred to by hash."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.parts: list[bytes] = []

    def node(self, entries: list[tuple[list[int], bytes]]) -> bytes:
        """Return the node over these keys, what lies above it cut off."""
        if not entries:
            return EMPTY
        shared = 0
        while all(len(key) > shared and key[shared] == entries[0][0][shared] for key, _ in entries):
            shared += 1
        path = entries[0][0][:shared]
        own = next((value for key, value in entries if len(key) == shared), None)
        if len(entries) == 1:
            return self._leaf(path, entries[0][1])
        below: list[list[tuple[list[int], bytes]]] = [[] for _ in range(16)]
        for key, value in entries:
            if len(key) > shared:
                below[key[shared]].append((key[shared + 1 :], value))
        bitmap = sum(1 << slot for slot in range(16) if below[slot]).to_bytes(2, "little")
        children = b"".join(self._child(each) for each in below if each)
        if own is None:
            return _header(BRANCH, path) + bitmap + children
        hashed = self._is_hashed(own)
        return _header(BRANCH_HASHED if hashed else BRANCH_WITH_VALUE, path) + (
            bitmap + self._value(own) + children
        )

    def _leaf(self, path: list[int], value: bytes) -> bytes:
        return _header(LEAF_HASHED if self._is_hashed(value) else LEAF, path) + self._value(value)

    def _is_hashed(self, value: bytes) -> bool:
        return isinstance(value, Hashed) or (self._version == 1 and len(value) >= 33)

    def _value(self, value: bytes) -> bytes:
        if not self._is_hashed(value):
            return compact(len(value)) + value
        if isinstance(value, Hashed):
            return value
        self.parts.append(value)
        return digest(value)

    def _child(self, entries: list[tuple[list[int], bytes]]) -> bytes:
        node = self.node(entries)
        if len(node) < 32:
            return compact(len(node)) + node
        self.parts.append(node)
        return compact(32) + digest(node)


def _header(kind: tuple[int, int], path: list[int]) -> bytes:
    bits, count = kind
    room = (1 << (8 - count)) - 1
    first = bits << (8 - count)
    if len(path) < room:
        head = [first | len(path)]
    else:
        head, rest = [first | room], len(path) - room
        while rest >= 255:
            head.append(255)
            rest -= 255
        head.append(rest)
    padded = [0, *path] if len(path) % 2 else path
    return bytes(head) + bytes(padded[at] << 4 | padded[at + 1] for at in range(0, len(padded), 2))


def proven(state_root: bytes, proof: Iterable[bytes], key: bytes) -> bytes | None:
    """Return what a proof shows under a key: its value, or that there is none.

    Raises: Unproven.
    """
    parts = {digest(part): part for part in proof}
    parts[digest(EMPTY)] = EMPTY
    node, path = _part(parts, state_root), nibbles_of(key)
    while True:
        reader = _Reader(node)
        if reader.is_empty:
            return None
        partial, value, children = reader.read()
        if path[: len(partial)] != partial:
            return None
        path = path[len(partial) :]
        if not path:
            return _part(parts, value[1]) if value and value[0] == "hash" else value[1] if value else None
        child = children.get(path[0])
        if child is None:
            return None
        node, path = _part(parts, child) if len(child) == 32 else child, path[1:]


def _part(parts: Mapping[bytes, bytes], wanted: bytes) -> bytes:
    if wanted not in parts:
        raise Unproven(f"nothing in the proof has the hash {wanted.hex()}")
    return parts[wanted]


class _Reader:
    """Takes a node apart."""

    def __init__(self, node: bytes) -> None:
        self._bytes = list(node)
        self.is_empty = node == EMPTY

    def read(self) -> tuple[list[int], tuple[str, bytes] | None, dict[int, bytes]]:
        """Return the partial key, the value or its hash, and the references of the children."""
        first = self._byte()
        for kind in (LEAF, BRANCH, BRANCH_WITH_VALUE, LEAF_HASHED, BRANCH_HASHED):
            bits, count = kind
            if first >> (8 - count) == bits:
                break
        else:
            raise Unproven(f"no node begins with {first:#x}")
        partial = self._partial(first, (1 << (8 - count)) - 1)
        bitmap = self._byte() | self._byte() << 8 if kind in (BRANCH, BRANCH_WITH_VALUE, BRANCH_HASHED) else 0
        value: tuple[str, bytes] | None = None
        if kind in (LEAF_HASHED, BRANCH_HASHED):
            value = ("hash", self._take(32))
        elif kind != BRANCH:
            value = ("value", self._take(self._length()))
        children = {slot: self._take(self._length()) for slot in range(16) if bitmap >> slot & 1}
        if self._bytes:
            raise Unproven(f"{len(self._bytes)} bytes behind a node")
        return partial, value, children

    def _partial(self, first: int, room: int) -> list[int]:
        count = first & room
        if count == room:
            more = 255
            while more == 255:
                more = self._byte()
                count += more
        nibbles = nibbles_of(self._take((count + 1) // 2))
        return nibbles[1:] if count % 2 else nibbles

    def _length(self) -> int:
        first = self._byte()
        size = (1, 2, 4)[first & 3]
        return int.from_bytes(bytes([first]) + self._take(size - 1), "little") >> 2

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        if len(self._bytes) < count:
            raise Unproven("a node ends early")
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return bytes(taken)
