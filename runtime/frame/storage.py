"""Storage items as pallets use them: Value (a Tally where it is put all the time), Map, DoubleMap, NMap.

A key is twox128(pallet) ++ twox128(item) ++ hashed map keys. Source: Polkadot specification, section 2.4.4;
FRAME's StorageValue, StorageMap, StorageDoubleMap.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar

from runtime.frame.memo import LENGTH, Memo
from runtime.frame.state import Held, Overlay
from runtime.primitives.hashing import blake2_128_concat, identity, twox_64_concat, twox_128
from runtime.primitives.scale import Codec, Input

K = TypeVar("K")
K1 = TypeVar("K1")
K2 = TypeVar("K2")
V = TypeVar("V")

Hasher = Callable[[bytes], bytes]
PREFIX_SIZE: dict[Hasher, int] = {blake2_128_concat: 16, twox_64_concat: 8, identity: 0}
"""Bytes a hasher puts before the key itself."""
MAX_KEYS = 4
"""Keys of the widest NMap."""
KEPT = 16_384
"""Hashed keys, and decoded values, remembered for each item."""
REQUIRED: Any = object()
"""Marks storage without a default: reading what is absent with [] is a bug, `get` gives None."""


@dataclass(frozen=True)
class StorageItem:
    """A declaration: what `storage()` leaves in the class body."""

    default: Any
    hashers: tuple[Hasher, ...]
    tally: bool = False


def storage(
    default: Any = REQUIRED,
    hasher: Hasher = blake2_128_concat,
    hashers: tuple[Hasher, ...] | None = None,
    *,
    tally: bool = False,
) -> Any:
    """Declare a storage item; its annotation says the rest, and `tally` that a Value is a Tally.

    Map keys that a stranger may choose need blake2_128_concat (the default); block numbers, netuids and the
    like may take twox_64_concat; keys that are hashes already may take identity.
    """
    return StorageItem(default, hashers or (hasher,) * MAX_KEYS, tally)


def item_prefix(pallet: str, item: str) -> bytes:
    """Return the 32 bytes that start every key of a storage item."""
    return twox_128(pallet.encode()) + twox_128(item.encode())


def _fresh(default: Any) -> Any:
    """Return a default its reader may change, as it may change a value that was stored."""
    return default.copy() if isinstance(default, list | dict) else default


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a map: its part of the storage key, `skip` bytes of hash and maybe the key itself."""

    part: Callable[[Any], bytes]
    read: Callable[[Input], Any]
    skip: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item lies in the storage of one runtime, and how its keys and values become bytes."""

    prefix: bytes
    keys: tuple[Key, ...]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    default: Any


def place(prefix: bytes, codecs: tuple[Codec[Any], ...], item: StorageItem) -> Place:
    """Return the place of an item; `codecs` are those of its keys and, last, of its values.

    What follows from bytes alone, and cannot be changed by who holds it, is remembered: hashed keys, and
    decoded values.
    """
    *keys, value = codecs
    parts = (_key(codec, hasher) for codec, hasher in zip(keys, item.hashers, strict=False))
    encode, decode = _remembering(value) if value.constant else (value.encoder, value.decode)
    return Place(prefix, tuple(parts), encode, decode, item.default)


def _key(codec: Codec[Any], hasher: Hasher) -> Key:
    return Key(Memo(lambda key: hasher(codec.encode(key)), KEPT).__getitem__, codec.read, PREFIX_SIZE[hasher])


def _remembering(codec: Codec[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Return encoder and decoder; what was written need not be decoded, if decoding makes just that."""
    known, encode = Memo(codec.decode, KEPT, lambda raw, value: len(raw) <= LENGTH), codec.encoder
    decode = known.__getitem__
    if not codec.kinds:
        return encode, decode
    paths, types = zip(*codec.kinds, strict=True)
    parts = attrgetter(*(f"{path}.__class__".removeprefix(".") for path in paths))
    exact = types if len(types) > 1 else types[0]

    def note(value: Any) -> bytes:
        raw = encode(value)
        if len(known) < KEPT and len(raw) <= LENGTH and parts(value) == exact:  # no kindred types
            known[raw] = value
        return raw

    return note, decode


