"""The hash functions of Substrate. Source: Polkadot specification, appendix A (blake2b, xxHash)."""

from hashlib import blake2b

from xxhash import xxh64_intdigest


def blake2_256(message: bytes) -> bytes:
    """BLAKE2b with 32 bytes of output."""
    return blake2b(message, digest_size=32).digest()


def blake2_128(message: bytes) -> bytes:
    """BLAKE2b with 16 bytes of output."""
    return blake2b(message, digest_size=16).digest()


def blake2_64(message: bytes) -> bytes:
    """BLAKE2b with 8 bytes of output; names runtime APIs."""
    return blake2b(message, digest_size=8).digest()


def twox_64(message: bytes) -> bytes:
    """xxHash64 with seed 0, little-endian."""
    return xxh64_intdigest(message, 0).to_bytes(8, "little")


def twox_128(message: bytes) -> bytes:
    """Two xxHash64 with seeds 0 and 1; the prefix of every storage item."""
    return twox_64(message) + xxh64_intdigest(message, 1).to_bytes(8, "little")


def blake2_128_concat(key: bytes) -> bytes:
    """Map key hasher for keys a stranger may choose; the key itself follows its hash."""
    return blake2_128(key) + key


def twox_64_concat(key: bytes) -> bytes:
    """Map key hasher for keys nobody chooses freely; the key itself follows its hash."""
    return twox_64(key) + key


def identity(key: bytes) -> bytes:
    """Map key hasher for keys that are hashes already."""
    return key
