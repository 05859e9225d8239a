"""Master weights: the int32 Q8.24 vector that every miner and judge holds bit for bit, and its root.

    initial(config, seed) -> MasterWeights      model_root(weights) -> 32 bytes

The tree over the 64 KiB leaves is that of RFC 6962 (section 2.1) with blake2b-256, so one leaf can be proved.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from miners.layout import ModelConfig, Tensor, layout, parameters_of
from miners.rounding import divide_half_even
from runtime.primitives.hashing import blake2_256

FRACTION_BITS = 24
"""Q8.24: sign, 7 bits of integer part, 24 of fraction."""
ONE = 1 << FRACTION_BITS
IMPORT_LIMIT = 127
"""A model with |w| at or above this is refused, so that what is added to it later has room."""
LEAF_BYTES = 65_536
LEAF, INNER = b"\x00", b"\x01"
"""What a node of the tree begins with, by its kind."""
HASH_BYTES = 32
INITIAL_DEVIATION = ONE // 50
"""Standard deviation of the first weights (0.02), the default of Llama configurations."""
ZERO = "lora_B.weight"
"""How names of tensors end that begin as zeros: an adapter that has learned nothing changes nothing."""
UNIFORMS = 4
"""Uniform 16-bit numbers summed into one approximately normal number (Irwin-Hall)."""
DOUBLED_DEVIATION = 75_674
"""Twice the standard deviation of that sum: 2 * sqrt(4 * (65536^2 - 1) / 12)."""

Words = NDArray[np.int32]
Floats = NDArray[np.float32]


class RefusedWeights(ValueError):
    """The bytes or numbers are no model of this shape; says what is wrong."""


@dataclass(frozen=True, eq=False)
class MasterWeights:
    """One version of the model. The vector is never written after it was made."""

    config: ModelConfig
    words: Words  # int32 [parameters], Q8.24
    base: "MasterWeights | None" = None  # what an adapter belongs to; no part of its root

    def __post_init__(self) -> None:
        if self.words.dtype != np.int32 or self.words.shape != (parameters_of(self.config),):
            raise RefusedWeights(
                f"a vector of {self.words.dtype} {self.words.shape} does not hold "
                f"int32 [{parameters_of(self.config)}]"
            )
        self.words.setflags(write=False)

    def floats(self) -> Floats:
        """Return the weights as float32 [parameters], each rounded to nearest."""
        return self.words.astype(np.float32) * np.float32(1 / ONE)

    def root(self) -> bytes:
        """Return the model root, 32 bytes."""
        return self._root

    @cached_property
    def _root(self) -> bytes:
        """Hashing a large model takes seconds, and many ask."""
        return model_root(self)

    def to_bytes(self) -> bytes:
        """Return the little-endian words, in layout order."""
        return self.words.astype("<i4", copy=False).tobytes()


def from_bytes(config: ModelConfig, blob: bytes) -> MasterWeights:
    """Read back `MasterWeights.to_bytes`.

    Raises: RefusedWeights when the length is wrong or a weight is 127 or more.
    """
    expected = 4 * parameters_of(config)
    if len(blob) != expected:
        raise RefusedWeights(f"the model has {len(blob)} bytes, this configuration needs {expected}")
    words = np.frombuffer(blob, dtype="<i4").astype(np.int32, copy=False)
    limit = IMPORT_LIMIT * ONE
    if np.any((words >= limit) | (words <= -limit)):
        raise RefusedWeights(f"the model has a weight of {IMPORT_LIMIT} or more in absolute value")
    return MasterWeights(config, words)


def from_floats(config: ModelConfig, floats: NDArray[np.floating]) -> MasterWeights:
    """Import a model from floating-point weights, rounded half to even.

    Raises: RefusedWeights when one is not finite or is 127 or more.
    """
    exact = floats.astype(np.float64).reshape(-1)
    if not np.isfinite(exact).all():
        raise RefusedWeights("the model has a weight that is not a finite number")
    if np.any(np.abs(exact) >= IMPORT_LIMIT):
        raise RefusedWeights(f"the model has a weight of {IMPORT_LIMIT} or more in absolute value")
    return MasterWeights(config, np.rint(exact * ONE).astype(np.int32))


def initial(config: ModelConfig, seed: bytes) -> MasterWeights:
    """Return the model a subnet starts from: the same integers on every machine."""
    words = np.empty(parameters_of(config), dtype=np.int32)
    for tensor in layout(config):
        is_norm = len(tensor.shape) == 1
        is_zero = tensor.name.endswith(ZERO)
        words[tensor.span] = ONE if is_norm else 0 if is_zero else _normal(tensor, seed)
    return MasterWeights(config, words)


def model_root(weights: MasterWeights) -> bytes:
    """Return the Merkle root over the 64 KiB leaves of the words."""
    blob = weights.to_bytes()
    return merkle_root([blob[at : at + LEAF_BYTES] for at in range(0, len(blob), LEAF_BYTES)])


def merkle_root(leaves: list[bytes]) -> bytes:
    """Return the root of one or more leaves.

    Leaf hash: blake2b-256(0x00 || leaf). Inner hash: blake2b-256(0x01 || left || right). An odd node at the
    end of a level moves up unchanged, which is the tree of RFC 6962.
    """
    level = [blake2_256(LEAF + leaf) for leaf in leaves]
    while len(level) > 1:
        above = [
            blake2_256(INNER + left + right) for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = above + level[2 * len(above) :]
    return level[0]


def leaves_of(config: ModelConfig) -> int:
    """Return the number of leaves of a model's tree."""
    return -(-4 * parameters_of(config) // LEAF_BYTES)


def split(leaves: int) -> int:
    """Return how many of a node's leaves lie below its left child: the largest power of two below all."""
    return 1 << (leaves - 1).bit_length() - 1


def _normal(tensor: Tensor, seed: bytes) -> Words:
    stream = shake_256(b"assay/initial/1" + seed + tensor.name.encode()).digest(2 * UNIFORMS * tensor.size)
    uniforms = np.frombuffer(stream, dtype="<u2").reshape(tensor.size, UNIFORMS)
    doubled = 2 * uniforms.sum(axis=1, dtype=np.int64) - UNIFORMS * 65_535  # twice the distance from the mean
    return divide_half_even(doubled * INITIAL_DEVIATION, DOUBLED_DEVIATION).astype(np.int32)