class Value(Generic[V]):
    """One value under one key."""

    def __init__(self, overlay: Overlay, place: Place) -> None:
        self._overlay = overlay
        self._place = place
        self.key = place.prefix

    def get(self) -> V:
        """Return the value, or the default."""
        raw = self._overlay.get(self.key)
        if raw is not None:
            value: V = self._place.decode(raw)
            return value
        assert self._place.default is not REQUIRED, "this value has no default: it is set at genesis"
        default: V = _fresh(self._place.default)
        return default

    def find(self) -> V | None:
        """Return what is stored, never the default."""
        raw = self._overlay.get(self.key)
        return None if raw is None else self._place.decode(raw)

    def put(self, value: V) -> None:
        """Set the value."""
        self._overlay.put(self.key, self._place.encode(value))

    def kill(self) -> None:
        """Remove the value."""
        self._overlay.put(self.key, None)

    def exists(self) -> bool:
        """Say whether a value is stored."""
        return self._overlay.get(self.key) is not None


class Tally(Value[V]):
    """A value that every extrinsic sets anew: it is encoded once, when the block ends or bytes are read.

    Whoever puts a value answers for it that it fits its type, as nobody looks at once, and never changes it.
    """

    def get(self) -> V:
        """Return the value, or the default."""
        held = self._overlay.held(self.key)
        value: V = Value.get(self) if held is None else held.value
        return value

    def put(self, value: V) -> None:
        """Set the value."""
        self._overlay.hold(self.key, Held(value, self._place.encode))


class _Keyed(Generic[V]):
    """What maps of any arity share: raw keys in, values out."""

    def __init__(self, overlay: Overlay, place: Place) -> None:
        self._overlay = overlay
        self._place = place
        self.prefix = place.prefix

    def _part(self, position: int, key: Any) -> bytes:
        return self._place.keys[position].part(key)

    def _read(self, raw_key: bytes) -> V | None:
        raw = self._overlay.get(raw_key)
        return None if raw is None else self._place.decode(raw)

    def _read_or_default(self, raw_key: bytes) -> V:
        raw = self._overlay.get(raw_key)
        if raw is None:
            return self._absent(raw_key)
        value: V = self._place.decode(raw)
        return value

    def _absent(self, raw_key: bytes) -> V:
        if self._place.default is REQUIRED:
            raise KeyError(raw_key.hex())
        default: V = _fresh(self._place.default)
        return default

    def _write(self, raw_key: bytes, value: V) -> None:
        self._overlay.put(raw_key, self._place.encode(value))

    def _remove(self, raw_key: bytes) -> None:
        self._overlay.put(raw_key, None)

    def _clear(self, prefix: bytes, limit: int | None) -> int:
        raw_keys = list(islice(self._overlay.keys(prefix), limit))
        for raw_key in raw_keys:
            self._remove(raw_key)
        return len(raw_keys)

    def _entries(self, prefix: bytes, first: int) -> Iterator[tuple[list[Any], bytes]]:
        for raw_key in list(self._overlay.keys(prefix)):
            source = Input(raw_key, len(prefix))
            found = []
            for key in self._place.keys[first:]:
                source.take(key.skip)
                found.append(key.read(source))
            yield found, raw_key


class Map(_Keyed[V], Generic[K, V]):
    """Values by key; iteration is in the order of hashed keys, as clients see it."""

    def raw_key(self, key: K) -> bytes:
        """Return the storage key of an entry."""
        return self.prefix + self._place.keys[0].part(key)

    def __getitem__(self, key: K) -> V:
        raw_key = self.prefix + self._place.keys[0].part(key)
        raw = self._overlay.get(raw_key)
        if raw is None:
            return self._absent(raw_key)
        value: V = self._place.decode(raw)
        return value

    def get(self, key: K) -> V | None:
        """Return what is stored, never the default."""
        return self._read(self.raw_key(key))

    def __setitem__(self, key: K, value: V) -> None:
        place = self._place
        self._overlay.put(self.prefix + place.keys[0].part(key), place.encode(value))

    def __delitem__(self, key: K) -> None:
        self._remove(self.raw_key(key))

    def __contains__(self, key: K) -> bool:
        return self._overlay.get(self.raw_key(key)) is not None

    def take(self, key: K) -> V | None:
        """Remove an entry and return what was stored."""
        value = self.get(key)
        del self[key]
        return value

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all entries; the map may be changed meanwhile."""
        for (key,), raw_key in self._entries(self.prefix, 0):
            value = self._read(raw_key)
            if value is not None:
                yield key, value

    def keys(self) -> Iterator[K]:
        """Yield all keys."""
        for (key,), _ in self._entries(self.prefix, 0):
            yield key

    def values(self) -> Iterator[V]:
        """Yield all values."""
        for _, value in self.items():
            yield value

    def after(self, key: K | None, limit: int) -> list[tuple[bytes, K, V]]:
        """Return up to `limit` entries behind a key, which need not exist: (hashed key, key, value)."""
        start = b"" if key is None else self.raw_key(key)
        found = []
        for raw_key in islice(self._overlay.keys(self.prefix, start), limit):
            source = Input(raw_key, len(self.prefix) + self._place.keys[0].skip)
            value = self._read(raw_key)
            assert value is not None, "the overlay has said that this key is present"
            found.append((raw_key[len(self.prefix) :], self._place.keys[0].read(source), value))
        return found


class DoubleMap(_Keyed[V], Generic[K1, K2, V]):
    """Values by two keys; all entries of one first key lie together."""

    def raw_key(self, first: K1, second: K2) -> bytes:
        """Return the storage key of an entry."""
        return self.prefix + self._part(0, first) + self._part(1, second)

    def __getitem__(self, keys: tuple[K1, K2]) -> V:
        return self._read_or_default(self.raw_key(*keys))

    def get(self, first: K1, second: K2) -> V | None:
        """Return what is stored, never the default."""
        return self._read(self.raw_key(first, second))

    def __setitem__(self, keys: tuple[K1, K2], value: V) -> None:
        self._write(self.raw_key(*keys), value)

    def __delitem__(self, keys: tuple[K1, K2]) -> None:
        self._remove(self.raw_key(*keys))

    def __contains__(self, keys: tuple[K1, K2]) -> bool:
        return self._overlay.get(self.raw_key(*keys)) is not None

    def take(self, first: K1, second: K2) -> V | None:
        """Remove an entry and return what was stored."""
        value = self.get(first, second)
        del self[first, second]
        return value

    def under(self, first: K1) -> Iterator[tuple[K2, V]]:
        """Yield the entries of one first key, in the order of hashed second keys."""
        for (second,), raw_key in self._entries(self.prefix + self._part(0, first), 1):
            value = self._read(raw_key)
            if value is not None:
                yield second, value

    def items(self) -> Iterator[tuple[tuple[K1, K2], V]]:
        """Yield all entries."""
        for (first, second), raw_key in self._entries(self.prefix, 0):
            value = self._read(raw_key)
            if value is not None:
                yield (first, second), value

    def clear(self, first: K1, limit: int | None = None) -> int:
        """Remove the entries of one first key, at most `limit`; return how many."""
        return self._clear(self.prefix + self._part(0, first), limit)


class NMap(_Keyed[V], Generic[K, V]):
    """Values by several keys, NMap[tuple[K1, K2, K3], V]; entries with equal leading keys lie together."""

    def raw_key(self, keys: K) -> bytes:
        """Return the storage key of an entry."""
        return self._leading(keys)

    def _leading(self, keys: Any) -> bytes:
        return self.prefix + b"".join(self._part(position, key) for position, key in enumerate(keys))

    def __getitem__(self, keys: K) -> V:
        return self._read_or_default(self.raw_key(keys))

    def get(self, keys: K) -> V | None:
        """Return what is stored, never the default."""
        return self._read(self.raw_key(keys))

    def __setitem__(self, keys: K, value: V) -> None:
        self._write(self.raw_key(keys), value)

    def __delitem__(self, keys: K) -> None:
        self._remove(self.raw_key(keys))

    def __contains__(self, keys: K) -> bool:
        return self._overlay.get(self.raw_key(keys)) is not None

    def under(self, *leading: Any) -> Iterator[tuple[tuple[Any, ...], V]]:
        """Yield (remaining keys, value) of the entries with these leading keys."""
        for remaining, raw_key in self._entries(self._leading(leading), len(leading)):
            value = self._read(raw_key)
            if value is not None:
                yield tuple(remaining), value

    def clear(self, *leading: Any, limit: int | None = None) -> int:
        """Remove the entries with these leading keys, at most `limit`; return how many."""
        return self._clear(self._leading(leading), limit)
